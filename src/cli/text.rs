//! Numbers, durations, times and tables as people read them.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Local, SecondsFormat, Utc};
use prost_types::{Duration as ProtoDuration, Timestamp};

/// How times are shown; each says its distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Local,
    Utc,
}

impl Clock {
    pub fn new(utc: bool) -> Clock {
        if utc { Clock::Utc } else { Clock::Local }
    }

    /// `2026-01-31 08:00:00 +01:00`; a dash for no time or one that no calendar has.
    pub fn show(self, at: Option<Timestamp>) -> String {
        let Some(at) = at.and_then(utc) else { return "-".to_owned() };
        match self {
            Clock::Utc => at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            Clock::Local => at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string(),
        }
    }

    /// `08:00:00`.
    pub fn time(self, ms: i64) -> String {
        self.format(ms, "%H:%M:%S")
    }

    /// `31 Jan 08:00`.
    pub fn day(self, ms: i64) -> String {
        self.format(ms, "%-d %b %H:%M")
    }

    fn format(self, ms: i64, form: &str) -> String {
        match (DateTime::from_timestamp_millis(ms), self) {
            (None, _) => "-".to_owned(),
            (Some(at), Clock::Utc) => at.format(form).to_string(),
            (Some(at), Clock::Local) => at.with_timezone(&Local).format(form).to_string(),
        }
    }
}

fn utc(at: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}

/// `2026-01-31T08:00:00.123Z`, for the command line.
pub fn rfc3339(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).map_or("-".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// `12,345`.
pub fn count(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// `1 workspace`, `12,345 workspaces`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The two largest units, rounded down: `450ms`, `4.2s`, `1m 23s`, `2h 5m`, `3d 4h`; a dash for none.
pub fn duration(duration: Option<ProtoDuration>) -> String {
    let Some(duration) = duration else { return "-".to_owned() };
    let ms = i128::from(duration.seconds) * 1000 + i128::from(duration.nanos / 1_000_000);
    let seconds = ms / 1000;
    match ms {
        ..0 => "-".to_owned(),
        0 => "0s".to_owned(),
        1..1_000 => format!("{ms}ms"),
        1_000..10_000 if ms % 1000 >= 100 => format!("{seconds}.{}s", ms % 1000 / 100),
        1_000..60_000 => format!("{seconds}s"),
        60_000..3_600_000 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `512 B`, `4.2 KiB`, `480 MiB`: the largest unit that it fills.
pub fn bytes(bytes: i64) -> String {
    let (mut number, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, larger);
    }
    if unit == "B" || number >= 100.0 { format!("{number:.0} {unit}") } else { format!("{number:.1} {unit}") }
}

/// `12,345 events/s`.
pub fn events_a_second(events: u64, elapsed: Duration) -> String {
    let rate = events as f64 / elapsed.as_secs_f64().max(0.001);
    format!("{} events/s", count(rate as u64))
}

/// Rows under an indent of two: the first column to the left, the others to the right, two spaces between.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                line.push_str(&format!("  {cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What a terminal must not be sent: a name out of an event could hold its control sequences.
pub fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// A file as a word of a command line.
pub fn in_shell(file: &Path) -> String {
    let text = file.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%".contains(&byte);
    if text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        let show = |seconds, nanos| duration(Some(ProtoDuration { seconds, nanos }));
        for (seconds, nanos, text) in [
            (0, 0, "0s"),
            (0, 999_999, "0s"),
            (0, 450_000_000, "450ms"),
            (4, 299_000_000, "4.2s"),
            (5, 99_000_000, "5s"),
            (59, 999_000_000, "59s"),
            (83, 0, "1m 23s"),
            (7_500, 0, "2h 5m"),
            (273_600, 0, "3d 4h"),
            (-1, 0, "-"),
        ] {
            assert_eq!(show(seconds, nanos), text);
        }
        assert_eq!(duration(None), "-");
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!([counted(0, "row"), counted(1, "row"), counted(1_234, "row")], ["0 rows", "1 row", "1,234 rows"]);
    }

    #[test]
    fn times_say_their_distance_from_utc() {
        let at = Timestamp { seconds: 1_790_000_000, nanos: 0 };
        assert_eq!(Clock::Utc.show(Some(at)), "2026-09-21 14:13:20 UTC");
        assert!(Clock::Local.show(Some(at)).starts_with("2026-09-2"));
        assert_eq!(Clock::Utc.show(Some(Timestamp { seconds: i64::MAX, nanos: 0 })), "-");
        assert_eq!(Clock::Utc.time(1_790_000_000_999), "14:13:20");
        assert_eq!(Clock::Utc.day(1_790_000_000_999), "21 Sep 14:13");
        assert_eq!(Clock::Utc.time(i64::MAX), "-");
        assert_eq!(rfc3339(1_790_000_000_123), "2026-09-21T14:13:20.123Z");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
