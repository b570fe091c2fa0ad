//! Each error of the contract through the wire, with its details.

mod common;

use bytes::Bytes;
use common::calls::{Client, end_of, since};
use common::details::{assert_told, told};
use common::events::{at, bare, created, now_ms, sid};
use common::process::{Launch, Server};
use common::{in_time, raw};
use prost::Message;
use prost_types::Timestamp;
use tasktally::api::proto::v1::{self, EventType};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};

const LIMIT_BYTES: usize = 4 << 20;

fn workspace() -> String {
    sid("WS", 1)
}

async fn scene() -> (Server, Client) {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    (server, client)
}

fn asked(workspace_sid: &str) -> v1::GetCumulativeRequest {
    v1::GetCumulativeRequest { workspace_sid: workspace_sid.to_owned(), ..v1::GetCumulativeRequest::default() }
}

/// The same question of both RPCs that know intervals; they must be refused alike.
async fn refused(client: &Client, request: v1::GetCumulativeRequest) -> Status {
    let v1::GetCumulativeRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time } =
        request.clone();
    let both =
        v1::GetStatisticsRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time };
    let one = client.cumulative(request).await.unwrap_err();
    let other = client.statistics().get_statistics(both).await.unwrap_err();
    assert_eq!(
        (one.code(), told(&one).reason, told(&one).fields),
        (other.code(), told(&other).reason, told(&other).fields)
    );
    one
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_names_every_bad_field() {
    let (_server, client) = scene().await;
    let now = now_ms();
    let bad_time = Some(Timestamp { seconds: 0, nanos: -1 });
    let base = || asked(&workspace());
    let cases = [
        (asked(""), vec!["workspace_sid"]),
        (asked("WS12"), vec!["workspace_sid"]),
        (asked(&sid("AC", 1)), vec!["workspace_sid"]),
        (v1::GetCumulativeRequest { minutes: Some(0), ..base() }, vec!["minutes"]),
        (v1::GetCumulativeRequest { minutes: Some(43_201), ..base() }, vec!["minutes"]),
        (v1::GetCumulativeRequest { minutes: Some(-1), ..base() }, vec!["minutes"]),
        (v1::GetCumulativeRequest { minutes: Some(5), start_time: Some(at(now)), ..base() }, vec!["minutes"]),
        (v1::GetCumulativeRequest { minutes: Some(5), end_time: Some(at(now)), ..base() }, vec!["minutes"]),
        (v1::GetCumulativeRequest { start_time: bad_time, ..base() }, vec!["start_time"]),
        (v1::GetCumulativeRequest { end_time: bad_time, ..base() }, vec!["end_time"]),
        (
            v1::GetCumulativeRequest { start_time: Some(at(now)), end_time: Some(at(now - 2_000)), ..base() },
            vec!["end_time"],
        ),
        (v1::GetCumulativeRequest { start_time: Some(at(now + 3_600_000)), ..base() }, vec!["start_time"]),
        (v1::GetCumulativeRequest { split_by_wait_time: vec![5; 21], ..base() }, vec!["split_by_wait_time"]),
        (v1::GetCumulativeRequest { split_by_wait_time: vec![5, 0], ..base() }, vec!["split_by_wait_time"]),
        (v1::GetCumulativeRequest { split_by_wait_time: vec![2_592_001], ..base() }, vec!["split_by_wait_time"]),
        (
            v1::GetCumulativeRequest {
                minutes: Some(5),
                start_time: bad_time,
                end_time: bad_time,
                split_by_wait_time: vec![-1],
                ..asked("x")
            },
            vec!["workspace_sid", "minutes", "start_time", "end_time", "split_by_wait_time"],
        ),
    ];
    for (request, fields) in cases {
        let status = refused(&client, request).await;
        let told = assert_told(&status, Code::InvalidArgument, "BAD_FIELDS", false, &fields);
        assert_eq!(told.metadata("fields"), fields.join(","));
    }
    let status = client.realtime("WS", "voice").await.unwrap_err();
    assert_told(&status, Code::InvalidArgument, "BAD_FIELDS", false, &["workspace_sid"]);
    let page = v1::ListWorkspacesRequest { page_size: -1, page_token: "00".to_owned() };
    let status = client.statistics().list_workspaces(page).await.unwrap_err();
    assert_told(&status, Code::InvalidArgument, "BAD_FIELDS", false, &["page_size", "page_token"]);
    let page = v1::ListTaskChannelsRequest { workspace_sid: String::new(), page_size: -1, page_token: String::new() };
    let status = client.statistics().list_task_channels(page).await.unwrap_err();
    assert_told(&status, Code::InvalidArgument, "BAD_FIELDS", false, &["workspace_sid", "page_size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_workspace_is_not_found_by_every_question() {
    let (_server, client) = scene().await;
    // Refused events do not make a workspace known.
    let unknown = sid("WS", 0xabc);
    let mut event = bare(5, EventType::WorkspaceCreated, &unknown, now_ms());
    event.timestamp = Some(at(now_ms() + 3_600_000));
    assert_eq!(client.send(vec![event]).await.unwrap().rejected.len(), 1);
    let list = v1::ListTaskChannelsRequest { workspace_sid: unknown.clone(), ..v1::ListTaskChannelsRequest::default() };
    // Sids compare case-insensitively and are printed in lower case.
    let upper = format!("WS{}", unknown[2..].to_uppercase());
    let statuses = [
        refused(&client, asked(&unknown)).await,
        client.realtime(&unknown, "").await.unwrap_err(),
        client.realtime(&upper, "voice").await.unwrap_err(),
        client.statistics().list_task_channels(list).await.unwrap_err(),
    ];
    for status in statuses {
        let told = assert_told(&status, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
        assert_eq!(told.metadata("workspace_sid"), unknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_before_the_retention_is_out_of_range_and_names_the_oldest() {
    let (_server, client) = scene().await;
    let thirty_days_ago = now_ms() - 30 * 86_400_000;
    let status = refused(&client, since(&workspace(), at(thirty_days_ago - 60_000))).await;
    let told = assert_told(&status, Code::OutOfRange, "START_TOO_OLD", false, &[]);
    let oldest: Timestamp = told.metadata("oldest_start_time").parse().unwrap();
    assert!((0..=60).contains(&(oldest.seconds - thirty_days_ago / 1_000)), "{told:?}");
    let asked: Timestamp = told.metadata("start_time").parse().unwrap();
    assert_eq!(asked.seconds, (thirty_days_ago - 60_000) / 1_000);
    // What is named can be asked for, but for the time that passes until it is.
    let later = Timestamp { seconds: oldest.seconds + 60, nanos: 0 };
    assert_eq!(client.cumulative(since(&workspace(), later)).await.unwrap().tasks_created, 1);
    let all = v1::GetCumulativeRequest { minutes: Some(43_200), ..self::asked(&workspace()) };
    assert_eq!(client.cumulative(all).await.unwrap().tasks_created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_several_errors_hold_the_first_of_their_order_is_told() {
    let (_server, client) = scene().await;
    let too_old = Some(at(now_ms() - 40 * 86_400_000));
    let all = v1::GetCumulativeRequest { start_time: too_old, split_by_wait_time: vec![0], ..asked(&sid("WS", 9)) };
    assert_eq!(refused(&client, all.clone()).await.code(), Code::InvalidArgument);
    let two = v1::GetCumulativeRequest { split_by_wait_time: vec![1], ..all };
    assert_eq!(refused(&client, two.clone()).await.code(), Code::NotFound);
    let one = v1::GetCumulativeRequest { workspace_sid: workspace(), ..two };
    assert_eq!(refused(&client, one).await.code(), Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_above_the_limit_is_refused_whole() {
    let (_server, client) = scene().await;
    let events = |count: u64| -> Vec<v1::Event> {
        (0..count).map(|number| bare(100 + number, EventType::WorkspaceUpdated, &workspace(), now_ms())).collect()
    };
    let status = client.send(events(10_001)).await.unwrap_err();
    let told = assert_told(&status, Code::InvalidArgument, "TOO_MANY_EVENTS", false, &["events"]);
    assert_eq!((told.metadata("limit_value"), told.metadata("sent")), ("10000", "10001"));
    assert!(told.descriptions[0].contains("10000"), "{told:?}");
    // Nothing of it was taken: all of it is new.
    client.accept(events(10_000)).await;
    assert_eq!(client.send(Vec::new()).await.unwrap().accepted, 0, "an empty batch is fine");
}

/// A request of about so many bytes, most of which compress to nothing.
fn of_size(bytes: usize) -> v1::IngestEventsRequest {
    let mut event = bare(7, EventType::WorkspaceUpdated, &workspace(), now_ms());
    event.worker = Some(v1::Worker { friendly_name: "x".repeat(bytes), ..v1::Worker::default() });
    v1::IngestEventsRequest { events: vec![event] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_is_too_large_before_and_after_decompression() {
    let (mut server, client) = scene().await;
    let plain = client.ingest();
    let gzip = client.ingest().send_compressed(CompressionEncoding::Gzip);
    for mut ingest in [plain, gzip] {
        let status = ingest.ingest_events(of_size(LIMIT_BYTES + 1)).await.unwrap_err();
        let told = assert_told(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", false, &[]);
        assert_eq!(told.metadata("limit_bytes"), LIMIT_BYTES.to_string());
        let requests = tokio_stream::iter([of_size(10), of_size(LIMIT_BYTES + 1)]);
        let mut answers = ingest.stream_events(requests).await.unwrap().into_inner();
        let first = answers.message().await.unwrap().unwrap();
        assert_eq!(first.accepted + first.duplicates, 1, "{first:?}");
        let status = answers.message().await.unwrap_err();
        assert_told(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", false, &[]);
        // Just below the limit is fine: a group that the type does not carry is ignored.
        let answer = ingest.ingest_events(of_size(LIMIT_BYTES - 1_000)).await.unwrap().into_inner();
        assert_eq!(answer.rejected, []);
    }
    server.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_the_message_is_an_invalid_argument() {
    let (mut server, client) = scene().await;
    let good = of_size(10).encode_to_vec();
    let cut = raw::framed(&good, false).slice(..40);
    let garbage = raw::framed(b"this is not gzip at all", true);
    let bad_utf8 = raw::framed(&[0x0a, 0x04, 0x0a, 0x02, 0xff, 0xfe], false);
    let bodies: [(&str, Option<&str>, Bytes); 7] = [
        ("no protobuf", None, raw::framed(&[0xff; 16], false)),
        ("a length beyond the end", None, raw::framed(&[0x0a, 0x7f, 0x01], false)),
        ("text that is not UTF-8", None, bad_utf8),
        ("cut off", None, cut),
        ("no message at all", None, Bytes::new()),
        ("not gzip", Some("gzip"), garbage),
        ("gzip, cut off", Some("gzip"), raw::framed(&[0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff, 0x01], true)),
    ];
    for (what, encoding, body) in bodies {
        let answer = raw::call(client.channel.clone(), raw::INGEST, encoding, raw::whole_body(body));
        let status = in_time(what, answer).await.expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert_told(&status, Code::InvalidArgument, "MALFORMED_MESSAGE", false, &[]);
    }
    server.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_a_stream_comes_after_all_earlier_answers() {
    let (_server, client) = scene().await;
    let good = |number: u64| v1::IngestEventsRequest {
        events: vec![bare(number, EventType::WorkspaceUpdated, &workspace(), now_ms())],
    };
    let mut refused = good(50);
    refused.events[0].account_sid.clear();
    let too_many = v1::IngestEventsRequest { events: vec![v1::Event::default(); 10_001] };
    let (requests, there) = mpsc::channel(16);
    // All at once, so that the failure is read while earlier answers are not there yet.
    for request in [good(51), good(51), refused, good(52), too_many, good(53)] {
        requests.send(request).await.unwrap();
    }
    let mut answers = client.ingest().stream_events(ReceiverStream::new(there)).await.unwrap().into_inner();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let answer = in_time("an answer", answers.message()).await.unwrap().unwrap();
        counts.push((answer.accepted, answer.duplicates, answer.rejected.len()));
    }
    assert_eq!(counts, [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)]);
    assert_told(&end_of(&mut answers).await, Code::InvalidArgument, "TOO_MANY_EVENTS", false, &["events"]);
    // What had no answer may be sent again.
    client.accept(good(53).events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_deadline_is_refused_and_nothing_is_taken() {
    let (_server, client) = scene().await;
    let request =
        v1::IngestEventsRequest { events: vec![bare(9, EventType::WorkspaceUpdated, &workspace(), now_ms())] };
    let body = raw::framed(&request.encode_to_vec(), false);
    // One that has passed would be ended by the client's own library; `server/deadline.rs` tests it below that.
    let status = raw_with_timeout(&client, body, "soon").await;
    assert_told(&status, Code::InvalidArgument, "MALFORMED_TIMEOUT", false, &["grpc-timeout"]);
    client.accept(request.events).await;
}

async fn raw_with_timeout(client: &Client, body: Bytes, timeout: &str) -> Status {
    raw::call_with(client.channel.clone(), raw::INGEST, &[("grpc-timeout", timeout)], raw::whole_body(body))
        .await
        .unwrap_err()
}

/// The end of a pipe that nobody reads.
fn unread() -> std::process::Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// `tasktally get WS… 2>&1 | true`: whoever reads has gone before there is anything to read.
#[test]
fn a_failure_that_nobody_reads_keeps_its_exit_code() {
    use std::process::Command;
    let server = Launch::ephemeral().start();
    let code = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tasktally"));
        command.args(arguments).env_remove("RUST_LOG").stdout(unread()).stderr(unread());
        command.status().unwrap().code()
    };
    assert_eq!(code(&["get", &workspace(), "--address", &server.address]), Some(3));
    assert_eq!(code(&["credentials", "check", "/nowhere/credentials.toml"]), Some(5));
    assert_eq!(code(&["verify", "/nowhere/data"]), Some(5));
    server.stop();
}

/// Whatever collects a server's log may end before it.
#[test]
fn a_server_whose_log_nobody_reads_serves_and_stops_in_order() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasktally"));
    command.args(["serve", "--ephemeral", "--listen", "127.0.0.1:0", "--log-level", "debug"]).env_remove("RUST_LOG");
    let mut child = command.stdout(Stdio::piped()).stderr(unread()).spawn().unwrap();
    let mut line = String::new();
    // Open to the end: standard output is not what this is about.
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let checked = common::process::tasktally(["healthcheck", "--address", &address]);
    let term = format!("kill -TERM {}", child.id());
    Command::new("sh").args(["-c", &term]).status().unwrap();
    let status = common::eventually_blocking("the server ends", || child.try_wait().unwrap());
    assert_eq!((checked.code, status.code()), (Some(0), Some(0)), "{line:?} {checked:?}");
}
