//! One workspace of the engine against the model.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tasktally::engine::{CarryPart, ChannelFilter, Cumulative, SETTLED_AFTER_MS, Totals, Workspace};
use tasktally::event::{Event, HOUR_MS, Millis, WorkspaceSid};

use crate::support::bench::figures;
use crate::support::build::{self, Saying};
use crate::support::model::{Model, Outcome};
use crate::support::random::{self, Ask, Jump, Offer};

#[derive(Clone, Debug)]
enum Step {
    /// Events that are admitted together. They are applied so many milliseconds later, and a question comes between.
    Take(Vec<Offer>, i64),
    Move(Jump),
    Ask(Ask),
    /// To bytes and back.
    Checkpoint,
    /// What must outlive old rows is written, and they are dropped.
    Prune,
    /// The process begins anew, without a checkpoint.
    Rebuild,
    /// Time for all rows that there are to grow too old; then as `Prune` and `Rebuild`.
    Age,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (vec(random::offer(), 1..6), select(vec![0, 0, 0, 1, 999, 1001, 70_000]))
            .prop_map(|(offers, later_ms)| Step::Take(offers, later_ms)),
        4 => random::jump().prop_map(Step::Move),
        6 => random::ask().prop_map(Step::Ask),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Prune),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Age),
    ]
}

const HOME: u32 = build::HOME;

fn home() -> WorkspaceSid {
    build::workspace(HOME)
}

/// Events that were admitted together.
#[derive(Clone)]
struct Row {
    admitted_at: i64,
    events: Vec<Event>,
    /// Those dated before this have no part in the state any more but by what was carried over: see `Seal` in
    /// `pipeline/recovery.rs`. Their row is there since newer events share it.
    sealed_to: i64,
}

/// What has been seen over all cases: a law that nothing was tried on holds for nothing.
#[derive(Default, Debug)]
struct Seen {
    accepted: u64,
    duplicates: u64,
    too_old: u64,
    too_new: u64,
    active: u64,
    ended: u64,
    waiting: u64,
    counted: u64,
    changes_by_time: u64,
    rows_dropped: u64,
    buckets: u64,
}

struct Trial {
    now: i64,
    model: Model,
    state: Workspace,
    rows: Vec<Row>,
    carry: BTreeMap<CarryPart, Vec<u8>>,
    carried_to: i64,
}

impl Trial {
    fn new(retention_ms: i64, now: i64) -> Trial {
        Trial {
            now,
            model: Model::new(retention_ms),
            state: fresh(retention_ms),
            rows: Vec::new(),
            carry: BTreeMap::new(),
            carried_to: 0,
        }
    }

    fn carry_out(&mut self, step: &Step, seen: &mut Seen) {
        match step {
            Step::Take(offers, later_ms) => self.take(offers, *later_ms, seen),
            Step::Move(jump) => self.now = jump.resolve(&self.model, self.now),
            Step::Ask(ask) => {
                if !self.model.accepted.is_empty() {
                    check_realtime(&self.model, &mut self.state, &ask.filter, self.now, seen);
                    check_cumulative(&self.model, &self.state, ask, self.now, seen);
                }
            }
            Step::Checkpoint => {
                let mut bytes = Vec::new();
                self.state.encode(&mut bytes);
                self.state = Workspace::decode(&bytes).expect("what was encoded can be decoded");
            }
            Step::Prune => self.prune(seen),
            Step::Rebuild => self.rebuild(),
            Step::Age => {
                self.now += self.model.retention_ms + HOUR_MS + 300_001;
                self.prune(seen);
                self.rebuild();
            }
        }
    }

    fn take(&mut self, offers: &[Offer], later_ms: i64, seen: &mut Seen) {
        let mut row = Row { admitted_at: self.now, events: Vec::new(), sealed_to: i64::MIN };
        for offer in offers {
            let event = offer.resolve(&self.model, self.now).workspace(HOME).account(HOME);
            let same = |other: &Event| (other.sid, other.second()) == (event.sid, event.second());
            let known = self.state.has(&event) || row.events.iter().any(same);
            match self.model.offer(&event, Millis(self.now)) {
                Outcome::Accepted => {
                    assert!(!known, "taken for a duplicate: {event:?}");
                    row.events.push(event);
                    seen.accepted += 1;
                }
                Outcome::Duplicate => {
                    assert!(known, "not recognised: {event:?}");
                    seen.duplicates += 1;
                }
                Outcome::TooOld => seen.too_old += 1,
                Outcome::TooNew => seen.too_new += 1,
                Outcome::AccountMismatch => unreachable!("there is one account"),
            }
        }
        self.now += later_ms;
        if later_ms > 0 {
            self.state.realtime(&ChannelFilter::All, Millis(self.now));
        }
        for event in &row.events {
            self.state.apply(event, Millis(row.admitted_at));
        }
        if !row.events.is_empty() {
            self.rows.push(row);
        }
    }

