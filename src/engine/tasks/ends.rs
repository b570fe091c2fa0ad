//! The memory of ends: what keeps a late event from reviving a task whose life is long gone.

use serde::{Deserialize, Serialize};

use super::super::parted::Parted;
use super::super::table::Table;
use super::life::Fact;
use crate::event::{DAY_MS, HOUR_MS, Millis, TaskSid};

/// How much longer than twice the retention an end is remembered: by how much the clock may be set back, and two days
/// besides. A start without a checkpoint reads the events since the journal's last horizon again, and these must find
/// the ends that they found the first time; the horizon moves each hour, or later where the process stood still.
const REMEMBERED_BESIDES_MS: i64 = HOUR_MS + 2 * DAY_MS;

/// The ends of tasks.
///
/// An event dated more than the retention after an end begins a new life. Until the retention has passed *twice*, an
/// event dated within it may still arrive and must find the end; only then may it be forgotten.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Ends {
    /// The end of the last life of a task, where nothing else of that life is needed.
    last: Parted<TaskSid, Millis>,
    /// No end in `last` is before this one.
    oldest: Option<Millis>,
    /// The ends of the lives before the last one, ascending. Rare: a sid used again after the retention.
    earlier: Table<TaskSid, Vec<Millis>>,
}

impl Ends {
    pub fn get(&self, task: TaskSid) -> Option<Millis> {
        self.last.get(&task).copied()
    }

    pub fn insert(&mut self, task: TaskSid, end: Millis) {
        self.oldest = Some(self.oldest.map_or(end, |oldest| oldest.min(end)));
        self.last.insert(task, end);
    }

    /// Takes a fact that belongs to a life before the last one. `None`: it belongs to no such life. `Some(Some(_))`: it
    /// moved that life's end from there to its own, earlier moment.
    pub fn join_earlier_life(&mut self, task: TaskSid, fact: &Fact, retention_ms: i64) -> Option<Option<Millis>> {
        if self.earlier.is_empty() {
            return None;
        }
        let ends = self.earlier.get_mut(&task)?;
        let end = ends.iter_mut().find(|end| fact.place.at() <= end.plus(retention_ms))?;
        let moves = fact.ends() && fact.place.at() < *end;
        Some(moves.then(|| std::mem::replace(end, fact.place.at())))
    }

    /// The end of the earlier life that an event at `at` belongs to.
    pub fn earlier_end(&self, task: TaskSid, at: Millis, retention_ms: i64) -> Option<Millis> {
        self.earlier.get(&task)?.iter().copied().find(|end| at <= end.plus(retention_ms))
    }

    /// The last life, which ended at `end`, becomes an earlier one.
    pub fn close(&mut self, task: TaskSid, end: Millis) {
        self.last.remove(&task);
        let ends = self.earlier.entry(task).or_default();
        ends.push(end);
        ends.sort_unstable();
    }

    /// Nothing is known of the task's ends.
    pub fn remove(&mut self, task: TaskSid) {
        self.last.remove(&task);
        self.earlier.remove(&task);
    }

    /// Takes an end from a carry-over, which may repeat what is known.
    pub fn remember(&mut self, task: TaskSid, end: Millis, retention_ms: i64) {
        match self.get(task) {
            None => self.insert(task, end),
            Some(held) if end > held.plus(retention_ms) => {
                self.close(task, held);
                self.insert(task, end);
            }
            Some(held) if held > end.plus(retention_ms) => {
                self.close(task, end);
                self.insert(task, held);
            }
            Some(held) => self.insert(task, held.min(end)),
        }
    }

    /// In no order.
    pub fn before(&self, before: Millis) -> Vec<(TaskSid, Millis)> {
        let last = self.last.iter().map(|(task, end)| (*task, *end));
        let earlier = self.earlier.iter().flat_map(|(task, ends)| ends.iter().map(|end| (*task, *end)));
        last.chain(earlier).filter(|(_, end)| *end < before).collect()
    }

    /// Drops what no event can meet any more; only once that is worth a pass over everything.
    pub fn forget(&mut self, line: Millis, retention_ms: i64) {
        let before = line.minus(2 * retention_ms + REMEMBERED_BESIDES_MS);
        if self.oldest.is_none_or(|oldest| oldest >= before.minus(HOUR_MS)) && self.earlier.is_empty() {
            return;
        }
        self.last.retain(|end| *end >= before);
        self.oldest = self.last.values().min().copied();
        self.earlier.retain(|_, ends| {
            ends.retain(|end| *end >= before);
            !ends.is_empty()
        });
    }
}
