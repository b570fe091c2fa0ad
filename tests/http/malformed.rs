//! Requests that no library would send, and what is made of dates and sids that are written in their own ways.

use std::io::{Read, Write};

use crate::common::calls::Client;
use crate::common::events::{created, now_ms, sid};
use crate::common::process::{Launch, Server};
use crate::common::web::{ask, connect, get};

async fn scene() -> (Server, String) {
    let server = Launch::ephemeral().start();
    let workspace = sid("WS", 0xabc);
    Client::to(&server).await.accept(vec![created(1, &workspace, now_ms(), "voice mail")]).await;
    (server, format!("/v1/Workspaces/{workspace}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_taken_as_it_is_written() {
    let (server, path) = scene().await;
    let upper = format!("/v1/Workspaces/WS{}/Statistics", sid("", 0xabc).to_uppercase());
    assert_eq!(get(&server.address, &upper, &[]).status, 200, "digits of either case are one sid");
    for wrong in [
        format!("{path}/Statistics/"),
        format!("{path}/statistics"),
        format!("/{path}/Statistics"),
        format!("{path}/Statistics.json"),
        path.replace("/v1/", "/v2/"),
        path.replace("/WS", "/ws"),
        format!("{path}0/Statistics"),
        format!("{path}%20/Statistics"),
        format!("{path}%00/RealTimeStatistics/Stream"),
        "/v1/Workspaces//Statistics".to_owned(),
        format!("/v1/Workspaces/{}/Statistics", sid("AC", 0xabc)),
        format!("/v1/Workspaces/{}/Statistics", "x".repeat(4_000)),
    ] {
        get(&server.address, &wrong, &[]).problem(404, 20404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_method_is_refused_with_those_there_are() {
    let (server, path) = scene().await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "FOO"] {
        for resource in ["Statistics", "RealTimeStatistics", "CumulativeStatistics", "RealTimeStatistics/Stream"] {
            let line = format!("{method} {path}/{resource} HTTP/1.1");
            let answer = ask(&server.address, &line, &["content-length: 4"], b"body");
            answer.problem(405, 20004);
            assert_eq!(answer.header("allow"), "GET,HEAD", "{line}");
        }
    }
    assert_eq!(ask(&server.address, &format!("HEAD {path}/Nothing HTTP/1.1"), &[], b"").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_mean_nothing_change_nothing() {
    let (server, path) = scene().await;
    let path = format!("{path}/RealTimeStatistics");
    for header in [
        "if-none-match: \u{e9}",
        "if-none-match: W/",
        "if-none-match: ,,\"",
        "accept-encoding: utf-8",
        "accept-encoding: gzip;q=x, ;;",
        "accept: image/png",
        "range: bytes=0-1",
        "authorization: nonsense",
        "content-type: application/x-www-form-urlencoded",
        "last-event-id: -1",
        "x-http-method-override: DELETE",
    ] {
        let answer = get(&server.address, &path, &[header]);
        assert_eq!((answer.status, answer.json()["total_tasks"].as_i64()), (200, Some(1)), "{header}");
    }
    // A body is none of a GET's business.
    let answer = ask(&server.address, &format!("GET {path} HTTP/1.1"), &["content-length: 4"], b"body");
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused_or_closed_and_others_go_on() {
    let (server, path) = scene().await;
    for text in [
        "GET\r\n\r\n".to_owned(),
        format!("GET {path}/Statistics\r\n\r\n"),
        format!("GET {path}/Statistics HTTP/1.9\r\n\r\n"),
        format!("GET {path} /Statistics HTTP/1.1\r\n\r\n"),
        format!("GET {path}/Statistics HTTP/1.1\r\nno colon\r\n\r\n"),
        format!("GET {path}/Statistics HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n"),
        format!("GET {path}/Statistics HTTP/1.1\r\nhost: a\r\nx: \u{0}\r\n\r\n"),
        format!("GET {path}/Statistics?{} HTTP/1.1\r\nhost: a\r\n\r\n", "x=".repeat(40_000)),
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n".to_owned(),
    ] {
        let mut stream = connect(&server.address);
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let refused = ["HTTP/1.1 4", "HTTP/1.0 4"].iter().any(|start| answer.starts_with(start));
        assert!(answer.is_empty() || refused, "{text:?}: {answer}");
    }
    assert_eq!(get(&server.address, &format!("{path}/Statistics"), &[]).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_an_interval_is_the_same_interval() {
    let (server, path) = scene().await;
    // A whole hour of yesterday, as it is written here and two hours east of here.
    let noon = now_ms() / 86_400_000 * 86_400 - 43_200;
    let day = day_of(noon);
    let wanted = (format!("{day}T12:00:00Z"), format!("{day}T13:00:00Z"));
    for (start, end) in [
        ("T12:00:00Z", "T13:00:00Z"),
        ("T12:00:00", "T13:00:00"),
        ("T12%3A00%3A00Z", "T13%3A00"),
        ("T14:00:00%2B02:00", "T15:00:00%2b0200"),
        ("T14:00:00+02:00", "T15:00:00+02"),
        ("T10:00:00-02:00", "T12:59:59.25Z"),
        ("+12:00:00", "%2013:00:00"),
    ] {
        let query = format!("StartDate={day}{start}&EndDate={day}{end}&SplitByWaitTime=5%2C30");
        let answer = get(&server.address, &format!("{path}/CumulativeStatistics?{query}"), &[]).json();
        let found = (answer["start_time"].as_str().unwrap(), answer["end_time"].as_str().unwrap());
        assert_eq!(found, (&*wanted.0, &*wanted.1), "{query}");
        assert_eq!(answer["split_by_wait_time"].as_object().unwrap().len(), 2);
    }
    let answer = get(&server.address, &format!("{path}/Statistics?StartDate={day}&Unknown=1&Minutes="), &[]).json();
    assert_eq!(answer["cumulative"]["start_time"], format!("{day}T00:00:00Z"));
    for (query, tasks) in
        [("TaskChannel=voice+mail", 1), ("TaskChannel=voice%20mail", 1), ("TaskChannel=voice%2Bmail", 0)]
    {
        let answer = get(&server.address, &format!("{path}/RealTimeStatistics?{query}"), &[]).json();
        assert_eq!(answer["total_tasks"], tasks, "{query}");
    }
}

/// The date of this second, as the server writes it.
fn day_of(second: i64) -> String {
    prost_types::Timestamp { seconds: second, nanos: 0 }.to_string()[..10].to_owned()
}
