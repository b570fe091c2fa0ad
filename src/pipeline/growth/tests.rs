//! Each bound at its number and one past it, through a whole pipeline that the test moves on step by step.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::engine::ChannelFilter;
use crate::event::{
    Activity, ChannelSid, EventKind, EventSid, HOUR_MS, Millis, Task, TaskStatus, Worker, WorkspaceSid,
};
use crate::journal::{AppendError, Cause, Row};
use crate::pipeline::{
    Caller, Chore, Clock, IngestError, Ingested, Machine, Patience, Pipeline, Recovered, Settings, Slice, Step, Store,
};

const NOW: i64 = 1_800_000_000_000;
const ONE: u8 = 1;
const TWO: u8 = 2;

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(NOW + self.0.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst) as u64)
    }
}

/// A store that keeps the number of events, and refuses them when told to.
struct Moody {
    end: u64,
    refuses: Arc<AtomicBool>,
}

impl Store for Moody {
    fn end(&self) -> u64 {
        self.end
    }

    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        if self.refuses.load(Ordering::SeqCst) {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(AppendError::Refused { cause: Cause::Io { doing: "append", source } });
        }
        self.end += rows.iter().map(|row| u64::from(row.events)).sum::<u64>();
        Ok(self.end)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        Ok(())
    }

    fn take_chore(&mut self, _chore: Chore) {}

    fn do_slice(&mut self, _now: Millis, _uptime: Duration) -> Result<Slice, AppendError> {
        Ok(Slice::default())
    }
}

struct Rig {
    machine: Machine,
    clock: Arc<Hand>,
    refuses: Arc<AtomicBool>,
    sent: u64,
}

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
        name_bytes: 50,
        account,
    }
}

impl Rig {
    fn new(growth: GrowthLimits) -> Rig {
        Rig::from(growth, Recovered::nothing())
    }

    fn from(growth: GrowthLimits, recovered: Recovered) -> Rig {
        Rig::keeping((10, 10), growth, recovered)
    }

    /// With so many views in a partition, and so many of them of one workspace.
    fn keeping((views, views_per_workspace): (usize, usize), growth: GrowthLimits, recovered: Recovered) -> Rig {
        let settings = Settings {
            retention_ms: HOUR_MS,
            partitions: 3,
            queue_events: 1_000,
            queue_questions: 10,
            views,
            views_per_workspace,
            min_free_disk_bytes: 0,
            growth,
        };
        let (clock, refuses) = (Arc::new(Hand::default()), Arc::new(AtomicBool::new(false)));
        let store = Box::new(Moody { end: 0, refuses: refuses.clone() });
        let machine = Machine::new(settings, clock.clone(), store, recovered, Path::new(""), Pipeline::default());
        Rig { machine, clock, refuses, sent: 0 }
    }

    /// Sends events with sids of their own in one call.
    fn send(&mut self, events: impl IntoIterator<Item = Event>) -> Result<Ingested, IngestError> {
        let events: Vec<Event> = events
            .into_iter()
            .map(|event| {
                self.sent += 1;
                let mut sid = [0; 16];
                sid[..8].copy_from_slice(&self.sent.to_be_bytes());
                Event { sid: EventSid::from_bytes(sid), at: self.clock.now(), ..event }
            })
            .collect();
        self.send_as_they_are(events)
    }

