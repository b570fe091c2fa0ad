//! What networks do to a lawful history on its way: events that come late, and events that come twice.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;

use super::draw::Draw;
use crate::api::proto::v1::Event;

/// How much goes wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disturbance {
    /// Share of events sent twice, 0 to 1.
    pub duplicates: f64,
    /// Share of events sent late, 0 to 1.
    pub late: f64,
    pub late_by_ms: u64,
}

/// An event, and when it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Milliseconds since the Unix epoch; never before the event's own time.
    pub due_ms: i64,
    pub event: Event,
}

/// The second copy of an event is sent within this time.
const REPEATED_WITHIN_MS: u64 = 60_000;

/// Deliveries in the order of their due time, out of events in the order of theirs.
#[derive(Debug)]
pub struct Disturbed<Events: Iterator<Item = Event>> {
    events: Peekable<Events>,
    disturbance: Disturbance,
    draw: Draw,
    /// Events under way, by due time.
    delayed: BTreeMap<i64, VecDeque<Event>>,
}

impl<Events: Iterator<Item = Event>> Disturbed<Events> {
    pub fn new(events: Events, seed: u64, disturbance: Disturbance) -> Self {
        Disturbed { events: events.peekable(), disturbance, draw: Draw::new(seed, 0, 1), delayed: BTreeMap::new() }
    }

    /// What is still under way, when nothing new is to come: in the order of its due time.
    pub fn drain(&mut self) -> impl Iterator<Item = Delivery> {
        std::mem::take(&mut self.delayed)
            .into_iter()
            .flat_map(|(due_ms, events)| events.into_iter().map(move |event| Delivery { due_ms, event }))
    }

    fn share(&mut self, share: f64) -> bool {
        share > 0.0 && (self.draw.below(1 << 32) as f64) < share * 4_294_967_296.0
    }

    fn delay(&mut self, at_ms: i64, longest_ms: u64, event: Event) {
        let delay_ms = i64::try_from(self.draw.below(longest_ms)).unwrap_or(i64::MAX);
        self.delayed.entry(at_ms.saturating_add(delay_ms)).or_default().push_back(event);
    }

    fn pop_delayed(&mut self) -> Option<Delivery> {
        let mut entry = self.delayed.first_entry()?;
        let due_ms = *entry.key();
        let event = entry.get_mut().pop_front();
        if entry.get().is_empty() {
            entry.remove();
        }
        event.map(|event| Delivery { due_ms, event })
    }
}

impl<Events: Iterator<Item = Event>> Iterator for Disturbed<Events> {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        loop {
            let next_ms = self.events.peek().map(timestamp_ms);
            let delayed_ms = self.delayed.first_key_value().map(|(&due_ms, _)| due_ms);
            if delayed_ms.is_some_and(|due_ms| next_ms.is_none_or(|next_ms| due_ms <= next_ms)) {
                return self.pop_delayed();
            }
            let event = self.events.next()?;
            let at_ms = timestamp_ms(&event);
            if self.share(self.disturbance.duplicates) {
                self.delay(at_ms, REPEATED_WITHIN_MS, event.clone());
            }
            if self.share(self.disturbance.late) {
                self.delay(at_ms, self.disturbance.late_by_ms, event);
            } else {
                return Some(Delivery { due_ms: at_ms, event });
            }
        }
    }
}

/// Milliseconds since the Unix epoch; 0 without a timestamp.
pub fn timestamp_ms(event: &Event) -> i64 {
    event.timestamp.map_or(0, |at| at.seconds.saturating_mul(1000) + i64::from(at.nanos / 1_000_000))
}
