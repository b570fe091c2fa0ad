//! The order of facts: which of two statements about one object is the later one.

use std::cmp::Ordering;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventSid, Millis};

/// Where a fact stands among all facts about one object: by moment, then by the object's own version, then by the
/// rank of its kind, then by the event's sid. A total order that knows nothing of arrival, so that "the latest" is
/// the same whatever order the events came in.
///
/// Every active task and every worker has one, so it takes as little as it can: moment and rank lie in one number, which
/// is never 0, so that the absence of a place needs no room of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Place {
    /// From the highest bit on: milliseconds since the first moment there is, [`RANK_BITS`] of rank, a 1.
    moment_and_rank: NonZeroU64,
    version: i64,
    event: EventSid,
}

const RANK_BITS: u32 = 8;

/// The form in checkpoints and carry-overs.
#[derive(Serialize, Deserialize)]
struct Written {
    at: Millis,
    version: i64,
    rank: u8,
    event: EventSid,
}

#[derive(Debug, thiserror::Error)]
#[error("a place at a moment that is none")]
struct NoMoment;

impl From<Place> for Written {
    fn from(place: Place) -> Written {
        let Place { version, event, .. } = place;
        Written { at: place.at(), version, rank: place.rank(), event }
    }
}

impl TryFrom<Written> for Place {
    type Error = NoMoment;

    fn try_from(Written { at, version, rank, event }: Written) -> Result<Place, NoMoment> {
        Ok(Place::new(Millis::within(at.0).ok_or(NoMoment)?, version, rank, event))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        let key = |place: &Place| (place.at(), place.version, place.rank(), place.event);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Place {
    /// The moment of an event is always within [`Millis::MIN`] and [`Millis::MAX`].
    pub(in crate::engine) fn new(at: Millis, version: i64, rank: u8, event: EventSid) -> Place {
        let since_first = at.0.clamp(Millis::MIN.0, Millis::MAX.0).abs_diff(Millis::MIN.0);
        let moment_and_rank = NonZeroU64::MIN | since_first << (RANK_BITS + 1) | u64::from(rank) << 1;
        Place { moment_and_rank, version, event }
    }

    pub fn at(&self) -> Millis {
        Millis::MIN.plus((self.moment_and_rank.get() >> (RANK_BITS + 1)) as i64)
    }

    fn rank(&self) -> u8 {
        (self.moment_and_rank.get() >> 1) as u8
    }

    /// Among facts about the event's task.
    pub fn of_task(event: &Event, version: i64) -> Place {
        Place::new(event.at, version, event.kind.task_rank(), event.sid)
    }

    /// Among facts about the event's worker.
    pub fn of_worker(event: &Event, version: i64) -> Place {
        Place::new(event.at, version, event.kind.worker_rank(), event.sid)
    }

    /// Among what workers' events say of activities, which have no version of their own.
    pub fn of_workers_activity(event: &Event) -> Place {
        Place::new(event.at, 0, event.kind.worker_rank(), event.sid)
    }

    /// Among what `activity.*` events say of an activity.
    pub fn of_activity(event: &Event) -> Place {
        Place::new(event.at, 0, event.kind.activity_rank(), event.sid)
    }

    /// Among what events say of a task channel, which has no version.
    pub fn of_channel(event: &Event) -> Place {
        Place::new(event.at, 0, event.kind.task_rank(), event.sid)
    }
}

/// Keeps the value of the latest place; answers whether it was replaced.
pub fn keep_latest<T>(slot: &mut Option<(Place, T)>, place: Place, value: impl FnOnce() -> T) -> bool {
    let later = slot.as_ref().is_none_or(|(held, _)| *held < place);
    if later {
        *slot = Some((place, value()));
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_it_is_made_of_in_the_order_told() {
        let mut places = Vec::new();
        for at in [Millis::MIN, Millis(-1), Millis(0), Millis::MAX] {
            for version in [i64::MIN, 0, i64::MAX] {
                for rank in [0, 1, u8::MAX] {
                    for event in [[0; 16], [0xff; 16]].map(EventSid::from_bytes) {
                        let place = Place::new(at, version, rank, event);
                        let bytes = postcard::to_stdvec(&place).unwrap();
                        assert_eq!(bytes, postcard::to_stdvec(&(at, version, rank, event)).unwrap());
                        assert_eq!(postcard::from_bytes::<Place>(&bytes), Ok(place));
                        assert_eq!((place.at(), place.rank()), (at, rank));
                        places.push(place);
                    }
                }
            }
        }
        assert!(places.is_sorted_by(|one, other| one < other));
        let none = postcard::to_stdvec(&(Millis(i64::MAX), 0_i64, 0_u8, EventSid::from_bytes([0; 16]))).unwrap();
        assert!(postcard::from_bytes::<Place>(&none).is_err());
        assert_eq!(size_of::<Option<Place>>(), 32);
    }
}
