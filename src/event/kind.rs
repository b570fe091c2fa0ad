//! The 49 kinds of event, and what each carries.

use super::{Event, TaskStatus};

/// What happened. The discriminant is the number of the wire's enum and of the log: a number, once given, stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventKind {
    ActivityCreated = 1,
    ActivityUpdated = 2,
    ActivityDeleted = 3,
    ReservationCreated = 4,
    ReservationAccepted = 5,
    ReservationRejected = 6,
    ReservationTimeout = 7,
    ReservationCanceled = 8,
    ReservationRescinded = 9,
    ReservationCompleted = 10,
    ReservationFailed = 11,
    ReservationWrapup = 12,
    TaskCreated = 13,
    TaskUpdated = 14,
    TaskCanceled = 15,
    TaskWrapup = 16,
    TaskCompleted = 17,
    TaskDeleted = 18,
    TaskSystemDeleted = 19,
    TaskTransferInitiated = 20,
    TaskTransferAttemptFailed = 21,
    TaskTransferFailed = 22,
    TaskTransferCanceled = 23,
    TaskTransferCompleted = 24,
    TaskChannelCreated = 25,
    TaskChannelUpdated = 26,
    TaskChannelDeleted = 27,
    TaskQueueCreated = 28,
    TaskQueueDeleted = 29,
    TaskQueueEntered = 30,
    TaskQueueTimeout = 31,
    TaskQueueMoved = 32,
    TaskQueueExpressionUpdated = 33,
    WorkerCreated = 34,
    WorkerDeleted = 35,
    WorkerActivityUpdate = 36,
    WorkerAttributesUpdate = 37,
    WorkerCapacityUpdate = 38,
    WorkerChannelAvailabilityUpdate = 39,
    WorkflowCreated = 40,
    WorkflowUpdated = 41,
    WorkflowDeleted = 42,
    WorkflowTargetMatched = 43,
    WorkflowEntered = 44,
    WorkflowTimeout = 45,
    WorkflowSkipped = 46,
    WorkspaceCreated = 47,
    WorkspaceUpdated = 48,
    WorkspaceDeleted = 49,
}

/// The groups of fields that a kind of event carries; a group that it does not carry is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    pub task: bool,
    pub reservation: bool,
    pub worker: bool,
    pub activity: bool,
}

impl Carried {
    /// What a kind that is not known carries, as far as can be told.
    pub const NOTHING: Carried = Carried { task: false, reservation: false, worker: false, activity: false };
}

impl EventKind {
    /// Every kind, in the order of the discriminants, from 1.
    pub const ALL: [EventKind; 49] = [
        EventKind::ActivityCreated,
        EventKind::ActivityUpdated,
        EventKind::ActivityDeleted,
        EventKind::ReservationCreated,
        EventKind::ReservationAccepted,
        EventKind::ReservationRejected,
        EventKind::ReservationTimeout,
        EventKind::ReservationCanceled,
        EventKind::ReservationRescinded,
        EventKind::ReservationCompleted,
        EventKind::ReservationFailed,
        EventKind::ReservationWrapup,
        EventKind::TaskCreated,
        EventKind::TaskUpdated,
        EventKind::TaskCanceled,
        EventKind::TaskWrapup,
        EventKind::TaskCompleted,
        EventKind::TaskDeleted,
        EventKind::TaskSystemDeleted,
        EventKind::TaskTransferInitiated,
        EventKind::TaskTransferAttemptFailed,
        EventKind::TaskTransferFailed,
        EventKind::TaskTransferCanceled,
        EventKind::TaskTransferCompleted,
        EventKind::TaskChannelCreated,
        EventKind::TaskChannelUpdated,
        EventKind::TaskChannelDeleted,
        EventKind::TaskQueueCreated,
        EventKind::TaskQueueDeleted,
        EventKind::TaskQueueEntered,
        EventKind::TaskQueueTimeout,
        EventKind::TaskQueueMoved,
        EventKind::TaskQueueExpressionUpdated,
        EventKind::WorkerCreated,
        EventKind::WorkerDeleted,
        EventKind::WorkerActivityUpdate,
        EventKind::WorkerAttributesUpdate,
        EventKind::WorkerCapacityUpdate,
        EventKind::WorkerChannelAvailabilityUpdate,
        EventKind::WorkflowCreated,
        EventKind::WorkflowUpdated,
        EventKind::WorkflowDeleted,
        EventKind::WorkflowTargetMatched,
        EventKind::WorkflowEntered,
        EventKind::WorkflowTimeout,
        EventKind::WorkflowSkipped,
        EventKind::WorkspaceCreated,
        EventKind::WorkspaceUpdated,
        EventKind::WorkspaceDeleted,
    ];

