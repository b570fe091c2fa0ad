//! What it costs to take events that do not come in order, and how cost grows with what is there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::event::{Event, HOUR_MS};

use super::cpu::{apply, thread_cpu};
use super::row;
use super::supply::{BATCH, Recording, batches};
use super::work::{Line, workspace_of};

const LATE_BY_MS: i64 = 4 * HOUR_MS;
/// Of a hundred events.
const SENT_TWICE: i64 = 20;

/// An event under way, ordered by when it arrives.
struct Arrival(i64, u64, Event);

impl PartialEq for Arrival {
    fn eq(&self, other: &Arrival) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Arrival {}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Arrival) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Arrival {
    fn cmp(&self, other: &Arrival) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Each event up to four hours late, every fifth once more, up to four hours late likewise: neighbours of a batch are
/// anywhere within four hours.
fn disturbed(recording: &Recording) -> impl Iterator<Item = Event> + use<> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut source = recording.forward().flatten();
    let mut under_way: BinaryHeap<Reverse<Arrival>> = BinaryHeap::new();
    let mut number = 0;
    let mut next = source.next();
    std::iter::from_fn(move || {
        while let Some(event) = next.take_if(|event| under_way.peek().is_none_or(|top| top.0.0 >= event.at.0)) {
            let copies = 1 + i64::from(rng.random_range(0..100) < SENT_TWICE);
            for _ in 0..copies {
                number += 1;
                let arrives = event.at.0 + rng.random_range(0..LATE_BY_MS);
                under_way.push(Reverse(Arrival(arrives, number, event.clone())));
            }
            next = source.next();
        }
        under_way.pop().map(|Reverse(Arrival(_, _, event))| event)
    })
}

type Batches = Box<dyn Iterator<Item = Vec<Event>>>;
type Order = fn(&Recording) -> Batches;

pub fn orders(recording: &Recording) {
    let events = recording.events;
    let orders: [(&str, Order); 3] = [
        ("in order", |recording| Box::new(recording.forward())),
        ("up to 4 h late, shuffled, 20 % sent twice", |recording| Box::new(batches(disturbed(recording)))),
        ("30 days in reverse order", |recording| Box::new(recording.backward())),
    ];
    let (mut of_engine, mut of_line) = (None, None);
    for (what, order) in orders {
        let ns = engine(order(recording), events);
        let ratio = ns / *of_engine.get_or_insert(ns);
        row(&format!("{events} events, {what}: engine, CPU an event"), &format!("{ns:.0} ns"));
        row("  against those in order", &format!("{ratio:.2} ×"));
        let ns = line(order(recording), events);
        let ratio = ns / *of_line.get_or_insert(ns);
        row(&format!("{events} events, {what}: all but transport, CPU an event"), &format!("{ns:.0} ns"));
        row("  against those in order", &format!("{ratio:.2} ×"));
    }
}

/// Nanoseconds of CPU an event accepted, however often it came.
fn engine(batches: impl Iterator<Item = Vec<Event>>, events: usize) -> f64 {
    let mut state = None;
    let mut cpu = Duration::ZERO;
    for batch in batches {
        cpu += apply(state.get_or_insert_with(|| workspace_of(&batch[0])), &batch);
    }
    let retained = state.map_or(0, |state| state.retained_events());
    assert_eq!(retained, events as u64, "events retained, against those there are");
    cpu.as_nanos() as f64 / events as f64
}

/// Likewise of admission, journal and all.
fn line(batches: impl Iterator<Item = Vec<Event>>, events: usize) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut line = Line::on_disk(dir.path());
    let (mut cpu, mut accepted) = (Duration::ZERO, 0);
    for batch in batches {
        let begun = thread_cpu();
        accepted += line.take(batch);
        cpu += thread_cpu() - begun;
    }
    assert_eq!(accepted, events as u64, "events accepted, against those there are");
    cpu.as_nanos() as f64 / events as f64
}

