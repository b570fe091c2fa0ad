//! What takes the events: the engine alone, or all of the pipeline, moved on by one thread.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tasktally::engine::Workspace;
use tasktally::event::{DAY_MS, Event, Millis};
use tasktally::journal::Journal;
use tasktally::pipeline::{
    AccountLimits, Caller, Clock, Ephemeral, GrowthLimits, JournalStore, Machine, Patience, Pipeline, Recovered,
    Settings, Step, Store, SystemClock, recover,
};

use super::supply::NOW;

pub const MONTH_MS: i64 = 30 * DAY_MS;

pub fn workspace_of(event: &Event) -> Workspace {
    Workspace::new(event.account, MONTH_MS, 7)
}

/// A clock whose time of day stands still until it is set.
pub struct HandClock {
    now: AtomicI64,
    uptime: fn() -> Duration,
}

impl HandClock {
    pub fn new() -> Arc<HandClock> {
        Arc::new(HandClock { now: AtomicI64::new(NOW), uptime: || SystemClock.uptime() })
    }

    /// By which no time passes at all.
    pub fn stopped() -> Arc<HandClock> {
        Arc::new(HandClock { now: AtomicI64::new(NOW), uptime: || Duration::ZERO })
    }

    pub fn set(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        (self.uptime)()
    }
}

/// As the server has it, but that an account may hold any number of everything.
pub fn settings(partitions: usize) -> Settings {
    const MANY: usize = 100_000_000;
    let account = AccountLimits { workspaces: MANY, channels: MANY, workers: MANY, activities: MANY, tasks: MANY };
    let growth = GrowthLimits { workspaces: MANY, account, ..GrowthLimits::default() };
    Settings {
        retention_ms: MONTH_MS,
        partitions,
        queue_events: 100_000,
        queue_questions: 1_000,
        views: 1_000,
        views_per_workspace: 10,
        min_free_disk_bytes: 0,
        growth,
    }
}

/// All of the pipeline but its threads: admission, journal rows, the journal, the engine, the answers.
pub struct Line {
    machine: Machine,
    pub pipeline: Pipeline,
    pub clock: Arc<HandClock>,
    pub runtime: tokio::runtime::Runtime,
}

impl Line {
    /// That keeps nothing on disk.
    pub fn ephemeral() -> Line {
        Line::over(Box::new(Ephemeral::default()), Recovered::nothing(), Path::new(""))
    }

    /// From this state on, keeping nothing on disk. No time passes, so that nothing is done that comes round by itself.
    pub fn resumed(recovered: Recovered) -> Line {
        let mut line = Line::by(HandClock::stopped(), Box::new(Ephemeral::default()), recovered, Path::new(""));
        // But once, at the start.
        line.rest();
        line
    }

    /// With a journal that is synced as the server's is.
    pub fn on_disk(dir: &Path) -> Line {
        let (mut journal, _) = Journal::open(dir, "a bench").expect("a journal");
        let recovered = recover(&mut journal, dir, &settings(1)).expect("an empty journal");
        Line::over(Box::new(JournalStore::new(journal, MONTH_MS)), recovered, dir)
    }

    fn over(store: Box<dyn Store>, recovered: Recovered, dir: &Path) -> Line {
        Line::by(HandClock::new(), store, recovered, dir)
    }

    fn by(clock: Arc<HandClock>, store: Box<dyn Store>, recovered: Recovered, dir: &Path) -> Line {
        let pipeline = Pipeline::default();
        let machine = Machine::new(settings(1), clock.clone(), store, recovered, dir, pipeline.clone());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without I/O");
        Line { machine, pipeline, clock, runtime }
    }

    /// Takes the events as one call, to its answer: how many were accepted.
    pub fn take(&mut self, batch: Vec<Event>) -> u64 {
        let call = (0..).zip(batch).collect();
        let caller = Caller::everything();
        let submitted =
            self.runtime.block_on(self.pipeline.submit(&caller, call, Patience::Refuse)).expect("there is room");
        self.rest();
        let ingested = self.runtime.block_on(submitted.settled()).expect("the journal is writable");
        assert!(ingested.refused.is_empty(), "{:?}", ingested.refused);
        ingested.accepted
    }

    /// Waits for an answer, and moves everything on meanwhile.
    pub fn ask<T>(&mut self, question: impl Future<Output = T>) -> T {
        let mut question = pin!(question);
        loop {
            let within = self.runtime.enter();
            if let Poll::Ready(answer) = question.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return answer;
            }
            drop(within);
            self.rest();
        }
    }

    /// Moves everything on until there is nothing to do.
    pub fn rest(&mut self) {
        loop {
            let steps = [self.machine.step_partition(0), self.machine.step_writer(), self.machine.step_partition(0)];
            if steps.iter().all(|step| matches!(step, Step::Idle(_))) {
                return;
            }
        }
    }
}
