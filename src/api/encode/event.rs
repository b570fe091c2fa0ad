//! An event as it was sent: what the decoder of the wire would read back as the very same.

use super::timestamp;
use crate::api::proto::v1;
use crate::event::{Activity, Event, Name, Reservation, Sid, Task, Worker};

/// The message of an event.
pub fn event(event: &Event) -> v1::Event {
    let Event { sid, kind, at, account, workspace, task, reservation, worker, activity } = event;
    v1::Event {
        sid: sid.to_string(),
        r#type: i32::from(kind.number()),
        timestamp: Some(timestamp(*at)),
        account_sid: account.to_string(),
        workspace_sid: workspace.to_string(),
        task: task.as_ref().map(of_task),
        reservation: reservation
            .as_ref()
            .map(|Reservation { sid, version }| v1::Reservation { sid: sid.to_string(), version: *version }),
        worker: worker.as_ref().map(of_worker),
        activity: activity.as_ref().map(|Activity { sid, name, available }| v1::Activity {
            sid: sid.to_string(),
            friendly_name: text(name),
            available: *available,
        }),
    }
}

fn of_task(task: &Task) -> v1::Task {
    let Task {
        sid,
        date_created,
        status,
        priority,
        channel_name,
        channel_sid,
        version,
        queue_sid,
        queue_name,
        queue_entered,
        workflow_sid,
        workflow_name,
    } = task;
    v1::Task {
        sid: sid.to_string(),
        date_created: date_created.map(timestamp),
        assignment_status: status.map_or(0, |status| status as i32),
        priority: *priority,
        task_channel_unique_name: text(channel_name),
        task_channel_sid: sid_text(channel_sid),
        version: *version,
        task_queue_sid: sid_text(queue_sid),
        task_queue_name: text(queue_name),
        task_queue_entered_date: queue_entered.map(timestamp),
        workflow_sid: sid_text(workflow_sid),
        workflow_name: text(workflow_name),
    }
}

fn of_worker(worker: &Worker) -> v1::Worker {
    let Worker { sid, name, activity_sid, activity_name, version } = worker;
    v1::Worker {
        sid: sid.to_string(),
        friendly_name: text(name),
        activity_sid: sid_text(activity_sid),
        activity_name: text(activity_name),
        version: *version,
    }
}

fn text(name: &Option<Name>) -> String {
    name.as_deref().unwrap_or_default().to_owned()
}

fn sid_text<const A: u8, const B: u8>(sid: &Option<Sid<A, B>>) -> String {
    sid.map(|sid| sid.to_string()).unwrap_or_default()
}
