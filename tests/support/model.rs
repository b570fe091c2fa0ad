//! The naive model: keeps every accepted event and scans all of them for every answer.
//!
//! Written from the contract of the statistics alone, and in its words; it shares the answers' types with the crate
//! and nothing of how they are found. Where the contract is silent, the decisions taken are stated here:
//!
//! - The figure (completed or canceled) in which an ended task shows is decided by the status of its first ending event.
//! - An end is remembered until an event dated within the retention after it can no longer arrive. So a late event dated
//!   within the retention after an end never revives the task, whenever it arrives.
//! - The retention that the service is started with stands for "30 days" in every rule.
//! - A worker group counts only with its sid.
//! - An activity is known from any worker's event that states it, a deleted worker's and the deletion itself included.
//! - Among workers' events, "the others" in the order of ranks are all that carry a worker, reservations' included.

// Longer than 400 lines because the naive model is one page of rules, to be read against the specification in one go.

use std::collections::{BTreeMap, BTreeSet};

use tasktally::engine::{
    ActivityRow, ChannelFilter, ChannelRow, Cumulative, Figure, LongestWaiting, Realtime, Split, StatusCounts, Totals,
    Waits, Window, WindowError,
};
use tasktally::event::{
    AccountSid, ActivitySid, ChannelSid, Event, EventKind, Millis, Name, Second, SecondRange, Task, TaskSid,
    TaskStatus, Worker, WorkerSid, WorkspaceSid,
};

const FIVE_MINUTES_MS: i64 = 300_000;

/// Everything that was accepted, in the order of acceptance.
#[derive(Clone)]
pub struct Model {
    pub retention_ms: i64,
    pub accepted: Vec<Event>,
}

/// What becomes of one event that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Duplicate,
    TooOld,
    TooNew,
    AccountMismatch,
}

/// Timestamp, the object's own version or 0, rank of the type, event sid.
type Place = (i64, i64, usize, [u8; 16]);

/// The types that carry a task, in the order of their ranks.
const TASK_RANKS: [EventKind; 28] = [
    EventKind::TaskCreated,
    EventKind::WorkflowEntered,
    EventKind::TaskQueueEntered,
    EventKind::WorkflowTargetMatched,
    EventKind::TaskUpdated,
    EventKind::TaskQueueTimeout,
    EventKind::TaskQueueMoved,
    EventKind::ReservationCreated,
    EventKind::TaskTransferInitiated,
    EventKind::TaskTransferAttemptFailed,
    EventKind::ReservationRejected,
    EventKind::ReservationTimeout,
    EventKind::ReservationCanceled,
    EventKind::ReservationRescinded,
    EventKind::ReservationFailed,
    EventKind::TaskTransferFailed,
    EventKind::TaskTransferCanceled,
    EventKind::ReservationAccepted,
    EventKind::TaskTransferCompleted,
    EventKind::ReservationWrapup,
    EventKind::TaskWrapup,
    EventKind::ReservationCompleted,
    EventKind::WorkflowTimeout,
    EventKind::WorkflowSkipped,
    EventKind::TaskCompleted,
    EventKind::TaskCanceled,
    EventKind::TaskDeleted,
    EventKind::TaskSystemDeleted,
];

/// Which type each figure counts.
const COUNTED: [(EventKind, Figure); Figure::COUNT] = [
    (EventKind::TaskCreated, Figure::TasksCreated),
    (EventKind::TaskCanceled, Figure::TasksCanceled),
    (EventKind::TaskCompleted, Figure::TasksCompleted),
    (EventKind::TaskDeleted, Figure::TasksDeleted),
    (EventKind::TaskQueueMoved, Figure::TasksMoved),
    (EventKind::WorkflowTimeout, Figure::TasksTimedOutInWorkflow),
    (EventKind::ReservationCreated, Figure::ReservationsCreated),
    (EventKind::ReservationAccepted, Figure::ReservationsAccepted),
    (EventKind::ReservationRejected, Figure::ReservationsRejected),
    (EventKind::ReservationTimeout, Figure::ReservationsTimedOut),
    (EventKind::ReservationCanceled, Figure::ReservationsCanceled),
    (EventKind::ReservationRescinded, Figure::ReservationsRescinded),
];

