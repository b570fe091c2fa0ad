//! Where the events come from: simulated centres on the accelerated clock, with what networks and producers do wrong.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use tasktally::api::proto::v1::{self, EventType, RejectionReason};
use tasktally::event::{HOUR_MS, MINUTE_MS};
use tasktally::simulate::{Centre, Settings, timestamp_ms};

use super::world::{RETENTION_MS, World, count};
use crate::common::events::at;

/// Share of events that are sent late, in percent.
const LATE: u32 = 10;
/// How late at most. What a kill leaves in doubt must be sent again before it is too old: this leaves three
/// quarters of the retention for it, 22 seconds of a machine that stands still.
const LATE_BY_MS: i64 = RETENTION_MS / 4;
/// Share of tasks of which nothing more is heard, in percent: dropped once they have been silent for the retention.
const ABANDONED: u32 = 2;
/// An abandoned task's last version that is heard of.
const LAST_HEARD: i64 = 3;
/// Of the centre's average, the share of tasks that comes in every hour of the day: retained events must not follow it.
const EVEN_SHARE: f64 = 0.7;

/// What must become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    New,
    /// The same as a new one of this batch.
    Again,
    /// Acknowledged before.
    Known,
    Refused(RejectionReason),
}

#[derive(Clone, Debug)]
pub struct Item {
    pub event: v1::Event,
    pub fate: Fate,
}

/// A centre, and which of its tasks come about.
struct Feed {
    centre: Peekable<Centre>,
    /// Tasks that may still come, and when that was reckoned.
    tasks_due: f64,
    reckoned_ms: i64,
    tasks_a_ms: f64,
    /// Tasks that do not come about, and since when.
    skipped: HashMap<String, i64>,
    cleared_ms: i64,
}

pub struct Source {
    feeds: Vec<Feed>,
    /// Late events, by when they are sent.
    delayed: BTreeMap<(i64, u64), v1::Event>,
    ready: Vec<v1::Event>,
    delays: u64,
    rng: ChaCha8Rng,
    bad: u64,
}

impl Feed {
    fn open(seed: u64, settings: Settings) -> (Feed, Vec<String>) {
        let (start_ms, rate) = (settings.start_ms, settings.tasks_per_second);
        let centre = Centre::new(seed, settings);
        let workspaces = centre.workspace_sids();
        let feed = Feed {
            centre: centre.peekable(),
            tasks_due: 0.0,
            reckoned_ms: start_ms,
            tasks_a_ms: rate * EVEN_SHARE / 1000.0,
            skipped: HashMap::new(),
            cleared_ms: start_ms,
        };
        (feed, workspaces)
    }

    /// Whether this event comes about.
    fn happens(&mut self, event: &v1::Event, at_ms: i64) -> bool {
        let Some(task) = &event.task else { return true };
        if event.r#type == i32::from(EventType::TaskCreated) {
            self.tasks_due += (at_ms - self.reckoned_ms) as f64 * self.tasks_a_ms;
            self.tasks_due = self.tasks_due.min(20.0);
            self.reckoned_ms = at_ms;
            if self.tasks_due < 1.0 {
                self.skipped.insert(task.sid.clone(), at_ms);
            } else {
                self.tasks_due -= 1.0;
            }
        }
        let last_byte = u8::from_str_radix(&task.sid[32..], 16).expect("a sid is hexadecimal");
        let is_abandoned = u32::from(last_byte) * 100 < ABANDONED * 256;
        let is_silent = is_abandoned && task.version > LAST_HEARD;
        !is_silent && !self.skipped.contains_key(&task.sid)
    }

    fn next_until(&mut self, now_ms: i64) -> Option<v1::Event> {
        loop {
            let event = self.centre.next_if(|event| timestamp_ms(event) <= now_ms)?;
            let at_ms = timestamp_ms(&event);
            if at_ms - self.cleared_ms > HOUR_MS {
                self.cleared_ms = at_ms;
                self.skipped.retain(|_, since| at_ms - *since < 6 * HOUR_MS);
            }
            if self.happens(&event, at_ms) {
                return Some(event);
            }
        }
    }
}

