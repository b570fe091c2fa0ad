//! The history and the duplicate index at 10 million events over 30 days: `cargo bench --bench history [events]`.
//!
//! Prints every figure beside its ratio to a calibration loop of the same run, so that runs on different machines can
//! be compared. Nothing here can fail because of time.

use std::hint::black_box;
use std::time::Instant;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::engine::{Duplicates, Figure, Fingerprint, History, Sample, Totals};
use tasktally::event::{EventSid, Second, SecondRange};

const START: i64 = 1_767_225_600;
const DAYS_30: i64 = 30 * 86_400;

/// One event: half are counted by a figure, 15 % with a wait.
#[derive(Clone, Copy)]
struct Event {
    second: Second,
    sample: Option<Sample>,
}

/// Waits are lognormal around a minute, up to hours.
fn event(second: i64, rng: &mut ChaCha8Rng) -> Event {
    let sample = match rng.random_range(0..100) {
        0..12 => Some(Sample { figure: Figure::ReservationsAccepted, wait_ms: wait(rng) }),
        12..15 => Some(Sample { figure: Figure::TasksCanceled, wait_ms: wait(rng) }),
        15..50 => Some(Sample { figure: PLAIN[rng.random_range(0..PLAIN.len())], wait_ms: 0 }),
        _ => None,
    };
    Event { second: Second(second), sample }
}

const PLAIN: [Figure; 6] = [
    Figure::TasksCreated,
    Figure::TasksCompleted,
    Figure::ReservationsCreated,
    Figure::TasksMoved,
    Figure::ReservationsRejected,
    Figure::ReservationsTimedOut,
];

fn wait(rng: &mut ChaCha8Rng) -> u64 {
    // The sum of twelve uniform numbers is near enough to a normal one.
    let normal = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    (60_000.0 * (1.3 * normal).exp()) as u64
}

fn events(count: usize) -> Vec<Event> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..count).map(|index| event(START + index as i64 * DAYS_30 / count as i64, &mut rng)).collect()
}

/// Nanoseconds a step of a loop of dependent multiplications and loads.
fn calibration() -> f64 {
    let table: Vec<u64> = (0..1 << 15).map(|index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut runs: Vec<f64> = (0..5)
        .map(|_| {
            let begin = Instant::now();
            let mut value = 1u64;
            for _ in 0..10_000_000 {
                value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(table[(value >> 49) as usize]);
            }
            black_box(value);
            begin.elapsed().as_nanos() as f64 / 1e7
        })
        .collect();
    median(&mut runs)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Report {
    unit_ns: f64,
}

impl Report {
    fn time(&self, what: &str, ns: f64) {
        println!("{what:<58} {ns:>10.1} ns {:>9.1} ×", ns / self.unit_ns);
    }

    fn size(&self, what: &str, bytes: f64) {
        println!("{what:<58} {bytes:>10.2} B");
    }
}

fn main() {
    let wanted = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let count = wanted.unwrap_or(10_000_000);
    let report = Report { unit_ns: calibration() };
    println!("calibration step: {:.2} ns; {count} events over 30 days, half of them counted", report.unit_ns);
    let events = events(count);
    history(&report, &events);
    growth(&report, count);
    dense(&report);
    duplicates(&report, &events);
}

/// The history of these events, and nanoseconds an addition.
fn built<'a>(events: impl Iterator<Item = &'a Event>) -> (History, f64) {
    let mut history = History::default();
    let begin = Instant::now();
    let counted = events.filter_map(|event| event.sample.map(|sample| (event.second, sample)));
    counted.for_each(|(second, sample)| history.add(second, sample));
    let each = begin.elapsed().as_nanos() as f64 / history.len() as f64;
    (history, each)
}

/// The slowest of the steps, in nanoseconds. The whole is run three times, and for each step the fastest run
/// counts: what is slow every time is the program's own doing, not the machine's.
fn slowest<T>(start: impl Fn() -> T, steps: usize, mut step: impl FnMut(&mut T, usize)) -> f64 {
    let mut best = vec![u128::MAX; steps];
    for _ in 0..3 {
        let mut state = start();
        for (index, best) in best.iter_mut().enumerate() {
            let begin = Instant::now();
            step(&mut state, index);
            *best = (*best).min(begin.elapsed().as_nanos());
        }
    }
    best.into_iter().max().unwrap_or(0) as f64
}

fn slowest_addition(events: &[Event]) -> f64 {
    slowest(History::default, events.len(), |history, index| {
        let event = events[index];
        if let Some(sample) = event.sample {
            history.add(event.second, sample);
        }
    })
}

/// Late by up to four hours.
fn late(events: &[Event]) -> Vec<Event> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut arrivals: Vec<(i64, Event)> =
        events.iter().map(|event| (event.second.0 + rng.random_range(0..14_400), *event)).collect();
    arrivals.sort_by_key(|arrival| arrival.0);
    arrivals.into_iter().map(|arrival| arrival.1).collect()
}