    fn send_as_they_are(&mut self, events: Vec<Event>) -> Result<Ingested, IngestError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pipeline = self.machine.pipeline.clone();
        let events = (0..).zip(events).collect();
        let submitted = runtime.block_on(pipeline.submit(&Caller::everything(), events, Patience::Refuse))?;
        self.settle();
        runtime.block_on(submitted.settled())
    }

    /// Asks for the real-time figures; answers whether they were there without asking the owner.
    fn is_kept(&mut self, workspace: u8, channel: &str) -> bool {
        let (pipeline, caller) = (self.machine.pipeline.clone(), Caller::everything());
        let filter = ChannelFilter::parse(channel);
        let mut asked = pin!(pipeline.realtime(&caller, WorkspaceSid::from_bytes([workspace; 16]), &filter));
        let mut context = Context::from_waker(Waker::noop());
        let at_once = asked.as_mut().poll(&mut context).is_ready();
        self.settle();
        assert!(at_once || asked.as_mut().poll(&mut context).is_ready());
        at_once
    }

    fn settle(&mut self) {
        loop {
            let partitions = 0..self.machine.partitions();
            let steps: Vec<Step> = partitions.map(|number| self.machine.step_partition(number)).collect();
            let writer = self.machine.step_writer();
            if !matches!(writer, Step::Busy(_)) && steps.iter().all(|step| !matches!(step, Step::Busy(_))) {
                return;
            }
        }
    }

    /// Sends one event and answers the bound that it met, if any.
    fn bound_met(&mut self, event: Event) -> Option<(&'static str, u64)> {
        let ingested = self.send([event]).unwrap();
        match ingested.refused.as_slice() {
            [] => None,
            [(0, Refusal::LimitExceeded { limit, most, .. })] => Some((limit, *most)),
            other => panic!("{other:?}"),
        }
    }

    fn later(&mut self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
        self.settle();
        self.clock.0.fetch_add(1_000, Ordering::SeqCst);
        self.settle();
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
        sid: TaskSid::from_bytes([task; 16]),
        date_created: Some(Millis(NOW)),
        status: Some(status),
        priority: 0,
        channel_name: Some(channel.into()),
        channel_sid: channel_sid.map(|byte| ChannelSid::from_bytes([byte; 16])),
        version: 0,
        queue_sid: None,
        queue_name: None,
        queue_entered: None,
        workflow_sid: None,
        workflow_name: None,
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

type Make = fn(workspace: u8, number: u8) -> Event;
type Set = fn(&mut GrowthLimits, usize);

const KINDS_OF_EVENTS: [(&str, Make, Set, Set); 5] = [
    ("max_channels", of_channel, |it, most| it.channels = most, |it, most| it.account.channels = most),
    ("max_channels", of_channel_sid, |it, most| it.channels = most, |it, most| it.account.channels = most),
    ("max_workers", of_worker, |it, most| it.workers = most, |it, most| it.account.workers = most),
    ("max_activities", of_activity, |it, most| it.activities = most, |it, most| it.account.activities = most),
    ("max_tasks", of_task, |it, most| it.tasks = most, |it, most| it.account.tasks = most),
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
    for (name, make, _, set) in KINDS_OF_EVENTS {
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
    let limits = GrowthLimits { channels: far, workers: far, activities: far, tasks: far, account, ..roomy() };
    let terms = Terms { limits: &limits, partitions: 2, events: 1_000 };
    let (accounts, one) = (Accounts::default(), AccountSid::from_bytes([ONE; 16]));
    let mut ledger = Ledger::new(accounts.clone(), &crate::engine::Table::default());
    let mut growth = Growth::of_new(one, &accounts, terms).ok().unwrap();
    let holding = growth.holding.clone();
    let held = || KINDS.map(|kind| holding.held(kind));
    assert_eq!((growth.near, held()), ([false; 5], [1_000; 5]));
    let event = of_task(1, 1);
    growth.take(None, &event, &limits).unwrap();
    let mut state = Workspace::new(one, HOUR_MS, 7);
    state.apply(&event, Millis(NOW));
    growth.settle(event.workspace, &state, &mut ledger);
    assert_eq!(held(), [1, 0, 0, 0, 1]);
    Growth::of(&state, holding.clone(), terms).give_back(&accounts);
    assert_eq!(held(), [1, 0, 0, 0, 1]);
    ledger.release(event.workspace);
    assert_eq!(held(), [0; 5]);
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
