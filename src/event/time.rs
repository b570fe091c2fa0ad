//! Times: milliseconds since the Unix epoch for facts, whole seconds for the edges of windows.

use std::fmt;

use serde::{Deserialize, Serialize};

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A moment, in milliseconds since the Unix epoch, within protobuf Timestamp's range (years 1 to 9999).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// 0001-01-01T00:00:00Z, the first moment of protobuf's Timestamp.
    pub const MIN: Millis = Millis(-62_135_596_800_000);
    /// 9999-12-31T23:59:59.999Z, the last one.
    pub const MAX: Millis = Millis(253_402_300_799_999);

    /// Cut to milliseconds (towards the past); `None` out of Timestamp's own range.
    pub fn from_parts(seconds: i64, nanos: i32) -> Option<Millis> {
        if !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        let ms = seconds.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))?;
        Self::within(ms)
    }

    /// `None` out of Timestamp's own range.
    pub fn within(ms: i64) -> Option<Millis> {
        (Self::MIN.0..=Self::MAX.0).contains(&ms).then_some(Millis(ms))
    }

    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    pub fn minus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 where `earlier` is in fact later.
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// The second that holds this moment.
    pub fn second(self) -> Second {
        Second(self.0.div_euclid(1000))
    }

    /// The first whole second at or after this moment.
    pub fn second_up(self) -> Second {
        Second(self.0.div_euclid(1000) + i64::from(self.0.rem_euclid(1000) != 0))
    }
}

/// A whole second since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Second(pub i64);

impl Second {
    pub fn start(self) -> Millis {
        Millis(self.0.saturating_mul(1000))
    }

    pub fn plus(self, seconds: i64) -> Second {
        Second(self.0.saturating_add(seconds))
    }
}

/// `[start, end)` in whole seconds; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecondRange {
    start: Second,
    end: Second,
}

impl SecondRange {
    /// `None` where the range would hold no second.
    pub fn new(start: Second, end: Second) -> Option<SecondRange> {
        (start < end).then_some(SecondRange { start, end })
    }

    pub fn start(&self) -> Second {
        self.start
    }

    pub fn end(&self) -> Second {
        self.end
    }

    pub fn contains(&self, second: Second) -> bool {
        self.start <= second && second < self.end
    }

    pub fn seconds(&self) -> i64 {
        self.end.0 - self.start.0
    }

    /// Parts of so many seconds, at least 1, that tile it from its start on. The last one ends where it ends, and may be
    /// shorter.
    pub fn cut(self, seconds: i64) -> impl Iterator<Item = SecondRange> {
        assert!(seconds > 0, "parts of {seconds} seconds");
        let mut start = Some(self.start);
        std::iter::from_fn(move || {
            let part = SecondRange::new(start?, start?.plus(seconds).min(self.end))?;
            start = Some(part.end);
            Some(part)
        })
    }
}

impl fmt::Display for SecondRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start.0, self.end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_cut_to_milliseconds_towards_the_past() {
        assert_eq!(Millis::from_parts(1, 999_999), Some(Millis(1000)));
        assert_eq!(Millis::from_parts(-1, 1_999_999), Some(Millis(-999)));
        assert_eq!(Millis(-1).second(), Second(-1));
        assert_eq!(Millis(-1).second_up(), Second(0));
        assert_eq!(Millis(1000).second_up(), Second(1));
        assert_eq!(Millis(1001).second_up(), Second(2));
    }

    #[test]
    fn the_parts_of_a_range_tile_it_and_the_last_one_may_be_shorter() {
        let range = |start, end| SecondRange::new(Second(start), Second(end)).unwrap();
        let cut = |seconds| range(-5, 5).cut(seconds).collect::<Vec<_>>();
        assert_eq!(cut(4), [range(-5, -1), range(-1, 3), range(3, 5)]);
        assert_eq!(cut(5), [range(-5, 0), range(0, 5)]);
        assert_eq!(cut(10), [range(-5, 5)]);
        assert_eq!(cut(i64::MAX), [range(-5, 5)]);
        assert_eq!(cut(1).len(), 10);
        assert_eq!(range(-5, 5).seconds(), 10);
    }

    #[test]
    fn out_of_the_range_of_timestamp_is_none() {
        assert_eq!(Millis::from_parts(253_402_300_799, 999_999_999), Some(Millis::MAX));
        assert_eq!(Millis::from_parts(253_402_300_800, 0), None);
        assert_eq!(Millis::from_parts(-62_135_596_800, 0), Some(Millis::MIN));
        assert_eq!(Millis::from_parts(-62_135_596_801, 999_999_999), None);
        assert_eq!(Millis::from_parts(0, -1), None);
        assert_eq!(Millis::from_parts(0, 1_000_000_000), None);
        assert_eq!(Millis::from_parts(i64::MAX, 0), None);
    }
}
