//! The way up from what partitions left at different positions.

use super::*;
use crate::engine::ChannelFilter;
use crate::event::{AccountSid, DAY_MS, EventKind, EventSid, HOUR_MS, Task, TaskSid, TaskStatus};
use crate::journal::Row;
use crate::pipeline::GrowthLimits;

mod small;

const NOW: Millis = Millis(1_800_000_000_000);

fn settings() -> Settings {
    small::settings(DAY_MS)
}

fn event(n: u8, workspace: WorkspaceSid) -> Event {
    Event {
        sid: EventSid::from_bytes([n; 16]),
        kind: EventKind::WorkflowCreated,
        at: NOW,
        account: AccountSid::from_bytes([1; 16]),
        workspace,
        task: None,
        reservation: None,
        worker: None,
        activity: None,
    }
}

/// A checkpoint at position 1, with one workspace that is whole up to `whole_to`.
fn checkpoint_of(dir: &Path, sid: WorkspaceSid, whole_to: u64, state: &Workspace) {
    write_checkpoint(dir, 1, (7, settings().retention_ms), std::iter::once((sid, whole_to, state))).unwrap();
}

#[test]
fn a_workspace_of_a_partition_that_was_ahead_is_not_forgotten_a_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let (ahead, behind) = (WorkspaceSid::from_bytes([1; 16]), WorkspaceSid::from_bytes([2; 16]));
    let (mut journal, _) = Journal::open(dir.path(), "a test").unwrap();
    let bodies = [
        row::encode(&[event(1, ahead)], NOW),
        row::encode_forget(ahead, NOW),
        row::encode(&[event(3, ahead)], NOW),
        row::encode(&[event(4, behind)], NOW),
    ];
    for body in &bodies {
        journal.append(&[Row { events: 1, newest_ms: NOW.0, body, ends: None }]).unwrap();
    }
    // One partition had passed 3, with the workspace begun anew, and the other had passed 1.
    let mut state = Workspace::new(event(3, ahead).account, settings().retention_ms, 7);
    state.apply(&event(3, ahead), NOW);
    checkpoint_of(dir.path(), ahead, 3, &state);

    let recovered = recover(&mut journal, dir.path(), &settings()).unwrap();
    let held = |workspace| recovered.workspaces.get(&workspace).map(|state| state.retained_events());
    assert_eq!((held(ahead), held(behind)), (Some(1), Some(1)));
}

#[test]
fn a_workspace_of_a_partition_that_was_ahead_takes_no_event_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (ahead, behind) = (WorkspaceSid::from_bytes([1; 16]), WorkspaceSid::from_bytes([2; 16]));
    let events = [event(1, ahead), event(2, ahead), event(3, ahead), event(4, behind)];
    let (mut journal, _) = Journal::open(dir.path(), "a test").unwrap();
    for event in &events {
        let body = row::encode(std::slice::from_ref(event), NOW);
        journal.append(&[Row { events: 1, newest_ms: NOW.0, body: &body, ends: None }]).unwrap();
    }
    // When the copies were taken one partition had passed 2 and the other had passed 1.
    let mut state = Workspace::new(events[0].account, settings().retention_ms, 7);
    state.apply(&events[0], NOW);
    state.apply(&events[1], NOW);
    checkpoint_of(dir.path(), ahead, 2, &state);

    let recovered = recover(&mut journal, dir.path(), &settings()).unwrap();
    assert_eq!(recovered.replayed, 2, "the third event and the fourth");
    let held = |workspace| recovered.workspaces.get(&workspace).map(|state| state.retained_events());
    assert_eq!((held(ahead), held(behind)), (Some(3), Some(1)));
}

/// What happened to a task so long before now.
fn of_task(n: u8, hours_ago: i64, kind: EventKind, status: TaskStatus) -> Event {
    let at = NOW.minus(hours_ago * HOUR_MS);
    let task = Task {
        date_created: Some(at),
        status: Some(status),
        channel_name: Some("voice".into()),
        ..Task::bare(TaskSid::from_bytes([1; 16]))
    };
    Event { kind, at, task: Some(task), ..event(n, WorkspaceSid::from_bytes([1; 16])) }
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(of - 1);
    let put = |order: &Vec<usize>, at: usize| [&order[..at], &[of - 1], &order[at..]].concat();
    shorter.iter().flat_map(|order| (0..of).map(move |at| put(order, at))).collect()
}

/// They were admitted under 30 days, and are told under one.
#[test]
fn under_a_shorter_retention_the_order_of_arrival_says_nothing() {
    let events = [
        of_task(1, 60, EventKind::TaskCreated, TaskStatus::Pending),
        of_task(2, 48, EventKind::TaskCanceled, TaskStatus::Canceled),
        of_task(3, 36, EventKind::TaskCompleted, TaskStatus::Completed),
        of_task(4, 1, EventKind::TaskUpdated, TaskStatus::Assigned),
    ];
    for order in orders(events.len()) {
        for forgotten_at in [None, Some(2)] {
            let dir = tempfile::tempdir().unwrap();
            let (mut journal, _) = Journal::open(dir.path(), "a test").unwrap();
            for (at, event) in order.iter().map(|number| &events[*number]).enumerate() {
                if forgotten_at == Some(at) {
                    let body = row::encode_forget(event.workspace, NOW);
                    journal.append(&[Row { events: 1, newest_ms: NOW.0, body: &body, ends: None }]).unwrap();
                }
                let body = row::encode(std::slice::from_ref(event), NOW);
                journal.append(&[Row { events: 1, newest_ms: NOW.0, body: &body, ends: None }]).unwrap();
            }
            let recovered = recover(&mut journal, dir.path(), &settings()).unwrap();
            let mut workspaces = recovered.workspaces;
            let state = workspaces.values_mut().next().expect("its events were taken");
            let told = state.realtime(&ChannelFilter::All, NOW);
            let goes_on = order.iter().skip(forgotten_at.unwrap_or(0)).any(|number| *number == 3);
            let expected = i64::from(goes_on);
            assert_eq!((told.total_tasks, told.by_status.assigned), (expected, expected), "{order:?} {forgotten_at:?}");
        }
    }
}
