//! Workers and activities: who is there, and what each is doing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::parted::Parted;
use super::place::{Place, keep_latest};
use super::question::ActivityRow;
use super::table::TableSet;
use crate::event::{ActivitySid, Event, EventKind, WorkerSid};

/// The workers and activities of one workspace.
///
/// - Every fact is joined, never overwritten by arrival: facts commute, and a fact joined twice changes nothing
///   (`tests/law.rs`).
/// - A deletion is for ever: the ids of the deleted are kept as long as the workspace is.
/// - `activity.workers` is the number of known workers whose latest stated activity it is.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Workers {
    known: Parted<WorkerSid, Standing>,
    deleted: TableSet<WorkerSid>,
    activities: Parted<ActivitySid, Activity>,
    #[serde(skip)]
    rows: Option<Arc<[ActivityRow]>>,
}

/// The latest activity that a worker's events stated; `None` while none did.
type Standing = Option<(Place, ActivitySid)>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
struct Activity {
    name: Option<(Place, Box<str>)>,
    /// Whether its own events gave the name. What workers' events call it counts only as long as none has.
    is_own: bool,
    deleted: bool,
    workers: i64,
}

/// The form in checkpoints and carry-overs.
#[derive(Serialize, Deserialize)]
struct Written {
    own_name: Option<(Place, Box<str>)>,
    name_by_workers: Option<(Place, Box<str>)>,
    deleted: bool,
    workers: i64,
}

impl From<Activity> for Written {
    fn from(activity: Activity) -> Written {
        let Activity { name, is_own, deleted, workers } = activity;
        let (own_name, name_by_workers) = if is_own { (name, None) } else { (None, name) };
        Written { own_name, name_by_workers, deleted, workers }
    }
}

impl From<Written> for Activity {
    fn from(written: Written) -> Activity {
        let Written { own_name, name_by_workers, deleted, workers } = written;
        Activity { is_own: own_name.is_some(), name: own_name.or(name_by_workers), deleted, workers }
    }
}

impl Activity {
    fn name(&self) -> &str {
        self.name.as_ref().map_or("", |(_, name)| name)
    }

    /// Takes a name that its own event, or a worker's, gives it.
    fn call(&mut self, is_own: bool, place: Place, name: impl FnOnce() -> Box<str>) -> bool {
        if is_own && !self.is_own {
            (self.is_own, self.name) = (true, None);
        }
        is_own == self.is_own && keep_latest(&mut self.name, place, name)
    }

    fn is_listed(&self) -> bool {
        !self.deleted || self.workers > 0
    }
}

impl Workers {
    /// Takes what the event says of workers and activities; answers whether any figure may have changed.
    pub fn apply(&mut self, event: &Event) -> bool {
        let by_worker = event.worker.is_some() && self.apply_worker(event);
        let by_activity = event.activity.is_some() && self.apply_activity(event);
        if by_worker || by_activity {
            self.rows = None;
        }
        by_worker || by_activity
    }

    fn apply_worker(&mut self, event: &Event) -> bool {
        let Some(worker) = &event.worker else { return false };
        let mut changed = false;
        if let Some(activity) = worker.activity_sid {
            if !self.activities.contains_key(&activity) {
                self.activities.insert(activity, Activity::default());
                changed = true;
            }
            if let Some(name) = &worker.activity_name {
                let place = Place::of_workers_activity(event);
                changed |= self
                    .activities
                    .get_mut(&activity)
                    .is_some_and(|held| held.call(false, place, || name.as_str().into()));
            }
        }
        if event.kind == EventKind::WorkerDeleted {
            return self.delete_worker(worker.sid) || changed;
        }
        if self.deleted.contains(&worker.sid) {
            return changed;
        }
        let standing = match self.known.get_mut(&worker.sid) {
            Some(standing) => standing,
            None => {
                changed = true;
                self.known.get_or_default(worker.sid)
            }
        };
        let Some(activity) = worker.activity_sid else { return changed };
        let before = standing.map(|(_, activity)| activity);
        if keep_latest(standing, Place::of_worker(event, worker.version), || activity) && before != Some(activity) {
            self.count(before, -1);
            self.count(Some(activity), 1);
            changed = true;
        }
        changed
    }

    fn delete_worker(&mut self, worker: WorkerSid) -> bool {
        self.deleted.insert(worker);
        match self.known.remove(&worker) {
            Some(standing) => {
                self.count(standing.map(|(_, activity)| activity), -1);
                true
            }
            None => false,
        }
    }

    fn count(&mut self, activity: Option<ActivitySid>, by: i64) {
        if let Some(activity) = activity {
            self.activities.get_or_default(activity).workers += by;
        }
    }

    fn apply_activity(&mut self, event: &Event) -> bool {
        let Some(activity) = &event.activity else { return false };
        let before = self.activities.get(&activity.sid).cloned();
        let held = self.activities.get_or_default(activity.sid);
        if let Some(name) = &activity.name {
            held.call(true, Place::of_activity(event), || name.as_str().into());
        }
        held.deleted |= event.kind == EventKind::ActivityDeleted;
        before.as_ref() != Some(held)
    }

    pub fn total(&self) -> i64 {
        self.known.len() as i64
    }

    /// Every listed activity, by friendly name (as bytes), then sid.
    pub fn rows(&mut self) -> Arc<[ActivityRow]> {
        if let Some(rows) = &self.rows {
            return rows.clone();
        }
        let listed: BTreeSet<_> = self
            .activities
            .iter()
            .filter(|(_, activity)| activity.is_listed())
            .map(|(sid, activity)| (activity.name().as_bytes(), *sid, activity))
            .map(|(name, sid, activity)| (name, sid, activity.workers, activity.name()))
            .collect();
        let rows: Arc<[ActivityRow]> =
            listed.into_iter().map(|(_, sid, workers, name)| ActivityRow { sid, name: name.into(), workers }).collect();
        self.rows = Some(rows.clone());
        rows
    }

    pub fn count_known(&self) -> usize {
        self.known.len() + self.deleted.len()
    }

    pub fn count_activities(&self) -> usize {
        self.activities.len()
    }

    pub fn knows_worker(&self, worker: WorkerSid) -> bool {
        self.known.contains_key(&worker) || self.deleted.contains(&worker)
    }

    pub fn knows_activity(&self, activity: ActivitySid) -> bool {
        self.activities.contains_key(&activity)
    }

    /// Joins what another account of the same workspace knows: the union of both sets of facts. Used when the log is
    /// read from a carry-over on.
    pub fn join(&mut self, other: Workers) {
        for (sid, theirs) in other.activities {
            let held = self.activities.get_or_default(sid);
            if let Some((place, name)) = theirs.name {
                held.call(theirs.is_own, place, || name);
            }
            held.deleted |= theirs.deleted;
        }
        for worker in other.deleted {
            self.delete_worker(worker);
        }
        for (worker, theirs) in other.known {
            if self.deleted.contains(&worker) {
                continue;
            }
            let standing = self.known.get_or_default(worker);
            let before = standing.map(|(_, activity)| activity);
            if let Some((place, activity)) = theirs
                && keep_latest(standing, place, || activity)
            {
                self.count(before, -1);
                self.count(Some(activity), 1);
            }
        }
        self.rows = None;
    }
}
