//! What happened in an interval, bucket by bucket.
//!
//! The owner of the workspace only finds out which interval is meant, and hands over what is known of it as it stands: a
//! thousand sums over a thousand channels would hold up its events. The sums are made by whoever asked, in slices, and
//! end with the call.

use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::ask::{AskError, Full, Question, SeriesQuestion, Stamped};
use super::caller::Caller;
use super::handle::Pipeline;
use super::partition::Partition;
use crate::engine::{Cumulative, Past, WindowError};
use crate::event::{Millis, SecondRange, WorkspaceSid};
use crate::limits::{self, SERIES_BUCKETS};

/// The places for those who ask for a series: what a few of them hold on to is bounded, the others wait.
pub(super) struct Room {
    calls: Semaphore,
    at_once: Semaphore,
}

impl Room {
    pub fn new() -> Room {
        Room { calls: Semaphore::new(limits::SERIES_CALLS), at_once: Semaphore::new(limits::SERIES_AT_ONCE) }
    }
}

impl Pipeline {
    /// The answers of [`Pipeline::cumulative`] to each bucket of the window, all from one state at one instant. The
    /// buckets tile the window from its start; the last one may be shorter.
    pub async fn series(
        &self,
        caller: &Caller,
        workspace: WorkspaceSid,
        question: SeriesQuestion,
    ) -> Result<Stamped<Vec<Cumulative>>, AskError> {
        let room = &self.inner()?.series;
        let full = |_| AskError::Overloaded(Full::now("series_calls", limits::SERIES_CALLS));
        let _call = room.calls.try_acquire().map_err(full)?;
        let _place = room.at_once.acquire().await.map_err(|_| AskError::Stopping)?;
        let (thresholds, bucket_s) = (question.of.thresholds.clone(), question.bucket_s);
        let asked = self.partition(workspace)?.ask(|reply| Question::Past(*caller, workspace, question, reply)).await?;
        let Stamped { revision, as_of, answer: (whole, past) } = asked;
        let (mut buckets, mut sums) = (Vec::new(), 0);
        for range in whole.cut(bucket_s) {
            buckets.push(past.cumulative(range, &thresholds));
            sums += past.breadth();
            if sums >= limits::SERIES_SLICE_SUMS {
                sums = 0;
                yield_now().await;
            }
        }
        Ok(Stamped { revision, as_of, answer: buckets })
    }
}

impl Partition {
    pub(super) fn past(
        &mut self,
        caller: &Caller,
        workspace: WorkspaceSid,
        question: &SeriesQuestion,
        now: Millis,
    ) -> Result<Stamped<(SecondRange, Past)>, AskError> {
        let SeriesQuestion { of, bucket_s } = question;
        // In the order of the errors: what is no question, then whose it is, then how far it reaches. Too many buckets are
        // no question, but where it reaches too far, a longer bucket would not help.
        let resolved = of.window.resolve(now, self.retention_ms());
        let seconds = match resolved {
            Err(empty @ WindowError::Empty { .. }) => return Err(empty.into()),
            Err(WindowError::TooOld { .. }) => 0,
            Ok(range) => range.seconds(),
        };
        if seconds > SERIES_BUCKETS.saturating_mul(*bucket_s) {
            return Err(AskError::TooManyBuckets { least_s: least_bucket_s(seconds) });
        }
        let past = self.visible(caller, workspace)?.past(&of.channel);
        Ok(self.stamp(now, (resolved?, past)))
    }
}

/// The shortest bucket of which an interval of so many seconds has no more than an answer may have.
pub fn least_bucket_s(seconds: i64) -> i64 {
    (seconds + SERIES_BUCKETS - 1) / SERIES_BUCKETS
}
