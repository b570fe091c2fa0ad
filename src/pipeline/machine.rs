//! All of the pipeline but the threads: partitions, the writer and the keeper, each moved on step by step.
//!
//! Threads drive it in the server (`start.rs`), one for each part, waiting when a step says that there is nothing to
//! do. Tests drive it from one seed, in any order, over any store and clock, without a thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use tokio::sync::{Semaphore, watch};

use super::clock::Clock;
use super::counted::Checkpoints;
use super::growth::GrowthLimits;
use super::handle::{Inner, PartitionHandle, Pipeline, partition_of};
use super::keeper::Keeper;
use super::ledger::Accounts;
use super::owner::{Inbox, Owner};
use super::partition::Partition;
use super::passed::Passed;
use super::pasts::Pasts;
use super::recovery::Recovered;
use super::series::Room;
use super::shelf::Shelf;
use super::space::Space;
use super::store::Store;
use super::writer::{Desk, JournalHealth, Line, Writer};
use crate::engine::{Table, Workspaces};

/// Messages about copies that wait: one from whoever has a copy, and some from those who would like one.
const COPY_MESSAGES: usize = 16;

/// How the pipeline is to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub retention_ms: i64,
    pub partitions: usize,
    /// Events waiting or under way, a partition.
    pub queue_events: usize,
    /// Questions waiting, a partition.
    pub queue_questions: usize,
    /// Published answers kept for readers, in one partition and for one workspace.
    pub views: usize,
    pub views_per_workspace: usize,
    /// No events are taken while the data directory's disk has less space than this; 0 where that is not looked at.
    pub min_free_disk_bytes: u64,
    pub growth: GrowthLimits,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This was done, and there may be more to do at once.
    Busy(Work),
    /// There is nothing to do until a message comes, or for so long.
    Idle(Duration),
    /// There will never be anything to do again.
    Over,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The partition heard what became of a group.
    Verdict,
    /// The partition took a question, and has answered it unless it is about a position not passed yet.
    Question,
    /// The partition heard that a workspace is to be forgotten, which it begins as soon as no group is under way.
    Forget,
    /// The partition took up so many calls, and accepted so many of their events.
    Admitted { calls: usize, accepted: usize },
    /// A slice of the journal's chores, or a piece of a copy.
    Chore,
}

/// A pipeline that stands still until it is moved. Dropping it is what a killed process leaves: what was not on disk
/// is gone.
pub struct Machine {
    pub pipeline: Pipeline,
    pub keeper: Keeper,
    /// `None` once it is over.
    pub(super) owners: Vec<Option<Owner>>,
    pub(super) writer: Writer,
    pub(super) health: watch::Sender<JournalHealth>,
}

impl Machine {
    /// From the state that was recovered from the store, with checkpoints in `dir`; `pipeline` answers from then on.
    #[expect(clippy::disallowed_methods, reason = "what callers can put in is bounded by permits: see `Inner`")]
    pub fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        store: Box<dyn Store>,
        recovered: Recovered,
        dir: &Path,
        pipeline: Pipeline,
    ) -> Machine {
        let Recovered { workspaces, key, carried, carried_to, replayed } = recovered;
        let (end, newest_at_start) = (store.end(), store.newest_ms());
        let accounts = Accounts::default();
        let mut shares: Vec<Workspaces> = (0..settings.partitions).map(|_| Table::default()).collect();
        for (sid, state) in workspaces {
            shares[partition_of(sid, settings.partitions)].insert(sid, state);
        }
        let (rows_in, rows) = bounded(settings.partitions);
        let (chores_in, chores) = bounded(1);
        let (copies_in, copies) = bounded(COPY_MESSAGES);
        let (health_in, health) = watch::channel(JournalHealth::Writable);
        let (mut lines, mut handles, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        for (number, share) in shares.into_iter().enumerate() {
            let (calls_in, calls) = unbounded();
            let (questions_in, questions) = unbounded();
            let (verdicts_in, verdicts_out) = unbounded();
            let (shelf, passed) = (Shelf::default(), Arc::new(Passed::new(end)));
            let partition =
                Partition::new(settings, key, share, accounts.clone(), shelf.clone(), passed.clone(), clock.clone());
            let counted = partition.counted();
            let inbox = Inbox { calls, questions, verdicts: verdicts_out };
            let pasts = Pasts::new(passed.clone(), clock.clone(), settings.retention_ms);
            owners.push(Some(Owner::new(partition, pasts.clone(), inbox, rows_in.clone(), number, clock.clone())));
            lines.push(Line { verdicts: verdicts_in, passed: passed.clone(), told: end });
            handles.push(PartitionHandle {
                calls: calls_in,
                questions: questions_in,
                asking: Arc::new(Semaphore::new(settings.queue_questions)),
                most_asking: settings.queue_questions,
                places: Arc::new(Semaphore::new(settings.queue_events)),
                shelf,
                pasts,
                passed,
                counted,
            });
        }
        let droppable = Arc::new(AtomicBool::new(false));
        let space = Space::of(dir, settings.min_free_disk_bytes);
        let health_there = health_in.clone();
        let desk = Desk { rows, lines, chores, copies, health: health_there, space, droppable: droppable.clone() };
        let writer = Writer::new(store, desk, clock);
        let written = end - replayed.min(end);
        let checkpoints = Checkpoints::default();
        checkpoints.position.store(written, Ordering::Relaxed);
        let inner = Inner {
            partitions: handles.into(),
            health,
            queue_events: settings.queue_events,
            copies: copies_in,
            commits: writer.commits(),
            checkpoints: Arc::new(checkpoints),
            newest_at_start,
            series: Room::new(),
        };
        assert!(pipeline.inner.set(inner).is_ok(), "a pipeline was started twice");
        let keeper =
            Keeper::new(pipeline.clone(), settings, key, dir, chores_in, carried, carried_to, written, droppable);
        Machine { pipeline, keeper, owners, writer, health: health_in }
    }

    pub fn partitions(&self) -> usize {
        self.owners.len()
    }

    /// Whether somebody waits for this partition to pass a position, so that it hears of each.
    pub fn is_awaited(&self, number: usize) -> bool {
        self.pipeline.inner.get().is_some_and(|inner| inner.partitions[number].passed.is_awaited())
    }

    /// Moves one partition on by one message.
    pub fn step_partition(&mut self, number: usize) -> Step {
        let step = self.owners[number].as_mut().map_or(Step::Over, Owner::step);
        if step == Step::Over {
            self.owners[number] = None;
        }
        step
    }

    /// Has each partition settle what has been submitted, and then be over.
    pub fn stop(&self) {
        self.pipeline.tell_to_stop();
    }

    /// Moves the journal on by one commit and one slice of chores, where there are any.
    pub fn step_writer(&mut self) -> Step {
        self.writer.step()
    }
}
