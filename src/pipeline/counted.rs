//! What the pipeline counts and publishes of itself, for whoever reports it. Each number is a plain atomic that its owner
//! writes, once a group or once a second, and that is read without asking anybody.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::handle::{PartitionHandle, Pipeline};
use super::writer::JournalHealth;
use crate::engine::{Table, Workspace};
use crate::event::{Event, Millis, WorkspaceSid};
use crate::limits;
use crate::measure::{Counts, DURATIONS_US, EVENTS, Spread};

/// Of one partition.
#[derive(Debug)]
pub struct Counted {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    late: AtomicU64,
    newest_ms: AtomicI64,
    held: [AtomicU64; HELD],
}

/// What a partition holds, as of its last look at itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub workspaces: u64,
    pub active_tasks: u64,
    pub workers: u64,
    pub retained_events: u64,
    /// Of the retained events' histories and identities. Measured when it has changed by an eighth; in between it is taken
    /// to follow the number of events.
    pub retained_bytes: u64,
}

const HELD: usize = 5;

impl Default for Counted {
    fn default() -> Counted {
        let [accepted, duplicates, late] = [const { AtomicU64::new(0) }; 3];
        Counted { accepted, duplicates, late, newest_ms: AtomicI64::new(i64::MIN), held: Default::default() }
    }
}

impl Counted {
    /// These were accepted at this moment, and are on disk.
    pub fn accept<'a>(&self, events: impl Iterator<Item = &'a Event>, at: Millis) {
        let (mut accepted, mut late, mut newest_ms) = (0, 0, i64::MIN);
        for event in events {
            accepted += 1;
            late += u64::from(at.since(event.at) > limits::LATE_MS);
            newest_ms = newest_ms.max(event.at.0);
        }
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        self.late.fetch_add(late, Ordering::Relaxed);
        self.newest_ms.fetch_max(newest_ms, Ordering::Relaxed);
    }

    pub fn repeat(&self, duplicates: u64) {
        self.duplicates.fetch_add(duplicates, Ordering::Relaxed);
    }

    pub fn hold(&self, held: Held) {
        let Held { workspaces, active_tasks, workers, retained_events, retained_bytes } = held;
        let now = [workspaces, active_tasks, workers, retained_events, retained_bytes];
        for (place, number) in self.held.iter().zip(now) {
            place.store(number, Ordering::Relaxed);
        }
    }

    fn held(&self) -> Held {
        let [workspaces, active_tasks, workers, retained_events, retained_bytes] =
            std::array::from_fn(|at| self.held[at].load(Ordering::Relaxed));
        Held { workspaces, active_tasks, workers, retained_events, retained_bytes }
    }
}

/// Adds up what the workspaces of a partition hold, and remembers what is slow to tell.
#[derive(Default)]
pub struct Census {
    measured: Table<WorkspaceSid, Measured>,
    sum: Held,
}

#[derive(Clone, Copy, Default)]
struct Measured {
    events: u64,
    bytes: u64,
}

impl Census {
    pub fn begin(&mut self) {
        self.sum = Held::default();
    }

    pub fn count(&mut self, sid: WorkspaceSid, state: &Workspace) {
        let events = state.retained_events();
        let measured = self.measured.entry(sid).or_default();
        if events.abs_diff(measured.events) > measured.events / 8 {
            *measured = Measured { events, bytes: state.retained_bytes() as u64 };
        }
        let bytes = if measured.events == 0 {
            measured.bytes
        } else {
            (u128::from(measured.bytes) * u128::from(events) / u128::from(measured.events)) as u64
        };
        let Held { workspaces, active_tasks, workers, retained_events, retained_bytes } = &mut self.sum;
        *workspaces += 1;
        *active_tasks += state.active_tasks();
        *workers += state.workers();
        *retained_events += events;
        *retained_bytes += bytes;
    }

    pub fn sum(&self) -> Held {
        self.sum
    }

    pub fn forget(&mut self, sid: WorkspaceSid) {
        self.measured.remove(&sid);
    }
}

/// Of the journal's writer.
#[derive(Debug)]
pub struct Commits {
    /// Events of one group commit, and how long it took, its sync included.
    pub events: Spread,
    pub took_us: Spread,
    pub failed: AtomicU64,
}

impl Default for Commits {
    fn default() -> Commits {
        Commits { events: Spread::new(EVENTS), took_us: Spread::new(DURATIONS_US), failed: AtomicU64::new(0) }
    }
}

/// Of the keeper.
#[derive(Debug)]
pub struct Checkpoints {
    pub took_us: Spread,
    pub failed: AtomicU64,
    /// The position of the last one.
    pub position: AtomicU64,
}

impl Default for Checkpoints {
    fn default() -> Checkpoints {
        let [failed, position] = [const { AtomicU64::new(0) }; 2];
        Checkpoints { took_us: Spread::new(DURATIONS_US), failed, position }
    }
}

