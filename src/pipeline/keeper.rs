//! Looks after what is on disk: checkpoints, and rows that have grown too old.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::Settings;
use super::ask::Frozen;
use super::handle::Pipeline;
use super::recovery;
use super::store::{CarriedPart, Chore, horizon};
use crate::engine::{self, CarryPart, Workspace};
use crate::event::{HOUR_MS, Millis, WorkspaceSid};

/// How often rows are dropped. They are worth nothing once too old, so there is no hurry.
const PRUNE_EVERY_MS: i64 = HOUR_MS;

/// Owns the checkpoints of a data directory and decides what the journal may drop.
pub struct Keeper {
    pipeline: Pipeline,
    settings: Settings,
    key: u64,
    dir: PathBuf,
    chores: Sender<Chore>,
    /// The carry-overs that are on disk or on their way.
    carried: BTreeSet<Vec<u8>>,
    /// The position of the last checkpoint.
    written: u64,
    /// Whether the journal has seen rows that may be dropped.
    droppable: Arc<AtomicBool>,
    pruned_at: Millis,
    /// Of days before the one of this moment no further end can arrive, and all are in the carry-over.
    carried_to: Millis,
}

/// One round of the keeper: it takes a copy of each partition, one after the other, and then writes.
pub struct Round {
    now: Millis,
    /// Whether old rows are to be dropped.
    prunes: bool,
    copies: Vec<Frozen>,
    next: Next,
}

/// What a round goes on with.
enum Next {
    Awaited(oneshot::Receiver<Frozen>),
    Arrived(Frozen),
    /// All copies are there.
    Write,
    /// A partition is gone, and with it the reason for all this.
    Gone,
}

impl Round {
    /// Blocks until the next step has something to do.
    fn wait(&mut self) {
        self.next = match std::mem::replace(&mut self.next, Next::Gone) {
            Next::Awaited(copy) => copy.blocking_recv().map_or(Next::Gone, Next::Arrived),
            next @ (Next::Arrived(_) | Next::Write | Next::Gone) => next,
        };
    }
}

impl Keeper {
    #[expect(clippy::too_many_arguments, reason = "made in one place, of what that place has at hand")]
    pub(super) fn new(
        pipeline: Pipeline,
        settings: Settings,
        key: u64,
        dir: &Path,
        chores: Sender<Chore>,
        carried: BTreeSet<Vec<u8>>,
        carried_to: Millis,
        written: u64,
        droppable: Arc<AtomicBool>,
    ) -> Keeper {
        let pruned_at = Millis(0);
        let dir = dir.to_path_buf();
        Keeper { pipeline, settings, key, dir, chores, carried, written, droppable, pruned_at, carried_to }
    }

    /// Writes a checkpoint if anything has happened since the last one, and has old rows dropped if it is time.
    /// Blocks for as long as the disk takes; ingest and questions go on meanwhile.
    pub fn run_once(&mut self, now: Millis) -> io::Result<()> {
        let mut round = self.begin(now);
        while let Some(mut under_way) = round.take() {
            under_way.wait();
            round = self.step(under_way)?;
        }
        Ok(())
    }

    /// Begins a round if there is anything to do.
    pub fn begin(&self, now: Millis) -> Option<Round> {
        let prunes = now.since(self.pruned_at) >= PRUNE_EVERY_MS && self.droppable.load(Ordering::Relaxed);
        // Not the position that all have passed: one of them may be about to hear of a group that another has answered,
        // and hears of it before it is asked for its copy.
        if self.pipeline.furthest() <= self.written && !prunes {
            return None;
        }
        let mut round = Round { now, prunes, copies: Vec::new(), next: Next::Write };
        self.ask(&mut round);
        Some(round)
    }

    /// Asks for the next copy.
    fn ask(&self, round: &mut Round) {
        let taken = round.copies.len();
        round.next = if taken < self.settings.partitions {
            self.pipeline.freeze(taken).map_or(Next::Gone, Next::Awaited)
        } else {
            Next::Write
        };
    }

    /// Goes on as far as it can without waiting for a partition; `None` when the round is over.
    pub fn step(&mut self, mut round: Round) -> io::Result<Option<Round>> {
        let copy = match std::mem::replace(&mut round.next, Next::Gone) {
            Next::Arrived(copy) => copy,
            Next::Awaited(mut copy) => match copy.try_recv() {
                Ok(copy) => copy,
                Err(TryRecvError::Closed) => return Ok(None),
                Err(TryRecvError::Empty) => {
                    round.next = Next::Awaited(copy);
                    return Ok(Some(round));
                }
            },
            Next::Write => return self.finish(&round).map(|()| None),
            Next::Gone => return Ok(None),
        };
        round.copies.push(copy);
        self.ask(&mut round);
        Ok(Some(round))
    }

