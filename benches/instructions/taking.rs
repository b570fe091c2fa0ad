//! Events in: off the wire, through the pipeline, into the engine.

use tasktally::api::decode;
use tasktally::engine::ChannelFilter;
use tasktally::event::Millis;
use tasktally::pipeline::Caller;

use crate::measured;
use crate::stock::Stock;
use crate::supply::{BATCH, NOW};

fn events(batches: usize) -> u64 {
    (batches * BATCH) as u64
}

/// The bytes of requests to events that need no more checking.
pub fn decode(stock: &Stock, count: usize) -> u64 {
    let mut read = 0;
    for request in stock.requests(count) {
        read += measured(|| decode::batch(&request, BATCH).expect("a request")).events.len() as u64;
    }
    assert_eq!(read, events(count), "events read, against those sent");
    read
}

/// Is it known, and if not, take it.
pub fn engine(stock: &Stock, count: usize) -> u64 {
    let mut state = stock.state();
    let before = state.retained_events();
    for batch in stock.next(count) {
        measured(|| {
            for event in &batch {
                if !state.has(event) {
                    state.apply(event, Millis(NOW));
                }
            }
        });
    }
    assert_eq!(state.retained_events() - before, events(count), "events taken, against those sent");
    events(count)
}

/// From the queue to the answer, in calls of a thousand events: admission, journal rows, the engine, and no disk.
pub fn ingest(stock: &Stock, count: usize) -> u64 {
    let mut line = stock.line();
    let accepted: u64 = stock.next(count).into_iter().map(|batch| measured(|| line.take(batch))).sum();
    assert_eq!(accepted, events(count), "events accepted, against those sent");
    accepted
}

/// In calls of one event, with a view that somebody looks at and that each event may change.
pub fn ingest_one(stock: &Stock, count: usize) -> u64 {
    let mut line = stock.line();
    let events: Vec<_> = stock.next(count.div_ceil(BATCH)).into_iter().flatten().take(count).collect();
    let (pipeline, caller, workspace) = (line.pipeline.clone(), Caller::everything(), events[0].workspace);
    let topic = line.ask(pipeline.topic(&caller, workspace, &ChannelFilter::All)).expect("the workspace is known");
    let looked_at = topic.subscribe();
    let accepted: u64 = events.into_iter().map(|event| measured(|| line.take(vec![event]))).sum();
    assert_eq!(accepted, count as u64, "events accepted, against those sent");
    drop(looked_at);
    accepted
}

/// Calls of a thousand events of which every one is known.
pub fn repeats(stock: &Stock, count: usize) -> u64 {
    let mut line = stock.line();
    let batches = stock.next(count);
    let first: u64 = batches.iter().cloned().map(|batch| line.take(batch)).sum();
    assert_eq!(first, events(count), "events accepted, against those sent");
    let again: u64 = batches.into_iter().map(|batch| measured(|| line.take(batch))).sum();
    assert_eq!(again, 0, "events accepted again");
    events(count)
}
