//! Calls: their bytes, their events, what is read or queued at a time, and the rows of a page.

use std::cell::Cell;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tasktally::api::proto::v1::{self, EventType};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};

use super::assert_bound;
use crate::common::calls::{Client, end_of, since};
use crate::common::events::{at, bare, created, now_ms, sid};
use crate::common::process::Launch;
use crate::common::{eventually, in_time, raw};

fn workspace() -> String {
    sid("WS", 1)
}

fn event(number: u64) -> v1::Event {
    bare(number, EventType::WorkspaceUpdated, &workspace(), now_ms())
}

fn request(events: impl IntoIterator<Item = u64>) -> v1::IngestEventsRequest {
    v1::IngestEventsRequest { events: events.into_iter().map(event).collect() }
}

/// A request of one event and exactly so many bytes: a group that the event's type does not carry is not looked at.
fn of_size(number: u64, bytes: usize) -> v1::IngestEventsRequest {
    let padded = |padding: usize| {
        let mut request = request([number]);
        request.events[0].worker = Some(v1::Worker { friendly_name: "x".repeat(padding), ..v1::Worker::default() });
        request
    };
    let request = (1..).map(|over| padded(bytes - over)).find(|request| request.encoded_len() <= bytes).unwrap();
    assert_eq!(request.encoded_len(), bytes, "lengths of lengths allow it");
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_so_many_bytes_also_after_decompression() {
    const MOST: usize = 65_536;
    let server = Launch::ephemeral().with(["--max-message-bytes", "64KiB"]).start();
    let client = Client::to(&server).await;
    let gzip = client.ingest().send_compressed(CompressionEncoding::Gzip);
    for (number, mut ingest) in [(10, client.ingest()), (20, gzip)] {
        let answer = ingest.ingest_events(of_size(number, MOST)).await.unwrap().into_inner();
        assert_eq!(answer.accepted, 1);
        let status = ingest.ingest_events(of_size(number + 1, MOST + 1)).await.unwrap_err();
        let bound = ("max_message_bytes", MOST);
        assert_bound(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", false, &[], bound);
        // In a stream what came before it is kept.
        let requests = tokio_stream::iter([of_size(number + 2, MOST), of_size(number + 3, MOST + 1)]);
        let mut answers = ingest.stream_events(requests).await.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().accepted, 1);
        assert_bound(&end_of(&mut answers).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", false, &[], bound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_holds_so_many_events_and_else_nothing_of_it_is_taken() {
    let server = Launch::ephemeral().with(["--max-events-per-call", "3"]).start();
    let client = Client::to(&server).await;
    client.accept(request(0..3).events).await;
    let bound = ("max_events_per_call", 3);
    let status = client.send(request(10..14).events).await.unwrap_err();
    assert_bound(&status, Code::InvalidArgument, "TOO_MANY_EVENTS", false, &["events"], bound);
    let requests = tokio_stream::iter([request(20..23), request(10..14)]);
    let mut answers = client.ingest().stream_events(requests).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().accepted, 3);
    let status = end_of(&mut answers).await;
    assert_bound(&status, Code::InvalidArgument, "TOO_MANY_EVENTS", false, &["events"], bound);
    client.accept(request(10..13).events).await;
}

/// A message that says how long it is, and does not come: its sender, and the call.
async fn announce(client: &Client) -> (mpsc::Sender<Bytes>, JoinHandle<Result<Bytes, Status>>) {
    let (sender, body) = raw::open_body();
    let mut head = BytesMut::new();
    head.put_u8(0);
    head.put_u32(65_536);
    sender.send(head.freeze()).await.unwrap();
    let channel = client.channel.clone();
    (sender, tokio::spawn(async move { raw::call(channel, raw::INGEST, None, body).await }))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_being_read_have_so_many_bytes_together() {
    let settings = ["--max-message-bytes", "64KiB", "--max-ingest-bytes", "64KiB"];
    let server = Launch::ephemeral().with(settings).start();
    let client = Client::to(&server).await;
    let number = Cell::new(100);
    let (sender, slow, status) = eventually("the bytes are taken", async || {
        let (sender, slow) = announce(&client).await;
        // Whoever comes first has the room: where that was one of these, the message was refused.
        while !slow.is_finished() {
            number.set(number.get() + 1);
            if let Err(status) = client.send(vec![event(number.get())]).await {
                return Some((sender, slow, status));
            }
        }
        None
    })
    .await;
    let bound = ("max_ingest_bytes", 65_536);
    assert_bound(&status, Code::ResourceExhausted, "OVERLOADED", true, &[], bound);
    // Questions go on, and a stream waits instead.
    client.statistics().list_workspaces(v1::ListWorkspacesRequest::default()).await.unwrap();
    let mut ingest = client.ingest();
    let waiting = tokio::spawn(async move {
        let mut answers = ingest.stream_events(tokio_stream::iter([request(1..4)])).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().accepted
    });
    sender.send(Bytes::from(of_size(7, 65_536).encode_to_vec())).await.unwrap();
    drop(sender);
    let answer = in_time("the slow call", slow).await.unwrap().unwrap();
    assert_eq!(v1::IngestEventsResponse::decode(answer).unwrap().accepted, 1);
    assert_eq!(in_time("the stream that waited", waiting).await.unwrap(), 3);
    client.accept(vec![event(number.get())]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_events_and_questions_wait() {
    let settings = ["--partitions", "1", "--max-events-per-call", "10", "--max-queued-events", "10"];
    let home = tempfile::tempdir().unwrap();
    let server = Launch::on(home.path()).with(settings).with(["--max-queued-questions", "1"]).start();
    let client = Client::to(&server).await;
    client.accept(vec![event(1)]).await;
    let number = Cell::new(0);
    let status = eventually("a call finds the queue full", async || {
        number.set(number.get() + 1_000);
        let calls = (0..64).map(|call| {
            let (client, first) = (client.clone(), number.get() + 10 * call);
            tokio::spawn(async move { client.send(request(first..first + 10).events).await })
        });
        let mut refused = None;
        for call in calls.collect::<Vec<_>>() {
            match call.await.unwrap() {
                Ok(answer) => assert_eq!(answer.accepted, 10),
                Err(status) => refused = Some(status),
            }
        }
        refused
    })
    .await;
    assert_bound(&status, Code::ResourceExhausted, "OVERLOADED", true, &[], ("max_queued_events", 10));
    // Of no channel that there is, so that each goes to the owner: nothing of it is kept for who asks next.
    let question =
        v1::GetCumulativeRequest { task_channel: "nobody's".into(), ..since(&workspace(), at(now_ms() - 600_000)) };
    let status = eventually("a question finds the queue full", async || {
        let questions = (0..256).map(|_| {
            let (client, request) = (client.clone(), question.clone());
            tokio::spawn(async move { client.cumulative(request).await })
        });
        let mut refused = None;
        for question in questions.collect::<Vec<_>>() {
            refused = question.await.unwrap().err().or(refused);
        }
        refused
    })
    .await;
    assert_bound(&status, Code::ResourceExhausted, "OVERLOADED", true, &[], ("max_queued_questions", 1));
    let status = eventually("a wish to forget finds the queue full", async || {
        let wishes = (0..256).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.forget(&sid("WS", 0xdead)).await })
        });
        let mut refused = None;
        for wish in wishes.collect::<Vec<_>>() {
            let status = wish.await.unwrap().unwrap_err();
            refused = Some(status).filter(|status| status.code() != Code::NotFound).or(refused);
        }
        refused
    })
    .await;
    assert_bound(&status, Code::ResourceExhausted, "OVERLOADED", true, &[], ("max_queued_questions", 1));
    // Nobody is left out for long: full calls are taken again.
    client.accept(request(1_000_000..1_000_010).events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_so_many_rows() {
    let server = Launch::ephemeral().with(["--max-page-size", "2"]).start();
    let client = Client::to(&server).await;
    for number in 1..=3 {
        client.accept(vec![bare(number, EventType::WorkspaceCreated, &sid("WS", number), now_ms())]).await;
    }
    for (page_size, rows) in [(1, 1), (2, 2), (3, 2), (0, 2)] {
        let request = v1::ListWorkspacesRequest { page_size, ..v1::ListWorkspacesRequest::default() };
        let page = client.statistics().list_workspaces(request).await.unwrap().into_inner();
        assert_eq!((page.workspaces.len(), page.next_page_token.is_empty()), (rows, false), "{page_size}");
    }
    let channels = ["voice", "chat", "mail"].into_iter().zip(10..);
    client.accept(channels.map(|(name, number)| created(number, &workspace(), now_ms(), name)).collect()).await;
    for (page_size, rows) in [(1, 1), (2, 2), (3, 2), (0, 2)] {
        let request = v1::ListTaskChannelsRequest { workspace_sid: workspace(), page_size, page_token: String::new() };
        let page = client.statistics().list_task_channels(request).await.unwrap().into_inner();
        assert_eq!((page.task_channels.len(), page.next_page_token.is_empty()), (rows, false), "{page_size}");
    }
}
