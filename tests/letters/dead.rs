//! Refused events are kept, listed with what was wrong, sent again once it is mended, and gone then.

use std::path::Path;

use serde_json::Value;
use tasktally::api::proto::v1;
use tasktally::taskrouter::{callback, cloud};

use super::common::calls::Client;
use super::common::events::{ACCOUNT, at, created, now_ms, sid, worker};
use super::common::people::{OTHER_ACCOUNT, People};
use super::common::process::{Launch, Ran, Server, tasktally};
use super::common::web;

/// Posts a callback without credentials.
fn called_back(server: &Server, event: &v1::Event) -> web::Answer {
    post(server, "callback", "application/x-www-form-urlencoded", &[], form(event).as_bytes())
}

fn form(event: &v1::Event) -> String {
    callback::encode(&callback::write(event))
}

fn streamed(server: &Server, body: &str) -> web::Answer {
    post(server, "stream", "application/json", &[], body.as_bytes())
}

fn post(server: &Server, way: &str, kind: &str, headers: &[&str], body: &[u8]) -> web::Answer {
    let (length, kind) = (format!("content-length: {}", body.len()), format!("content-type: {kind}"));
    let headers: Vec<&str> = [&*length, &*kind].into_iter().chain(headers.iter().copied()).collect();
    web::ask(&server.address, &format!("POST /v1/events/{way} HTTP/1.1"), &headers, body)
}

fn letters<'a>(server: &'a Server, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    tasktally(["dead-letters"].into_iter().chain(arguments).chain(["--address", &server.address]))
}

