//! What must be true: which events each partition has applied, which are on disk, what every caller must hear. Follows
//! the pipeline step by step, told only what a step took up (a call, a verdict) and what the store said.

use std::collections::{BTreeMap, VecDeque};

use tasktally::event::{Event, Millis, Task, WorkspaceSid};
use tasktally::pipeline::{Caller, Ingested, Refusal};

use super::forgetting::Forgetting;
use super::plan::Shape;
use super::store::{Noted, Said};
use crate::support::bench::refusal_of;
use crate::support::model::{Model, Outcome};

pub struct Oracle {
    pub shape: Shape,
    /// What the partitions have applied.
    pub model: Model,
    pub parts: Vec<Part>,
    /// Partitions whose rows wait for the writer, in order.
    rows: VecDeque<usize>,
    /// Positions on disk: each event has one, and each time that a workspace was forgotten.
    pub durable: u64,
    /// On disk, but the process was told that nobody knows: there after a restart.
    ghosts: Vec<Group>,
    pub health: Health,
    pub calls: BTreeMap<usize, Call>,
    /// The latest moment by which calls were admitted.
    admitted_at: i64,
    /// What waits to be forgotten, and what was.
    pub forgetting: Forgetting,
}

/// What has happened can no longer be told from outside: with this a run ends that is neither right nor wrong.
pub struct Unclear;

/// Stands for the refusal of an end that came too late, whatever moment it names.
pub const TOO_LATE: Refusal = Refusal::TooOld { oldest: Millis::MIN };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Writable,
    Unwritable,
    Lost,
}

#[derive(Default)]
pub struct Part {
    /// Calls that wait, by number.
    calls: VecDeque<usize>,
    pub group: Option<Group>,
    verdicts: VecDeque<Verdict>,
    pub passed: u64,
    /// Those who want a workspace forgotten, by number: not heard yet by the partition, and heard.
    pub forgets_sent: VecDeque<usize>,
    pub forgets: VecDeque<usize>,
    /// Events that wait or are under way.
    queued: usize,
}

#[derive(Default)]
pub struct Group {
    members: Vec<(usize, Ingested, bool)>,
    pub events: Vec<Event>,
    /// Instead of events: a workspace to be forgotten, and the number of the one who asked for it.
    pub forgets: Option<(usize, WorkspaceSid)>,
    written: bool,
    sizes: usize,
}

impl Group {
    pub fn forgetting(number: usize, workspace: WorkspaceSid) -> Group {
        Group { forgets: Some((number, workspace)), ..Group::default() }
    }

    /// How many positions it takes in the journal.
    pub fn positions(&self) -> u64 {
        self.events.len() as u64 + u64::from(self.forgets.is_some())
    }
}

enum Verdict {
    Synced(u64),
    Passed(u64),
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Unwritable,
    Stopping,
}

/// One call that was taken into the queues.
pub struct Call {
    pub caller: Caller,
    /// By partition: the events, and what has become of them.
    pub shares: BTreeMap<usize, Share>,
    /// Nobody waits for it any more.
    pub gone: bool,
}

pub struct Share {
    pub events: Vec<(u32, Event)>,
    pub said: Option<Result<Ingested, Failure>>,
}

impl Oracle {
    pub fn new(shape: Shape) -> Oracle {
        Oracle {
            model: Model::new(shape.retention_ms),
            shape,
            parts: Vec::new(),
            rows: VecDeque::new(),
            durable: 0,
            ghosts: Vec::new(),
            health: Health::Writable,
            calls: BTreeMap::new(),
            admitted_at: 0,
            forgetting: Forgetting::default(),
        }
    }

    /// The process is gone. What was on disk is what there is.
    pub fn end(&mut self) {
        for part in std::mem::take(&mut self.parts) {
            if let Some(group) = part.group
                && group.written
            {
                self.apply(&group);
            }
        }
        for group in std::mem::take(&mut self.ghosts) {
            self.apply(&group);
        }
        self.rows.clear();
        self.calls.clear();
        self.forgetting.end();
        self.health = Health::Writable;
        let there = self.model.accepted.len() as u64 + self.forgetting.positions;
        assert_eq!(there, self.durable, "positions that the oracle has, against those on disk");
    }

    /// What a group means once it is on disk.
    fn apply(&mut self, group: &Group) {
        self.model.accepted.extend_from_slice(&group.events);
        if let Some((_, workspace)) = group.forgets {
            let forgotten = self.model.forget(workspace).len();
            self.forgetting.note(workspace, forgotten);
        }
    }

    pub fn begin(&mut self, partitions: usize) {
        self.parts = (0..partitions).map(|_| Part { passed: self.durable, ..Part::default() }).collect();
    }

    pub fn partition_of(&self, workspace: WorkspaceSid) -> usize {
        tasktally::pipeline::partition_of(workspace, self.parts.len())
    }

