//! One life of one task, as a join of the facts that belong to it.

use serde::{Deserialize, Serialize};

use super::super::channels::ChannelId;
use super::super::place::Place;
use super::ENDED_SHOWN_MS;
use crate::event::{Millis, TaskStatus};

/// What one event says of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub place: Place,
    /// Whether the event removes the task.
    pub deletes: bool,
    /// Absent on deletions, which need not say more than the sid.
    pub shape: Option<Shape>,
}

/// What a task looks like just after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub created: Millis,
    pub status: TaskStatus,
    pub priority: i32,
    pub channel: ChannelId,
}

impl Fact {
    pub fn ends(&self) -> bool {
        self.deletes || self.shape.is_some_and(|shape| shape.status.ends_task())
    }
}

/// A life: its latest shape, and its end if it has one.
///
/// - `join` is commutative, associative and idempotent, so that neither the order of arrival nor a second delivery
///   can show (`tests/law.rs`).
/// - Once there is an end it only ever moves to an earlier fact; nothing takes it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    latest: Option<(Place, Shape)>,
    /// Boxed, since most lives held are active ones.
    end: Option<Box<End>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct End {
    first: Fact,
    /// Whether any fact of the life, the first end or another, removes the task.
    deleted: bool,
}

/// The part that a life plays in the real-time figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// None: deleted, ended over five minutes ago, or without an event for longer than the retention.
    None,
    Active(Shape),
    /// Ended in the last five minutes: completed or canceled, by the fact that ended it.
    Ended {
        channel: ChannelId,
        canceled: bool,
    },
}

impl Life {
    pub fn begin(fact: Fact) -> Life {
        let mut life = Life { latest: None, end: None };
        life.join(fact);
        life
    }

    pub fn join(&mut self, fact: Fact) {
        if let Some(shape) = fact.shape
            && self.latest.is_none_or(|(place, _)| place < fact.place)
        {
            self.latest = Some((fact.place, shape));
        }
        if !fact.ends() {
            return;
        }
        match &mut self.end {
            Some(end) => {
                end.deleted |= fact.deletes;
                if fact.place < end.first.place {
                    end.first = fact;
                }
            }
            None => self.end = Some(Box::new(End { first: fact, deleted: fact.deletes })),
        }
    }

    pub fn is_deleted(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.deleted)
    }

    pub fn end_at(&self) -> Option<Millis> {
        self.end.as_ref().map(|end| end.first.place.at)
    }

    /// Whether a fact of it is dated after `moment`.
    pub fn is_known_beyond(&self, moment: Millis) -> bool {
        self.latest_at() > moment || self.end_at().is_some_and(|end| end > moment)
    }

    /// The moment of the latest fact that shaped the task; an active task always has one.
    pub fn latest_at(&self) -> Millis {
        self.latest.map_or(Millis::MIN, |(place, _)| place.at)
    }

    pub fn part(&self, moment: Millis, retention_ms: i64) -> Part {
        match (&self.end, self.latest) {
            (None, Some((place, shape))) if place.at >= moment.minus(retention_ms) => Part::Active(shape),
            (Some(end), Some((_, shape))) if !end.deleted && end.first.place.at > moment.minus(ENDED_SHOWN_MS) => {
                let canceled = end.first.shape.is_some_and(|shape| shape.status == TaskStatus::Canceled);
                Part::Ended { channel: shape.channel, canceled }
            }
            _ => Part::None,
        }
    }
}

impl Part {
    /// The shape of a task that waits for a worker.
    pub fn waiting(&self) -> Option<Shape> {
        match self {
            Part::Active(shape) if shape.status.waits() => Some(*shape),
            _ => None,
        }
    }
}
