use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::{
    AskError, Caller, Clock, CumulativeQuestion, Ephemeral, GrowthLimits, Machine, Patience, Pipeline, Recovered, Role,
    Scope, Settings, Stamped, Step,
};
use super::{Kept, KeptPast, Passed, Pasts};
use crate::engine::{ChannelFilter, Cumulative, Figure, Window, Workspace};
use crate::event::{AccountSid, DAY_MS, Event, EventKind, EventSid, Millis, WorkspaceSid};

const NOW: i64 = 1_800_000_000_000;
const HOME: WorkspaceSid = WorkspaceSid::from_bytes([7; 16]);
const AWAY: WorkspaceSid = WorkspaceSid::from_bytes([8; 16]);

/// A time of day that stands still, and an uptime that is set.
#[derive(Default)]
struct Clocks(AtomicI64);

impl Clock for Clocks {
    fn now(&self) -> Millis {
        Millis(NOW)
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst) as u64)
    }
}

struct Scene {
    machine: Machine,
    pipeline: Pipeline,
    clocks: Arc<Clocks>,
    sent: u8,
}

type Answer = Result<Stamped<Cumulative>, AskError>;

impl Scene {
    fn new() -> Scene {
        let growth = GrowthLimits { workspaces: 9, channels: 9, tasks: 9, name_bytes: 100, ..GrowthLimits::default() };
        let settings = Settings {
            retention_ms: DAY_MS,
            partitions: 1,
            queue_events: 10,
            queue_questions: 10,
            views: 0,
            views_per_workspace: 0,
            min_free_disk_bytes: 0,
            growth,
        };
        let (clocks, pipeline, store) = (Arc::new(Clocks::default()), Pipeline::default(), Box::<Ephemeral>::default());
        let (nothing, dir) = (Recovered::nothing(), Path::new(""));
        let machine = Machine::new(settings, clocks.clone(), store, nothing, dir, pipeline.clone());
        Scene { machine, pipeline, clocks, sent: 0 }
    }

    /// Until there is nothing to do.
    fn rest(&mut self) {
        while let Step::Busy(_) = self.machine.step_partition(0) {
            // A commit gives the partition more to do, whatever the writer says of itself.
            self.machine.step_writer();
        }
    }

    /// The answer, and whether it was there without the owner's turn.
    fn ask_as(&mut self, caller: Caller, workspace: WorkspaceSid, window: Window) -> (Answer, bool) {
        let pipeline = self.pipeline.clone();
        let question = CumulativeQuestion { channel: ChannelFilter::All, window, thresholds: Box::new([1]) };
        let mut asking = pin!(pipeline.cumulative(&caller, workspace, question));
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = asking.as_mut().poll(&mut context) {
            return (answer, true);
        }
        self.rest();
        let Poll::Ready(answer) = asking.poll(&mut context) else { panic!("no answer") };
        (answer, false)
    }

    /// How many tasks were deleted, by which revision, and whether the owner was not needed.
    fn deleted(&mut self, workspace: WorkspaceSid) -> (u64, i64, bool) {
        let (answer, at_once) = self.ask_as(Caller::everything(), workspace, Window::Default15);
        let answer = answer.unwrap();
        (answer.answer.totals.count(Figure::TasksDeleted), answer.revision, at_once)
    }

    /// Begins to send an event of a deleted task.
    fn send(&mut self, workspace: WorkspaceSid) -> i64 {
        self.sent += 1;
        let event = Event {
            sid: EventSid::from_bytes([self.sent; 16]),
            kind: EventKind::TaskDeleted,
            at: Millis(NOW),
            account: AccountSid::from_bytes([1; 16]),
            workspace,
            task: None,
            reservation: None,
            worker: None,
            activity: None,
        };
        let (pipeline, caller) = (self.pipeline.clone(), Caller::everything());
        let mut context = Context::from_waker(Waker::noop());
        let submit = pin!(pipeline.submit(&caller, vec![(0, event)], Patience::Refuse));
        let Poll::Ready(Ok(submitted)) = submit.poll(&mut context) else { panic!("there is room") };
        // Admitted, and synced: what is kept stands until it is applied.
        let before = self.ask_as(caller, workspace, Window::Default15);
        self.machine.step_partition(0);
        self.machine.step_writer();
        if before.1 {
            assert_eq!(self.ask_as(caller, workspace, Window::Default15), before);
        }
        self.rest();
        let Poll::Ready(Ok(ingested)) = pin!(submitted.settled()).poll(&mut context) else { panic!("no answer") };
        assert_eq!(ingested.accepted, 1);
        ingested.revision
    }
}