fn history(report: &Report, events: &[Event]) {
    let (history, each) = built(events.iter());
    let all = events.len() as f64;
    report.time("history: add, in order", each);
    report.size("history: an event sent", history.heap_bytes() as f64 / all);
    report.size("history: an event counted", history.heap_bytes() as f64 / history.len() as f64);
    report.time("history: add, in reverse order", built(events.iter().rev()).1);
    let shuffled = late(events);
    report.time("history: add, up to 4 h late", built(shuffled.iter()).1);
    report.time("history: slowest addition, in order", slowest_addition(events));
    report.time("history: slowest addition, up to 4 h late", slowest_addition(&shuffled));
    drop(shuffled);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut more = history.clone();
    for note in ["all shared with a clone", "nothing shared"] {
        let extra: Vec<Event> = (0..1_000_000).map(|_| event(START + rng.random_range(0..DAYS_30), &mut rng)).collect();
        let before = more.len();
        let begin = Instant::now();
        let added = extra.iter().filter_map(|event| event.sample.map(|sample| (event.second, sample)));
        added.for_each(|(second, sample)| more.add(second, sample));
        let each = begin.elapsed().as_nanos() as f64 / (more.len() - before) as f64;
        report.time(&format!("history: add, anywhere in 30 days, {note}"), each);
    }
    drop(more);
    let mut bytes = Vec::new();
    let begin = Instant::now();
    history.encode(&mut bytes);
    report.time("history: encode, an event counted", begin.elapsed().as_nanos() as f64 / history.len() as f64);
    report.size("history: encoded, an event counted", bytes.len() as f64 / history.len() as f64);
    let begin = Instant::now();
    let back = History::decode(&mut &bytes[..]).expect("what was just encoded");
    report.time("history: decode, an event counted", begin.elapsed().as_nanos() as f64 / history.len() as f64);
    assert_eq!(back.len(), history.len());
    drop(back);
    questions(report, &history, "");
    forgetting(report, history);
}

const THRESHOLDS: [u32; 8] = [5, 15, 30, 60, 120, 300, 900, 3_600];

fn questions(report: &Report, history: &History, note: &str) {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for (name, length) in [("15 min", 900), ("8 h", 28_800), ("30 d", DAYS_30)] {
        for thresholds in [0, 2, 8] {
            let mut times: Vec<f64> = (0..2_001)
                .map(|_| {
                    // The longest window has its edges anywhere in the first and the last day.
                    let length = if length == DAYS_30 { DAYS_30 - rng.random_range(0..86_400) } else { length };
                    let start = START + rng.random_range(0..=DAYS_30 - length);
                    let range = SecondRange::new(Second(start), Second(start + length)).expect("a length above 0");
                    let begin = Instant::now();
                    let mut totals = Totals::with_thresholds(&THRESHOLDS[..thresholds]);
                    history.sum_into(range, &mut totals);
                    black_box(&totals);
                    begin.elapsed().as_nanos() as f64
                })
                .collect();
            report.time(&format!("question: {name}, {thresholds} thresholds{note}"), median(&mut times));
        }
    }
}

/// Every minute, for two days.
fn forgetting(report: &Report, mut history: History) {
    let mut times: Vec<f64> = (0..2 * 1_440)
        .map(|minute| {
            let begin = Instant::now();
            history.forget_before(Second(START + minute * 60));
            begin.elapsed().as_nanos() as f64
        })
        .collect();
    report.time("history: forget a minute, median", median(&mut times));
    report.time("history: forget a minute, slowest", times[times.len() - 1]);
}

fn growth(report: &Report, most: usize) {
    for count in [20, 2_000, 20_000, 100_000, 1_000_000] {
        if count <= most {
            let events = events(count);
            let (history, each) = built(events.iter());
            report.time(&format!("{count} events: add, in order"), each);
            report.size(&format!("{count} events: an event sent"), history.heap_bytes() as f64 / count as f64);
            if count >= 100_000 {
                questions(report, &history, &format!(" of {count} events"));
            }
        }
    }
}

/// A million events in a second, and in a minute.
fn dense(report: &Report) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (name, seconds) in [("second", 1), ("minute", 60)] {
        let events: Vec<Event> =
            (0..2_000_000).map(|_| event(START + rng.random_range(0..seconds), &mut rng)).collect();
        let (history, each) = built(events.iter());
        report.time(&format!("a million counted in one {name}: add"), each);
        report.time(&format!("a million counted in one {name}: slowest addition"), slowest_addition(&events));
        report.size(&format!("a million counted in one {name}: each"), history.heap_bytes() as f64 / 1e6);
    }
    // Waits that are all different: histograms at their largest.
    let spread: Vec<Event> = (0..2_000_000i64)
        .map(|index| {
            let wait_ms = rng.random_range(0..2_592_000_000);
            let sample = Some(Sample { figure: Figure::ReservationsAccepted, wait_ms });
            Event { second: Second(START + index * 13 / 10), sample }
        })
        .collect();
    let (history, each) = built(spread.iter());
    report.time("two million waits spread over 30 days: add", each);
    report.time("two million waits spread over 30 days: slowest", slowest_addition(&spread));
    report.size("two million waits spread over 30 days: each", history.heap_bytes() as f64 / 2e6);
    let mut copy = history.clone();
    let begin = Instant::now();
    (0..128).for_each(|_| copy.add(Second(START), Sample { figure: Figure::ReservationsAccepted, wait_ms: 1 }));
    report.time("two million waits spread over 30 days: 128 after a clone", begin.elapsed().as_nanos() as f64);
}

