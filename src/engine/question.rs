//! Questions and answers: what may be asked of a workspace, and the values that come back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::totals::Totals;
use crate::event::{AccountSid, ActivitySid, ChannelSid, Millis, SecondRange, TaskSid};

/// Which tasks a question covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelFilter {
    All,
    /// By unique name, compared as bytes.
    Named(Box<str>),
    /// By the name that this sid stands for.
    Sid(ChannelSid),
}

impl ChannelFilter {
    /// Empty covers everything; TC and 32 hexadecimal digits is a sid; anything else is a name.
    pub fn parse(text: &str) -> ChannelFilter {
        match ChannelSid::parse(text) {
            _ if text.is_empty() => ChannelFilter::All,
            Ok(sid) => ChannelFilter::Sid(sid),
            Err(_) => ChannelFilter::Named(text.into()),
        }
    }
}

/// The state of a workspace, for one channel filter, as it stands at the moment it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realtime {
    pub account: AccountSid,
    /// By friendly name (as UTF-8 bytes), then sid. The worker figures ignore the channel filter.
    pub activities: Arc<[ActivityRow]>,
    pub total_workers: i64,
    pub longest_waiting: Option<LongestWaiting>,
    /// Active tasks by priority, ascending, without zeros.
    pub by_priority: Box<[(i32, i64)]>,
    pub by_status: StatusCounts,
    /// Active tasks.
    pub total_tasks: i64,
    /// The first moment at which time alone makes this answer untrue (its age aside); `None` if it never does.
    pub valid_until: Option<Millis>,
}

impl Realtime {
    /// Whether both show the same figures; when they cease to be true is none.
    pub fn same_figures(&self, other: &Realtime) -> bool {
        let Realtime {
            account,
            activities,
            total_workers,
            longest_waiting,
            by_priority,
            by_status,
            total_tasks,
            valid_until: _,
        } = self;
        *account == other.account
            && *total_workers == other.total_workers
            && *longest_waiting == other.longest_waiting
            && *by_priority == other.by_priority
            && *by_status == other.by_status
            && *total_tasks == other.total_tasks
            && (Arc::ptr_eq(activities, &other.activities) || *activities == other.activities)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityRow {
    pub sid: ActivitySid,
    /// Empty where no event named it.
    pub name: Box<str>,
    pub workers: i64,
}

/// The waiting task with the earliest creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongestWaiting {
    pub task: TaskSid,
    pub since: Millis,
}

/// Tasks by status: active ones, and those that ended in the last five minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StatusCounts {
    pub pending: i64,
    pub reserved: i64,
    pub assigned: i64,
    pub wrapping: i64,
    pub completed: i64,
    pub canceled: i64,
}

/// What happened in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cumulative {
    pub account: AccountSid,
    /// The effective interval.
    pub range: SecondRange,
    /// Counts, waits, and a split for each threshold asked for.
    pub totals: Totals,
}

/// A workspace as a list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceRow {
    pub workspace: crate::event::WorkspaceSid,
    pub account: AccountSid,
}

/// A task channel as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    pub unique_name: Box<str>,
    /// The smallest sid that stands for this name; `None` where no event gave one.
    pub sid: Option<ChannelSid>,
    /// Active tasks of the channel.
    pub active_tasks: i64,
}