#[test]
fn the_second_question_needs_no_owner_until_the_workspace_changes() {
    let mut scene = Scene::new();
    scene.send(HOME);
    scene.send(AWAY);
    assert_eq!(scene.deleted(HOME), (1, 2, false));
    assert_eq!(scene.deleted(HOME), (1, 2, true));
    let revision = scene.send(HOME);
    assert_eq!(scene.deleted(HOME), (2, revision, false));
    assert_eq!(scene.deleted(HOME), (2, revision, true));
    let revision = scene.send(AWAY);
    assert_eq!(scene.deleted(HOME), (2, revision, true), "what became of others takes nothing away");
}

#[test]
fn a_kept_past_answers_as_the_owner_does() {
    let mut scene = Scene::new();
    scene.send(HOME);
    let stranger = Caller { scope: Scope::Account(AccountSid::from_bytes([2; 16])), ..Caller::everything() };
    assert!(stranger.may(Role::Read));
    let at = |ms| Millis(NOW + ms);
    let (empty, too_old) = (Window::From(at(5_000)), Window::From(at(-2 * DAY_MS)));
    let questions =
        [Window::Minutes(60), Window::Until(at(-5_000)), empty, too_old].map(|window| (Caller::everything(), window));
    let all = questions.into_iter().chain([Window::Minutes(1), empty, too_old].map(|window| (stranger, window)));
    let by_owner: Vec<_> = all
        .map(|(caller, window)| {
            scene.machine.step_partition(0);
            scene.clocks.0.fetch_add(1_500, Ordering::SeqCst);
            scene.rest();
            (caller, window, scene.ask_as(caller, HOME, window))
        })
        .collect();
    scene.deleted(HOME);
    for (caller, window, (answer, at_once)) in by_owner {
        assert!(!at_once, "{window:?} when nothing was kept");
        assert_eq!(scene.ask_as(caller, HOME, window), (answer, true), "{window:?}");
    }
}

#[test]
fn nothing_is_kept_of_what_is_forgotten_or_no_channel_nor_for_long() {
    let mut scene = Scene::new();
    scene.send(HOME);
    scene.deleted(HOME);
    assert!(scene.deleted(HOME).2);
    scene.clocks.0.fetch_add(1_500, Ordering::SeqCst);
    scene.rest();
    assert!(!scene.deleted(HOME).2, "a second later it is taken anew");
    let nobody = ChannelFilter::Named("nobody's".into());
    let question = CumulativeQuestion { channel: nobody, window: Window::Default15, thresholds: Box::default() };
    let (pipeline, caller) = (scene.pipeline.clone(), Caller::everything());
    for _ in 0..2 {
        let mut asking = pin!(pipeline.cumulative(&caller, HOME, question.clone()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(asking.as_mut().poll(&mut context).is_pending());
        scene.rest();
        assert!(asking.poll(&mut context).is_ready());
    }
    assert!(scene.deleted(HOME).2);
    let mut forgetting = pin!(pipeline.forget(&caller, HOME));
    let mut context = Context::from_waker(Waker::noop());
    assert!(forgetting.as_mut().poll(&mut context).is_pending());
    scene.rest();
    let Poll::Ready(forgotten) = forgetting.poll(&mut context) else { panic!("not forgotten") };
    forgotten.unwrap();
    let (answer, at_once) = scene.ask_as(caller, HOME, Window::Default15);
    assert_eq!((answer.map(|_| ()), at_once), (Err(AskError::UnknownWorkspace), false));
}

/// Sees, whenever it is read, whether the owner could go on meanwhile.
#[derive(Default)]
struct Watchful {
    kept: OnceLock<Arc<RwLock<Kept>>>,
    owner_could_go_on: AtomicBool,
}

impl Clock for Watchful {
    fn now(&self) -> Millis {
        let free = self.kept.get().is_none_or(|kept| kept.try_write().is_ok());
        self.owner_could_go_on.store(free, Ordering::SeqCst);
        Millis(NOW)
    }

    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn an_answer_is_of_a_moment_at_which_what_is_kept_was_the_state() {
    let clock = Arc::new(Watchful::default());
    let pasts = Pasts::new(Arc::new(Passed::new(1)), clock.clone(), DAY_MS);
    clock.kept.set(pasts.kept.clone()).unwrap_or_else(|_| panic!("set once"));
    let account = AccountSid::from_bytes([1; 16]);
    let past = Workspace::new(account, DAY_MS, 7).past(&ChannelFilter::All);
    let past = Arc::new(KeptPast { account, filter: ChannelFilter::All, past, revision: 1 });
    pasts.write().by_workspace.insert(HOME, vec![past]);
    let question =
        CumulativeQuestion { channel: ChannelFilter::All, window: Window::Default15, thresholds: Box::new([]) };
    let answer = pasts.answer(&Caller::everything(), HOME, &question).unwrap().unwrap();
    assert_eq!((answer.revision, answer.as_of), (1, Millis(NOW)));
    assert!(!clock.owner_could_go_on.load(Ordering::SeqCst));
}
