//! The process under test: this test binary, started again with a faulty disk. It carries out a history and marks in the
//! trace what it sends, before, and what was acknowledged, after.

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use tasktally::event::{HOUR_MS, Millis};
use tasktally::journal::checkpoint;
use tasktally::journal::{Compression, Journal, Record};
use tasktally::pipeline::{Caller, Patience, Pipeline, Running, Submitted, recover, start};

use super::history::{History, RETENTION_MS, START_MS, Step};
use crate::faults::{Faults, trace};
use crate::support::bench::{HandClock, runtime, settings};

const PLAN: &str = "TASKTALLY_FAULTS_PLAN";
const PARTITIONS: usize = 2;
/// Rows of which everything is older than this are compressed when the journal is opened.
const COMPRESS_AFTER_MS: i64 = HOUR_MS;

/// What a process is to do.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The whole history of a seed.
    Whole { seed: u64 },
    /// After a death: recover, send these calls again, write a checkpoint, end.
    Resume { seed: u64, now: i64, calls: Vec<usize> },
}

impl Plan {
    fn to_text(&self) -> String {
        match self {
            Plan::Whole { seed } => format!("whole {seed}"),
            Plan::Resume { seed, now, calls } => {
                let calls: Vec<String> = calls.iter().map(usize::to_string).collect();
                format!("resume {seed} {now} {}", calls.join(" "))
            }
        }
    }

    fn parse(text: &str) -> Plan {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["whole", seed] => Plan::Whole { seed: seed.parse().unwrap() },
            ["resume", seed, now, ref calls @ ..] => {
                let calls = calls.iter().map(|call| call.parse().unwrap()).collect();
                Plan::Resume { seed: seed.parse().unwrap(), now: now.parse().unwrap(), calls }
            }
            _ => panic!("no plan: {text}"),
        }
    }

    pub fn seed(&self) -> u64 {
        match self {
            Plan::Whole { seed } | Plan::Resume { seed, .. } => *seed,
        }
    }
}

/// Runs a process with this plan on a faulty disk until it ends; answers how, and what it printed.
pub fn run(plan: &Plan, faults: &Faults) -> (ExitStatus, String) {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "process_under_test", "--nocapture", "--test-threads=1"]);
    command.env(PLAN, plan.to_text()).envs(faults.environment_with_trace());
    let output = command.output().expect("this binary can be started");
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}

struct Life {
    history: History,
    dir: PathBuf,
    trace: File,
    clock: Arc<HandClock>,
    now: i64,
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
}

/// What the started process does; nothing in the test run itself.
pub fn live() {
    let Ok(plan) = std::env::var(PLAN) else { return };
    let plan = Plan::parse(&plan);
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set")));
    let trace = File::options().append(true).open(path("FAULTS_TRACE")).expect("the trace is there");
    let (history, dir) = (History::of(plan.seed()), path("FAULTS_DIR"));
    let clock = HandClock::at(START_MS);
    let mut life = Life { history, dir, trace, clock, now: START_MS, running: None, runtime: runtime() };
    match plan {
        Plan::Whole { .. } => {
            life.whole();
            life.mark_what_went();
        }
        Plan::Resume { now, calls, .. } => life.resume(now, calls),
    }
    life.mark("end");
}

impl Life {
    fn whole(&mut self) {
        self.open();
        for step in self.history.steps.clone() {
            match step {
                Step::Send(calls) => self.send(calls),
                Step::Clock(now) => {
                    self.now = now;
                    self.clock.set(now);
                    self.mark(&format!("clock {now}"));
                }
                Step::Keep { prune } => self.keep(prune),
                Step::Reopen => {
                    self.stop();
                    self.compress();
                    self.open();
                }
            }
        }
        self.stop();
    }

    fn resume(&mut self, now: i64, calls: Vec<usize>) {
        self.now = now;
        self.clock.set(now);
        self.open();
        self.mark("up");
        for call in calls {
            self.send(call..call + 1);
        }
        self.keep(false);
        self.stop();
    }

    fn mark(&mut self, text: &str) {
        self.trace.write_all(&trace::mark(text)).expect("the trace can be written");
    }

    fn open(&mut self) {
        self.running = Some(open(&self.dir, self.clock.clone()));
    }

    /// That the life had in it what it is about.
    fn mark_what_went(&mut self) {
        let (mut journal, opened) = Journal::open(&self.dir, "a test").expect("the journal opens");
        let mut held = 0;
        let each = &mut |record: Record<'_>| {
            held += u64::from(record.events);
            ControlFlow::Continue(())
        };
        journal.read(0, each).expect("the journal can be read");
        let carries = journal.stats().carries;
        self.mark(&format!("dropped {}", opened.end - held));
        self.mark(&format!("carried {carries}"));
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    fn compress(&mut self) {
        let (mut journal, _) = Journal::open(&self.dir, "a test").expect("the journal opens");
        let policy = Compression { older_than_ms: self.now - COMPRESS_AFTER_MS, tail_bytes: u64::MAX };
        while journal.compress(policy).expect("the disk is sound") {
            self.mark("compressed");
        }
    }

    fn send(&mut self, calls: Range<usize>) {
        let pipeline = self.running.as_ref().expect("it runs").pipeline.clone();
        let mut sent: Vec<(usize, Submitted)> = Vec::new();
        for call in calls {
            self.mark(&format!("sent {call}"));
            let events = (0..).zip(self.history.calls[call].iter().cloned()).collect();
            let submitted = self.runtime.block_on(pipeline.submit(&Caller::everything(), events, Patience::Refuse));
            sent.push((call, submitted.expect("there is room")));
        }
        for (call, submitted) in sent {
            self.runtime.block_on(submitted.settled()).expect("the disk is sound");
            self.mark(&format!("done {call}"));
        }
    }

    fn keep(&mut self, prune: bool) {
        let keeper = self.running.as_mut().and_then(|running| running.keeper.as_mut());
        let keeper = keeper.expect("a journal has a keeper");
        if prune {
            keeper.expect_old_rows();
        }
        keeper.run_once(Millis(self.now)).expect("the disk is sound");
        let written = checkpoint::survey(&self.dir).expect("the folder can be listed");
        if let Some(newest) = written.first() {
            self.mark(&format!("kept {}", newest.position));
        }
    }
}

/// Recovers what is in a folder, and goes on with it.
pub fn open(dir: &Path, clock: Arc<HandClock>) -> Running {
    let settings = settings(RETENTION_MS, PARTITIONS);
    let (mut journal, _) = Journal::open(dir, "a test").expect("the journal opens");
    let recovered = recover(&mut journal, dir, &settings).expect("the journal can be read");
    start(settings, clock, journal, recovered, dir, Pipeline::default()).expect("threads start")
}
