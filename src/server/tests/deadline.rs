use super::*;
use crate::server::deadline::DeadlineLayer;
use std::{convert::Infallible, sync::atomic::AtomicBool};
use tower::{Service, ServiceExt, service_fn};

#[tokio::test(start_paused = true)]
async fn a_hanging_call_ends_at_its_deadline_and_its_handler_is_dropped() {
    let (router, mut begun, gone) = hanging();
    let server = Server::new(router);
    let mut client = server.client().await;
    let start = Instant::now();
    let answer = read(client.call(Some("1500m")).await.unwrap()).await.unwrap();
    assert!(answer.is_trailers_only(), "{answer:?}");
    assert_eq!(answer.status().code(), tonic::Code::DeadlineExceeded);
    assert_eq!(answer.reason(), "DEADLINE_EXCEEDED");
    assert_eq!(answer.status().get_details_error_info().unwrap().metadata["limit"], "1s 500ms");
    assert_eq!(start.elapsed().as_millis(), 1500);
    begun.recv().await.unwrap();
    gone.await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_deadline_between_two_messages() {
    let (held, gone) = held();
    let held = once(held);
    let server = Server::new(answering(move |_| {
        let held = held.lock().unwrap().take();
        let never = tokio_stream::pending().map(move |frame: Frame<Bytes>| {
            let _held = &held;
            frame
        });
        async move { streaming(tokio_stream::iter([data(b"first")]).chain(never)) }
    }));
    let mut client = server.client().await;
    let start = Instant::now();
    let answer = read(client.call(Some("3S")).await.unwrap()).await.unwrap();
    assert_eq!(answer.data, ["first"]);
    assert_eq!(answer.status().code(), tonic::Code::DeadlineExceeded);
    assert_eq!(answer.reason(), "DEADLINE_EXCEEDED");
    assert_eq!(start.elapsed().as_millis(), 3000);
    gone.await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_always_has_a_message_ends_at_its_deadline() {
    let server = Server::new(answering(|_| async {
        let ticks = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(Duration::from_millis(100)));
        streaming(ticks.map(|_| data(b"tick")))
    }));
    let mut client = server.client().await;
    let answer = read(client.call(Some("950m")).await.unwrap()).await.unwrap();
    assert_eq!((answer.data.len(), answer.status().code()), (10, tonic::Code::DeadlineExceeded));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_is_reset_soon_after_its_deadline() {
    let (router, gone) = endless();
    let server = Server::new(router);
    let mut client = server.client_with_window(64 << 10).await;
    let start = Instant::now();
    let response = client.call(Some("1S")).await.unwrap();
    gone.await;
    assert_eq!(start.elapsed(), Duration::from_secs(1) + fuse::READ_GRACE);
    let error = read(response).await.unwrap_err();
    // h2's words for RST_STREAM with CANCEL.
    let reset = std::error::Error::source(&error).unwrap().to_string();
    assert!(reset.contains("stream no longer needed"), "{reset}");
    // The connection is none the worse.
    assert!(client.get("/nothing").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_left_alone() {
    let server = Server::new(answering(|_| async {
        tokio::time::sleep(Duration::from_millis(999)).await;
        unary()
    }));
    let answer = read(server.client().await.call(Some("1S")).await.unwrap()).await.unwrap();
    assert_eq!((answer.data.as_slice(), answer.status().code()), (&[Bytes::from("answer")][..], tonic::Code::Ok));
}

/// The layer without a connection, to be polled when the test says.
async fn bounded(response: fn() -> Response<Body>) -> Result<Answer, tower::BoxError> {
    let service = DeadlineLayer::new(None).layer(service_fn(move |_| async move { Ok::<_, Infallible>(response()) }));
    let answer = service.oneshot(grpc("/", Some("1S"), Body::empty())).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    read(answer).await
}

#[tokio::test(start_paused = true)]
async fn a_unary_answer_that_was_ready_is_not_cut() {
    let answer = bounded(unary).await.unwrap();
    assert_eq!((answer.data.as_slice(), answer.status().code()), (&[Bytes::from("answer")][..], tonic::Code::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_second_message_that_is_late_is_cut() {
    let answer = bounded(|| streaming(tokio_stream::iter([data(b"one"), data(b"two"), ok()]))).await.unwrap();
    assert_eq!(
        (answer.data.as_slice(), answer.status().code()),
        (&[Bytes::from("one")][..], tonic::Code::DeadlineExceeded)
    );
}

#[tokio::test(start_paused = true)]
async fn work_whose_deadline_passed_before_it_began_is_not_begun() {
    // Timers are rounded up to a whole millisecond; the deadline must not be.
    tokio::time::advance(Duration::from_micros(500)).await;
    let has_begun = Arc::new(AtomicBool::new(false));
    let begin = has_begun.clone();
    let service = service_fn(move |_| {
        let begin = begin.clone();
        async move {
            begin.store(true, Ordering::Relaxed);
            Ok::<_, Infallible>(unary())
        }
    });
    let mut service = DeadlineLayer::new(None).layer(service);
    let call = service.call(grpc("/", Some("1S"), Body::empty()));
    tokio::time::advance(Duration::from_secs(1)).await;
    let answer = read(call.await.unwrap()).await.unwrap();
    assert_eq!(answer.status().code(), tonic::Code::DeadlineExceeded);
    assert!(!has_begun.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_nothing_has_passed() {
    let (router, mut begun, _gone) = hanging();
    let server = Server::new(router);
    let answer = read(server.client().await.call(Some("0n")).await.unwrap()).await.unwrap();
    assert_eq!(answer.status().code(), tonic::Code::DeadlineExceeded);
    assert!(begun.try_recv().is_err(), "the handler was begun");
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_refused_before_the_handler() {
    let (router, mut begun, _gone) = hanging();
    let server = Server::new(router);
    let answer = read(server.client().await.call(Some("10s")).await.unwrap()).await.unwrap();
    assert!(answer.is_trailers_only(), "{answer:?}");
    assert_eq!(answer.status().code(), tonic::Code::InvalidArgument);
    assert_eq!(answer.reason(), "MALFORMED_TIMEOUT");
    assert_eq!(answer.status().get_details_error_info().unwrap().metadata["value"], "10s");
    let bad = answer.status().get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations.iter().map(|bad| bad.field.as_str()).collect::<Vec<_>>(), ["grpc-timeout"]);
    assert!(begun.try_recv().is_err(), "the handler was begun");
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_limit_holds_with_and_without_a_callers() {
    for (asked, ends_after_ms) in [(None, 5000), (Some("1S"), 1000), (Some("1H"), 5000), (Some("99999999H"), 5000)] {
        let settings = Settings { longest_call: Some(Duration::from_secs(5)), ..Settings::default() };
        let server = Server::with(hanging().0, settings);
        let mut client = server.client().await;
        let start = Instant::now();
        let answer = read(client.call(asked).await.unwrap()).await.unwrap();
        assert_eq!(answer.status().code(), tonic::Code::DeadlineExceeded, "{asked:?}");
        assert_eq!(start.elapsed().as_millis(), ends_after_ms, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_beyond_every_clock_is_none() {
    let server = Server::new(hanging().0);
    let mut client = server.client().await;
    let hour = timeout(Duration::from_secs(3600), client.call(Some("99999999H"))).await;
    assert!(hour.is_err(), "{hour:?}");
}

#[tokio::test(start_paused = true)]
async fn plain_http_has_no_grpc_deadline() {
    let server = Server::new(answering(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Response::new(Body::from("plain"))
    }));
    let request = Request::get("http://test/plain").header("grpc-timeout", "1S").body(Body::empty()).unwrap();
    let response = server.client().await.send(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(read(response).await.unwrap().data, ["plain"]);
}
