//! Tasks: which are active, which ended, and what the figures of each channel are at a given moment.
//!
//! `life.rs` says what one life of a task is, as a join of facts. `gauges.rs` counts lives by channel. `ends.rs`
//! remembers ends after the lives are gone. `ahead.rs` keeps facts that may yet change lives. `clock.rs` moves the
//! figures as time passes. Here they come together.

mod ahead;
mod clock;
mod ends;
mod gauges;
mod life;

use serde::{Deserialize, Serialize};

use self::ahead::Ahead;
pub use self::clock::{CLOCK_SLACK_MS, SETTLED_AFTER_MS};
use self::clock::{Clockwork, Queue};
use self::ends::Ends;
use self::gauges::Gauges;
pub use self::life::{Fact, Shape};
use self::life::{Life, Part};
use super::channels::ChannelId;
use super::parted::Parted;
use super::question::{LongestWaiting, StatusCounts};
use crate::event::{MINUTE_MS, Millis, TaskSid};

/// For how long an ended task still shows as completed or canceled.
pub const ENDED_SHOWN_MS: i64 = 5 * MINUTE_MS;

/// The tasks of one workspace.
///
/// - `lives` holds every active task (dormant ones for an hour more) and every task that ended lately and was not
///   deleted; `ends` holds all other ends. A task is never in both.
/// - The gauges count each life by the part that it plays at `clockwork.moment()`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tasks {
    retention_ms: i64,
    lives: Parted<TaskSid, Life>,
    ends: Ends,
    gauges: Gauges,
    clockwork: Clockwork,
    ahead: Ahead,
}

impl Tasks {
    pub fn new(retention_ms: i64) -> Tasks {
        Tasks {
            retention_ms,
            lives: Parted::default(),
            ends: Ends::default(),
            gauges: Gauges::default(),
            clockwork: Clockwork::default(),
            ahead: Ahead::default(),
        }
    }

    /// Takes one fact about one task, admitted at `admitted_at`. `line` is the latest moment that the service has seen.
    pub fn apply(&mut self, task: TaskSid, fact: Fact, admitted_at: Millis, line: Millis) {
        self.ahead.take(task, fact, admitted_at);
        self.join(task, fact, line);
    }

    fn join(&mut self, task: TaskSid, fact: Fact, line: Millis) {
        let at = fact.place.at();
        if let Some(moved) = self.ends.join_earlier_life(task, &fact, self.retention_ms) {
            if let Some(end_before) = moved {
                let until = end_before.plus(self.retention_ms);
                self.rejoin_ahead(task, at.plus(self.retention_ms), until, line);
            }
            return;
        }
        let end = match self.lives.get(&task) {
            Some(life) => life.end_at(),
            None => self.ends.get(task),
        };
        if let Some(end) = end
            && at > end.plus(self.retention_ms)
        {
            self.close_life(task, end);
        }
        let end_after = if self.lives.contains_key(&task) {
            self.grow_life(task, fact, line)
        } else if let Some(end) = self.ends.get(task) {
            let first = if fact.ends() { end.min(at) } else { end };
            self.ends.insert(task, first);
            Some(first)
        } else {
            self.begin_life(task, fact, line)
        };
        if end_after != end {
            self.split_life(task, end_after, line);
        }
    }

    /// Whether an end of the task at `at` might have to give later facts a life of their own that are no longer known
    /// one by one. Only while the clock stands behind the latest admission, which must have been by a clock that was
    /// set back since: an end that is not older than the retention then reaches back to facts that were not ahead.
    ///
    /// Where only the end of a life is remembered it may be so; where the life is held it surely is.
    pub fn is_too_late_to_end(&self, task: TaskSid, at: Millis) -> bool {
        let beyond = at.plus(self.retention_ms);
        if beyond >= self.ahead.admitted_at() {
            return false;
        }
        if let Some(end) = self.ends.earlier_end(task, at, self.retention_ms) {
            return at < end;
        }
        match self.lives.get(&task) {
            Some(life) => life.end_at().is_none_or(|end| at < end) && life.is_known_beyond(beyond),
            None => self.ends.get(task).is_some_and(|end| at < end),
        }
    }

    /// The latest moment by which facts were admitted.
    pub fn admitted_at(&self) -> Millis {
        self.ahead.admitted_at()
    }

    /// An end has appeared or moved to an earlier moment: facts ahead of the clock that lie beyond the memory of the
    /// end belong to the next life.
    fn split_life(&mut self, task: TaskSid, end: Option<Millis>, line: Millis) {
        let Some(end) = end else { return };
        let beyond = end.plus(self.retention_ms);
        if self.ahead.has_beyond(task, beyond) {
            self.close_life(task, end);
            self.rejoin_ahead(task, beyond, Millis::MAX, line);
        }
    }

    /// Joins again the task's facts ahead that were of a life until now: dated after `beyond`, which its end no longer
    /// reaches, and not after `until`, which it did. Joining a fact twice changes nothing.
    fn rejoin_ahead(&mut self, task: TaskSid, beyond: Millis, until: Millis, line: Millis) {
        for fact in self.ahead.of(task, beyond, until) {
            self.join(task, fact, line);
        }
    }

    /// The last life becomes an earlier one, of which only the end is kept.
    fn close_life(&mut self, task: TaskSid, end: Millis) {
        self.drop_life(task);
        self.ends.close(task, end);
    }

    fn drop_life(&mut self, task: TaskSid) {
        let moment = self.clockwork.moment();
        if let Some(life) = self.lives.remove(&task) {
            self.gauges.change(task, life.part(moment, self.retention_ms), Part::None);
            self.clockwork.move_life(task, Queue::of(&life, moment, self.retention_ms), Queue::None);
        }
    }

