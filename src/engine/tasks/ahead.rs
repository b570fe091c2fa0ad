//! Facts dated ahead of the clock, which may yet turn out to belong to another life.

use serde::{Deserialize, Serialize};

use super::life::Fact;
use crate::event::{Millis, TaskSid};

/// The facts that were dated ahead of the clock when they were admitted.
///
/// An end that arrives at the very edge of the retention can put a fact into a life of its own; since no end is
/// admitted that is dated before the retention, that fact is dated after the end's admission.
///
/// - A fact is here from its admission on until no admission can be before its date any more. Admissions alone count:
///   questions may be ahead of events that are still being written.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Ahead {
    facts: Vec<(TaskSid, Fact)>,
    /// The latest admission.
    admitted_at: Millis,
    /// The date of the latest fact here; later than that of all where some were forgotten.
    latest: Millis,
}

impl Ahead {
    /// Keeps the fact if it is ahead.
    pub fn take(&mut self, task: TaskSid, fact: Fact, admitted_at: Millis) {
        self.admitted_at = self.admitted_at.max(admitted_at);
        let at = fact.place.at();
        if at <= admitted_at {
            return;
        }
        // Senders whose clocks run a little fast put every fact here, so what has been passed goes before room is made.
        if self.facts.len() == self.facts.capacity() {
            self.forget();
            self.facts.reserve(self.facts.len());
        }
        self.facts.push((task, fact));
        self.latest = self.latest.max(at);
    }

    /// The latest admission. Every fact dated after it is here.
    pub fn admitted_at(&self) -> Millis {
        self.admitted_at
    }

    /// Whether a fact about the task is dated after `moment`.
    pub fn has_beyond(&self, task: TaskSid, moment: Millis) -> bool {
        // Nearly every end is later than the edge of the retention, and needs no look.
        moment < self.latest && self.facts.iter().any(|(of, fact)| *of == task && fact.place.at() > moment)
    }

    pub fn of(&self, task: TaskSid) -> Vec<Fact> {
        self.facts.iter().filter(|(of, _)| *of == task).map(|(_, fact)| *fact).collect()
    }

    /// Drops what admission has passed.
    pub fn forget(&mut self) {
        let admitted_at = self.admitted_at;
        self.facts.retain(|(_, fact)| fact.place.at() > admitted_at);
    }
}
