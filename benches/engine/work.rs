//! What takes the events: the engine alone, or all of the pipeline, moved on by one thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tasktally::engine::Workspace;
use tasktally::event::{DAY_MS, Event, Millis};
use tasktally::journal::Journal;
use tasktally::pipeline::{
    AccountLimits, Caller, Clock, Ephemeral, GrowthLimits, JournalStore, Machine, Patience, Pipeline, Recovered,
    Settings, Step, Store, recover,
};

use super::supply::NOW;

pub const MONTH_MS: i64 = 30 * DAY_MS;

/// CPU time of this thread. Unlike the clock's it does not hang on what else the machine does.
pub fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The engine alone: is it known, and if not, take it. Gives the CPU that the batch took.
pub fn apply(state: &mut Workspace, batch: &[Event]) -> Duration {
    let begun = thread_cpu();
    for event in batch {
        if !state.has(event) {
            state.apply(event, Millis(NOW));
        }
    }
    thread_cpu() - begun
}

pub fn workspace_of(event: &Event) -> Workspace {
    Workspace::new(event.account, MONTH_MS, 7)
}

/// A clock that stands still until it is set.
pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn new() -> Arc<HandClock> {
        Arc::new(HandClock(AtomicI64::new(NOW)))
    }

    pub fn set(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

/// As the server has it, but that nothing is refused for want of room.
pub fn settings(partitions: usize) -> Settings {
    const MANY: usize = 100_000_000;
    let account = AccountLimits { workspaces: MANY, channels: MANY, workers: MANY, activities: MANY, tasks: MANY };
    let growth = GrowthLimits {
        workspaces: MANY,
        channels: MANY,
        workers: MANY,
        activities: MANY,
        tasks: MANY,
        name_bytes: 256,
        account,
    };
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

    /// With a journal that is synced as the server's is.
    pub fn on_disk(dir: &Path) -> Line {
        let (mut journal, _) = Journal::open(dir, "a bench").expect("a journal");
        let recovered = recover(&mut journal, dir, &settings(1)).expect("an empty journal");
        Line::over(Box::new(JournalStore::new(journal, MONTH_MS)), recovered, dir)
    }

    fn over(store: Box<dyn Store>, recovered: Recovered, dir: &Path) -> Line {
        let (clock, pipeline) = (HandClock::new(), Pipeline::default());
        let machine = Machine::new(settings(1), clock.clone(), store, recovered, dir, pipeline.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
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
