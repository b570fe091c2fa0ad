//! An ordered set of tasks by moment, for what may come to be millions: which are silent, which wait, which ended.
//!
//! Tasks mostly come in the order of time, which leaves the nodes of a balanced tree half empty; and most workspaces have
//! but a few, for which one such node is too large. Here they lie in sorted runs, full ones where they came in order; a
//! run of few entries takes what these take, and a copy shares the runs until one of the two changes them.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{Millis, TaskSid};

/// One task at one moment; ordered by moment first.
pub type Entry = (Millis, TaskSid);

/// Entries a run: few enough to be moved in a tenth of a microsecond, many enough for the runs of a million entries to
/// be few.
const RUN_MOST: usize = 256;

/// What a `BTreeSet<Entry>` is. No run is empty; each begins after the one before it ends.
#[derive(Clone, Default)]
pub struct Agenda {
    runs: Vec<Arc<Vec<Entry>>>,
}

/// The key before every other of its moment.
pub fn first_of(moment: Millis) -> Entry {
    (moment, TaskSid::from_bytes([0; 16]))
}

impl Agenda {
    /// False if it was there.
    pub fn insert(&mut self, entry: Entry) -> bool {
        let run = self.run_of(&entry);
        let Some(held) = self.runs.get_mut(run) else {
            self.runs.push(Arc::new(vec![entry]));
            return true;
        };
        let Err(at) = held.binary_search(&entry) else { return false };
        if held.len() < RUN_MOST {
            put(Arc::make_mut(held), at, entry);
        } else if at == RUN_MOST {
            // At the end of all, or into the gap behind a run: what comes in order fills each run.
            match self.runs.get_mut(run + 1) {
                Some(next) if next.len() < RUN_MOST => put(Arc::make_mut(next), 0, entry),
                _ => self.runs.insert(run + 1, Arc::new(vec![entry])),
            }
        } else {
            let held = Arc::make_mut(held);
            let upper = held.split_off(RUN_MOST / 2);
            held.shrink_to_fit();
            self.runs.insert(run + 1, Arc::new(upper));
            self.insert(entry);
        }
        true
    }

    /// Whether it was there.
    pub fn remove(&mut self, entry: &Entry) -> bool {
        let run = self.run_of(entry);
        let Some(at) = self.runs.get(run).and_then(|held| held.binary_search(entry).ok()) else { return false };
        self.take(run, at);
        true
    }

    pub fn first(&self) -> Option<&Entry> {
        self.runs.first()?.first()
    }

    pub fn last(&self) -> Option<&Entry> {
        self.runs.last()?.last()
    }

    pub fn pop_first(&mut self) -> Option<Entry> {
        (!self.runs.is_empty()).then(|| self.take(0, 0))
    }

    pub fn pop_last(&mut self) -> Option<Entry> {
        let run = self.runs.len().checked_sub(1)?;
        Some(self.take(run, self.runs[run].len() - 1))
    }

    /// The first after this one, which need not be there.
    pub fn first_after(&self, entry: &Entry) -> Option<&Entry> {
        let run = self.run_of(entry);
        let held = self.runs.get(run)?;
        let at = held.partition_point(|other| other <= entry);
        held.get(at).or_else(|| self.runs.get(run + 1)?.first())
    }

