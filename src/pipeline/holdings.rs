//! What the workspaces hold, beside the bounds on it: for whoever tells how near they are.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::engine::{Size, Workspaces};
use crate::event::{AccountSid, WorkspaceSid};

/// One workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub workspace: WorkspaceSid,
    pub account: AccountSid,
    pub retained_events: u64,
    pub active_tasks: u64,
    /// Those that are there.
    pub workers: u64,
    /// As the bounds count: ended tasks and deleted workers are in it.
    pub size: Size,
}

/// Workspaces, and what those of each account hold together.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Those with the most events, descending; then, where they are not among them, those with the most of each kind.
    pub rows: Vec<Row>,
    pub accounts: HashMap<AccountSid, OfAccount>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfAccount {
    pub workspaces: usize,
    pub size: Size,
}

/// One number of a size.
pub type Part = fn(&Size) -> usize;

/// What has a bound. The names and the sids of channels share one, each counted on its own.
pub const CHANNELS: Part = |size| size.channels.max(size.channel_sids);
pub const WORKERS: Part = |size| size.workers;
pub const ACTIVITIES: Part = |size| size.activities;
pub const TASKS: Part = |size| size.tasks;
pub const PRIORITIES: Part = |size| size.priorities;

impl Holdings {
    /// Of these workspaces, so many of the largest.
    pub fn of(workspaces: &Workspaces, at_most: usize) -> Holdings {
        let mut all = Holdings::default();
        for (sid, state) in workspaces.iter() {
            let size = state.size();
            let account = all.accounts.entry(state.account()).or_default();
            *account = account.plus(OfAccount { workspaces: 1, size });
            all.rows.push(Row {
                workspace: *sid,
                account: state.account(),
                retained_events: state.retained_events(),
                active_tasks: state.active_tasks(),
                workers: state.workers(),
                size,
            });
        }
        all.cut(at_most)
    }

    /// Both together.
    pub fn and(mut self, other: Holdings, at_most: usize) -> Holdings {
        self.rows.extend(other.rows);
        for (sid, more) in other.accounts {
            let account = self.accounts.entry(sid).or_default();
            *account = account.plus(more);
        }
        self.cut(at_most)
    }

    fn cut(mut self, at_most: usize) -> Holdings {
        self.rows.sort_unstable_by_key(|row| (Reverse(row.retained_events), row.workspace));
        let most = |part: Part| self.rows.iter().copied().max_by_key(|row| part(&row.size));
        let fullest = [CHANNELS, WORKERS, ACTIVITIES, TASKS, PRIORITIES].map(most);
        self.rows.truncate(at_most);
        for row in fullest.into_iter().flatten() {
            if !self.rows.contains(&row) {
                self.rows.push(row);
            }
        }
        self
    }
}

impl OfAccount {
    fn plus(self, other: OfAccount) -> OfAccount {
        OfAccount { workspaces: self.workspaces + other.workspaces, size: self.size.plus(other.size) }
    }
}
