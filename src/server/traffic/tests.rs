use super::*;
use axum::body::Body as AxumBody;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use tower::{ServiceExt, service_fn};

const TEMPLATES: &[&str] = &["/one", "/two"];

fn traffic() -> Arc<Traffic> {
    let rpc = |method: &str, kind| Rpc { service: "a.B".into(), method: method.into(), kind };
    let of = |path: &str| TEMPLATES.iter().copied().find(|template| *template == path);
    Arc::new(Traffic::new(
        vec![rpc("Get", "unary"), rpc("Watch", "server_stream")],
        Templates { all: TEMPLATES.to_vec(), of },
    ))
}

fn grpc(path: &str) -> Request<AxumBody> {
    Request::post(path).header("content-type", "application/grpc").body(AxumBody::empty()).unwrap()
}

type Frames = Vec<Result<Frame<Bytes>, Infallible>>;

/// What the service answers: a head, and a body of these frames.
fn answer(status: &str, frames: Frames) -> Response<impl Body<Data = Bytes, Error = Infallible> + use<>> {
    let mut response = Response::new(StreamBody::new(tokio_stream::iter(frames)));
    if !status.is_empty() {
        response.headers_mut().insert("grpc-status", status.parse().unwrap());
    }
    response
}

fn trailers(status: &str) -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]))
}

/// How the calls of a method ended, by code.
fn ends(traffic: &Traffic, method: &str) -> Vec<(usize, u64)> {
    let seen = traffic.rpcs().find(|(rpc, _)| rpc.method == method).unwrap().1;
    assert_eq!(seen.took_us.number(), seen.ended.iter().sum::<u64>());
    seen.ended.into_iter().enumerate().filter(|(_, calls)| *calls > 0).collect()
}

async fn call(traffic: &Arc<Traffic>, path: &str, status: &'static str, frames: fn() -> Frames) {
    let inner = service_fn(async |_: Request<AxumBody>| Ok::<_, Infallible>(answer(status, frames())));
    let response = TrafficLayer(traffic.clone()).layer(inner).oneshot(grpc(path)).await.unwrap();
    let _ = response.into_body().collect().await;
}

#[tokio::test]
async fn the_status_is_taken_from_the_head_or_the_trailers() {
    let traffic = traffic();
    call(&traffic, "/a.B/Get", "", || vec![Ok(Frame::data(Bytes::from("x"))), Ok(trailers("0"))]).await;
    call(&traffic, "/a.B/Get", "", || vec![Ok(trailers("8"))]).await;
    call(&traffic, "/a.B/Get", "5", Vec::new).await;
    assert_eq!(ends(&traffic, "Get"), [(0, 1), (5, 1), (8, 1)]);
    call(&traffic, "/a.B/Watch", "", Vec::new).await;
    call(&traffic, "/a.B/Watch", "", || vec![Ok(trailers("99"))]).await;
    call(&traffic, "/a.B/Watch", "nonsense", Vec::new).await;
    assert_eq!(ends(&traffic, "Watch"), [(2, 3)], "no status, or none that there is, is unknown");
}

#[tokio::test]
async fn a_stream_is_open_until_its_end_and_cancelled_when_its_caller_goes() {
    let traffic = traffic();
    let open = |traffic: &Traffic| traffic.rpcs().find(|(rpc, _)| rpc.method == "Watch").unwrap().1.open();
    let inner = service_fn(async |_: Request<AxumBody>| {
        Ok::<_, Infallible>(answer("", vec![Ok(Frame::data(Bytes::from("x"))), Ok(trailers("0"))]))
    });
    let mut layer = TrafficLayer(traffic.clone()).layer(inner);
    let response = layer.call(grpc("/a.B/Watch")).await.unwrap();
    assert_eq!(open(&traffic), 1);
    let mut body = Box::pin(response.into_body());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    drop(body);
    assert_eq!((open(&traffic), ends(&traffic, "Watch")), (0, vec![(1, 1)]));
    // One that is not even answered.
    drop(layer.call(grpc("/a.B/Watch")));
    assert_eq!(ends(&traffic, "Watch"), [(1, 2)]);
}

#[tokio::test]
async fn what_is_not_known_shares_one_place() {
    let traffic = traffic();
    for number in 0..100 {
        call(&traffic, &format!("/a.B/Get{number}"), "12", Vec::new).await;
        let inner = service_fn(async |_: Request<AxumBody>| Ok::<_, Infallible>(answer("", Vec::new())));
        let method = Method::from_bytes(format!("VERB{number}").as_bytes()).unwrap();
        let request = Request::builder().method(method).uri(format!("/x/{number}")).body(AxumBody::empty()).unwrap();
        drop(TrafficLayer(traffic.clone()).layer(inner).oneshot(request).await.unwrap());
    }
    assert_eq!(ends(&traffic, "unknown"), [(12, 100)]);
    assert_eq!(traffic.rpcs().count(), 3);
    let plain: Vec<_> = traffic.plain().map(|(route, verb, seen)| (route, verb, seen.ended[2], seen.open())).collect();
    assert_eq!(plain, [("unmatched", "other", 100, 0)]);
}

#[tokio::test]
async fn plain_requests_count_by_template_verb_and_class() {
    let traffic = traffic();
    for (path, status) in [("/one", 200), ("/one", 304), ("/two", 503), ("/a.B/Get", 415)] {
        let inner = service_fn(move |_: Request<AxumBody>| async move {
            let mut response = answer("", Vec::new());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(response)
        });
        let request = Request::get(path).body(AxumBody::empty()).unwrap();
        drop(TrafficLayer(traffic.clone()).layer(inner).oneshot(request).await.unwrap());
    }
    let plain: Vec<_> = traffic.plain().map(|(route, verb, seen)| (route, verb, seen.ended)).collect();
    let expected = [("/one", [0, 0, 1, 1, 0, 0]), ("/two", [0, 0, 0, 0, 0, 1]), ("grpc", [0, 0, 0, 0, 1, 0])];
    assert_eq!(plain, expected.map(|(route, ended)| (route, "GET", ended.to_vec())));
}