    /// The kind of this number on the wire and in the log.
    pub fn from_number(number: i32) -> Option<EventKind> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    pub fn number(self) -> u8 {
        self as u8
    }

    /// The task router's own name: `reservation.accepted`.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::ActivityCreated => "activity.created",
            EventKind::ActivityUpdated => "activity.updated",
            EventKind::ActivityDeleted => "activity.deleted",
            EventKind::ReservationCreated => "reservation.created",
            EventKind::ReservationAccepted => "reservation.accepted",
            EventKind::ReservationRejected => "reservation.rejected",
            EventKind::ReservationTimeout => "reservation.timeout",
            EventKind::ReservationCanceled => "reservation.canceled",
            EventKind::ReservationRescinded => "reservation.rescinded",
            EventKind::ReservationCompleted => "reservation.completed",
            EventKind::ReservationFailed => "reservation.failed",
            EventKind::ReservationWrapup => "reservation.wrapup",
            EventKind::TaskCreated => "task.created",
            EventKind::TaskUpdated => "task.updated",
            EventKind::TaskCanceled => "task.canceled",
            EventKind::TaskWrapup => "task.wrapup",
            EventKind::TaskCompleted => "task.completed",
            EventKind::TaskDeleted => "task.deleted",
            EventKind::TaskSystemDeleted => "task.system-deleted",
            EventKind::TaskTransferInitiated => "task.transfer-initiated",
            EventKind::TaskTransferAttemptFailed => "task.transfer-attempt-failed",
            EventKind::TaskTransferFailed => "task.transfer-failed",
            EventKind::TaskTransferCanceled => "task.transfer-canceled",
            EventKind::TaskTransferCompleted => "task.transfer-completed",
            EventKind::TaskChannelCreated => "task-channel.created",
            EventKind::TaskChannelUpdated => "task-channel.updated",
            EventKind::TaskChannelDeleted => "task-channel.deleted",
            EventKind::TaskQueueCreated => "task-queue.created",
            EventKind::TaskQueueDeleted => "task-queue.deleted",
            EventKind::TaskQueueEntered => "task-queue.entered",
            EventKind::TaskQueueTimeout => "task-queue.timeout",
            EventKind::TaskQueueMoved => "task-queue.moved",
            EventKind::TaskQueueExpressionUpdated => "task-queue.expression.updated",
            EventKind::WorkerCreated => "worker.created",
            EventKind::WorkerDeleted => "worker.deleted",
            EventKind::WorkerActivityUpdate => "worker.activity.update",
            EventKind::WorkerAttributesUpdate => "worker.attributes.update",
            EventKind::WorkerCapacityUpdate => "worker.capacity.update",
            EventKind::WorkerChannelAvailabilityUpdate => "worker.channel.availability.update",
            EventKind::WorkflowCreated => "workflow.created",
            EventKind::WorkflowUpdated => "workflow.updated",
            EventKind::WorkflowDeleted => "workflow.deleted",
            EventKind::WorkflowTargetMatched => "workflow.target-matched",
            EventKind::WorkflowEntered => "workflow.entered",
            EventKind::WorkflowTimeout => "workflow.timeout",
            EventKind::WorkflowSkipped => "workflow.skipped",
            EventKind::WorkspaceCreated => "workspace.created",
            EventKind::WorkspaceUpdated => "workspace.updated",
            EventKind::WorkspaceDeleted => "workspace.deleted",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<EventKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Which groups of fields the kind carries.
    pub fn carried(self) -> Carried {
        use EventKind::*;
        const NOTHING: Carried = Carried::NOTHING;
        match self {
            ActivityCreated | ActivityUpdated | ActivityDeleted => Carried { activity: true, ..NOTHING },
            ReservationCreated | ReservationAccepted | ReservationRejected | ReservationTimeout
            | ReservationCanceled | ReservationRescinded | ReservationCompleted | ReservationWrapup => {
                Carried { task: true, reservation: true, worker: true, ..NOTHING }
            }
            // The reservation that failed was never made: it names neither a reservation nor a worker.
            ReservationFailed => Carried { task: true, ..NOTHING },
            TaskCreated
            | TaskUpdated
            | TaskCanceled
            | TaskWrapup
            | TaskCompleted
            | TaskDeleted
            | TaskSystemDeleted
            | TaskTransferInitiated
            | TaskTransferAttemptFailed
            | TaskTransferFailed
            | TaskTransferCanceled
            | TaskTransferCompleted => Carried { task: true, ..NOTHING },
            TaskQueueEntered | TaskQueueTimeout | TaskQueueMoved => Carried { task: true, ..NOTHING },
            WorkflowTargetMatched | WorkflowEntered | WorkflowTimeout | WorkflowSkipped => {
                Carried { task: true, ..NOTHING }
            }
            WorkerCreated
            | WorkerDeleted
            | WorkerActivityUpdate
            | WorkerAttributesUpdate
            | WorkerCapacityUpdate
            | WorkerChannelAvailabilityUpdate => Carried { worker: true, ..NOTHING },
            TaskChannelCreated | TaskChannelUpdated | TaskChannelDeleted => NOTHING,
            TaskQueueCreated | TaskQueueDeleted | TaskQueueExpressionUpdated => NOTHING,
            WorkflowCreated | WorkflowUpdated | WorkflowDeleted => NOTHING,
            WorkspaceCreated | WorkspaceUpdated | WorkspaceDeleted => NOTHING,
        }
    }

