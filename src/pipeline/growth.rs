//! What a group under way adds to its workspaces, and whether there is room for it.
//!
//! Far from every bound nothing is looked up: room for as much as the whole group could add is taken in advance, once a
//! group and workspace. Near a bound each event is looked at that names what the group has not just named, and room is
//! taken for what is really new. Either way the room is reserved before the journal has the group, so that no two partitions pass a bound together.

mod seen;

use std::sync::Arc;

use self::seen::Seen;
use super::ask::Refusal;
use super::ledger::{Accounts, Counts, Holding, KINDS, Kind, Ledger, counts};
use crate::engine::{TableSet, Workspace};
use crate::event::{AccountSid, ActivitySid, ChannelSid, Event, Name, TaskSid, WorkerSid, WorkspaceSid};
use crate::limits;

/// The most events that one group can hold.
pub const MOST_IN_GROUP: usize = limits::GROUP_EVENTS;

/// The bounds on what events can make the server hold.
#[derive(Clone, Copy, Debug)]
pub struct GrowthLimits {
    /// Workspaces, over all partitions.
    pub workspaces: usize,
    // Of one workspace.
    pub channels: usize,
    pub workers: usize,
    pub activities: usize,
    /// Tasks that are active or ended lately.
    pub tasks: usize,
    /// That active tasks have.
    pub priorities: usize,
    /// The length of a name, in bytes.
    pub name_bytes: usize,
    pub account: AccountLimits,
}

/// The bounds on what the workspaces of one account hold together.
#[derive(Clone, Copy, Debug)]
pub struct AccountLimits {
    pub workspaces: usize,
    pub channels: usize,
    pub workers: usize,
    pub activities: usize,
    pub tasks: usize,
}

impl Default for GrowthLimits {
    fn default() -> Self {
        GrowthLimits {
            workspaces: limits::WORKSPACES,
            channels: limits::CHANNELS_PER_WORKSPACE,
            workers: limits::WORKERS_PER_WORKSPACE,
            activities: limits::ACTIVITIES_PER_WORKSPACE,
            tasks: limits::ACTIVE_TASKS_PER_WORKSPACE,
            priorities: limits::PRIORITIES_PER_WORKSPACE,
            name_bytes: limits::NAME_BYTES,
            account: AccountLimits::default(),
        }
    }
}

impl Default for AccountLimits {
    fn default() -> Self {
        AccountLimits {
            workspaces: limits::WORKSPACES_PER_ACCOUNT,
            channels: limits::CHANNELS_PER_ACCOUNT,
            workers: limits::WORKERS_PER_ACCOUNT,
            activities: limits::ACTIVITIES_PER_ACCOUNT,
            tasks: limits::ACTIVE_TASKS_PER_ACCOUNT,
        }
    }
}

impl GrowthLimits {
    fn of_workspace(&self, kind: Kind) -> (&'static str, usize) {
        match kind {
            Kind::Channel | Kind::ChannelSid => ("max_channels_per_workspace", self.channels),
            Kind::Worker => ("max_workers_per_workspace", self.workers),
            Kind::Activity => ("max_activities_per_workspace", self.activities),
            Kind::Task => ("max_tasks_per_workspace", self.tasks),
            Kind::Priority => ("max_priorities_per_workspace", self.priorities),
        }
    }

    fn of_account(&self, kind: Kind) -> (&'static str, usize) {
        match kind {
            Kind::Channel | Kind::ChannelSid => ("max_channels_per_account", self.account.channels),
            Kind::Worker => ("max_workers_per_account", self.account.workers),
            Kind::Activity => ("max_activities_per_account", self.account.activities),
            Kind::Task => ("max_tasks_per_account", self.account.tasks),
            // It bounds an answer, of which each workspace has its own.
            Kind::Priority => ("max_priorities_per_workspace", usize::MAX),
        }
    }
}

/// What a group under way adds to one workspace.
#[derive(Default)]
pub struct Growth {
    holding: Arc<Holding>,
    /// Of which account, where the group is the first to name the workspace.
    new: Option<AccountSid>,
    /// Whether an event was accepted.
    used: bool,
    /// As the workspace stands before the group.
    size: Counts,
    /// The kinds of which each event must be looked at.
    near: [bool; KINDS.len()],
    seen: Seen,
    claimed: Counts,
    /// What of the account's room is taken until the group is settled.
    reserved: Counts,
    channels: TableSet<Box<str>>,
    channel_sids: TableSet<ChannelSid>,
    workers: TableSet<WorkerSid>,
    activities: TableSet<ActivitySid>,
    tasks: TableSet<TaskSid>,
    priorities: TableSet<i32>,
}

