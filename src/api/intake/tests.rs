use std::sync::atomic::AtomicUsize;
use std::task::Waker;

use http_body_util::StreamBody;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;

const LIMITS: fn(usize) -> ApiLimits =
    |max_ingest_bytes| ApiLimits { max_ingest_bytes, max_message_bytes: 10_000, ..ApiLimits::default() };

fn framed(is_compressed: bool, bytes: usize) -> Vec<u8> {
    let length = u32::try_from(bytes).unwrap().to_be_bytes();
    [&[u8::from(is_compressed)][..], &length, &vec![7; bytes]].concat()
}

type Pieces = mpsc::UnboundedSender<Vec<u8>>;

struct Reading {
    pieces: Pieces,
    body: MeteredBody<Box<dyn Body<Data = Bytes, Error = StdError> + Send + Unpin>>,
    ticket: Ticket,
}

impl Reading {
    fn new(intake: &Intake, waits: bool) -> Reading {
        let (pieces, received) = mpsc::unbounded_channel::<Vec<u8>>();
        let frames = UnboundedReceiverStream::new(received).map(|piece| Ok::<_, StdError>(Frame::data(piece.into())));
        let (body, ticket) = (Box::new(StreamBody::new(frames)), Ticket::default());
        Reading { pieces, body: MeteredBody::new(body, intake.clone(), ticket.clone(), waits), ticket }
    }

    fn call(intake: &Intake) -> Reading {
        Reading::new(intake, false)
    }

    fn stream(intake: &Intake) -> Reading {
        Reading::new(intake, true)
    }

    fn send(&self, bytes: Vec<u8>) {
        self.pieces.send(bytes).unwrap();
    }

