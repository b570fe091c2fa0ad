//! The index against its naive twin, which keeps every event and scans.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::histogram::{Histogram, LONGEST};
use super::*;
use crate::engine::totals::Waits;
use crate::engine::varint::Damaged;

/// A multiple of every span, in 2024.
const START: i64 = 2_500 * ROOT_SECONDS;
const DAYS_30: i64 = 30 * 86_400;

#[derive(Clone, Default)]
struct Naive {
    events: Vec<(Second, Sample)>,
}

impl Naive {
    fn sum(&self, range: SecondRange, thresholds: &[u32]) -> Totals {
        let mut totals = Totals::with_thresholds(thresholds);
        let inside = self.events.iter().filter(|(second, _)| range.contains(*second));
        inside.for_each(|(_, sample)| totals.add(*sample));
        totals
    }
}

fn sum(history: &History, range: SecondRange, thresholds: &[u32]) -> Totals {
    let mut totals = Totals::with_thresholds(thresholds);
    history.sum_into(range, &mut totals);
    totals
}

fn decoded(history: &History) -> History {
    let mut out = Vec::new();
    history.encode(&mut out);
    let mut bytes = &out[..];
    let back = History::decode(&mut bytes).unwrap();
    assert_eq!(bytes, [0u8; 0], "bytes left");
    back
}

/// How a burst spreads over `[from, from + width)`.
#[derive(Clone, Copy, Debug)]
enum Order {
    Forward,
    Reverse,
    Shuffled,
}

#[derive(Clone, Debug)]
enum Step {
    Burst { from: i64, width: i64, count: usize, order: Order, seed: u64 },
    Ask { start: i64, end: i64 },
    Forget(i64),
    Fork,
    Reopen,
}

/// Seconds that like the edges of spans.
fn edge() -> impl Strategy<Value = i64> {
    let span = prop::sample::select(vec![1, 10, 60, 600, 3_600, 21_600, 86_400, ROOT_SECONDS]);
    (span, 0..DAYS_30, -1..=1i64, prop::bool::weighted(0.1)).prop_map(|(span, offset, beside, early)| {
        let second = offset / span * span + beside;
        // Before 1970 too.
        if early { second - DAYS_30 / 2 } else { START + second }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let width = prop::sample::select(vec![1, 2, 60, 61, 600, 3_600, 14_400, 86_400, ROOT_SECONDS, DAYS_30]);
    let order = prop::sample::select(vec![Order::Forward, Order::Reverse, Order::Shuffled]);
    let burst = (edge(), width, 1..1_500usize, order, any::<u64>())
        .prop_map(|(from, width, count, order, seed)| Step::Burst { from, width, count, order, seed });
    prop_oneof![
        6 => burst,
        6 => (edge(), edge()).prop_map(|(start, end)| Step::Ask { start, end }),
        2 => edge().prop_map(Step::Forget),
        1 => Just(Step::Fork),
        1 => Just(Step::Reopen),
    ]
}

fn wait(rng: &mut ChaCha8Rng) -> u64 {
    let second = match rng.random_range(0..4) {
        0 => rng.random_range(0..4),
        1 => rng.random_range(0..20_000),
        2 => rng.random_range(0..=u64::from(LONGEST) + 2),
        _ => [60, 600, 4_096, u64::from(LONGEST), 4_294_967, 315_537_897_600][rng.random_range(0..6)],
    };
    (second * 1000 + [0, 1, 999, 500][rng.random_range(0..4)]).saturating_sub(rng.random_range(0..2))
}

fn burst(from: i64, width: i64, count: usize, order: Order, seed: u64) -> Vec<(Second, Sample)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut seconds: Vec<i64> = (0..count).map(|_| from + rng.random_range(0..width)).collect();
    match order {
        Order::Forward => seconds.sort_unstable(),
        Order::Reverse => seconds.sort_unstable_by(|a, b| b.cmp(a)),
        Order::Shuffled => {}
    }
    let mut sample = || {
        let figure = Figure::ALL[rng.random_range(0..Figure::COUNT)];
        Sample { figure, wait_ms: if figure.has_wait() { wait(&mut rng) } else { 0 } }
    };
    seconds.into_iter().map(|second| (Second(second), sample())).collect()
}

const THRESHOLDS: [u32; 9] = [1, 2, 60, 600, 3_600, 4_096, 86_400, LONGEST - 1, LONGEST];

/// Both twins, and clones taken on the way with what they held.
#[derive(Default)]
struct Twins {
    history: History,
    naive: Naive,
    line: Option<Second>,
    forks: Vec<(History, Naive)>,
}

impl Twins {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Burst { from, width, count, order, seed } => {
                for (second, sample) in burst(from, width, count, order, seed) {
                    self.history.add(second, sample);
                    self.naive.events.push((second, sample));
                }
            }
            Step::Ask { start, end } => {
                let start = Second(start).max(self.line.unwrap_or(Second(start)));
                check(&self.history, &self.naive, start, Second(end));
            }
            Step::Forget(second) => {
                let line = Second(second);
                self.history.forget_before(line);
                self.naive.events.retain(|(second, _)| *second >= line);
                self.line = self.line.max(Some(line));
                check(&self.history, &self.naive, line, line.plus(600));
            }
            Step::Fork => self.forks.push((self.history.clone(), self.naive.clone())),
            Step::Reopen => self.history = decoded(&self.history),
        }
        assert_eq!(self.history.len(), self.naive.events.len() as u64);
        assert_eq!(self.history.is_empty(), self.naive.events.is_empty());
    }
}

