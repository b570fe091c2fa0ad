//! What is wrong with a request or its events, and what its sender is told.

use std::path::Path;

use serde_json::json;

use super::sent::{CALLBACK, FORM, JSON, STREAM, assert_taken, form, list, post, post_form, post_json, tally};
use crate::common::events::{ACCOUNT, created, now_ms, sid};
use crate::common::people::{OTHER_ACCOUNT, People};
use crate::common::process::Launch;
use crate::common::web::{ask, get};

/// One callback with some of its text replaced.
fn with(from: &str, to: &str) -> String {
    let body = form(&created(1, &sid("WS", 1), now_ms(), "voice"));
    assert!(body.contains(from), "{from} is not in {body}");
    body.replace(from, to)
}

#[test]
fn every_bad_field_is_named_as_its_sender_spells_it_and_the_event_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let server = Launch::on(home.path()).start();
    let day = 86_400;
    let old = (now_ms() / 1000 - 31 * day).to_string();
    let new = (now_ms() / 1000 + day).to_string();
    let without_ms = |stamp: &str| {
        let body = with("EventType=task.created", "EventType=task.created");
        let fields = body.split('&').filter(|field| !field.starts_with("Timestamp"));
        format!("{}&Timestamp={stamp}", fields.collect::<Vec<_>>().join("&"))
    };
    let cases = [
        (with("Sid=EV", "Sid=XX"), "MALFORMED_FIELD: Sid: must be EV"),
        (with("AccountSid=AC", "AccountSid="), "MALFORMED_FIELD: AccountSid: must be AC"),
        (with("EventType=task.created", ""), "MISSING_FIELD: EventType is required"),
        (with("EventType=task.created", "EventType=task.sold"), "UNKNOWN_TYPE: EventType: \"task.sold\""),
        (with("TaskDateCreated=1", "TaskDateCreated=x"), "MALFORMED_FIELD: TaskDateCreated: must be seconds"),
        (with("TaskAssignmentStatus=pending", "TaskAssignmentStatus=?"), "MALFORMED_FIELD: TaskAssignmentStatus: "),
        (with("TaskSid=WT", "TaskSid=WQ"), "MALFORMED_FIELD: TaskSid: must be WT"),
        (without_ms("yesterday"), "MALFORMED_FIELD: Timestamp: must be seconds"),
        (without_ms("2026-02-30T00:00:00Z"), "MALFORMED_FIELD: Timestamp: must be seconds"),
        (without_ms(&old), "TOO_OLD: timestamp is before"),
        (without_ms(&new), "TOO_NEW: timestamp is after"),
        (without_ms(""), "MISSING_FIELD: Timestamp is required"),
    ];
    let refused = cases.len();
    for (body, begins) in cases {
        let answer = post_form(&server.address, &[], &body);
        let message = answer.problem(400, 20001);
        assert!(message.starts_with(begins), "{message}");
        assert_eq!(answer.header("tasktally-outcome"), "refused");
    }
    let of_workspace = form(&created(2, &sid("WS", 1), now_ms(), "voice"));
    assert_taken(&post_form(&server.address, &[], &of_workspace));
    let stolen = with(ACCOUNT, OTHER_ACCOUNT).replace("Sid=EV0", "Sid=EV1");
    let message = post_form(&server.address, &[], &stolen).problem(403, 20403);
    assert!(message.starts_with("ACCOUNT_MISMATCH: "), "{message}");
    server.stop();
    assert_eq!(kept(home.path()).len(), refused + 1);
}

