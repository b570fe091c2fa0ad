//! What is pushed to the page.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::common::calls::Client;
use crate::common::events::{ACCOUNT, created, now_ms, sid};
use crate::common::process::{Launch, Server};
use crate::common::web::{connect, get, head_of};

/// The events of one stream, as they came.
pub struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    pub fn of(address: &str, query: &str, headers: &[&str]) -> Events {
        let mut stream = connect(address);
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let path = format!("/wallboard/stream?workspace={}{query}", sid("WS", 1));
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let (status, headers) = head_of(&mut lines);
        assert_eq!(status, 200, "{headers:?}");
        assert!(headers.contains(&("content-type".to_owned(), "text/event-stream".to_owned())), "{headers:?}");
        Events { lines }
    }

    /// The kind and the data; `None` at the end.
    pub fn next(&mut self) -> Option<(String, Value)> {
        let mut kind = String::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 || line == "0\r\n" {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", said)) => kind = said.to_owned(),
                Some(("data", data)) => return Some((kind, serde_json::from_str(data).unwrap())),
                _ => {}
            }
        }
    }

    pub fn until(&mut self, wanted: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (kind, data) = self.next().unwrap_or_else(|| panic!("it ends before {wanted}"));
            if kind == wanted && holds(&data) {
                return data;
            }
        }
    }

    /// That the stream ends here, and why.
    pub fn end(&mut self, status: u64) {
        assert_eq!(self.until("error", |_| true)["status"], status);
        assert!(self.next().is_none());
    }
}

async fn scene(launch: Launch) -> (Server, Client) {
    let server = launch.start();
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &sid("WS", 1), now_ms() - 5000, "voice")]).await;
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_come_at_each_change_and_windows_beside_them() {
    let (server, client) = scene(Launch::ephemeral()).await;
    let mut events = Events::of(&server.address, "&within=20", &[]);
    let (kind, now) = events.next().unwrap();
    assert_eq!((&*kind, &now["total_tasks"], &now["tasks_by_status"]["pending"]), ("realtime", &json!(1), &json!(1)));
    assert_eq!(now["tasks_by_priority"].as_array().unwrap().len(), 1);
    assert!(now["longest_wait"]["age_ms"].as_i64().unwrap() >= 5000);
    let past = events.until("windows", |_| true);
    assert_eq!(past["service_level_s"], 20);
    let minutes: Vec<_> = past["windows"].as_array().unwrap().iter().map(|window| window["minutes"].clone()).collect();
    assert_eq!(minutes, [15, 240, 480]);
    for window in past["windows"].as_array().unwrap() {
        assert_eq!(window["tasks_created"], 1);
        let buckets = window["minutes"].as_u64().unwrap() * 60 / window["trend"]["bucket_s"].as_u64().unwrap();
        assert_eq!(window["trend"]["tasks_created"].as_array().unwrap().len() as u64, buckets);
    }
    client.accept(vec![created(2, &sid("WS", 1), now_ms(), "chat")]).await;
    events.until("realtime", |now| now["total_tasks"] == 2);
    events.until("windows", |past| past["windows"][0]["tasks_created"] == 2);
    let mut chat = Events::of(&server.address, "&channel=chat", &[]);
    assert_eq!(chat.next().unwrap().1["total_tasks"], 1);
    let list = |path: &str| get(&server.address, path, &[]).json();
    assert_eq!(list("/wallboard/workspaces"), json!({ "workspaces": [sid("WS", 1)], "more": false }));
    let channels = list(&format!("/wallboard/channels?workspace={}", sid("WS", 1)));
    assert_eq!(channels, json!({ "channels": ["chat", "voice"], "more": false }));
    client.forget(&sid("WS", 1)).await.unwrap();
    events.end(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_retention_leaves_the_longer_windows_empty() {
    let (server, _client) = scene(Launch::ephemeral().with(["--retention", "4h"])).await;
    let past = Events::of(&server.address, "", &[]).until("windows", |_| true);
    assert_eq!((&past["windows"][1]["tasks_created"], &past["windows"][2]["trend"]), (&json!(1), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_said_and_does_not_wait() {
    let (server, _client) = scene(Launch::ephemeral()).await;
    let mut events = Events::of(&server.address, "", &[]);
    events.next().unwrap();
    server.signal("TERM");
    events.end(503);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_takes_the_place_of_a_watch() {
    let (server, _client) = scene(Launch::ephemeral().with(["--max-watchers", "1"])).await;
    let mut events = Events::of(&server.address, "", &[]);
    events.next().unwrap();
    let path = |rest: &str| format!("/wallboard/stream?{rest}");
    let here = format!("workspace={}", sid("WS", 1));
    let message = get(&server.address, &path(&here), &[]).problem(429, 20429);
    assert!(message.contains("max_watchers = 1"), "{message}");
    for within in ["0", "86401", "-1", "soon"] {
        let message = get(&server.address, &path(&format!("{here}&within={within}")), &[]).problem(400, 20001);
        assert!(message.contains("within"), "{message}");
    }
    for workspace in ["", "workspace=", "workspace=WS1", &format!("workspace={}", sid("WS", 2)), ACCOUNT] {
        get(&server.address, &path(workspace), &[]).problem(404, 20404);
        get(&server.address, &format!("/wallboard/channels?{workspace}"), &[]).problem(404, 20404);
    }
}
