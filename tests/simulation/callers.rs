//! Callers, askers and watchers: what they send, and what is checked of what they hear.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tasktally::engine::{Cumulative, Realtime, WindowError};
use tasktally::event::{Millis, WorkspaceSid};
use tasktally::pipeline::{
    AskError, Caller, Clock, CumulativeQuestion, IngestError, Ingested, Patience, Refusal, Scope, Stamped, Topic,
};

use super::oracle::{Failure, Health, TOO_LATE};
use super::plan::{About, Who};
use super::world::World;
use crate::support::bench::figures;
use crate::support::build;
use crate::support::random::{Ask, Offer, WORKSPACES};

pub type Answer<T> = Pin<Box<dyn Future<Output = T>>>;

/// A call whose caller waits.
pub struct Waiting {
    pub number: usize,
    workspaces: Vec<WorkspaceSid>,
    answer: Answer<Result<Ingested, IngestError>>,
}

/// A question whose asker waits.
pub struct Asked {
    ask: Ask,
    about: About,
    caller: Caller,
    /// The latest acknowledgement before it was asked: what it shows at least.
    revision: i64,
    answer: Answer<Result<Told, AskError>>,
}

/// An answer of any kind, in the form of one about both.
struct Told {
    revision: i64,
    as_of: Millis,
    realtime: Option<Arc<Realtime>>,
    cumulative: Option<Cumulative>,
}

pub struct Watched {
    topic: Arc<Topic>,
    ticks: tokio::sync::watch::Receiver<u64>,
    shown: Realtime,
    /// How often the workspace had been forgotten when this watch began.
    forgotten: u64,
}

impl World {
    pub fn caller(&self, who: Who) -> Caller {
        let mut caller = Caller::everything();
        if let Who::Owner(workspace) = who {
            caller.scope = Scope::Account(build::sid(workspace));
        }
        caller
    }

