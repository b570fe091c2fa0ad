//! The counts of active and lately ended tasks, by channel, and the task that has waited longest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::agenda::Agenda;
use super::super::channels::ChannelId;
use super::super::question::{LongestWaiting, StatusCounts};
use super::super::table::Table;
use super::life::{Part, Shape};
use crate::event::{Millis, TaskSid, TaskStatus};

/// One gauge for each channel; all channels together are their sum. By priority the sum is kept, since a workspace may
/// have thousands of both.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Gauges {
    by_channel: Table<ChannelId, Gauge>,
    #[serde(skip)]
    by_priority: Tally,
}

/// What a checkpoint has of them.
#[derive(Deserialize)]
struct Saved {
    by_channel: Table<ChannelId, Gauge>,
}

impl From<Saved> for Gauges {
    fn from(Saved { by_channel }: Saved) -> Gauges {
        let mut by_priority = Tally::default();
        for (priority, tasks) in by_channel.values().flat_map(|gauge| &gauge.by_priority.0) {
            by_priority.add(*priority, *tasks);
        }
        Gauges { by_channel, by_priority }
    }
}

/// Active tasks by priority, without zeros.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Tally(BTreeMap<i32, i64>);

impl Tally {
    fn add(&mut self, priority: i32, by: i64) {
        let tasks = self.0.entry(priority).or_default();
        *tasks += by;
        if *tasks == 0 {
            self.0.remove(&priority);
        }
    }

    fn rows(&self) -> Box<[(i32, i64)]> {
        self.0.iter().map(|(priority, tasks)| (*priority, *tasks)).collect()
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Gauge {
    status: StatusCounts,
    by_priority: Tally,
    /// The waiting tasks by creation.
    waiting: Agenda,
}

impl Gauges {
    /// A life has changed from one part to another.
    pub fn change(&mut self, task: TaskSid, before: Part, after: Part) {
        if before == after {
            return;
        }
        self.count(before, -1);
        self.count(after, 1);
        // Most changes are of the status alone.
        let rank = |part: Part| part.active().map(|shape| (shape.channel, shape.priority));
        if rank(before) != rank(after) {
            self.rank(rank(before), -1);
            self.rank(rank(after), 1);
        }
        let place = |part: Part| part.waiting().map(|shape| (shape.channel, shape.created));
        if place(before) == place(after) {
            return;
        }
        if let Some((channel, created)) = place(before) {
            self.by_channel.entry(channel).or_default().waiting.remove(&(created, task));
        }
        if let Some((channel, created)) = place(after) {
            self.by_channel.entry(channel).or_default().waiting.insert((created, task));
        }
    }

    fn count(&mut self, part: Part, by: i64) {
        match part {
            Part::None => {}
            Part::Ended { channel, canceled } => {
                let gauge = self.by_channel.entry(channel).or_default();
                *(if canceled { &mut gauge.status.canceled } else { &mut gauge.status.completed }) += by;
            }
            Part::Active(Shape { status, channel, .. }) => {
                let gauge = self.by_channel.entry(channel).or_default();
                let slot = match status {
                    TaskStatus::Pending => &mut gauge.status.pending,
                    TaskStatus::Reserved => &mut gauge.status.reserved,
                    TaskStatus::Assigned => &mut gauge.status.assigned,
                    TaskStatus::Wrapping => &mut gauge.status.wrapping,
                    TaskStatus::Completed | TaskStatus::Canceled => {
                        unreachable!("a task with status {status:?} has ended and is not active")
                    }
                };
                *slot += by;
            }
        }
    }

    fn rank(&mut self, rank: Option<(ChannelId, i32)>, by: i64) {
        if let Some((channel, priority)) = rank {
            self.by_channel.entry(channel).or_default().by_priority.add(priority, by);
            self.by_priority.add(priority, by);
        }
    }

    fn chosen(&self, channel: Option<ChannelId>) -> impl Iterator<Item = &Gauge> {
        let one = channel.map(|channel| self.by_channel.get(&channel));
        let all = if one.is_none() { Some(self.by_channel.values()) } else { None };
        one.flatten().into_iter().chain(all.into_iter().flatten())
    }

    pub fn status(&self, channel: Option<ChannelId>) -> StatusCounts {
        self.chosen(channel).fold(StatusCounts::default(), |sum, gauge| StatusCounts {
            pending: sum.pending + gauge.status.pending,
            reserved: sum.reserved + gauge.status.reserved,
            assigned: sum.assigned + gauge.status.assigned,
            wrapping: sum.wrapping + gauge.status.wrapping,
            completed: sum.completed + gauge.status.completed,
            canceled: sum.canceled + gauge.status.canceled,
        })
    }

    pub fn active(&self, channel: Option<ChannelId>) -> i64 {
        let StatusCounts { pending, reserved, assigned, wrapping, completed: _, canceled: _ } = self.status(channel);
        pending + reserved + assigned + wrapping
    }

    pub fn by_priority(&self, channel: Option<ChannelId>) -> Box<[(i32, i64)]> {
        match channel {
            Some(channel) => self.by_channel.get(&channel).map(|gauge| gauge.by_priority.rows()).unwrap_or_default(),
            None => self.by_priority.rows(),
        }
    }

    /// Priorities that an active task has.
    pub fn count_priorities(&self) -> usize {
        self.by_priority.0.len()
    }

    pub fn knows_priority(&self, priority: i32) -> bool {
        self.by_priority.0.contains_key(&priority)
    }

    /// `part` answers what part a task plays now, so that entries that have become untrue are recognised.
    pub fn longest_waiting(
        &mut self,
        channel: Option<ChannelId>,
        part: impl Fn(TaskSid) -> Part,
    ) -> Option<LongestWaiting> {
        let first = |channel: ChannelId, gauge: &mut Gauge| gauge.first_waiting(channel, &part);
        let earliest = match channel {
            Some(channel) => self.by_channel.get_mut(&channel).and_then(|gauge| first(channel, gauge)),
            None => self.by_channel.iter_mut().filter_map(|(channel, gauge)| first(*channel, gauge)).min(),
        };
        earliest.map(|(since, task)| LongestWaiting { task, since })
    }

    /// Forgets a channel that no life uses.
    pub fn remove(&mut self, channel: ChannelId) {
        self.by_channel.remove(&channel);
    }
}

impl Gauge {
    fn first_waiting(&mut self, channel: ChannelId, part: &impl Fn(TaskSid) -> Part) -> Option<(Millis, TaskSid)> {
        loop {
            let (created, task) = *self.waiting.first()?;
            if holds(part(task), channel, created) {
                return Some((created, task));
            }
            // Checkpoints of earlier versions have entries that have become untrue.
            self.waiting.pop_first();
        }
    }
}

/// Whether an entry of a channel is true of its task.
fn holds(part: Part, channel: ChannelId, created: Millis) -> bool {
    part.waiting().is_some_and(|shape| shape.channel == channel && shape.created == created)
}