/// The sids of the letters that a server has left, oldest first.
fn kept(home: &Path) -> Vec<String> {
    let file = rusqlite::Connection::open(home.join("dead-letters.db")).unwrap();
    let mut letters = file.prepare("SELECT event_sid FROM letters ORDER BY id").unwrap();
    letters.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_streams_good_events_go_ahead_and_the_others_are_told_and_kept_each_with_its_text() {
    let home = tempfile::tempdir().unwrap();
    let server = Launch::on(home.path()).start();
    let good = list(&[created(1, &sid("WS", 1), now_ms(), "voice")]);
    let bad = list(&[created(2, &sid("WS", 1), now_ms(), "voice")]).replace("\"pending\"", "7");
    let foreign = json!({"type": "com.twilio.messaging.message.sent", "data": {}});
    let body = format!("[{},5,{},{foreign}]", good.trim_matches(['[', ']']), bad.trim_matches(['[', ']']));
    let (accepted, duplicates, refused) = tally(&post_json(&server.address, &[], &body));
    assert_eq!((accepted, duplicates), (1, 0));
    let told: Vec<_> =
        refused.iter().map(|row| (row["index"].as_u64().unwrap(), row["reason"].as_str().unwrap())).collect();
    assert_eq!(told, [(1, "MALFORMED_FIELD"), (2, "MALFORMED_FIELD"), (3, "UNKNOWN_TYPE")]);
    assert_eq!((&refused[1]["sid"], &refused[1]["field"]), (&sid("EV", 2).into(), &"task.assignment_status".into()));
    assert!(refused[1]["message"].as_str().unwrap().starts_with("task_assignment_status: must be one of"));
    server.stop();
    assert_eq!(kept(home.path())[1..2], [sid("EV", 2)]);
    assert_eq!(kept(home.path()).len(), 3);
}

#[test]
fn every_malformed_body_and_head_gets_its_own_status() {
    let server = Launch::ephemeral().with(["--max-events-per-call", "3"]).start();
    let event = form(&created(1, &sid("WS", 1), now_ms(), "voice"));
    for (body, says) in [
        (format!("{event}&x=%4"), "two hexadecimal digits"),
        (format!("{event}&x=%ff"), "the value of \"x\" is not UTF-8"),
        (format!("{event}&Sid=1"), "Sid comes twice"),
        (format!("{event}{}", "&a".repeat(1_000)), "more than 1000 form fields"),
    ] {
        let message = post_form(&server.address, &[], &body).problem(400, 20001);
        assert!(message.contains(says), "{message}");
    }
    for (body, says) in [
        ("", "empty"),
        ("{", "not JSON"),
        ("[{},{}", "not JSON"),
        ("nonsense", "not JSON"),
        ("[1,2,3,4]", "more than 3 events"),
        ("{}\n{}\n{}\n{}", "more than 3 events"),
    ] {
        let message = post_json(&server.address, &[], body).problem(400, 20001);
        assert!(message.contains(says), "{body}: {message}");
    }
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(tally(&post_json(&server.address, &[], &deep)).2.len(), 1, "a list of one event that is none");
    for headers in [&["content-type: text/plain"][..], &[], &[FORM, "content-encoding: gzip"]] {
        post(&server.address, CALLBACK, headers, event.as_bytes()).problem(415, 20415);
    }
    post(&server.address, STREAM, &[FORM], event.as_bytes()).problem(415, 20415);
    post(&server.address, STREAM, &[JSON, "content-encoding: gzip"], b"[]").problem(415, 20415);
    let long = format!("x={}", "y".repeat(256 << 10));
    post_form(&server.address, &[], &long).problem(413, 20413);
    let promised = ask(&server.address, &format!("POST {STREAM} HTTP/1.1"), &[JSON, "content-length: 4194305"], b"");
    promised.problem(413, 20413);
    let answer = get(&server.address, CALLBACK, &[]);
    answer.problem(405, 20004);
    assert_eq!(answer.header("allow"), "POST");
}

#[test]
fn who_may_not_send_events_is_told_so() {
    let people = People::of(&[("reader", ACCOUNT, r#"["read"]"#), ("pump", ACCOUNT, r#"["ingest"]"#)]);
    let server = people.launch().start();
    let bearer = |name: &str| format!("authorization: {}", people.bearer(name));
    let event = form(&created(1, &sid("WS", 1), now_ms(), "voice"));
    post_form(&server.address, &[], &event).problem(401, 20003);
    post_form(&server.address, &["x-twilio-signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA="], &event).problem(401, 20003);
    let message = post_form(&server.address, &[&bearer("reader")], &event).problem(403, 20403);
    assert!(message.contains("role ingest"), "{message}");
    post_json(&server.address, &[&bearer("reader")], "[]").problem(403, 20403);
    assert_taken(&post_form(&server.address, &[&bearer("pump")], &event));
    // Before any look at the workspace: it is another account's, or nobody's, and the answer is one.
    for workspace in [1, 2] {
        let stolen = form(&created(3, &sid("WS", workspace), now_ms(), "voice")).replace(ACCOUNT, OTHER_ACCOUNT);
        let message = post_form(&server.address, &[&bearer("pump")], &stolen).problem(403, 20403);
        assert!(message.contains("ACCOUNT_MISMATCH"), "{message}");
    }
}

#[test]
fn no_web_page_feeds_a_server_that_asks_nobody_for_credentials() {
    let server = Launch::ephemeral().start();
    let event = form(&created(1, &sid("WS", 1), now_ms(), "voice"));
    let message = post_form(&server.address, &["origin: https://elsewhere.example"], &event).problem(403, 20403);
    assert!(message.contains("web pages"), "{message}");
    assert_taken(&post_form(&server.address, &[], &event));
}
