//! Health over a real client, and what a shutdown does to its watch.
use super::*;
use std::{convert::Infallible, pin::Pin, sync::Mutex, task};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tower::{ServiceExt, service_fn};

const INGEST: &str = "tasktally.v1.IngestService";
const READS: &[&str] = &["tasktally.v1.StatisticsService"];

async fn over(stream: DuplexStream) -> HealthClient<Channel> {
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    let connector = service_fn(move |_| {
        let stream = stream.lock().unwrap().take();
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    HealthClient::new(Endpoint::from_static("http://test").connect_with_connector(connector).await.unwrap())
}

async fn serving() -> (Health, Server) {
    let health = Health::starting(INGEST, READS).await;
    health.serving().await;
    let server = Server::new(router(Routes::new(health.service())));
    (health, server)
}

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_check_answers_and_an_unknown_service_is_not_found() {
    let (_health, server) = serving().await;
    let mut client = over(server.connect()).await;
    let answer = client.check(named("readiness")).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    assert_eq!(client.check(named("nobody")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_watch_hears_not_serving_and_then_unavailable_when_the_server_drains() {
    let (health, server) = serving().await;
    let mut client = over(server.connect()).await;
    let mut watch = client.watch(named("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    health.draining().await;
    let (outcome, elapsed) = server.stop().await;
    assert_eq!((outcome.cut, elapsed), (0, Duration::ZERO));
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let end = watch.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert_eq!(end.get_details_error_info().unwrap().reason, "SHUTTING_DOWN");
    assert_eq!(end.get_details_retry_info().unwrap().retry_delay, Some(refusal::RETRY_AFTER_SHUTDOWN));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_nobody_reads_holds_a_shutdown_for_a_moment_only() {
    let (health, server) = serving().await;
    let mut client = server.client_with_window(0).await;
    let request = grpc("/grpc.health.v1.Health/Watch", None, Body::from(&[0_u8; 5][..]));
    let _unread = client.send(request).await.unwrap();
    health.draining().await;
    let (outcome, elapsed) = server.stop().await;
    assert_eq!((outcome.cut, elapsed), (0, fuse::READ_GRACE));
}

/// A body that is never out of messages.
struct Always;

impl http_body::Body for Always {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        task::Poll::Ready(Some(Ok(data(b"more"))))
    }
}

#[tokio::test]
async fn a_drained_stream_that_always_has_a_message_ends_too() {
    let shutdown = CancellationToken::new();
    let layer = DrainLayer::new(shutdown.clone(), |path| path == "/drained");
    let service = layer.layer(service_fn(|_| async { Ok::<_, Infallible>(Response::new(Always)) }));
    let mut drained = service.clone().oneshot(grpc("/drained", None, Body::empty())).await.unwrap().into_body();
    let mut other = service.oneshot(grpc("/other", None, Body::empty())).await.unwrap().into_body();
    for _ in 0..100 {
        assert!(drained.frame().await.unwrap().unwrap().is_data());
    }
    shutdown.cancel();
    for _ in 0..16 {
        assert!(drained.frame().await.unwrap().unwrap().is_data());
    }
    let end = drained.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(Status::from_header_map(&end).unwrap().code(), Code::Unavailable);
    assert!(drained.frame().await.is_none());
    for _ in 0..100 {
        assert!(other.frame().await.unwrap().unwrap().is_data(), "a stream that is not drained was ended");
    }
}

#[tokio::test]
async fn it_all_works_over_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let health = Health::starting(INGEST, READS).await;
    let shutdown = CancellationToken::new();
    let router = router(Routes::new(health.service()));
    let server = tokio::spawn(serve(listener, router, Settings::default(), shutdown.clone(), BOUND));
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let mut watch = client.watch(named(READS[0])).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    health.serving().await;
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    health.draining().await;
    shutdown.cancel();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.await.unwrap(), Outcome { accepted: 2, cut: 0, refused: 0 });
}