fn rank_of_task_event(kind: EventKind) -> usize {
    TASK_RANKS.iter().position(|ranked| *ranked == kind).unwrap_or_else(|| panic!("{kind:?} carries no task"))
}

fn rank_of_worker_event(kind: EventKind) -> usize {
    match kind {
        EventKind::WorkerCreated => 0,
        EventKind::WorkerDeleted => 2,
        _ => 1,
    }
}

fn rank_of_activity_event(kind: EventKind) -> usize {
    match kind {
        EventKind::ActivityCreated => 0,
        EventKind::ActivityUpdated => 1,
        EventKind::ActivityDeleted => 2,
        other => panic!("{other:?} carries no activity"),
    }
}

fn place(event: &Event, version: i64, rank: usize) -> Place {
    (event.at.0, version, rank, *event.sid.as_bytes())
}

fn place_of_task(event: &Event) -> Place {
    place(event, task(event).version, rank_of_task_event(event.kind))
}

fn task(event: &Event) -> &Task {
    event.task.as_ref().expect("only events that carry a task are asked")
}

fn deletes(event: &Event) -> bool {
    matches!(event.kind, EventKind::TaskDeleted | EventKind::TaskSystemDeleted)
}

fn ends(event: &Event) -> bool {
    deletes(event) || matches!(task(event).status, Some(TaskStatus::Completed | TaskStatus::Canceled))
}

/// The events of the task's last life. A life takes everything up to the retention after its first end; what is
/// dated later begins the next.
fn last_life<'a>(events: &[&'a Event], retention_ms: i64) -> Vec<&'a Event> {
    let mut life = events.to_vec();
    loop {
        let Some(end) = life.iter().filter(|event| ends(event)).map(|event| event.at.0).min() else { return life };
        let next: Vec<&Event> = life.iter().copied().filter(|event| event.at.0 > end + retention_ms).collect();
        if next.is_empty() {
            return life;
        }
        life = next;
    }
}

/// What the latest of the events that carry something says of it.
fn latest<'a, T>(
    events: impl IntoIterator<Item = &'a Event>,
    place: impl Fn(&Event) -> Place,
    said: impl Fn(&'a Event) -> Option<T>,
) -> Option<T> {
    events.into_iter().filter(|event| said(event).is_some()).max_by_key(|event| place(event)).and_then(said)
}

impl Model {
    pub fn new(retention_ms: i64) -> Model {
        Model { retention_ms, accepted: Vec::new() }
    }

    fn of(&self, workspace: WorkspaceSid) -> Vec<&Event> {
        self.accepted.iter().filter(|event| event.workspace == workspace).collect()
    }

    /// The account that the workspace first appeared with.
    pub fn account(&self, workspace: WorkspaceSid) -> Option<AccountSid> {
        self.accepted.iter().find(|event| event.workspace == workspace).map(|event| event.account)
    }

    /// As if nothing had ever been said of the workspace; answers what was.
    pub fn forget(&mut self, workspace: WorkspaceSid) -> Vec<Event> {
        self.accepted.extract_if(.., |event| event.workspace == workspace).collect()
    }

    pub fn workspaces(&self) -> BTreeMap<WorkspaceSid, AccountSid> {
        let named: BTreeSet<WorkspaceSid> = self.accepted.iter().map(|event| event.workspace).collect();
        named.into_iter().map(|sid| (sid, self.account(sid).expect("an accepted event names it"))).collect()
    }

    pub fn judge(&self, event: &Event, now: Millis) -> Outcome {
        if event.at.0 < now.0 - self.retention_ms {
            return Outcome::TooOld;
        }
        if event.at.0 > now.0 + FIVE_MINUTES_MS {
            return Outcome::TooNew;
        }
        if self.account(event.workspace).is_some_and(|account| account != event.account) {
            return Outcome::AccountMismatch;
        }
        let second = |event: &Event| event.at.0.div_euclid(1000);
        let same = |known: &Event| {
            known.workspace == event.workspace && known.sid == event.sid && second(known) == second(event)
        };
        if self.accepted.iter().any(same) { Outcome::Duplicate } else { Outcome::Accepted }
    }

