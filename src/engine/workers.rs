//! Workers and activities: who is there, and what each is doing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::place::{Place, keep_latest};
use super::question::ActivityRow;
use super::table::{Table, TableSet};
use crate::event::{ActivitySid, Event, EventKind, WorkerSid};

/// The workers and activities of one workspace.
///
/// - Every fact is joined, never overwritten by arrival: facts commute, and a fact joined twice changes nothing
///   (`tests/law.rs`).
/// - A deletion is for ever: the ids of the deleted are kept as long as the workspace is.
/// - `activity.workers` is the number of known workers whose latest stated activity it is.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Workers {
    known: Table<WorkerSid, Standing>,
    deleted: TableSet<WorkerSid>,
    activities: Table<ActivitySid, Activity>,
    #[serde(skip)]
    rows: Option<Arc<[ActivityRow]>>,
}

/// The latest activity that a worker's events stated; `None` while none did.
type Standing = Option<(Place, ActivitySid)>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Activity {
    own_name: Option<(Place, Box<str>)>,
    name_by_workers: Option<(Place, Box<str>)>,
    deleted: bool,
    workers: i64,
}

impl Activity {
    fn name(&self) -> &str {
        self.own_name.as_ref().or(self.name_by_workers.as_ref()).map_or("", |(_, name)| name)
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
            if let (Some(name), Some(held)) = (&worker.activity_name, self.activities.get_mut(&activity)) {
                let newer =
                    keep_latest(&mut held.name_by_workers, Place::of_workers_activity(event), || name.as_str().into());
                changed |= newer && held.own_name.is_none();
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
                self.known.entry(worker.sid).or_default()
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
            self.activities.entry(activity).or_default().workers += by;
        }
    }

    fn apply_activity(&mut self, event: &Event) -> bool {
        let Some(activity) = &event.activity else { return false };
        let before = self.activities.get(&activity.sid).cloned();
        let held = self.activities.entry(activity.sid).or_default();
        if let Some(name) = &activity.name {
            keep_latest(&mut held.own_name, Place::of_activity(event), || name.as_str().into());
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
            let held = self.activities.entry(sid).or_default();
            for (mine, theirs) in
                [(&mut held.own_name, theirs.own_name), (&mut held.name_by_workers, theirs.name_by_workers)]
            {
                if let Some((place, name)) = theirs {
                    keep_latest(mine, place, || name);
                }
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
            let standing = self.known.entry(worker).or_default();
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