impl Checkpoints {
    /// One was written at this position, or was not.
    pub fn note(&self, position: u64, took: Duration, is_written: bool) {
        if is_written {
            self.took_us.note(took.as_micros() as u64);
            self.position.store(position, Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All of it at some moment.
#[derive(Clone, Debug)]
pub struct Reading {
    pub accepted: u64,
    pub duplicates: u64,
    pub late: u64,
    /// The newest timestamp of an accepted event; `None` before there was any.
    pub newest: Option<Millis>,
    pub held: Held,
    pub revision: u64,
    pub queued_events: u64,
    /// Of the partition that has the most; the bound is on each.
    pub most_queued_events: u64,
    pub queued_questions: u64,
    pub commit_events: Counts,
    pub commits_us: Counts,
    pub commits_failed: u64,
    pub checkpoints_us: Counts,
    pub checkpoints_failed: u64,
    pub checkpoint_position: u64,
    pub is_writable: bool,
}

impl Pipeline {
    /// `None` before the start.
    pub fn reading(&self) -> Option<Reading> {
        let inner = self.inner.get()?;
        let count = |number: fn(&Counted) -> &AtomicU64| -> u64 {
            inner.partitions.iter().map(|partition| number(&partition.counted).load(Ordering::Relaxed)).sum()
        };
        let newest = inner.partitions.iter().map(|partition| partition.counted.newest_ms.load(Ordering::Relaxed));
        let newest = newest.max().unwrap_or(i64::MIN).max(inner.newest_at_start);
        let held = inner.partitions.iter().map(|partition| partition.counted.held());
        let waiting = |most: usize, free: usize| most.saturating_sub(free) as u64;
        let events = |place: &PartitionHandle| waiting(inner.queue_events, place.places.available_permits());
        let questions = |place: &PartitionHandle| waiting(place.most_asking, place.asking.available_permits());
        Some(Reading {
            accepted: count(|counted| &counted.accepted),
            duplicates: count(|counted| &counted.duplicates),
            late: count(|counted| &counted.late),
            newest: (newest > 0).then_some(Millis(newest)),
            held: held.fold(Held::default(), Held::plus),
            revision: self.passed(),
            queued_events: inner.partitions.iter().map(events).sum(),
            most_queued_events: inner.partitions.iter().map(events).max().unwrap_or_default(),
            queued_questions: inner.partitions.iter().map(questions).sum(),
            commit_events: inner.commits.events.read(),
            commits_us: inner.commits.took_us.read(),
            commits_failed: inner.commits.failed.load(Ordering::Relaxed),
            checkpoints_us: inner.checkpoints.took_us.read(),
            checkpoints_failed: inner.checkpoints.failed.load(Ordering::Relaxed),
            checkpoint_position: inner.checkpoints.position.load(Ordering::Relaxed),
            is_writable: *inner.health.borrow() == JournalHealth::Writable,
        })
    }
}

impl Held {
    fn plus(self, other: Held) -> Held {
        Held {
            workspaces: self.workspaces + other.workspaces,
            active_tasks: self.active_tasks + other.active_tasks,
            workers: self.workers + other.workers,
            retained_events: self.retained_events + other.retained_events,
            retained_bytes: self.retained_bytes + other.retained_bytes,
        }
    }
}

/// How far the way up is: the position that it began after, the one that is reached, and the one that it ends at. Of this
/// process, whose server starts once.
#[derive(Debug)]
pub struct Progress {
    after: AtomicU64,
    at: AtomicU64,
    end: AtomicU64,
}

pub static PROGRESS: Progress =
    Progress { after: AtomicU64::new(0), at: AtomicU64::new(0), end: AtomicU64::new(u64::MAX) };

impl Progress {
    pub fn begin(&self, after: u64, end: u64) {
        self.after.store(after, Ordering::Relaxed);
        self.at.store(after, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
    }

    pub fn reach(&self, position: u64) {
        self.at.store(position, Ordering::Relaxed);
    }

    /// From 0 to 1; 0 before it is known how much there is.
    pub fn ratio(&self) -> f64 {
        let [after, at, end] = [&self.after, &self.at, &self.end].map(|place| place.load(Ordering::Relaxed));
        if at >= end { 1.0 } else { at.saturating_sub(after) as f64 / end.saturating_sub(after).max(1) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_up_is_told_from_nothing_to_all() {
        let progress = Progress { after: AtomicU64::new(0), at: AtomicU64::new(0), end: AtomicU64::new(u64::MAX) };
        assert!(progress.ratio() < 1e-9, "before it is known how much there is");
        progress.begin(100, 300);
        assert!(progress.ratio() == 0.0);
        progress.reach(150);
        assert!((progress.ratio() - 0.25).abs() < 1e-9);
        progress.reach(300);
        assert!(progress.ratio() == 1.0);
        progress.begin(300, 300);
        assert!(progress.ratio() == 1.0, "there is nothing to replay");
    }

    #[test]
    fn retained_memory_follows_the_events_between_two_measurements() {
        let sid = WorkspaceSid::from_bytes([1; 16]);
        let mut census = Census::default();
        let state = Workspace::new(crate::event::AccountSid::from_bytes([2; 16]), 1_000, 3);
        census.measured.insert(sid, Measured { events: 100, bytes: 1_700 });
        census.begin();
        census.count(sid, &state);
        assert_eq!(census.sum(), Held { workspaces: 1, ..Held::default() }, "it holds nothing any more");
        census.forget(sid);
        assert!(census.measured.is_empty());
    }

    #[test]
    fn a_checkpoint_that_fails_leaves_the_position_of_the_last() {
        let checkpoints = Checkpoints::default();
        checkpoints.note(7, Duration::from_millis(3), true);
        checkpoints.note(9, Duration::from_millis(3), false);
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        assert_eq!((read(&checkpoints.position), read(&checkpoints.failed)), (7, 1));
        assert_eq!((checkpoints.took_us.read().number(), checkpoints.took_us.read().sum), (1, 3_000));
    }
}
