//! Names: each of the six, in bytes.

use tasktally::api::proto::v1::{self, EventType, TaskAssignmentStatus};

use super::assert_refused;
use crate::common::calls::Client;
use crate::common::events::{bare, now_ms, sid, task, worker};
use crate::common::process::Launch;

const MOST: usize = 20;

/// An event of every name, of which one is this.
fn event(number: u64, field: &str, name: &str) -> v1::Event {
    let workspace = sid("WS", 1);
    let named = |own: &str| if own == field { name.to_owned() } else { "short".to_owned() };
    let mut event = worker(number, &workspace, now_ms(), 1);
    let worker = event.worker.as_mut().unwrap();
    worker.friendly_name = named("worker.friendly_name");
    worker.activity_name = named("worker.activity_name");
    if field.starts_with("activity.") {
        let friendly_name = named("activity.friendly_name");
        let activity = Some(v1::Activity { sid: sid("WA", 1), friendly_name, ..v1::Activity::default() });
        return v1::Event { activity, ..bare(number, EventType::ActivityUpdated, &workspace, now_ms()) };
    }
    if field.starts_with("worker.") {
        return event;
    }
    let mut task = task(number, TaskAssignmentStatus::Pending, now_ms(), &named("task.task_channel_unique_name"));
    task.task_queue_name = named("task.task_queue_name");
    task.workflow_name = named("task.workflow_name");
    v1::Event { task: Some(task), ..bare(number, EventType::TaskCreated, &workspace, now_ms()) }
}

const FIELDS: [&str; 6] = [
    "task.task_channel_unique_name",
    "task.task_queue_name",
    "task.workflow_name",
    "worker.friendly_name",
    "worker.activity_name",
    "activity.friendly_name",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_so_many_bytes_and_one_that_was_taken_stays_so() {
    let home = tempfile::tempdir().unwrap();
    let at_bound = "é".repeat(MOST / 2);
    let mut server = Launch::on(home.path()).with(["--max-name-bytes", "20"]).start();
    let client = Client::to(&server).await;
    let mut taken = Vec::new();
    for (number, field) in (10..).step_by(10).zip(FIELDS) {
        taken.push(event(number, field, &at_bound));
        client.accept(vec![taken.last().unwrap().clone()]).await;
        for (number, name) in [(number + 1, format!("{at_bound}x")), (number + 2, "é".repeat(MOST))] {
            let answer = client.send(vec![event(number, field, &name)]).await.unwrap();
            assert_refused(&answer, 0, 0, ("max_name_bytes", MOST));
            assert_eq!(answer.rejected[0].field, field);
        }
    }
    // The bound is lowered: events that are there already are still known, and only new ones are refused.
    server.kill();
    server = Launch::on(home.path()).with(["--max-name-bytes", "19"]).start();
    let client = Client::to(&server).await;
    let again = client.send(taken.clone()).await.unwrap();
    assert_eq!((again.accepted, again.duplicates, again.rejected.len()), (0, 6, 0), "{again:?}");
    for (number, field) in (1_000..).zip(FIELDS) {
        let answer = client.send(vec![event(number, field, &at_bound)]).await.unwrap();
        assert_refused(&answer, 0, 0, ("max_name_bytes", 19));
    }
    server.assert_sound();
}
