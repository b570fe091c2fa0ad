//! Dates as callers write them, and times as TaskRouter does.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat};

/// What a date may look like.
pub const FORMS: &str = "must be a date such as 2026-01-31, or a time such as 2026-01-31T08:00:00Z, with an offset \
                         (+02:00), or without either (taken as GMT), from year 1 to 9999";

/// `YYYY-MM-DDTHH:MM:SSZ`, without a fraction: one library leaves anything else as a string.
pub fn text(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0);
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}

/// A moment, as seconds since the epoch and nanoseconds; `None` where it is none.
///
/// A space where an offset's sign should be is a `+` that its sender did not encode.
pub fn read(text: &str) -> Option<(i64, i32)> {
    let date = text.get(..10).filter(|date| date.starts_with(|first: char| first.is_ascii_digit()))?;
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let rest = &text[10..];
    if rest.is_empty() {
        return moment(date.and_time(NaiveTime::MIN), 0);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let clock = rest.find(|letter: char| !matches!(letter, '0'..='9' | ':' | '.')).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(clock);
    moment(date.and_time(time_of_day(clock)?), offset(zone)?)
}

fn moment(local: NaiveDateTime, offset_s: i64) -> Option<(i64, i32)> {
    let utc = local.and_utc();
    let nanos = i32::try_from(utc.timestamp_subsec_nanos()).ok()?;
    let seconds = utc.timestamp() - offset_s;
    // What an offset pushes out of year 1 to 9999 cannot be written any more.
    let written = |seconds| DateTime::from_timestamp(seconds, 0).is_some_and(|time| is_written(time.naive_utc()));
    (is_written(local) && written(seconds) && nanos < 1_000_000_000).then_some((seconds, nanos))
}

fn is_written(time: NaiveDateTime) -> bool {
    let (first, last) = (NaiveDate::from_ymd_opt(1, 1, 1), NaiveDate::from_ymd_opt(9999, 12, 31));
    first.is_some_and(|first| first <= time.date()) && last.is_some_and(|last| time.date() <= last)
}

/// `HH:MM`, `HH:MM:SS`, and that with a fraction.
fn time_of_day(text: &str) -> Option<NaiveTime> {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let whole = [0, 1, 3, 4].into_iter().all(is_digit);
    match text.len() {
        5 if whole => NaiveTime::parse_from_str(text, "%H:%M").ok(),
        8.. if whole && [6, 7].into_iter().all(is_digit) => NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok(),
        _ => None,
    }
}

/// In seconds east of Greenwich: `Z`, nothing, `+HH`, `+HHMM` or `+HH:MM`.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' | b' ' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = match text.len() {
        3 | 5 => text[1..].to_owned(),
        6 if text.as_bytes()[3] == b':' => [&text[1..3], &text[4..]].concat(),
        _ => return None,
    };
    let number = |at: usize| match digits.get(at..at + 2) {
        Some(pair) if pair.bytes().all(|byte| byte.is_ascii_digit()) => pair.parse::<i64>().ok(),
        Some(_) => None,
        None => Some(0),
    };
    let (hours, minutes) = (number(0)?, number(2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_767_268_800; // 2026-01-01T12:00:00Z

    #[test]
    fn every_form_of_a_time_is_the_same_time() {
        for form in [
            "2026-01-01T12:00:00Z",
            "2026-01-01t12:00:00z",
            "2026-01-01T12:00:00",
            "2026-01-01T12:00",
            "2026-01-01 12:00:00",
            "2026-01-01T14:00:00+02:00",
            "2026-01-01T14:00:00 02:00",
            "2026-01-01T14:00:00+0200",
            "2026-01-01T14:00:00+02",
            "2026-01-01T06:30:00-05:30",
            "2026-01-02T02:00:00+14:00",
        ] {
            assert_eq!(read(form), Some((NOON, 0)), "{form}");
        }
        assert_eq!(read("2026-01-01"), Some((NOON - 12 * 3600, 0)));
        assert_eq!(read("2026-01-01T12:00:00.25Z"), Some((NOON, 250_000_000)));
        assert_eq!(read("1969-12-31T23:59:59.5Z"), Some((-1, 500_000_000)));
        assert_eq!(text(NOON), "2026-01-01T12:00:00Z");
    }

    #[test]
    fn nothing_else_is_a_time() {
        for form in [
            "",
            "now",
            "2026",
            "2026-1-1",
            "2026-02-30",
            "20260101",
            "2026-01-01T",
            "2026-01-01T12",
            "2026-01-01T1:2:3Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T12:60:00Z",
            "2026-01-01T12:00:00X",
            "2026-01-01T12:00:00+25:00",
            "2026-01-01T12:00:00+2:00",
            "2026-01-01T12:00:00+02:0",
            "2026-01-01T12:00:00++2:0",
            "2026-01-01T12:00:00Z ",
            "2026-01-01X12:00:00Z",
            "0000-01-01",
            "10000-01-01",
            "9999-12-31T23:59:59-01:00",
            "2026-01-01T12:00:00é",
            "é026-01-01",
            "2026-01-0é",
            "1767268800",
            "+026-01-01",
        ] {
            assert_eq!(read(form), None, "{form}");
        }
    }
}