/// The letters, as programs read them.
fn listed(server: &Server) -> Vec<Value> {
    let out = letters(server, ["list", "-o", "json"]).well();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_account(event: v1::Event, account: &str) -> v1::Event {
    v1::Event { account_sid: account.to_owned(), ..event }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_of_the_right_account_is_kept_until_the_wrong_binding_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Launch::on(dir.path()).start();
    let workspace = sid("WS", 1);
    let now = now_ms();
    Client::to(&server).await.accept(vec![of_account(created(1, &workspace, now, "voice"), OTHER_ACCOUNT)]).await;
    let event = created(2, &workspace, now, "chat");
    assert_eq!(called_back(&server, &event).status, 403);
    // What was answered survives any end of the process.
    server.kill();
    let server = Launch::on(dir.path()).start();
    let kept = listed(&server);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["reason"], "REJECTION_REASON_ACCOUNT_MISMATCH");
    assert_eq!((&kept[0]["eventType"], &kept[0]["eventSid"]), (&"task.created".into(), &sid("EV", 2).into()));
    assert_eq!((&kept[0]["form"], &kept[0]["raw"]), (&"DEAD_LETTER_FORM_CALLBACK".into(), &"".into()));
    let id = kept[0]["id"].as_str().unwrap();
    assert_eq!(letters(&server, ["show", id, "--raw"]).well(), form(&event), "as it came");
    let shown = letters(&server, ["show", id]).well();
    assert!(shown.contains("ACCOUNT_MISMATCH") && shown.contains("TaskChannelUniqueName = chat"), "{shown}");

    let again = letters(&server, ["resend", id]);
    assert!(again.code == Some(1) && again.err.contains("1 refused again"), "{again:?}");
    assert_eq!(listed(&server)[0]["attempts"], "2");

    tasktally(["forget", &workspace, "--yes", "--address", &server.address]).well();
    assert_eq!(listed(&server).len(), 1, "forgetting a workspace leaves its letters");
    let sent = letters(&server, ["resend", "--all"]);
    assert!(sent.err.contains("1 accepted, 0 duplicates, 0 refused again"), "{sent:?}");
    assert_eq!(listed(&server), Vec::<Value>::new());
    let realtime = Client::to(&server).await.realtime(&workspace, "").await.unwrap();
    assert_eq!((realtime.account_sid.as_str(), realtime.total_tasks), (ACCOUNT, 1));
    assert_eq!(realtime.longest_task_waiting_sid, sid("WT", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_what_it_refuses_and_a_higher_bound_lets_it_in() {
    let dir = tempfile::tempdir().unwrap();
    let bounded = ["--max-workers-per-workspace", "2"];
    let server = Launch::on(dir.path()).with(bounded).start();
    let workspace = sid("WS", 1);
    let now = now_ms();
    let events: Vec<v1::Event> = (1..=5).map(|number| worker(number, &workspace, now, 1)).collect();
    let body = |events: &[v1::Event]| Value::from(events.iter().map(cloud::write).collect::<Vec<_>>()).to_string();
    assert_eq!(streamed(&server, &body(&events)).status, 200);
    // A sender that comes again does not make more letters.
    assert_eq!(streamed(&server, &body(&events)).status, 200);
    let kept = listed(&server);
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(kept.iter().all(|letter| letter["attempts"] == "2" && letter["form"] == "DEAD_LETTER_FORM_STREAM"));
    let raw = letters(&server, ["show", kept[0]["id"].as_str().unwrap(), "--raw"]).well();
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), cloud::write(&events[2]), "this one event alone");
    assert_eq!(letters(&server, ["resend", "--reason", "too-old"]).code, Some(0), "none of that reason");
    assert_eq!(letters(&server, ["resend", "--reason", "limit-exceeded"]).code, Some(1));
    server.stop();

    let server = Launch::on(dir.path()).start();
    assert_eq!(listed(&server).len(), 3);
    // One of them comes in by another way meanwhile.
    Client::to(&server).await.accept(vec![events[4].clone()]).await;
    let sent = letters(&server, ["resend", "--workspace", &workspace]);
    assert!(sent.err.contains("2 accepted, 1 duplicates, 0 refused again"), "{sent:?}");
    assert_eq!(listed(&server), Vec::<Value>::new());
    let realtime = Client::to(&server).await.realtime(&workspace, "").await.unwrap();
    assert_eq!(realtime.total_workers, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_a_fast_clock_is_taken_once_its_time_is_near() {
    let server = Launch::ephemeral().start();
    let workspace = sid("WS", 1);
    // A little beyond the five minutes: where the way to the server took longer than that, another one.
    let (ahead, before) = (1..)
        .find_map(|number| {
            let ahead = now_ms() + 302_000;
            let answer = called_back(&server, &created(number, &workspace, ahead, "voice"));
            assert!(matches!(answer.status, 204 | 400), "{answer:?}");
            (answer.status == 400).then_some((ahead, number as i64 - 1))
        })
        .unwrap();
    assert_eq!(listed(&server)[0]["reason"], "REJECTION_REASON_TOO_NEW");
    super::common::eventually("its time comes", || async { (now_ms() > ahead - 300_000).then_some(()) }).await;
    let sent = letters(&server, ["resend", "--all"]);
    assert!(sent.err.contains("1 accepted"), "{sent:?}");
    let client = Client::to(&server).await;
    let told = client.cumulative(v1::GetCumulativeRequest {
        workspace_sid: workspace,
        start_time: Some(at(ahead - 60_000)),
        end_time: Some(at(ahead + 60_000)),
        ..Default::default()
    });
    assert_eq!(told.await.unwrap().tasks_created, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_dropped_and_bounded_and_what_is_meant_has_to_be_said() {
    let server = Launch::ephemeral().with(["--max-dead-letters", "4"]).start();
    let workspace = sid("WS", 1);
    for number in 1..=6 {
        let mut event = created(number, &workspace, now_ms(), "voice");
        event.task.as_mut().unwrap().sid = "WT1".to_owned();
        assert_eq!(called_back(&server, &event).status, 400);
    }
    let kept = listed(&server);
    let sids: Vec<&str> = kept.iter().map(|letter| letter["eventSid"].as_str().unwrap()).collect();
    assert_eq!(sids, [3, 4, 5, 6].map(|number| sid("EV", number)), "the oldest went");
    server.logs("the oldest dead letters were dropped");
    let told = letters(&server, ["list", "--most", "1"]);
    assert!(told.err.contains("4 dead letters in all") && told.err.contains("2 had to go"), "{told:?}");
    assert_eq!(letters(&server, ["drop"]).code, Some(2), "that all are meant has to be said");
    let client = Client::to(&server).await;
    let refused = client.admin().drop_dead_letters(v1::DropDeadLettersRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let first = kept[0]["id"].as_str().unwrap();
    assert!(letters(&server, ["drop", first, "1"]).well().contains("1 dead letter dropped"));
    assert!(letters(&server, ["drop", "--reason", "MALFORMED_FIELD"]).well().contains("3 dead letters dropped"));
    assert_eq!(listed(&server), Vec::<Value>::new());
    assert_eq!(letters(&server, ["show", first]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_its_own_letters_and_another_ones_admin_nothing_of_them() {
    let people = People::of(&[
        ("sender", ACCOUNT, r#"["ingest"]"#),
        ("admin", ACCOUNT, r#"["admin"]"#),
        ("stranger", OTHER_ACCOUNT, r#"["admin"]"#),
        ("operator", "all", r#"["admin"]"#),
    ]);
    let server = people.launch().start();
    let mut event = created(1, &sid("WS", 1), now_ms(), "voice");
    event.task.as_mut().unwrap().date_created = None;
    let bearer = format!("authorization: {}", people.bearer("sender"));
    let answer = post(&server, "callback", "application/x-www-form-urlencoded", &[&bearer], form(&event).as_bytes());
    assert_eq!(answer.status, 400, "{answer:?}");
    let run = |who: &str, words: &[&str]| letters(&server, words.iter().copied().chain(["--token", people.token(who)]));
    assert_eq!(run("sender", &["list"]).code, Some(6), "the role admin is needed");
    for (who, sees) in [("admin", 1), ("stranger", 0), ("operator", 1)] {
        let told = run(who, &["list", "-o", "json"]);
        assert_eq!(told.out.lines().count(), sees, "{who}");
        assert!(told.err.contains(&format!("{sees} dead letter")), "{who}: {}", told.err);
    }
    let kept: Value = serde_json::from_str(&run("admin", &["list", "-o", "json"]).well()).unwrap();
    let id = kept["id"].as_str().unwrap();
    assert_eq!(kept["accountSid"], ACCOUNT);
    assert_eq!(run("stranger", &["show", id]).code, Some(2));
    assert!(run("stranger", &["drop", id]).well().contains("0 dead letters dropped"));
    assert!(run("stranger", &["resend", id]).err.contains("0 accepted, 0 duplicates, 0 refused again"));
    assert_eq!(run("operator", &["resend", id]).code, Some(1), "on behalf of the account that brought it");
    assert!(run("admin", &["drop", id]).well().contains("1 dead letter dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_cannot_be_kept_make_the_sender_come_again_and_stop_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dead-letters.db");
    std::fs::write(&file, "no database at all, and longer than a header of one would be".repeat(20)).unwrap();
    let mut server = Launch::on(dir.path()).start();
    server.logs("dead-letters.db.damaged-1");
    let workspace = sid("WS", 1);
    let mut bad = created(1, &workspace, now_ms(), "voice");
    bad.task.as_mut().unwrap().sid = "WT1".to_owned();
    assert_eq!(called_back(&server, &bad).status, 400);
    assert_eq!(listed(&server).len(), 1, "kept in a file that took the damaged one's place");
    server.kill();

    // A folder in the file's place stands for every disk that does not take it.
    std::fs::remove_file(&file).unwrap();
    remove_beside(&file);
    std::fs::create_dir(&file).unwrap();
    let server = Launch::on(dir.path()).start();
    let answer = called_back(&server, &bad);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(called_back(&server, &created(2, &workspace, now_ms(), "voice")).status, 204, "good events go on");
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(called_back(&server, &bad).status, 400, "it passes by itself");
    assert_eq!(listed(&server).len(), 1);
    server.stop();
}

fn remove_beside(file: &Path) {
    for end in ["-wal", "-journal"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
}
