//! The door: which events are taken. Decided once, here; only what was accepted is logged, and replay never asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ask::{Caller, Refusal};
use crate::engine::{Table, TableSet, Workspace};
use crate::event::{AccountSid, Event, HOUR_MS, Millis, WorkspaceSid};
use crate::limits;

/// How far ahead of the server's clock an event may be dated.
pub const MOST_AHEAD_MS: i64 = limits::FUTURE_SKEW.as_millis() as i64;

/// The bounds on what events can make a workspace grow to.
#[derive(Clone, Copy, Debug)]
pub struct GrowthLimits {
    /// Workspaces, over all partitions.
    pub workspaces: usize,
    pub channels: usize,
    pub workers: usize,
    pub activities: usize,
    /// Tasks that are active or ended lately, a workspace.
    pub tasks: usize,
    /// The length of a name, in bytes.
    pub name_bytes: usize,
}

/// What becomes of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// Its original is on disk already.
    Duplicate,
    /// Its original is in the group that is being made: it is on disk when the group is.
    DuplicateInGroup,
    Refused(Refusal),
}

/// What the events accepted into the group that is being made have claimed, before any of it is in the engine.
#[derive(Default)]
pub struct Claims {
    events: TableSet<(WorkspaceSid, crate::event::EventSid, i64)>,
    accounts: Table<WorkspaceSid, AccountSid>,
    growth: Table<WorkspaceSid, Growth>,
}

#[derive(Default)]
struct Growth {
    channels: TableSet<Box<str>>,
    workers: TableSet<crate::event::WorkerSid>,
    activities: TableSet<crate::event::ActivitySid>,
    tasks: TableSet<crate::event::TaskSid>,
}

/// The most events that one group can hold.
pub const MOST_IN_GROUP: usize = limits::GROUP_EVENTS;

/// How many workspaces there are, over all partitions, claimed ones included.
pub type WorkspaceCount = Arc<AtomicUsize>;

pub struct Door<'a> {
    pub workspaces: &'a Table<WorkspaceSid, Workspace>,
    pub claims: &'a mut Claims,
    pub limits: &'a GrowthLimits,
    pub count: &'a WorkspaceCount,
    pub retention_ms: i64,
    pub now: Millis,
}