/// What holds for all workspaces of a group.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub limits: &'a GrowthLimits,
    pub partitions: usize,
    /// Events of the group, at most.
    pub events: usize,
}

impl Growth {
    /// Of a workspace that is there already.
    pub fn of(state: &Workspace, holding: Arc<Holding>, terms: Terms<'_>) -> Growth {
        Growth { size: counts(state.size()), holding, ..Growth::default() }.in_advance(terms)
    }

    /// Of one that no accepted event has named, if there is room for it.
    pub fn of_new(account: AccountSid, accounts: &Accounts, terms: Terms<'_>) -> Result<Growth, Refusal> {
        let holding = accounts.take_workspace(account, terms.limits)?;
        Ok(Growth { holding, new: Some(account), ..Growth::default() }.in_advance(terms))
    }

    fn in_advance(mut self, Terms { limits, partitions, events }: Terms<'_>) -> Growth {
        for kind in KINDS {
            let at = kind.index();
            let (_, most) = limits.of_workspace(kind);
            let (_, most_of_account) = limits.of_account(kind);
            let far = self.size[at] + MOST_IN_GROUP < most
                && self.holding.take_in_advance(kind, events, most_of_account, partitions);
            self.near[at] = !far;
            self.reserved[at] = if far { events } else { 0 };
        }
        self
    }

    /// Takes the room that an event needs, all of it or none.
    pub fn take(&mut self, state: Option<&Workspace>, event: &Event, limits: &GrowthLimits) -> Result<(), Refusal> {
        if self.must_look_at(event) {
            self.look_at(state, event, limits)?;
        }
        self.used = true;
        Ok(())
    }

    fn look_at(&mut self, state: Option<&Workspace>, event: &Event, limits: &GrowthLimits) -> Result<(), Refusal> {
        let unknown = self.unknown(state, event);
        for (at, kind) in KINDS.into_iter().enumerate().filter(|(at, _)| unknown[*at]) {
            if let Err(refusal) = self.take_one(kind, limits) {
                for kind in KINDS[..at].iter().filter(|kind| unknown[kind.index()]) {
                    self.claimed[kind.index()] -= 1;
                    self.reserved[kind.index()] -= 1;
                    self.holding.give_back(*kind, 1);
                }
                return Err(refusal);
            }
        }
        if unknown.contains(&true) {
            self.remember(&unknown, event);
        }
        self.see(state, event);
        Ok(())
    }

    fn take_one(&mut self, kind: Kind, limits: &GrowthLimits) -> Result<(), Refusal> {
        let at = kind.index();
        let (limit, most) = limits.of_workspace(kind);
        if self.size[at] + self.claimed[at] >= most {
            return Err(Refusal::LimitExceeded { kind: kind.name(), limit, most: most as u64 });
        }
        let (limit, most) = limits.of_account(kind);
        if !self.holding.take(kind, most) {
            return Err(Refusal::LimitExceeded { kind: kind.name(), limit, most: most as u64 });
        }
        self.claimed[at] += 1;
        self.reserved[at] += 1;
        Ok(())
    }

    /// Whether it may add something of which there is not plenty of room.
    fn must_look_at(&self, event: &Event) -> bool {
        let near = |kind: Kind| self.near[kind.index()];
        near(Kind::Worker) && event.worker.is_some()
            || near(Kind::Task) && event.task.is_some()
            || (near(Kind::Channel) || near(Kind::ChannelSid))
                && channel_of(event).is_some_and(|name| !self.seen.has_channel(name, channel_sid_of(event)))
            || near(Kind::Activity) && activity_of(event).is_some_and(|sid| !self.seen.has_activity(sid))
            || near(Kind::Priority) && priority_of(event).is_some_and(|(_, priority)| !self.seen.has_priority(priority))
    }