    /// Tells the task's lives anew from all that was ever said of it: in the order of time no end comes too late.
    pub fn retell(&mut self, task: TaskSid, mut facts: Vec<Fact>, line: Millis) {
        self.drop_life(task);
        self.ends.remove(task);
        facts.sort_unstable_by_key(|fact| fact.place);
        for fact in facts {
            self.join(task, fact, line);
        }
    }

    fn begin_life(&mut self, task: TaskSid, fact: Fact, line: Millis) -> Option<Millis> {
        let life = Life::begin(fact);
        let end = life.end_at();
        if let Some(end) = end
            && (life.is_deleted() || clock::is_settled(end, line))
        {
            self.ends.insert(task, end);
            return Some(end);
        }
        self.clockwork.sweep(&self.lives);
        let moment = self.clockwork.moment();
        self.gauges.change(task, Part::None, life.part(moment, self.retention_ms));
        self.clockwork.move_life(task, Queue::None, Queue::of(&life, moment, self.retention_ms));
        self.lives.insert(task, life);
        end
    }

    fn grow_life(&mut self, task: TaskSid, fact: Fact, line: Millis) -> Option<Millis> {
        let (moment, retention_ms) = (self.clockwork.moment(), self.retention_ms);
        let life = self.lives.get_mut(&task)?;
        let before = (life.part(moment, retention_ms), Queue::of(life, moment, retention_ms));
        life.join(fact);
        let end = life.end_at();
        let settled = end.filter(|end| life.is_deleted() || clock::is_settled(*end, line));
        let after = match settled {
            Some(_) => (Part::None, Queue::None),
            None => (life.part(moment, retention_ms), Queue::of(life, moment, retention_ms)),
        };
        self.gauges.change(task, before.0, after.0);
        self.clockwork.move_life(task, before.1, after.1);
        if let Some(end) = settled {
            self.lives.remove(&task);
            self.ends.insert(task, end);
        }
        end
    }

    /// Moves the figures to `now`, forwards or (after the host's clock was set back) backwards.
    pub fn turn_to(&mut self, now: Millis) {
        self.clockwork.turn_to(now, self.retention_ms, &self.lives, &mut self.gauges);
    }

    /// Drops what no question and no event can reach any more. `line` is the latest moment seen.
    pub fn forget(&mut self, line: Millis) {
        self.turn_to(line);
        self.ahead.forget();
        for (task, end) in self.clockwork.take_settled(line) {
            self.lives.remove(&task);
            self.ends.insert(task, end);
        }
        for task in self.clockwork.take_outdated(line, self.retention_ms) {
            self.lives.remove(&task);
        }
        self.ends.forget(line, self.retention_ms);
    }

    pub fn status(&self, channel: Option<ChannelId>) -> StatusCounts {
        self.gauges.status(channel)
    }

    pub fn active(&self, channel: Option<ChannelId>) -> i64 {
        self.gauges.active(channel)
    }

    pub fn by_priority(&self, channel: Option<ChannelId>) -> Box<[(i32, i64)]> {
        self.gauges.by_priority(channel)
    }

    pub fn count_priorities(&self) -> usize {
        self.gauges.count_priorities()
    }

    /// Whether a fact about the task that is dated `at` may say what it is now: it is of the last life, which goes on, and
    /// not older than what is known of it.
    pub fn may_lead(&self, task: TaskSid, at: Millis) -> bool {
        let is_beyond = |end: Millis| at > end.plus(self.retention_ms);
        match self.lives.get(&task) {
            Some(life) => match life.end_at() {
                Some(end) => is_beyond(end),
                None => life.latest_at() <= at,
            },
            None => self.ends.get(task).is_none_or(is_beyond),
        }
    }

    pub fn knows_priority(&self, priority: i32) -> bool {
        self.gauges.knows_priority(priority)
    }

    pub fn longest_waiting(&mut self, channel: Option<ChannelId>) -> Option<LongestWaiting> {
        let (lives, moment, retention_ms) = (&self.lives, self.clockwork.moment(), self.retention_ms);
        self.gauges.longest_waiting(channel, |task| {
            lives.get(&task).map_or(Part::None, |life| life.part(moment, retention_ms))
        })
    }

    /// The first moment after `moment()` at which time alone changes a figure.
    pub fn next_change(&mut self) -> Option<Millis> {
        self.clockwork.next_change(self.retention_ms, &self.lives)
    }

    /// The ends that rows about to be dropped may hold, for the carry-over: those before `before`, ascending. Lives that
    /// nobody has looked at since they ended are among them.
    pub fn ends_before(&self, before: Millis) -> Vec<(TaskSid, Millis)> {
        let mut ends = self.ends.before(before);
        ends.extend(self.clockwork.ended_before(before));
        ends.sort_unstable_by_key(|(task, end)| (*end, *task));
        ends
    }

    /// Takes an end from a carry-over.
    pub fn remember_end(&mut self, task: TaskSid, end: Millis) {
        self.ends.remember(task, end, self.retention_ms);
    }

    pub fn count_lives(&self) -> usize {
        self.lives.len()
    }

    pub fn knows(&self, task: TaskSid) -> bool {
        self.lives.contains_key(&task) || self.ends.get(task).is_some()
    }

    /// Forgets the figures of channels that no fact names any more.
    pub fn forget_channel(&mut self, channel: ChannelId) {
        self.gauges.remove(channel);
    }
}
