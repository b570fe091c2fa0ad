//! Each bound at its number and one past it, through a whole pipeline that the test moves on step by step.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use self::rig::Rig;
use super::*;
use crate::event::{
    Activity, ChannelSid, EventKind, EventSid, HOUR_MS, Millis, Task, TaskStatus, Worker, WorkspaceSid,
};
use crate::pipeline::{IngestError, Recovered};

mod rig;

const NOW: i64 = 1_800_000_000_000;
const ONE: u8 = 1;
const TWO: u8 = 2;

const ROOMY: usize = 100;

/// Bounds far from everything but what a test sets.
fn roomy() -> GrowthLimits {
    let account = AccountLimits { workspaces: ROOMY, channels: ROOMY, workers: ROOMY, activities: ROOMY, tasks: ROOMY };
    GrowthLimits {
        workspaces: ROOMY,
        channels: ROOMY,
        workers: ROOMY,
        activities: ROOMY,
        tasks: ROOMY,
        priorities: ROOMY,
        name_bytes: 50,
        account,
    }
}

fn bare(account: u8, workspace: u8, kind: EventKind) -> Event {
    Event {
        sid: EventSid::from_bytes([0; 16]),
        kind,
        at: Millis(NOW),
        account: AccountSid::from_bytes([account; 16]),
        workspace: WorkspaceSid::from_bytes([workspace; 16]),
        task: None,
        reservation: None,
        worker: None,
        activity: None,
    }
}

fn task(task: u8, channel: &str, channel_sid: Option<u8>, status: TaskStatus) -> Option<Task> {
    Some(Task {
        date_created: Some(Millis(NOW)),
        status: Some(status),
        channel_name: Some(channel.into()),
        channel_sid: channel_sid.map(|byte| ChannelSid::from_bytes([byte; 16])),
        ..Task::bare(TaskSid::from_bytes([task; 16]))
    })
}

fn of_channel(workspace: u8, number: u8) -> Event {
    let task = task(1, &format!("channel {number}"), None, TaskStatus::Pending);
    Event { task, ..bare(ONE, workspace, EventKind::TaskUpdated) }
}

fn of_channel_sid(workspace: u8, number: u8) -> Event {
    Event { task: task(1, "voice", Some(number), TaskStatus::Pending), ..bare(ONE, workspace, EventKind::TaskUpdated) }
}

fn of_task(workspace: u8, number: u8) -> Event {
    Event { task: task(number, "voice", None, TaskStatus::Pending), ..bare(ONE, workspace, EventKind::TaskCreated) }
}

fn of_worker(workspace: u8, number: u8) -> Event {
    let worker = Worker {
        sid: WorkerSid::from_bytes([number; 16]),
        name: None,
        activity_sid: Some(ActivitySid::from_bytes([1; 16])),
        activity_name: None,
        version: 0,
    };
    Event { worker: Some(worker), ..bare(ONE, workspace, EventKind::WorkerCreated) }
}

fn of_activity(workspace: u8, number: u8) -> Event {
    let activity = Activity { sid: ActivitySid::from_bytes([number; 16]), name: Some("Idle".into()), available: None };
    Event { activity: Some(activity), ..bare(ONE, workspace, EventKind::ActivityCreated) }
}

fn of_priority(workspace: u8, number: u8) -> Event {
    let mut event = of_task(workspace, number);
    event.task.as_mut().unwrap().priority = i32::from(number) - 2;
    event
}

type Make = fn(workspace: u8, number: u8) -> Event;
type Set = fn(&mut GrowthLimits, usize);

const KINDS_OF_EVENTS: [(&str, Make, Set, Option<Set>); 6] = [
    ("max_channels", of_channel, |it, most| it.channels = most, Some(|it, most| it.account.channels = most)),
    ("max_channels", of_channel_sid, |it, most| it.channels = most, Some(|it, most| it.account.channels = most)),
    ("max_workers", of_worker, |it, most| it.workers = most, Some(|it, most| it.account.workers = most)),
    ("max_activities", of_activity, |it, most| it.activities = most, Some(|it, most| it.account.activities = most)),
    ("max_tasks", of_task, |it, most| it.tasks = most, Some(|it, most| it.account.tasks = most)),
    ("max_priorities", of_priority, |it, most| it.priorities = most, None),
];

