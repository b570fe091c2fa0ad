//! What it costs to take events in.

use std::sync::Arc;

use bytes::Bytes;
use tasktally::bench::bare;

use super::figures::{ROUNDS, Table, median};
use super::load::{Cost, aftermath, all_accepted, measure};
use super::{Events, Pair};

const INGEST: &str = "/tasktally.v1.IngestService/IngestEvents";
const STREAM: &str = "/tasktally.v1.IngestService/StreamEvents";

/// Events encoded at once by the driver.
const MOST_PREPARED: usize = 250_000;
/// Enough to keep the service busy, and no more than its queue takes.
const LARGE_IN_FLIGHT: usize = 8;
const SMALL_IN_FLIGHT: usize = 256;
/// As many messages on their way as single calls, at 16 a stream.
const STREAMS: usize = 16;
/// The figure that must be met: durable events a second of server CPU, in batches of 1,000.
const SANE_EVENTS_A_SECOND: f64 = 300_000.0;

/// Rounds against the bare service, in turns.
#[derive(Default)]
struct Costs {
    ours: Vec<Cost>,
    bare: Vec<Cost>,
}

impl Costs {
    async fn round(&mut self, pair: &Pair, messages: Vec<Bytes>, in_flight: usize) {
        let messages: Arc<[Bytes]> = messages.into();
        let calls = pair.to_ours.call_all(INGEST, &messages, in_flight, all_accepted);
        self.ours.push(measure(&pair.ours, calls).await);
        let calls = pair.to_bare.call_all(bare::INGEST, &messages, in_flight, all_accepted);
        self.bare.push(measure(&pair.bare, calls).await);
    }
}

fn cpu_us(costs: &[Cost], each: usize) -> f64 {
    median(costs.iter().map(|cost| cost.cpu_us / each as f64))
}

fn a_second(costs: &[Cost], each: usize) -> f64 {
    median(costs.iter().map(|cost| each as f64 / cost.seconds))
}

/// The main part of the events, from an empty service on.
pub async fn batches_of_1000(table: &Table, pair: &Pair, events: &mut Events, count: usize) {
    let rounds = ROUNDS.max(count.div_ceil(MOST_PREPARED));
    let batches = (count / rounds / 1000).max(1);
    let mut costs = Costs::default();
    for _ in 0..rounds {
        costs.round(pair, events.batches(batches, 1000), LARGE_IN_FLIGHT).await;
    }
    let each = batches * 1000;
    let ours_us = cpu_us(&costs.ours, each);
    table.cpu("IngestEvents, 1,000 a call: CPU an event", ours_us, cpu_us(&costs.bare, each));
    table.rate("IngestEvents, 1,000 a call: events", a_second(&costs.ours, each), a_second(&costs.bare, each));
    let fifth = costs.ours.len() / 5;
    let last = cpu_us(&costs.ours[costs.ours.len() - fifth..], each);
    table.cpu("  its last fifth against its first (not bare)", last, cpu_us(&costs.ours[..fifth], each));
    // Old rows are compressed and checkpoints written when there is time: the small calls are not to pay for it, and the
    // verdict, unlike a median, leaves none of it out.
    let left_us = aftermath(&pair.ours).await.cpu_us;
    let all_us = costs.ours.iter().map(|cost| cost.cpu_us).sum::<f64>() + left_us;
    let sent = (each * rounds) as f64;
    table.alone("  all in, with what is left to do afterwards", &format!("{:.2} µs", all_us / sent));
    let a_second = sent * 1e6 / all_us;
    let verdict = if a_second >= SANE_EVENTS_A_SECOND { "met" } else { "not met" };
    table.alone("  events a second of CPU, at least 300,000", &format!("{a_second:.0} {verdict}"));
}

/// Calls with few events: a round's calls and the events of each.
const CALLS_OF_100: (usize, usize) = (1_000, 100);
const CALLS_OF_10: (usize, usize) = (5_000, 10);
const SINGLE_CALLS: (usize, usize) = (100_000, 1);

pub async fn small_calls(table: &Table, pair: &Pair, events: &mut Events, count: usize) {
    for (what, calls, size) in
        [("100 a call", share(CALLS_OF_100, count), 100), ("1 a call", share(SINGLE_CALLS, count), 1)]
    {
        let mut costs = Costs::default();
        for _ in 0..ROUNDS {
            let in_flight = if size == 1 { SMALL_IN_FLIGHT } else { 4 * LARGE_IN_FLIGHT };
            costs.round(pair, events.batches(calls, size), in_flight).await;
        }
        let (ours, bare, each) = (&costs.ours, &costs.bare, calls * size);
        table.cpu(&format!("IngestEvents, {what}: CPU an event"), cpu_us(ours, each), cpu_us(bare, each));
        table.rate(&format!("IngestEvents, {what}: events"), a_second(ours, each), a_second(bare, each));
    }
    streams(table, pair, events, share(CALLS_OF_10, count)).await;
}

/// Ten events a message over streams, against ten a call.
async fn streams(table: &Table, pair: &Pair, events: &mut Events, calls: usize) {
    let (mut calling, mut streaming) = (Costs::default(), Vec::new());
    for _ in 0..ROUNDS {
        calling.round(pair, events.batches(calls, 10), SMALL_IN_FLIGHT).await;
        let messages = events.batches(calls, 10);
        let stream = pair.to_ours.stream_all(STREAM, &messages, STREAMS, all_accepted);
        streaming.push(measure(&pair.ours, stream).await);
    }
    let each = calls * 10;
    let (called, streamed) = (cpu_us(&calling.ours, each), cpu_us(&streaming, each));
    table.cpu("IngestEvents, 10 a call: CPU an event", called, cpu_us(&calling.bare, each));
    table.cpu("StreamEvents, 10 a message, against 10 a call", streamed, called);
}

/// A small run makes fewer calls.
fn share((calls, _): (usize, usize), count: usize) -> usize {
    if count < 1_000_000 { calls / 5 } else { calls }
}

/// The events that all of it comes to.
pub fn total(count: usize) -> usize {
    let rounds = ROUNDS.max(count.div_ceil(MOST_PREPARED));
    let small = |calls: (usize, usize)| share(calls, count) * calls.1 * ROUNDS;
    rounds * (count / rounds / 1000).max(1) * 1000 + small(CALLS_OF_100) + small(SINGLE_CALLS) + 2 * small(CALLS_OF_10)
}
