//! The last 15 minutes, 4 hours and 8 hours: what happened in them, and how it went on.
//!
//! They are asked for as GetCumulative and GetCumulativeSeries would ask, once for all boards that show the same, and never twice within
//! [`limits::WALLBOARD_WINDOWS_INTERVAL`]. Where nothing was accepted meanwhile, time alone moves them, which can wait
//! for [`limits::WALLBOARD_QUIET_INTERVAL`].

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::engine::{ChannelFilter, Cumulative, Figure, Window};
use crate::event::{Millis, WorkspaceSid};
use crate::limits;
use crate::pipeline::{AskError, Caller, CumulativeQuestion, Pipeline, SeriesQuestion, Stamped};

/// Length of each window in minutes, and of its trend's buckets in seconds.
const WINDOWS: [(u32, i64); 3] = [(15, 60), (240, 600), (480, 1200)];

/// What the windows are of: workspace, channel, and within how many seconds is good service.
pub type Key = (WorkspaceSid, ChannelFilter, u32);

/// The windows that somebody looks at, each once.
pub struct Shelf {
    pipeline: Pipeline,
    shared: Mutex<HashMap<Key, Weak<Shared>>>,
}

struct Shared {
    key: Key,
    pipeline: Pipeline,
    latest: tokio::sync::Mutex<Option<Latest>>,
}

#[derive(Clone)]
struct Latest {
    asked_at: Instant,
    /// What the journal had come to when it was asked.
    position: u64,
    event: Bytes,
}

impl Shelf {
    pub fn new(pipeline: &Pipeline) -> Shelf {
        Shelf { pipeline: pipeline.clone(), shared: Mutex::default() }
    }

    /// The windows for a caller who was found to see this workspace.
    pub fn windows(&self, caller: Caller, key: Key) -> Windows {
        // Whole at every moment, so that a panic elsewhere does not spoil it.
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shared.get(&key).and_then(Weak::upgrade);
        let found = found.unwrap_or_else(|| {
            shared.retain(|_, other| other.strong_count() > 0);
            let new =
                Shared { key: key.clone(), pipeline: self.pipeline.clone(), latest: tokio::sync::Mutex::default() };
            let new = Arc::new(new);
            shared.insert(key, Arc::downgrade(&new));
            new
        });
        let state = State::Asking(Box::pin(latest(found.clone(), caller)));
        Windows { shared: found, caller, state, sent_at: None }
    }
}

/// The windows as one board gets them.
pub struct Windows {
    shared: Arc<Shared>,
    caller: Caller,
    state: State,
    sent_at: Option<Instant>,
}

enum State {
    Waiting(Pin<Box<Sleep>>),
    Asking(Pin<Box<dyn Future<Output = Option<Latest>> + Send>>),
}

impl Windows {
    /// The next event, when it is due.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            match &mut self.state {
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = State::Asking(Box::pin(latest(self.shared.clone(), self.caller)));
                }
                State::Asking(asking) => {
                    let latest = ready!(asking.as_mut().poll(cx));
                    let next = Instant::now() + limits::WALLBOARD_WINDOWS_INTERVAL;
                    self.state = State::Waiting(Box::pin(sleep_until(next)));
                    // What cannot be had now may be had in a second; that it never will be, the real-time figures say.
                    if let Some(latest) = latest.filter(|latest| self.sent_at != Some(latest.asked_at)) {
                        self.sent_at = Some(latest.asked_at);
                        return Poll::Ready(latest.event);
                    }
                }
            }
        }
    }
}

/// The latest windows, asked for anew where they may have changed.
async fn latest(shared: Arc<Shared>, caller: Caller) -> Option<Latest> {
    let mut kept = shared.latest.lock().await;
    let (now, position) = (Instant::now(), shared.pipeline.passed());
    if let Some(kept) = &*kept {
        let age = now - kept.asked_at;
        let wanted = if kept.position == position {
            limits::WALLBOARD_QUIET_INTERVAL
        } else {
            limits::WALLBOARD_WINDOWS_INTERVAL * 9 / 10
        };
        if age < wanted {
            return Some(kept.clone());
        }
    }
    let told = told(&shared.pipeline, &caller, &shared.key).await.ok()?;
    let text =
        serde_json::to_string(&told).unwrap_or_else(|error| unreachable!("numbers are written as JSON: {error}"));
    let event = Bytes::from(format!("event: windows\ndata: {text}\n\n"));
    Some(kept.insert(Latest { asked_at: now, position, event }).clone())
}

#[derive(Serialize)]
struct Told {
    as_of_ms: i64,
    service_level_s: u32,
    windows: Vec<Figures>,
}

