//! Each rule of reading, at its edges.

mod event;
mod owned;
mod random;
mod request;
mod wire;

use prost::Message;
use prost_types::Timestamp;

use super::{Batch, Refused, Unread, wire as wire_types};
use crate::api::proto::v1;
use crate::event::Event;

/// Reads an event as it comes off the wire.
pub(super) fn event(message: &v1::Event) -> Result<Event, Refused> {
    super::event(&super::wire::event(&message.encode_to_vec()).unwrap())
}

pub(super) fn batch(request: &v1::IngestEventsRequest) -> Result<Batch, Unread> {
    super::batch(&request.encode_to_vec().into(), request.events.len())
}

pub(super) fn sid(letters: &str, digit: char) -> String {
    format!("{letters}{}", digit.to_string().repeat(32))
}

pub(super) fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

/// An event of this type with every field of every group, all well formed.
pub(super) fn full(number: i32) -> v1::Event {
    v1::Event {
        sid: sid("EV", '1'),
        r#type: number,
        timestamp: Some(Timestamp { seconds: 1_800_000_000, nanos: 123_999_999 }),
        account_sid: sid("AC", '2'),
        workspace_sid: sid("WS", '3'),
        task: Some(v1::Task {
            sid: sid("WT", '4'),
            date_created: at(1_799_999_000),
            assignment_status: 2,
            priority: -7,
            task_channel_unique_name: "voice".into(),
            task_channel_sid: sid("TC", '5'),
            version: 8,
            task_queue_sid: sid("WQ", '6'),
            task_queue_name: "Sales".into(),
            task_queue_entered_date: at(1_799_999_500),
            workflow_sid: sid("WW", '7'),
            workflow_name: "Default".into(),
        }),
        reservation: Some(v1::Reservation { sid: sid("WR", '8'), version: 3 }),
        worker: Some(v1::Worker {
            sid: sid("WK", '9'),
            friendly_name: "Ann".into(),
            activity_sid: sid("WA", 'a'),
            activity_name: "Busy".into(),
            version: 5,
        }),
        activity: Some(v1::Activity { sid: sid("WA", 'b'), friendly_name: "Idle".into(), available: Some(true) }),
    }
}
