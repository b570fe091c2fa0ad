//! Lives of tasks that must be told anew, since the retention is shorter than the one that their events were admitted under.
//!
//! An end that was admitted then may be older than the retention that holds now, and arrive after facts that are so much
//! later than it that they belong to the next life. Live, no end is admitted so late, and the engine knows all facts that
//! one may still reach. Here the log knows them: those of the tasks concerned, which are few, are read once more.

use std::ops::ControlFlow;

use super::{Journal, RecoveryError, Replay, each_entry};
use crate::engine::{Fact, Table, Workspace};
use crate::event::{Event, Millis, TaskSid, WorkspaceSid};
use crate::pipeline::row::Entry;

/// The tasks whose lives an end came too late for.
#[derive(Default)]
pub(super) struct Torn {
    facts: Table<(WorkspaceSid, TaskSid), Vec<Fact>>,
}

impl Torn {
    /// Looks at an event before it is applied.
    pub fn look_at(&mut self, event: &Event, state: &Workspace, admitted_at: Millis, retention_ms: i64) {
        if event.at.plus(retention_ms) < admitted_at
            && let (Some(task), Some(_)) = (&event.task, state.oldest_end(event))
        {
            self.facts.entry((event.workspace, task.sid)).or_default();
        }
    }

    /// Tells these tasks' lives from all their facts in the rows after a position. What the carry-over has of them is so
    /// old by now that it reaches none of these facts.
    pub fn mend(mut self, replay: &mut Replay, journal: &mut Journal, after: u64) -> Result<(), RecoveryError> {
        if self.facts.is_empty() {
            return Ok(());
        }
        let tasks = self.facts.len();
        tracing::info!(tasks, "the retention is shorter than it was: reading the journal again for lives of tasks");
        let take = |entry, position, _| {
            match entry {
                Entry::Event(event) => self.take(&event, position, replay),
                Entry::Forget(workspace) => self.forget(workspace),
            }
            ControlFlow::Continue(())
        };
        each_entry(journal, after, take, |_| ())?;
        for ((workspace, task), facts) in self.facts.drain() {
            if let Some(state) = replay.workspaces.get_mut(&workspace) {
                state.retell(task, facts);
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Event, position: u64, replay: &Replay) {
        if let Some(task) = &event.task
            && let Some(facts) = self.facts.get_mut(&(event.workspace, task.sid))
            && !replay.seal.is_some_and(|seal| seal.covers(event, position))
            && let Some(state) = replay.workspaces.get(&event.workspace)
        {
            facts.extend(state.fact_of(event));
        }
    }

    fn forget(&mut self, forgotten: WorkspaceSid) {
        let own = self.facts.iter_mut().filter(|((workspace, _), _)| *workspace == forgotten);
        own.for_each(|(_, facts)| facts.clear());
    }
}
