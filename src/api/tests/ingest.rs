use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;
use crate::api::codec::Encoded;
use crate::api::ingest::{Answers, Counter};
use crate::api::intake::Ticket;
use crate::pipeline::Caller;

type Request = Result<Encoded, Status>;

/// Requests that the test puts in one by one.
struct Requests(mpsc::UnboundedReceiver<Request>);

impl Stream for Requests {
    type Item = Request;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        self.0.poll_recv(cx)
    }
}

fn stream(scene: &Scene) -> (mpsc::UnboundedSender<Request>, Answers<Requests>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let answers = Answers::new(
        Arc::new(Counter::new(scene.api.clone())),
        Caller::everything(),
        Ticket::default(),
        Requests(receiver),
    );
    (sender, answers)
}

fn request(numbers: impl IntoIterator<Item = usize>) -> v1::IngestEventsRequest {
    v1::IngestEventsRequest { events: numbers.into_iter().map(created).collect() }
}

fn sent(numbers: impl IntoIterator<Item = usize>) -> Encoded {
    Encoded::new(&request(numbers))
}

#[tokio::test]
async fn each_request_has_its_answer_in_order() {
    let mut scene = Scene::new();
    let requests: Vec<_> = (0..100).map(|number| request(number..2 * number)).collect();
    let answers = scene.ingest.stream_events(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 100);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(usize::try_from(answer.accepted + answer.duplicates).unwrap(), number);
    }
    assert_eq!(answers.iter().map(|answer| answer.accepted).sum::<i64>(), 197);
    assert!(answers.windows(2).all(|pair| pair[0].revision <= pair[1].revision));
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_next_request() {
    let scene = Scene::new();
    let (sender, mut answers) = stream(&scene);
    for number in 0..5 {
        sender.send(Ok(sent([number]))).unwrap();
        let answer = timeout(Duration::from_secs(5), answers.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.accepted, 1);
    }
    drop(sender);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn what_fails_one_request_ends_the_stream_after_all_earlier_answers() {
    let scene = Scene::with(ApiLimits { max_events: 2, ..ApiLimits::default() });
    for (bad, code, reason) in [
        (Ok(sent(0..3)), Code::InvalidArgument, "TOO_MANY_EVENTS"),
        (Err(Status::out_of_range("length")), Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (Err(Status::internal("Unexpected EOF")), Code::InvalidArgument, "MALFORMED_MESSAGE"),
    ] {
        let (sender, mut answers) = stream(&scene);
        for number in 0..20 {
            sender.send(Ok(sent([number]))).unwrap();
        }
        sender.send(bad).unwrap();
        sender.send(Ok(sent([99]))).unwrap();
        for _ in 0..20 {
            answers.next().await.unwrap().unwrap();
        }
        let status = answers.next().await.unwrap().unwrap_err();
        assert_eq!((status.code(), status.get_details_error_info().unwrap().reason.as_str()), (code, reason));
        assert!(answers.next().await.is_none());
    }
    let mut scene = scene;
    assert_eq!(scene.send(vec![created(99)]).await.accepted, 1, "what came after the bad one was not taken");
}

#[tokio::test]
async fn over_the_wire_a_message_too_large_ends_the_stream_after_all_earlier_answers() {
    let mut scene = Scene::with(ApiLimits { max_message_bytes: 2000, ..ApiLimits::default() });
    let requests = [request([1]), request([2]), request(0..50), request([3])];
    let mut answers = scene.ingest.stream_events(tokio_stream::iter(requests)).await.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap().accepted, 1);
    assert_eq!(answers.next().await.unwrap().unwrap().accepted, 1);
    let status = answers.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_error_info().unwrap().reason, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn shutdown_ends_the_stream_after_the_answers_to_what_was_read() {
    let scene = Scene::new();
    let (sender, mut answers) = stream(&scene);
    sender.send(Ok(sent([1]))).unwrap();
    answers.next().await.unwrap().unwrap();
    // Read, but its answer not yet taken.
    sender.send(Ok(sent([2]))).unwrap();
    let waiting = tokio::spawn(async move { (answers.next().await, answers.next().await, answers.next().await) });
    sleep(Duration::from_millis(50)).await;
    scene.api.stop.cancel();
    let (answer, end, nothing) = timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert_eq!(answer.unwrap().unwrap().accepted, 1);
    let status = end.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
    assert!(nothing.is_none());
}

#[tokio::test]
async fn no_more_than_the_bound_is_read_ahead() {
    let scene = Scene::with(ApiLimits { max_requests_in_flight: 3, ..ApiLimits::default() });
    let (sender, receiver) = mpsc::unbounded_channel();
    for number in 0..50 {
        sender.send(Ok(sent([number]))).unwrap();
    }
    let mut answers = Answers::new(
        Arc::new(Counter::new(scene.api.clone())),
        Caller::everything(),
        Ticket::default(),
        Requests(receiver),
    );
    answers.next().await.unwrap().unwrap();
    assert_eq!(answers.in_flight_now(), 2);
    // Nothing is read while nobody takes the answers.
    sleep(Duration::from_millis(50)).await;
    assert_eq!(answers.in_flight_now(), 2);
    drop(sender);
    assert_eq!(answers.collect::<Vec<_>>().await.len(), 49);
}

#[tokio::test]
async fn a_caller_who_goes_takes_the_stream_along() {
    let scene = Scene::new();
    let (sender, mut answers) = stream(&scene);
    sender.send(Ok(sent([1]))).unwrap();
    answers.next().await.unwrap().unwrap();
    drop(answers);
    assert!(sender.is_closed());
}
