//! One workspace: every event goes through here, and every question.

use super::channels::{ChannelId, Channels, Chosen};
use super::duplicates::Duplicates;
use super::history::History;
use super::past::{self, Past};
use super::place::Place;
use super::question::{ChannelFilter, ChannelRow, Cumulative, Realtime};
use super::table::Table;
use super::tasks::{CLOCK_SLACK_MS, Fact, Shape, Tasks};
use super::totals::{Figure, Sample};
use super::workers::Workers;
use crate::event::{
    AccountSid, ActivitySid, ChannelSid, Event, EventKind, MINUTE_MS, Millis, SecondRange, TaskSid, WorkerSid,
    WorkspaceSid,
};

/// Boxed, since a table has room for up to twice as many as it holds, and moves them when it grows.
pub type Workspaces = Table<WorkspaceSid, Box<Workspace>>;

/// How often time passing is worth a look for what may be forgotten.
const FORGET_EVERY_MS: i64 = MINUTE_MS;

/// The state of one workspace: a join of all events accepted for it.
///
/// - `apply` commutes: any order of the same events gives the same answers (`tests/law.rs`).
/// - Nothing that a question may still ask for, or that a later event could change, is forgotten: history, duplicates
///   and silent tasks stay for the retention and an hour, ends for twice the retention, workers, activities and what
///   channel sids stand for as long as the workspace.
#[derive(Clone)]
pub struct Workspace {
    pub(super) account: AccountSid,
    pub(super) retention_ms: i64,
    pub(super) duplicates: Duplicates,
    pub(super) channels: Channels,
    pub(super) tasks: Tasks,
    pub(super) workers: Workers,
    /// The latest moment seen, in admission or in a question. What is forgotten hangs on it, so it never goes back.
    pub(super) line: Millis,
    pub(super) forgotten_at: Millis,
}

/// How much a workspace holds of what events can make grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Names of task channels.
    pub channels: usize,
    /// Sids of task channels.
    pub channel_sids: usize,
    pub workers: usize,
    pub activities: usize,
    pub tasks: usize,
    /// That an active task has.
    pub priorities: usize,
}

impl Size {
    /// Of both together.
    pub fn plus(self, other: Size) -> Size {
        Size {
            channels: self.channels + other.channels,
            channel_sids: self.channel_sids + other.channel_sids,
            workers: self.workers + other.workers,
            activities: self.activities + other.activities,
            tasks: self.tasks + other.tasks,
            priorities: self.priorities + other.priorities,
        }
    }
}

impl Workspace {
    /// A workspace that no event has named yet. `key` keys the fingerprints of events.
    pub fn new(account: AccountSid, retention_ms: i64, key: u64) -> Workspace {
        Workspace {
            account,
            retention_ms,
            duplicates: Duplicates::new(key),
            channels: Channels::default(),
            tasks: Tasks::new(retention_ms),
            workers: Workers::default(),
            line: Millis(0),
            forgotten_at: Millis(0),
        }
    }

    pub fn account(&self) -> AccountSid {
        self.account
    }

    /// Whether an event of this identity has been accepted.
    pub fn has(&self, event: &Event) -> bool {
        let second = event.second();
        self.duplicates.contains(second, self.duplicates.fingerprint(event.sid, second))
    }

    /// The oldest moment of which everything is still known.
    pub fn oldest(&self) -> Millis {
        self.line.minus(self.retention_ms + CLOCK_SLACK_MS)
    }

    /// Where the event is an end that comes too late to tell what it ended, because the host's clock was set back after
    /// facts had been taken that lie beyond it: the oldest moment at which it would not.
    pub fn oldest_end(&self, event: &Event) -> Option<Millis> {
        let task = event.task.as_ref()?;
        let too_late = event.ends_task() && self.tasks.is_too_late_to_end(task.sid, event.at);
        too_late.then(|| self.tasks.admitted_at().minus(self.retention_ms))
    }

