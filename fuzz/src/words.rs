//! Small texts and numbers: sids, times, windows, deadlines, values of settings.

use std::time::Duration;

use tasktally::cli::args;
use tasktally::config::{parse_bytes, parse_duration};
use tasktally::engine::{Window, WindowError};
use tasktally::event::{DAY_MS, Millis, Sid, TaskSid, WorkspaceSid};

use super::data::Bytes;

/// What parses prints as it was, but for the case of its digits; what prints parses.
pub fn sid(input: &[u8]) {
    if let Some(bytes) = input.first_chunk::<16>() {
        let sid = WorkspaceSid::from_bytes(*bytes);
        assert_eq!(WorkspaceSid::parse(&sid.to_string()), Ok(sid));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    of_kind::<b'W', b'T'>(text);
    of_kind::<b'A', b'C'>(text);
    if let Ok(sid) = TaskSid::parse(text) {
        let upper = format!("WT{}", text[2..].to_ascii_uppercase());
        assert_eq!(TaskSid::parse(&upper), Ok(sid), "case makes no difference");
    }
}

fn of_kind<const A: u8, const B: u8>(text: &str) {
    let well_formed = text.len() == 34
        && text.as_bytes().starts_with(&[A, B])
        && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit());
    let parsed = Sid::<A, B>::parse(text);
    assert_eq!(parsed.is_ok(), well_formed, "{text:?}");
    assert_eq!(Sid::<A, B>::matches(text), well_formed);
    if let Ok(sid) = parsed {
        assert_eq!(sid.to_string(), format!("{}{}", &text[..2], text[2..].to_ascii_lowercase()));
    }
}

/// Timestamps of any numbers, windows at any time, and the text of `grpc-timeout`.
pub fn time(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (seconds, nanos) = (bytes.number(), bytes.number() as i32);
    if let Some(moment) = Millis::from_parts(seconds, nanos) {
        assert!(Millis::MIN <= moment && moment <= Millis::MAX);
        assert_eq!(moment.second().0, seconds);
        assert_eq!(moment.0 - seconds * 1000, i64::from(nanos / 1_000_000));
        assert!(moment.second_up() >= moment.second());
    }
    let moment = |number: i64| Millis(number.clamp(Millis::MIN.0, Millis::MAX.0));
    let (start, end, now) = (moment(bytes.number()), moment(bytes.number()), moment(bytes.number()));
    let minutes = u32::from(bytes.byte()) * 257;
    let retention_ms = DAY_MS * (1 + i64::from(bytes.byte() % 30));
    let windows = [
        Window::Default15,
        Window::Minutes(minutes),
        Window::From(start),
        Window::Between { start, end },
        Window::Until(end),
    ];
    for window in windows {
        match window.resolve(now, retention_ms) {
            Ok(range) => {
                assert!(range.start() < range.end() && !window.is_always_empty());
                assert!(range.start() >= now.minus(retention_ms).second());
            }
            Err(WindowError::TooOld { oldest, asked }) => assert!(asked < oldest && !window.is_always_empty()),
            Err(WindowError::Empty { field }) => assert!(field.ends_with("_time") || field == "minutes"),
        }
    }
    timeout(bytes.0);
}

/// Against the grammar, read in another way.
fn timeout(input: &[u8]) {
    let Ok(value) = http::HeaderValue::from_bytes(input) else { return };
    let expected = std::str::from_utf8(input).ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let nanos: u128 = match unit {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            "S" => 1_000_000_000,
            "M" => 60_000_000_000,
            "H" => 3_600_000_000_000,
            _ => return None,
        };
        let plain = !digits.is_empty() && digits.len() <= 8 && digits.chars().all(|digit| digit.is_ascii_digit());
        plain.then(|| digits.parse::<u128>().ok().map(|amount| amount * nanos)).flatten()
    });
    assert_eq!(tasktally::server::parse_timeout(&value).map(|timeout: Duration| timeout.as_nanos()), expected);
}

/// Values of settings that we read ourselves: each is refused with a reason, or means what it says.
pub fn settings(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    bytes(text);
    let (min, max) = (Duration::from_millis(10), Duration::from_secs(3600));
    match parse_duration(text, min, max) {
        Err(why) => assert!(!why.is_empty()),
        Ok(duration) => {
            assert!((min..=max).contains(&duration));
            let written = humantime::format_duration(duration).to_string();
            assert_eq!(parse_duration(&written, min, max), Ok(duration), "{written}");
        }
    }
    match args::address(text) {
        Err(why) => assert!(!why.is_empty()),
        Ok(address) => {
            let secure = text.starts_with("https://");
            assert_eq!(secure, address.starts_with("https://"), "{text:?} must not lose or gain its TLS: {address}");
            assert_eq!(args::address(&address).as_ref(), Ok(&address), "{text:?}");
            let uri: http::Uri = address.parse().unwrap_or_else(|error| panic!("{address}: {error}"));
            assert!(uri.port_u16().is_some() && uri.host().is_some_and(|host| text.contains(host)), "{address}");
        }
    }
    if let Ok(moment) = args::moment(text) {
        for now in [i64::MIN, 0, i64::MAX] {
            let _ = moment.as_millis(now);
        }
    }
}

/// Against the grammar, in wider numbers.
fn bytes(text: &str) {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let units = [("", 0), ("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let shift = units.into_iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, shift)| shift);
    let value = shift.and_then(|shift| Some(u128::from(number.parse::<u64>().ok()?) << shift));
    let expected = value.and_then(|value| u64::try_from(value).ok());
    assert_eq!(parse_bytes(text).ok(), expected, "{text:?}");
}
