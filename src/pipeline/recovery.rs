//! The way up: the newest sound checkpoint and the rows after it, or the carry-over and all rows.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use self::torn::Torn;
use super::Settings;
use super::bytes::Damaged;
use super::counted::PROGRESS;
use super::row::{self, Entry};
use crate::engine::{self, CarryPart, Table, Workspace, Workspaces};
use crate::event::{Event, Millis, WorkspaceSid};
use crate::journal::checkpoint::{self, Checkpoint};
use crate::journal::{AppendError, Carry, Journal, ReadError};

mod sections;
mod torn;

pub(super) use sections::{read_checkpoint, write_checkpoint};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The state that a journal stands for.
pub struct Recovered {
    pub workspaces: Workspaces,
    /// Keys the fingerprints in `workspaces`.
    pub key: u64,
    /// The keys of the carry-overs that are on disk.
    pub carried: BTreeSet<Vec<u8>>,
    /// What happened before this moment is in them.
    pub carried_to: Millis,
    /// Events taken from rows, as opposed to from a checkpoint.
    pub replayed: u64,
}

impl Recovered {
    /// The state that an empty store stands for.
    pub fn nothing() -> Recovered {
        Recovered {
            workspaces: Table::default(),
            key: rand::random(),
            carried: BTreeSet::new(),
            carried_to: Millis(0),
            replayed: 0,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the events at positions {first} and after cannot be read: {damage}")]
    Row { first: u64, damage: Damaged },
    #[error("the carry-over {key} cannot be read: {damage}")]
    Carry { key: String, damage: String },
    #[error("cannot look for checkpoints: {0}")]
    Checkpoint(std::io::Error),
    #[error("cannot note the positions that a checkpoint has beyond the journal's end: {0}")]
    Raise(AppendError),
}

/// What the carry-over covers: of the events up to the position `upto`, those dated before `horizon`. They have no part
/// in the state any more but by it; where their rows are still there, since newer events share them, they are passed
/// over. What they were told apart by, the ends of still earlier lives, may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub horizon: Millis,
    pub upto: u64,
}

/// The seal's name in the journal. A version that does not know of it refuses to begin without a checkpoint, as with
/// every carry-over whose name says nothing to it, and so need not be told by another format number: with a checkpoint
/// it has no use for it, and what it then carries over itself is beside it, not less than it.
pub(super) const SEAL_KEY: &[u8] = b"horizon";

const SEAL_DAMAGED: &str = "it is of another length";

impl Seal {
    /// Key and body.
    pub fn to_carry(self) -> (Vec<u8>, Vec<u8>) {
        (SEAL_KEY.to_vec(), [self.horizon.0.to_le_bytes(), self.upto.to_le_bytes()].concat())
    }

    pub fn of_body(body: &[u8]) -> Result<Seal, &'static str> {
        let (horizon, upto) = body.split_at_checked(8).ok_or(SEAL_DAMAGED)?;
        let horizon = Millis(i64::from_le_bytes(horizon.try_into().map_err(|_| SEAL_DAMAGED)?));
        Ok(Seal { horizon, upto: u64::from_le_bytes(upto.try_into().map_err(|_| SEAL_DAMAGED)?) })
    }

    fn covers(&self, event: &Event, position: u64) -> bool {
        position <= self.upto && event.at < self.horizon
    }
}

/// Derives the state from the journal. Tells its progress in the log.
pub fn recover(journal: &mut Journal, dir: &Path, settings: &Settings) -> Result<Recovered, RecoveryError> {
    let retention_ms = settings.retention_ms;
    let latest = checkpoint::latest(dir).map_err(RecoveryError::Checkpoint)?;
    for (file, flaw) in &latest.damaged {
        tracing::warn!(file = %file.display(), %flaw, "a damaged checkpoint is ignored; the journal has everything");
    }
    let mut state = None;
    if let Some(checkpoint) = latest.checkpoint {
        let position = checkpoint.position();
        if position > journal.end() {
            tracing::error!(
                checkpoint = position,
                journal = journal.end(),
                "the journal has lost its end: events after {} that were acknowledged are gone; \
                 the state is derived from what the journal has",
                journal.end()
            );
            journal.raise_end(position).map_err(RecoveryError::Raise)?;
        } else {
            state = from_checkpoint(checkpoint, retention_ms);
        }
    }
    let (replay, after) = match state {
        Some((replay, position)) => (replay, position),
        None => (from_carry_over(journal, retention_ms)?, 0),
    };
    replay.finish(journal, after, retention_ms)
}

/// A state on its way up.
pub(super) struct Replay {
    workspaces: Workspaces,
    /// Up to which position each workspace of the checkpoint is whole.
    whole_to: Table<WorkspaceSid, u64>,
    key: u64,
    seal: Option<Seal>,
    replayed: u64,
    /// Whether the state began with the carry-over, and not with a checkpoint.
    carried: bool,
    torn: Torn,
}

