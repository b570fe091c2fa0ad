//! What a whole span of time adds up to, for any thresholds.

use super::Row;
use super::histogram::{Histogram, LONGEST};
use crate::engine::totals::{Figure, Totals, Waits};

/// The sum of a span's events. A monoid like [`Totals`], but open for every threshold.
#[derive(Clone, Debug, Default)]
pub(super) struct Aggregate {
    pub counts: [u32; Figure::COUNT],
    pub accepted: WaitSum,
    pub canceled: WaitSum,
}

/// The waits of one figure.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitSum {
    pub waits: Waits,
    pub seconds: Histogram,
}

impl WaitSum {
    fn add(&mut self, wait_ms: u64) {
        self.waits.add(wait_ms);
        self.seconds.add((wait_ms / 1000).min(u64::from(LONGEST)) as u32);
    }

    fn merge(&mut self, other: &WaitSum) {
        self.waits.merge(&other.waits);
        self.seconds.add_sorted(&other.seconds.pairs());
    }
}

impl Aggregate {
    pub fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let figure = row.figure();
            self.counts[figure] += 1;
            if figure == ACCEPTED {
                self.accepted.add(row.wait_ms);
            } else if figure == CANCELED {
                self.canceled.add(row.wait_ms);
            }
        }
    }

    pub fn merge(&mut self, other: &Aggregate) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.accepted.merge(&other.accepted);
        self.canceled.merge(&other.canceled);
    }

    pub fn sum_into(&self, totals: &mut Totals) {
        for (total, count) in totals.counts.iter_mut().zip(self.counts) {
            *total += u64::from(count);
        }
        totals.accepted.merge(&self.accepted.waits);
        totals.canceled.merge(&self.canceled.waits);
        for split in &mut totals.splits {
            split.accepted_below += self.accepted.seconds.below(split.threshold);
            split.canceled_below += self.canceled.seconds.below(split.threshold);
        }
    }

    pub fn len(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    pub fn heap_bytes(&self) -> usize {
        self.accepted.seconds.heap_bytes() + self.canceled.seconds.heap_bytes()
    }
}

/// The two figures with waits, as numbers.
pub(super) const ACCEPTED: usize = Figure::ReservationsAccepted as usize;
pub(super) const CANCELED: usize = Figure::TasksCanceled as usize;

// Adding or removing a figure with waits must come by here.
const _: () = {
    let mut index = 0;
    while index < Figure::COUNT {
        let timed = Figure::ALL[index].has_wait();
        assert!(timed == (index == ACCEPTED || index == CANCELED));
        index += 1;
    }
};
