//! Reading off the wire agrees with the generated types, on every message and on what is none.

use proptest::prelude::*;
use prost::Message;

use super::random::message;
use crate::api::decode::wire;
use crate::api::proto::v1;

/// The generated type's form. Nothing is left to a default, so that a new field of the contract does not compile.
fn owned(event: wire::Event<'_>) -> v1::Event {
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

fn read(bytes: &[u8]) -> Option<v1::IngestEventsRequest> {
    let events = wire::events(bytes).map(|encoded| encoded.and_then(wire::event).map(owned));
    Some(v1::IngestEventsRequest { events: events.collect::<Result<_, _>>().ok()? })
}

/// A field of any number and wire type, known to the contract or not, with bytes that may suit it.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let key = (1..14u32, 0..8u32).prop_map(|(tag, wire_type)| vec![(tag << 3 | wire_type) as u8]);
    let payload = prop_oneof![
        any::<u64>().prop_map(varint),
        (0..3u64).prop_map(varint),
        "[a-zA-Z0-9é]{0,5}".prop_map(|text| prefixed(text.as_bytes())),
        proptest::collection::vec(any::<u8>(), 0..12),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| prefixed(&bytes)),
    ];
    (key, payload).prop_map(|(key, payload)| [key, payload].concat())
}

fn fields() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(field(), 0..4).prop_map(|fields| fields.concat())
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_message_reads_as_the_generated_types_read_it(one in message(), other in message()) {
        let request = v1::IngestEventsRequest { events: vec![one.clone(), other.clone()] };
        prop_assert_eq!(read(&request.encode_to_vec()), Some(request));
        // Two encodings one after the other are one message, its fields merged.
        let mut merged = one.encode_to_vec();
        merged.extend(other.encode_to_vec());
        let expected = v1::Event::decode(&merged[..]).unwrap();
        prop_assert_eq!(owned(wire::event(&merged).unwrap()), expected);
    }

    #[test]
    fn a_mutated_message_reads_as_the_generated_types_read_it(
        message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = v1::IngestEventsRequest { events: vec![message] }.encode_to_vec();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        for bytes in [&bytes[..], &bytes[..index], &bytes[index..]] {
            prop_assert_eq!(read(bytes), v1::IngestEventsRequest::decode(bytes).ok());
        }
    }

    #[test]
    fn fields_of_any_kind_read_as_the_generated_types_read_them(
        group in 1..12u32, inner in fields(), before in fields(), after in fields(), noise in any::<Vec<u8>>(),
    ) {
        let nested = [vec![(group << 3 | 2) as u8], prefixed(&inner)].concat();
        for event in [&[before, nested, after].concat(), &inner, &noise] {
            let bytes = [vec![0x0a], prefixed(event)].concat();
            prop_assert_eq!(read(&bytes), v1::IngestEventsRequest::decode(&bytes[..]).ok());
            prop_assert_eq!(read(event), v1::IngestEventsRequest::decode(&event[..]).ok());
        }
    }
}

#[test]
fn numbers_and_groups_at_their_edges_read_as_the_generated_types_read_them() {
    let group = |depth: usize| [vec![0x7b; depth], vec![0x7c; depth]].concat();
    let longest = |last: u8| [vec![0x10], vec![0xff; 9], vec![last]].concat();
    for event in [longest(1), longest(2), longest(0xff), group(1), group(20), vec![0x7b], vec![0x7c], vec![0x7b, 0x74]]
    {
        let expected = v1::Event::decode(&event[..]).ok();
        assert_eq!(wire::event(&event).ok().map(owned), expected, "{event:x?}");
    }
}
