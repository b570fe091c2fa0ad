//! What the log says of callers who are not let in: a line a reason, and never more than one in ten seconds.
//!
//! A guesser, or a client whose token is out of date, shows here. What was shown never does.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use tokio::time::Instant;

use super::peers::Said;
use crate::access::Denied;

const REASONS: [&str; 5] = [
    "no credentials were shown",
    "the credentials are unknown",
    "the credentials have expired",
    "too many checks wait",
    "a signature is missing or wrong",
];

/// This process's log. What is in it is only ever said, never answered.
static LOG: LazyLock<Denials> = LazyLock::new(Denials::default);

/// Counts a caller who is not let in, and says what is due.
pub(super) fn note(denied: Denied, peer: Option<IpAddr>) {
    let reason = match denied {
        Denied::Missing => 0,
        Denied::Wrong => 1,
        Denied::Expired => 2,
        Denied::Busy { .. } => 3,
    };
    note_reason(reason, peer);
}

/// Counts a browser that is not let in. One that shows nothing has signed out, maybe in another tab, and the page tells
/// whoever looks at it: nothing for the log.
pub(super) fn note_browser(denied: Denied, peer: Option<IpAddr>) {
    match denied {
        Denied::Missing => LOG.count_silently(0),
        Denied::Wrong | Denied::Expired | Denied::Busy { .. } => note(denied, peer),
    }
}

/// Likewise a caller whose signature its handler found missing or wrong.
pub(super) fn note_unsigned(peer: Option<IpAddr>) {
    note_reason(4, peer);
}

fn note_reason(reason: usize, peer: Option<IpAddr>) {
    if let Some(calls) = LOG.count(reason, Instant::now()) {
        let peer = peer.map(tracing::field::display);
        tracing::warn!(reason = REASONS[reason], calls, peer, "callers are not let in; the last of them is named");
    }
}

/// How many callers were not let in, by reason.
pub fn totals() -> impl Iterator<Item = (&'static str, u64)> {
    let names = ["missing", "wrong", "expired", "busy", "unsigned"];
    names.into_iter().zip(&LOG.by_reason).map(|(name, reason)| (name, reason.total.load(Ordering::Relaxed)))
}

#[derive(Default)]
struct Denials {
    by_reason: [Reason; REASONS.len()],
}

#[derive(Default)]
struct Reason {
    /// Since the last line.
    calls: AtomicU64,
    /// Ever.
    total: AtomicU64,
    said: Mutex<Said>,
}

impl Denials {
    fn count_silently(&self, reason: usize) {
        self.by_reason[reason].total.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since the last line, when the next is due.
    fn count(&self, reason: usize, now: Instant) -> Option<u64> {
        let Reason { calls, total, said } = &self.by_reason[reason];
        calls.fetch_add(1, Ordering::Relaxed);
        total.fetch_add(1, Ordering::Relaxed);
        let is_due = said.lock().unwrap_or_else(PoisonError::into_inner).is_due(now);
        is_due.then(|| calls.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reason_is_told_at_once_and_then_every_ten_seconds_with_the_count() {
        let (log, start) = (Denials::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(log.count(1, at(0)), Some(1));
        assert_eq!((log.count(1, at(1)), log.count(1, at(9))), (None, None));
        assert_eq!(log.count(0, at(9)), Some(1), "another reason is told for itself");
        assert_eq!(log.count(1, at(10)), Some(3));
        log.count_silently(1);
        assert_eq!(log.count(1, at(20)), Some(1), "what is not told is not in the count");
        assert_eq!(log.by_reason[1].total.load(Ordering::Relaxed), 6);
    }
}