    /// Takes an event that was accepted at `now` and is no duplicate.
    pub fn apply(&mut self, event: &Event, now: Millis) {
        self.see(now);
        let second = event.second();
        let fingerprint = self.duplicates.fingerprint(event.sid, second);
        self.duplicates.insert(second, fingerprint);
        let channel = self.channels.apply(event);
        if let Some(sample) = sample_of(event) {
            self.channels.series_mut(channel).add(second, sample);
        }
        if let Some((task, fact)) = fact_of(event, channel) {
            self.tasks.apply(task, fact, now, self.line);
        }
        self.workers.apply(event);
    }

    /// What an event that was applied says of its task.
    pub fn fact_of(&self, event: &Event) -> Option<Fact> {
        fact_of(event, self.channels.of(event)).map(|(_, fact)| fact)
    }

    /// Tells a task's lives anew from all that events said of it.
    pub fn retell(&mut self, task: TaskSid, facts: Vec<Fact>) {
        self.tasks.retell(task, facts, self.line);
    }

    /// Notes that `now` has been, and forgets what has grown too old.
    pub fn see(&mut self, now: Millis) {
        self.line = self.line.max(now);
        if self.line.since(self.forgotten_at) < FORGET_EVERY_MS {
            return;
        }
        self.forgotten_at = self.line;
        let oldest = self.oldest();
        self.duplicates.forget_before(oldest.second());
        self.tasks.forget(self.line);
        for channel in self.channels.forget(oldest) {
            self.tasks.forget_channel(channel);
        }
    }

    pub fn realtime(&mut self, filter: &ChannelFilter, now: Millis) -> Realtime {
        self.see(now);
        self.tasks.turn_to(now);
        let chosen = self.channels.choose(filter);
        let (activities, total_workers) = (self.workers.rows(), self.workers.total());
        let empty = Realtime {
            account: self.account,
            activities,
            total_workers,
            longest_waiting: None,
            by_priority: Box::default(),
            by_status: Default::default(),
            total_tasks: 0,
            valid_until: None,
        };
        let channel = match chosen {
            Chosen::All => None,
            Chosen::One(id) => Some(id),
            Chosen::Nothing => return empty,
        };
        Realtime {
            longest_waiting: self.tasks.longest_waiting(channel),
            by_priority: self.tasks.by_priority(channel),
            by_status: self.tasks.status(channel),
            total_tasks: self.tasks.active(channel),
            valid_until: self.tasks.next_change(),
            ..empty
        }
    }

    /// What happened in `range`, which must not begin before [`Workspace::oldest`].
    pub fn cumulative(&self, filter: &ChannelFilter, range: SecondRange, thresholds: &[u32]) -> Cumulative {
        let series = self.channels.series(self.channels.choose(filter));
        past::sum(self.account, series, range, thresholds)
    }

    /// What [`Workspace::cumulative`] is answered from, as it is now.
    pub fn past(&self, filter: &ChannelFilter) -> Past {
        Past::of(self.account, self.channels.series(self.channels.choose(filter)))
    }

    /// The channels that events of the retention name, or that a sid stands for, by name after `after`.
    pub fn list_channels(&mut self, after: Option<&str>, at_most: usize, now: Millis) -> Vec<ChannelRow> {
        self.see(now);
        self.tasks.turn_to(now);
        let listed = self.channels.list(now.minus(self.retention_ms), after);
        let rows = listed.into_iter().take(at_most).map(|(unique_name, sid, id)| {
            let active_tasks = id.map_or(0, |id| self.tasks.active(Some(id)));
            ChannelRow { unique_name, sid, active_tasks }
        });
        rows.collect()
    }

    /// Whether the filter stands for anything here.
    pub fn covers(&self, filter: &ChannelFilter) -> bool {
        self.channels.choose(filter) != Chosen::Nothing
    }

    pub fn size(&self) -> Size {
        Size {
            channels: self.channels.count_names(),
            channel_sids: self.channels.count_sids(),
            workers: self.workers.count_known(),
            activities: self.workers.count_activities(),
            tasks: self.tasks.count_lives(),
            priorities: self.tasks.count_priorities(),
        }
    }

    pub fn knows_channel(&self, name: &str) -> bool {
        self.channels.knows(name)
    }

    pub fn knows_channel_sid(&self, sid: ChannelSid) -> bool {
        self.channels.knows_sid(sid)
    }

    pub fn knows_worker(&self, worker: WorkerSid) -> bool {
        self.workers.knows_worker(worker)
    }

