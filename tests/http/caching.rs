//! What a poller is spared, and what never is hidden from it.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::common::calls::Client;
use crate::common::events::{bare, created, now_ms, sid, task, worker};
use crate::common::eventually;
use crate::common::process::{Launch, Server};
use crate::common::web::{Answer, ask, get};
use tasktally::api::proto::v1::{self, EventType, TaskAssignmentStatus as Status};

/// A workspace with many activities and nothing that ages.
async fn scene() -> (Server, Client, String) {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    let workspace = sid("WS", 1);
    let workers = (1..30).map(|number| worker(number, &workspace, now_ms() - 1_000, number)).collect();
    client.accept(workers).await;
    (server, client, format!("/v1/Workspaces/{workspace}"))
}

fn conditional(server: &Server, path: &str, validator: &str) -> Answer {
    get(&server.address, path, &[&format!("if-none-match: {validator}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_holds_while_figures_do_and_no_longer() {
    let (server, client, path) = scene().await;
    for resource in ["RealTimeStatistics", "CumulativeStatistics", "Statistics"] {
        let path = format!("{path}/{resource}");
        let first = get(&server.address, &path, &[]);
        let validator = first.header("etag").to_owned();
        assert!(validator.starts_with("W/\"") && validator.ends_with('"'), "{validator}");
        assert_eq!(first.header("cache-control"), "private, no-cache");
        // The moment moves on, and with it the interval's end; the figures are the same.
        let as_of = |answer: &Answer| answer.json()["as_of"].clone();
        if resource != "Statistics" {
            eventually("another second", async || {
                (as_of(&get(&server.address, &path, &[])) != as_of(&first)).then_some(())
            })
            .await;
        }
        for known in [validator.clone(), format!("\"x\", {validator}"), validator[2..].to_owned(), "*".to_owned()] {
            let same = conditional(&server, &path, &known);
            assert_eq!((same.status, same.body.len()), (304, 0), "{known}: {same:?}");
            assert_eq!(same.header("etag"), validator);
        }
        for other in ["\"x\"", "W/\"x\"", ""] {
            assert_eq!(conditional(&server, &path, other).status, 200, "{other}");
        }
        let head = ask(&server.address, &format!("HEAD {path} HTTP/1.1"), &[], b"");
        assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, &*validator));
        assert_eq!(head.header("content-length"), first.body.len().to_string());
        // A figure of each resource changes.
        let number = 100 + path.len() as u64;
        let event = bare(number, EventType::TaskCanceled, &sid("WS", 1), now_ms());
        let over = Some(task(number, Status::Canceled, now_ms() - 60_000, "voice"));
        client.accept(vec![v1::Event { task: over, ..event }]).await;
        let changed = conditional(&server, &path, &validator);
        assert_eq!(changed.status, 200, "{resource}");
        assert_ne!(changed.header("etag"), validator);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_the_longest_wait_is_a_figure_too() {
    let (server, client, path) = scene().await;
    let path = format!("{path}/RealTimeStatistics");
    client.accept(vec![created(50, &sid("WS", 1), now_ms(), "voice")]).await;
    let first = get(&server.address, &path, &[]);
    let validator = first.header("etag").to_owned();
    eventually("the age moves on, and is not hidden", async || {
        let next = conditional(&server, &path, &validator);
        if next.status == 304 {
            return None;
        }
        assert_ne!(next.json()["longest_task_waiting_age"], first.json()["longest_task_waiting_age"]);
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_sent_to_those_who_take_it() {
    let (server, _client, path) = scene().await;
    let path = format!("{path}/RealTimeStatistics");
    let plain = get(&server.address, &path, &["accept-encoding: utf-8"]);
    assert_eq!((plain.header("content-encoding"), plain.json()["total_workers"].as_i64()), ("", Some(29)));
    let packed = get(&server.address, &path, &["accept-encoding: gzip, deflate"]);
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(
        packed.headers.iter().any(|(name, value)| name == "vary" && value.contains("accept-encoding")),
        "{packed:?}"
    );
    assert!(packed.body.len() < plain.body.len() / 2, "{} of {}", packed.body.len(), plain.body.len());
    let unpacked: serde_json::Value = serde_json::from_slice(&gunzip(&packed.body)).unwrap();
    assert_eq!(unpacked["activity_statistics"], plain.json()["activity_statistics"]);
    // It says the same, so its validator is the same.
    assert_eq!(conditional(&server, &path, packed.header("etag")).status, 304);
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(packed).unwrap();
    let mut whole = Vec::new();
    gzip.stdout.take().unwrap().read_to_end(&mut whole).unwrap();
    assert!(gzip.wait().unwrap().success());
    whole
}