    /// Whether the event removes its task: such an event needs no more of the task than its sid.
    pub fn deletes_task(self) -> bool {
        matches!(self, EventKind::TaskDeleted | EventKind::TaskSystemDeleted)
    }

    /// Place among events of the same moment and version about one task, by the order of a task's life.
    /// Kinds that carry no task have none and answer 0.
    pub fn task_rank(self) -> u8 {
        use EventKind::*;
        match self {
            TaskCreated => 1,
            WorkflowEntered => 2,
            TaskQueueEntered => 3,
            WorkflowTargetMatched => 4,
            TaskUpdated => 5,
            TaskQueueTimeout => 6,
            TaskQueueMoved => 7,
            ReservationCreated => 8,
            TaskTransferInitiated => 9,
            TaskTransferAttemptFailed => 10,
            ReservationRejected => 11,
            ReservationTimeout => 12,
            ReservationCanceled => 13,
            ReservationRescinded => 14,
            ReservationFailed => 15,
            TaskTransferFailed => 16,
            TaskTransferCanceled => 17,
            ReservationAccepted => 18,
            TaskTransferCompleted => 19,
            ReservationWrapup => 20,
            TaskWrapup => 21,
            ReservationCompleted => 22,
            WorkflowTimeout => 23,
            WorkflowSkipped => 24,
            TaskCompleted => 25,
            TaskCanceled => 26,
            TaskDeleted => 27,
            TaskSystemDeleted => 28,
            ActivityCreated
            | ActivityUpdated
            | ActivityDeleted
            | TaskChannelCreated
            | TaskChannelUpdated
            | TaskChannelDeleted
            | TaskQueueCreated
            | TaskQueueDeleted
            | TaskQueueExpressionUpdated
            | WorkerCreated
            | WorkerDeleted
            | WorkerActivityUpdate
            | WorkerAttributesUpdate
            | WorkerCapacityUpdate
            | WorkerChannelAvailabilityUpdate
            | WorkflowCreated
            | WorkflowUpdated
            | WorkflowDeleted
            | WorkspaceCreated
            | WorkspaceUpdated
            | WorkspaceDeleted => 0,
        }
    }

    /// Likewise for one worker: its creation, anything else, its deletion.
    pub fn worker_rank(self) -> u8 {
        match self {
            EventKind::WorkerCreated => 0,
            EventKind::WorkerDeleted => 2,
            _ => 1,
        }
    }

    /// Likewise for one activity.
    pub fn activity_rank(self) -> u8 {
        match self {
            EventKind::ActivityCreated => 0,
            EventKind::ActivityDeleted => 2,
            _ => 1,
        }
    }
}

impl Event {
    /// Whether this event ends its task: by the status it leaves the task in, or by deleting it.
    pub fn ends_task(&self) -> bool {
        self.task
            .as_ref()
            .is_some_and(|task| self.kind.deletes_task() || task.status.is_some_and(TaskStatus::ends_task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_kind_and_names_are_its_own() {
        for (index, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), index + 1);
            assert_eq!(EventKind::from_number(i32::from(kind.number())), Some(kind));
        }
        let names: std::collections::BTreeSet<&str> = EventKind::ALL.into_iter().map(EventKind::name).collect();
        assert_eq!(names.len(), EventKind::ALL.len(), "each has a name of its own");
        for number in [i32::MIN, -1, 0, 50, i32::MAX] {
            assert_eq!(EventKind::from_number(number), None);
        }
    }

    #[test]
    fn every_kind_that_carries_a_task_has_a_rank_of_its_own() {
        let mut ranks: Vec<u8> =
            EventKind::ALL.into_iter().filter(|kind| kind.carried().task).map(EventKind::task_rank).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, (1..=28).collect::<Vec<u8>>());
    }
}