    pub fn knows_priority(&self, priority: i32) -> bool {
        self.tasks.knows_priority(priority)
    }

    /// Whether an event of this moment may say what the task is now.
    pub fn may_lead(&self, task: TaskSid, at: Millis) -> bool {
        self.tasks.may_lead(task, at)
    }

    pub fn knows_activity(&self, activity: ActivitySid) -> bool {
        self.workers.knows_activity(activity)
    }

    pub fn knows_task(&self, task: TaskSid) -> bool {
        self.tasks.knows(task)
    }

    /// Events whose identity is held.
    pub fn retained_events(&self) -> u64 {
        self.duplicates.len()
    }

    /// Bytes on the heap of their identities and of the history that they make. Walks all of it.
    pub fn retained_bytes(&self) -> usize {
        self.duplicates.heap_bytes() + self.channels.all_series().map(History::heap_bytes).sum::<usize>()
    }

    /// Tasks that are active, as of the last question or event.
    pub fn active_tasks(&self) -> u64 {
        u64::try_from(self.tasks.active(None)).unwrap_or(0)
    }

    /// Workers that are there.
    pub fn workers(&self) -> u64 {
        u64::try_from(self.workers.total()).unwrap_or(0)
    }
}

/// What the event says of its task, which is in this channel.
fn fact_of(event: &Event, channel: Option<ChannelId>) -> Option<(TaskSid, Fact)> {
    let task = event.task.as_ref()?;
    let deletes = event.kind.deletes_task();
    let shape = || Some((task.date_created?, task.status?, channel?));
    let shape = if deletes { None } else { shape() };
    let shape = shape.map(|(created, status, channel)| Shape { created, status, priority: task.priority, channel });
    Some((task.sid, Fact { place: Place::of_task(event, task.version), deletes, shape }))
}

/// What an event adds to the cumulative figures.
fn sample_of(event: &Event) -> Option<Sample> {
    let figure = figure_of(event.kind)?;
    let created = event.task.as_ref().and_then(|task| task.date_created).filter(|_| figure.has_wait());
    let wait_ms = created.map_or(0, |created| event.at.since(created) as u64);
    Some(Sample { figure, wait_ms })
}

fn figure_of(kind: EventKind) -> Option<Figure> {
    use EventKind::*;
    match kind {
        TaskCreated => Some(Figure::TasksCreated),
        TaskCanceled => Some(Figure::TasksCanceled),
        TaskCompleted => Some(Figure::TasksCompleted),
        TaskDeleted => Some(Figure::TasksDeleted),
        TaskQueueMoved => Some(Figure::TasksMoved),
        WorkflowTimeout => Some(Figure::TasksTimedOutInWorkflow),
        ReservationCreated => Some(Figure::ReservationsCreated),
        ReservationAccepted => Some(Figure::ReservationsAccepted),
        ReservationRejected => Some(Figure::ReservationsRejected),
        ReservationTimeout => Some(Figure::ReservationsTimedOut),
        ReservationCanceled => Some(Figure::ReservationsCanceled),
        ReservationRescinded => Some(Figure::ReservationsRescinded),
        ActivityCreated | ActivityUpdated | ActivityDeleted => None,
        ReservationCompleted | ReservationFailed | ReservationWrapup => None,
        TaskUpdated | TaskWrapup | TaskSystemDeleted => None,
        TaskTransferInitiated
        | TaskTransferAttemptFailed
        | TaskTransferFailed
        | TaskTransferCanceled
        | TaskTransferCompleted => None,
        TaskChannelCreated | TaskChannelUpdated | TaskChannelDeleted => None,
        TaskQueueCreated | TaskQueueDeleted | TaskQueueEntered | TaskQueueTimeout | TaskQueueExpressionUpdated => None,
        WorkerCreated
        | WorkerDeleted
        | WorkerActivityUpdate
        | WorkerAttributesUpdate
        | WorkerCapacityUpdate
        | WorkerChannelAvailabilityUpdate => None,
        WorkflowCreated | WorkflowUpdated | WorkflowDeleted => None,
        WorkflowTargetMatched | WorkflowEntered | WorkflowSkipped => None,
        WorkspaceCreated | WorkspaceUpdated | WorkspaceDeleted => None,
    }
}
