//! Whatever is sent, reading it ends in a value.

use proptest::prelude::*;
use prost::Message;
use prost_types::Timestamp;

use super::{event, full};
use crate::api::decode::{batch, cumulative, series, watch_realtime, watch_statistics};
use crate::api::proto::v1::{self, RejectionReason};
use crate::event::EventKind;

/// A sid of some kind, an empty string, or anything.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "(EV|AC|WS|WT|TC|WQ|WW|WR|WK|WA)[0-9a-fA-F]{32}", 1 => "", 1 => ".{0,40}", 1 => "[A-Z]{2}\\PC{32}"]
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let edges =
        prop_oneof![Just(-62_135_596_801), Just(253_402_300_800), Just(i64::MIN), Just(i64::MAX), 0..2_000_000_000i64];
    let nanos = prop_oneof![4 => 0..1_000_000_000, 1 => any::<i32>()];
    proptest::option::weighted(0.9, (edges, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

fn task() -> impl Strategy<Value = v1::Task> {
    let texts = (text(), text(), text(), text(), text(), text(), text());
    (texts, time(), time(), -1..9i32, any::<i32>(), any::<i64>()).prop_map(
        |(texts, date_created, task_queue_entered_date, assignment_status, priority, version)| v1::Task {
            sid: texts.0,
            date_created,
            assignment_status,
            priority,
            task_channel_unique_name: texts.1,
            task_channel_sid: texts.2,
            version,
            task_queue_sid: texts.3,
            task_queue_name: texts.4,
            task_queue_entered_date,
            workflow_sid: texts.5,
            workflow_name: texts.6,
        },
    )
}

/// Full and well formed, with some parts replaced by random ones.
pub(super) fn message() -> impl Strategy<Value = v1::Event> {
    let kind = prop_oneof![9 => 1..50i32, 1 => any::<i32>()];
    let worker = (text(), text(), text(), text(), any::<i64>()).prop_map(
        |(sid, friendly_name, activity_sid, activity_name, version)| v1::Worker {
            sid,
            friendly_name,
            activity_sid,
            activity_name,
            version,
        },
    );
    let activity = (text(), text(), any::<Option<bool>>()).prop_map(|(sid, friendly_name, available)| v1::Activity {
        sid,
        friendly_name,
        available,
    });
    (
        kind,
        proptest::option::weighted(0.2, text()),
        proptest::option::weighted(0.2, time()),
        proptest::option::weighted(0.4, proptest::option::of(task())),
        proptest::option::weighted(0.4, proptest::option::of(worker)),
        proptest::option::weighted(0.4, proptest::option::of(activity)),
    )
        .prop_map(|(kind, sid, timestamp, task, worker, activity)| {
            let whole = full(kind);
            v1::Event {
                sid: sid.unwrap_or(whole.sid),
                timestamp: timestamp.unwrap_or(whole.timestamp),
                task: task.unwrap_or(whole.task),
                worker: worker.unwrap_or(whole.worker),
                activity: activity.unwrap_or(whole.activity),
                ..whole
            }
        })
}

proptest! {
    #[test]
    fn an_event_is_valid_or_refused_with_a_field(message in message()) {
        match event(&message) {
            Ok(event) => {
                prop_assert_eq!(i32::from(event.kind.number()), message.r#type);
                let carried = event.kind.carried();
                prop_assert_eq!(event.task.is_some(), carried.task);
                prop_assert_eq!(event.reservation.is_some(), carried.reservation);
                prop_assert!(event.worker.is_none() || carried.worker);
                prop_assert_eq!(event.activity.is_some(), carried.activity);
                if let Some(task) = event.task.filter(|_| !event.kind.deletes_task()) {
                    prop_assert!(task.date_created.is_some() && task.status.is_some() && task.channel_name.is_some());
                }
            }
            Err(refused) => {
                prop_assert!(!refused.field.is_empty() && refused.message.contains(refused.field) || refused.field == "type");
                if refused.reason == RejectionReason::UnknownType {
                    prop_assert_eq!(EventKind::from_number(message.r#type), None);
                }
            }
        }
    }

    #[test]
    fn random_bytes_and_mutated_messages_are_read_or_are_no_message(
        message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>(), noise in any::<Vec<u8>>(),
    ) {
        let mut bytes = v1::IngestEventsRequest { events: vec![message] }.encode_to_vec();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        for bytes in [&bytes[..], &bytes[..index], &noise[..]] {
            if let Ok(read) = batch(&bytes.to_vec().into(), usize::MAX) {
                let sent = v1::IngestEventsRequest::decode(bytes).map_or(0, |request| request.events.len());
                prop_assert_eq!(read.events.len() + read.refused.len(), sent);
            }
            if let Ok(request) = v1::GetCumulativeRequest::decode(bytes) {
                let _ = cumulative(request);
            }
            if let Ok(request) = v1::GetCumulativeSeriesRequest::decode(bytes) {
                let _ = series(request);
            }
            if let Ok(request) = v1::WatchStatisticsRequest::decode(bytes) {
                let _ = watch_statistics(request);
            }
            if let Ok(request) = v1::WatchRealtimeRequest::decode(bytes) {
                let _ = watch_realtime(request);
            }
        }
    }
}
