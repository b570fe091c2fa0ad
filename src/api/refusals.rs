//! What the log says of refused events: a line a reason, never a line an event.
//!
//! A reason is told when it first occurs and then at most once a minute, with the number of events since the last line
//! and one of them as an example. The callers hear of each event in their answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::proto::v1::{RejectedEvent, RejectionReason};

/// Least time between two lines about one reason.
const QUIET_FOR: Duration = Duration::from_secs(60);
/// One more than the largest number of a reason.
const REASONS: usize = 8;

/// This process's log. What is in it is only ever said, never answered.
static LOG: LazyLock<Refusals> = LazyLock::new(Refusals::default);

/// Counts the refused events of an answer, and says what is due.
pub fn note(rejected: &[RejectedEvent]) {
    for Line { example, events } in LOG.count(rejected, Instant::now()) {
        tracing::warn!(
            reason = name(example.reason()),
            events,
            event_sid = example.event_sid,
            field = example.field,
            example = example.message,
            "refused events"
        );
    }
}

/// How many events were refused, by reason, as the answers said.
pub fn totals() -> impl Iterator<Item = (&'static str, u64)> {
    let reasons = LOG.by_reason.iter().enumerate().skip(1);
    reasons.filter_map(|(number, refused)| {
        let reason = RejectionReason::try_from(i32::try_from(number).ok()?).ok()?;
        Some((name(reason), refused.total.load(Ordering::Relaxed)))
    })
}

/// As people are told it everywhere.
fn name(reason: RejectionReason) -> &'static str {
    reason.as_str_name().trim_start_matches("REJECTION_REASON_")
}

#[derive(Default)]
struct Refusals {
    by_reason: [Refused; REASONS],
}

#[derive(Default)]
struct Refused {
    /// Since the last line.
    events: AtomicU64,
    /// Ever.
    total: AtomicU64,
    said_at: Mutex<Option<Instant>>,
}

/// What is due to be said of a reason.
struct Line<'a> {
    example: &'a RejectedEvent,
    events: u64,
}

impl Refusals {
    fn count<'a>(&self, rejected: &'a [RejectedEvent], now: Instant) -> Vec<Line<'a>> {
        let mut examples: [Option<&RejectedEvent>; REASONS] = [None; REASONS];
        for event in rejected {
            let number = usize::try_from(event.reason).unwrap_or(0).min(REASONS - 1);
            self.by_reason[number].events.fetch_add(1, Ordering::Relaxed);
            self.by_reason[number].total.fetch_add(1, Ordering::Relaxed);
            examples[number].get_or_insert(event);
        }
        let seen = self.by_reason.iter().zip(examples).filter_map(|(refused, example)| Some((refused, example?)));
        seen.filter(|(refused, _)| refused.is_due(now))
            .map(|(refused, example)| Line { example, events: refused.events.swap(0, Ordering::Relaxed) })
            .collect()
    }
}

impl Refused {
    fn is_due(&self, now: Instant) -> bool {
        let mut said_at = self.said_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = said_at.is_none_or(|said_at| now.saturating_duration_since(said_at) >= QUIET_FOR);
        if due {
            *said_at = Some(now);
        }
        due
    }
}

const _: () = assert!(RejectionReason::LimitExceeded as usize + 1 == REASONS, "each reason has a place of its own");

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: RejectionReason, events: usize) -> Vec<RejectedEvent> {
        vec![RejectedEvent { reason: reason.into(), ..RejectedEvent::default() }; events]
    }

    #[test]
    fn a_reason_is_told_at_once_and_then_once_a_minute_with_the_count() {
        let (log, start) = (Refusals::default(), Instant::now());
        let told = |reason, events, after_s| -> Vec<(RejectionReason, u64)> {
            let rejected = refused(reason, events);
            let lines = log.count(&rejected, start + Duration::from_secs(after_s));
            lines.iter().map(|line| (line.example.reason(), line.events)).collect()
        };
        assert_eq!(told(RejectionReason::TooOld, 3, 0), [(RejectionReason::TooOld, 3)]);
        assert_eq!(told(RejectionReason::TooOld, 1_000, 1), []);
        assert_eq!(told(RejectionReason::TooNew, 1, 1), [(RejectionReason::TooNew, 1)]);
        assert_eq!(told(RejectionReason::TooOld, 1, 59), []);
        assert_eq!(told(RejectionReason::TooOld, 1, 60), [(RejectionReason::TooOld, 1_002)]);
        assert_eq!(told(RejectionReason::LimitExceeded, 0, 61), []);
    }
}
