//! The counts of active and lately ended tasks, by channel, and the task that has waited longest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::agenda::Agenda;
use super::super::channels::ChannelId;
use super::super::question::{LongestWaiting, StatusCounts};
use super::super::table::Table;
use super::life::{Part, Shape};
use crate::event::{Millis, TaskSid, TaskStatus};

/// One gauge for each channel; all channels together are their sum.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Gauges {
    by_channel: Table<ChannelId, Gauge>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Gauge {
    status: StatusCounts,
    by_priority: BTreeMap<i32, i64>,
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
            Part::Active(Shape { status, priority, channel, .. }) => {
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
                let tasks = gauge.by_priority.entry(priority).or_default();
                *tasks += by;
                if *tasks == 0 {
                    gauge.by_priority.remove(&priority);
                }
            }
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
        let mut sum = BTreeMap::new();
        for (priority, tasks) in self.chosen(channel).flat_map(|gauge| &gauge.by_priority) {
            *sum.entry(*priority).or_default() += tasks;
        }
        sum.into_iter().collect()
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
