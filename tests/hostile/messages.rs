//! Messages that are not what they say.

use prost::Message;
use prost_types::Timestamp;
use tasktally::api::proto::v1::{self, EventType, RejectionReason};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};

use crate::common::calls::Client;
use crate::common::details::told;
use crate::common::events::{bare, created, now_ms, sid, task};
use crate::common::in_time;
use crate::common::process::Launch;
use crate::common::raw::{INGEST, REALTIME, call, framed, whole_body};
use crate::{beginning, ending};

fn workspace() -> String {
    sid("WS", 1)
}

/// A field of bytes, as protobuf writes it.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend(bytes);
    out
}

async fn refusal(client: &Client, path: &str, body: bytes::Bytes) -> Status {
    let outcome = in_time("an answer to a hostile message", call(client.channel.clone(), path, None, whole_body(body)));
    outcome.await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn length_prefixes_that_lie_fail_their_call_alone() {
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    let client = Client::to(&server).await;
    let prefix = |length: u32, compressed: u8, rest: &[u8]| {
        bytes::Bytes::from([&[compressed][..], &length.to_be_bytes(), rest].concat())
    };
    for path in [INGEST, REALTIME] {
        for (what, body) in [
            ("four gigabytes", prefix(u32::MAX, 0, &[0; 100])),
            ("a byte above the limit", prefix((4 << 20) + 1, 0, &[0; 100])),
        ] {
            let status = refusal(&client, path, body).await;
            assert_eq!(
                (status.code(), told(&status).reason.as_str()),
                (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
                "{what}"
            );
        }
        for (what, body) in [
            ("more than comes", prefix(1000, 0, &[0; 100])),
            ("half a prefix", bytes::Bytes::from_static(&[0, 0, 0])),
            ("nothing at all", bytes::Bytes::new()),
            ("less than comes", prefix(1, 0, &[0xff; 100])),
            ("compressed and is not", prefix(10, 1, &[7; 10])),
            ("a flag that does not exist", prefix(10, 9, &[7; 10])),
        ] {
            let status = refusal(&client, path, body).await;
            let is_expected = matches!(status.code(), Code::InvalidArgument | Code::Internal | Code::Unimplemented);
            assert!(is_expected && !status.message().contains("no answer"), "{path} {what}: {status:?}");
        }
    }
    drop(client);
    ending(server, begun, "lying prefixes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compression_bomb_costs_what_a_message_may() {
    const BOMBS: usize = 8;
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    let client = Client::to(&server).await;
    // 64 MiB of one letter, which gzip turns into some 60 KiB.
    let bomb = v1::Event { sid: "x".repeat(64 << 20), ..bare(1, EventType::TaskCreated, &workspace(), now_ms()) };
    let before = server.resident_bytes();
    let calls = (0..BOMBS).map(|_| {
        let mut ingest = client.ingest().send_compressed(CompressionEncoding::Gzip);
        let request = v1::IngestEventsRequest { events: vec![bomb.clone()] };
        tokio::spawn(async move { ingest.ingest_events(request).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let status = in_time("an answer to a bomb", call).await.unwrap().unwrap_err();
        assert_eq!((status.code(), told(&status).reason.as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes for {BOMBS} bombs");
    drop(client);
    ending(server, begun, "compression bombs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_great_depth_or_repetition_are_read_or_refused() {
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    let client = Client::to(&server).await;
    let good = created(1, &workspace(), now_ms(), "voice").encode_to_vec();

    // Groups within groups, in a field that nobody knows: a million deep, opened and never closed, then closed.
    let mut open = Vec::new();
    prost::encoding::encode_key(100, prost::encoding::WireType::StartGroup, &mut open);
    let mut close = Vec::new();
    prost::encoding::encode_key(100, prost::encoding::WireType::EndGroup, &mut close);
    for groups in [open.repeat(1_000_000), [open.repeat(1_000_000), close.repeat(1_000_000)].concat()] {
        for message in [field(1, &[&good[..], &groups].concat()), groups.clone()] {
            let message = &message[..message.len().min((4 << 20) - 1)];
            for path in [INGEST, REALTIME] {
                let status = refusal(&client, path, framed(message, false)).await;
                assert_eq!(told(&status).reason, "MALFORMED_MESSAGE", "{path}: {status:?}");
            }
        }
    }

    // The same task a hundred thousand times within one event: the last one wins, as protobuf has it.
    let now = now_ms();
    let mut event = bare(2, EventType::TaskCreated, &workspace(), now).encode_to_vec();
    let task = task(2, v1::TaskAssignmentStatus::Pending, now, "voice").encode_to_vec();
    let number = v1::Event { task: Some(v1::Task::default()), ..v1::Event::default() }.encode_to_vec()[0] >> 3;
    for _ in 0..30_000 {
        event.extend(field(u32::from(number), &task));
    }
    let body = framed(&field(1, &event), false);
    let answer = in_time("an answer", call(client.channel.clone(), INGEST, None, whole_body(body))).await.unwrap();
    assert_eq!(v1::IngestEventsResponse::decode(answer).unwrap().accepted, 1);

    // A megabyte that nobody knows, beside what is known.
    let unknown = [bare(3, EventType::WorkspaceUpdated, &workspace(), now).encode_to_vec(), field(999, &[7; 1 << 20])];
    let body = framed(&[field(1, &unknown.concat()), field(500, b"?")].concat(), false);
    let answer = in_time("an answer", call(client.channel.clone(), INGEST, None, whole_body(body))).await.unwrap();
    assert_eq!(v1::IngestEventsResponse::decode(answer).unwrap().accepted, 1);

    // Text that is not UTF-8, in each place for text.
    let status = refusal(&client, REALTIME, framed(&field(1, b"WS\xff\xfe"), false)).await;
    assert_eq!(told(&status).reason, "MALFORMED_MESSAGE", "{status:?}");
    let spoiled = [good.clone(), field(1, b"EV\xc3\x28")].concat();
    let status = refusal(&client, INGEST, framed(&field(1, &spoiled), false)).await;
    assert_eq!(told(&status).reason, "MALFORMED_MESSAGE", "{status:?}");
    drop(client);
    ending(server, begun, "deep and repeated messages").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_values_at_the_extremes_are_refused_by_name() {
    let server = Launch::ephemeral().start();
    let begun = beginning(&server).await;
    let client = Client::to(&server).await;
    client.accept(vec![bare(1, EventType::WorkspaceCreated, &workspace(), now_ms())]).await;
    let seconds =
        [i64::MIN, i64::MIN + 1, -62_135_596_801, -62_135_596_800, -1, 253_402_300_799, 253_402_300_800, i64::MAX];
    let nanos = [i32::MIN, -1, 0, 999_999_999, 1_000_000_000, i32::MAX];
    let mut extremes = Vec::new();
    for seconds in seconds {
        extremes.extend(nanos.map(|nanos| Timestamp { seconds, nanos }));
    }
    for time in &extremes {
        let mut event = created(9, &workspace(), now_ms(), "voice");
        event.timestamp = Some(*time);
        let mut task = created(9, &workspace(), now_ms(), "voice");
        task.task.as_mut().unwrap().task_queue_entered_date = Some(*time);
        let answer = in_time("an answer", client.send(vec![event])).await.unwrap();
        let reason = answer.rejected[0].reason();
        use RejectionReason::{MalformedField, TooNew, TooOld};
        assert!(matches!(reason, MalformedField | TooOld | TooNew), "{time:?}: {reason:?}");
        // A date within a task says nothing about now: it is malformed or it is taken.
        let answer = in_time("an answer", client.send(vec![task])).await.unwrap();
        assert!(answer.rejected.iter().all(|rejected| rejected.reason() == MalformedField), "{time:?}: {answer:?}");
        for (start_time, end_time) in [(Some(*time), None), (None, Some(*time)), (Some(*time), Some(*time))] {
            let request = v1::GetCumulativeRequest {
                workspace_sid: workspace(),
                start_time,
                end_time,
                ..v1::GetCumulativeRequest::default()
            };
            if let Err(status) = in_time("an answer", client.cumulative(request)).await {
                assert!(matches!(status.code(), Code::InvalidArgument | Code::OutOfRange), "{time:?}: {status:?}");
                told(&status);
            }
        }
        let interval = prost_types::Duration { seconds: time.seconds, nanos: time.nanos };
        for (min_interval, heartbeat_interval) in [(Some(interval), None), (None, Some(interval))] {
            let workspace_sid = workspace();
            let request =
                v1::WatchRealtimeRequest { workspace_sid, min_interval, heartbeat_interval, ..Default::default() };
            let status = in_time("an answer", client.watch(request)).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{interval:?}");
        }
    }
    drop(client);
    ending(server, begun, "extreme clock values").await;
}
