//! The six statuses of a task.

use serde::{Deserialize, Serialize};

/// The status of a task just after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum TaskStatus {
    Pending = 1,
    Reserved = 2,
    Assigned = 3,
    Wrapping = 4,
    Completed = 5,
    Canceled = 6,
}

impl TaskStatus {
    pub const ALL: [TaskStatus; 6] = [
        TaskStatus::Pending,
        TaskStatus::Reserved,
        TaskStatus::Assigned,
        TaskStatus::Wrapping,
        TaskStatus::Completed,
        TaskStatus::Canceled,
    ];

    pub fn from_number(number: i32) -> Option<TaskStatus> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// Whether a task of this status has come to its end.
    pub fn ends_task(self) -> bool {
        matches!(self, TaskStatus::Completed | TaskStatus::Canceled)
    }

    /// Whether a task of this status waits for a worker.
    pub fn waits(self) -> bool {
        matches!(self, TaskStatus::Pending | TaskStatus::Reserved)
    }

    /// The status of this name.
    pub fn named(name: &str) -> Option<TaskStatus> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            TaskStatus::Pending => "pending",
            TaskStatus::Reserved => "reserved",
            TaskStatus::Assigned => "assigned",
            TaskStatus::Wrapping => "wrapping",
            TaskStatus::Completed => "completed",
            TaskStatus::Canceled => "canceled",
        }
    }
}