    pub fn offer(&mut self, event: &Event, now: Millis) -> Outcome {
        let outcome = self.judge(event, now);
        if outcome == Outcome::Accepted {
            self.accepted.push(event.clone());
        }
        outcome
    }

    /// The name that the filter goes by: `None` for all, `Some(None)` for a sid that no event gave a name.
    fn name_of(&self, workspace: WorkspaceSid, filter: &ChannelFilter) -> Option<Option<Name>> {
        match filter {
            ChannelFilter::All => None,
            ChannelFilter::Named(name) => Some(Some(Name::new(name))),
            ChannelFilter::Sid(sid) => Some(self.name_of_sid(workspace, *sid)),
        }
    }

    fn name_of_sid(&self, workspace: WorkspaceSid, sid: ChannelSid) -> Option<Name> {
        let of_sid = self.of(workspace).into_iter().filter(|event| {
            event.task.as_ref().is_some_and(|task| task.channel_sid == Some(sid) && task.channel_name.is_some())
        });
        latest(
            of_sid,
            |event| place(event, 0, rank_of_task_event(event.kind)),
            |event| task(event).channel_name.clone(),
        )
    }

    /// `None` where no accepted event names the workspace. Says nothing of how long the answer is true.
    pub fn realtime(&self, workspace: WorkspaceSid, filter: &ChannelFilter, now: Millis) -> Option<Realtime> {
        let account = self.account(workspace)?;
        let wanted = self.name_of(workspace, filter);
        let mut by_status = StatusCounts::default();
        let mut by_priority: BTreeMap<i32, i64> = BTreeMap::new();
        let mut waiting: Vec<(i64, TaskSid)> = Vec::new();
        for (sid, events) in self.tasks(workspace) {
            let life = last_life(&events, self.retention_ms);
            let of = life.iter().copied();
            let channel = latest(of.clone(), place_of_task, |event| task(event).channel_name.clone());
            if wanted.as_ref().is_some_and(|wanted| *wanted != channel || wanted.is_none()) {
                continue;
            }
            if let Some(end) = of.clone().filter(|event| ends(event)).min_by_key(|event| place_of_task(event)) {
                if end.at.0 > now.0 - FIVE_MINUTES_MS && !life.iter().any(|event| deletes(event)) {
                    match task(end).status {
                        Some(TaskStatus::Canceled) => by_status.canceled += 1,
                        _ => by_status.completed += 1,
                    }
                }
                continue;
            }
            let last = of.clone().map(|event| event.at.0).max().expect("a life has an event");
            if last < now.0 - self.retention_ms {
                continue;
            }
            let status = latest(of.clone(), place_of_task, |event| task(event).status);
            let created = latest(of.clone(), place_of_task, |event| task(event).date_created);
            let priority = latest(of, place_of_task, |event| Some(task(event).priority));
            *by_priority.entry(priority.expect("every event has one")).or_default() += 1;
            *match status.expect("an active task has one") {
                TaskStatus::Pending => &mut by_status.pending,
                TaskStatus::Reserved => &mut by_status.reserved,
                TaskStatus::Assigned => &mut by_status.assigned,
                TaskStatus::Wrapping => &mut by_status.wrapping,
                ended => panic!("an active task is {ended:?}"),
            } += 1;
            if matches!(status, Some(TaskStatus::Pending | TaskStatus::Reserved)) {
                waiting.push((created.expect("an active task has one").0, sid));
            }
        }
        let longest_waiting = waiting.into_iter().min();
        let workers = self.workers(workspace);
        Some(Realtime {
            account,
            activities: self.activities(workspace, &workers).into(),
            total_workers: workers.len() as i64,
            longest_waiting: longest_waiting.map(|(since, task)| LongestWaiting { task, since: Millis(since) }),
            total_tasks: by_priority.values().sum(),
            by_priority: by_priority.into_iter().collect(),
            by_status,
            valid_until: None,
        })
    }

