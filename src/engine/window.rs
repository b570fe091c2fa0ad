//! Which interval a question about the past means.
//!
//! Intervals are half-open and in whole seconds. A given start rounds down and a given end rounds up; "now" ends with
//! its own second. So adjoining windows tile, and what was acknowledged before a question lies in a window that ends
//! now, unless it is dated ahead of the clock.

use crate::event::{Millis, Second, SecondRange};

/// Length of the window that is meant where none is given, in seconds.
const DEFAULT_S: i64 = 15 * 60;

/// What a question says about its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Nothing: the last 15 minutes.
    Default15,
    /// The last so many minutes.
    Minutes(u32),
    /// From this moment until now.
    From(Millis),
    /// As given, also where the end is still to come.
    Between { start: Millis, end: Millis },
    /// The 15 minutes before this moment.
    Until(Millis),
}

/// Why a window stands for no interval. Where both hold, it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It would hold no second. `field` is at fault: `end_time` or, where no end was given, `start_time`.
    #[error("{field} leaves no whole second between start and end")]
    Empty { field: &'static str },
    /// It starts before what is kept.
    #[error("starts at second {}, before the oldest that can be asked for, {}", asked.0, oldest.0)]
    TooOld { oldest: Second, asked: Second },
}

impl Window {
    /// The interval at this moment, with events kept for `retention_ms`.
    pub fn resolve(self, now: Millis, retention_ms: i64) -> Result<SecondRange, WindowError> {
        let range = self.interval(now)?;
        let (oldest, asked) = (now.minus(retention_ms).second(), range.start());
        if asked < oldest { Err(WindowError::TooOld { oldest, asked }) } else { Ok(range) }
    }

    /// The interval at this moment, whether or not everything of it is still known.
    ///
    /// # Errors
    /// It is empty.
    pub fn interval(self, now: Millis) -> Result<SecondRange, WindowError> {
        let end_of_now = now.second().plus(1);
        let (start, end) = match self {
            Window::Default15 => (end_of_now.plus(-DEFAULT_S), end_of_now),
            Window::Minutes(minutes) => (end_of_now.plus(-60 * i64::from(minutes)), end_of_now),
            Window::From(start) => (start.second(), end_of_now),
            Window::Between { start, end } => (start.second(), round_up(end)),
            Window::Until(end) => (round_up(end).plus(-DEFAULT_S), round_up(end)),
        };
        SecondRange::new(start, end).ok_or(WindowError::Empty { field: self.last_field() })
    }

    /// How many seconds it is long; `None` where that depends on the time, or it is empty.
    pub fn seconds(self) -> Option<i64> {
        match self {
            Window::From(_) => None,
            fixed => fixed.interval(Millis(0)).ok().map(|range| range.seconds()),
        }
    }

    /// Whether it holds no second whatever the time is, so that a question can be refused together with its other faults.
    pub fn is_always_empty(self) -> bool {
        match self {
            Window::Between { start, end } => start.second() >= round_up(end),
            Window::Minutes(minutes) => minutes == 0,
            Window::Default15 | Window::From(_) | Window::Until(_) => false,
        }
    }

    /// The field to blame for an interval without seconds.
    fn last_field(self) -> &'static str {
        match self {
            Window::From(_) => "start_time",
            Window::Minutes(_) => "minutes",
            Window::Default15 | Window::Between { .. } | Window::Until(_) => "end_time",
        }
    }
}

