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
#[serde(into = "Written", from = "Written")]
pub struct Life(Stage);

/// Most lives held are active ones, of which only the latest shape is needed.
#[derive(Clone, Debug)]
enum Stage {
    Active(Packed),
    Other(Box<Written>),
}

/// A shape and its place, in less room.
#[derive(Clone, Copy, Debug)]
struct Packed {
    place: Place,
    /// Milliseconds since the first moment there is, times 8, and the status.
    created_and_status: u64,
    priority: i32,
    channel: ChannelId,
}

/// Whatever may be known of a life, and the form in checkpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Written {
    latest: Option<(Place, Shape)>,
    end: Option<End>,
}

const _: () = assert!(size_of::<Life>() == 48);

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

impl Packed {
    fn new(place: Place, shape: Shape) -> Packed {
        let Shape { created, status, priority, channel } = shape;
        let since_first = created.0.clamp(Millis::MIN.0, Millis::MAX.0).abs_diff(Millis::MIN.0);
        Packed { place, created_and_status: since_first << 3 | status as u64, priority, channel }
    }

    fn shape(&self) -> Shape {
        let created = Millis::MIN.plus((self.created_and_status >> 3) as i64);
        let status = TaskStatus::ALL[(self.created_and_status as usize & 7) - 1];
        Shape { created, status, priority: self.priority, channel: self.channel }
    }
}

impl From<Life> for Written {
    fn from(life: Life) -> Written {
        match life.0 {
            Stage::Active(packed) => Written { latest: Some((packed.place, packed.shape())), end: None },
            Stage::Other(written) => *written,
        }
    }
}

impl From<Written> for Life {
    fn from(written: Written) -> Life {
        match written {
            Written { latest: Some((place, shape)), end: None } => Life(Stage::Active(Packed::new(place, shape))),
            written => Life(Stage::Other(Box::new(written))),
        }
    }
}

impl Life {
    pub fn begin(fact: Fact) -> Life {
        let mut written = Written::default();
        written.join(fact);
        Life::from(written)
    }

    pub fn join(&mut self, fact: Fact) {
        match &mut self.0 {
            Stage::Active(held) if !fact.ends() => {
                if let Some(shape) = fact.shape
                    && held.place < fact.place
                {
                    *held = Packed::new(fact.place, shape);
                }
            }
            Stage::Active(held) => {
                let mut written = Written { latest: Some((held.place, held.shape())), end: None };
                written.join(fact);
                *self = Life::from(written);
            }
            Stage::Other(written) => {
                written.join(fact);
                if written.end.is_none() {
                    *self = Life::from(std::mem::take(&mut **written));
                }
            }
        }
    }

    fn end(&self) -> Option<&End> {
        match &self.0 {
            Stage::Active(_) => None,
            Stage::Other(written) => written.end.as_ref(),
        }
    }

    pub fn is_deleted(&self) -> bool {
        self.end().is_some_and(|end| end.deleted)
    }

    pub fn end_at(&self) -> Option<Millis> {
        self.end().map(|end| end.first.place.at())
    }

    /// Whether a fact of it is dated after `moment`.
    pub fn is_known_beyond(&self, moment: Millis) -> bool {
        self.latest_at() > moment || self.end_at().is_some_and(|end| end > moment)
    }

    /// The moment of the latest fact that shaped the task; an active task always has one.
    pub fn latest_at(&self) -> Millis {
        match &self.0 {
            Stage::Active(held) => held.place.at(),
            Stage::Other(written) => written.latest.map_or(Millis::MIN, |(place, _)| place.at()),
        }
    }

    pub fn part(&self, moment: Millis, retention_ms: i64) -> Part {
        let written = match &self.0 {
            Stage::Active(held) if held.place.at() >= moment.minus(retention_ms) => return Part::Active(held.shape()),
            Stage::Active(_) => return Part::None,
            Stage::Other(written) => written,
        };
        match (&written.end, written.latest) {
            (Some(end), Some((_, shape))) if !end.deleted && end.first.place.at() > moment.minus(ENDED_SHOWN_MS) => {
                let canceled = end.first.shape.is_some_and(|shape| shape.status == TaskStatus::Canceled);
                Part::Ended { channel: shape.channel, canceled }
            }
            _ => Part::None,
        }
    }
}

impl Written {
    fn join(&mut self, fact: Fact) {
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
            None => self.end = Some(End { first: fact, deleted: fact.deletes }),
        }
    }
}

impl Part {
    pub fn active(&self) -> Option<Shape> {
        match self {
            Part::Active(shape) => Some(*shape),
            Part::None | Part::Ended { .. } => None,
        }
    }

    /// The shape of a task that waits for a worker.
    pub fn waiting(&self) -> Option<Shape> {
        self.active().filter(|shape| shape.status.waits())
    }
}
