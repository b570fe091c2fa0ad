//! What is read off the wire, in the generated types. `fuzz/` compiles this file too.

use super::v1;
use super::wire_types::Event;

/// The generated type's form. Nothing is left to a default, so that a new field of the contract does not compile.
pub fn owned(event: Event<'_>) -> v1::Event {
    v1::Event {
        sid: event.sid.into(),
        r#type: event.kind,
        timestamp: event.timestamp,
        account_sid: event.account_sid.into(),
        workspace_sid: event.workspace_sid.into(),
        task: event.task.map(|task| v1::Task {
            sid: task.sid.into(),
            date_created: task.date_created,
            assignment_status: task.assignment_status,
            priority: task.priority,
            task_channel_unique_name: task.task_channel_unique_name.into(),
            task_channel_sid: task.task_channel_sid.into(),
            version: task.version,
            task_queue_sid: task.task_queue_sid.into(),
            task_queue_name: task.task_queue_name.into(),
            task_queue_entered_date: task.task_queue_entered_date,
            workflow_sid: task.workflow_sid.into(),
            workflow_name: task.workflow_name.into(),
        }),
        reservation: event.reservation.map(|it| v1::Reservation { sid: it.sid.into(), version: it.version }),
        worker: event.worker.map(|worker| v1::Worker {
            sid: worker.sid.into(),
            friendly_name: worker.friendly_name.into(),
            activity_sid: worker.activity_sid.into(),
            activity_name: worker.activity_name.into(),
            version: worker.version,
        }),
        activity: event.activity.map(|activity| v1::Activity {
            sid: activity.sid.into(),
            friendly_name: activity.friendly_name.into(),
            available: activity.available,
        }),
    }
}