#[derive(Serialize)]
struct Figures {
    minutes: u32,
    tasks_created: u64,
    reservations_accepted: u64,
    tasks_canceled: u64,
    avg_acceptance_ms: u64,
    accepted_below: u64,
    /// `None` where the retention does not reach back as far.
    trend: Option<Trend>,
}

/// The same figures in whole buckets of the clock, of which the last has ended.
#[derive(Default, Serialize)]
struct Trend {
    bucket_s: i64,
    tasks_created: Vec<u64>,
    reservations_accepted: Vec<u64>,
    tasks_canceled: Vec<u64>,
    avg_acceptance_ms: Vec<u64>,
    accepted_below: Vec<u64>,
}

async fn told(pipeline: &Pipeline, caller: &Caller, key: &Key) -> Result<Told, AskError> {
    let mut told = Told { as_of_ms: 0, service_level_s: key.2, windows: Vec::with_capacity(WINDOWS.len()) };
    for (minutes, bucket_s) in WINDOWS {
        let (as_of, figures) = match ask(pipeline, caller, key, Window::Minutes(minutes)).await {
            Ok(Stamped { as_of, answer, .. }) => {
                let trend = trend(pipeline, caller, key, as_of, (minutes, bucket_s)).await;
                (as_of.0, Figures { trend: Some(trend?), ..figures(minutes, &answer) })
            }
            Err(AskError::WindowTooOld { .. }) => (told.as_of_ms, none(minutes)),
            Err(error) => return Err(error),
        };
        told.as_of_ms = as_of;
        told.windows.push(figures);
    }
    Ok(told)
}

async fn ask(
    pipeline: &Pipeline,
    caller: &Caller,
    (workspace, channel, within): &Key,
    window: Window,
) -> Result<Stamped<Cumulative>, AskError> {
    let question = CumulativeQuestion { channel: channel.clone(), window, thresholds: [*within].into() };
    pipeline.cumulative(caller, *workspace, question).await
}

async fn trend(
    pipeline: &Pipeline,
    caller: &Caller,
    (workspace, channel, within): &Key,
    as_of: Millis,
    (minutes, bucket_s): (u32, i64),
) -> Result<Trend, AskError> {
    let bucket_ms = bucket_s * 1000;
    let end = Millis(as_of.0.div_euclid(bucket_ms) * bucket_ms);
    let mut start = end.minus(i64::from(minutes) * 60_000);
    let mut trend = Trend { bucket_s, ..Trend::default() };
    // The first bucket may begin just before what is kept; then what is whole of the rest is shown.
    while start < end {
        let window = Window::Between { start, end };
        let of = CumulativeQuestion { channel: channel.clone(), window, thresholds: [*within].into() };
        match pipeline.series(caller, *workspace, SeriesQuestion { of, bucket_s }).await {
            Ok(Stamped { answer, .. }) => {
                answer.iter().for_each(|bucket| trend.add(&figures(minutes, bucket)));
                break;
            }
            Err(AskError::WindowTooOld { oldest, .. }) => {
                let first = (oldest.0 * 1000).div_euclid(bucket_ms) + 1;
                start = Millis((first * bucket_ms).max(start.0 + bucket_ms));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(trend)
}

impl Trend {
    fn add(&mut self, bucket: &Figures) {
        self.tasks_created.push(bucket.tasks_created);
        self.reservations_accepted.push(bucket.reservations_accepted);
        self.tasks_canceled.push(bucket.tasks_canceled);
        self.avg_acceptance_ms.push(bucket.avg_acceptance_ms);
        self.accepted_below.push(bucket.accepted_below);
    }
}

fn figures(minutes: u32, cumulative: &Cumulative) -> Figures {
    let totals = &cumulative.totals;
    let accepted = &totals.accepted;
    let average = accepted.total_ms.checked_div(accepted.count.into()).unwrap_or(0);
    Figures {
        minutes,
        tasks_created: totals.count(Figure::TasksCreated),
        reservations_accepted: totals.count(Figure::ReservationsAccepted),
        tasks_canceled: totals.count(Figure::TasksCanceled),
        avg_acceptance_ms: u64::try_from(average).unwrap_or(u64::MAX),
        accepted_below: totals.splits.first().map_or(0, |split| split.accepted_below),
        trend: None,
    }
}

fn none(minutes: u32) -> Figures {
    Figures {
        minutes,
        tasks_created: 0,
        reservations_accepted: 0,
        tasks_canceled: 0,
        avg_acceptance_ms: 0,
        accepted_below: 0,
        trend: None,
    }
}