fn duplicates(report: &Report, events: &[Event]) {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut set = Duplicates::new(rng.next_u64());
    let sid = |rng: &mut ChaCha8Rng| EventSid::from_bytes(rng.random());
    let prepared: Vec<_> =
        events.iter().map(|event| (event.second, set.fingerprint(sid(&mut rng), event.second))).collect();
    let sids: Vec<_> = (0..1 << 16).map(|_| sid(&mut rng)).collect();
    let begin = Instant::now();
    for (index, sid) in sids.iter().enumerate() {
        black_box(set.fingerprint(*sid, Second(START + index as i64)));
    }
    report.time("duplicates: fingerprint", begin.elapsed().as_nanos() as f64 / sids.len() as f64);
    report.time("duplicates: slowest insertion, in order", slowest_insertion(&set, &prepared));
    report.time("duplicates: insert, in order", insert_all(&mut set, &prepared));
    report.size("duplicates: an event", set.heap_bytes() as f64 / set.len() as f64);
    let recent = &prepared[prepared.len() - prepared.len() / 50..];
    let begin = Instant::now();
    let found = recent.iter().filter(|event| set.contains(event.0, event.1)).count();
    report.time("duplicates: found, newest 2 %", begin.elapsed().as_nanos() as f64 / found as f64);
    let picks: Vec<_> = (0..500_000).map(|_| prepared[rng.random_range(0..prepared.len())]).collect();
    let begin = Instant::now();
    let found = picks.iter().filter(|event| set.contains(event.0, event.1)).count();
    report.time("duplicates: found, anywhere in 30 days", begin.elapsed().as_nanos() as f64 / found as f64);
    let mut bytes = Vec::new();
    let begin = Instant::now();
    set.encode(&mut bytes);
    report.time("duplicates: encode, an event", begin.elapsed().as_nanos() as f64 / set.len() as f64);
    report.size("duplicates: encoded, an event", bytes.len() as f64 / set.len() as f64);
    let begin = Instant::now();
    let back = Duplicates::decode(&mut &bytes[..]).expect("what was just encoded");
    report.time("duplicates: decode, an event", begin.elapsed().as_nanos() as f64 / back.len() as f64);
    drop((back, bytes));
    let begin = Instant::now();
    let copy = set.clone();
    report.time("duplicates: clone", begin.elapsed().as_nanos() as f64);
    let extra: Vec<_> = (0..500_000)
        .map(|_| {
            let second = Second(START + rng.random_range(0..DAYS_30));
            (second, set.fingerprint(sid(&mut rng), second))
        })
        .collect();
    report.time("duplicates: slowest insertion, anywhere, all shared", slowest_insertion(&set, &extra));
    report.time("duplicates: insert, anywhere, all shared with a clone", insert_all(&mut set, &extra));
    drop(copy);
    let mut shuffled = prepared;
    shuffled.iter_mut().for_each(|event| event.0 = Second(START + (event.0.0 - START) % 3_600));
    let mut set = Duplicates::new(0);
    report.time("duplicates: all in one hour, slowest insertion", slowest_insertion(&set, &shuffled));
    report.time("duplicates: all in one hour, insert", insert_all(&mut set, &shuffled));
    report.size("duplicates: all in one hour, an event", set.heap_bytes() as f64 / set.len() as f64);
    // What the first insertion after a checkpoint's clone costs, at the worst.
    let copy = set.clone();
    let begin = Instant::now();
    black_box(set.insert(Second(START), extra[0].1));
    report.time("duplicates: all in one hour, first insertion after a clone", begin.elapsed().as_nanos() as f64);
    drop(copy);
}

/// Nanoseconds an insertion.
fn insert_all(set: &mut Duplicates, events: &[Accepted]) -> f64 {
    let begin = Instant::now();
    for &(second, fingerprint) in events {
        black_box(set.insert(second, fingerprint));
    }
    begin.elapsed().as_nanos() as f64 / events.len() as f64
}

fn slowest_insertion(set: &Duplicates, events: &[Accepted]) -> f64 {
    slowest(
        || set.clone(),
        events.len(),
        |set, index| {
            black_box(set.insert(events[index].0, events[index].1));
        },
    )
}

type Accepted = (Second, Fingerprint);