#[test]
fn a_workspace_takes_as_many_of_each_kind_as_its_bound_and_not_one_more() {
    // By default there is plenty of room for tasks and workers: not every event is looked at.
    let kinds = KINDS_OF_EVENTS.iter().flat_map(|kind| [(kind, roomy()), (kind, GrowthLimits::default())]);
    for ((name, make, set, _), mut limits) in kinds {
        set(&mut limits, 3);
        let limit = leak(&format!("{name}_per_workspace"));
        // In one call, whose events are judged before any of them is in the engine; and one by one.
        let mut rig = Rig::new(limits);
        let ingested = rig.send((1..=4).chain(1..=4).map(|number| make(1, number))).unwrap();
        let refused: Vec<u32> = ingested.refused.iter().map(|(index, _)| *index).collect();
        assert_eq!((ingested.accepted, refused), (6, vec![3, 7]), "{limit}");
        let mut rig = Rig::new(limits);
        for number in 1..=3 {
            assert_eq!(rig.bound_met(make(1, number)), None, "{limit}, {number}");
        }
        assert_eq!(rig.bound_met(make(1, 4)), Some((limit, 3)));
        assert_eq!(rig.bound_met(make(1, 3)), None, "{limit}: what adds nothing is taken at the bound");
        assert_eq!(rig.bound_met(make(2, 4)), None, "{limit}: another workspace has room of its own");
        assert_eq!(rig.bound_met(bare(ONE, 1, EventKind::WorkflowCreated)), None);
    }
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

#[test]
fn an_account_takes_as_many_over_its_workspaces_as_its_bound_and_not_one_more() {
    for (name, make, set) in KINDS_OF_EVENTS.iter().filter_map(|(name, make, _, set)| Some((name, make, (*set)?))) {
        let mut limits = roomy();
        set(&mut limits, 4);
        let limit = leak(&format!("{name}_per_account"));
        let mut rig = Rig::new(limits);
        // The workspaces lie in different partitions; each has one object of the kind before the fourth comes.
        for workspace in 1..=4 {
            assert_eq!(rig.bound_met(make(workspace, 1)), None, "{limit}, {workspace}");
        }
        assert_eq!(rig.bound_met(make(1, 2)), Some((limit, 4)));
        assert_eq!(rig.bound_met(make(5, 1)), Some((limit, 4)), "nor does a new workspace come for it");
        assert_eq!(rig.bound_met(make(4, 1)), None, "{limit}: what adds nothing is taken");
        let other = Event { account: AccountSid::from_bytes([TWO; 16]), ..make(5, 1) };
        assert_eq!(rig.bound_met(other), None, "{limit}: another account has room, and the workspace is not bound");
    }
}

#[test]
fn workspaces_have_a_bound_in_all_and_one_for_an_account() {
    let mut limits = GrowthLimits { workspaces: 3, ..roomy() };
    limits.account.workspaces = 2;
    let mut rig = Rig::new(limits);
    let of = |account, workspace| bare(account, workspace, EventKind::WorkspaceUpdated);
    assert_eq!(rig.bound_met(of(ONE, 1)), None);
    assert_eq!(rig.bound_met(of(ONE, 2)), None);
    assert_eq!(rig.bound_met(of(ONE, 3)), Some(("max_workspaces_per_account", 2)));
    assert_eq!(rig.bound_met(of(TWO, 3)), None, "the refused one is bound to nobody");
    assert_eq!(rig.bound_met(of(TWO, 4)), Some(("max_workspaces", 3)));
    assert_eq!(rig.bound_met(of(ONE, 2)), None, "what is there takes events");
}

#[test]
fn a_duplicate_is_recognised_at_the_bound() {
    let mut rig = Rig::new(GrowthLimits { tasks: 1, ..roomy() });
    let event = Event { sid: EventSid::from_bytes([9; 16]), ..of_task(1, 1) };
    assert_eq!(rig.send_as_they_are(vec![event.clone()]).unwrap().accepted, 1);
    assert_eq!(rig.send_as_they_are(vec![event]).unwrap().duplicates, 1);
}

#[test]
fn a_group_that_the_journal_refused_leaves_all_room_as_it_was() {
    let mut limits = GrowthLimits { workspaces: 1, ..roomy() };
    limits.account.tasks = 2;
    let mut rig = Rig::new(limits);
    rig.refuses.store(true, Ordering::SeqCst);
    let failed = rig.send([of_task(1, 1), of_task(1, 2)]).unwrap_err();
    assert!(matches!(failed, IngestError::Unwritable { .. }), "{failed:?}");
    rig.refuses.store(false, Ordering::SeqCst);
    rig.later(2_000);
    assert_eq!(rig.send([of_task(2, 3), of_task(2, 4)]).unwrap().accepted, 2);
    assert_eq!(rig.bound_met(of_task(2, 5)), Some(("max_tasks_per_account", 2)));
}

#[test]
fn tasks_that_ended_give_their_account_room_once_they_are_forgotten() {
    let mut limits = roomy();
    limits.account.tasks = 2;
    let mut rig = Rig::new(limits);
    assert_eq!(rig.send([of_task(1, 1), of_task(2, 2)]).unwrap().accepted, 2);
    assert_eq!(rig.bound_met(of_task(2, 3)), Some(("max_tasks_per_account", 2)));
    let ended = Event { task: task(1, "voice", None, TaskStatus::Completed), ..bare(ONE, 1, EventKind::TaskCompleted) };
    assert_eq!(rig.bound_met(ended), None);
    rig.later(HOUR_MS + HOUR_MS / 2);
    assert_eq!(rig.bound_met(of_task(2, 3)), None);
    assert_eq!(rig.bound_met(of_task(2, 4)), Some(("max_tasks_per_account", 2)));
}

#[test]
fn a_priority_counts_while_an_active_task_has_it() {
    let mut rig = Rig::new(GrowthLimits { priorities: 1, ..roomy() });
    let with = |priority: u8, number: u8, status: TaskStatus| {
        let mut event = of_priority(1, priority);
        let task = event.task.as_mut().unwrap();
        (task.sid, task.status) = (TaskSid::from_bytes([number; 16]), Some(status));
        event
    };
    assert_eq!(rig.bound_met(with(1, 1, TaskStatus::Pending)), None);
    assert_eq!(rig.bound_met(with(1, 2, TaskStatus::Pending)), None, "another task of the same");
    let full = Some(("max_priorities_per_workspace", 1));
    assert_eq!(rig.bound_met(with(2, 3, TaskStatus::Pending)), full);
    assert_eq!(rig.bound_met(with(2, 1, TaskStatus::Completed)), None, "an end counts under no priority");
    assert_eq!(rig.bound_met(with(2, 3, TaskStatus::Pending)), full, "the second task has the first one still");
    assert_eq!(rig.bound_met(with(1, 2, TaskStatus::Canceled)), None);
    assert_eq!(rig.bound_met(with(2, 3, TaskStatus::Pending)), None);
    assert_eq!(rig.bound_met(with(1, 4, TaskStatus::Pending)), full);
    // What comes late and says nothing of what a task is now adds none: of a task that ended, of one of which more is
    // known. Nor does it make room for one that does, in the same group.
    let earlier = |event: Event| Event { at: Millis(NOW - 1_000), ..event };
    let late = [earlier(with(1, 2, TaskStatus::Pending)), earlier(with(1, 3, TaskStatus::Pending))];
    let leading = with(1, 4, TaskStatus::Pending);
    let sids = (100..).map(|byte| EventSid::from_bytes([byte; 16]));
    let events = late.into_iter().chain([leading]).zip(sids).map(|(event, sid)| Event { sid, ..event });
    let ingested = rig.send_as_they_are(events.collect()).unwrap();
    let refused =
        [(2, Refusal::LimitExceeded { kind: "priority of a task", limit: "max_priorities_per_workspace", most: 1 })];
    assert_eq!((ingested.accepted, ingested.refused.as_slice()), (2, refused.as_slice()));
}

#[test]
fn what_was_recovered_counts_and_is_kept_even_where_the_bounds_are_less_now() {
    let mut workspaces = crate::engine::Table::default();
    for number in 1..=3 {
        let event = of_task(number, number);
        let mut state = Workspace::new(event.account, HOUR_MS, 7);
        state.apply(&event, Millis(NOW));
        workspaces.insert(event.workspace, Box::new(state));
    }
    let mut limits = GrowthLimits { workspaces: 1, ..roomy() };
    limits.account.tasks = 3;
    let recovered = Recovered { workspaces, key: 7, carried: BTreeSet::new(), carried_to: Millis(0), replayed: 0 };
    let mut rig = Rig::from(limits, recovered);
    assert_eq!(rig.bound_met(of_task(3, 3)), None);
    assert_eq!(rig.bound_met(of_task(3, 4)), Some(("max_tasks_per_account", 3)));
    assert_eq!(rig.bound_met(bare(TWO, 4, EventKind::WorkspaceUpdated)), Some(("max_workspaces", 1)));
}

#[test]
fn room_taken_in_advance_is_given_back_but_for_what_came_true() {
    let far = 100 * MOST_IN_GROUP;
    let account = AccountLimits { workspaces: 9, channels: far, workers: far, activities: far, tasks: far };
    let limits =
        GrowthLimits { channels: far, workers: far, activities: far, tasks: far, priorities: far, account, ..roomy() };
    let terms = Terms { limits: &limits, partitions: 2, events: 1_000 };
    let (accounts, one) = (Accounts::default(), AccountSid::from_bytes([ONE; 16]));
    let mut ledger = Ledger::new(accounts.clone(), &crate::engine::Table::default());
    let mut growth = Growth::of_new(one, &accounts, terms).ok().unwrap();
    let holding = growth.holding.clone();
    let held = || KINDS.map(|kind| holding.held(kind));
    assert_eq!((growth.near, held()), ([false; 6], [1_000; 6]));
    let event = of_task(1, 1);
    growth.take(None, &event, &limits).unwrap();
    let mut state = Workspace::new(one, HOUR_MS, 7);
    state.apply(&event, Millis(NOW));
    growth.settle(event.workspace, &state, &mut ledger);
    assert_eq!(held(), [1, 0, 0, 0, 1, 1]);
    Growth::of(&state, holding.clone(), terms).give_back(&accounts);
    assert_eq!(held(), [1, 0, 0, 0, 1, 1]);
    ledger.release(event.workspace);
    assert_eq!(held(), [0; 6]);
    assert!(accounts.is_empty(), "an account without a workspace leaves nothing behind");
}

#[test]
fn so_many_answers_are_kept_ready_in_all_and_of_a_workspace() {
    for (views, of_workspace, kept) in [(10, 3, 3), (10, 2, 2), (2, 3, 2), (1, 1, 1)] {
        let mut rig = Rig::keeping((views, of_workspace), roomy(), Recovered::nothing());
        rig.send((1..=3).map(|number| of_channel(ONE, number))).unwrap();
        let ask = |rig: &mut Rig| (1..=3).filter(|n| rig.is_kept(ONE, &format!("channel {n}"))).count();
        assert_eq!((ask(&mut rig), ask(&mut rig)), (0, kept), "{views} and {of_workspace}");
    }
}
