//! One event, as statistics.md's table of fields has it.

use super::{
    AccountSid, ActivitySid, ChannelSid, EventKind, EventSid, Millis, QueueSid, ReservationSid, TaskSid, TaskStatus,
    WorkerSid, WorkflowSid, WorkspaceSid,
};

/// A name that an event states. Nearly all are short enough to lie in the event itself: a batch is made by one thread and
/// let go by another, and pieces of memory that go that way are dear.
pub type Name = smol_str::SmolStr;

/// One fact about one workspace.
///
/// Invariants, kept by the decoder of each wire format and by the decoder of the log:
/// - `task.date_created`, `.status` and `.channel_name` are `Some` unless the kind is one of the two deletions;
/// - a group is `Some` only if the kind carries it ([`EventKind::carried`]) and the sender stated its id;
/// - no string is empty: an empty string on the wire is an absent field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub sid: EventSid,
    pub kind: EventKind,
    /// When it happened.
    pub at: Millis,
    pub account: AccountSid,
    pub workspace: WorkspaceSid,
    pub task: Option<Task>,
    pub reservation: Option<Reservation>,
    pub worker: Option<Worker>,
    pub activity: Option<Activity>,
}

/// The task that an event is about, as it was just after the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub sid: TaskSid,
    /// Absent only on the two deletions.
    pub date_created: Option<Millis>,
    pub status: Option<TaskStatus>,
    pub priority: i32,
    pub channel_name: Option<Name>,
    pub channel_sid: Option<ChannelSid>,
    /// Grows with each change of the task; 0 where the sender has none.
    pub version: i64,
    pub queue_sid: Option<QueueSid>,
    pub queue_name: Option<Name>,
    pub queue_entered: Option<Millis>,
    pub workflow_sid: Option<WorkflowSid>,
    pub workflow_name: Option<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub sid: ReservationSid,
    pub version: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub sid: WorkerSid,
    pub name: Option<Name>,
    pub activity_sid: Option<ActivitySid>,
    pub activity_name: Option<Name>,
    pub version: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    pub sid: ActivitySid,
    pub name: Option<Name>,
    pub available: Option<bool>,
}

impl Event {
    /// The whole second that, with the workspace and the sid, is the event's identity.
    pub fn second(&self) -> super::Second {
        self.at.second()
    }
}

#[cfg(test)]
impl Task {
    /// Of which nothing is told.
    pub fn bare(sid: TaskSid) -> Task {
        Task {
            sid,
            date_created: None,
            status: None,
            priority: 0,
            channel_name: None,
            channel_sid: None,
            version: 0,
            queue_sid: None,
            queue_name: None,
            queue_entered: None,
            workflow_sid: None,
            workflow_name: None,
        }
    }
}