    /// What is passed on now: bytes, the refusal, or nothing yet.
    fn poll(&mut self) -> Poll<Result<Vec<u8>, Box<Status>>> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.body).poll_frame(&mut cx).map(|frame| match frame.expect("the body is open") {
            Ok(frame) => Ok(frame.into_data().unwrap().to_vec()),
            Err(error) => Err(error.downcast::<Status>().expect("a status")),
        })
    }

    fn passed(&mut self) -> Vec<u8> {
        match self.poll() {
            Poll::Ready(Ok(bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn waits(&mut self) -> bool {
        self.poll().is_pending()
    }

    fn refusal(&mut self) -> Box<Status> {
        match self.poll() {
            Poll::Ready(Err(status)) => status,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_call_is_charged_when_its_header_is_there_and_free_when_its_charge_is_dropped() {
    let intake = Intake::new(&LIMITS(40_000));
    let mut call = Reading::call(&intake);
    let message = framed(false, 9_000);
    call.send(message[..3].to_vec());
    call.send(message[3..6].to_vec());
    assert_eq!(call.passed(), message[..3]);
    assert_eq!(intake.free(), 40_000);
    assert_eq!(call.passed(), message[3..6]);
    assert_eq!(intake.free(), 31_000);
    call.send(message[6..].to_vec());
    assert_eq!(call.passed(), message[6..]);
    let mut charge = call.ticket.take().unwrap();
    charge.settle(5_000);
    assert_eq!(intake.free(), 35_000);
    charge.settle(1);
    assert_eq!(intake.free(), 40_000 - limits::CALL_BYTES, "no call is for nothing");
    drop(charge);
    assert_eq!(intake.free(), 40_000);
}

#[tokio::test]
async fn a_call_that_is_dropped_unread_leaves_nothing() {
    let intake = Intake::new(&LIMITS(40_000));
    let mut call = Reading::call(&intake);
    call.send(framed(false, 9_000)[..100].to_vec());
    call.passed();
    assert_eq!(intake.free(), 31_000);
    drop(call);
    assert_eq!(intake.free(), 40_000);
}

#[tokio::test]
async fn at_the_bound_a_call_is_refused_by_its_header_with_the_name_and_a_retry() {
    let intake = Intake::new(&LIMITS(20_000));
    let mut first = Reading::call(&intake);
    first.send(framed(false, 10_000));
    first.passed();
    let mut second = Reading::call(&intake);
    second.send(framed(false, 10_000)[..HEADER_BYTES].to_vec());
    assert_eq!(second.passed().len(), HEADER_BYTES, "exactly what is free");
    let mut third = Reading::call(&intake);
    third.send(framed(false, 1)[..HEADER_BYTES].to_vec());
    let status = third.refusal();
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("OVERLOADED", "max_ingest_bytes"));
    assert_eq!(info.metadata["limit_value"], "20000");
    assert!(details.retry_info().is_some());
}

#[tokio::test]
async fn what_is_compressed_is_charged_as_the_largest_message_until_it_is_read() {
    let intake = Intake::new(&LIMITS(40_000));
    let mut call = Reading::call(&intake);
    call.send(framed(true, 50));
    call.passed();
    assert_eq!(intake.free(), 30_000);
    let mut charge = call.ticket.take().unwrap();
    charge.settle(6_000);
    assert_eq!(intake.free(), 34_000);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_left_to_be_refused_as_such() {
    let intake = Intake::new(&LIMITS(40_000));
    let mut call = Reading::call(&intake);
    call.send(vec![0, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(call.passed().len(), HEADER_BYTES);
    assert_eq!(intake.free(), 40_000 - limits::CALL_BYTES);
}

#[tokio::test]
async fn a_stream_waits_and_passes_on_the_end_of_what_it_has_begun() {
    let intake = Intake::new(&LIMITS(20_000));
    let mut stream = Reading::stream(&intake);
    let (one, two) = (framed(false, 10_000), framed(false, 6_000));
    // The last byte of the first message comes with the beginning of the second.
    stream.send(one[..10_004].to_vec());
    stream.send([&one[10_004..], &two[..100]].concat());
    assert_eq!(stream.passed().len(), 10_004);
    assert_eq!(stream.passed(), one[10_004..], "streams have half of the room, and that is taken");
    assert!(stream.waits());
    let mut call = Reading::call(&intake);
    call.send(framed(false, 10_000));
    assert_eq!(call.passed().len(), 10_005, "the other half is for calls");
    drop(stream.ticket.take().unwrap());
    assert_eq!(stream.passed(), two[..100]);
    stream.send(two[100..].to_vec());
    assert_eq!(stream.passed(), two[100..]);
    assert_eq!(intake.free(), 4_000);
}

#[tokio::test]
async fn a_large_call_leaves_room_for_small_ones() {
    let most = 16 * limits::LARGE_CALL_BYTES;
    let large = 2 * limits::LARGE_CALL_BYTES;
    let intake = Intake::new(&ApiLimits { max_ingest_bytes: most, ..ApiLimits::default() });
    let mut calls = Vec::new();
    for _ in 0..most / large - 1 {
        let mut call = Reading::call(&intake);
        call.send(framed(false, large));
        call.passed();
        calls.push(call);
    }
    let mut call = Reading::call(&intake);
    call.send(framed(false, large));
    assert_eq!(call.refusal().code(), Code::ResourceExhausted, "an eighth is left");
    for _ in 0..2 {
        let mut call = Reading::call(&intake);
        call.send(framed(false, limits::LARGE_CALL_BYTES));
        call.passed();
        calls.push(call);
    }
    assert_eq!(intake.free(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_end_gives_its_room_back() {
    let intake = Intake::new(&LIMITS(20_000));
    let mut stream = Reading::stream(&intake);
    stream.send(framed(false, 100));
    assert_eq!(stream.passed().len(), 105);
    assert!(stream.waits());
    tokio::time::advance(2 * limits::REQUEST_READ_TIMEOUT).await;
    assert!(stream.waits(), "between messages a stream may be silent");
    stream.send(framed(false, 100)[..50].to_vec());
    assert_eq!(stream.passed().len(), 50);
    assert!(stream.waits());
    tokio::time::advance(limits::REQUEST_READ_TIMEOUT + std::time::Duration::from_millis(2)).await;
    let status = stream.refusal();
    assert_eq!(status.get_details_error_info().unwrap().reason, "REQUEST_TOO_SLOW");
    drop(stream);
    assert_eq!(intake.free(), 20_000);
}

#[test]
fn messages_are_found_wherever_the_data_are_cut() {
    let messages = [(false, 0), (true, 3), (false, 1), (false, 700), (true, 0), (false, 2)];
    let data: Vec<u8> = messages.iter().flat_map(|(compressed, bytes)| framed(*compressed, *bytes)).collect();
    for piece in 1..data.len() {
        let (mut framing, found) = (Framing::default(), AtomicUsize::new(0));
        for mut piece in data.chunks(piece) {
            while let Some(message) = framing.next_message(piece) {
                let number = found.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                assert_eq!((message.is_compressed, message.bytes), messages[number]);
                piece = &piece[message.header_end..];
            }
        }
        assert_eq!(found.into_inner(), messages.len(), "in pieces of {piece}");
        assert!(framing.is_between_messages());
    }
}

#[test]
fn strangers_never_take_what_those_have_who_are_known() {
    let intake = Intake::new(&LIMITS(100_000));
    let mut strangers: Vec<Charge> = (0..5).map(|_| intake.admit(10_000, true).unwrap()).collect();
    assert!(intake.admit(10_000, true).is_err(), "half of it is theirs");
    let mut known = intake.admit(10_000, false).unwrap();
    known.add(intake.admit(5_000, false).unwrap());
    assert_eq!((known.bytes(), intake.free()), (15_000, 35_000));
    strangers[0].is_known();
    assert!(intake.admit(10_000, true).is_ok(), "one whose signature is good is no stranger any more");
    drop((strangers, known));
    assert_eq!(intake.free(), 100_000);
}