    fn tasks(&self, workspace: WorkspaceSid) -> BTreeMap<TaskSid, Vec<&Event>> {
        let mut tasks: BTreeMap<TaskSid, Vec<&Event>> = BTreeMap::new();
        for event in self.of(workspace) {
            if let Some(task) = &event.task {
                tasks.entry(task.sid).or_default().push(event);
            }
        }
        tasks
    }

    /// The workers known, each with the activity that it is in.
    fn workers(&self, workspace: WorkspaceSid) -> BTreeMap<WorkerSid, Option<ActivitySid>> {
        let mut events: BTreeMap<WorkerSid, Vec<&Event>> = BTreeMap::new();
        for event in self.of(workspace) {
            if let Some(worker) = &event.worker {
                events.entry(worker.sid).or_default().push(event);
            }
        }
        events.retain(|_, events| events.iter().all(|event| event.kind != EventKind::WorkerDeleted));
        let version = |event: &Event| event.worker.as_ref().map_or(0, |worker| worker.version);
        let place = |event: &Event| place(event, version(event), rank_of_worker_event(event.kind));
        let said = |event: &Event| event.worker.as_ref().and_then(|worker| worker.activity_sid);
        events.into_iter().map(|(sid, events)| (sid, latest(events, place, said))).collect()
    }

    fn activities(
        &self,
        workspace: WorkspaceSid,
        workers: &BTreeMap<WorkerSid, Option<ActivitySid>>,
    ) -> Vec<ActivityRow> {
        let events = self.of(workspace);
        let own = events.iter().filter_map(|event| Some(event.activity.as_ref()?.sid));
        let stated = events.iter().filter_map(|event| event.worker.as_ref()?.activity_sid);
        let known: BTreeSet<ActivitySid> = own.chain(stated).collect();
        let mut rows = Vec::new();
        for sid in known {
            let of = |event: &&&Event| event.activity.as_ref().is_some_and(|activity| activity.sid == sid);
            let deleted = events.iter().filter(of).any(|event| event.kind == EventKind::ActivityDeleted);
            let here = workers.values().filter(|activity| **activity == Some(sid)).count() as i64;
            if deleted && here == 0 {
                continue;
            }
            let own_name = latest(
                events.iter().filter(of).copied(),
                |event| place(event, 0, rank_of_activity_event(event.kind)),
                |event| event.activity.as_ref()?.name.clone(),
            );
            let named_by_worker =
                |worker: &Worker| worker.activity_name.clone().filter(|_| worker.activity_sid == Some(sid));
            let by_workers = latest(
                events.iter().copied(),
                |event| place(event, 0, rank_of_worker_event(event.kind)),
                |event| event.worker.as_ref().and_then(named_by_worker),
            );
            let name = own_name.or(by_workers).unwrap_or_default().as_str().into();
            rows.push(ActivityRow { sid, name, workers: here });
        }
        rows.sort_by(|one, other| (one.name.as_bytes(), one.sid).cmp(&(other.name.as_bytes(), other.sid)));
        rows
    }

    /// The effective interval of a window.
    pub fn interval(&self, window: Window, now: Millis) -> Result<SecondRange, WindowError> {
        let down = |moment: Millis| moment.0.div_euclid(1000);
        let up = |moment: Millis| -(-moment.0).div_euclid(1000);
        let end_of_now = down(now) + 1;
        let (start, end, field) = match window {
            Window::Default15 => (end_of_now - 900, end_of_now, "end_time"),
            Window::Minutes(minutes) => (end_of_now - 60 * i64::from(minutes), end_of_now, "minutes"),
            Window::From(start) => (down(start), end_of_now, "start_time"),
            Window::Between { start, end } => (down(start), up(end), "end_time"),
            Window::Until(end) => (up(end) - 900, up(end), "end_time"),
        };
        if end <= start {
            return Err(WindowError::Empty { field });
        }
        let oldest = (now.0 - self.retention_ms).div_euclid(1000);
        if start < oldest {
            return Err(WindowError::TooOld { oldest: Second(oldest), asked: Second(start) });
        }
        Ok(SecondRange::new(Second(start), Second(end)).expect("start is before end"))
    }

