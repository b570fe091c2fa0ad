//! The machine over a real journal, with its clock, its disk and its callers, and what is checked of each answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasktally::engine::ChannelFilter;
use tasktally::event::{HOUR_MS, Millis, WorkspaceSid};
use tasktally::journal::Journal;
use tasktally::pipeline::{
    Clock, JournalHealth, JournalStore, Machine, Pipeline, Round, Settings, Step as Moved, Work, recover,
};

use super::callers::{Asked, Waiting, Watched};
use super::forgetting::Forgetful;
use super::oracle::{Health, Oracle};
use super::plan::{About, Fault, Shape, Who};
use super::store::{FaultyStore, Noted, Tape};
use super::trace::Trace;
use crate::support::bench::settings;
use crate::support::random::{Ask, WORKSPACES};

/// Two clocks that stand still until they are moved.
#[derive(Default)]
pub struct Clocks {
    wall: AtomicI64,
    uptime_ms: AtomicU64,
}

impl Clock for Clocks {
    fn now(&self) -> Millis {
        Millis(self.wall.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime_ms.load(Ordering::Relaxed))
    }
}

/// What has been seen over all runs: what was never tried is not shown to hold.
pub type Seen = BTreeMap<&'static str, u64>;

pub struct World {
    pub clock: Arc<Clocks>,
    /// The latest that the clock has ever told.
    highest: i64,
    dir: tempfile::TempDir,
    tape: Arc<Mutex<Tape>>,
    machine: Option<Machine>,
    round: Option<Round>,
    pub oracle: Oracle,
    pub waiting: Vec<Waiting>,
    pub asked: Vec<Asked>,
    pub forgetting: Vec<Forgetful>,
    pub watched: Vec<Watched>,
    pub numbers: usize,
    /// Of each workspace: the last revision seen, and how many events were in the state that had it.
    pub revisions: BTreeMap<WorkspaceSid, (i64, usize)>,
    /// Of each workspace: the revision of the last acknowledgement.
    pub acknowledged: BTreeMap<WorkspaceSid, i64>,
    pub stopping: bool,
    pub trace: Trace,
    pub seen: Seen,
}

