//! gRPC-Web, as browsers speak it: over HTTP/1, with the status in the body.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use tasktally::api::proto::v1;
use tonic::{Code, Status};

use crate::common::calls::Client;
use crate::common::details::assert_told;
use crate::common::events::{ACCOUNT, created, now_ms, sid};
use crate::common::people::People;
use crate::common::process::{Launch, Server};
use crate::common::raw::{REALTIME, WATCH, framed};
use crate::common::web::{Answer, ask, connect, get};

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";
/// The flag of a frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// A call of a method with this message, in the binary form.
fn call(server: &Server, path: &str, message: &impl Message, headers: &[&str]) -> Answer {
    let kind = format!("content-type: {BINARY}");
    post(server, path, &[&[kind.as_str()], headers].concat(), &framed(&message.encode_to_vec(), false))
}

fn post(server: &Server, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let length = format!("content-length: {}", body.len());
    ask(&server.address, &format!("POST {path} HTTP/1.1"), &[&[length.as_str()], headers].concat(), body)
}

/// The messages of an answer, and the status: in its last frame, or in its head where there is nothing else.
fn taken_apart(answer: &Answer, body: &[u8]) -> (Vec<Vec<u8>>, Status) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let (mut messages, mut rest, mut status) = (Vec::new(), body, status_of(&answer.headers));
    while let [flag, a, b, c, d, after @ ..] = rest {
        let (frame, after) = after.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        assert!(status.is_none(), "nothing follows the status");
        match *flag {
            0 => messages.push(frame.to_vec()),
            TRAILERS => {
                let lines = std::str::from_utf8(frame).unwrap().lines();
                let pairs: Vec<_> = lines.map(|line| line.split_once(':').unwrap()).collect();
                let own = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.trim().to_owned()));
                status = status_of(&own.collect::<Vec<_>>());
                assert!(status.is_some(), "trailers without a status");
            }
            flag => panic!("a frame of kind {flag}"),
        }
        rest = after;
    }
    assert!(rest.is_empty(), "half a frame");
    (messages, status.expect("a status"))
}

fn status_of(headers: &[(String, String)]) -> Option<Status> {
    let one = |(name, value): &(String, String)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    Status::from_header_map(&headers.iter().map(one).collect::<HeaderMap>())
}

fn question(workspace: &str) -> v1::GetRealtimeRequest {
    v1::GetRealtimeRequest { workspace_sid: workspace.to_owned(), ..v1::GetRealtimeRequest::default() }
}

async fn scene() -> (Server, Client, String) {
    let server = Launch::ephemeral().start();
    let workspace = sid("WS", 1);
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &workspace, now_ms(), "voice")]).await;
    (server, client, workspace)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_as_over_grpc_in_either_form() {
    let (server, client, workspace) = scene().await;
    let expected = client.realtime(&workspace, "").await.unwrap();
    let is_expected = |messages: Vec<Vec<u8>>, status: Status| {
        assert_eq!((status.code(), messages.len()), (Code::Ok, 1));
        let found = v1::WorkspaceRealtimeStatistics::decode(&messages[0][..]).unwrap();
        assert_eq!((found.total_tasks, found.revision), (1, expected.revision));
        assert_eq!(found.tasks_by_status, expected.tasks_by_status);
    };
    let answer = call(&server, REALTIME, &question(&workspace), &[]);
    assert_eq!(answer.header("content-type"), BINARY);
    let (messages, status) = taken_apart(&answer, &answer.body);
    is_expected(messages, status);
    let body = STANDARD.encode(framed(&question(&workspace).encode_to_vec(), false));
    let headers = [&format!("content-type: {TEXT}"), &format!("accept: {TEXT}")];
    let answer = post(&server, REALTIME, &headers.map(String::as_str), body.as_bytes());
    assert_eq!(answer.header("content-type"), TEXT);
    // Each piece may be padded by itself.
    let text: Vec<u8> = answer.body.chunks(4).flat_map(|piece| STANDARD.decode(piece).unwrap()).collect();
    let (messages, status) = taken_apart(&answer, &text);
    is_expected(messages, status);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_come_with_their_details_where_a_page_can_read_them() {
    let (server, _, workspace) = scene().await;
    let status_of = |message: &v1::GetRealtimeRequest, headers: &[&str]| {
        let answer = call(&server, REALTIME, message, headers);
        let (messages, status) = taken_apart(&answer, &answer.body);
        assert!(messages.is_empty());
        status
    };
    let bad = status_of(&question("WSx"), &[]);
    assert_told(&bad, Code::InvalidArgument, "BAD_FIELDS", false, &["workspace_sid"]);
    assert_told(&status_of(&question(&sid("WS", 9)), &[]), Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    // What the transport itself says.
    let late = status_of(&question(&workspace), &["grpc-timeout: soon"]);
    assert_told(&late, Code::InvalidArgument, "MALFORMED_TIMEOUT", false, &["grpc-timeout"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_nothing_is_told_so() {
    let people = People::of(&[("reader", ACCOUNT, r#"["read"]"#)]);
    let server = people.launch().start();
    let answer = call(&server, REALTIME, &question(&sid("WS", 1)), &[]);
    let (_, status) = taken_apart(&answer, &answer.body);
    assert_told(&status, Code::Unauthenticated, "CREDENTIALS_MISSING", false, &[]);
    let bearer = format!("authorization: {}", people.bearer("reader"));
    let answer = call(&server, REALTIME, &question(&sid("WS", 1)), &[&bearer]);
    let (_, status) = taken_apart(&answer, &answer.body);
    assert_told(&status, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_and_its_end_is_in_its_body() {
    let (server, client, workspace) = scene().await;
    let request = v1::WatchRealtimeRequest { workspace_sid: workspace.clone(), ..v1::WatchRealtimeRequest::default() };
    let body = framed(&request.encode_to_vec(), false);
    let head = format!(
        "POST {WATCH} HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = connect(&server.address);
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let mut said = Vec::new();
    let shows = |said: &[u8], tasks: i64| {
        let text = String::from_utf8_lossy(said);
        let sid = format!("WT{:032}", tasks);
        text.contains(&sid) || text.matches(&workspace).count() >= 2 * tasks as usize
    };
    let until = |stream: &mut std::net::TcpStream, said: &mut Vec<u8>, tasks: i64| {
        let mut piece = [0; 4096];
        while !shows(said, tasks) {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "the watch ended");
            said.extend_from_slice(&piece[..read]);
        }
    };
    until(&mut stream, &mut said, 1);
    client.accept(vec![created(2, &workspace, now_ms(), "voice")]).await;
    until(&mut stream, &mut said, 2);
    server.stop();
    stream.read_to_end(&mut said).unwrap();
    let end = String::from_utf8_lossy(&said);
    assert!(end.contains("\u{fffd}") && end.contains("grpc-status:14"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_base64_is_told_without_the_name_of_a_library() {
    let (server, _, _) = scene().await;
    let path = "/tasktally.v1.StatisticsService/ListWorkspaces";
    let answer = post(&server, path, &[&format!("content-type: {TEXT}")], b"!!!!");
    let (_, status) = taken_apart(&answer, &answer.body);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("not the message: gRPC-Web: Invalid symbol"), "{status:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_its_kinds_is_plain_http() {
    let (server, _, _) = scene().await;
    let kind = format!("content-type: {BINARY}");
    get(&server.address, "/nowhere", &[&kind]).problem(404, 20404);
    let json = post(&server, "/nowhere", &["content-type: application/grpc-web+json"], b"{}");
    json.problem(404, 20404);
    server.stop();
}
