//! The one table: what each field of the contract is called in each form, and where it stands in the message.

use prost_types::Timestamp;

use super::Form;
use crate::api::proto::v1;

/// A field of the table.
pub struct Field {
    /// Path in the contract, and the group that its first part names.
    pub path: &'static str,
    callback: &'static str,
    /// In the payload of a CloudEvent, and in the `event_data` of the REST Events API.
    snake: &'static str,
    /// Beside `event_data`; empty where it stands within.
    resource: &'static str,
    pub place: fn(&mut v1::Event) -> Place<'_>,
}

/// Where a field stands in the message, and what it may hold.
pub enum Place<'a> {
    Text(&'a mut String),
    Kind(&'a mut i32),
    Status(&'a mut i32),
    Time(&'a mut Option<Timestamp>),
    /// The same with a name that says milliseconds.
    TimeMs(&'a mut Option<Timestamp>),
    Priority(&'a mut i32),
    Version(&'a mut i64),
    Flag(&'a mut Option<bool>),
}

const fn field(
    path: &'static str,
    callback: &'static str,
    snake: &'static str,
    resource: &'static str,
    place: fn(&mut v1::Event) -> Place<'_>,
) -> Field {
    Field { path, callback, snake, resource, place }
}

macro_rules! within {
    ($group:ident . $field:ident as $kind:ident) => {
        |event| Place::$kind(&mut event.$group.get_or_insert_default().$field)
    };
}

/// Fields of the table.
pub const FIELDS: usize = 28;

/// In the contract's order. Of two that stand in one place the later one wins: milliseconds say more than seconds.
pub const TABLE: [Field; FIELDS] = [
    field("sid", "Sid", "sid", "sid", |event| Place::Text(&mut event.sid)),
    field("type", "EventType", "eventtype", "event_type", |event| Place::Kind(&mut event.r#type)),
    field("timestamp", "Timestamp", "timestamp", "event_date", |event| Place::Time(&mut event.timestamp)),
    field("timestamp", "TimestampMs", "timestamp_ms", "event_date_ms", |event| Place::TimeMs(&mut event.timestamp)),
    field("account_sid", "AccountSid", "account_sid", "account_sid", |event| Place::Text(&mut event.account_sid)),
    field("workspace_sid", "WorkspaceSid", "workspace_sid", "workspace_sid", |event| {
        Place::Text(&mut event.workspace_sid)
    }),
    field("task.sid", "TaskSid", "task_sid", "", within!(task.sid as Text)),
    field("task.date_created", "TaskDateCreated", "task_date_created", "", within!(task.date_created as Time)),
    field(
        "task.assignment_status",
        "TaskAssignmentStatus",
        "task_assignment_status",
        "",
        within!(task.assignment_status as Status),
    ),
    field("task.priority", "TaskPriority", "task_priority", "", within!(task.priority as Priority)),
    field(
        "task.task_channel_unique_name",
        "TaskChannelUniqueName",
        "task_channel_unique_name",
        "",
        within!(task.task_channel_unique_name as Text),
    ),
    field("task.task_channel_sid", "TaskChannelSid", "task_channel_sid", "", within!(task.task_channel_sid as Text)),
    field("task.version", "TaskVersion", "task_version", "", within!(task.version as Version)),
    field("task.task_queue_sid", "TaskQueueSid", "task_queue_sid", "", within!(task.task_queue_sid as Text)),
    field("task.task_queue_name", "TaskQueueName", "task_queue_name", "", within!(task.task_queue_name as Text)),
    field(
        "task.task_queue_entered_date",
        "TaskQueueEnteredDate",
        "task_queue_entered_date",
        "",
        within!(task.task_queue_entered_date as Time),
    ),
    field("task.workflow_sid", "WorkflowSid", "workflow_sid", "", within!(task.workflow_sid as Text)),
    field("task.workflow_name", "WorkflowName", "workflow_name", "", within!(task.workflow_name as Text)),
    field("reservation.sid", "ReservationSid", "reservation_sid", "", within!(reservation.sid as Text)),
    field(
        "reservation.version",
        "ReservationVersion",
        "reservation_version",
        "",
        within!(reservation.version as Version),
    ),
    field("worker.sid", "WorkerSid", "worker_sid", "", within!(worker.sid as Text)),
    field("worker.friendly_name", "WorkerName", "worker_name", "", within!(worker.friendly_name as Text)),
    field("worker.activity_sid", "WorkerActivitySid", "worker_activity_sid", "", within!(worker.activity_sid as Text)),
    field(
        "worker.activity_name",
        "WorkerActivityName",
        "worker_activity_name",
        "",
        within!(worker.activity_name as Text),
    ),
    field("worker.version", "WorkerVersion", "worker_version", "", within!(worker.version as Version)),
    field("activity.sid", "ActivitySid", "activity_sid", "", within!(activity.sid as Text)),
    field("activity.friendly_name", "ActivityName", "activity_name", "", within!(activity.friendly_name as Text)),
    field("activity.available", "ActivityAvailable", "activity_available", "", within!(activity.available as Flag)),
];

/// The type of a CloudEvent stands in its envelope; `eventtype` within is what is left where that says nothing.
const STREAM_TYPE: &str = "type";

impl Field {
    /// As the form spells it.
    pub fn spelled(&self, form: Form) -> &'static str {
        match form {
            Form::Callback => self.callback,
            Form::Stream if self.path == "type" => STREAM_TYPE,
            Form::Rest if self.is_of_resource() => self.resource,
            Form::Stream | Form::Rest => self.snake,
        }
    }

    /// Whether a REST resource has it beside its `event_data`.
    pub fn is_of_resource(&self) -> bool {
        !self.resource.is_empty()
    }

    /// Whether the message has the group that the field belongs to.
    pub fn is_there(&self, event: &v1::Event) -> bool {
        match self.path.split_once('.').map(|(group, _)| group) {
            Some("task") => event.task.is_some(),
            Some("reservation") => event.reservation.is_some(),
            Some("worker") => event.worker.is_some(),
            Some("activity") => event.activity.is_some(),
            _ => true,
        }
    }
}

/// The row of a name in a callback.
pub fn of_callback(name: &str) -> Option<usize> {
    TABLE.iter().position(|field| field.callback == name)
}

/// The row of a name in a payload or an `event_data`.
pub fn of_snake(name: &str) -> Option<usize> {
    TABLE.iter().position(|field| field.snake == name)
}

/// The row of a name in a REST resource, beside `event_data`.
pub fn of_resource(name: &str) -> Option<usize> {
    TABLE.iter().position(|field| field.is_of_resource() && field.resource == name)
}

/// The first row of a path, which is its place in the contract's order.
pub fn of_path(path: &str) -> Option<usize> {
    TABLE.iter().position(|field| field.path == path)
}