impl World {
    pub fn new(shape: &Shape) -> World {
        // In memory where there is such a place: what a sync costs is no matter here.
        let shared_memory = std::path::Path::new("/dev/shm");
        let dir = if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() };
        let clock = Arc::new(Clocks::default());
        clock.wall.store(shape.first_moment, Ordering::Relaxed);
        let mut world = World {
            clock,
            highest: shape.first_moment,
            dir: dir.expect("a temporary directory"),
            tape: Arc::default(),
            machine: None,
            round: None,
            oracle: Oracle::new(shape.clone()),
            waiting: Vec::new(),
            asked: Vec::new(),
            forgetting: Vec::new(),
            watched: Vec::new(),
            numbers: 0,
            revisions: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            stopping: false,
            trace: Trace::default(),
            seen: Seen::new(),
        };
        world.begin(shape.partitions);
        world
    }

    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub fn see(&mut self, what: &'static str, times: u64) {
        *self.seen.entry(what).or_default() += times;
    }

    fn settings(&self, partitions: usize) -> Settings {
        let shape = &self.oracle.shape;
        let mut settings = settings(shape.retention_ms, partitions);
        settings.queue_events = shape.queue_events;
        let growth = &mut settings.growth;
        growth.workspaces = shape.workspaces.unwrap_or(growth.workspaces);
        growth.workers = shape.workers.unwrap_or(growth.workers);
        growth.activities = shape.activities.unwrap_or(growth.activities);
        settings
    }

    fn begin(&mut self, partitions: usize) {
        let settings = self.settings(partitions);
        let (mut journal, opened) = Journal::open(self.dir.path(), "a dream").expect("the journal opens");
        assert_eq!(opened.end, self.oracle.durable, "where the journal ends, against what was appended");
        let recovered = recover(&mut journal, self.dir.path(), &settings).expect("the journal can be read");
        self.see("events replayed", recovered.replayed);
        self.see("restarts with carry-over", u64::from(!recovered.carried.is_empty()));
        let store = FaultyStore::new(JournalStore::new(journal, settings.retention_ms), self.tape.clone());
        let (clock, dir) = (self.clock.clone(), self.dir.path());
        self.machine = Some(Machine::new(settings, clock, Box::new(store), recovered, dir, Pipeline::default()));
        self.oracle.begin(partitions);
    }

    /// The process is gone, with all that waited for it.
    fn end(&mut self) {
        self.waiting.clear();
        self.asked.clear();
        self.forgetting.clear();
        self.watched.clear();
        self.round = None;
        self.machine = None;
        self.stopping = false;
        self.oracle.end();
    }

    pub fn kill(&mut self, with_checkpoints: bool, partitions: usize) {
        self.see("kills", 1);
        self.end();
        if !with_checkpoints {
            self.remove_checkpoints();
        }
        self.begin(partitions);
        self.check_all();
    }

    /// Told to stop, it settles what was submitted, and only then is over.
    pub fn stop(&mut self, partitions: usize) {
        if self.oracle.health == Health::Lost {
            return self.kill(true, partitions);
        }
        self.see("stops", 1);
        self.machine().stop();
        self.stopping = true;
        self.settle();
        self.end();
        self.begin(partitions);
        self.check_all();
    }

    fn remove_checkpoints(&self) {
        for file in std::fs::read_dir(self.dir.path()).expect("the directory is there") {
            let path = file.expect("it can be read").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("checkpoint-")) {
                std::fs::remove_file(path).expect("it can be removed");
            }
        }
    }

    fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("it runs")
    }

    pub fn pipeline(&self) -> Pipeline {
        self.machine.as_ref().expect("it runs").pipeline.clone()
    }

    pub fn fail(&mut self, fault: Fault) {
        self.tape.lock().expect("nobody panics with it").fault = Some(fault);
    }

    /// Time goes by. The wall clock may be set as well, but never more than an hour behind what it has told.
    pub fn pass(&mut self, wall_ms: i64, uptime_ms: i64) {
        let wall = (self.now() + wall_ms).max(self.highest - HOUR_MS);
        self.see("clock set back", u64::from(wall < self.now()));
        self.highest = self.highest.max(wall);
        self.clock.wall.store(wall, Ordering::Relaxed);
        self.clock.uptime_ms.fetch_add(uptime_ms.max(0) as u64, Ordering::Relaxed);
        self.check_watched(None);
    }

    /// Moves one partition; answers whether it had anything to do.
    pub fn move_partition(&mut self, number: usize) -> bool {
        let now = self.clock.now();
        let moved = self.machine().step_partition(number);
        self.trace.note(&moved);
        match moved {
            Moved::Busy(Work::Verdict) => self.oracle.hear(number),
            Moved::Busy(Work::Admitted { calls, accepted }) => self.oracle.admit(number, calls, accepted, now),
            Moved::Busy(Work::Question) => {}
            Moved::Busy(Work::Forget) => self.oracle.hear_of_forgetting(number),
            Moved::Busy(Work::Chore) => panic!("a partition has no chores"),
            Moved::Idle(due) => {
                assert!(due <= Duration::from_secs(1), "a partition looks after itself in {due:?}");
                assert!(self.oracle.is_idle(number), "partition {number} leaves something that it could take up");
            }
            Moved::Over => assert!(self.stopping, "partition {number} is over and nobody told it"),
        }
        self.oracle.begin_forgetting(number);
        self.hear_answers();
        self.check_watched(Some(number));
        matches!(moved, Moved::Busy(_))
    }

    pub fn move_writer(&mut self) -> bool {
        let moved = self.machine().step_writer();
        self.trace.note(&moved);
        let noted = std::mem::take(&mut self.tape.lock().expect("nobody panics with it").noted);
        let busy = moved == Moved::Busy(Work::Chore) || noted.iter().any(|noted| matches!(noted, Noted::Append { .. }));
        for noted in noted {
            self.trace.note(&noted);
            let machine = self.machine.as_ref().expect("it runs");
            self.oracle.note(noted, |partition| machine.is_awaited(partition));
        }
        let health = self.pipeline().health().expect("it runs");
        let health = match &*health.borrow() {
            JournalHealth::Writable => Health::Writable,
            JournalHealth::Unwritable(_) => Health::Unwritable,
            JournalHealth::Lost(_) => Health::Lost,
        };
        assert_eq!(health, self.oracle.health, "what the journal's health is said to be");
        busy
    }

    pub fn begin_keeping(&mut self, due: bool) {
        if self.round.is_some() {
            return;
        }
        let now = self.clock.now();
        let keeper = &mut self.machine().keeper;
        if due {
            keeper.expect_old_rows();
        }
        self.round = keeper.begin(now);
    }

    pub fn move_keeper(&mut self) -> bool {
        let Some(round) = self.round.take() else { return false };
        self.round = self.machine().keeper.step(round).expect("the disk is sound");
        self.see("rounds of the keeper", u64::from(self.round.is_none()));
        self.round.is_none()
    }

    /// Until nothing moves any more. Then nobody may still wait for an answer.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            for number in 0..self.oracle.parts.len() {
                while self.move_partition(number) {
                    moved = true;
                }
            }
            while self.move_writer() {
                moved = true;
            }
            moved |= self.move_keeper();
            if !moved {
                break;
            }
        }
        assert!(self.waiting.is_empty(), "nothing moves, and {} callers wait", self.waiting.len());
        assert!(self.asked.is_empty(), "nothing moves, and {} askers wait", self.asked.len());
        let forgetting = self.forgetting.len();
        assert_eq!(forgetting, 0, "nothing moves, and so many wait for a workspace to be forgotten");
        let ends: Vec<u64> = self.oracle.parts.iter().map(|part| part.passed).collect();
        if self.oracle.health != Health::Lost && !self.stopping {
            assert!(ends.iter().all(|end| *end == self.oracle.durable), "passed {ends:?} of {}", self.oracle.durable);
        }
    }

    /// Everything that there is to ask of one workspace, and what matters of the others, asked at once.
    fn check_all(&mut self) {
        let chosen = self.numbers as u32 % WORKSPACES;
        for workspace in 0..=WORKSPACES {
            for ask in Ask::all_of(workspace) {
                if workspace == chosen || ask.filter == ChannelFilter::All {
                    self.ask(&ask, About::Both, Who::Anybody);
                }
            }
        }
        for number in 0..self.oracle.parts.len() {
            while self.move_partition(number) {}
        }
        assert!(self.asked.is_empty(), "a partition leaves questions open");
    }
}