    /// Ascending, from the first that is not before `from`.
    pub fn since(&self, from: &Entry) -> impl Iterator<Item = &Entry> {
        let run = self.run_of(from);
        let (first, later) = self.runs.get(run..).and_then(<[_]>::split_first).unzip();
        let first = first.map_or(&[][..], |held| &held[held.partition_point(|other| other < from)..]);
        first.iter().chain(later.into_iter().flatten().flat_map(|held| held.iter()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.runs.iter().flat_map(|held| held.iter())
    }

    /// The run that the entry is in, or would go into.
    fn run_of(&self, entry: &Entry) -> usize {
        self.runs.partition_point(|held| held.first().is_some_and(|first| first <= entry)).saturating_sub(1)
    }

    fn take(&mut self, run: usize, at: usize) -> Entry {
        let held = Arc::make_mut(&mut self.runs[run]);
        let entry = held.remove(at);
        if held.is_empty() {
            self.runs.remove(run);
        } else if held.len() * 4 < held.capacity() {
            held.shrink_to(held.len() * 2);
        }
        entry
    }
}

/// Inserts into a run that has room; it never takes more than the most that it may come to.
fn put(held: &mut Vec<Entry>, at: usize, entry: Entry) {
    if held.len() == held.capacity() {
        held.reserve_exact((held.len() / 4).max(2).min(RUN_MOST - held.len()));
    }
    held.insert(at, entry);
}

impl Serialize for Agenda {
    /// As a sequence.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let len = self.runs.iter().map(|held| held.len()).sum();
        let mut entries = serde::ser::Serializer::serialize_seq(serializer, Some(len))?;
        for entry in self.iter() {
            serde::ser::SerializeSeq::serialize_element(&mut entries, entry)?;
        }
        serde::ser::SerializeSeq::end(entries)
    }
}

impl<'de> Deserialize<'de> for Agenda {
    /// In any order: versions before this one wrote sets of other kinds.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Agenda, D::Error> {
        let entries: Vec<Entry> = Vec::deserialize(deserializer)?;
        let mut agenda = Agenda::default();
        for entry in entries {
            agenda.insert(entry);
        }
        Ok(agenda)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn entry(at: i64, task: u8) -> Entry {
        (Millis(at), TaskSid::from_bytes([task; 16]))
    }

    fn sound(agenda: &Agenda) {
        assert!(agenda.runs.iter().all(|held| (1..=RUN_MOST).contains(&held.len())));
        assert!(agenda.iter().is_sorted_by(|one, other| one < other));
    }

    #[test]
    fn what_comes_in_order_leaves_no_room_unused() {
        let mut agenda = Agenda::default();
        for at in 0..10_000 {
            agenda.insert(entry(at, 0));
        }
        sound(&agenda);
        assert_eq!(agenda.runs.len(), 10_000_usize.div_ceil(RUN_MOST));
        let copy = agenda.clone();
        agenda.remove(&entry(300, 0));
        let shared = agenda.runs.iter().zip(&copy.runs).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!((shared, copy.iter().count()), (agenda.runs.len() - 1, 10_000));
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(steps in proptest::collection::vec((0..8_u8, -1_000..1_000_i64, 0..3_u8), 0..5_000)) {
            let (mut agenda, mut model) = (Agenda::default(), BTreeSet::new());
            for (step, at, task) in steps {
                let entry = entry(at, task);
                match step {
                    0 => prop_assert_eq!(agenda.remove(&entry), model.remove(&entry)),
                    1 if at % 10 == 0 => prop_assert_eq!(agenda.pop_first(), model.pop_first()),
                    2 if at % 10 == 0 => prop_assert_eq!(agenda.pop_last(), model.pop_last()),
                    3 => {
                        let after = (std::ops::Bound::Excluded(entry), std::ops::Bound::Unbounded);
                        prop_assert_eq!(agenda.first_after(&entry), model.range(after).next());
                        prop_assert!(agenda.since(&entry).take(600).eq(model.range(entry..).take(600)));
                    }
                    _ => prop_assert_eq!(agenda.insert(entry), model.insert(entry)),
                }
                prop_assert_eq!((agenda.first(), agenda.last()), (model.first(), model.last()));
            }
            sound(&agenda);
            let back: Agenda = postcard::from_bytes(&postcard::to_stdvec(&agenda).unwrap()).unwrap();
            sound(&back);
            let of_before: Agenda = postcard::from_bytes(&postcard::to_stdvec(&model).unwrap()).unwrap();
            prop_assert!(back.iter().eq(&model) && of_before.iter().eq(&model));
        }
    }
}