    fn finish(&mut self, round: &Round) -> io::Result<()> {
        let position = round.copies.iter().map(|partition| partition.position).min().unwrap_or(0);
        if position > self.written {
            self.write_checkpoint(&round.copies, position)?;
        }
        // The chore before this one is not even taken up, as long as the journal cannot be written; there is no hurry.
        if round.prunes && self.chores.is_empty() {
            self.prune(&round.copies, position, round.now);
        }
        Ok(())
    }

    /// Has the next run drop old rows, whether or not the journal has come to see any and whenever that was done last.
    /// For tests, whose clocks jump.
    pub fn expect_old_rows(&mut self) {
        self.droppable.store(true, Ordering::Relaxed);
        self.pruned_at = Millis(i64::MIN);
    }

    fn write_checkpoint(&mut self, frozen: &[Frozen], position: u64) -> io::Result<()> {
        let (started, counted) = (Instant::now(), self.pipeline.checkpoints());
        let workspaces = frozen
            .iter()
            .flat_map(|partition| partition.workspaces.iter().map(|(sid, state)| (*sid, partition.position, state)));
        let written =
            recovery::write_checkpoint(&self.dir, position, (self.key, self.settings.retention_ms), workspaces);
        counted.note(position, started.elapsed(), written.is_ok());
        written?;
        self.written = position;
        tracing::info!(position, took_ms = started.elapsed().as_millis() as u64, "wrote a checkpoint");
        Ok(())
    }

    /// Tells the journal what to carry over and then to drop: rows of which every event has passed the retention.
    fn prune(&mut self, frozen: &[Frozen], position: u64, now: Millis) {
        let mut states: Vec<(u64, &WorkspaceSid, &Workspace)> = frozen
            .iter()
            .flat_map(|partition| partition.workspaces.iter().map(|(sid, state)| (partition.position, sid, state)))
            .collect();
        // A process that ends in the middle of it shall leave the same on disk, whatever the tables' order.
        states.sort_unstable_by_key(|(_, sid, _)| **sid);
        // With a forgotten workspace its carry-overs went.
        let known: BTreeSet<WorkspaceSid> = states.iter().map(|(_, sid, _)| **sid).collect();
        self.carried.retain(|key| recovery::parse_carry_key(key).is_none_or(|(sid, _)| known.contains(&sid)));
        // The slowest of the workspaces' own lines would hold everything back; what is too old is too old for all.
        let horizon = horizon(now, self.settings.retention_ms);
        // A day's ends are written anew each time, so they are told up to a moment that a clock set back by an hour
        // does not take behind the last horizon: rows up to that one are gone already.
        let told = now.minus(self.settings.retention_ms.max(engine::SETTLED_AFTER_MS));
        // The lasting part of each workspace comes first, and stays first on its way to the disk: without the account
        // that it names, the ends could not be read back.
        let mut carries = VecDeque::new();
        for (as_of, sid, state) in states {
            // Of one that nothing was told of yet, everything is.
            let is_new = !self.carried.contains(&recovery::carry_key(*sid, CarryPart::Lasting));
            let since = if is_new { Millis(0) } else { self.carried_to };
            for (part, body) in state.carry_over(since, told) {
                carries.push_back(CarriedPart { key: recovery::carry_key(*sid, part), body, as_of });
            }
        }
        self.carried.extend(carries.iter().map(|part| part.key.clone()));
        let retention_ms = self.settings.retention_ms;
        let is_expired =
            |key: &Vec<u8>| recovery::parse_carry_key(key).is_some_and(|(_, part)| part.is_expired(now, retention_ms));
        let expired: Vec<Vec<u8>> = self.carried.extract_if(.., is_expired).collect();
        let seal = Some(recovery::Seal { horizon, upto: position }.to_carry());
        let chore = Chore { carries, seal, expired, older_than_ms: horizon.0, upto: position };
        // The journal's writer ends only after every handle is gone, this one included.
        if self.chores.send(chore).is_ok() {
            self.droppable.store(false, Ordering::Relaxed);
            self.pruned_at = now;
            self.carried_to = horizon;
        }
    }
}
