//! Each reason for refusing an event, through the wire: which reason, which field, and that the rest goes ahead.

mod common;

use common::calls::Client;
use common::events::{at, bare, created, now_ms, sid, task, worker};
use common::process::Launch;
use tasktally::api::proto::v1::{self, EventType, RejectionReason as Reason, TaskAssignmentStatus as Status};

type Spoil = fn(&mut v1::Event);

fn workspace() -> String {
    sid("WS", 1)
}

/// An event that carries a task, a reservation and a worker, all of it well formed.
fn reservation(number: u64) -> v1::Event {
    let worker = worker(number, &workspace(), now_ms(), 1).worker;
    v1::Event {
        task: Some(v1::Task {
            task_channel_sid: sid("TC", 1),
            task_queue_sid: sid("WQ", 1),
            task_queue_entered_date: Some(at(now_ms())),
            workflow_sid: sid("WW", 1),
            ..task(number, Status::Reserved, now_ms(), "voice")
        }),
        reservation: Some(v1::Reservation { sid: sid("WR", number), version: 1 }),
        worker,
        ..bare(number, EventType::ReservationCreated, &workspace(), now_ms())
    }
}

fn activity(number: u64) -> v1::Event {
    let activity = v1::Activity { sid: sid("WA", number), friendly_name: "Idle".to_owned(), available: Some(true) };
    v1::Event { activity: Some(activity), ..bare(number, EventType::ActivityCreated, &workspace(), now_ms()) }
}

fn of_worker(number: u64) -> v1::Event {
    worker(number, &workspace(), now_ms(), 1)
}

fn task_of(event: &mut v1::Event) -> &mut v1::Task {
    event.task.as_mut().unwrap()
}

fn worker_of(event: &mut v1::Event) -> &mut v1::Worker {
    event.worker.as_mut().unwrap()
}

