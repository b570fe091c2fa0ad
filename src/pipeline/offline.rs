//! What may be done with a journal that no pipeline runs on: the state derived by one way or the other, and both
//! compared.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::recovery::{self, Recovered, RecoveryError, Replay, Seal};
use crate::engine::{CarryPart, ChannelFilter, Workspace, Workspaces};
use crate::event::{AccountSid, HOUR_MS, Millis, SecondRange, WorkspaceSid};
use crate::journal::checkpoint::Checkpoint;
use crate::journal::{Carry, Journal};

/// Thresholds at which waits are compared, in seconds.
const THRESHOLDS: [u32; 4] = [5, 60, 600, 3_600];

/// A checkpoint, every section of it decoded.
pub struct Snapshot {
    /// The position that every workspace of it has passed.
    pub position: u64,
    /// What it was written under; a server that is started with another one takes no notice of it.
    pub retention_ms: i64,
    replay: Replay,
}

impl Snapshot {
    /// # Errors
    /// What is wrong with it.
    pub fn read(mut checkpoint: Checkpoint) -> Result<Snapshot, String> {
        let position = checkpoint.position();
        let (replay, retention_ms) = recovery::read_checkpoint(&mut checkpoint)?;
        Ok(Snapshot { position, retention_ms, replay })
    }

    /// The state that a start has: this, and the rows after it.
    pub fn catch_up(self, journal: &mut Journal) -> Result<Recovered, RecoveryError> {
        self.replay.finish(journal, self.position, self.retention_ms)
    }
}

/// The state that the log alone stands for, its carry-overs and all its rows.
pub fn derive(journal: &mut Journal, retention_ms: i64) -> Result<Recovered, RecoveryError> {
    recovery::from_carry_over(journal, retention_ms)?.finish(journal, 0, retention_ms)
}

/// Makes this state, which is whole up to `position`, the one checkpoint of the directory.
pub fn write_checkpoint(dir: &Path, position: u64, retention_ms: i64, state: &Recovered) -> io::Result<()> {
    let workspaces = state.workspaces.iter().map(|(sid, state)| (*sid, position, &**state));
    recovery::write_checkpoint(dir, position, (state.key, retention_ms), workspaces)
}

/// What a carry-over tells.
pub enum CarriedOver {
    /// What lasts of a workspace: so many workers and activities.
    Lasting { workers: usize, activities: usize },
    /// When tasks of a workspace ended.
    Ends,
    /// How far all of them together reach.
    Seal,
}

/// Decodes a carry-over.
///
/// # Errors
/// What is wrong with it.
pub fn read_carry(carry: Carry<'_>) -> Result<CarriedOver, String> {
    if carry.key == recovery::SEAL_KEY {
        return Seal::of_body(carry.body).map(|_| CarriedOver::Seal).map_err(str::to_owned);
    }
    let (_, part) = recovery::parse_carry_key(carry.key).ok_or("its name says nothing to this version")?;
    let account = match part {
        CarryPart::Lasting => Workspace::account_of_carry(carry.body).map_err(|damage| damage.to_string())?,
        CarryPart::Ends(_) => AccountSid::from_bytes([0; 16]),
    };
    let mut state = Workspace::new(account, HOUR_MS, 0);
    state.take_carry(part, carry.body).map_err(|damage| damage.to_string())?;
    let size = state.size();
    Ok(match part {
        CarryPart::Lasting => CarriedOver::Lasting { workers: size.workers, activities: size.activities },
        CarryPart::Ends(_) => CarriedOver::Ends,
    })
}

/// In what two states answer differently at `now`: every figure of the moment, and what happened over the whole
/// retention, for each workspace and channel. Nothing where they are the same.
pub fn differences(one: &mut Recovered, other: &mut Recovered, now: Millis, retention_ms: i64) -> Vec<String> {
    let sids: BTreeSet<WorkspaceSid> = one.workspaces.keys().chain(other.workspaces.keys()).copied().collect();
    let mut found = Vec::new();
    for sid in sids {
        let known = |states: &mut Workspaces| states.contains_key(&sid);
        let (Some(left), Some(right)) = (one.workspaces.get_mut(&sid), other.workspaces.get_mut(&sid)) else {
            let side = if known(&mut one.workspaces) { "second" } else { "first" };
            found.push(format!("{sid}: the {side} does not know it"));
            continue;
        };
        let oldest = left.oldest().max(right.oldest());
        let now = now.max(oldest.plus(retention_ms + HOUR_MS));
        found
            .extend(different_figures(left, right, now, retention_ms).into_iter().map(|what| format!("{sid}: {what}")));
    }
    found
}

fn different_figures(left: &mut Workspace, right: &mut Workspace, now: Millis, retention_ms: i64) -> Vec<String> {
    let mut found = Vec::new();
    if left.account() != right.account() {
        found.push(format!("its account is {} or {}", left.account(), right.account()));
    }
    let channels = left.list_channels(None, usize::MAX, now);
    if channels != right.list_channels(None, usize::MAX, now) {
        found.push("its channels differ".to_owned());
    }
    let named = channels.into_iter().map(|row| ChannelFilter::Named(row.unique_name));
    let (start, end) = (now.minus(retention_ms).second(), now.plus(HOUR_MS).second());
    for filter in std::iter::once(ChannelFilter::All).chain(named) {
        if left.realtime(&filter, now) != right.realtime(&filter, now) {
            found.push(format!("real-time figures differ ({filter:?})"));
        }
        let Some(range) = SecondRange::new(start, end) else { continue };
        if left.cumulative(&filter, range, &THRESHOLDS) != right.cumulative(&filter, range, &THRESHOLDS) {
            found.push(format!("cumulative figures differ ({filter:?})"));
        }
    }
    found
}
