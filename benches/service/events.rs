//! The events: a simulated contact centre of one workspace, encoded ahead, so that the driver's share is small.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message;
use tasktally::api::proto::v1::{Event, IngestEventsRequest};
use tasktally::simulate::{Centre, Settings};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// When the first event happens: within the retention by so much that nothing grows too old while the bench runs.
const SINCE_MS: i64 = 30 * DAY_MS - 3 * 60 * 60 * 1000;
/// What the events are to cover: less, since how dense they come is found by trying.
const SPAN_MS: i64 = 28 * DAY_MS;
/// The events of such a trial, at least: two days of them, since a day has its hours.
const TRIAL: usize = 300_000;
const TRIAL_PART: usize = 14;

/// An endless supply of lawful events in the order of their time.
pub struct Events {
    centre: Centre,
    pub workspace_sid: String,
    pub first_ms: i64,
    pub last_ms: i64,
}

impl Events {
    /// A centre that makes about `count` events in the 30 days up to now.
    pub fn over_30_days(count: usize) -> Events {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
        let start_ms = now - SINCE_MS;
        let wanted_per_ms = count as f64 / SPAN_MS as f64;
        let mut tasks_per_second = wanted_per_ms * 1000.0 / 11.0;
        for _ in 0..3 {
            let tried = count.min(TRIAL.max(count / TRIAL_PART));
            let mut trial = Events::at_rate(tasks_per_second, start_ms);
            (0..tried).for_each(|_| drop(trial.next()));
            let made_per_ms = tried as f64 / (trial.last_ms - start_ms) as f64;
            tasks_per_second *= wanted_per_ms / made_per_ms;
        }
        Events::at_rate(tasks_per_second, start_ms)
    }

    fn at_rate(tasks_per_second: f64, start_ms: i64) -> Events {
        // Enough workers for tasks of minutes, which keeps the centre at the pace of real life.
        let workers = ((tasks_per_second * 500.0).ceil() as usize).max(5);
        let settings = Settings { start_ms, workspaces: 1, workers, tasks_per_second };
        let centre = Centre::new(1, settings);
        let workspace_sid = centre.workspace_sids().remove(0);
        Events { centre, workspace_sid, first_ms: start_ms, last_ms: start_ms }
    }

    fn next(&mut self) -> Event {
        let event = self.centre.next().expect("a centre never ends");
        self.last_ms = event.timestamp.map_or(0, |time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000);
        event
    }

    /// The next events as encoded requests.
    pub fn batches(&mut self, batches: usize, events: usize) -> Vec<Bytes> {
        let batch = |_| {
            let request = IngestEventsRequest { events: (0..events).map(|_| self.next()).collect() };
            request.encode_to_vec().into()
        };
        (0..batches).map(batch).collect()
    }

    pub fn days(&self) -> f64 {
        (self.last_ms - self.first_ms) as f64 / DAY_MS as f64
    }
}
