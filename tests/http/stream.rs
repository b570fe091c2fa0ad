//! The watch for people who have only HTTP.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::common::calls::Client;
use crate::common::events::{ACCOUNT, created, now_ms, sid};
use crate::common::people::{People, send};
use crate::common::process::{Launch, Server};
use crate::common::web::{connect, get, head_of};

/// The events of one stream, as they came.
struct Events {
    lines: BufReader<TcpStream>,
}

#[derive(Debug)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Events {
    fn of(server: &Server, query: &str, headers: &[&str]) -> Events {
        let mut stream = connect(&server.address);
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        write!(stream, "GET {}{query} HTTP/1.1\r\nhost: test\r\n{headers}\r\n", path()).unwrap();
        let mut lines = BufReader::new(stream);
        let (status, headers) = head_of(&mut lines);
        assert_eq!(status, 200, "{headers:?}");
        let kind = headers.iter().find(|(name, _)| name == "content-type").unwrap();
        assert_eq!(kind.1, "text/event-stream");
        Events { lines }
    }

    /// `None` at the end. The chunks' sizes are lines that name no field.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event { id: String::new(), kind: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 || line == "0\r\n" {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("event", kind)) => event.kind = kind.to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                Some(other) => panic!("{other:?}"),
                None if line == "\n" => return Some(event),
                None => {}
            }
        }
    }

    /// That the stream ends here, and why.
    fn end(&mut self, status: u64, code: u64) -> String {
        loop {
            let event = self.next().expect("a last event");
            if event.kind == "error" {
                assert_eq!((event.data["status"].as_u64(), event.data["code"].as_u64()), (Some(status), Some(code)));
                assert!(self.next().is_none(), "it goes on after {event:?}");
                return event.data["message"].as_str().unwrap().to_owned();
            }
        }
    }
}

fn path() -> String {
    format!("/v1/Workspaces/{}/RealTimeStatistics/Stream", sid("WS", 1))
}

async fn scene(launch: Launch) -> (Server, Client) {
    let server = launch.start();
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &sid("WS", 1), now_ms(), "voice")]).await;
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_as_events_and_quiet_as_heartbeats() {
    let (server, client) = scene(Launch::ephemeral()).await;
    let mut quiet = Events::of(&server, "?HeartbeatInterval=1h", &[]);
    let first = quiet.next().unwrap();
    assert_eq!((&*first.kind, &first.data["total_tasks"]), ("realtime", &1.into()));
    assert_eq!(first.data["revision"].to_string(), first.id);
    assert_eq!(first.data["workspace_sid"], sid("WS", 1));
    client.accept(vec![created(2, &sid("WS", 1), now_ms(), "voice")]).await;
    assert_eq!(quiet.next().unwrap().data["total_tasks"], 2);
    let mut beating = Events::of(&server, "?HeartbeatInterval=100ms&TaskChannel=chat", &[]);
    let (one, two) = (beating.next().unwrap(), beating.next().unwrap());
    assert_eq!((&one.data["total_tasks"], &two.data["total_tasks"]), (&0.into(), &0.into()));
    client.forget(&sid("WS", 1)).await.unwrap();
    quiet.end(404, 20404);
    beating.end(404, 20404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_said_and_does_not_wait() {
    let (server, _client) = scene(Launch::ephemeral()).await;
    let mut events = Events::of(&server, "", &[]);
    events.next().unwrap();
    server.signal("TERM");
    events.end(503, 20503);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_credential_and_says_so() {
    let mut people = People::of(&[("goes", "all", r#"["read"]"#), ("pump", ACCOUNT, r#"["ingest"]"#)]);
    let server = people.launch().start();
    let client = Client::to(&server).await;
    send(&client, &people.bearer("pump"), vec![created(1, &sid("WS", 1), now_ms(), "voice")]).await;
    get(&server.address, &path(), &[&format!("authorization: {}", people.bearer("pump"))]).problem(403, 20403);
    let mut events = Events::of(&server, "", &[&format!("authorization: {}", people.bearer("goes"))]);
    events.next().unwrap();
    people.without("goes");
    let message = tokio::task::spawn_blocking(move || events.end(401, 20003)).await.unwrap();
    assert!(message.contains("credentials"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_places_are_those_of_all_watches() {
    let (server, client) = scene(Launch::ephemeral().with(["--max-watchers", "1"])).await;
    let mut watch = client.watch(crate::common::calls::quiet_watch(&sid("WS", 1))).await.unwrap();
    crate::common::calls::next(&mut watch).await;
    let full = get(&server.address, &path(), &[]);
    let message = full.problem(429, 20429);
    assert!(message.contains("max_watchers = 1"), "{message}");
    assert!(full.header("retry-after").parse::<u64>().unwrap() >= 1);
    drop(watch);
    crate::common::eventually("the place is free again", async || {
        let mut stream = connect(&server.address);
        write!(stream, "GET {} HTTP/1.1\r\nhost: test\r\n\r\n", path()).unwrap();
        (head_of(&mut BufReader::new(stream)).0 == 200).then_some(())
    })
    .await;
    for query in ["MinInterval=1ms", "MinInterval=x", "HeartbeatInterval=2h", "MinInterval=5s&HeartbeatInterval=1s"] {
        let message = get(&server.address, &format!("{}?{query}", path()), &[]).problem(400, 20001);
        assert!(message.contains(query.rsplit('&').next().unwrap().split('=').next().unwrap()), "{query}: {message}");
    }
}