/// The first whole second at or after `end`; the last one that a timestamp can state where there is no such second.
fn round_up(end: Millis) -> Second {
    end.second_up().min(Millis::MAX.second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{DAY_MS, MINUTE_MS};

    const RETENTION_MS: i64 = 30 * DAY_MS;
    /// Some second far from zero.
    const S: i64 = 1_800_000_000;

    fn range(window: Window, now_ms: i64) -> (i64, i64) {
        let range = window.resolve(Millis(now_ms), RETENTION_MS).unwrap();
        (range.start().0, range.end().0)
    }

    fn error(window: Window, now_ms: i64) -> WindowError {
        window.resolve(Millis(now_ms), RETENTION_MS).unwrap_err()
    }

    fn between(start: i64, end: i64) -> Window {
        Window::Between { start: Millis(start), end: Millis(end) }
    }

    #[test]
    fn now_ends_with_the_next_whole_second_after_it_its_own_included() {
        assert_eq!(range(Window::From(Millis(S * 1000)), S * 1000), (S, S + 1));
        assert_eq!(range(Window::From(Millis(S * 1000)), S * 1000 + 1), (S, S + 1));
        assert_eq!(range(Window::From(Millis(S * 1000)), S * 1000 + 999), (S, S + 1));
        assert_eq!(range(Window::From(Millis(S * 1000)), S * 1000 + 1000), (S, S + 2));
    }

    #[test]
    fn nothing_means_the_15_minutes_before_the_end_of_now() {
        assert_eq!(range(Window::Default15, S * 1000), (S + 1 - 900, S + 1));
        assert_eq!(range(Window::Default15, S * 1000 + 999), (S + 1 - 900, S + 1));
    }

    #[test]
    fn minutes_are_exactly_that_long() {
        for minutes in [1, 15, 43_200] {
            assert_eq!(range(Window::Minutes(minutes), S * 1000 + 500), (S + 1 - 60 * i64::from(minutes), S + 1));
        }
    }

    #[test]
    fn the_most_minutes_are_never_too_old() {
        for ms in [0, 1, 999] {
            assert_eq!(range(Window::Minutes(43_200), S * 1000 + ms).0, S + 1 - 30 * 86_400);
        }
    }

    #[test]
    fn a_start_rounds_down() {
        assert_eq!(range(Window::From(Millis(S * 1000 - 1)), S * 1000), (S - 1, S + 1));
        assert_eq!(range(between(S * 1000 - 1, S * 1000), S * 1000), (S - 1, S));
    }

    #[test]
    fn an_end_rounds_up() {
        assert_eq!(range(between(S * 1000 - 5000, S * 1000 - 4999), S * 1000), (S - 5, S - 4));
        assert_eq!(range(between(S * 1000 - 5000, S * 1000 - 4000), S * 1000), (S - 5, S - 4));
    }

    #[test]
    fn an_end_ahead_of_now_is_taken_as_it_is() {
        assert_eq!(range(between(S * 1000, (S + 9_999_999) * 1000), S * 1000), (S, S + 9_999_999));
        assert_eq!(range(between((S + 5) * 1000, (S + 6) * 1000), S * 1000), (S + 5, S + 6));
    }

    #[test]
    fn an_end_alone_means_the_15_minutes_before_it() {
        assert_eq!(range(Window::Until(Millis(S * 1000 - 1)), S * 1000), (S - 900, S));
        assert_eq!(range(Window::Until(Millis((S + 60) * 1000)), S * 1000), (S + 60 - 900, S + 60));
    }

    #[test]
    fn adjoining_windows_tile() {
        let middle = S * 1000;
        let (_, first_end) = range(between(middle - 10_000, middle), middle);
        let (second_start, _) = range(between(middle, middle + 10_000), middle);
        assert_eq!(first_end, second_start);
    }

    #[test]
    fn an_end_that_is_not_after_the_start_once_rounded_is_the_fault_of_the_end() {
        for window in [between(S * 1000, S * 1000), between(S * 1000 + 999, S * 1000), between(S * 1000, 0)] {
            assert_eq!(error(window, S * 1000), WindowError::Empty { field: "end_time" });
            assert!(window.is_always_empty());
        }
        assert_eq!(range(between(S * 1000 + 999, S * 1000 + 1), S * 1000), (S, S + 1));
        assert!(!between(S * 1000 + 999, S * 1000 + 1).is_always_empty());
    }

    #[test]
    fn a_start_that_is_not_before_the_end_of_now_is_the_fault_of_the_start() {
        let window = Window::From(Millis((S + 1) * 1000));
        assert_eq!(error(window, S * 1000 + 999), WindowError::Empty { field: "start_time" });
        assert_eq!(range(window, (S + 1) * 1000), (S + 1, S + 2));
        assert_eq!(range(Window::From(Millis(S * 1000 + 999)), S * 1000), (S, S + 1));
    }

    #[test]
    fn a_start_before_the_retention_rounded_down_is_too_old() {
        let oldest = S - 30 * 86_400;
        for now_ms in [S * 1000, S * 1000 + 999] {
            assert_eq!(range(Window::From(Millis(oldest * 1000)), now_ms).0, oldest);
            let too_old = WindowError::TooOld { oldest: Second(oldest), asked: Second(oldest - 1) };
            assert_eq!(error(Window::From(Millis(oldest * 1000 - 1)), now_ms), too_old);
            assert_eq!(error(between(oldest * 1000 - 1, S * 1000), now_ms), too_old);
            assert_eq!(error(Window::Until(Millis((oldest - 1 + 900) * 1000)), now_ms), too_old);
            assert_eq!(range(Window::Until(Millis((oldest + 900) * 1000)), now_ms).0, oldest);
        }
    }

    #[test]
    fn a_shorter_retention_binds_the_minutes_too() {
        let at = |minutes| Window::Minutes(minutes).resolve(Millis(S * 1000), 10 * MINUTE_MS);
        assert!(at(10).is_ok());
        let too_old = WindowError::TooOld { oldest: Second(S - 600), asked: Second(S + 1 - 660) };
        assert_eq!(at(11), Err(too_old));
    }

    #[test]
    fn empty_is_said_before_too_old() {
        assert_eq!(error(between(5000, 4000), S * 1000), WindowError::Empty { field: "end_time" });
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        assert_eq!(range(between(S * 1000, Millis::MAX.0), S * 1000), (S, Millis::MAX.second().0));
        assert!(matches!(error(Window::Until(Millis::MIN), S * 1000), WindowError::TooOld { .. }));
        assert!(matches!(error(Window::From(Millis::MIN), S * 1000), WindowError::TooOld { .. }));
    }
}
