//! What time alone does to tasks: ended ones stop showing after five minutes, silent ones are dropped after the
//! retention.

use serde::{Deserialize, Serialize};

use super::super::agenda::{Agenda, Entry, first_of};
use super::super::parted::Parted;
use super::ENDED_SHOWN_MS;
use super::gauges::Gauges;
use super::life::Life;
use crate::event::{HOUR_MS, Millis, TaskSid};

/// By how much the host's clock may be set back without an answer missing anything.
pub const CLOCK_SLACK_MS: i64 = HOUR_MS;

/// The queues of what is due, and the moment that the figures stand for.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Clockwork {
    moment: Millis,
    /// Every ended life that is held, by its end.
    ended: Agenda,
    /// An entry for each active life that is not dormant, at or before the moment of its latest fact: entries are put
    /// right when they are due, not at each event. Those of lives that have ended go when the sweep comes by.
    silent: Agenda,
    /// Active lives that time has dropped, kept for the slack in case the clock is set back.
    dormant: Agenda,
    /// Up to where the entries of `silent` have been looked through in this round.
    #[serde(skip)]
    swept: Option<Entry>,
}

/// How many entries are looked at for each that comes in, so that at most about half of them are of no use.
const SWEPT_AT_ONCE: usize = 2;

/// Which queue a life belongs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    None,
    Silent { latest: Millis },
    Dormant { latest: Millis },
    Ended { at: Millis },
}

/// How long after an end nothing but its moment is needed, also after the clock is set back.
pub const SETTLED_AFTER_MS: i64 = CLOCK_SLACK_MS + ENDED_SHOWN_MS;

/// Whether an end is so long ago that only its moment is needed.
pub fn is_settled(end: Millis, line: Millis) -> bool {
    end < line.minus(SETTLED_AFTER_MS)
}

impl Queue {
    pub fn of(life: &Life, moment: Millis, retention_ms: i64) -> Queue {
        let latest = life.latest_at();
        match life.end_at() {
            Some(at) => Queue::Ended { at },
            None if latest < moment.minus(retention_ms) => Queue::Dormant { latest },
            None => Queue::Silent { latest },
        }
    }
}

impl Clockwork {
    pub fn moment(&self) -> Millis {
        self.moment
    }

    /// A life moves from one queue to another.
    pub fn move_life(&mut self, task: TaskSid, from: Queue, to: Queue) {
        match from {
            Queue::Ended { at } if from != to => drop(self.ended.remove(&(at, task))),
            Queue::Dormant { latest } if from != to => drop(self.dormant.remove(&(latest, task))),
            Queue::None | Queue::Silent { .. } | Queue::Ended { .. } | Queue::Dormant { .. } => {}
        }
        match to {
            Queue::Ended { at } => drop(self.ended.insert((at, task))),
            Queue::Dormant { latest } => drop(self.dormant.insert((latest, task))),
            // One already there stays where it is: it is at an earlier moment, and put right when it is due.
            Queue::Silent { latest } if !matches!(from, Queue::Silent { .. }) => {
                self.silent.insert((latest, task));
            }
            Queue::None | Queue::Silent { .. } => {}
        }
    }

    /// For each life that begins: drops the next entries whose lives are not active any more. Little by little, since a
    /// million looked through at once would let ingest wait.
    pub fn sweep(&mut self, lives: &Parted<TaskSid, Life>) {
        for _ in 0..SWEPT_AT_ONCE {
            let next = match &self.swept {
                Some(swept) => self.silent.first_after(swept),
                None => self.silent.first(),
            };
            let next = next.copied();
            if let Some(entry) = next
                && lives.get(&entry.1).is_none_or(|life| life.end_at().is_some())
            {
                self.silent.remove(&entry);
            }
            self.swept = next;
        }
    }

    /// Moves the figures to `now`, in either direction.
    pub fn turn_to(&mut self, now: Millis, retention_ms: i64, lives: &Parted<TaskSid, Life>, gauges: &mut Gauges) {
        let then = std::mem::replace(&mut self.moment, now);
        let mut change = |task: TaskSid, life: &Life| {
            gauges.change(task, life.part(then, retention_ms), life.part(now, retention_ms));
        };
        let (earlier, later) = (then.min(now), then.max(now));
        let until = shown_since(later);
        for (_, task) in self.ended.since(&shown_since(earlier)).take_while(|entry| **entry < until) {
            if let Some(life) = lives.get(task) {
                change(*task, life);
            }
        }
        let oldest = now.minus(retention_ms);
        while let Some((at, task)) = self.silent.first().copied()
            && at < oldest
        {
            self.silent.pop_first();
            match lives.get(&task).map(|life| (life, Queue::of(life, now, retention_ms))) {
                Some((life, Queue::Dormant { latest })) => {
                    if self.dormant.insert((latest, task)) {
                        change(task, life);
                    }
                }
                Some((_, Queue::Silent { latest })) => drop(self.silent.insert((latest, task))),
                Some((_, Queue::None | Queue::Ended { .. })) | None => {}
            }
        }
        while let Some((latest, task)) = self.dormant.last().copied()
            && latest >= oldest
        {
            self.dormant.pop_last();
            self.silent.insert((latest, task));
            if let Some(life) = lives.get(&task) {
                change(task, life);
            }
        }
    }

    /// The first moment after `moment()` at which an ended task stops showing or a silent one is dropped.
    pub fn next_change(&mut self, retention_ms: i64, lives: &Parted<TaskSid, Life>) -> Option<Millis> {
        let fades = self.ended.since(&shown_since(self.moment)).next().map(|(end, _)| end.plus(ENDED_SHOWN_MS));
        let drops = loop {
            let Some((at, task)) = self.silent.first().copied() else { break None };
            match lives.get(&task).map(|life| Queue::of(life, self.moment, retention_ms)) {
                Some(Queue::Silent { latest }) if latest == at => break Some(at.plus(retention_ms + 1)),
                Some(Queue::Silent { latest }) => {
                    self.silent.pop_first();
                    self.silent.insert((latest, task));
                }
                _ => drop(self.silent.pop_first()),
            }
        };
        fades.into_iter().chain(drops).min()
    }

    /// The ends before `before` of the ended lives that are held.
    pub fn ended_before(&self, before: Millis) -> impl Iterator<Item = (TaskSid, Millis)> {
        self.ended.iter().take_while(move |(end, _)| *end < before).map(|(end, task)| (*task, *end))
    }

    /// Takes out the ended lives of which only the end is needed from now on.
    pub fn take_settled(&mut self, line: Millis) -> Vec<(TaskSid, Millis)> {
        let mut settled = Vec::new();
        while let Some((end, task)) = self.ended.first().copied()
            && is_settled(end, line)
        {
            self.ended.pop_first();
            settled.push((task, end));
        }
        settled
    }

    /// Takes out the dormant lives that not even a clock set back can bring into view.
    pub fn take_outdated(&mut self, line: Millis, retention_ms: i64) -> Vec<TaskSid> {
        let oldest = line.minus(retention_ms + CLOCK_SLACK_MS);
        let mut outdated = Vec::new();
        while let Some((latest, task)) = self.dormant.first().copied()
            && latest < oldest
        {
            self.dormant.pop_first();
            outdated.push(task);
        }
        outdated
    }
}

/// The first key of the ends that still show at `moment`: those later than five minutes before it.
fn shown_since(moment: Millis) -> Entry {
    first_of(moment.minus(ENDED_SHOWN_MS).plus(1))
}
