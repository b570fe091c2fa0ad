//! What a stretch of time adds up to: a monoid, so that any cover of an interval gives the same answer.

/// The twelve figures that count events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Figure {
    TasksCreated = 0,
    TasksCanceled = 1,
    TasksCompleted = 2,
    TasksDeleted = 3,
    TasksMoved = 4,
    TasksTimedOutInWorkflow = 5,
    ReservationsCreated = 6,
    ReservationsAccepted = 7,
    ReservationsRejected = 8,
    ReservationsTimedOut = 9,
    ReservationsCanceled = 10,
    ReservationsRescinded = 11,
}

impl Figure {
    pub const COUNT: usize = 12;

    pub const ALL: [Figure; Figure::COUNT] = [
        Figure::TasksCreated,
        Figure::TasksCanceled,
        Figure::TasksCompleted,
        Figure::TasksDeleted,
        Figure::TasksMoved,
        Figure::TasksTimedOutInWorkflow,
        Figure::ReservationsCreated,
        Figure::ReservationsAccepted,
        Figure::ReservationsRejected,
        Figure::ReservationsTimedOut,
        Figure::ReservationsCanceled,
        Figure::ReservationsRescinded,
    ];

    /// Whether each event of this figure brings a wait.
    pub const fn has_wait(self) -> bool {
        matches!(self, Figure::ReservationsAccepted | Figure::TasksCanceled)
    }
}

/// One counted event, without its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub figure: Figure,
    /// From the task's creation to the event, in milliseconds; 0 for figures without waits.
    pub wait_ms: u64,
}

/// The waits of one figure, in milliseconds. `min_ms` and `max_ms` mean nothing while `count` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    pub count: u64,
    pub total_ms: u128,
    pub min_ms: u64,
    pub max_ms: u64,
}

impl Default for Waits {
    fn default() -> Self {
        Waits { count: 0, total_ms: 0, min_ms: u64::MAX, max_ms: 0 }
    }
}

impl Waits {
    pub fn add(&mut self, wait_ms: u64) {
        self.count += 1;
        self.total_ms += u128::from(wait_ms);
        self.min_ms = self.min_ms.min(wait_ms);
        self.max_ms = self.max_ms.max(wait_ms);
    }

    pub fn merge(&mut self, other: &Waits) {
        self.count += other.count;
        self.total_ms += other.total_ms;
        self.min_ms = self.min_ms.min(other.min_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
    }
}

/// How many waits were shorter than a threshold; the rest of the figure's count were as long or longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Split {
    /// In whole seconds.
    pub threshold: u32,
    pub accepted_below: u64,
    pub canceled_below: u64,
}

/// Counts by [`Figure`], waits of accepted reservations and of canceled tasks, and a split for each threshold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    pub counts: [u64; Figure::COUNT],
    pub accepted: Waits,
    pub canceled: Waits,
    /// Ascending by threshold, each once.
    pub splits: Box<[Split]>,
}

impl Totals {
    /// Nothing yet, with a split ready for each threshold; repeated thresholds collapse.
    pub fn with_thresholds(thresholds: &[u32]) -> Totals {
        let mut thresholds = thresholds.to_vec();
        thresholds.sort_unstable();
        thresholds.dedup();
        let splits = thresholds.into_iter().map(|threshold| Split { threshold, ..Split::default() }).collect();
        Totals { splits, ..Totals::default() }
    }

    pub fn count(&self, figure: Figure) -> u64 {
        self.counts[figure as usize]
    }

    /// Adds what another stretch of time, or another series, adds up to. Both must have the same thresholds.
    pub fn merge(&mut self, other: &Totals) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.accepted.merge(&other.accepted);
        self.canceled.merge(&other.canceled);
        let thresholds = |totals: &Totals| totals.splits.iter().map(|split| split.threshold).collect::<Vec<_>>();
        debug_assert_eq!(thresholds(self), thresholds(other), "sums for different thresholds");
        for (split, more) in self.splits.iter_mut().zip(&other.splits) {
            split.accepted_below += more.accepted_below;
            split.canceled_below += more.canceled_below;
        }
    }

    /// Counts one event.
    pub fn add(&mut self, sample: Sample) {
        self.counts[sample.figure as usize] += 1;
        let accepted = sample.figure == Figure::ReservationsAccepted;
        if !sample.figure.has_wait() {
            return;
        }
        if accepted {
            self.accepted.add(sample.wait_ms)
        } else {
            self.canceled.add(sample.wait_ms)
        }
        for split in &mut self.splits {
            if sample.wait_ms < u64::from(split.threshold) * 1000 {
                *(if accepted { &mut split.accepted_below } else { &mut split.canceled_below }) += 1;
            }
        }
    }
}