    /// Whether there is room for so many events in the partition.
    pub fn has_room(&self, partition: usize, events: usize) -> bool {
        let most = self.shape.queue_events;
        self.parts[partition].queued + events.min(most) <= most
    }

    pub fn submit(&mut self, number: usize, caller: Caller, events: Vec<(u32, Event)>) {
        let mut shares: BTreeMap<usize, Share> = BTreeMap::new();
        for (index, event) in events {
            let partition = self.partition_of(event.workspace);
            let share = shares.entry(partition).or_insert_with(|| Share { events: Vec::new(), said: None });
            share.events.push((index, event));
        }
        for (partition, share) in &shares {
            let part = &mut self.parts[*partition];
            part.calls.push_back(number);
            part.queued += share.events.len().min(self.shape.queue_events);
        }
        self.calls.insert(number, Call { caller, shares, gone: false });
    }

    /// The partition has taken up so many calls, all that were waiting, and has accepted so many events.
    pub fn admit(&mut self, partition: usize, taken: usize, accepted: usize, now: Millis) {
        let part = &mut self.parts[partition];
        assert!(part.group.is_none(), "partition {partition} admits while its group is being synced");
        assert!(part.verdicts.is_empty(), "partition {partition} admits before it has heard of the last group");
        assert_eq!(part.calls.len(), taken, "calls that wait for partition {partition}");
        let calls: Vec<usize> = std::mem::take(&mut part.calls).into();
        let (mut group, doubts) = self.admit_all(partition, &calls, now, false);
        if doubts > 0 && group.events.len() != accepted {
            (group, _) = self.admit_all(partition, &calls, now, true);
            // Some of several were taken, and it does not show which.
            if doubts > 1 && group.events.len() != accepted {
                std::panic::panic_any(Unclear);
            }
        }
        assert!(group.events.len() == accepted, "accepted {accepted}, not {:?}", group.events);
        for number in calls {
            let call = &self.calls[&number];
            if call.gone {
                self.parts[partition].queued -= call.shares[&partition].events.len().min(self.shape.queue_events);
            }
        }
        self.admitted_at = self.admitted_at.max(now.0);
        if group.events.is_empty() {
            let passed = self.parts[partition].passed;
            self.settle(partition, group, Ok(passed));
        } else {
            self.hand_over(partition, group);
        }
    }

    /// The group goes to the writer.
    pub fn hand_over(&mut self, partition: usize, group: Group) {
        self.rows.push_back(partition);
        self.parts[partition].group = Some(group);
    }

    /// The group of these calls, with the ends that may be refused taken or not; and how many of these there are.
    fn admit_all(&mut self, partition: usize, calls: &[usize], now: Millis, takes: bool) -> (Group, usize) {
        let mut group = Group::default();
        let mut doubts = 0;
        for number in calls {
            let call = &self.calls[number];
            if call.gone {
                continue;
            }
            let (caller, events) = (call.caller, call.shares[&partition].events.clone());
            group.sizes += events.len().min(self.shape.queue_events);
            let (mut ingested, mut depends) = (Ingested::default(), false);
            for (index, event) in events {
                let fate = self.judge(&caller, &event, &group.events, now);
                let fits = matches!(fate, Ok(Fate::Accepted) | Err(Refusal::LimitExceeded { .. }));
                let doubtful = fits && self.may_be_too_late(&event);
                doubts += usize::from(doubtful);
                match fate {
                    Ok(Fate::Accepted) if doubtful && !takes => ingested.refused.push((index, TOO_LATE)),
                    Err(_) if doubtful => ingested.refused.push((index, TOO_LATE)),
                    Ok(Fate::Accepted) => {
                        ingested.accepted += 1;
                        depends = true;
                        group.events.push(event);
                    }
                    Ok(Fate::Duplicate { in_group }) => {
                        ingested.duplicates += 1;
                        depends |= in_group;
                    }
                    Err(refusal) => ingested.refused.push((index, refusal)),
                }
            }
            group.members.push((*number, ingested, depends));
        }
        (group, doubts)
    }

    /// Whether the event is one that may be refused although it is not too old by the clock: an end, after the clock
    /// was set back, of a task of which something is known that it does not explain.
    fn may_be_too_late(&self, event: &Event) -> bool {
        let beyond = event.at.0 + self.shape.retention_ms;
        let own = |known: &&Event| {
            let same = |task: &Task| event.task.as_ref().is_some_and(|own| own.sid == task.sid);
            known.workspace == event.workspace && known.task.as_ref().is_some_and(same)
        };
        let unexplained = |known: &Event| known.at.0 > beyond || (known.ends_task() && known.at > event.at);
        event.task.is_some()
            && event.ends_task()
            && beyond < self.admitted_at
            && self.model.accepted.iter().filter(own).any(unexplained)
    }