/// The events are taken three times, and of each batch the fastest counts: what is slow every time is the engine's own
/// doing, such as a table that grows, and not a page that the system had to find.
pub fn worst_batch(recording: &Recording) {
    let mut best = vec![Duration::MAX; recording.events.div_ceil(BATCH)];
    for _ in 0..3 {
        let mut state = None;
        for (batch, best) in recording.forward().zip(&mut best) {
            *best = (*best).min(apply(state.get_or_insert_with(|| workspace_of(&batch[0])), &batch));
        }
    }
    let mut worst: Vec<(Duration, usize)> = best.into_iter().zip(0..).collect();
    worst.sort_unstable();
    let ms = |at: usize| worst.get(at).map_or(f64::NAN, |(cpu, _)| cpu.as_secs_f64() * 1e3);
    row(
        &format!("{} events, batches of {BATCH}: engine, median", recording.events),
        &format!("{:.2} ms", ms(worst.len() / 2)),
    );
    for rank in 1..=3.min(worst.len()) {
        let at = worst.len() - rank;
        let when = worst[at].1 * BATCH;
        row(&format!("  number {rank} of the worst, after {when} events"), &format!("{:.2} ms", ms(at)));
    }
}

/// CPU an event of windows within one growth, each of a tenth of what is retained at its end: of the engine alone, and of
/// all that a batch goes through but transport.
pub fn scaling(recording: &Recording) {
    let mut state = None;
    growth(recording, "engine", |batch| apply(state.get_or_insert_with(|| workspace_of(&batch[0])), &batch));
    drop(state);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut line = Line::on_disk(dir.path());
    growth(recording, "all but transport", |batch| {
        let begun = thread_cpu();
        let sent = batch.len() as u64;
        assert_eq!(line.take(batch), sent, "events accepted, against those sent");
        thread_cpu() - begun
    });
}

fn growth(recording: &Recording, what: &str, mut take: impl FnMut(Vec<Event>) -> Duration) {
    let sizes = [300, 30, 3, 1].map(|part| recording.events / part);
    let mut windows = sizes.map(|size| (size - size / 10..size, Duration::ZERO, 0));
    let mut seen = 0;
    for batch in recording.forward() {
        seen += batch.len();
        let taken = batch.len();
        let cpu = take(batch);
        for (window, sum, events) in &mut windows {
            if window.contains(&(seen - 1)) {
                *sum += cpu;
                *events += taken;
            }
        }
    }
    let mut first = None;
    for (window, sum, events) in windows {
        let ns = sum.as_nanos() as f64 / events.max(1) as f64;
        let ratio = ns / *first.get_or_insert(ns);
        row(&format!("{} events retained: {what}, CPU an event", window.end), &format!("{ns:.0} ns"));
        row("  against the first row", &format!("{ratio:.2} ×"));
    }
}

/// What a checkpoint holds up: the copy that it is written from, for which everything waits, and the batches after it,
/// which copy of what they change the parts that the copy shares. The worst of ten checkpoints, near the end of a growth.
pub fn checkpoint_stall(recording: &Recording) {
    const CHECKPOINTS: usize = 10;
    const BATCHES_EACH: usize = 20;
    let (mut state, mut copy) = (None, None);
    let (mut copying, mut after) = (Duration::ZERO, Duration::ZERO);
    let last = recording.events.div_ceil(BATCH).saturating_sub(CHECKPOINTS * BATCHES_EACH);
    for (number, batch) in recording.forward().enumerate() {
        if number >= last && (number - last).is_multiple_of(BATCHES_EACH) {
            // The last one is let go by who wrote it, elsewhere.
            drop(copy.take());
            let begun = thread_cpu();
            copy = state.clone();
            copying = copying.max(thread_cpu() - begun);
        }
        let cpu = apply(state.get_or_insert_with(|| workspace_of(&batch[0])), &batch);
        if number >= last {
            after = after.max(cpu);
        }
    }
    let ms = |cpu: Duration| format!("{:.2} ms", cpu.as_secs_f64() * 1e3);
    row(&format!("{} events: a checkpoint holds everything up for", recording.events), &ms(copying));
    row(&format!("  worst batch of {BATCH} while it is written"), &ms(after));
}
