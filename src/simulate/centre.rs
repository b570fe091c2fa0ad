//! The centre: workspaces under one clock, as an endless iterator of lawful events in the order of their time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::draw::Draw;
use super::staff::WorkerTurn;
use super::task::TaskTurn;
use super::workspace::Workspace;
use crate::api::proto::v1::{Event, EventType};

/// What a centre is like. Equal settings and seeds make equal events.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// When it opens, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// At least 1.
    pub workspaces: usize,
    /// In each workspace.
    pub workers: usize,
    /// Over all workspaces, on the average of a day.
    pub tasks_per_second: f64,
}

/// A lawful contact centre. As an iterator it never ends and never goes back in time.
///
/// - Everything follows from the seed and the settings; it reads no clock.
/// - Every object's facts come in the order of their life, with growing versions.
/// - It holds the workers and the tasks that are not over, whatever the number of events.
#[derive(Debug)]
pub struct Centre {
    stage: Stage,
    workspaces: Vec<Workspace>,
    /// Mean time between two tasks, in microseconds.
    gap_us: f64,
}

/// What the workspaces share: the clock, chance, what is to come and what has just happened.
#[derive(Debug)]
pub(super) struct Stage {
    pub draw: Draw,
    /// Microseconds since the Unix epoch: at high rates many tasks share a millisecond.
    pub now_us: i64,
    /// The workspace whose turn it is.
    pub workspace: usize,
    /// Scales every duration, so that workers are busy but not swamped at any rate; at most 1.
    pace: f64,
    ready: VecDeque<Event>,
    to_come: BinaryHeap<Reverse<Turn>>,
    turns: u64,
    pub account_sid: String,
}

/// Something that will happen; it is void if its object has moved on by then.
#[derive(Clone, Debug)]
pub(super) enum What {
    NextTask,
    Housekeeping,
    Worker(u32, WorkerTurn),
    Task { slot: u32, life: u32, turn: TaskTurn },
}

#[derive(Debug)]
struct Turn {
    at_us: i64,
    order: u64,
    workspace: usize,
    what: What,
}

/// How busy tasks keep a worker at real-life pace, in seconds: ringing, work, wrap-up, transfers.
const CYCLE_SECONDS: f64 = 230.0;

/// Share of the workers that serve tasks, off shift and on break deducted, times how busy they should be.
const USEFUL_SHARE: f64 = 0.62 * 0.8;

/// Tasks by hour of the day (UTC), in percent of the average.
const DAY: [u32; 24] =
    [78, 75, 75, 75, 76, 80, 88, 98, 108, 117, 122, 125, 121, 118, 120, 123, 121, 115, 108, 103, 98, 94, 85, 77];

impl Centre {
    pub fn new(seed: u64, settings: Settings) -> Centre {
        Centre::of_account(seed, settings, None)
    }

    /// Likewise, of this account rather than one that is drawn; nothing else is another.
    pub fn of_account(seed: u64, settings: Settings, account_sid: Option<String>) -> Centre {
        let rate = settings.tasks_per_second.max(1e-6);
        let workers = (settings.workers * settings.workspaces) as f64;
        // Without workers there is nobody to keep busy: everything goes at the pace of real life.
        let pace = if workers == 0.0 { 1.0 } else { (workers * USEFUL_SHARE / rate / CYCLE_SECONDS).min(1.0) };
        let mut draw = Draw::new(seed, settings.start_ms, 0);
        let drawn = draw.sid("AC");
        let mut stage = Stage {
            account_sid: account_sid.unwrap_or(drawn),
            draw,
            now_us: settings.start_ms.saturating_mul(1000),
            workspace: 0,
            pace,
            ready: VecDeque::new(),
            to_come: BinaryHeap::new(),
            turns: 0,
        };
        let workspaces = (0..settings.workspaces.max(1))
            .map(|index| {
                stage.workspace = index;
                Workspace::open(&mut stage, index, settings.workers)
            })
            .collect();
        let mut centre = Centre { stage, workspaces, gap_us: 1e6 / rate };
        centre.expect_task();
        centre
    }

    pub fn account_sid(&self) -> &str {
        &self.stage.account_sid
    }

    /// The sids of its workspaces, in the order of their opening.
    pub fn workspace_sids(&self) -> Vec<String> {
        self.workspaces.iter().map(|workspace| workspace.sid.clone()).collect()
    }

    fn expect_task(&mut self) {
        let hour = self.stage.now_us.div_euclid(3_600_000_000).rem_euclid(24) as usize;
        let mean_us = self.gap_us * 100.0 / f64::from(DAY[hour]);
        let gap_us = self.stage.draw.around(mean_us as i64);
        self.stage.workspace = self.stage.draw.below(self.workspaces.len() as u64) as usize;
        self.stage.after_us(gap_us, What::NextTask);
    }

    fn take(&mut self, turn: Turn) {
        self.stage.now_us = turn.at_us;
        self.stage.workspace = turn.workspace;
        let workspace = &mut self.workspaces[turn.workspace];
        match turn.what {
            What::NextTask => {
                workspace.create_task(&mut self.stage);
                self.expect_task();
            }
            What::Housekeeping => workspace.keep_house(&mut self.stage),
            What::Worker(worker, turn) => workspace.take_worker_turn(&mut self.stage, worker, turn),
            What::Task { slot, life, turn } => workspace.take_task_turn(&mut self.stage, slot, life, turn),
        }
    }
}

impl Iterator for Centre {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.stage.ready.is_empty() {
            // Never empty: each new task brings about the next one.
            let Reverse(turn) = self.stage.to_come.pop()?;
            self.take(turn);
        }
        self.stage.ready.pop_front()
    }
}

impl Stage {
    /// This many seconds of real life at the centre's pace, in microseconds.
    pub fn paced_us(&self, seconds: i64) -> i64 {
        ((seconds * 1_000_000) as f64 * self.pace) as i64
    }

    /// Around this many seconds of real life, at the centre's pace.
    pub fn around_us(&mut self, seconds: i64) -> i64 {
        let mean_us = self.paced_us(seconds);
        self.draw.around(mean_us)
    }

    pub fn after_us(&mut self, delay_us: i64, what: What) {
        self.turns += 1;
        let at_us = self.now_us.saturating_add(delay_us.max(0));
        self.to_come.push(Reverse(Turn { at_us, order: self.turns, workspace: self.workspace, what }));
    }

    pub fn timestamp(&self) -> prost_types::Timestamp {
        let ms = self.now_us.div_euclid(1000);
        let nanos = (ms.rem_euclid(1000) * 1_000_000) as i32;
        prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
    }

    /// An event of now, with nothing in it yet.
    pub fn event(&mut self, workspace_sid: &str, kind: EventType) -> Event {
        Event {
            sid: self.draw.sid("EV"),
            r#type: kind as i32,
            timestamp: Some(self.timestamp()),
            account_sid: self.account_sid.clone(),
            workspace_sid: workspace_sid.to_owned(),
            ..Event::default()
        }
    }

    pub fn emit(&mut self, event: Event) {
        self.ready.push_back(event);
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Turn) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Turn) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Turn {
    fn cmp(&self, other: &Turn) -> std::cmp::Ordering {
        (self.at_us, self.order).cmp(&(other.at_us, other.order))
    }
}