/// One interval, its two halves, and everything.
fn check(history: &History, naive: &Naive, start: Second, end: Second) {
    let middle = Second(start.0.midpoint(end.0));
    for (start, end) in [(start, end), (start, middle), (middle, end), (start, Second(i64::MAX))] {
        if let Some(range) = SecondRange::new(start, end) {
            assert_eq!(sum(history, range, &THRESHOLDS), naive.sum(range, &THRESHOLDS), "{range}");
        }
    }
    if let (Some(first), Some(last)) = (SecondRange::new(start, middle), SecondRange::new(middle, end)) {
        let mut both = sum(history, first, &THRESHOLDS);
        both.merge(&sum(history, last, &THRESHOLDS));
        assert_eq!(both, sum(history, SecondRange::new(start, end).unwrap(), &THRESHOLDS), "{first} and {last}");
    }
    let all = SecondRange::new(Second(i64::MIN), Second(i64::MAX)).unwrap();
    assert_eq!(sum(history, all, &THRESHOLDS), naive.sum(all, &THRESHOLDS));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn agrees_with_a_scan_of_all_events(steps in prop::collection::vec(step(), 1..16)) {
        let mut twins = Twins::default();
        steps.iter().for_each(|step| twins.take(step));
        for (history, naive) in &twins.forks {
            check(history, naive, Second(START), Second(START + DAYS_30));
            check(&decoded(history), naive, Second(START + 1), Second(START + 86_401));
        }
    }

    #[test]
    fn the_order_of_events_never_shows(from in edge(), width in 1..DAYS_30, count in 1..4_000usize, seed: u64) {
        let events = burst(from, width, count, Order::Shuffled, seed);
        let build = |events: &mut dyn Iterator<Item = &(Second, Sample)>| {
            let mut history = History::default();
            events.for_each(|(second, sample)| history.add(*second, *sample));
            history
        };
        let (one, other) = (build(&mut events.iter()), build(&mut events.iter().rev()));
        for (start, end) in [(0, width), (1, width), (width / 3, width / 2 + 1), (0, 60)] {
            if let Some(range) = SecondRange::new(Second(from + start), Second(from + end)) {
                prop_assert_eq!(sum(&one, range, &THRESHOLDS), sum(&other, range, &THRESHOLDS));
            }
        }
    }

    #[test]
    fn a_histogram_agrees_with_a_scan(
        spread in prop::sample::select(vec![10u32, 5_000, 100_000, LONGEST]), count in 0..20_000usize, seed: u64,
        threshold in 1..=LONGEST,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let waits: Vec<u32> = (0..count).map(|_| rng.random_range(0..=spread)).collect();
        let mut histogram = Histogram::default();
        waits.iter().for_each(|&second| histogram.add(second));
        let mut merged = Histogram::default();
        merged.add_sorted(&histogram.pairs());
        merged.add_sorted(&histogram.pairs());
        for threshold in [threshold, threshold % spread + 1, 4_096, LONGEST] {
            let below = waits.iter().filter(|&&second| second < threshold).count() as u64;
            prop_assert_eq!(histogram.below(threshold), below);
            prop_assert_eq!(merged.below(threshold), 2 * below);
        }
    }

    #[test]
    fn totals_are_a_monoid(parts in prop::collection::vec((0..200usize, any::<u64>()), 3)) {
        let part = |index: usize| {
            let mut totals = Totals::with_thresholds(&THRESHOLDS);
            let (count, seed) = parts[index];
            burst(START, 60, count, Order::Shuffled, seed).into_iter().for_each(|(_, sample)| totals.add(sample));
            totals
        };
        let merged = |one: &Totals, other: &Totals| {
            let mut totals = one.clone();
            totals.merge(other);
            totals
        };
        let (a, b, c) = (part(0), part(1), part(2));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&a, &Totals::with_thresholds(&THRESHOLDS)), a.clone());
        prop_assert_eq!(merged(&Totals::with_thresholds(&THRESHOLDS), &a), a);
    }

    #[test]
    fn several_series_sum_into_one(seeds in prop::collection::vec(any::<u64>(), 2..5)) {
        let (mut naive, mut totals) = (Naive::default(), Totals::with_thresholds(&THRESHOLDS));
        let range = SecondRange::new(Second(START + 7), Second(START + 3_607)).unwrap();
        for seed in seeds {
            let events = burst(START, 4_000, 700, Order::Shuffled, seed);
            let mut history = History::default();
            events.iter().for_each(|(second, sample)| history.add(*second, *sample));
            history.sum_into(range, &mut totals);
            naive.events.extend(events);
        }
        prop_assert_eq!(totals, naive.sum(range, &THRESHOLDS));
    }
}