impl Door<'_> {
    /// Decides on one event. The order of the reasons is the contract's: too old, too new, account, limits; and
    /// whether it is refused comes before whether it is a duplicate.
    pub fn judge(&mut self, caller: &Caller, event: &Event) -> Verdict {
        match self.verdict(caller, event) {
            Ok(verdict) => verdict,
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn verdict(&mut self, caller: &Caller, event: &Event) -> Result<Verdict, Refusal> {
        let workspace = self.workspaces.get(&event.workspace);
        let mut oldest = self.now.minus(self.retention_ms);
        if let Some(workspace) = workspace {
            // After the host's clock was set back: what is forgotten can no longer be recognised.
            oldest = oldest.max(workspace.oldest());
        }
        if event.at < oldest {
            return Err(Refusal::TooOld { oldest });
        }
        let newest = self.now.plus(MOST_AHEAD_MS);
        if event.at > newest {
            return Err(Refusal::TooNew { newest });
        }
        if !caller.sees(event.account) {
            return Err(Refusal::AccountMismatch);
        }
        let bound = workspace.map(Workspace::account).or_else(|| self.claims.accounts.get(&event.workspace).copied());
        if bound.is_some_and(|account| account != event.account) {
            return Err(Refusal::AccountMismatch);
        }
        if let Some(field) = name_longer_than(self.limits.name_bytes, event) {
            return Err(Refusal::NameTooLong { field, most: self.limits.name_bytes as u64 });
        }
        if workspace.is_some_and(|workspace| workspace.has(event)) {
            return Ok(Verdict::Duplicate);
        }
        let identity = (event.workspace, event.sid, event.second().0);
        if self.claims.events.contains(&identity) {
            return Ok(Verdict::DuplicateInGroup);
        }
        // Only now, so that an end that was taken while it could be is known again.
        if let Some(oldest) = workspace.and_then(|workspace| workspace.oldest_end(event)) {
            return Err(Refusal::TooOld { oldest });
        }
        self.check_growth(event, bound.is_none())?;
        self.claims.events.insert(identity);
        Ok(Verdict::Accepted)
    }

    fn check_growth(&mut self, event: &Event, new_workspace: bool) -> Result<(), Refusal> {
        let limits = self.limits;
        let workspace = self.workspaces.get(&event.workspace);
        let size = workspace.map(Workspace::size).unwrap_or_default();
        let growth = self.claims.growth.entry(event.workspace).or_default();
        let fits = |fits: bool, limit: &'static str, most: usize| {
            if fits { Ok(()) } else { Err(Refusal::LimitExceeded { limit, most: most as u64 }) }
        };
        // Far from a bound no single group can reach it, so nothing need be looked up.
        let near = |held: usize, most: usize| held + MOST_IN_GROUP >= most;
        let known = |knows: &dyn Fn(&Workspace) -> bool| workspace.is_some_and(knows);

        let channel = event.task.as_ref().and_then(|task| task.channel_name.as_ref());
        let channel =
            channel.filter(|name| near(size.channels, limits.channels) && !known(&|it| it.knows_channel(name)));
        let held = size.channels + growth.channels.len();
        let new = channel.is_some_and(|name| !growth.channels.contains(name));
        fits(!new || held < limits.channels, "channels", limits.channels)?;

        let worker = event.worker.as_ref().map(|worker| worker.sid);
        let worker = worker.filter(|sid| near(size.workers, limits.workers) && !known(&|it| it.knows_worker(*sid)));
        let held = size.workers + growth.workers.len();
        let new = worker.is_some_and(|worker| !growth.workers.contains(&worker));
        fits(!new || held < limits.workers, "workers", limits.workers)?;

        let activity = event.activity.as_ref().map(|activity| activity.sid);
        let activity = activity.or_else(|| event.worker.as_ref().and_then(|worker| worker.activity_sid));
        let activity =
            activity.filter(|sid| near(size.activities, limits.activities) && !known(&|it| it.knows_activity(*sid)));
        let held = size.activities + growth.activities.len();
        let new = activity.is_some_and(|activity| !growth.activities.contains(&activity));
        fits(!new || held < limits.activities, "activities", limits.activities)?;

        let task = event.task.as_ref().map(|task| task.sid);
        let task = task.filter(|sid| near(size.tasks, limits.tasks) && !known(&|it| it.knows_task(*sid)));
        let held = size.tasks + growth.tasks.len();
        let new = task.is_some_and(|task| !growth.tasks.contains(&task));
        fits(!new || held < limits.tasks, "tasks", limits.tasks)?;

        if new_workspace {
            let taken = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < limits.workspaces).then_some(count + 1)
            });
            fits(taken.is_ok(), "workspaces", limits.workspaces)?;
            self.claims.accounts.insert(event.workspace, event.account);
        }
        growth.channels.extend(channel.cloned());
        growth.workers.extend(worker);
        growth.activities.extend(activity);
        growth.tasks.extend(task);
        Ok(())
    }
}

impl Claims {
    /// The group is settled, one way or the other.
    pub fn clear(&mut self) {
        self.events.clear();
        self.accounts.clear();
        self.growth.clear();
    }

    /// The workspaces that the group would be the first to name.
    pub fn new_workspaces(&self) -> usize {
        self.accounts.len()
    }
}

/// The path of the first name of more bytes than that, in the order of the contract's tables.
fn name_longer_than(bytes: usize, event: &Event) -> Option<&'static str> {
    let task = event.task.as_ref();
    let worker = event.worker.as_ref();
    [
        ("task.task_channel_unique_name", task.and_then(|task| task.channel_name.as_ref())),
        ("task.task_queue_name", task.and_then(|task| task.queue_name.as_ref())),
        ("task.workflow_name", task.and_then(|task| task.workflow_name.as_ref())),
        ("worker.friendly_name", worker.and_then(|worker| worker.name.as_ref())),
        ("worker.activity_name", worker.and_then(|worker| worker.activity_name.as_ref())),
        ("activity.friendly_name", event.activity.as_ref().and_then(|activity| activity.name.as_ref())),
    ]
    .into_iter()
    .find_map(|(field, name)| name.filter(|name| name.len() > bytes).map(|_| field))
}

const _: () = assert!(MOST_AHEAD_MS < HOUR_MS, "what is dated ahead must stay well within the clock's slack");
