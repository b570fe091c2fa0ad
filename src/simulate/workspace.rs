//! One workspace: what it is set up with, who waits for whom, and the rare change to its own set-up.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::centre::{Stage, What};
use super::staff::Worker;
use super::task::Task;
use crate::api::proto::v1::{self as proto, EventType};

/// Tasks and workers of one workspace, and the queues in which they wait for each other.
#[derive(Debug)]
pub(super) struct Workspace {
    pub sid: String,
    pub activities: Vec<Named>,
    pub channels: Vec<Named>,
    pub queues: Vec<Queue>,
    pub workflow: Named,
    pub workers: Vec<Worker>,
    /// Places of tasks; those that are over are in `free`.
    pub tasks: Vec<Task>,
    pub free: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Named {
    pub sid: String,
    pub name: &'static str,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub sid: String,
    pub name: &'static str,
    /// Pending tasks: higher priority first, then the older.
    pub waiting: BTreeSet<(Reverse<i32>, i64, u32)>,
    /// Workers free to take one, the longest idle first.
    pub idle: BTreeSet<(i64, u32)>,
}

/// The activities, by their place in [`Workspace::activities`].
pub(super) mod activity {
    pub const OFFLINE: usize = 0;
    pub const AVAILABLE: usize = 1;
    pub const BUSY: usize = 2;
    pub const WRAP_UP: usize = 3;
    pub const BREAK: usize = 4;
    pub const UNAVAILABLE: usize = 5;
    pub const NAMES: [&str; 6] = ["Offline", "Available", "Busy", "Wrap Up", "Break", "Unavailable"];
}

const CHANNELS: [&str; 4] = ["voice", "chat", "sms", "email"];
const QUEUES: [&str; 4] = ["Sales", "Support", "Billing", "Everyone"];

/// The queue that every worker serves and where tasks end up that waited too long in their own.
pub(super) const OVERFLOW: usize = 3;

/// Mean time between two changes of the set-up, in microseconds: not scaled, since it has nothing to do with load.
const HOUSEKEEPING_US: i64 = 600_000_000;

impl Workspace {
    /// Sets the workspace up and lets its workers come in.
    pub fn open(stage: &mut Stage, index: usize, workers: usize) -> Workspace {
        let sid = stage.draw.sid("WS");
        let mut named = |letters, name| Named { sid: stage.draw.sid(letters), name };
        let activities = activity::NAMES.map(|name| named("WA", name)).into();
        let channels = CHANNELS.map(|name| named("TC", name)).into();
        let workflow = named("WW", "Default workflow");
        let queue = |name| Queue { sid: stage.draw.sid("WQ"), name, waiting: BTreeSet::new(), idle: BTreeSet::new() };
        let queues = QUEUES.map(queue).into();
        let (workers_hired, tasks, free) = (Vec::with_capacity(workers), Vec::new(), Vec::new());
        let mut workspace =
            Workspace { sid, activities, channels, queues, workflow, workers: workers_hired, tasks, free };

        workspace.emit_plain(stage, EventType::WorkspaceCreated);
        for place in 0..workspace.activities.len() {
            workspace.emit_activity(stage, EventType::ActivityCreated, place);
        }
        let created = [EventType::TaskChannelCreated, EventType::TaskQueueCreated];
        for kind in created.into_iter().flat_map(|kind| [kind; 4]).chain([EventType::WorkflowCreated]) {
            workspace.emit_plain(stage, kind);
        }
        for worker in 0..workers as u32 {
            workspace.hire(stage, worker, index);
        }
        stage.after_us(HOUSEKEEPING_US, What::Housekeeping);
        workspace
    }

    /// One of the changes that people make to a set-up now and then; none that a statistic would show.
    pub fn keep_house(&mut self, stage: &mut Stage) {
        match stage.draw.below(6) {
            0 => {
                let place = stage.draw.below(self.activities.len() as u64) as usize;
                self.emit_activity(stage, EventType::ActivityUpdated, place);
            }
            1 => self.emit_plain(stage, EventType::TaskChannelUpdated),
            2 => self.emit_plain(stage, EventType::TaskQueueExpressionUpdated),
            3 => self.emit_plain(stage, EventType::WorkflowUpdated),
            4 => self.emit_plain(stage, EventType::WorkspaceUpdated),
            // A queue for a campaign comes and goes; no task enters it.
            _ => {
                self.emit_plain(stage, EventType::TaskQueueCreated);
                self.emit_plain(stage, EventType::TaskQueueDeleted);
            }
        }
        let delay_us = stage.draw.around(HOUSEKEEPING_US);
        stage.after_us(delay_us, What::Housekeeping);
    }

    /// An event that carries nothing but the workspace.
    fn emit_plain(&self, stage: &mut Stage, kind: EventType) {
        let event = stage.event(&self.sid, kind);
        stage.emit(event);
    }

    fn emit_activity(&self, stage: &mut Stage, kind: EventType, place: usize) {
        let activity = &self.activities[place];
        let mut event = stage.event(&self.sid, kind);
        event.activity = Some(proto::Activity {
            sid: activity.sid.clone(),
            friendly_name: activity.name.to_owned(),
            available: Some(place == activity::AVAILABLE),
        });
        stage.emit(event);
    }
}
