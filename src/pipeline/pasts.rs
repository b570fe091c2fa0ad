//! Pasts that somebody asks about, kept where whoever asks next adds them up himself: in no queue and no other thread's
//! turn, which is most of what a question about an interval costs.
//!
//! The owner of the workspaces alone puts one there, when it has answered a question. It takes it away again before it
//! changes what it is of, and so before anybody hears that something changed: whoever finds one finds in it all that was
//! acknowledged. So an event never copies what is kept, unless a reader is just adding it up.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::ask::{AskError, CumulativeQuestion, Question, Stamped};
use super::caller::Caller;
use super::clock::Clock;
use super::group::Group;
use super::partition::Partition;
use super::passed::Passed;
use crate::engine::{ChannelFilter, Cumulative, Past, Table, WindowError};
use crate::event::{AccountSid, Millis, WorkspaceSid};
use crate::limits;

/// The pasts of one partition. Clones share what is kept.
#[derive(Clone)]
pub struct Pasts {
    kept: Arc<RwLock<Kept>>,
    passed: Arc<Passed>,
    clock: Arc<dyn Clock>,
    retention_ms: i64,
}

#[derive(Default)]
struct Kept {
    by_workspace: Table<WorkspaceSid, Vec<Arc<KeptPast>>>,
    /// What they weigh in all: each the series that it is summed from, and one.
    weight: usize,
}

struct KeptPast {
    account: AccountSid,
    filter: ChannelFilter,
    past: Past,
    /// Of the state that it was taken from.
    revision: u64,
}

/// Of what a past may be worth keeping, as its question says.
pub struct Asked {
    caller: Caller,
    workspace: WorkspaceSid,
    filter: ChannelFilter,
}

impl Asked {
    pub fn by(question: &Question) -> Option<Asked> {
        match question {
            Question::Cumulative(caller, workspace, CumulativeQuestion { channel, .. }, _) => {
                Some(Asked { caller: *caller, workspace: *workspace, filter: channel.clone() })
            }
            _ => None,
        }
    }
}

impl Pasts {
    pub fn new(passed: Arc<Passed>, clock: Arc<dyn Clock>, retention_ms: i64) -> Pasts {
        Pasts { kept: Arc::default(), passed, clock, retention_ms }
    }

    /// What the owner would answer; `None` where only the owner knows.
    ///
    /// The position passed is read before the past is looked for: whatever was acknowledged up to it is in the past, or
    /// the past is gone.
    pub fn answer(
        &self,
        caller: &Caller,
        workspace: WorkspaceSid,
        question: &CumulativeQuestion,
    ) -> Option<Result<Stamped<Cumulative>, AskError>> {
        let passed = self.passed.position();
        let (kept, now) = self.find(workspace, &question.channel)?;
        // In the order of the errors: what is no question, then whose it is, then how far it reaches.
        let range = match question.window.resolve(now, self.retention_ms) {
            Err(empty @ WindowError::Empty { .. }) => return Some(Err(empty.into())),
            _ if !caller.sees(kept.account) => return Some(Err(AskError::UnknownWorkspace)),
            Err(too_old @ WindowError::TooOld { .. }) => return Some(Err(too_old.into())),
            Ok(range) => range,
        };
        let answer = kept.past.cumulative(range, &question.thresholds);
        Some(Ok(Stamped { revision: passed.max(kept.revision) as i64, as_of: now, answer }))
    }

    /// What is kept, and the moment at which it was: as long as it is there the owner has not gone on.
    fn find(&self, workspace: WorkspaceSid, filter: &ChannelFilter) -> Option<(Arc<KeptPast>, Millis)> {
        let kept = self.read();
        let past = kept.find(workspace, filter)?;
        Some((past.clone(), self.clock.now()))
    }

    /// For the owner, once it has answered: keeps the past that was asked about, if there is room. One of many series is
    /// not kept, since adding it up takes long, nor one of a channel that is none.
    pub fn keep(&self, asked: Asked, partition: &mut Partition) {
        let Asked { caller, workspace, filter } = asked;
        let revision = partition.passed();
        let Ok(state) = partition.visible(&caller, workspace) else { return };
        let series = match filter {
            ChannelFilter::All => state.size().channels + 1,
            ChannelFilter::Named(_) | ChannelFilter::Sid(_) => 1,
        };
        if series > limits::KEPT_PAST_SERIES || !state.covers(&filter) {
            return;
        }
        // Others that asked at the same time may have been answered before. Nobody but the owner puts anything there.
        let kept = self.read();
        if kept.weight + series >= limits::KEPT_PASTS_WEIGHT || kept.find(workspace, &filter).is_some() {
            return;
        }
        drop(kept);
        let past = state.past(&filter);
        let past = Arc::new(KeptPast { account: state.account(), filter, past, revision });
        let mut kept = self.write();
        kept.weight += past.weight();
        kept.by_workspace.entry(workspace).or_default().push(past);
    }

    /// For the owner, before it applies a group: nothing is kept of the workspaces that it changes.
    pub fn withdraw(&self, group: &Group) {
        let mut kept = self.write();
        let mut last = None;
        for event in group.events() {
            if kept.by_workspace.is_empty() {
                return;
            }
            if last != Some(event.workspace) {
                last = Some(event.workspace);
                kept.remove(event.workspace);
            }
        }
        if let Some(forget) = &group.forget {
            kept.remove(forget.workspace);
        }
    }

    /// For the owner, once a second before its workspaces forget what is too old: so what they forget is not held for long,
    /// and what nobody asks about any more goes.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *self.write());
        // It may take its time, and nobody waits for the lock meanwhile.
        drop(gone);
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&self, workspace: WorkspaceSid, filter: &ChannelFilter) -> Option<&Arc<KeptPast>> {
        self.by_workspace.get(&workspace)?.iter().find(|past| past.filter == *filter)
    }

    fn remove(&mut self, workspace: WorkspaceSid) {
        let gone = self.by_workspace.remove(&workspace).unwrap_or_default();
        self.weight -= gone.iter().map(|past| past.weight()).sum::<usize>();
    }
}

impl KeptPast {
    fn weight(&self) -> usize {
        1 + self.past.breadth()
    }
}

#[cfg(test)]
mod tests;
