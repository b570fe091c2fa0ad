//! Numbers that rooms count as things happen, for whoever reports them: plain atomics, which know nothing of how they are
//! read. Counting takes no lock and allocates nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds of calls and commits, in microseconds: half a millisecond to ten seconds, and a minute.
pub const DURATIONS_US: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    60_000_000,
];

/// Bounds of numbers of events.
pub const EVENTS: &[u64] = &[1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000];

/// How values are spread: their number by bounds, and their sum.
#[derive(Debug)]
pub struct Spread {
    /// Ascending; a value belongs to the first that it does not exceed.
    bounds: &'static [u64],
    /// One more than bounds: the last is for what exceeds them all.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a [`Spread`] has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    pub bounds: &'static [u64],
    /// Not cumulative; the last is for what exceeds all bounds.
    pub counts: Vec<u64>,
    pub sum: u64,
}

impl Spread {
    pub fn new(bounds: &'static [u64]) -> Spread {
        Spread { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub fn note(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counts {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Counts { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Counts {
    pub fn number(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The bounds by which something is refused, by the names that errors have for them.
pub const LIMITS: [&str; 27] = [
    "body_timeout",
    "credential_checks",
    "dead_letter_calls",
    "max_activities_per_account",
    "max_activities_per_workspace",
    "max_channels_per_account",
    "max_channels_per_workspace",
    "max_connections_per_peer",
    "max_events_per_call",
    "max_header_bytes",
    "max_ingest_bytes",
    "max_message_bytes",
    "max_name_bytes",
    "max_priorities_per_workspace",
    "max_queued_events",
    "max_queued_questions",
    "max_tasks_per_account",
    "max_tasks_per_workspace",
    "max_wallboard_sessions",
    "max_watchers",
    "max_watchers_per_account",
    "max_workers_per_account",
    "max_workers_per_workspace",
    "max_workspaces",
    "max_workspaces_per_account",
    "request_read_timeout",
    "series_calls",
];

/// This process's refusals. What is in it is only ever said, never answered.
static REFUSED: [AtomicU64; LIMITS.len()] = [const { AtomicU64::new(0) }; LIMITS.len()];

/// Counts what is refused by the bound of this name.
pub fn refused_by(limit: &str) {
    let at = LIMITS.binary_search(&limit);
    debug_assert!(at.is_ok(), "{limit} is not in the list of bounds");
    if let Ok(at) = at {
        REFUSED[at].fetch_add(1, Ordering::Relaxed);
    }
}

/// How much each bound has refused, in the order of [`LIMITS`].
pub fn refusals() -> [u64; LIMITS.len()] {
    std::array::from_fn(|at| REFUSED[at].load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_its_bound_and_beyond_all_of_them() {
        let spread = Spread::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            spread.note(value);
        }
        let counts = spread.read();
        assert_eq!((counts.counts.as_slice(), counts.sum, counts.number()), (&[2, 2, 2][..], 1_062, 6));
    }

    #[test]
    fn bounds_ascend_and_names_are_found() {
        assert!(DURATIONS_US.is_sorted() && EVENTS.is_sorted() && LIMITS.is_sorted());
        let before = refusals();
        refused_by("max_tasks_per_account");
        let at = LIMITS.iter().position(|limit| *limit == "max_tasks_per_account").unwrap();
        assert!(refusals()[at] > before[at]);
    }
}
