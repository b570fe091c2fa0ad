//! What a client sends: the decoder of events against the generated types, and the whole way of a batch.

use std::collections::BTreeMap;

use prost::Message;
use tasktally::api::decode::{self, Unread, wire, wire as wire_types};
use tasktally::api::proto::v1;
use tasktally::engine::Workspace;
use tasktally::event::{DAY_MS, Event, Millis, WorkspaceSid};
use tasktally::limits;
use tasktally::pipeline::{MOST_AHEAD_MS, row};

use super::data::NOW;
use super::engine::{answers, ask};

#[path = "../../src/api/decode/tests/owned.rs"]
mod owned;

use owned::owned;

const RETENTION_MS: i64 = 30 * DAY_MS;

/// Our decoder and the generated one accept the same bytes, and read the same out of them.
pub fn wire(input: &[u8]) {
    let ours: Result<Vec<v1::Event>, _> =
        wire::events(input).map(|encoded| encoded.and_then(wire::event).map(owned)).collect();
    match (ours, v1::IngestEventsRequest::decode(input)) {
        (Ok(events), Ok(request)) => assert_eq!(events, request.events),
        (Err(_), Err(_)) => {}
        (Ok(events), Err(error)) => panic!("read {events:?} where the generated types refuse: {error}"),
        (Err(error), Ok(request)) => panic!("refused ({error}) where the generated types read {request:?}"),
    }
    // An event on its own, so that a mutation need not find the length before it.
    match (wire::event(input).map(owned), v1::Event::decode(input)) {
        (Ok(event), Ok(expected)) => assert_eq!(event, expected),
        (Err(_), Err(_)) => {}
        (ours, generated) => panic!("read {ours:?} where the generated types say {generated:?}"),
    }
}

/// A request on its whole way: decoded, judged, written to a row and read back, applied in two orders, asked about.
pub fn batch(input: &[u8]) {
    let request = input.to_vec().into();
    let batch = match decode::batch(&request, limits::EVENTS_PER_CALL) {
        Ok(batch) => batch,
        Err(Unread::TooMany { sent }) => return assert!(sent > limits::EVENTS_PER_CALL),
        Err(Unread::NotTheMessage(_)) => return,
    };
    for (index, refused) in &batch.refused {
        assert!(!refused.field.is_empty() && !refused.message.is_empty());
        assert!(input.len() >= batch.sids.get(*index).len());
    }
    let events: Vec<Event> = batch.events.into_iter().map(|(_, event)| event).collect();
    let row = row::encode(&events, NOW);
    let mut back = Vec::new();
    row::decode(&row, |entry, admitted_at| {
        assert_eq!(admitted_at, NOW);
        back.push(entry);
    })
    .expect("a row that was just written");
    let sent: Vec<row::Entry> = events.iter().cloned().map(row::Entry::Event).collect();
    assert_eq!(back, sent, "what is logged is what was sent");
    apply(&events);
}

/// The law, for one group: what is admitted gives the same answers in any order, and after a restart.
fn apply(events: &[Event]) {
    let mut forwards: BTreeMap<WorkspaceSid, (Workspace, Vec<&Event>)> = BTreeMap::new();
    for event in events {
        let oldest = NOW.minus(RETENTION_MS);
        if event.at < oldest || event.at > NOW.plus(MOST_AHEAD_MS) {
            continue;
        }
        let (workspace, taken) = forwards
            .entry(event.workspace)
            .or_insert_with(|| (Workspace::new(event.account, RETENTION_MS, 7), Vec::new()));
        if workspace.account() == event.account && !workspace.has(event) {
            workspace.apply(event, NOW);
            assert!(workspace.has(event), "what was accepted is known");
            taken.push(event);
        }
    }
    for (mut workspace, taken) in forwards.into_values() {
        assert_eq!(workspace.retained_events(), taken.len() as u64);
        let mut backwards = Workspace::new(workspace.account(), RETENTION_MS, 7);
        taken.iter().rev().for_each(|event| backwards.apply(event, NOW));
        let mut image = Vec::new();
        workspace.encode(&mut image);
        let mut restarted = Workspace::decode(&image).expect("an image that was just written");
        for now in [NOW, NOW.plus(DAY_MS), Millis(NOW.0 + 2 * RETENTION_MS)] {
            let told = answers(&mut workspace, now);
            assert_eq!(told, answers(&mut backwards, now), "in the other order");
            assert_eq!(told, answers(&mut restarted, now), "after a restart");
        }
        ask(&mut workspace, Millis::MAX);
    }
}
