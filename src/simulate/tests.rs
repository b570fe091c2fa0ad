use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::api::proto::v1::{Event, TaskAssignmentStatus as Status};
use crate::event::{
    AccountSid, ActivitySid, ChannelSid, EventKind, EventSid, QueueSid, ReservationSid, TaskSid, WorkerSid,
    WorkflowSid, WorkspaceSid,
};

const START_MS: i64 = 1_790_000_000_123;

fn settings(workspaces: usize, workers: usize, tasks_per_second: f64) -> Settings {
    Settings { start_ms: START_MS, workspaces, workers, tasks_per_second }
}

/// What the law needs to remember of each object.
#[derive(Default)]
struct Law {
    events: HashSet<String>,
    last_ms: i64,
    tasks: HashMap<String, TaskState>,
    /// Open reservations: of which task, which worker, whether accepted.
    reservations: HashMap<String, (String, String, bool)>,
    closed_reservations: HashSet<String>,
    workers: HashMap<String, WorkerState>,
    held_workers: HashMap<String, usize>,
}

struct TaskState {
    created_ms: i64,
    status: Status,
    version: i64,
    deleted: bool,
}

struct WorkerState {
    version: i64,
    deleted: bool,
}

impl Law {
    fn obey(&mut self, event: &Event) {
        let kind = EventKind::from_number(event.r#type).expect("a known type");
        assert!(EventSid::matches(&event.sid) && self.events.insert(event.sid.clone()), "{event:?}");
        assert!(AccountSid::matches(&event.account_sid) && WorkspaceSid::matches(&event.workspace_sid));
        let at_ms = timestamp_ms(event);
        assert!(at_ms >= START_MS && at_ms >= self.last_ms, "back in time: {event:?}");
        self.last_ms = at_ms;

        let carried = kind.carried();
        assert_eq!(event.task.is_some(), carried.task, "{event:?}");
        assert_eq!(event.reservation.is_some(), carried.reservation, "{event:?}");
        assert_eq!(event.worker.is_some(), carried.worker, "{event:?}");
        assert_eq!(event.activity.is_some(), carried.activity, "{event:?}");
        if let Some(activity) = &event.activity {
            assert!(ActivitySid::matches(&activity.sid) && !activity.friendly_name.is_empty());
        }
        self.obey_worker(kind, event);
        self.obey_reservation(kind, event);
        self.obey_task(kind, event, at_ms);
    }

    fn obey_worker(&mut self, kind: EventKind, event: &Event) {
        let Some(worker) = &event.worker else { return };
        assert!(WorkerSid::matches(&worker.sid) && ActivitySid::matches(&worker.activity_sid), "{event:?}");
        if kind == EventKind::WorkerCreated {
            let state = WorkerState { version: worker.version, deleted: false };
            assert!(self.workers.insert(worker.sid.clone(), state).is_none(), "created twice: {event:?}");
            return;
        }
        let state = self.workers.get_mut(&worker.sid).expect("a worker is created first");
        assert!(!state.deleted, "after its deletion: {event:?}");
        let own = kind.name().starts_with("worker.");
        assert!(worker.version > state.version || (!own && worker.version == state.version), "{event:?}");
        state.version = worker.version;
        state.deleted = kind == EventKind::WorkerDeleted;
        assert!(!state.deleted || self.held_workers.get(&worker.sid).is_none_or(|&held| held == 0), "{event:?}");
    }

    fn obey_reservation(&mut self, kind: EventKind, event: &Event) {
        let (Some(reservation), Some(worker), Some(task)) = (&event.reservation, &event.worker, &event.task) else {
            return;
        };
        assert!(ReservationSid::matches(&reservation.sid));
        let held = self.held_workers.entry(worker.sid.clone()).or_default();
        if kind == EventKind::ReservationCreated {
            *held += 1;
            assert_eq!(*held, 1, "a worker is held for one task at a time: {event:?}");
            let new = (task.sid.clone(), worker.sid.clone(), false);
            assert!(self.reservations.insert(reservation.sid.clone(), new).is_none(), "{event:?}");
            return;
        }
        assert!(!self.closed_reservations.contains(&reservation.sid), "after its end: {event:?}");
        let open = self.reservations.get_mut(&reservation.sid).expect("a reservation is created first");
        assert_eq!((&open.0, &open.1), (&task.sid, &worker.sid), "{event:?}");
        match kind {
            EventKind::ReservationAccepted => {
                assert!(!open.2, "accepted twice: {event:?}");
                open.2 = true;
            }
            EventKind::ReservationWrapup => assert!(open.2, "never accepted: {event:?}"),
            _ => {
                assert_eq!(open.2, kind == EventKind::ReservationCompleted, "{event:?}");
                *held -= 1;
                self.closed_reservations.insert(reservation.sid.clone());
            }
        }
    }

    fn obey_task(&mut self, kind: EventKind, event: &Event, at_ms: i64) {
        let Some(task) = &event.task else { return };
        let status = Status::try_from(task.assignment_status).expect("a known status");
        let created = task.date_created.expect("required");
        let created_ms = created.seconds * 1000 + i64::from(created.nanos / 1_000_000);
        assert!(TaskSid::matches(&task.sid) && ChannelSid::matches(&task.task_channel_sid));
        assert!(WorkflowSid::matches(&task.workflow_sid) && !task.task_channel_unique_name.is_empty());
        assert!(task.task_queue_sid.is_empty() || QueueSid::matches(&task.task_queue_sid));
        if kind == EventKind::TaskCreated {
            assert_eq!((status, created_ms), (Status::Pending, at_ms), "{event:?}");
            let state = TaskState { created_ms, status, version: task.version, deleted: false };
            assert!(self.tasks.insert(task.sid.clone(), state).is_none(), "created twice: {event:?}");
            return;
        }
        let state = self.tasks.get_mut(&task.sid).expect("a task is created first");
        assert!(!state.deleted && task.version > state.version && state.created_ms == created_ms, "{event:?}");
        assert!(lawful(state.status, kind, status), "{:?} -> {event:?}", state.status);
        state.status = status;
        state.version = task.version;
        state.deleted = kind.deletes_task();
    }
}

/// Whether this kind of event may take a task from one status to the other.
fn lawful(from: Status, kind: EventKind, to: Status) -> bool {
    use EventKind::*;
    use Status::*;
    match kind {
        TaskUpdated
        | ReservationFailed
        | WorkflowEntered
        | WorkflowSkipped
        | WorkflowTargetMatched
        | WorkflowTimeout
        | TaskQueueEntered
        | TaskQueueTimeout
        | TaskQueueMoved => (from, to) == (Pending, Pending),
        ReservationCreated => matches!(from, Pending | Reserved | Assigned) && to == Reserved,
        ReservationAccepted => (from, to) == (Reserved, Assigned),
        ReservationRescinded => (from, to) == (Assigned, Assigned),
        ReservationRejected | ReservationTimeout => from == Reserved && matches!(to, Pending | Reserved | Assigned),
        ReservationCanceled => matches!(from, Pending | Reserved) && matches!(to, Pending | Assigned),
        TaskTransferInitiated
        | TaskTransferCompleted
        | TaskTransferAttemptFailed
        | TaskTransferFailed
        | TaskTransferCanceled => (from, to) == (Assigned, Assigned),
        ReservationWrapup => (from, to) == (Assigned, Wrapping),
        TaskWrapup => (from, to) == (Wrapping, Wrapping),
        ReservationCompleted => from == to && matches!(from, Assigned | Wrapping),
        TaskCompleted => matches!(from, Assigned | Wrapping) && to == Completed,
        TaskCanceled => from == Pending && to == Canceled,
        TaskDeleted => from == to && matches!(from, Pending | Completed | Canceled),
        TaskSystemDeleted => from == to && matches!(from, Completed | Canceled),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_lawful(
        seed: u64, workspaces in 1..4usize, workers in 0..40usize, rate in prop::sample::select(vec![0.01, 0.5, 3.0, 400.0])
    ) {
        let mut law = Law::default();
        Centre::new(seed, settings(workspaces, workers, rate)).take(4_000).for_each(|event| law.obey(&event));
    }
}

#[test]
fn a_long_history_is_lawful_and_shows_nearly_every_kind() {
    let mut law = Law::default();
    let mut seen = HashSet::new();
    // A centre without workers shows what patience and workflows do.
    let unstaffed = Centre::new(8, settings(1, 0, 3.0)).take(40_000);
    seen.extend(unstaffed.map(|event| EventKind::from_number(event.r#type).unwrap()));
    for event in Centre::new(7, settings(2, 80, 20.0)).take(100_000) {
        law.obey(&event);
        seen.insert(EventKind::from_number(event.r#type).unwrap());
    }
    let unseen: Vec<&str> = EventKind::ALL.into_iter().filter(|kind| !seen.contains(kind)).map(|k| k.name()).collect();
    let never = ["activity.deleted", "task-channel.deleted", "workflow.deleted", "workspace.deleted"];
    // Shifts are those of real life: whether a worker leaves for good within this hour is a matter of chance.
    let rare = ["worker.deleted", "task-channel.updated", "task-queue.deleted", "task-queue.expression.updated"];
    let rare = [&rare[..], &["workflow.updated", "workspace.updated", "activity.updated"]].concat();
    assert!(unseen.iter().all(|name| never.contains(name) || rare.contains(name)), "{unseen:?}");
}

#[test]
fn workers_keep_up_with_tasks_at_any_rate() {
    for rate in [0.05, 1.0, 200.0] {
        let events: Vec<Event> = Centre::new(3, settings(1, 60, rate)).take(60_000).collect();
        let count = |kind: EventKind| events.iter().filter(|event| event.r#type == i32::from(kind.number())).count();
        let (created, completed) = (count(EventKind::TaskCreated), count(EventKind::TaskCompleted));
        let canceled = count(EventKind::TaskCanceled);
        assert!(completed * 10 > created * 7 && canceled * 4 < created, "{rate}: {created} {completed} {canceled}");
    }
}

#[test]
fn the_same_seed_and_start_make_the_same_events_and_others_share_no_sid() {
    let take = |seed, settings: Settings| Centre::new(seed, settings).take(5_000).collect::<Vec<Event>>();
    let events = take(1, settings(2, 10, 1.0));
    assert_eq!(events, take(1, settings(2, 10, 1.0)));
    let later = Settings { start_ms: START_MS + 1, ..settings(2, 10, 1.0) };
    for others in [take(2, settings(2, 10, 1.0)), take(1, later)] {
        let sids: HashSet<&str> = events.iter().flat_map(|event| [&*event.sid, &*event.workspace_sid]).collect();
        assert!(others.iter().all(|event| !sids.contains(&*event.sid) && !sids.contains(&*event.workspace_sid)));
    }
}

#[test]
fn disturbances_lose_nothing_and_keep_the_order_of_due_times() {
    let events: Vec<Event> = Centre::new(5, settings(1, 20, 2.0)).take(20_000).collect();
    let disturbance = Disturbance { duplicates: 0.1, late: 0.2, late_by_ms: 600_000 };
    let deliveries: Vec<Delivery> = Disturbed::new(events.clone().into_iter(), 5, disturbance).collect();
    assert!(deliveries.is_sorted_by_key(|delivery| delivery.due_ms));
    let late = deliveries.iter().filter(|delivery| delivery.due_ms > timestamp_ms(&delivery.event)).count();
    let twice = deliveries.len() - events.len();
    assert!((1_800..2_200).contains(&twice), "{twice}");
    assert!((5_200..6_400).contains(&late), "{late}");
    assert!(
        deliveries.iter().all(|delivery| { (0..600_000).contains(&(delivery.due_ms - timestamp_ms(&delivery.event))) })
    );
    let sids = |events: Vec<Event>| events.into_iter().map(|event| event.sid).collect::<HashSet<String>>();
    assert_eq!(sids(deliveries.into_iter().map(|delivery| delivery.event).collect()), sids(events.clone()));

    let calm = Disturbance { duplicates: 0.0, late: 0.0, late_by_ms: 0 };
    let undisturbed: Vec<Event> = Disturbed::new(events.clone().into_iter(), 5, calm).map(|d| d.event).collect();
    assert_eq!(undisturbed, events);
}

#[test]
fn what_is_under_way_can_be_drained() {
    let disturbance = Disturbance { duplicates: 0.5, late: 0.5, late_by_ms: 600_000 };
    let mut disturbed = Disturbed::new(Centre::new(5, settings(1, 20, 2.0)), 5, disturbance);
    let last = disturbed.by_ref().take(1_000).last().unwrap();
    let rest: Vec<Delivery> = disturbed.drain().collect();
    assert!(!rest.is_empty() && rest.is_sorted_by_key(|delivery| delivery.due_ms));
    assert!(rest.iter().all(|delivery| delivery.due_ms >= last.due_ms));
    assert_eq!(disturbed.drain().count(), 0);
}

#[test]
fn a_given_account_is_the_only_difference() {
    let account = format!("AC{}", "a".repeat(32));
    let drawn: Vec<Event> = Centre::new(3, settings(2, 10, 1.0)).take(2_000).collect();
    let given = Centre::of_account(3, settings(2, 10, 1.0), Some(account.clone())).take(2_000);
    for (drawn, given) in drawn.into_iter().zip(given) {
        assert_ne!(drawn.account_sid, account);
        assert_eq!(given, Event { account_sid: account.clone(), ..drawn });
    }
}
