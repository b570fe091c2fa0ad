//! Written answers that are still true: pollers ask for the same figures many times a second.
//!
//! An answer is given again only where writing it anew would give the same bytes: the same figures, which the owner has
//! published and vouches for, of the same revision, in the same second, with the same age of the longest wait in seconds.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;
use http::HeaderValue;

use super::figures::Sheet;
use crate::engine::{ChannelFilter, Realtime};
use crate::event::WorkspaceSid;
use crate::limits;
use crate::pipeline::Stamped;

/// An answer as it is sent.
#[derive(Clone, Debug)]
pub struct Written {
    pub text: Bytes,
    pub validator: HeaderValue,
}

impl From<Sheet> for Written {
    fn from(sheet: Sheet) -> Written {
        let validator = HeaderValue::from_str(&sheet.validator());
        let validator = validator.unwrap_or_else(|_| unreachable!("a validator is hexadecimal digits"));
        Written { text: sheet.into_text().into(), validator }
    }
}

/// One place for each of a fixed number of hashes; who comes last has it.
pub struct Kept {
    places: Box<[Mutex<Option<Answer>>]>,
    hasher: RandomState,
}

struct Answer {
    workspace: WorkspaceSid,
    channel: ChannelFilter,
    figures: Arc<Realtime>,
    moment: Moment,
    written: Written,
}

/// What of a moment shows in an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    revision: i64,
    second: i64,
    age_s: i64,
}

impl Moment {
    fn of(stamped: &Stamped<Arc<Realtime>>) -> Moment {
        let longest = stamped.answer.longest_waiting;
        Moment {
            revision: stamped.revision,
            second: stamped.as_of.0.div_euclid(1000),
            age_s: longest.map_or(0, |longest| stamped.as_of.since(longest.since).div_euclid(1000)),
        }
    }
}

impl Kept {
    pub fn new() -> Kept {
        let places = (0..limits::WRITTEN_ANSWERS).map(|_| Mutex::default()).collect();
        Kept { places, hasher: RandomState::default() }
    }

    /// The answer that says this, written now or before.
    pub fn written(
        &self,
        workspace: WorkspaceSid,
        channel: ChannelFilter,
        stamped: &Stamped<Arc<Realtime>>,
        write: impl FnOnce() -> Sheet,
    ) -> Written {
        let place = &self.places[self.hasher.hash_one((workspace, &channel)) as usize % self.places.len()];
        // Whole at every moment, so that a panic elsewhere does not spoil it.
        let held = || place.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = Moment::of(stamped);
        if let Some(answer) = &*held()
            && answer.workspace == workspace
            && answer.channel == channel
            && answer.moment == moment
            && Arc::ptr_eq(&answer.figures, &stamped.answer)
        {
            return answer.written.clone();
        }
        // A large one takes milliseconds, which others must not wait for; that two write the same at once is rare.
        let written = Written::from(write());
        if written.text.len() <= limits::WRITTEN_ANSWER_BYTES {
            let figures = stamped.answer.clone();
            *held() = Some(Answer { workspace, channel, figures, moment, written: written.clone() });
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::api::proto::v1;
    use crate::engine::{LongestWaiting, StatusCounts};
    use crate::event::{AccountSid, Millis, TaskSid};

    fn stamped(revision: i64, as_of_ms: i64, waiting_since_ms: Option<i64>) -> Stamped<Arc<Realtime>> {
        let longest_waiting =
            waiting_since_ms.map(|since| LongestWaiting { task: TaskSid::from_bytes([1; 16]), since: Millis(since) });
        let realtime = Realtime {
            account: AccountSid::from_bytes([1; 16]),
            activities: Arc::default(),
            total_workers: 0,
            longest_waiting,
            by_priority: Box::default(),
            by_status: StatusCounts::default(),
            total_tasks: 0,
            valid_until: None,
        };
        Stamped { revision, as_of: Millis(as_of_ms), answer: Arc::new(realtime) }
    }

    #[test]
    fn an_answer_is_written_again_only_where_it_would_say_something_else() {
        let kept = Kept::new();
        let writings = Cell::new(0);
        let (here, there) = (WorkspaceSid::from_bytes([1; 16]), WorkspaceSid::from_bytes([2; 16]));
        let ask = |workspace, channel: &ChannelFilter, stamped: &Stamped<Arc<Realtime>>| {
            let before = writings.get();
            kept.written(workspace, channel.clone(), stamped, || {
                writings.set(before + 1);
                Sheet::realtime(&v1::WorkspaceRealtimeStatistics { revision: before, ..Default::default() })
            });
            writings.get() > before
        };
        let (all, voice) = (ChannelFilter::All, ChannelFilter::Named("voice".into()));
        let first = stamped(7, 10_400, Some(9_800));
        assert!(ask(here, &all, &first), "the first");
        let at = |as_of_ms| Stamped { as_of: Millis(as_of_ms), ..first.clone() };
        assert!(!ask(here, &all, &at(10_799)), "the same second and age");
        assert!(ask(here, &all, &at(10_800)), "an age of one more second");
        assert!(!ask(here, &all, &at(10_999)));
        assert!(ask(here, &all, &at(11_000)), "another second");
        assert!(ask(here, &all, &Stamped { revision: 8, ..at(11_000) }), "another revision");
        assert!(ask(here, &all, &stamped(8, 11_000, Some(9_800))), "other figures");
        assert!(ask(here, &voice, &first) && ask(there, &all, &first), "another channel, another workspace");
    }
}
