//! How the server leaves: what callers hear, what is finished, how long it takes whatever clients do.

mod common;

use std::time::{Duration, Instant};

use common::calls::{Client, end_of, next, quiet_watch};
use common::details::assert_told;
use common::events::{created, now_ms, sid, worker};
use common::process::{Launch, Server};
use common::{eventually, eventually_blocking, in_time, raw, stalled};
use prost::Message;
use tasktally::api::proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

fn workspace() -> String {
    sid("WS", 1)
}

/// A server on a directory of its own, with a workspace and this bound on its shutdown.
async fn scene(bound: &str) -> (tempfile::TempDir, Server, Client) {
    let data_dir = tempfile::tempdir().unwrap();
    let server = Launch::on(data_dir.path()).with(["--shutdown-timeout", bound]).start();
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    (data_dir, server, client)
}

/// A unary ingest of one event of which half has been sent, and the server knows of it.
async fn half_sent(client: &Client, number: u64) -> (mpsc::Sender<bytes::Bytes>, bytes::Bytes, Call) {
    let events = vec![created(number, &workspace(), now_ms(), "voice")];
    let mut first = raw::framed(&v1::IngestEventsRequest { events }.encode_to_vec(), false);
    let rest = first.split_off(first.len() / 2);
    let (pieces, body) = raw::open_body();
    let call = tokio::spawn(raw::call(client.channel.clone(), raw::INGEST, None, body));
    pieces.send(first).await.unwrap();
    // A connection's frames are read in their order: when this is answered, the call before it has begun. It was
    // written before, once its first piece has been taken out of the channel.
    eventually("the first half is taken", async || (pieces.capacity() == pieces.max_capacity()).then_some(())).await;
    for _ in 0..3 {
        client.realtime(&workspace(), "").await.unwrap();
    }
    (pieces, rest, call)
}

