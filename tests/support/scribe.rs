//! A data directory in the making: a made-up history, written by the real pipeline on a clock that is set.

use std::path::Path;
use std::sync::Arc;

use tasktally::event::{DAY_MS, Event, EventKind, MINUTE_MS, WorkspaceSid};
use tasktally::journal::{Compression, Journal};
use tasktally::pipeline::{Caller, Patience, Pipeline, Running, recover, start};

use super::bench::{HandClock, runtime, settings};
use super::build::{Saying, event};

/// Of every directory here.
pub const RETENTION_MS: i64 = DAY_MS;

/// The pipeline on a directory, at this moment.
pub fn start_at(dir: &Path, now: i64) -> (Running, Arc<HandClock>) {
    let settings = settings(RETENTION_MS, 2);
    let (mut journal, _) = Journal::open(dir, "a test").expect("the journal opens");
    let recovered = recover(&mut journal, dir, &settings).expect("the journal can be read");
    let clock = HandClock::at(now);
    let running = start(settings, clock.clone(), journal, recovered, dir, Pipeline::default()).expect("threads start");
    (running, clock)
}

pub struct Scribe<'a> {
    dir: &'a Path,
    runtime: tokio::runtime::Runtime,
    events_of_a_row: usize,
    next: u32,
}

impl Scribe<'_> {
    pub fn of(dir: &Path, events_of_a_row: usize) -> Scribe<'_> {
        Scribe { dir, runtime: runtime(), events_of_a_row, next: 0 }
    }

    pub fn start(&self, now: i64) -> (Running, Arc<HandClock>) {
        start_at(self.dir, now)
    }

    /// The events, with sids of their own.
    pub fn take(&mut self, running: &Running, events: Vec<Event>) {
        for events in events.chunks(self.events_of_a_row) {
            let mut call = Vec::new();
            for event in events {
                self.next += 1;
                call.push((self.next, event.clone().sid(self.next)));
            }
            let taken = self.runtime.block_on(async {
                let call = running.pipeline.submit(&Caller::everything(), call, Patience::Refuse).await;
                call.unwrap().settled().await.unwrap()
            });
            assert_eq!(taken.accepted, events.len() as u64);
        }
    }

    pub fn forget(&self, running: &Running, workspace: WorkspaceSid) {
        self.runtime.block_on(running.pipeline.forget(&Caller::everything(), workspace)).unwrap();
    }

    /// The oldest rows into a block, of a directory that is not running.
    pub fn compress(&self) {
        let (mut journal, _) = Journal::open(self.dir, "a test").unwrap();
        assert!(journal.compress(Compression { older_than_ms: i64::MAX, tail_bytes: 0 }).unwrap());
        journal.close().unwrap();
    }
}

/// Ten tasks from `first` on, created up to ten minutes before `now` in this workspace, and what becomes of them.
pub fn tasks(first: u32, workspace: u32, now: i64, priority: impl Fn(u32) -> i32) -> Vec<Event> {
    use EventKind::*;
    let mut events = Vec::new();
    for n in first..first + 10 {
        let created = now - i64::from(n % 10) * MINUTE_MS;
        let channel = ["voice", "chat", "élan"][n as usize % 3];
        let of = |event: Event| {
            let event = event.task(n).created(created).channel(channel).channel_sid(n % 3 + 1).priority(priority(n));
            event.workspace(workspace).account(workspace)
        };
        events.push(of(event(TaskCreated, created)));
        let later = created + 1_000 * i64::from(n % 7);
        match n % 5 {
            0 => {}
            1 => events.push(of(event(ReservationCreated, later).worker(n % 3 + 1)).reserved()),
            2 => events.push(of(event(ReservationAccepted, later).worker(n % 3 + 1)).assigned()),
            3 => events.push(of(event(TaskCanceled, later)).canceled()),
            _ => events.push(of(event(TaskCompleted, later)).completed()),
        }
    }
    events
}

/// Two activities, three workers, and a fourth who is deleted.
pub fn staff(workspace: u32, now: i64) -> Vec<Event> {
    use EventKind::*;
    let of = |event: Event| event.workspace(workspace).account(workspace);
    let mut events = vec![
        of(event(ActivityCreated, now).activity(1).named("Idle")),
        of(event(ActivityCreated, now).activity(2).named("Pause – außer Haus")),
    ];
    events.extend((1..=4).map(|n| of(event(WorkerCreated, now).worker(n).doing(1 + n % 2))));
    events.push(of(event(WorkerDeleted, now + 1).worker(4)));
    events
}
