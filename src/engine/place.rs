//! The order of facts: which of two statements about one object is the later one.

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventSid, Millis};

/// Where a fact stands among all facts about one object: by moment, then by the object's own version, then by the
/// rank of its kind, then by the event's sid. A total order that knows nothing of arrival, so that "the latest" is
/// the same whatever order the events came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub at: Millis,
    pub version: i64,
    pub rank: u8,
    pub event: EventSid,
}

impl Place {
    /// Among facts about the event's task.
    pub fn of_task(event: &Event, version: i64) -> Place {
        Place { at: event.at, version, rank: event.kind.task_rank(), event: event.sid }
    }

    /// Among facts about the event's worker.
    pub fn of_worker(event: &Event, version: i64) -> Place {
        Place { at: event.at, version, rank: event.kind.worker_rank(), event: event.sid }
    }

    /// Among what workers' events say of activities, which have no version of their own.
    pub fn of_workers_activity(event: &Event) -> Place {
        Place { at: event.at, version: 0, rank: event.kind.worker_rank(), event: event.sid }
    }

    /// Among what `activity.*` events say of an activity.
    pub fn of_activity(event: &Event) -> Place {
        Place { at: event.at, version: 0, rank: event.kind.activity_rank(), event: event.sid }
    }

    /// Among what events say of a task channel, which has no version.
    pub fn of_channel(event: &Event) -> Place {
        Place { at: event.at, version: 0, rank: event.kind.task_rank(), event: event.sid }
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
