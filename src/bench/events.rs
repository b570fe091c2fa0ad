//! The events: a simulated contact centre of one workspace, encoded ahead.

use bytes::Bytes;
use prost::Message;

use crate::api::proto::v1::{Event, EventType, IngestEventsRequest};
use crate::cli::client::now_ms;
use crate::event::{DAY_MS, HOUR_MS};
use crate::simulate::{Centre, Settings};

/// Events that a task makes, at least: a centre for more makes fewer in its span, and so never comes to the present.
pub const EVENTS_A_TASK: f64 = 11.0;
/// Before the span begins, and so what is left when all events are made.
const MARGIN_MS: i64 = HOUR_MS;

/// A supply of lawful events in the order of their time.
pub struct Events {
    centre: Centre,
    pub workspace_sid: String,
}

impl Events {
    /// A centre that makes `count` events within the last day; the seed and the present make them others in each run.
    pub fn over_a_day(seed: u64, count: usize, account_sid: Option<String>) -> Events {
        let tasks_per_second = (count as f64 / EVENTS_A_TASK * 1000.0 / DAY_MS as f64).max(1e-4);
        // Enough workers for tasks of minutes, which keeps the centre at the pace of real life.
        let workers = ((tasks_per_second * 500.0).ceil() as usize).max(5);
        let start_ms = now_ms() - DAY_MS - MARGIN_MS;
        let settings = Settings { start_ms, workspaces: 1, workers, tasks_per_second };
        let centre = Centre::of_account(seed, settings, account_sid);
        let workspace_sid = centre.workspace_sids().concat();
        Events { centre, workspace_sid }
    }

    /// The next events as one encoded request.
    pub fn batch(&mut self, events: usize) -> Bytes {
        encoded(self.centre.by_ref().take(events))
    }

    /// The next creation of a task, alone: one more is active, which every watcher is told at once. What any ten events
    /// come to may be nothing, a whole life of a task for one, and such a change is told with the next heartbeat.
    pub fn creation(&mut self) -> Bytes {
        encoded(self.centre.by_ref().filter(|event| event.r#type == EventType::TaskCreated as i32).take(1))
    }
}

fn encoded(events: impl Iterator<Item = Event>) -> Bytes {
    IngestEventsRequest { events: events.collect() }.encode_to_vec().into()
}