    fn prune(&mut self, seen: &mut Seen) {
        // As `pipeline/keeper.rs` does it.
        let (now, retention_ms) = (Millis(self.now), self.model.retention_ms);
        let horizon = now.minus(retention_ms + HOUR_MS).second().start().0;
        let told = now.minus(retention_ms.max(SETTLED_AFTER_MS));
        self.carry.extend(self.state.carry_over(Millis(self.carried_to), told));
        self.carry.retain(|part, _| !part.is_expired(now, retention_ms));
        let before = self.rows.len();
        self.rows.retain(|row| row.events.iter().any(|event| event.at.0 >= horizon));
        seen.rows_dropped += (before - self.rows.len()) as u64;
        for row in &mut self.rows {
            row.sealed_to = horizon;
        }
        self.carried_to = horizon;
    }

    fn rebuild(&mut self) {
        self.state = fresh(self.model.retention_ms);
        for (part, body) in &self.carry {
            self.state.take_carry(*part, body).expect("what was carried can be read");
        }
        for row in &self.rows {
            for event in row.events.iter().filter(|event| event.at.0 >= row.sealed_to) {
                self.state.apply(event, Millis(row.admitted_at));
            }
        }
    }
}

fn fresh(retention_ms: i64) -> Workspace {
    Workspace::new(build::sid(HOME), retention_ms, 7)
}

fn check_realtime(model: &Model, state: &mut Workspace, filter: &ChannelFilter, now: i64, seen: &mut Seen) {
    let answer = state.realtime(filter, Millis(now));
    let expected = model.realtime(home(), filter, Millis(now)).expect("an event was accepted");
    assert_eq!(figures(&answer), expected, "at {now}, {filter:?}");
    let until = answer.valid_until.unwrap_or(Millis(i64::MAX));
    assert!(until.0 > now, "valid until {until:?}, which is not after {now}");
    let edges = model.edges_after(home(), Millis(now));
    for edge in edges.into_iter().chain([until.minus(1)]).filter(|edge| *edge < until) {
        let then = model.realtime(home(), filter, edge).expect("an event was accepted");
        assert_eq!(then, expected, "at {edge:?}, although said at {now} to be true until {until:?}, {filter:?}");
    }
    seen.changes_by_time += u64::from(answer.valid_until.is_some());
    seen.active += answer.total_tasks as u64;
    seen.ended += (answer.by_status.completed + answer.by_status.canceled) as u64;
    seen.waiting += u64::from(answer.longest_waiting.is_some());
    assert_eq!(state.list_channels(None, usize::MAX, Millis(now)), model.channels(home(), Millis(now)), "at {now}");
}

fn check_cumulative(model: &Model, state: &Workspace, ask: &Ask, now: i64, seen: &mut Seen) {
    let window = ask.window(model, now);
    let range = model.interval(window, Millis(now));
    assert_eq!(window.resolve(Millis(now), model.retention_ms), range, "{window:?} at {now}");
    let Ok(range) = range else { return };
    let expected = model.cumulative(home(), &ask.filter, range, &ask.thresholds);
    let answer = state.cumulative(&ask.filter, range, &ask.thresholds);
    assert_eq!(Some(&answer), expected.as_ref(), "{range} at {now}, {ask:?}");
    seen.counted += answer.totals.counts.iter().sum::<u64>();
    check_buckets(model, state, ask, &answer, seen);
}