impl Source {
    /// Two accounts; answers their workspaces too. So many events a second of the accelerated clock, about.
    pub fn open(seed: u64, start_ms: i64, events_a_second: f64, rng: ChaCha8Rng) -> (Source, Vec<String>) {
        let tasks_per_second = events_a_second / 14.0 / EVEN_SHARE / 2.0;
        let settings = Settings { start_ms, workspaces: 3, workers: 40, tasks_per_second };
        let (feeds, workspaces): (Vec<Feed>, Vec<Vec<String>>) =
            (0..2).map(|centre| Feed::open(seed + centre, settings.clone())).unzip();
        let source = Source { feeds, delayed: BTreeMap::new(), ready: Vec::new(), delays: 0, rng, bad: 0 };
        (source, workspaces.concat())
    }

    /// Takes in what has happened by now; answers how many events wait to be sent.
    pub fn advance(&mut self, world: &World, now_ms: i64) -> usize {
        for feed in &mut self.feeds {
            while let Some(event) = feed.next_until(now_ms) {
                if self.rng.random_range(0..100) < LATE {
                    // Half of them by little, as retries have it.
                    let by_ms = if self.rng.random_bool(0.5) { MINUTE_MS } else { LATE_BY_MS };
                    self.delays += 1;
                    self.delayed.insert((timestamp_ms(&event) + self.rng.random_range(0..by_ms), self.delays), event);
                    count(&world.counts.late);
                } else {
                    self.ready.push(event);
                }
            }
        }
        let later = self.delayed.split_off(&(now_ms + 1, 0));
        self.ready.extend(std::mem::replace(&mut self.delayed, later).into_values());
        self.ready.len()
    }

    /// A batch of what waits, and what does not belong into it: a fifth are duplicates, one in a hundred is refused.
    pub fn batch(&mut self, world: &World) -> Vec<Item> {
        let most = if self.rng.random_bool(0.1) { 1_500 } else { 300 };
        let count = self.rng.random_range(1..=most).min(self.ready.len());
        let new: Vec<v1::Event> = self.ready.drain(..count).collect();
        let mut batch: Vec<Item> = Vec::new();
        for event in new {
            if self.rng.random_bool(0.05) {
                batch.push(Item { event: event.clone(), fate: Fate::Again });
            }
            if self.rng.random_bool(0.01) {
                batch.push(self.unacceptable(world, &event));
            }
            batch.push(Item { event, fate: Fate::New });
        }
        let oldest_ms = world.clock.now_ms() - RETENTION_MS + 10 * MINUTE_MS;
        let recent = world.recent.lock().unwrap();
        for _ in 0..count * 15 / 100 {
            let Some(event) = (!recent.is_empty()).then(|| &recent[self.rng.random_range(0..recent.len())]) else {
                break;
            };
            if timestamp_ms(event) >= oldest_ms {
                batch.push(Item { event: event.clone(), fate: Fate::Known });
            }
        }
        drop(recent);
        batch.shuffle(&mut self.rng);
        batch
    }

    /// An event like this one that is refused, for one of the reasons.
    fn unacceptable(&mut self, world: &World, event: &v1::Event) -> Item {
        self.bad += 1;
        let now_ms = world.clock.now_ms();
        let mut event =
            v1::Event { sid: format!("EV{:032x}", (0xbad_u128 << 100) + u128::from(self.bad)), ..event.clone() };
        // Nobody can say which account a workspace has before one of its events was taken.
        let is_bound = world.home_of(&event.workspace_sid).is_some_and(|home| world.homes[home].floor() > 0);
        let reason = match self.rng.random_range(0..5) {
            0 => {
                event.timestamp = Some(at(now_ms - RETENTION_MS - 5 * MINUTE_MS));
                RejectionReason::TooOld
            }
            1 => {
                // Not even a minute on its way makes it lawful.
                event.timestamp = Some(at(now_ms + 3 * HOUR_MS));
                RejectionReason::TooNew
            }
            2 if is_bound => {
                event.account_sid = format!("AC{:032x}", self.bad);
                RejectionReason::AccountMismatch
            }
            3 => {
                event.workspace_sid = "WS".to_owned();
                RejectionReason::MalformedField
            }
            _ => {
                event.timestamp = None;
                RejectionReason::MissingField
            }
        };
        Item { event, fate: Fate::Refused(reason) }
    }

    pub fn draw(&mut self) -> impl Rng + '_ {
        &mut self.rng
    }
}
