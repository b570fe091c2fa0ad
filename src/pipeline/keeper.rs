//! Looks after what is on disk: checkpoints, and rows that have grown too old.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::Sender;

use super::Settings;
use super::ask::Frozen;
use super::handle::Pipeline;
use super::recovery::{self, FORMAT, Preface};
use super::store::{CarriedPart, Chore, horizon};
use crate::engine::{CarryPart, Workspace};
use crate::event::{HOUR_MS, Millis, WorkspaceSid};
use crate::journal::checkpoint;

/// How often rows are dropped. They are worth nothing once too old, so there is no hurry.
const PRUNE_EVERY_MS: i64 = HOUR_MS;

/// Owns the checkpoints of a data directory and decides what the journal may drop.
pub struct Keeper {
    pub(super) pipeline: Pipeline,
    pub(super) settings: Settings,
    pub(super) key: u64,
    pub(super) dir: PathBuf,
    pub(super) chores: Sender<Chore>,
    /// The carry-overs that are on disk or on their way.
    pub(super) carried: BTreeSet<Vec<u8>>,
    /// The position of the last checkpoint.
    pub(super) written: u64,
    /// Whether the journal has seen rows that may be dropped.
    pub(super) droppable: Arc<AtomicBool>,
    pub(super) pruned_at: Millis,
    /// Ends before this are in the carry-over already.
    pub(super) carried_to: Millis,
}

impl Keeper {
    /// Writes a checkpoint if anything has happened since the last one, and has old rows dropped if it is time.
    /// Blocks for as long as the disk takes; ingest and questions go on meanwhile.
    pub fn run_once(&mut self, now: Millis) -> io::Result<()> {
        let due = now.since(self.pruned_at) >= PRUNE_EVERY_MS && self.droppable.load(Ordering::Relaxed);
        // Not the position that all have passed: one of them may be about to hear of a group that another has answered,
        // and hears of it before it is asked for its copy.
        if self.pipeline.furthest() <= self.written && !due {
            return Ok(());
        }
        let Some(frozen) = self.pipeline.freeze() else { return Ok(()) };
        let position = frozen.iter().map(|partition| partition.position).min().unwrap_or(0);
        if position > self.written {
            self.write_checkpoint(&frozen, position)?;
        }
        if due {
            self.prune(&frozen, position, now);
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
        let started = Instant::now();
        let preface = Preface { format: FORMAT, key: self.key, retention_ms: self.settings.retention_ms };
        let preface = postcard::to_stdvec(&preface).map_err(io::Error::other)?;
        let states = frozen.iter().flat_map(|partition| {
            partition.workspaces.iter().map(|(sid, state)| recovery::section(*sid, partition.position, state))
        });
        checkpoint::write(&self.dir, position, &mut std::iter::once(preface).chain(states))?;
        self.written = position;
        tracing::info!(position, took_ms = started.elapsed().as_millis() as u64, "wrote a checkpoint");
        Ok(())
    }

    /// Tells the journal what to carry over and then to drop: rows of which every event has passed the retention.
    fn prune(&mut self, frozen: &[Frozen], position: u64, now: Millis) {
        let states: Vec<(u64, &WorkspaceSid, &Workspace)> = frozen
            .iter()
            .flat_map(|partition| partition.workspaces.iter().map(|(sid, state)| (partition.position, sid, state)))
            .collect();
        // With a forgotten workspace its carry-overs went.
        let known: BTreeSet<WorkspaceSid> = states.iter().map(|(_, sid, _)| **sid).collect();
        self.carried.retain(|key| recovery::parse_carry_key(key).is_none_or(|(sid, _)| known.contains(&sid)));
        // The slowest of the workspaces' own lines would hold everything back; what is too old is too old for all.
        let horizon = horizon(now, self.settings.retention_ms);
        // The lasting part of each workspace comes first, and stays first on its way to the disk: without the account
        // that it names, the ends could not be read back.
        let mut carries = VecDeque::new();
        for (as_of, sid, state) in states {
            // Of one that nothing was told of yet, everything is.
            let is_new = !self.carried.contains(&recovery::carry_key(*sid, CarryPart::Lasting));
            let since = if is_new { Millis(0) } else { self.carried_to };
            for (part, body) in state.carry_over(since, horizon) {
                carries.push_back(CarriedPart { key: recovery::carry_key(*sid, part), body, as_of });
            }
        }
        self.carried.extend(carries.iter().map(|part| part.key.clone()));
        let retention_ms = self.settings.retention_ms;
        let is_expired =
            |key: &Vec<u8>| recovery::parse_carry_key(key).is_some_and(|(_, part)| part.is_expired(now, retention_ms));
        let expired: Vec<Vec<u8>> = self.carried.extract_if(.., is_expired).collect();
        let chore = Chore { carries, expired, older_than_ms: horizon.0, upto: position };
        // The journal's thread ends only after every handle is gone, this one included.
        if self.chores.send(chore).is_ok() {
            self.droppable.store(false, Ordering::Relaxed);
            self.pruned_at = now;
            self.carried_to = horizon;
        }
    }
}
