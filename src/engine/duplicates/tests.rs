//! The set against its naive twin, a hash set of hours and fingerprints.

use std::collections::HashSet;

use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::varint::Damaged;

const START: i64 = 2_500 * ROOT_SECONDS;
const DAYS_30: i64 = 30 * 86_400;

#[derive(Clone, Debug)]
enum Step {
    /// Distinct events, in order or shuffled; `few` of them have fingerprints that also occur at other times.
    Burst {
        from: i64,
        width: i64,
        count: usize,
        seed: u64,
        ordered: bool,
        few: bool,
    },
    Again,
    Forget(i64),
    Fork,
    Reopen,
}

fn edge() -> impl Strategy<Value = i64> {
    let span = prop::sample::select(vec![1, 60, 3_600, 21_600, 86_400, ROOT_SECONDS]);
    (span, 0..DAYS_30, -1..=1i64, prop::bool::weighted(0.1)).prop_map(|(span, offset, beside, early)| {
        let second = offset / span * span + beside;
        if early { second - DAYS_30 / 2 } else { START + second }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let width = prop::sample::select(vec![1, 60, 3_600, 14_400, 86_400, ROOT_SECONDS, DAYS_30]);
    let burst = (edge(), width, 1..2_500usize, any::<u64>(), any::<bool>(), prop::bool::weighted(0.2));
    prop_oneof![
        6 => burst.prop_map(|(from, width, count, seed, ordered, few)| {
            Step::Burst { from, width, count, seed, ordered, few }
        }),
        2 => Just(Step::Again),
        2 => edge().prop_map(Step::Forget),
        1 => Just(Step::Fork),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone)]
struct Twins {
    set: Duplicates,
    naive: HashSet<(i64, Fingerprint)>,
    sent: Vec<(Second, Fingerprint)>,
    line: i64,
}

impl Twins {
    fn new() -> Twins {
        Twins { set: Duplicates::new(7), naive: HashSet::new(), sent: Vec::new(), line: i64::MIN }
    }

    fn send(&mut self, second: Second, fingerprint: Fingerprint) {
        let new = !self.naive.contains(&(hour(second), fingerprint));
        assert_eq!(self.set.contains(second, fingerprint), !new, "{second:?}");
        assert_eq!(self.set.insert(second, fingerprint), new, "{second:?}");
        self.naive.insert((hour(second), fingerprint));
        self.sent.push((second, fingerprint));
    }

    fn take(&mut self, step: &Step, forks: &mut Vec<Twins>) {
        match *step {
            Step::Burst { from, width, count, seed, ordered, few } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut seconds: Vec<i64> = (0..count).map(|_| from + rng.random_range(0..width)).collect();
                if ordered {
                    seconds.sort_unstable();
                }
                for second in seconds {
                    let bits = if few { rng.random_range(0..50u64) << 57 } else { rng.next_u64() };
                    self.send(Second(second), Fingerprint(bits));
                }
            }
            Step::Again => {
                let sent = std::mem::take(&mut self.sent);
                sent.iter().step_by(3).for_each(|&(second, fingerprint)| self.send(second, fingerprint));
                self.sent = sent;
            }
            Step::Forget(second) => {
                self.set.forget_before(Second(second));
                self.line = self.line.max(second);
                self.naive.retain(|event| event.0 >= hour(Second(second)));
            }
            Step::Fork => forks.push(self.clone()),
            Step::Reopen => self.set = decoded(&self.set),
        }
        assert_eq!(self.set.len(), self.naive.len() as u64);
        assert_eq!(self.set.is_empty(), self.naive.is_empty());
    }

    fn check(&self) {
        assert_eq!(self.set.len(), self.naive.len() as u64);
        for &(second, fingerprint) in &self.sent {
            let known = self.naive.contains(&(hour(second), fingerprint));
            assert_eq!(self.set.contains(second, fingerprint), known, "{second:?}");
            let later = second.plus(3_600);
            let known = self.naive.contains(&(hour(later), fingerprint));
            assert_eq!(self.set.contains(later, fingerprint), known, "{later:?}");
        }
    }
}

fn hour(second: Second) -> i64 {
    second.0.div_euclid(3_600)
}

fn decoded(set: &Duplicates) -> Duplicates {
    let mut out = Vec::new();
    set.encode(&mut out);
    let mut bytes = &out[..];
    let back = Duplicates::decode(&mut bytes).unwrap();
    assert_eq!(bytes, [0u8; 0], "bytes left");
    assert_eq!(back.key, set.key);
    back
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn agrees_with_a_hash_set(steps in prop::collection::vec(step(), 1..16)) {
        let mut twins = Twins::new();
        let mut forks = Vec::new();
        steps.iter().for_each(|step| twins.take(step, &mut forks));
        twins.check();
        forks.iter().for_each(Twins::check);
    }

    /// What is asked about at or after the line is still known, whatever line it was.
    #[test]
    fn nothing_at_or_after_the_line_is_forgotten(line in edge(), from in edge(), count in 1..3_000usize, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut set = Duplicates::new(seed);
        let event = |rng: &mut ChaCha8Rng| (Second(from + rng.random_range(0..90_000)), Fingerprint(rng.next_u64()));
        let events: Vec<_> = (0..count).map(|_| event(&mut rng)).collect();
        events.iter().for_each(|&(second, fingerprint)| { set.insert(second, fingerprint); });
        set.forget_before(Second(line));
        for &(second, fingerprint) in &events {
            prop_assert!(second.0 < line || set.contains(second, fingerprint));
            prop_assert!(second.0 >= line - 3_600 || !set.contains(second, fingerprint));
        }
    }
}

fn varied() -> Vec<u8> {
    let mut twins = Twins::new();
    for (seed, (from, width, count)) in
        [(START, DAYS_30, 1_500), (START + 86_400, 3_600, 1_500), (-50, 100, 20)].into_iter().enumerate()
    {
        let step = Step::Burst { from, width, count, seed: seed as u64, ordered: false, few: false };
        twins.take(&step, &mut Vec::new());
    }
    let mut out = Vec::new();
    twins.set.encode(&mut out);
    out
}

#[test]
fn bytes_cut_anywhere_are_damaged() {
    let out = varied();
    for length in (0..100).chain((100..out.len()).step_by(41)).chain(out.len() - 50..out.len()) {
        assert!(Duplicates::decode(&mut &out[..length]).is_err(), "cut at {length} of {}", out.len());
    }
    assert_eq!(Duplicates::decode(&mut &out[..]).unwrap().len(), 3_020);
    assert_eq!(Duplicates::decode(&mut &[9][..]).unwrap_err(), Damaged("accepted events of an unknown version"));
}

#[test]
fn altered_bytes_never_panic() {
    let out = varied();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for round in 0..20_000 {
        let mut altered = if round % 10 == 0 { out.clone() } else { out[..rng.random_range(1..400)].to_vec() };
        for _ in 0..rng.random_range(1..4) {
            // Mostly the front, where the spans' forms and counts are.
            let end = if rng.random() { altered.len() } else { altered.len().min(60) };
            let at = rng.random_range(0..end);
            altered[at] = rng.random::<u8>() >> rng.random_range(0..8);
        }
        if let Ok(mut set) = Duplicates::decode(&mut &altered[..]) {
            set.insert(Second(START), Fingerprint(rng.next_u64()));
            set.forget_before(Second(START + 90_000));
            assert_eq!(set.len(), set.roots.iter().map(|root| root.node.len()).sum::<u64>());
        }
    }
}

#[test]
fn one_more_bit_of_sid_second_or_key_is_another_fingerprint() {
    let (set, other) = (Duplicates::new(1), Duplicates::new(2));
    let (sid, next) = (EventSid::from_bytes([1; 16]), EventSid::from_bytes([2; 16]));
    let fingerprint = set.fingerprint(sid, Second(5));
    assert_eq!(fingerprint, Duplicates::new(1).fingerprint(sid, Second(5)));
    assert_ne!(fingerprint, set.fingerprint(next, Second(5)));
    assert_ne!(fingerprint, set.fingerprint(sid, Second(6)));
    assert_ne!(fingerprint, other.fingerprint(sid, Second(5)));
}

/// At one event an hour, at twenty in all, and at many in one hour.
#[test]
fn memory_follows_events_at_any_density() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let cases = [(720, 3_600, 12), (20, 129_600, 36), (20_000, 129, 12), (100_000, 0, 10), (200_000, 10, 11)];
    for (count, apart, most) in cases {
        let mut set = Duplicates::new(0);
        for index in 0..count {
            set.insert(Second(START + index * apart), Fingerprint(rng.next_u64()));
        }
        let each = set.heap_bytes() as f64 / count as f64;
        assert!(each <= f64::from(most), "{count} events {apart} seconds apart: {each} bytes each");
    }
}