    pub fn submit(&mut self, offers: &[Offer], who: Who) {
        let (caller, now) = (self.caller(who), self.now());
        let mut events = Vec::new();
        for (index, offer) in (0..).zip(offers) {
            let mut event = offer.resolve(&self.oracle.model, now);
            if matches!(offer, Offer::Nothing) || event.workspace == build::workspace(WORKSPACES) {
                event.sid = build::sid(2_000_000 + self.numbers as u32 * 100 + index);
            }
            events.push((index, event));
        }
        let number = self.numbers;
        self.numbers += 1;
        let mut wanted: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, event) in &events {
            *wanted.entry(self.oracle.partition_of(event.workspace)).or_default() += 1;
        }
        let fits = wanted.iter().all(|(partition, events)| self.oracle.has_room(*partition, *events));
        let mut submission: Answer<_> = {
            let (pipeline, events) = (self.pipeline(), events.clone());
            Box::pin(async move { pipeline.submit(&caller, events, Patience::Refuse).await })
        };
        let Poll::Ready(outcome) = poll(&mut submission) else { panic!("an impatient call waits") };
        match (self.oracle.health, fits, outcome) {
            (Health::Writable, true, Ok(submitted)) => {
                let workspaces = events.iter().map(|(_, event)| event.workspace).collect();
                self.oracle.submit(number, caller, events);
                self.waiting.push(Waiting { number, workspaces, answer: Box::pin(submitted.settled()) });
                self.see("calls", 1);
            }
            (Health::Writable, false, Err(IngestError::Overloaded { .. })) => self.see("overload", 1),
            (Health::Unwritable, _, Err(IngestError::Unwritable { .. })) => self.see("unwritable", 1),
            (Health::Lost, _, Err(IngestError::Stopping)) => self.see("lost", 1),
            (health, fits, outcome) => {
                panic!("a call of {} events (room: {fits}, {health:?}): {:?}", events.len(), outcome.map(|_| ()))
            }
        }
        self.hear_answers();
    }

    pub fn leave(&mut self, nth: usize) {
        if nth % 2 == 1 && !self.forgetting.is_empty() {
            let gone = self.forgetting.remove(nth % self.forgetting.len());
            self.oracle.forgetting.leave(gone.number);
            self.see("callers gone", 1);
        } else if !self.waiting.is_empty() {
            let gone = self.waiting.remove(nth % self.waiting.len());
            if let Some(call) = self.oracle.calls.get_mut(&gone.number) {
                call.gone = true;
            }
            self.see("callers gone", 1);
        }
    }

    pub fn ask(&mut self, ask: &Ask, about: About, who: Who) {
        let (pipeline, caller) = (self.pipeline(), self.caller(who));
        let workspace = build::workspace(ask.workspace);
        let (channel, window) = (ask.filter.clone(), ask.window(&self.oracle.model, self.now()));
        let question = CumulativeQuestion { channel, window, thresholds: ask.thresholds.clone().into() };
        let filter = ask.filter.clone();
        let answer: Answer<Result<Told, AskError>> = match about {
            About::Realtime => Box::pin(async move {
                let Stamped { revision, as_of, answer } = pipeline.realtime(&caller, workspace, &filter).await?;
                Ok(Told { revision, as_of, realtime: Some(answer), cumulative: None })
            }),
            About::Cumulative => Box::pin(async move {
                let Stamped { revision, as_of, answer } = pipeline.cumulative(&caller, workspace, question).await?;
                Ok(Told { revision, as_of, realtime: None, cumulative: Some(answer) })
            }),
            About::Both => Box::pin(async move {
                let Stamped { revision, as_of, answer } = pipeline.statistics(&caller, workspace, question).await?;
                Ok(Told { revision, as_of, realtime: Some(answer.0), cumulative: Some(answer.1) })
            }),
        };
        let revision = self.acknowledged.get(&workspace).copied().unwrap_or(0);
        // The window is in moments, so that the answer can be checked at another time than this.
        let ask = ask.about(window);
        self.asked.push(Asked { ask, about, caller, revision, answer });
        self.hear_answers();
    }

    pub fn watch(&mut self, ask: &Ask) {
        let (pipeline, workspace, filter) = (self.pipeline(), build::workspace(ask.workspace), ask.filter.clone());
        let caller = Caller::everything();
        let mut answer: Answer<_> = Box::pin(async move { pipeline.topic(&caller, workspace, &filter).await });
        let partition = self.oracle.partition_of(workspace);
        let topic = loop {
            match poll(&mut answer) {
                Poll::Ready(topic) => break topic,
                Poll::Pending => assert!(self.move_partition(partition), "a watcher waits for ever"),
            }
        };
        match topic {
            Ok(topic) => {
                let latest = topic.latest();
                assert_eq!(latest.as_of.0, self.now(), "a first message is of the moment of the call");
                let (ticks, shown) = (topic.subscribe(), figures(&latest.answer));
                let forgotten = self.oracle.forgetting.times(workspace);
                self.watched.push(Watched { topic, ticks, shown, forgotten });
                if self.watched.len() > 2 {
                    self.watched.remove(0);
                }
                self.see("watches", 1);
                self.check_watched(None);
            }
            Err(error) => {
                assert_eq!(error, AskError::UnknownWorkspace);
                assert_eq!(self.oracle.model.account(workspace), None);
            }
        }
    }

    pub fn unwatch(&mut self, nth: usize) {
        if !self.watched.is_empty() {
            self.watched.remove(nth % self.watched.len());
        }
    }

    /// What is published is true of the moment that it names, has all that was acknowledged, and ticks as it changes.
    pub fn check_watched(&mut self, of: Option<usize>) {
        let forgetting = &self.oracle.forgetting;
        let ended = self.watched.extract_if(.., |watched| {
            let ended = watched.topic.has_ended();
            let forgotten = forgetting.times(watched.topic.workspace) > watched.forgotten;
            assert_eq!(ended, forgotten, "whether a watch ends, and whether its workspace was forgotten");
            assert!(!ended || watched.ticks.has_changed().expect("the topic is held"), "ended without a tick");
            ended
        });
        *self.seen.entry("forgotten under a watcher").or_default() += ended.count() as u64;
        for at in 0..self.watched.len() {
            let topic = self.watched[at].topic.clone();
            if of.is_some_and(|of| of != self.oracle.partition_of(topic.workspace)) {
                continue;
            }
            let Stamped { revision, as_of, answer } = topic.latest();
            let expected = self.oracle.model.realtime(topic.workspace, &topic.filter, as_of);
            let shown = figures(&answer);
            assert_eq!(Some(&shown), expected.as_ref(), "published, as of {as_of:?} at {}", self.now());
            self.check_revision(topic.workspace, revision);
            let watched = &mut self.watched[at];
            let ticked = watched.ticks.has_changed().expect("the topic is held");
            assert!(ticked || shown == watched.shown, "figures changed without a tick");
            watched.ticks.mark_unchanged();
            watched.shown = shown;
            *self.seen.entry("ticks").or_default() += u64::from(ticked);
        }
    }

    /// Never back, and never one number for two states.
    pub fn check_revision(&mut self, workspace: WorkspaceSid, revision: i64) {
        let state = self.oracle.state_of(workspace);
        if let Some((before, state_before)) = self.revisions.insert(workspace, (revision, state)) {
            assert!(revision >= before, "{workspace}: revision {revision} after {before}");
            if revision == before {
                assert_eq!(state, state_before, "{workspace}: two states have revision {revision}");
            }
        }
        let passed = self.oracle.parts[self.oracle.partition_of(workspace)].passed;
        assert_eq!(revision as u64, passed, "{workspace}: the revision, against what its partition has passed");
    }

    /// Everybody who has been answered hears it now.
    pub fn hear_answers(&mut self) {
        let mut heard = Vec::new();
        self.waiting.retain_mut(|waiting| match poll(&mut waiting.answer) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                heard.push((waiting.number, std::mem::take(&mut waiting.workspaces), outcome));
                false
            }
        });
        for (number, workspaces, outcome) in heard {
            self.trace.note(&outcome);
            self.check_call(number, &workspaces, outcome);
        }
        let mut told = Vec::new();
        for mut asked in std::mem::take(&mut self.asked) {
            match poll(&mut asked.answer) {
                Poll::Pending => self.asked.push(asked),
                Poll::Ready(answer) => told.push((asked, answer)),
            }
        }
        for (asked, answer) in told {
            self.check_answer(&asked, answer);
        }
        self.hear_of_forgetting();
    }

    fn check_call(&mut self, number: usize, workspaces: &[WorkspaceSid], outcome: Result<Ingested, IngestError>) {
        let call = self.oracle.calls.get_mut(&number).expect("it was submitted");
        // Where one part has failed the caller waits for no other.
        call.gone = true;
        let said: Vec<_> = call.shares.values().map(|share| share.said.clone()).collect();
        let mut expected = Ingested { revision: self.pipeline().passed() as i64, ..Ingested::default() };
        let mut latest = None;
        for said in said {
            match said {
                None => panic!("answered before it is settled: {outcome:?}"),
                Some(Ok(part)) => {
                    expected.accepted += part.accepted;
                    expected.duplicates += part.duplicates;
                    expected.refused.extend(part.refused);
                    latest = latest.max(Some(part.revision));
                }
                Some(Err(failure)) => {
                    match (failure, outcome) {
                        (Failure::Unwritable, Err(IngestError::Unwritable { .. })) => self.see("calls rolled back", 1),
                        (Failure::Stopping, Err(IngestError::Stopping)) => self.see("calls lost", 1),
                        (failure, outcome) => panic!("{failure:?}, and the caller heard {outcome:?}"),
                    }
                    return;
                }
            }
        }
        expected.refused.sort_unstable_by_key(|(index, _)| *index);
        if self.stopping && outcome == Err(IngestError::Stopping) {
            // It is on disk, but whether other partitions have heard of it, nobody can tell any more.
            return self.see("calls that ended with the process", 1);
        }
        let mut ingested = outcome.unwrap_or_else(|error| panic!("nothing failed, and the caller heard {error:?}"));
        for (refused, expected) in ingested.refused.iter_mut().zip(&expected.refused) {
            // How long ago is too long for an end that came too late hangs on what was admitted before.
            if *expected == (refused.0, TOO_LATE)
                && matches!(refused.1, Refusal::TooOld { .. } | Refusal::LimitExceeded { .. })
            {
                self.see("ends too late", 1);
                refused.1 = TOO_LATE;
            }
        }
        expected.revision = latest.unwrap_or(expected.revision.min(ingested.revision));
        assert_eq!(ingested, expected, "what a caller heard");
        for (what, times) in [
            ("accepted", ingested.accepted),
            ("duplicates", ingested.duplicates),
            ("refused", ingested.refused.len() as u64),
        ] {
            self.see(what, times);
        }
        for workspace in workspaces {
            let acknowledged = self.acknowledged.entry(*workspace).or_default();
            *acknowledged = (*acknowledged).max(ingested.revision);
            let passed = self.oracle.parts[self.oracle.partition_of(*workspace)].passed as i64;
            assert!(passed >= ingested.revision, "answered {} where {passed} was passed", ingested.revision);
        }
    }

    fn check_answer(&mut self, asked: &Asked, answer: Result<Told, AskError>) {
        if self.stopping && matches!(answer, Err(AskError::Stopping)) {
            return;
        }
        let (now, ask) = (self.clock.now(), &asked.ask);
        let sid = build::workspace(ask.workspace);
        let model = &self.oracle.model;
        let realtime = model.realtime(sid, &ask.filter, now).filter(|shown| asked.caller.sees(shown.account));
        let realtime = realtime.ok_or(AskError::UnknownWorkspace);
        let cumulative = match (model.interval(ask.window(model, now.0), now), &realtime) {
            // A bad request comes before an unknown workspace, and that before a window that is too old.
            (Err(empty @ WindowError::Empty { .. }), _) => Err(empty.into()),
            (_, Err(unknown)) => Err(unknown.clone()),
            (Err(too_old), _) => Err(too_old.into()),
            (Ok(range), Ok(_)) => {
                Ok(model.cumulative(sid, &ask.filter, range, &ask.thresholds).expect("the workspace is known"))
            }
        };
        let expected = match asked.about {
            About::Realtime => realtime.map(|shown| (Some(shown), None)),
            About::Cumulative => cumulative.map(|sums| (None, Some(sums))),
            About::Both => cumulative.and_then(|sums| Ok((Some(realtime?), Some(sums)))),
        };
        let told = match (answer, expected) {
            (Ok(told), Ok((realtime, cumulative))) => {
                let shown = told.realtime.as_ref().map(|shown| figures(shown));
                assert_eq!(shown, realtime, "at {now:?}, {ask:?}");
                assert_eq!(told.cumulative, cumulative, "at {now:?}, {ask:?}");
                told
            }
            (answer, expected) => {
                let answer = answer.map(|told| (told.realtime, told.cumulative));
                return assert_eq!(answer.err(), expected.err(), "at {now:?}, {ask:?}");
            }
        };
        assert_eq!(told.as_of, now, "{ask:?}");
        assert!(told.revision >= asked.revision, "a read of {} after an answer of {}", told.revision, asked.revision);
        if let Some(until) = told.realtime.as_ref().and_then(|shown| shown.valid_until) {
            assert!(until > now, "valid until {until:?}, at {now:?}");
        }
        self.trace.note(&(told.revision, told.realtime, told.cumulative));
        self.check_revision(sid, told.revision);
        self.see("answers", 1);
    }
}

pub fn poll<T>(future: &mut Answer<T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
