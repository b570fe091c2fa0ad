//! What a process under test does, drawn from a seed: the same in the process that does it and in the test that judges
//! what is left of it.

use std::ops::Range;

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tasktally::event::{DAY_MS, Event, HOUR_MS, Millis};

use crate::support::build::{self, Saying};
use crate::support::model::Model;
use crate::support::random::{Offer, offer};

pub const RETENTION_MS: i64 = DAY_MS;
pub const START_MS: i64 = 1_800_014_461_337;
/// Rows whose events lie this far apart are never packed into one block.
const FAR_APART_MS: i64 = 7 * HOUR_MS;
/// Then the rows so far are of no use any more.
const PAST_MS: i64 = RETENTION_MS + HOUR_MS + 300_001;
/// The first sid of events that are new: above those that plans choose.
const FIRST_SID: u32 = 10_000;

#[derive(Clone, Debug)]
pub enum Step {
    /// The calls of these numbers, submitted one after the other, none waiting for another's answer.
    Send(Range<usize>),
    /// The clock says so from here on.
    Clock(i64),
    /// A checkpoint; old rows are dropped with it if so.
    Keep { prune: bool },
    /// The process's part of the journal is closed and opened again; old rows are compressed between.
    Reopen,
}

pub struct History {
    pub calls: Vec<Vec<Event>>,
    pub steps: Vec<Step>,
}

/// A history in the making.
struct Draft {
    runner: TestRunner,
    model: Model,
    now: i64,
    next_sid: u32,
    history: History,
}

impl Draft {
    fn send(&mut self, calls: usize) {
        let from = self.history.calls.len();
        for _ in 0..calls {
            let offers = vec(offer(), 1..5).new_tree(&mut self.runner).expect("it can be drawn").current();
            let events = offers.iter().map(|offer| self.resolve(offer)).collect();
            self.history.calls.push(events);
        }
        self.history.steps.push(Step::Send(from..from + calls));
    }

    fn resolve(&mut self, offer: &Offer) -> Event {
        let mut event = offer.resolve(&self.model, self.now);
        if matches!(offer, Offer::New(_)) || self.model.accepted.is_empty() {
            event = event.sid(self.next_sid);
            self.next_sid += 1;
        }
        self.model.offer(&event, Millis(self.now));
        event
    }

    /// One call after the other, each answered before the next.
    fn send_singly(&mut self, calls: usize) {
        (0..calls).for_each(|_| self.send(1));
    }

    fn later(&mut self, by_ms: i64) {
        self.now += by_ms;
        self.history.steps.push(Step::Clock(self.now));
    }

    fn keep(&mut self, prune: bool) {
        self.history.steps.push(Step::Keep { prune });
        if prune {
            // The journal takes a slice of it after each group.
            self.send_singly(5);
        }
    }
}

impl History {
    /// Commits of one and of several calls, checkpoints, a restart, blocks, pruning with carry-over of rows and of
    /// blocks; what the calls hold is drawn.
    pub fn of(seed: u64) -> History {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let history = History { calls: Vec::new(), steps: Vec::new() };
        let runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut draft = Draft { runner, model: Model::new(RETENTION_MS), now: START_MS, next_sid: FIRST_SID, history };
        draft.history.steps.push(Step::Clock(START_MS));
        draft.send_singly(2);
        draft.send(3);
        draft.keep(false);
        draft.send(2);
        draft.later(FAR_APART_MS);
        draft.send_singly(3);
        draft.history.steps.push(Step::Reopen);
        draft.send(2);
        draft.later(PAST_MS);
        draft.send(2);
        draft.keep(true);
        draft.later(FAR_APART_MS);
        draft.send(3);
        draft.history.steps.push(Step::Reopen);
        draft.send_singly(1);
        draft.later(PAST_MS);
        draft.keep(true);
        draft.keep(false);
        draft.send(3);
        draft.history
    }

    /// How the calls are asked about: each with its workspaces.
    pub fn workspaces() -> impl Iterator<Item = tasktally::event::WorkspaceSid> {
        (0..=crate::support::random::WORKSPACES).map(build::workspace)
    }
}