#[test]
fn an_hour_that_breaks_its_invariants_is_damaged() {
    let shards = |counts: &[u64]| -> Vec<Vec<u64>> {
        let shard = |(at, &count): (usize, &u64)| (0..count).map(|index| index * 4 + at as u64).collect();
        counts.iter().enumerate().map(shard).collect()
    };
    let len = |counts: &[u64]| hour::Hour::from_shards(shards(counts)).map(|hour| hour.len());
    assert_eq!(len(&[150, 150, 150, 150]), Some(600));
    assert_eq!(len(&[150, 150, 150]), Some(450));
    let swapped = shards(&[150, 150, 150]).into_iter().rev().collect();
    assert_eq!(hour::Hour::from_shards(swapped).map(|hour| hour.len()), None, "in shards that are not theirs");
    assert_eq!(len(&[10, 10, 10, 10]), None, "more shards than needed");
    assert_eq!(len(&[200]), None, "fewer shards than needed");
    assert_eq!(len(&[]), None, "no shard");
    assert_eq!(hour::Hour::from_shards(vec![vec![2, 1]]).map(|hour| hour.len()), None, "descending");
    assert_eq!(hour::Hour::from_shards(vec![vec![1, 1]]).map(|hour| hour.len()), None, "repeated");
}

#[test]
#[should_panic(expected = "outside -62135596800..=253402300799")]
fn a_second_that_no_event_can_have_is_a_bug() {
    Duplicates::new(0).insert(Second(i64::MIN), Fingerprint(0));
}
