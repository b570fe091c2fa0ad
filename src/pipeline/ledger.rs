//! What each account holds, over all partitions: the counts that bounds on an account are judged by.
//!
//! Invariants:
//! - An account's counts are those of its workspaces as they were last noted, and what groups under way have reserved.
//! - The partition that owns a workspace alone notes it, so a workspace is counted once whoever asks.
//! - The lock is taken when a workspace comes or goes; all else is arithmetic on shared numbers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ask::Refusal;
use super::growth::{AccountLimits, GrowthLimits, MOST_IN_GROUP};
use crate::engine::{Size, Table, Workspaces};
use crate::event::{AccountSid, WorkspaceSid};

/// What events can add to a workspace, beside the events themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    /// One name may have had many sids. They share the bound of the names, each counted on its own.
    ChannelSid,
    Worker,
    Activity,
    Task,
    /// That an active task has.
    Priority,
}

pub const KINDS: [Kind; 6] =
    [Kind::Channel, Kind::ChannelSid, Kind::Worker, Kind::Activity, Kind::Task, Kind::Priority];

/// A number for each kind, in the order of [`KINDS`].
pub type Counts = [usize; KINDS.len()];

impl Kind {
    pub const fn index(self) -> usize {
        self as usize
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Channel => "task channel",
            Kind::ChannelSid => "sid of a task channel",
            Kind::Worker => "worker",
            Kind::Activity => "activity",
            Kind::Task => "task",
            Kind::Priority => "priority of a task",
        }
    }
}

pub fn counts(size: Size) -> Counts {
    let Size { channels, channel_sids, workers, activities, tasks, priorities } = size;
    [channels, channel_sids, workers, activities, tasks, priorities]
}

/// The objects of one account. Those that look at it hold on to it.
#[derive(Debug, Default)]
pub struct Holding {
    objects: [AtomicUsize; KINDS.len()],
}

impl Holding {
    /// Room for one more, if there is any.
    pub fn take(&self, kind: Kind, most: usize) -> bool {
        let more = |held: usize| (held < most).then_some(held + 1);
        self.objects[kind.index()].fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// Room for as many as a whole group could need, if the bound is so far that neither this group nor any that the
    /// other partitions have under way could reach it.
    pub fn take_in_advance(&self, kind: Kind, group: usize, most: usize, partitions: usize) -> bool {
        let objects = &self.objects[kind.index()];
        let far = objects.load(Ordering::Acquire).saturating_add(4 * partitions * MOST_IN_GROUP) < most;
        if far {
            objects.fetch_add(group, Ordering::AcqRel);
        }
        far
    }

    pub fn give_back(&self, kind: Kind, objects: usize) {
        self.objects[kind.index()].fetch_sub(objects, Ordering::AcqRel);
    }

    /// Exchanges what was counted and reserved for what there is.
    fn exchange(&self, before: &Counts, after: &Counts) {
        for (objects, (before, after)) in self.objects.iter().zip(before.iter().zip(after)) {
            if before != after {
                // Addition wraps, so that less is the same as more.
                objects.fetch_add(after.wrapping_sub(*before), Ordering::AcqRel);
            }
        }
    }

    #[cfg(test)]
    pub fn held(&self, kind: Kind) -> usize {
        self.objects[kind.index()].load(Ordering::Acquire)
    }
}

/// All accounts that hold a workspace; shared by the partitions.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    workspaces: usize,
    accounts: Table<AccountSid, Account>,
}

#[derive(Debug, Default)]
struct Account {
    workspaces: usize,
    holding: Arc<Holding>,
}

impl Accounts {
    fn books(&self) -> MutexGuard<'_, Books> {
        // What is under the lock is whole at every moment, so that a panic elsewhere does not spoil it.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for another workspace of this account.
    pub fn take_workspace(&self, account: AccountSid, limits: &GrowthLimits) -> Result<Arc<Holding>, Refusal> {
        let mut books = self.books();
        let AccountLimits { workspaces: most_of_one, .. } = limits.account;
        let held = books.accounts.get(&account).map_or(0, |account| account.workspaces);
        let full = |limit, most: usize| Refusal::LimitExceeded { kind: "workspace", limit, most: most as u64 };
        if books.workspaces >= limits.workspaces {
            return Err(full("max_workspaces", limits.workspaces));
        }
        if held >= most_of_one {
            return Err(full("max_workspaces_per_account", most_of_one));
        }
        Ok(books.add(account))
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.books().accounts.is_empty()
    }

    pub fn give_workspace_back(&self, account: AccountSid) {
        let mut books = self.books();
        books.workspaces -= 1;
        if let Some(held) = books.accounts.get_mut(&account) {
            held.workspaces -= 1;
            if held.workspaces == 0 {
                books.accounts.remove(&account);
            }
        }
    }
}

impl Books {
    fn add(&mut self, account: AccountSid) -> Arc<Holding> {
        self.workspaces += 1;
        let held = self.accounts.entry(account).or_default();
        held.workspaces += 1;
        held.holding.clone()
    }
}

/// The share of one partition: what of its workspaces is counted to their accounts.
pub struct Ledger {
    accounts: Accounts,
    entries: Table<WorkspaceSid, Entry>,
}

struct Entry {
    account: AccountSid,
    holding: Arc<Holding>,
    counted: Counts,
}

impl Ledger {
    /// Counts what a partition begins with, whatever the bounds: they are for what is to come.
    pub fn new(accounts: Accounts, workspaces: &Workspaces) -> Ledger {
        let mut ledger = Ledger { accounts, entries: Table::default() };
        for (sid, state) in workspaces {
            let holding = ledger.accounts.books().add(state.account());
            ledger.enter(*sid, state.account(), holding, Counts::default(), state.size());
        }
        ledger
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub fn holding(&self, workspace: WorkspaceSid) -> Option<&Arc<Holding>> {
        Some(&self.entries.get(&workspace)?.holding)
    }

    /// Notes a workspace for which room was taken, and what of `reserved` has come true.
    pub fn enter(
        &mut self,
        workspace: WorkspaceSid,
        account: AccountSid,
        holding: Arc<Holding>,
        reserved: Counts,
        size: Size,
    ) {
        let counted = counts(size);
        holding.exchange(&reserved, &counted);
        self.entries.insert(workspace, Entry { account, holding, counted });
    }

    /// Notes how large a workspace is now; what was reserved for it is free or has come true.
    pub fn note(&mut self, workspace: WorkspaceSid, reserved: &Counts, size: Size) {
        let Some(entry) = self.entries.get_mut(&workspace) else { return };
        let mut before = entry.counted;
        for (before, reserved) in before.iter_mut().zip(reserved) {
            *before += reserved;
        }
        let counted = counts(size);
        entry.holding.exchange(&before, &counted);
        entry.counted = counted;
    }

    /// The workspace is gone, and its account has room for what it held.
    pub fn release(&mut self, workspace: WorkspaceSid) {
        let Some(Entry { account, holding, counted }) = self.entries.remove(&workspace) else { return };
        holding.exchange(&counted, &Counts::default());
        self.accounts.give_workspace_back(account);
    }
}