/// The parts of an interval are what the model says of each, and together what was said of the whole.
fn check_buckets(model: &Model, state: &Workspace, ask: &Ask, whole: &Cumulative, seen: &mut Seen) {
    let past = state.past(&ask.filter);
    for parts in [1, 3, 11] {
        let bucket_s = (whole.range.seconds() + parts - 1) / parts;
        let mut sum = Totals::with_thresholds(&ask.thresholds);
        for range in whole.range.cut(bucket_s) {
            let bucket = past.cumulative(range, &ask.thresholds);
            assert_eq!(
                Some(&bucket),
                model.cumulative(home(), &ask.filter, range, &ask.thresholds).as_ref(),
                "{range}"
            );
            sum.merge(&bucket.totals);
            seen.buckets += 1;
        }
        assert_eq!(sum, whole.totals, "{} in buckets of {bucket_s} s, {ask:?}", whole.range);
    }
}

/// Everything that there is to ask about one moment.
fn check_all(model: &Model, state: &mut Workspace, now: i64, seen: &mut Seen) {
    for ask in Ask::all_of(HOME) {
        check_realtime(model, state, &ask.filter, now, seen);
        check_cumulative(model, state, &ask, now, seen);
    }
}

#[test]
fn answers_are_a_function_of_the_accepted_events_the_request_and_now() {
    let seen = RefCell::new(Seen::default());
    let cases = (random::retention_ms(), random::first_moment(), vec(step(), 1..50));
    let outcome = crate::runner(400).run(&cases, |(retention_ms, now, steps)| {
        let mut trial = Trial::new(retention_ms, now);
        for step in &steps {
            trial.carry_out(step, &mut seen.borrow_mut());
        }
        if !trial.model.accepted.is_empty() {
            check_all(&trial.model, &mut trial.state, trial.now, &mut seen.borrow_mut());
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let Seen {
        accepted,
        duplicates,
        too_old,
        too_new,
        active,
        ended,
        waiting,
        counted,
        changes_by_time,
        rows_dropped,
        buckets,
    } = seen.into_inner();
    for (what, times) in [
        ("accepted", accepted),
        ("duplicates", duplicates),
        ("too old", too_old),
        ("too new", too_new),
        ("active", active),
        ("ended", ended),
        ("waiting", waiting),
        ("counted", counted),
        ("changes by time", changes_by_time),
        ("rows dropped", rows_dropped),
        ("buckets", buckets),
    ] {
        assert!(times > 0, "{what}: never seen, so nothing was tried on it");
        println!("{what}: {times}");
    }
}

/// When an event arrives: as early as it may be, as late, when it happened, or somewhere between.
fn arrival(event: &Event, retention_ms: i64, last: i64, draw: u32) -> i64 {
    let (first, last) = (event.at.0 - 300_000, last.min(event.at.0 + retention_ms));
    let somewhere = first + (last - first).max(0) * i64::from(draw >> 3) / i64::from(u32::MAX >> 3);
    match draw & 7 {
        0 => first,
        1 | 2 => last,
        3 => event.at.0.min(last),
        _ => somewhere,
    }
}

#[test]
fn any_order_and_moment_of_arrival_gives_equal_answers() {
    let offers = vec((random::offer(), proptest::option::weighted(0.3, random::jump())), 1..40);
    let orders = vec(any::<u64>(), 3);
    let cases = (random::retention_ms(), random::first_moment(), offers, orders);
    let mut seen = Seen::default();
    let seen = RefCell::new(&mut seen);
    let outcome = crate::runner(400).run(&cases, |(retention_ms, first, offers, orders)| {
        let (mut model, mut now) = (Model::new(retention_ms), first);
        for (offer, jump) in &offers {
            model.offer(&offer.resolve(&model, now).workspace(HOME).account(HOME), Millis(now));
            now = jump.map_or(now, |jump| jump.resolve(&model, now));
        }
        if model.accepted.is_empty() {
            return Ok(());
        }
        for order in orders {
            let mut arrivals: Vec<(i64, u64, &Event)> = Vec::new();
            for (n, event) in model.accepted.iter().enumerate() {
                let draw = (order ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
                let draw = draw.wrapping_mul(0xbf58_476d_1ce4_e5b9);
                arrivals.push((arrival(event, retention_ms, now, (draw >> 32) as u32), draw, event));
            }
            arrivals.sort_unstable_by_key(|(at, draw, _)| (*at, *draw));
            let mut state = fresh(retention_ms);
            for (at, draw, event) in arrivals {
                state.apply(event, Millis(at));
                if draw & 7 == 0 {
                    state.realtime(&ChannelFilter::All, Millis(at));
                }
            }
            check_all(&model, &mut state, now, &mut seen.borrow_mut());
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
