//! A call's way through a partition: made where it is queued, noted by the partition's owner as the group passes, told
//! where its answer is awaited. The owner only reads a clock, and that only where somebody wants to know.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::current::{self, Current, Mark, Part};

/// Other traced calls of a group that a call's commit is linked to.
const LINKS: usize = 8;

#[derive(Debug)]
pub struct Passage {
    call: Arc<Current>,
    partition: usize,
    queued: Instant,
    noted: OnceLock<Noted>,
}

/// What went through together, and when.
#[derive(Clone, Debug)]
pub struct Noted {
    pub group: Group,
    /// `None` where the group had nothing for the journal.
    pub append: Option<Append>,
    /// When the owner heard that the group is on disk, and had applied and published it.
    pub durable: Instant,
    pub applied: Instant,
    pub published: Instant,
}

/// Calls that go through a partition together.
#[derive(Clone, Debug)]
pub struct Group {
    pub calls: usize,
    pub events: usize,
    /// Spans of some of them.
    pub marks: Arc<[Mark]>,
}

/// One append to the journal with its sync, which may be for the groups of several partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    pub begun: Instant,
    pub ended: Instant,
    pub events: u64,
}

/// One message with events of the current call is to be queued: answers what its passages are made with, where they are
/// to be told.
pub fn begin() -> Option<Arc<Current>> {
    let call = current::told()?;
    call.count_message();
    Some(call)
}

impl Passage {
    /// Into the queue of this partition.
    pub fn into(call: &Arc<Current>, partition: usize) -> Arc<Passage> {
        Arc::new(Passage { call: call.clone(), partition, queued: Instant::now(), noted: OnceLock::new() })
    }

    /// Some of the calls that go together.
    pub fn marks<'p>(passages: impl Iterator<Item = &'p Arc<Passage>>) -> Arc<[Mark]> {
        passages.take(LINKS + 1).map(|passage| passage.call.mark().clone()).collect()
    }

    /// The owner is done with it.
    pub fn note(&self, noted: Noted) {
        // Noted once, by one owner.
        let _ = self.noted.set(noted);
    }

    /// The answer is there: tells of what was noted, or why there is nothing.
    pub fn tell(&self, failure: Option<String>) {
        let partition = ("tasktally.partition", i64::try_from(self.partition).unwrap_or(i64::MAX));
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let Some(Noted { group, append, durable, applied, published }) = self.noted.get() else {
            let numbers = [partition];
            let error = Some(failure.as_deref().unwrap_or("dropped"));
            self.part("commit", self.queued, Instant::now(), &numbers, &[], error);
            return;
        };
        let own = self.call.mark();
        let links: Vec<Mark> = group.marks.iter().filter(|mark| *mark != own).take(LINKS).cloned().collect();
        let (calls, events) = (number(group.calls), number(group.events));
        let numbers = [partition, ("tasktally.group.calls", calls), ("tasktally.group.events", events)];
        let commit = self.part("commit", self.queued, *durable, &numbers, &links, None);
        if let (Some(Append { begun, ended, events }), Some(commit)) = (append, commit) {
            let numbers = [("tasktally.commit.events", i64::try_from(*events).unwrap_or(i64::MAX))];
            let (name, parent, begun, ended) = ("append", &commit, *begun, *ended);
            self.call.tell(&Part { name, parent, begun, ended, numbers: &numbers, links: &[], error: None });
        }
        let numbers = [partition, ("tasktally.group.events", events)];
        self.part("apply", *durable, *applied, &numbers, &[], None);
        self.part("publish", *applied, *published, &[partition], &[], None);
    }

    fn part(
        &self,
        name: &'static str,
        begun: Instant,
        ended: Instant,
        numbers: &[(&'static str, i64)],
        links: &[Mark],
        error: Option<&str>,
    ) -> Option<Mark> {
        self.call.tell(&Part { name, parent: self.call.mark(), begun, ended, numbers, links, error })
    }
}
