//! What everybody in the soak shares: the clock, where the server is, the workspaces with their models, and counts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasktally::event::{HOUR_MS, Millis, WorkspaceSid};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};

use super::forget::forget;
use crate::common::clock::Clock;
use crate::support::model::Model;

/// The least retention that there is, so that it passes most often.
pub const RETENTION_MS: i64 = HOUR_MS;

/// Acknowledged events that duplicates are drawn from.
const RECENT_EVENTS: usize = 4_000;

/// Where a life of the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub life: u64,
    pub address: String,
}

/// One workspace.
pub struct Home {
    pub sid: String,
    pub id: WorkspaceSid,
    /// Held for reading while a batch that names it is under way; who compares holds it for writing.
    pub gate: Arc<RwLock<()>>,
    pub known: Mutex<Known>,
    /// The highest revision that anybody has seen.
    pub floor: AtomicI64,
}

/// What must be in a workspace.
pub struct Known {
    pub model: Model,
    forgotten_at_ms: i64,
}

#[derive(Default)]
pub struct Counts {
    pub accepted: AtomicU64,
    pub duplicates: AtomicU64,
    pub refused: AtomicU64,
    pub late: AtomicU64,
    pub batches: AtomicU64,
    pub streamed: AtomicU64,
    pub repeated: AtomicU64,
    pub broken: AtomicU64,
    pub connections: AtomicU64,
    pub watches: AtomicU64,
    pub messages: AtomicU64,
    pub questions: AtomicU64,
    pub comparisons: AtomicU64,
}

/// One more of it.
pub fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

pub struct World {
    pub clock: Clock,
    /// `None` while it is down or about to be.
    pub place: watch::Sender<Option<Place>>,
    pub homes: Vec<Home>,
    by_sid: HashMap<String, usize>,
    pub recent: Mutex<VecDeque<tasktally::api::proto::v1::Event>>,
    pub counts: Counts,
    pub over: AtomicBool,
}

impl World {
    pub fn new(clock: Clock, workspaces: Vec<String>) -> World {
        let home = |sid: String| Home {
            id: WorkspaceSid::parse(&sid).expect("the simulation's sids are sids"),
            sid,
            gate: Arc::default(),
            known: Mutex::new(Known { model: Model::new(RETENTION_MS), forgotten_at_ms: 0 }),
            floor: AtomicI64::new(0),
        };
        let homes: Vec<Home> = workspaces.into_iter().map(home).collect();
        World {
            clock,
            place: watch::Sender::new(None),
            by_sid: homes.iter().enumerate().map(|(at, home)| (home.sid.clone(), at)).collect(),
            homes,
            recent: Mutex::default(),
            counts: Counts::default(),
            over: AtomicBool::new(false),
        }
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn home_of(&self, workspace_sid: &str) -> Option<usize> {
        self.by_sid.get(workspace_sid).copied()
    }

    /// Where the server is, once it is somewhere; `None` when the run is over before.
    pub async fn place(&self) -> Option<Place> {
        let mut places = self.place.subscribe();
        loop {
            if self.is_over() {
                return None;
            }
            let place = places.borrow_and_update().clone();
            if place.is_some() {
                return place;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), places.changed()).await;
        }
    }

    /// A call that failed must be one to a life that is over, or about to be.
    pub fn excuse(&self, place: &Place, what: &str, failure: &dyn std::fmt::Debug) {
        let now = self.place.borrow().clone();
        assert!(now.as_ref() != Some(place), "{what} failed although the server was not to end: {failure:?}");
    }

    /// Lets nobody compare these workspaces. In the order of their numbers, so that no two wait for each other.
    pub async fn hold(&self, workspaces: &[usize]) -> Vec<OwnedRwLockReadGuard<()>> {
        assert!(workspaces.is_sorted(), "{workspaces:?}");
        let mut held = Vec::new();
        for &workspace in workspaces {
            held.push(self.homes[workspace].gate.clone().read_owned().await);
        }
        held
    }

    pub fn remember(&self, acknowledged: impl IntoIterator<Item = tasktally::api::proto::v1::Event>) {
        let mut recent = self.recent.lock().unwrap();
        recent.extend(acknowledged);
        let surplus = recent.len().saturating_sub(RECENT_EVENTS);
        recent.drain(..surplus);
    }

    /// Events of the retention, which the server must still have.
    pub fn retained(&self) -> u64 {
        let oldest = self.clock.now_ms() - RETENTION_MS;
        let of = |home: &Home| {
            let known = home.known.lock().unwrap();
            known.model.accepted.iter().filter(|event| event.at.0 >= oldest).count() as u64
        };
        self.homes.iter().map(of).sum()
    }
}

impl Home {
    /// Events were acknowledged for the first time.
    pub fn learn(&self, events: Vec<tasktally::event::Event>, revision: i64, now_ms: i64) {
        let mut known = self.known.lock().unwrap();
        known.model.accepted.extend(events);
        if now_ms - known.forgotten_at_ms >= HOUR_MS / 4 {
            known.forgotten_at_ms = now_ms;
            forget(&mut known.model, Millis(now_ms));
        }
        drop(known);
        self.saw(revision);
    }

    pub fn saw(&self, revision: i64) {
        self.floor.fetch_max(revision, Ordering::SeqCst);
    }

    pub fn floor(&self) -> i64 {
        self.floor.load(Ordering::SeqCst)
    }
}
