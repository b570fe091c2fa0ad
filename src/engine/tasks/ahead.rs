//! Facts dated ahead of the clock, which may yet turn out to belong to another life.

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::life::Fact;
use crate::engine::parted::Parted;
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
    facts: Facts,
    /// The latest admission.
    admitted_at: Millis,
    /// The date of the latest fact here; later than that of all where some were forgotten.
    latest: Millis,
}

/// By task: senders decide how many there are, and each end at the edge of the retention asks for those of its own.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "Vec<(TaskSid, Fact)>")]
struct Facts {
    of_task: Parted<TaskSid, Vec<Fact>>,
    count: usize,
    /// So many are taken before those that were passed must go.
    room: usize,
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
        if self.facts.count >= self.facts.room {
            self.forget();
            self.facts.room = (2 * self.facts.count).max(LEAST_ROOM);
        }
        self.facts.add(task, fact);
        self.latest = self.latest.max(at);
    }

    /// The latest admission. Every fact dated after it is here.
    pub fn admitted_at(&self) -> Millis {
        self.admitted_at
    }

    /// Whether a fact about the task is dated after `moment`.
    pub fn has_beyond(&self, task: TaskSid, moment: Millis) -> bool {
        // Nearly every end is later than the edge of the retention, and needs no look.
        moment < self.latest && self.facts.of(task).iter().any(|fact| fact.place.at() > moment)
    }

    /// Those about the task that are dated after `beyond`, and not after `until`.
    pub fn of(&self, task: TaskSid, beyond: Millis, until: Millis) -> Vec<Fact> {
        let within = |fact: &&Fact| beyond < fact.place.at() && fact.place.at() <= until;
        self.facts.of(task).iter().filter(within).copied().collect()
    }

    /// Drops what admission has passed.
    pub fn forget(&mut self) {
        self.facts.forget(self.admitted_at);
    }
}

const LEAST_ROOM: usize = 16;

impl Facts {
    fn add(&mut self, task: TaskSid, fact: Fact) {
        let facts = self.of_task.get_or_default(task);
        // Nearly always it stays the only one.
        if facts.is_empty() {
            facts.reserve_exact(1);
        }
        facts.push(fact);
        self.count += 1;
    }

    fn of(&self, task: TaskSid) -> &[Fact] {
        self.of_task.get(&task).map_or(&[], Vec::as_slice)
    }

    /// Drops those that are not dated after `moment`.
    fn forget(&mut self, moment: Millis) {
        let is_passed = |fact: &Fact| fact.place.at() <= moment;
        // Mostly all of them at once: then nothing is looked for one by one.
        self.of_task.retain(|facts| !facts.iter().all(is_passed));
        let touched = self.of_task.iter().filter(|(_, facts)| facts.iter().any(is_passed));
        for task in touched.map(|(task, _)| *task).collect::<Vec<_>>() {
            if let Some(facts) = self.of_task.get_mut(&task) {
                facts.retain(|fact| !is_passed(fact));
            }
        }
        self.count = self.of_task.values().map(Vec::len).sum();
    }
}

impl From<Vec<(TaskSid, Fact)>> for Facts {
    fn from(pairs: Vec<(TaskSid, Fact)>) -> Self {
        let mut facts = Facts::default();
        for (task, fact) in pairs {
            facts.add(task, fact);
        }
        facts
    }
}

/// As pairs of task and fact, whatever they lie in.
impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(Some(self.count))?;
        for (task, facts) in self.of_task.iter() {
            facts.iter().try_for_each(|fact| pairs.serialize_element(&(task, fact)))?;
        }
        pairs.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::place::Place;
    use crate::event::EventSid;

    fn fact(at: i64) -> Fact {
        let event = EventSid::from_bytes(u128::from(at.unsigned_abs()).to_be_bytes());
        Fact { place: Place::new(Millis(at), 0, 0, event), deletes: false, shape: None }
    }

    fn task(n: u8) -> TaskSid {
        TaskSid::from_bytes([n; 16])
    }

    #[test]
    fn what_admission_has_passed_is_gone_and_the_rest_is_with_its_task() {
        let mut ahead = Ahead::default();
        for at in 1..=100 {
            ahead.take(task(at as u8 % 4), fact(at), Millis(0));
        }
        ahead.take(task(9), fact(40), Millis(50));
        assert!(ahead.of(task(9), Millis(0), Millis::MAX).is_empty(), "it was not ahead");
        ahead.forget();
        let dates = |of: &Ahead, n: u8| {
            of.of(task(n), Millis(0), Millis::MAX).iter().map(|fact| fact.place.at().0).collect::<Vec<_>>()
        };
        assert_eq!(dates(&ahead, 1), (51..=100).filter(|at| at % 4 == 1).collect::<Vec<_>>());
        assert_eq!(ahead.of(task(1), Millis(57), Millis(65)).len(), 2, "61 and 65, not 57");
        assert!(ahead.has_beyond(task(0), Millis(99)) && !ahead.has_beyond(task(0), Millis(100)));
        assert!(ahead.has_beyond(task(3), Millis(98)) && !ahead.has_beyond(task(3), Millis(99)));
        let again: Ahead = postcard::from_bytes(&postcard::to_stdvec(&ahead).unwrap()).unwrap();
        assert!((0..4).all(|n| dates(&again, n) == dates(&ahead, n)));
        assert_eq!((again.facts.count, again.latest), (50, Millis(100)));
        ahead.take(task(0), fact(1), Millis(100));
        ahead.forget();
        assert_eq!((ahead.facts.count, ahead.facts.of_task.len()), (0, 0));
    }

    #[test]
    fn checkpoints_have_facts_as_they_always_had() {
        let pairs = vec![(task(1), fact(7)), (task(2), fact(8))];
        let ahead = Ahead { facts: pairs.clone().into(), admitted_at: Millis(5), latest: Millis(8) };
        let before = postcard::to_stdvec(&(pairs, Millis(5), Millis(8))).unwrap();
        assert_eq!(postcard::to_stdvec(&ahead).unwrap(), before);
    }
}