/// What is sent, how it is spoiled, and the reason and field of its refusal.
type Case = (fn(u64) -> v1::Event, Spoil, Reason, &'static str);

const CASES: &[Case] = &[
    (reservation, |event| event.sid.clear(), Reason::MissingField, "sid"),
    (reservation, |event| event.r#type = 0, Reason::MissingField, "type"),
    (reservation, |event| event.timestamp = None, Reason::MissingField, "timestamp"),
    (reservation, |event| event.account_sid.clear(), Reason::MissingField, "account_sid"),
    (reservation, |event| event.workspace_sid.clear(), Reason::MissingField, "workspace_sid"),
    (reservation, |event| event.task = None, Reason::MissingField, "task.sid"),
    (reservation, |event| task_of(event).sid.clear(), Reason::MissingField, "task.sid"),
    (reservation, |event| task_of(event).date_created = None, Reason::MissingField, "task.date_created"),
    (reservation, |event| task_of(event).assignment_status = 0, Reason::MissingField, "task.assignment_status"),
    (
        reservation,
        |event| task_of(event).task_channel_unique_name.clear(),
        Reason::MissingField,
        "task.task_channel_unique_name",
    ),
    (reservation, |event| event.reservation = None, Reason::MissingField, "reservation.sid"),
    (of_worker, |event| event.worker = None, Reason::MissingField, "worker.sid"),
    (of_worker, |event| worker_of(event).activity_sid.clear(), Reason::MissingField, "worker.activity_sid"),
    (activity, |event| event.activity = None, Reason::MissingField, "activity.sid"),
    (
        activity,
        |event| event.activity.as_mut().unwrap().friendly_name.clear(),
        Reason::MissingField,
        "activity.friendly_name",
    ),
    (reservation, |event| event.sid.truncate(33), Reason::MalformedField, "sid"),
    (reservation, |event| event.sid.replace_range(..2, "EW"), Reason::MalformedField, "sid"),
    (reservation, |event| event.timestamp.as_mut().unwrap().nanos = -1, Reason::MalformedField, "timestamp"),
    (reservation, |event| event.timestamp.as_mut().unwrap().seconds = i64::MAX, Reason::MalformedField, "timestamp"),
    (reservation, |event| event.account_sid.replace_range(2..3, "x"), Reason::MalformedField, "account_sid"),
    (reservation, |event| event.workspace_sid.push('0'), Reason::MalformedField, "workspace_sid"),
    (reservation, |event| task_of(event).sid = sid("WR", 1), Reason::MalformedField, "task.sid"),
    (
        reservation,
        |event| task_of(event).date_created.as_mut().unwrap().nanos = 1_000_000_000,
        Reason::MalformedField,
        "task.date_created",
    ),
    (reservation, |event| task_of(event).assignment_status = 7, Reason::MalformedField, "task.assignment_status"),
    (
        reservation,
        |event| task_of(event).task_channel_sid = "TC".into(),
        Reason::MalformedField,
        "task.task_channel_sid",
    ),
    (reservation, |event| task_of(event).task_queue_sid = sid("WW", 1), Reason::MalformedField, "task.task_queue_sid"),
    (
        reservation,
        |event| task_of(event).task_queue_entered_date.as_mut().unwrap().seconds = -62_135_596_801,
        Reason::MalformedField,
        "task.task_queue_entered_date",
    ),
    (reservation, |event| task_of(event).workflow_sid = sid("WQ", 1), Reason::MalformedField, "task.workflow_sid"),
    (
        reservation,
        |event| event.reservation.as_mut().unwrap().sid = "é".repeat(17),
        Reason::MalformedField,
        "reservation.sid",
    ),
    (reservation, |event| worker_of(event).sid = "WK1".to_owned(), Reason::MalformedField, "worker.sid"),
    (
        reservation,
        |event| worker_of(event).activity_sid.make_ascii_lowercase(),
        Reason::MalformedField,
        "worker.activity_sid",
    ),
    (activity, |event| event.activity.as_mut().unwrap().sid = sid("AC", 1), Reason::MalformedField, "activity.sid"),
    (reservation, |event| event.r#type = 50, Reason::UnknownType, "type"),
    (reservation, |event| event.r#type = -1, Reason::UnknownType, "type"),
    (reservation, |event| event.timestamp = Some(at(now_ms() - 30 * 86_400_000 - 60_000)), Reason::TooOld, "timestamp"),
    (reservation, |event| event.timestamp = Some(at(now_ms() + 360_000)), Reason::TooNew, "timestamp"),
    (reservation, |event| event.account_sid = sid("AC", 2), Reason::AccountMismatch, "account_sid"),
    (
        reservation,
        |event| task_of(event).task_channel_unique_name = "x".repeat(1_025),
        Reason::LimitExceeded,
        "task.task_channel_unique_name",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_is_told_with_its_field_and_the_rest_goes_ahead() {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    client.accept(vec![bare(1, EventType::WorkspaceCreated, &workspace(), now_ms())]).await;
    // One batch of all: each spoiled event between two good ones.
    let (mut batch, mut good) = (Vec::new(), 0);
    for (number, (event, spoil, _, _)) in (10..).zip(CASES) {
        let mut spoiled = event(number);
        spoil(&mut spoiled);
        batch.extend([bare(1_000 + number, EventType::WorkspaceUpdated, &workspace(), now_ms()), spoiled]);
        good += 1;
    }
    let answer = client.send(batch.clone()).await.unwrap();
    assert_eq!((answer.accepted, answer.duplicates, answer.rejected.len()), (good, 0, CASES.len()));
    for (case, (rejected, (_, _, reason, field))) in answer.rejected.iter().zip(CASES).enumerate() {
        let index = 2 * case + 1;
        assert_eq!((rejected.index as usize, rejected.reason()), (index, *reason), "{rejected:?}");
        assert_eq!(rejected.field, *field, "{rejected:?}");
        assert_eq!(rejected.event_sid, batch[index].sid, "as it was sent");
        assert!(!rejected.message.is_empty(), "{rejected:?}");
    }
    // A refused event leaves no trace and may be corrected and sent again with the same sid.
    let realtime = client.realtime(&workspace(), "").await.unwrap();
    assert_eq!((realtime.total_tasks, realtime.total_workers, realtime.activity_statistics.len()), (0, 0, 0));
    let corrected = (10..).zip(CASES).map(|(number, (event, ..))| event(number)).collect();
    client.accept(corrected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_reasons_the_first_in_their_order_is_told() {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    client.accept(vec![bare(1, EventType::WorkspaceCreated, &workspace(), now_ms())]).await;
    let mut event = reservation(2);
    task_of(&mut event).task_channel_unique_name = "x".repeat(1_025);
    event.timestamp = Some(at(now_ms() - 31 * 86_400_000));
    event.r#type = 77;
    event.workspace_sid = "WS1".to_owned();
    event.account_sid.clear();
    // Each step removes the reason that was told, and the next one shows.
    let steps: &[(Reason, Spoil)] = &[
        (Reason::MissingField, |event| event.account_sid = sid("AC", 2)),
        (Reason::MalformedField, |event| event.workspace_sid = workspace()),
        (Reason::UnknownType, |event| event.r#type = EventType::ReservationCreated.into()),
        (Reason::TooOld, |event| event.timestamp = Some(at(now_ms() + 360_000))),
        (Reason::TooNew, |event| event.timestamp = Some(at(now_ms()))),
        (Reason::AccountMismatch, |event| event.account_sid = common::events::ACCOUNT.to_owned()),
        (Reason::LimitExceeded, |event| task_of(event).task_channel_unique_name = "x".repeat(1_024)),
    ];
    for (reason, mend) in steps {
        let answer = client.send(vec![event.clone()]).await.unwrap();
        assert_eq!(answer.rejected.len(), 1, "{reason:?}: {answer:?}");
        assert_eq!(answer.rejected[0].reason(), *reason);
        mend(&mut event);
    }
    client.accept(vec![event.clone()]).await;
    // Refused or not is decided before duplicate or not.
    event.account_sid = sid("AC", 2);
    assert_eq!(client.send(vec![event.clone()]).await.unwrap().rejected[0].reason(), Reason::AccountMismatch);
    event.account_sid = common::events::ACCOUNT.to_owned();
    assert_eq!(client.send(vec![event]).await.unwrap().duplicates, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_has_so_many_channels_and_no_more() {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    let event = |number: u64| created(number, &workspace(), now_ms(), &format!("channel {number}"));
    client.accept((1..=1_000).map(event).collect()).await;
    let answer = client.send(vec![event(1_001)]).await.unwrap();
    assert_eq!(answer.rejected[0].reason(), Reason::LimitExceeded, "{answer:?}");
    assert!(answer.rejected[0].message.contains("1000"), "{answer:?}");
    // What is there already still takes events, and so do other workspaces.
    client.accept(vec![created(2_000, &workspace(), now_ms(), "channel 1")]).await;
    client.accept(vec![created(2_001, &sid("WS", 2), now_ms(), "channel 1001")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_sid_is_echoed_cut_at_64_bytes_between_characters() {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    let mut event = reservation(1);
    event.sid = format!("{}é{}", "x".repeat(63), "y".repeat(100));
    let answer = client.send(vec![event]).await.unwrap();
    assert_eq!(answer.rejected[0].event_sid, "x".repeat(63));
}