    /// What must become of an event, beside those of its group that were accepted before it.
    fn judge(&mut self, caller: &Caller, event: &Event, group: &[Event], now: Millis) -> Result<Fate, Refusal> {
        let applied = self.model.accepted.len();
        let alone = self.model.judge(event, now);
        self.model.accepted.extend_from_slice(group);
        let outcome = self.model.judge(event, now);
        let growth = self.check_growth(event);
        self.model.accepted.truncate(applied);
        if let Some(refusal) = refusal_of(outcome, now.0, self.shape.retention_ms) {
            return Err(refusal);
        }
        if !caller.sees(event.account) {
            return Err(Refusal::AccountMismatch);
        }
        if outcome == Outcome::Duplicate {
            return Ok(Fate::Duplicate { in_group: alone != Outcome::Duplicate });
        }
        growth?;
        Ok(Fate::Accepted)
    }

    /// The partition has heard what became of a group.
    pub fn hear(&mut self, partition: usize) {
        let part = &mut self.parts[partition];
        match part.verdicts.pop_front() {
            Some(Verdict::Passed(end)) => part.passed = part.passed.max(end),
            Some(Verdict::Synced(end)) => {
                let group = part.group.take().expect("a group was under way");
                part.passed = part.passed.max(end);
                self.apply(&group);
                self.settle(partition, group, Ok(end));
            }
            Some(Verdict::Failed(failure)) => {
                let group = part.group.take().expect("a group was under way");
                self.settle(partition, group, Err(failure));
            }
            None => panic!("partition {partition} heard a verdict that the store did not give"),
        }
    }

    fn settle(&mut self, partition: usize, mut group: Group, outcome: Result<u64, Failure>) {
        let passed = self.parts[partition].passed;
        self.parts[partition].queued -= group.sizes;
        self.forgetting.settle(&group, outcome);
        for (number, ingested, depends) in std::mem::take(&mut group.members) {
            let said = match outcome {
                Ok(end) => Ok(Ingested { revision: end as i64, ..ingested }),
                Err(failure) if depends => Err(failure),
                Err(_) => Ok(Ingested { revision: passed as i64, ..ingested }),
            };
            let share = self.calls.get_mut(&number).and_then(|call| call.shares.get_mut(&partition));
            if let Some(share) = share {
                share.said = Some(said);
            }
        }
        if group.written && outcome.is_err() {
            self.ghosts.push(group);
        }
    }

    /// The store has said something.
    pub fn note(&mut self, noted: Noted, is_awaited: impl Fn(usize) -> bool) {
        let said = match noted {
            Noted::Append { said, .. } | Noted::Probe(said) | Noted::Slice(said) => said,
        };
        if self.health != Health::Lost {
            self.health = match said {
                Said::Done(_) => Health::Writable,
                Said::Refused => Health::Unwritable,
                Said::Lost => Health::Lost,
            };
        }
        let Noted::Append { rows, said, written } = noted else { return };
        let took_part: Vec<usize> = self.rows.drain(..).collect();
        assert_eq!(rows, took_part.len(), "rows of a commit, and groups that waited for it");
        for partition in 0..self.parts.len() {
            let takes_part = took_part.contains(&partition);
            let part = &mut self.parts[partition];
            if let Some(group) = part.group.as_mut().filter(|_| takes_part && written) {
                group.written = true;
                self.durable += group.positions();
            }
            match said {
                Said::Done(end) if takes_part => part.verdicts.push_back(Verdict::Synced(end)),
                // It must settle first what it was told before.
                Said::Done(end) if part.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Synced(_))) => {
                    part.verdicts.push_back(Verdict::Passed(end));
                }
                Said::Done(end) => {
                    part.passed = part.passed.max(end);
                    if is_awaited(partition) {
                        part.verdicts.push_back(Verdict::Passed(end));
                    }
                }
                Said::Refused if takes_part => part.verdicts.push_back(Verdict::Failed(Failure::Unwritable)),
                Said::Lost if takes_part => part.verdicts.push_back(Verdict::Failed(Failure::Stopping)),
                Said::Refused | Said::Lost => {}
            }
        }
        if let Said::Done(end) = said {
            assert_eq!(end, self.durable, "where the journal ends, against the events that were appended");
        }
    }

    /// Whether the partition has nothing that it could take up.
    pub fn is_idle(&self, partition: usize) -> bool {
        let part = &self.parts[partition];
        let nothing_sent = part.verdicts.is_empty() && part.forgets_sent.is_empty();
        let nothing_waits = part.calls.is_empty() && part.forgets.is_empty();
        nothing_sent && (nothing_waits || part.group.is_some())
    }

    /// How many accepted events of the workspace are in its state: it is another state for each number.
    pub fn state_of(&self, workspace: WorkspaceSid) -> usize {
        self.model.accepted.iter().filter(|event| event.workspace == workspace).count()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accepted,
    Duplicate { in_group: bool },
}
