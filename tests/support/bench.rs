//! A bench on which the engine, a pipeline and the model stand side by side: whatever is given to one is given to all,
//! and whatever is asked must be answered alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tasktally::engine::{ChannelFilter, ChannelRow, Cumulative, Realtime, Window, Workspace};
use tasktally::event::{DAY_MS, Event, Millis, WorkspaceSid};
use tasktally::pipeline::{
    AskError, Caller, Clock, CumulativeQuestion, GrowthLimits, MOST_AHEAD_MS, Patience, Pipeline, Refusal, Running,
    Settings, start_ephemeral,
};

use super::build;
use super::model::{Model, Outcome};

pub const MONTH_MS: i64 = 30 * DAY_MS;
/// Some moment far from zero, on no edge: its second, minute, hour and day have begun.
pub const NOON: i64 = 1_800_014_461_337;

/// A clock that stands still until it is set.
#[derive(Default)]
pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn at(now: i64) -> Arc<HandClock> {
        Arc::new(HandClock(AtomicI64::new(now)))
    }

    pub fn set(&self, now: i64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bounds so near that every look-up for them is made, and so far that none is reached.
pub fn settings(retention_ms: i64, partitions: usize) -> Settings {
    let many = 40_500;
    Settings {
        retention_ms,
        partitions,
        queue_events: 10_000,
        queue_questions: 100,
        views: 100,
        views_per_workspace: 3,
        min_free_disk_bytes: 0,
        growth: GrowthLimits {
            workspaces: many,
            channels: many,
            workers: many,
            activities: many,
            tasks: many,
            name_bytes: 256,
            ..GrowthLimits::default()
        },
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O has nothing to fail")
}

/// What a pipeline must answer to events that the model judges so.
pub fn refusal_of(outcome: Outcome, now: i64, retention_ms: i64) -> Option<Refusal> {
    match outcome {
        Outcome::Accepted | Outcome::Duplicate => None,
        Outcome::TooOld => Some(Refusal::TooOld { oldest: Millis(now - retention_ms) }),
        Outcome::TooNew => Some(Refusal::TooNew { newest: Millis(now + MOST_AHEAD_MS) }),
        Outcome::AccountMismatch => Some(Refusal::AccountMismatch),
    }
}

/// The figures of an answer; when they cease to be true is none.
pub fn figures(realtime: &Realtime) -> Realtime {
    Realtime { valid_until: None, ..realtime.clone() }
}

pub struct Bench {
    pub now: i64,
    pub model: Model,
    engine: BTreeMap<WorkspaceSid, Workspace>,
    pipeline: Running,
    clock: Arc<HandClock>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Retention of 30 days, at [`NOON`].
    pub fn new() -> Bench {
        Bench::with_retention(MONTH_MS)
    }

    pub fn with_retention(retention_ms: i64) -> Bench {
        let clock = HandClock::at(NOON);
        let pipeline =
            start_ephemeral(settings(retention_ms, 1), clock.clone(), Pipeline::default()).expect("threads start");
        let (model, engine) = (Model::new(retention_ms), BTreeMap::new());
        Bench { now: NOON, model, engine, pipeline, clock, runtime: runtime() }
    }

    /// A bench at [`NOON`] that was given these events, one by one.
    pub fn given(events: impl IntoIterator<Item = Event>) -> Bench {
        let mut bench = Bench::new();
        bench.take_all(events);
        bench
    }

    pub fn clock_at(&mut self, now: i64) -> &mut Bench {
        self.now = now;
        self.clock.set(now);
        self
    }

    /// Offers one event; answers what became of it.
    pub fn take(&mut self, event: Event) -> Outcome {
        let state = self.engine.get(&event.workspace);
        let known = state.is_some_and(|state| state.has(&event));
        let outcome = self.model.offer(&event, Millis(self.now));
        match outcome {
            Outcome::Accepted => {
                assert!(!known, "the engine takes {event:?} for a duplicate");
                let (account, retention_ms) = (event.account, self.model.retention_ms);
                let state = self.engine.entry(event.workspace);
                let state = state.or_insert_with(|| Workspace::new(account, retention_ms, 7));
                state.apply(&event, Millis(self.now));
            }
            Outcome::Duplicate => assert!(known, "the engine does not know {event:?}"),
            Outcome::TooOld | Outcome::TooNew | Outcome::AccountMismatch => {}
        }
        let pipeline = &self.pipeline.pipeline;
        let ingested = self.runtime.block_on(async {
            let call = pipeline.submit(&Caller::everything(), vec![(0, event)], Patience::Refuse).await;
            call.expect("there is room").settled().await.expect("nothing fails")
        });
        let counts = (ingested.accepted, ingested.duplicates);
        let expected = (u64::from(outcome == Outcome::Accepted), u64::from(outcome == Outcome::Duplicate));
        assert_eq!(counts, expected, "(accepted, duplicates), the model says {outcome:?}");
        let refused: Vec<Refusal> = ingested.refused.into_iter().map(|(_, refusal)| refusal).collect();
        assert_eq!(refused, Vec::from_iter(refusal_of(outcome, self.now, self.model.retention_ms)));
        outcome
    }

    /// Offers events that must be accepted.
    pub fn take_all(&mut self, events: impl IntoIterator<Item = Event>) -> &mut Bench {
        for event in events {
            let shown = format!("{event:?}");
            assert_eq!(self.take(event), Outcome::Accepted, "{shown}");
        }
        self
    }

    pub fn realtime(&mut self) -> Realtime {
        self.realtime_of(&ChannelFilter::All)
    }

    pub fn realtime_of(&mut self, filter: &ChannelFilter) -> Realtime {
        let (home, now) = (build::workspace(build::HOME), Millis(self.now));
        let expected = self.model.realtime(home, filter, now).expect("the workspace has an event");
        let state = self.engine.get_mut(&home).expect("the workspace has an event");
        let answer = state.realtime(filter, now);
        assert_eq!(figures(&answer), expected, "the engine against the model, {filter:?}");
        if let Some(until) = answer.valid_until {
            let then = self.model.realtime(home, filter, until.minus(1));
            assert_eq!(then, Some(expected.clone()), "until {until:?}, {filter:?}");
        }
        let pipeline = &self.pipeline.pipeline;
        let stamped =
            self.runtime.block_on(pipeline.realtime(&Caller::everything(), home, filter)).expect("it is known");
        assert_eq!(stamped.as_of, now);
        assert_eq!(figures(&stamped.answer), expected, "the pipeline against the model, {filter:?}");
        answer
    }

    pub fn cumulative(&mut self, window: Window) -> Cumulative {
        self.cumulative_of(&ChannelFilter::All, window, &[])
    }

    pub fn cumulative_of(&mut self, filter: &ChannelFilter, window: Window, thresholds: &[u32]) -> Cumulative {
        self.try_cumulative(filter, window, thresholds).unwrap_or_else(|error| panic!("{window:?}: {error}"))
    }

    pub fn try_cumulative(
        &mut self,
        filter: &ChannelFilter,
        window: Window,
        thresholds: &[u32],
    ) -> Result<Cumulative, AskError> {
        let (home, now) = (build::workspace(build::HOME), Millis(self.now));
        let range = self.model.interval(window, now);
        assert_eq!(window.resolve(now, self.model.retention_ms), range, "{window:?}");
        let expected = range.map_err(AskError::from).map(|range| {
            let expected = self.model.cumulative(home, filter, range, thresholds).expect("the workspace has an event");
            let state = self.engine.get(&home).expect("the workspace has an event");
            assert_eq!(state.cumulative(filter, range, thresholds), expected, "the engine against the model");
            expected
        });
        let question = CumulativeQuestion { channel: filter.clone(), window, thresholds: thresholds.into() };
        let pipeline = &self.pipeline.pipeline;
        let answer = self.runtime.block_on(pipeline.cumulative(&Caller::everything(), home, question));
        let answer = answer.map(|stamped| stamped.answer);
        assert_eq!(answer, expected, "the pipeline against the model");
        answer
    }

    pub fn channels(&mut self) -> Vec<ChannelRow> {
        let (home, now) = (build::workspace(build::HOME), Millis(self.now));
        let expected = self.model.channels(home, now);
        let state = self.engine.get_mut(&home).expect("the workspace has an event");
        assert_eq!(state.list_channels(None, usize::MAX, now), expected, "the engine against the model");
        expected
    }
}

/// Calls `check` with a bench that was given the events in each order there is.
pub fn in_every_order(now: i64, events: &[Event], mut check: impl FnMut(&mut Bench)) {
    assert!(events.len() <= 5, "{} events have too many orders", events.len());
    let mut order: Vec<usize> = (0..events.len()).collect();
    permute(&mut order, 0, &mut |order| {
        let mut bench = Bench::new();
        bench.clock_at(now).take_all(order.iter().map(|at| events[*at].clone()));
        check(&mut bench);
    });
}

fn permute(order: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for at in from..order.len() {
        order.swap(from, at);
        permute(order, from + 1, each);
        order.swap(from, at);
    }
}