type Call = tokio::task::JoinHandle<Result<bytes::Bytes, tonic::Status>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_watches_with_unavailable_after_health_says_not_serving() {
    for signal in ["TERM", "INT"] {
        let (_data_dir, mut server, client) = scene("20s").await;
        let mut watches = vec![client.watch(quiet_watch(&workspace())).await.unwrap()];
        watches.push(Client::to(&server).await.watch(quiet_watch(&workspace())).await.unwrap());
        for watch in &mut watches {
            next(watch).await;
        }
        let mut told = Vec::new();
        for service in ["", "tasktally.v1.IngestService", "tasktally.v1.StatisticsService", "readiness"] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let mut health = Client::to(&server).await.health().watch(request).await.unwrap().into_inner();
            assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving, "{service:?}");
            told.push(health);
        }
        server.signal(signal);
        for health in &mut told {
            let message = in_time("health changes", health.message()).await.unwrap().unwrap();
            assert_eq!(message.status(), ServingStatus::NotServing);
            assert_told(&end_of(health).await, Code::Unavailable, "SHUTTING_DOWN", true, &[]);
        }
        for watch in &mut watches {
            let told = assert_told(&end_of(watch).await, Code::Unavailable, "SHUTTING_DOWN", true, &[]);
            assert!(told.retry_after.is_some_and(|delay| !delay.is_zero()), "{told:?}");
        }
        assert_eq!(server.wait().code(), Some(0), "{signal}; log:\n{}", server.log.text());
        server.logs("stopped took_ms=");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn liveness_stays_serving_and_calls_in_flight_finish() {
    let (data_dir, mut server, client) = scene("20s").await;
    let request = HealthCheckRequest { service: "liveness".to_owned() };
    let mut liveness = client.health().watch(request).await.unwrap().into_inner();
    assert_eq!(liveness.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut watch = client.watch(quiet_watch(&workspace())).await.unwrap();
    next(&mut watch).await;
    let (pieces, rest, call) = half_sent(&client, 2).await;
    server.signal("TERM");
    // The watch has ended, so the shutdown has begun; the call is there still.
    assert_eq!(end_of(&mut watch).await.code(), Code::Unavailable);
    let ended = loop {
        match in_time("the end of liveness", liveness.message()).await {
            Ok(message) => assert_eq!(message.unwrap().status(), ServingStatus::Serving),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(server.has_ended(), None);
    pieces.send(rest).await.unwrap();
    drop(pieces);
    let answer = in_time("the answer to the call in flight", call).await.unwrap().unwrap();
    let answer = v1::IngestEventsResponse::decode(answer).unwrap();
    assert_eq!((answer.accepted, answer.duplicates), (1, 0));
    assert_eq!(server.wait().code(), Some(0), "log:\n{}", server.log.text());
    // What it answered is there.
    let server = Launch::on(data_dir.path()).start();
    assert_eq!(Client::to(&server).await.realtime(&workspace(), "").await.unwrap().total_tasks, 2);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_unavailable_after_the_answers_to_all_that_was_read() {
    let (_data_dir, mut server, client) = scene("20s").await;
    let (requests, there) = mpsc::channel(8);
    let mut answers = client.ingest().stream_events(ReceiverStream::new(there)).await.unwrap().into_inner();
    for number in 2..5 {
        let events = vec![created(number, &workspace(), now_ms(), "voice")];
        requests.send(v1::IngestEventsRequest { events }).await.unwrap();
    }
    for _ in 2..5 {
        assert_eq!(answers.message().await.unwrap().unwrap().accepted, 1);
    }
    server.signal("TERM");
    assert_told(&end_of(&mut answers).await, Code::Unavailable, "SHUTTING_DOWN", true, &[]);
    drop(requests);
    assert_eq!(server.wait().code(), Some(0), "log:\n{}", server.log.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_or_never_finish_do_not_hold_a_shutdown_beyond_its_bound() {
    let (data_dir, mut server, client) = scene("3s").await;
    // Messages of some 30 KB, so that a few of them fill every buffer on the way.
    client.accept((10..510).map(|number| worker(number, &workspace(), now_ms(), number)).collect()).await;
    let (deaf_client, deaf) = stalled::client(&server).await;
    let interval = Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 });
    let request = v1::WatchRealtimeRequest { heartbeat_interval: interval, ..quiet_watch(&workspace()) };
    let mut unread = deaf_client.watch(request).await.unwrap();
    next(&mut unread).await;
    deaf.set();
    let (_pieces, _rest, call) = half_sent(&client, 2).await;
    let _silent = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    for number in 1_000..1_020 {
        client.accept(vec![created(number, &workspace(), now_ms(), "voice")]).await;
    }
    let started = Instant::now();
    server.signal("TERM");
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "log:\n{}", server.log.text());
    // The bound is 3 s; the rest is room for a loaded machine.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}; log:\n{}", started.elapsed(), server.log.text());
    assert!(call.await.unwrap().is_err(), "half a request has no answer");
    server.logs("wrote a checkpoint");
    let server = Launch::on(data_dir.path()).start();
    server.logs("replayed=0");
    assert_eq!(Client::to(&server).await.realtime(&workspace(), "").await.unwrap().total_tasks, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_exits_at_once() {
    let (data_dir, mut server, client) = scene("1h").await;
    let mut watch = client.watch(quiet_watch(&workspace())).await.unwrap();
    next(&mut watch).await;
    let (_pieces, _rest, _call) = half_sent(&client, 2).await;
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(end_of(&mut watch).await.code(), Code::Unavailable);
    assert_eq!(server.has_ended(), None, "the call in flight holds it");
    // One that comes at once is the same by another way; another, later on, is not.
    eventually_blocking("a second signal is another one", || {
        server.signal("TERM");
        server.has_ended()
    });
    assert!(begun.elapsed() >= Duration::from_millis(500), "the first signal came twice");
    assert_eq!(server.wait().code(), Some(130), "log:\n{}", server.log.text());
    let server = Launch::on(data_dir.path()).start();
    assert_eq!(Client::to(&server).await.realtime(&workspace(), "").await.unwrap().total_tasks, 1);
}