    pub fn cumulative(
        &self,
        workspace: WorkspaceSid,
        filter: &ChannelFilter,
        range: SecondRange,
        thresholds: &[u32],
    ) -> Option<Cumulative> {
        let account = self.account(workspace)?;
        let wanted = self.name_of(workspace, filter);
        let counted: Vec<(Figure, u64)> = self
            .of(workspace)
            .into_iter()
            .filter(|event| (range.start().0 * 1000..range.end().0 * 1000).contains(&event.at.0))
            .filter(|event| match &wanted {
                None => true,
                Some(None) => false,
                Some(name) => event.task.as_ref().is_some_and(|task| task.channel_name == *name),
            })
            .filter_map(|event| {
                let (_, figure) = COUNTED.iter().find(|(kind, _)| *kind == event.kind)?;
                let created = event.task.as_ref().and_then(|task| task.date_created);
                Some((*figure, created.map_or(0, |created| (event.at.0 - created.0).max(0) as u64)))
            })
            .collect();
        let waits = |of: Figure| -> Vec<u64> {
            counted.iter().filter(|(figure, _)| *figure == of).map(|(_, wait_ms)| *wait_ms).collect()
        };
        let (accepted, canceled) = (waits(Figure::ReservationsAccepted), waits(Figure::TasksCanceled));
        let sum = |waits: &[u64]| Waits {
            count: waits.len() as u64,
            total_ms: waits.iter().map(|wait| u128::from(*wait)).sum(),
            min_ms: waits.iter().min().copied().unwrap_or(u64::MAX),
            max_ms: waits.iter().max().copied().unwrap_or(0),
        };
        let below = |waits: &[u64], threshold: u32| {
            waits.iter().filter(|wait| **wait < u64::from(threshold) * 1000).count() as u64
        };
        let thresholds: BTreeSet<u32> = thresholds.iter().copied().collect();
        let split = |threshold| Split {
            threshold,
            accepted_below: below(&accepted, threshold),
            canceled_below: below(&canceled, threshold),
        };
        let totals = Totals {
            counts: Figure::ALL.map(|of| counted.iter().filter(|(figure, _)| *figure == of).count() as u64),
            accepted: sum(&accepted),
            canceled: sum(&canceled),
            splits: thresholds.into_iter().map(split).collect(),
        };
        Some(Cumulative { account, range, totals })
    }

    /// The channels that events of the retention name, or that a sid stands for, by name as bytes.
    pub fn channels(&self, workspace: WorkspaceSid, now: Millis) -> Vec<ChannelRow> {
        let events = self.of(workspace);
        let tasks = || events.iter().filter_map(|event| Some((event.at.0, event.task.as_ref()?)));
        let sids: BTreeSet<ChannelSid> = tasks().filter_map(|(_, task)| task.channel_sid).collect();
        let mut rows: BTreeMap<Name, Option<ChannelSid>> = tasks()
            .filter(|(at, _)| *at >= now.0 - self.retention_ms)
            .filter_map(|(_, task)| Some((task.channel_name.clone()?, None)))
            .collect();
        for sid in sids {
            if let Some(name) = self.name_of_sid(workspace, sid) {
                // Ascending, so the smallest comes first and stays.
                rows.entry(name).or_default().get_or_insert(sid);
            }
        }
        let row = |(unique_name, sid): (Name, Option<ChannelSid>)| {
            let unique_name: Box<str> = unique_name.as_str().into();
            let realtime = self.realtime(workspace, &ChannelFilter::Named(unique_name.clone()), now);
            ChannelRow { unique_name, sid, active_tasks: realtime.map_or(0, |realtime| realtime.total_tasks) }
        };
        rows.into_iter().map(row).collect()
    }

    /// The moments after `now` at which time alone may change a figure.
    pub fn edges_after(&self, workspace: WorkspaceSid, now: Millis) -> Vec<Millis> {
        let edges = |event: &Event| [event.at.0 + FIVE_MINUTES_MS, event.at.0 + self.retention_ms + 1];
        let edges: BTreeSet<i64> =
            self.of(workspace).into_iter().flat_map(edges).filter(|edge| *edge > now.0).collect();
        edges.into_iter().map(Millis).collect()
    }
}