    /// Which kinds of objects the event would add, of those that must be looked at.
    fn unknown(&self, state: Option<&Workspace>, event: &Event) -> [bool; KINDS.len()] {
        let is_known = |knows: &dyn Fn(&Workspace) -> bool| state.is_some_and(knows);
        KINDS.map(|kind| {
            self.near[kind.index()]
                && match kind {
                    Kind::Channel => channel_of(event).is_some_and(|name| {
                        !is_known(&|it| it.knows_channel(name)) && !self.channels.contains(name.as_str())
                    }),
                    Kind::ChannelSid => channel_sid_of(event).is_some_and(|sid| {
                        !is_known(&|it| it.knows_channel_sid(sid)) && !self.channel_sids.contains(&sid)
                    }),
                    Kind::Worker => worker_of(event)
                        .is_some_and(|sid| !is_known(&|it| it.knows_worker(sid)) && !self.workers.contains(&sid)),
                    Kind::Activity => activity_of(event)
                        .is_some_and(|sid| !is_known(&|it| it.knows_activity(sid)) && !self.activities.contains(&sid)),
                    Kind::Task => task_of(event)
                        .is_some_and(|sid| !is_known(&|it| it.knows_task(sid)) && !self.tasks.contains(&sid)),
                    Kind::Priority => priority_of(event).is_some_and(|(task, priority)| {
                        !self.holds_priority(state, priority) && state.is_none_or(|it| it.may_lead(task, event.at))
                    }),
                }
        })
    }

    /// Whether it is there, or claimed.
    fn holds_priority(&self, state: Option<&Workspace>, priority: i32) -> bool {
        state.is_some_and(|it| it.knows_priority(priority)) || self.priorities.contains(&priority)
    }

    fn remember(&mut self, unknown: &[bool; KINDS.len()], event: &Event) {
        let is_new = |kind: Kind| unknown[kind.index()];
        self.channels.extend(channel_of(event).filter(|_| is_new(Kind::Channel)).map(|name| Box::from(name.as_str())));
        self.channel_sids.extend(channel_sid_of(event).filter(|_| is_new(Kind::ChannelSid)));
        self.workers.extend(worker_of(event).filter(|_| is_new(Kind::Worker)));
        self.activities.extend(activity_of(event).filter(|_| is_new(Kind::Activity)));
        self.tasks.extend(task_of(event).filter(|_| is_new(Kind::Task)));
        self.priorities.extend(priority_of(event).map(|(_, priority)| priority).filter(|_| is_new(Kind::Priority)));
    }

    /// The event is accepted.
    fn see(&mut self, state: Option<&Workspace>, event: &Event) {
        if let Some(name) = channel_of(event) {
            self.seen.note_channel(name, channel_sid_of(event));
        }
        if let Some(sid) = activity_of(event) {
            self.seen.note_activity(sid);
        }
        if let Some((_, priority)) = priority_of(event)
            && self.holds_priority(state, priority)
        {
            self.seen.note_priority(priority);
        }
    }

    /// Whether the workspace came in with this group and then not one event was accepted.
    pub fn is_idle(&self) -> bool {
        self.new.is_some() && !self.used
    }

    /// The group is not in the journal: all room is free again.
    pub fn give_back(self, accounts: &Accounts) {
        for kind in KINDS {
            self.holding.give_back(kind, self.reserved[kind.index()]);
        }
        if let Some(account) = self.new {
            accounts.give_workspace_back(account);
        }
    }

    /// The group is applied: what there is now counts, and not what was reserved for it.
    pub fn settle(self, workspace: WorkspaceSid, state: &Workspace, ledger: &mut Ledger) {
        match self.new {
            Some(account) => ledger.enter(workspace, account, self.holding, self.reserved, state.size()),
            None => ledger.note(workspace, &self.reserved, state.size()),
        }
    }
}

fn channel_of(event: &Event) -> Option<&Name> {
    event.task.as_ref()?.channel_name.as_ref()
}

/// A sid that comes without a name stands for nothing and is not held.
fn channel_sid_of(event: &Event) -> Option<ChannelSid> {
    event.task.as_ref().filter(|task| task.channel_name.is_some())?.channel_sid
}

fn worker_of(event: &Event) -> Option<WorkerSid> {
    Some(event.worker.as_ref()?.sid)
}

fn activity_of(event: &Event) -> Option<ActivitySid> {
    let own = event.activity.as_ref().map(|activity| activity.sid);
    own.or_else(|| event.worker.as_ref()?.activity_sid)
}

fn task_of(event: &Event) -> Option<TaskSid> {
    Some(event.task.as_ref()?.sid)
}

/// One that has ended counts under no priority, and an event without a status says nothing of the task's.
fn priority_of(event: &Event) -> Option<(TaskSid, i32)> {
    let task = event.task.as_ref().filter(|task| task.status.is_some())?;
    (!event.ends_task()).then_some((task.sid, task.priority))
}

#[cfg(test)]
mod tests;
