//! What is taken, and means the same as over gRPC.

use tasktally::api::proto::v1;

use super::sent::{FORM, JSON, STREAM, assert_taken, form, list, post, post_form, post_json, tally};
use crate::common::calls::{Client, since};
use crate::common::events::{Centre, Figures, at, created, now_ms, sid};
use crate::common::process::{Launch, Server};

/// The same events, a third each way, everything twice, against all of them over gRPC.
#[tokio::test(flavor = "multi_thread")]
async fn the_three_ways_in_lead_to_one_state() {
    let (grpc, mixed) = (Launch::ephemeral().start(), Launch::ephemeral().start());
    // Callbacks carry creation times in whole seconds.
    let centre = Centre { end_ms: now_ms() / 1000 * 1000, workspaces: 2 };
    let events: Vec<v1::Event> = (0..300).map(|number| whole(centre.event(number))).collect();
    Client::to(&grpc).await.accept(events.clone()).await;
    let client = Client::to(&mixed).await;
    for _ in 0..2 {
        for events in events.rchunks(30) {
            let (by_grpc, rest) = events.split_at(10);
            let (by_stream, by_callback) = rest.split_at(10);
            by_callback.iter().for_each(|event| assert_taken(&post_form(&mixed.address, &[], &form(event))));
            let (accepted, duplicates, refused) = tally(&post_json(&mixed.address, &[], &list(by_stream)));
            assert_eq!((accepted + duplicates, refused.len()), (10, 0));
            assert!(client.send(by_grpc.to_vec()).await.unwrap().rejected.is_empty());
        }
    }
    for workspace in 0..2 {
        let told = |server| figures(server, centre.workspace(workspace));
        assert_eq!(told(&grpc).await, told(&mixed).await);
    }
}

fn whole(mut event: v1::Event) -> v1::Event {
    if let Some(task) = &mut event.task {
        let times = [&mut task.date_created, &mut task.task_queue_entered_date];
        times.into_iter().flatten().for_each(|time| time.nanos = 0);
    }
    event
}

async fn figures(server: &Server, workspace_sid: String) -> Figures {
    let request = v1::GetStatisticsRequest {
        workspace_sid,
        start_time: Some(at(now_ms() - 3_600_000)),
        ..v1::GetStatisticsRequest::default()
    };
    let client = Client::to(server).await;
    Figures::told(&client.statistics().get_statistics(request).await.unwrap().into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_a_duplicate_also_without_a_sid() {
    let server = Launch::ephemeral().start();
    let workspace = sid("WS", 1);
    let event = created(1, &workspace, now_ms(), "voice");
    for _ in 0..3 {
        assert_taken(&post_form(&server.address, &[], &form(&event)));
    }
    let other = created(2, &workspace, now_ms(), "voice");
    let nameless = form(&other).replace(&format!("Sid={}&", other.sid), "");
    assert!(!nameless.starts_with("Sid="), "{nameless}");
    let turned: Vec<&str> = nameless.split('&').rev().collect();
    for body in [&nameless, &nameless, &turned.join("&")] {
        assert_taken(&post_form(&server.address, &[], body));
    }
    let third = list(&[created(3, &workspace, now_ms(), "voice"), event]);
    assert_eq!(tally(&post_json(&server.address, &[], &third)), (1, 1, vec![]));
    assert_eq!(tally(&post_json(&server.address, &[], &third)), (0, 2, vec![]));
    let client = Client::to(&server).await;
    let all = client.cumulative(since(&workspace, at(now_ms() - 3_600_000))).await.unwrap();
    assert_eq!(all.tasks_created, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_a_list_one_object_or_lines_of_any_json_type() {
    let server = Launch::ephemeral().start();
    let events: Vec<_> = (1..=4).map(|number| created(number, &sid("WS", number % 2), now_ms(), "chat")).collect();
    let one = |event: &v1::Event| list(std::slice::from_ref(event)).trim_matches(['[', ']']).to_owned();
    assert_eq!(tally(&post_json(&server.address, &[], &one(&events[0]))), (1, 0, vec![]));
    let lines = format!("{}\n{}\n", one(&events[1]), one(&events[0]));
    let ndjson = post(&server.address, STREAM, &["content-type: application/x-ndjson"], lines.as_bytes());
    assert_eq!(tally(&ndjson), (1, 1, vec![]));
    for kind in ["application/cloudevents+json", "application/cloudevents-batch+json; charset=utf-8"] {
        let answer = post(&server.address, STREAM, &[&format!("content-type: {kind}")], list(&events[2..]).as_bytes());
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    }
    assert_eq!(tally(&post_json(&server.address, &[], "[]")), (0, 0, vec![]));
}

/// Without a length, in pieces, with what HTTP/1.1 senders ask for first.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_come_in_chunks() {
    let server = Launch::ephemeral().start();
    let body = list(&[created(1, &sid("WS", 1), now_ms(), "voice")]);
    let (first, second) = body.split_at(body.len() / 2);
    let chunked = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let headers = [JSON, "transfer-encoding: chunked"];
    let line = format!("POST {STREAM} HTTP/1.1");
    let answer = crate::common::web::ask(&server.address, &line, &headers, chunked.as_bytes());
    assert_eq!(tally(&answer), (1, 0, vec![]));
    let event = form(&created(2, &sid("WS", 1), now_ms(), "voice"));
    let answer = post(&server.address, super::sent::CALLBACK, &[FORM, "accept-encoding: utf-8"], event.as_bytes());
    assert_taken(&answer);
}
