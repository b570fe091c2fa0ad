//! Reading off the wire agrees with the generated types, on every message and on what is none.

use proptest::prelude::*;
use prost::Message;

use super::owned::owned;
use super::random::message;
use crate::api::decode::wire;
use crate::api::proto::v1;

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
