//! The thread of a partition: takes what comes, in the order of its urgency.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, select_biased};

use super::admission::MOST_IN_GROUP;
use super::ask::{Call, Forget, Question};
use super::partition::{Group, LoggedRow, Partition};
use super::writer::Verdict;
use crate::event::Millis;
use crate::limits;

/// Once a group holds this many events, no further call joins it.
const FULL_GROUP: usize = MOST_IN_GROUP - LARGEST_CALL;
/// No call holds more events than this.
pub const LARGEST_CALL: usize = limits::PIPELINE_CALL_EVENTS;
/// How often the partition looks after itself.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at what time has changed: watchers are not told more often than this anyway.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_millis(10);

/// What a partition's thread listens to.
pub struct Inbox {
    pub calls: Receiver<Call>,
    pub questions: Receiver<Question>,
    pub verdicts: Receiver<Verdict>,
}

pub struct Owner {
    pub partition: Partition,
    pub inbox: Inbox,
    /// To the journal's thread. It has a place for a row of each partition, so it never fills.
    pub journal: Sender<(usize, LoggedRow)>,
    pub number: usize,
}

/// What the thread knows besides the partition itself.
struct Turn {
    under_way: Option<Group>,
    /// Workspaces to be forgotten, each in a group of its own.
    forgets: VecDeque<Forget>,
    /// Questions that wait for a position.
    waiting: Vec<(u64, tokio::sync::oneshot::Sender<()>)>,
    stopping: bool,
    refreshed_at: Instant,
    refresh_at: Instant,
    tidy_at: Instant,
}

impl Turn {
    /// What was just published may become untrue earlier than what was known before.
    fn look_soon(&mut self) {
        self.refresh_at = self.refresh_at.min(self.refreshed_at + REFRESH_AT_MOST_EVERY);
    }
}

impl Owner {
    /// Runs until it is told to stop, or every handle of the pipeline is gone.
    pub fn run(mut self, clock: impl Fn() -> Millis) {
        let start = Instant::now();
        let mut turn = Turn {
            under_way: None,
            forgets: VecDeque::new(),
            waiting: Vec::new(),
            stopping: false,
            refreshed_at: start,
            refresh_at: start,
            tidy_at: start,
        };
        let closed = never();
        loop {
            // While a group is being synced the next one gathers in the queue.
            let calls = if turn.under_way.is_some() { &closed } else { &self.inbox.calls };
            let due = turn.refresh_at.min(turn.tidy_at).saturating_duration_since(Instant::now());
            select_biased! {
                recv(self.inbox.verdicts) -> verdict => match verdict {
                    Ok(verdict) => {
                        self.settle(&mut turn, verdict, clock());
                        turn.look_soon();
                    }
                    // The journal's thread is gone; nothing more can be made durable.
                    Err(_) => return,
                },
                recv(self.inbox.questions) -> question => match question {
                    Ok(Question::Passed(position, reply)) => turn.waiting.push((position, reply)),
                    Ok(Question::Stop) => turn.stopping = true,
                    Ok(Question::Forget(forget)) => turn.forgets.push_back(forget),
                    Ok(question) => {
                        self.partition.answer(question);
                        turn.look_soon();
                    }
                    Err(_) => return,
                },
                recv(calls) -> call => match call {
                    Ok(call) => self.begin(&mut turn, call, clock()),
                    Err(_) => return,
                },
                default(due) => {}
            }
            let passed = self.partition.passed();
            for (_, reply) in turn.waiting.extract_if(.., |(position, _)| *position <= passed) {
                let _ = reply.send(());
            }
            self.begin_forgetting(&mut turn, clock());
            if turn.stopping && turn.under_way.is_none() && self.inbox.calls.is_empty() {
                return;
            }
            self.keep_time(&mut turn, clock());
        }
    }

    /// Admits this call and what else is waiting, and hands the group to the journal.
    fn begin(&mut self, turn: &mut Turn, first: Call, now: Millis) {
        let mut events = first.events.len();
        let mut calls = vec![first];
        while events < FULL_GROUP
            && let Ok(call) = self.inbox.calls.try_recv()
        {
            events += call.events.len();
            calls.push(call);
        }
        let group = self.partition.admit(calls, now);
        match group.logged() {
            None => {
                let end = self.partition.passed();
                self.partition.settle(group, end, now);
            }
            Some(row) => self.hand_over(turn, group, row),
        }
    }

    /// Between two groups a workspace that is to be forgotten has its turn.
    fn begin_forgetting(&mut self, turn: &mut Turn, now: Millis) {
        while turn.under_way.is_none()
            && let Some(forget) = turn.forgets.pop_front()
        {
            if let Some(group) = self.partition.forget(forget, now)
                && let Some(row) = group.logged()
            {
                self.hand_over(turn, group, row);
            }
        }
    }

    fn hand_over(&self, turn: &mut Turn, group: Group, row: LoggedRow) {
        turn.under_way = Some(group);
        if self.journal.send((self.number, row)).is_err() {
            tracing::error!(partition = self.number, "the journal's thread is gone");
        }
    }

    fn settle(&mut self, turn: &mut Turn, verdict: Verdict, now: Millis) {
        match (verdict, turn.under_way.take()) {
            (Verdict::Synced { end }, Some(group)) => self.partition.settle(group, end, now),
            (Verdict::Passed { end }, group) => {
                turn.under_way = group;
                self.partition.pass(end);
            }
            (Verdict::Failed { error }, Some(group)) => self.partition.abandon(group, &error),
            (verdict @ (Verdict::Synced { .. } | Verdict::Failed { .. }), None) => {
                unreachable!("{verdict:?} for partition {}, which has no group under way", self.number)
            }
        }
    }

    fn keep_time(&mut self, turn: &mut Turn, now: Millis) {
        let at = Instant::now();
        if at >= turn.refresh_at {
            let wait = match self.partition.refresh(now) {
                Some(until) => Duration::from_millis(until.since(now) as u64).min(TIDY_EVERY),
                None => TIDY_EVERY,
            };
            turn.refreshed_at = at;
            turn.refresh_at = at + wait.max(REFRESH_AT_MOST_EVERY);
        }
        if at >= turn.tidy_at {
            self.partition.tidy(now);
            turn.tidy_at = at + TIDY_EVERY;
        }
    }
}
