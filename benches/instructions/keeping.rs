//! What is on disk: rows, the journal, and checkpoints. Instructions of the kernel are none of it.

use std::hint::black_box;
use std::path::Path;

use tasktally::engine::Workspace;
use tasktally::event::{Event, Millis};
use tasktally::journal::{Journal, Row};
use tasktally::pipeline::{recover, row};

use crate::measured;
use crate::stock::Stock;
use crate::supply::{BATCH, NOW};
use crate::work::settings;

fn rows(batches: &[Vec<Event>]) -> Vec<Vec<u8>> {
    batches.iter().map(|batch| row::encode(batch, Millis(NOW))).collect()
}

pub fn row_encode(stock: &Stock, count: usize) -> u64 {
    for batch in stock.next(count) {
        measured(|| row::encode(&batch, Millis(NOW)));
    }
    (count * BATCH) as u64
}

pub fn row_decode(stock: &Stock, count: usize) -> u64 {
    let mut read = 0;
    for row in rows(&stock.next(count)) {
        measured(|| {
            row::decode(&row, |entry, _| {
                black_box(entry);
                read += 1;
            })
        })
        .expect("a row that was just written");
    }
    read
}

fn journal(dir: &Path) -> Journal {
    Journal::open(dir, "a bench").expect("a journal").0
}

/// As the writer does it: a group of one row, then what is to be done once the answers are out.
fn put(journal: &mut Journal, body: &[u8], events: usize) {
    let row = Row { events: events as u32, newest_ms: NOW, body, ends: None };
    journal.append(&[row]).expect("append");
    journal.tidy().expect("tidy");
}

/// Rows of a thousand events, which are compressed.
pub fn append(stock: &Stock, count: usize) -> u64 {
    let mut journal = journal(&stock.dir.join("append"));
    for row in rows(&stock.next(count)) {
        measured(|| put(&mut journal, &row, BATCH));
    }
    (count * BATCH) as u64
}

/// Rows of one event, which are not.
pub fn append_one(stock: &Stock, count: usize) -> u64 {
    let mut journal = journal(&stock.dir.join("append-one"));
    let events = stock.next(count.div_ceil(BATCH)).into_iter().flatten().take(count);
    for event in events {
        let row = row::encode(&[event], Millis(NOW));
        measured(|| put(&mut journal, &row, 1));
    }
    count as u64
}

/// The state from the log alone.
pub fn replay(stock: &Stock, count: usize) -> u64 {
    let dir = stock.dir.join("replay");
    let mut open = journal(&dir);
    for row in rows(&stock.next(count)) {
        put(&mut open, &row, BATCH);
    }
    drop(open);
    let mut open = journal(&dir);
    let recovered = measured(|| recover(&mut open, &dir, &settings(1)).expect("rows that were just written"));
    assert_eq!(recovered.replayed, (count * BATCH) as u64, "events replayed, against those written");
    recovered.replayed
}

pub fn checkpoint_encode(stock: &Stock, count: usize) -> u64 {
    let state = stock.state();
    for _ in 0..count {
        let mut out = Vec::new();
        measured(|| state.encode(&mut out));
    }
    count as u64 * state.retained_events()
}

pub fn checkpoint_decode(stock: &Stock, count: usize) -> u64 {
    let encoded = stock.encoded_state();
    let mut events = 0;
    for _ in 0..count {
        events += measured(|| Workspace::decode(&encoded)).expect("a state that was just written").retained_events();
    }
    events
}
