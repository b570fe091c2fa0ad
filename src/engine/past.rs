//! The past of a workspace as it is known at one moment, to be added up elsewhere.

use super::history::History;
use super::question::Cumulative;
use super::totals::Totals;
use crate::event::{AccountSid, SecondRange};

/// Everything that was counted of the chosen channels. It stays as it is while the workspace goes on.
///
/// Taking one costs a few pointers and at most 128 rows for each channel, whatever the channels hold.
#[derive(Clone, Debug)]
pub struct Past {
    account: AccountSid,
    series: Box<[History]>,
}

impl Past {
    /// Of the series that hold anything.
    pub(super) fn of<'a>(account: AccountSid, series: impl Iterator<Item = &'a History>) -> Past {
        Past { account, series: series.filter(|series| !series.is_empty()).cloned().collect() }
    }

    /// What happened in `range`, which must not begin before what was known then.
    pub fn cumulative(&self, range: SecondRange, thresholds: &[u32]) -> Cumulative {
        sum(self.account, &self.series, range, thresholds)
    }

    /// How many series each answer is summed from.
    pub fn breadth(&self) -> usize {
        self.series.len()
    }
}

/// What the series add up to in `range`.
pub(super) fn sum<'a>(
    account: AccountSid,
    series: impl IntoIterator<Item = &'a History>,
    range: SecondRange,
    thresholds: &[u32],
) -> Cumulative {
    let mut totals = Totals::with_thresholds(thresholds);
    for series in series {
        series.sum_into(range, &mut totals);
    }
    Cumulative { account, range, totals }
}