/// `None` where the checkpoint is of no use, so that everything is derived from the log.
fn from_checkpoint(mut checkpoint: Checkpoint, retention_ms: i64) -> Option<(Replay, u64)> {
    let position = checkpoint.position();
    let started = Instant::now();
    let read = read_checkpoint(&mut checkpoint).and_then(|(replay, written_under)| {
        if written_under == retention_ms { Ok(replay) } else { Err("the retention is another one now".into()) }
    });
    match read {
        Ok(replay) => {
            let (workspaces, took) = (replay.workspaces.len(), started.elapsed());
            tracing::info!(position, workspaces, took_ms = took.as_millis() as u64, "read the checkpoint");
            Some((replay, position))
        }
        Err(why) => {
            tracing::warn!(position, why, "the checkpoint is ignored; the state is derived from the journal");
            None
        }
    }
}

fn carried_keys(journal: &mut Journal) -> Result<(BTreeSet<Vec<u8>>, Option<Seal>), RecoveryError> {
    let (mut keys, mut seal) = (BTreeSet::new(), Ok(None));
    journal.carries(&mut |carry| {
        if carry.key == SEAL_KEY {
            seal = Seal::of_body(carry.body).map(Some);
        } else {
            keys.insert(carry.key.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    let failed = |damage: &str| RecoveryError::Carry { key: "of the horizon".into(), damage: damage.into() };
    Ok((keys, seal.map_err(failed)?))
}

/// The name of a part of a workspace's carry-over in the journal.
pub(super) fn carry_key(workspace: WorkspaceSid, part: CarryPart) -> Vec<u8> {
    [&workspace.as_bytes()[..], &part.to_key()].concat()
}

pub(super) fn parse_carry_key(key: &[u8]) -> Option<(WorkspaceSid, CarryPart)> {
    let (sid, part) = key.split_at_checked(16)?;
    Some((WorkspaceSid::from_bytes(sid.try_into().ok()?), CarryPart::from_key(part)?))
}

pub(super) fn from_carry_over(journal: &mut Journal, retention_ms: i64) -> Result<Replay, RecoveryError> {
    let key = rand::random();
    let mut replay = Replay::new(key, true);
    let mut ends = Vec::new();
    let mut fault = None;
    journal.carries(&mut |Carry { key: name, body }| {
        let outcome = match parse_carry_key(name) {
            None if name == SEAL_KEY => Ok(()),
            None => Err("its name says nothing to this version".into()),
            Some((sid, part @ CarryPart::Lasting)) => replay.take_lasting(sid, part, body, retention_ms),
            // The account comes with the lasting part, so ends wait for it.
            Some((sid, part)) => {
                ends.push((name.to_vec(), sid, part, body.to_vec()));
                Ok(())
            }
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(damage) => {
                fault = Some(failed(name, damage));
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    for (name, sid, part, body) in ends {
        replay.take_ends(sid, part, &body).map_err(|damage| failed(&name, damage))?;
    }
    Ok(replay)
}

/// Hands out what the rows after a position say, each with its own position and the moment of its admission, until that
/// breaks off. `passed` hears the last position of each row.
fn each_entry(
    journal: &mut Journal,
    after: u64,
    mut take: impl FnMut(Entry, u64, Millis) -> ControlFlow<()>,
    mut passed: impl FnMut(u64),
) -> Result<(), RecoveryError> {
    let mut fault = None;
    journal.read(after, &mut |record| {
        let (mut position, mut flow) = (record.first, ControlFlow::Continue(()));
        let read = row::decode(record.body, |entry, admitted_at| {
            if take(entry, position, admitted_at).is_break() {
                flow = ControlFlow::Break(());
            }
            position += 1;
        });
        if let Err(damage) = read {
            fault = Some(RecoveryError::Row { first: record.first, damage });
            return ControlFlow::Break(());
        }
        passed(record.last());
        flow
    })?;
    fault.map_or(Ok(()), Err)
}

fn failed(key: &[u8], damage: String) -> RecoveryError {
    RecoveryError::Carry { key: key.iter().map(|byte| format!("{byte:02x}")).collect(), damage }
}

impl Replay {
    fn new(key: u64, carried: bool) -> Replay {
        let (workspaces, whole_to, torn) = (Table::default(), Table::default(), Torn::default());
        Replay { workspaces, whole_to, key, seal: None, replayed: 0, carried, torn }
    }

    /// Takes the rows after a position.
    pub(super) fn finish(
        mut self,
        journal: &mut Journal,
        after: u64,
        retention_ms: i64,
    ) -> Result<Recovered, RecoveryError> {
        let (carried, seal) = carried_keys(journal)?;
        self.seal = seal;
        self.read_rows(journal, after, retention_ms)?;
        std::mem::take(&mut self.torn).mend(&mut self, journal, after)?;
        let Replay { workspaces, key, replayed, .. } = self;
        let carried_to = seal.map_or(Millis(0), |seal| seal.horizon);
        Ok(Recovered { workspaces, key, carried, carried_to, replayed })
    }

    fn take_lasting(
        &mut self,
        sid: WorkspaceSid,
        part: CarryPart,
        body: &[u8],
        retention_ms: i64,
    ) -> Result<(), String> {
        let named = |damage: engine::Damaged| damage.to_string();
        let account = Workspace::account_of_carry(body).map_err(named)?;
        let new = || Box::new(Workspace::new(account, retention_ms, self.key));
        self.workspaces.entry(sid).or_insert_with(new).take_carry(part, body).map_err(named)
    }

    fn take_ends(&mut self, sid: WorkspaceSid, part: CarryPart, body: &[u8]) -> Result<(), String> {
        let state = self.workspaces.get_mut(&sid).ok_or("the workspace's lasting part is missing")?;
        state.take_carry(part, body).map_err(|damage| damage.to_string())
    }

    /// At this position the workspace was forgotten. Its carry-overs went then, so that those there are tell of its
    /// life since; what rows from before have added to them is taken out again.
    fn forget(
        &mut self,
        sid: WorkspaceSid,
        position: u64,
        journal: &mut Journal,
        retention_ms: i64,
    ) -> Result<(), RecoveryError> {
        if self.whole_to.get(&sid).is_some_and(|whole_to| position <= *whole_to) {
            return Ok(());
        }
        self.replayed += 1;
        self.workspaces.remove(&sid);
        if !self.carried {
            // All that came later is in rows: the journal drops nothing that its checkpoint does not cover.
            return Ok(());
        }
        let mut parts = Vec::new();
        journal.carries_under(sid.as_bytes(), &mut |carry| parts.push((carry.key.to_vec(), carry.body.to_vec())))?;
        let is_lasting = |name: &[u8]| parse_carry_key(name).is_some_and(|(_, part)| part == CarryPart::Lasting);
        parts.sort_by_key(|(name, _)| !is_lasting(name));
        for (name, body) in parts {
            let taken = match parse_carry_key(&name) {
                Some((_, part @ CarryPart::Lasting)) => self.take_lasting(sid, part, &body, retention_ms),
                Some((_, part)) => self.take_ends(sid, part, &body),
                None => Err("its name says nothing to this version".into()),
            };
            taken.map_err(|damage| failed(&name, damage))?;
        }
        Ok(())
    }

    fn read_rows(&mut self, journal: &mut Journal, after: u64, retention_ms: i64) -> Result<(), RecoveryError> {
        let end = journal.end();
        PROGRESS.begin(after, end);
        if after >= end {
            return Ok(());
        }
        tracing::info!(from = after, to = end, "replaying the journal");
        let (started, mut told) = (Instant::now(), Instant::now());
        let mut tell = |position: u64| {
            PROGRESS.reach(position);
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let percent = 100 * (position - after) / (end - after);
                tracing::info!(position, of = end, percent, "replaying the journal");
            }
        };
        let mut from = after;
        while let Some((workspace, position)) = self.read_until_forgotten(journal, from, retention_ms, &mut tell)? {
            self.forget(workspace, position, journal, retention_ms)?;
            from = position;
        }
        let took_ms = started.elapsed().as_millis() as u64;
        tracing::info!(events = self.replayed, took_ms, "replayed the journal");
        Ok(())
    }

    /// Takes rows until a workspace is forgotten: answers which, and where.
    fn read_until_forgotten(
        &mut self,
        journal: &mut Journal,
        after: u64,
        retention_ms: i64,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Option<(WorkspaceSid, u64)>, RecoveryError> {
        let mut forgotten = None;
        let take = |entry, position, admitted_at| match entry {
            Entry::Event(event) => {
                self.take(&event, position, admitted_at, retention_ms);
                ControlFlow::Continue(())
            }
            Entry::Forget(workspace) => {
                forgotten = Some((workspace, position));
                ControlFlow::Break(())
            }
        };
        each_entry(journal, after, take, tell)?;
        Ok(forgotten)
    }

    fn take(&mut self, event: &Event, position: u64, admitted_at: Millis, retention_ms: i64) {
        if self.whole_to.get(&event.workspace).is_some_and(|whole_to| position <= *whole_to) {
            return;
        }
        if self.seal.is_some_and(|seal| seal.covers(event, position)) {
            return;
        }
        self.replayed += 1;
        let new = || Box::new(Workspace::new(event.account, retention_ms, self.key));
        let state = self.workspaces.entry(event.workspace).or_insert_with(new);
        // A checkpoint has been written under the retention of now, and so has whatever came after it.
        if self.carried {
            self.torn.look_at(event, state, admitted_at, retention_ms);
        }
        state.apply(event, admitted_at);
    }
}

#[cfg(test)]
mod tests;
