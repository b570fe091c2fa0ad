//! What becomes of an event that was read: the vocabulary's, or the first of the documented reasons for refusing it.

use super::field::{TABLE, of_path};
use super::{Fault, Form, Reading, Unreadable};
use crate::api::decode::{self, Refused, wire};
use crate::api::proto::v1::{self, RejectionReason};
use crate::event::Event;

/// Reads an event by the rules of gRPC ingest; what it says of a field is said with the field as the form spells it.
///
/// # Errors
/// The first reason, in the contract's order: what is missing, then what is malformed, each by the order of the
/// contract's fields, then an unknown type. An event of something else than the task router has an unknown type before
/// all, since nothing else can be asked of it.
pub fn judge(reading: Reading) -> Result<Event, Refused> {
    let Reading { form, event, faults, is_foreign } = reading;
    let of_type = || faults.iter().find(|fault| fault.field == "type");
    if is_foreign && let Some(fault) = of_type() {
        return Err(refused(RejectionReason::UnknownType, fault));
    }
    let decoded = decode::event(&view(&event));
    let last = match &decoded {
        Err(refused) if refused.reason == RejectionReason::MissingField => None,
        Err(refused) if refused.reason == RejectionReason::MalformedField => of_path(refused.field),
        Ok(_) | Err(_) => Some(usize::MAX),
    };
    let is_earlier = |fault: &&Fault| fault.field != "type" && of_path(fault.field) <= last;
    if last.is_some()
        && let Some(fault) = faults.iter().find(is_earlier)
    {
        return Err(refused(RejectionReason::MalformedField, fault));
    }
    decoded.map_err(|error| match (error.reason, of_type()) {
        (RejectionReason::UnknownType, Some(fault)) => refused(RejectionReason::UnknownType, fault),
        _ => spelled(form, error),
    })
}

impl From<Unreadable> for Refused {
    /// One event among others that cannot be read at all.
    fn from(unreadable: Unreadable) -> Refused {
        Refused { reason: RejectionReason::MalformedField, field: "", message: unreadable.to_string() }
    }
}

fn refused(reason: RejectionReason, fault: &Fault) -> Refused {
    Refused { reason, field: fault.field, message: fault.message.clone() }
}

fn spelled(form: Form, error: Refused) -> Refused {
    let name = of_path(error.field).map_or(error.field, |row| TABLE[row].spelled(form));
    let message = match error.message.strip_prefix(error.field) {
        Some(rest) => format!("{name}{rest}"),
        None => error.message,
    };
    Refused { message, ..error }
}

/// The message as the decoder takes it off the wire.
fn view(event: &v1::Event) -> wire::Event<'_> {
    let v1::Event { sid, r#type, timestamp, account_sid, workspace_sid, task, reservation, worker, activity } = event;
    wire::Event {
        sid: sid.as_str().into(),
        kind: *r#type,
        timestamp: *timestamp,
        account_sid: account_sid.as_str().into(),
        workspace_sid: workspace_sid.as_str().into(),
        task: task.as_ref().map(view_task),
        reservation: reservation
            .as_ref()
            .map(|v1::Reservation { sid, version }| wire::Reservation { sid: sid.as_str().into(), version: *version }),
        worker: worker.as_ref().map(|v1::Worker { sid, friendly_name, activity_sid, activity_name, version }| {
            wire::Worker {
                sid: sid.as_str().into(),
                friendly_name,
                activity_sid: activity_sid.as_str().into(),
                activity_name,
                version: *version,
            }
        }),
        activity: activity.as_ref().map(|v1::Activity { sid, friendly_name, available }| wire::Activity {
            sid: sid.as_str().into(),
            friendly_name,
            available: *available,
        }),
    }
}

fn view_task(task: &v1::Task) -> wire::Task<'_> {
    let v1::Task {
        sid,
        date_created,
        assignment_status,
        priority,
        task_channel_unique_name,
        task_channel_sid,
        version,
        task_queue_sid,
        task_queue_name,
        task_queue_entered_date,
        workflow_sid,
        workflow_name,
    } = task;
    wire::Task {
        sid: sid.as_str().into(),
        date_created: *date_created,
        assignment_status: *assignment_status,
        priority: *priority,
        task_channel_unique_name,
        task_channel_sid: task_channel_sid.as_str().into(),
        version: *version,
        task_queue_sid: task_queue_sid.as_str().into(),
        task_queue_name,
        task_queue_entered_date: *task_queue_entered_date,
        workflow_sid: workflow_sid.as_str().into(),
        workflow_name,
    }
}