/// A history with leaves, branches, moments, wide histograms and recent additions, as bytes.
fn varied() -> (History, Vec<u8>) {
    let mut history = History::default();
    let bursts = [(START, DAYS_30, 3_000), (START + 86_400, 1, 1_500), (-50, 100, 700), (START + 600, 60, 1_111)];
    for (seed, (from, width, count)) in bursts.into_iter().enumerate() {
        for (second, sample) in burst(from, width, count, Order::Shuffled, seed as u64) {
            history.add(second, sample);
        }
    }
    assert!(!history.recent.is_empty());
    let mut out = Vec::new();
    history.encode(&mut out);
    (history, out)
}

#[test]
fn bytes_cut_anywhere_are_damaged() {
    let (history, out) = varied();
    let lengths = (0..200).chain((200..out.len()).step_by(37)).chain(out.len() - 200..out.len());
    for length in lengths {
        assert!(History::decode(&mut &out[..length]).is_err(), "cut at {length} of {}", out.len());
    }
    assert_eq!(History::decode(&mut &out[..]).unwrap().len(), history.len());
    assert_eq!(History::decode(&mut &[2, 0, 0][..]).unwrap_err(), Damaged("a history of an unknown version"));
}

#[test]
fn altered_bytes_never_panic() {
    let (_, out) = varied();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let all = SecondRange::new(Second(i64::MIN), Second(i64::MAX)).unwrap();
    for _ in 0..400 {
        let mut altered = out.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..altered.len());
            altered[at] = rng.random();
        }
        if let Ok(mut history) = History::decode(&mut &altered[..]) {
            assert_eq!(sum(&history, all, &THRESHOLDS).counts.iter().sum::<u64>(), history.len());
            history.forget_before(Second(START + 86_401));
            history.add(Second(START), Sample { figure: Figure::TasksCanceled, wait_ms: 1 });
        }
    }
    for _ in 0..2_000 {
        let mut rubbish = vec![1];
        rubbish.extend((0..rng.random_range(0..400)).map(|_| rng.random::<u8>() >> rng.random_range(0..8)));
        let _ = History::decode(&mut &rubbish[..]).map(|history| sum(&history, all, &THRESHOLDS));
    }
}

/// Counts above what the bytes can hold are refused before anything is set aside for them.
#[test]
fn announced_counts_allocate_nothing() {
    for announced in [&[1, 0xff, 0xff, 0xff, 0x7f][..], &[1, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
        assert_eq!(
            History::decode(&mut &announced[..]).unwrap_err(),
            Damaged("more items announced than bytes left"),
            "{announced:?}"
        );
    }
}

#[test]
fn a_million_events_in_one_second_take_no_memory_each() {
    let mut history = History::default();
    let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for index in 0..count {
        history.add(Second(START), Sample { figure: Figure::ReservationsAccepted, wait_ms: index % 5_000_000 });
    }
    assert!(history.heap_bytes() < 1 << 20, "{} bytes", history.heap_bytes());
    let range = SecondRange::new(Second(START), Second(START + 1)).unwrap();
    let totals = sum(&history, range, &[10]);
    assert_eq!((totals.accepted.count, totals.splits[0].accepted_below), (count, 10_000));
}

#[test]
fn few_events_take_few_bytes() {
    let mut history = History::default();
    for (second, sample) in burst(START, DAYS_30, 20, Order::Shuffled, 1) {
        history.add(second, sample);
    }
    assert!(history.heap_bytes() <= 20 * 32, "{} bytes", history.heap_bytes());
}

#[test]
fn nothing_adds_up_to_nothing() {
    let history = History::default();
    let all = SecondRange::new(Second(i64::MIN), Second(i64::MAX)).unwrap();
    assert_eq!(sum(&history, all, &[60]), Totals::with_thresholds(&[60]));
    assert_eq!(sum(&history, all, &[60]).accepted, Waits::default());
    assert!(history.is_empty() && history.heap_bytes() == 0);
    assert!(decoded(&history).is_empty());
}

#[test]
#[should_panic(expected = "outside -62135596800..=253402300799")]
fn a_second_that_no_event_can_have_is_a_bug() {
    History::default().add(Second(i64::MAX), Sample { figure: Figure::TasksCreated, wait_ms: 0 });
}
