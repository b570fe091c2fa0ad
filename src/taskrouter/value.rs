//! What a value may be: how each kind of field is read from what a form holds, and written.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use prost_types::Timestamp;

use super::field::{FIELDS, Place, TABLE};
use super::{Fault, Form, Reading};
use crate::api::proto::v1;
use crate::event::{EventKind, Millis, TaskStatus};

/// What a form holds for one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    Text(Cow<'a, str>),
    Whole(i64),
    Flag(bool),
    /// What no field can be, by its kind: `a list`.
    Other(&'static str),
}

/// What a form holds for the fields of the table.
#[derive(Debug)]
pub struct Sheet<'a>(pub [Option<Scalar<'a>>; FIELDS]);

/// Stands for a number that is none.
const NO_NUMBER: i32 = -1;
/// Stands for a time that is none.
const NO_TIME: Timestamp = Timestamp { seconds: 0, nanos: -1 };
/// Stands for a text that is none; no sid is like it.
const NO_TEXT: &str = "?";

/// Characters of a value that a message quotes.
const QUOTED_CHARS: usize = 64;

impl Default for Sheet<'_> {
    fn default() -> Self {
        Sheet([const { None }; FIELDS])
    }
}

impl<'a> Sheet<'a> {
    /// Whether a row has a value; an empty text is none.
    pub fn has(&self, row: usize) -> bool {
        self.0[row].as_ref().is_some_and(|scalar| !scalar.is_nothing())
    }

    /// What this sheet lacks is taken from the other one.
    pub fn or(&mut self, other: Sheet<'a>) {
        for (row, value) in other.0.into_iter().enumerate() {
            if !self.has(row) {
                self.0[row] = value;
            }
        }
    }

    pub fn read(self, form: Form) -> Reading {
        let (mut event, mut faults) = (v1::Event::default(), Vec::new());
        for (field, scalar) in TABLE.iter().zip(self.0) {
            let Some(scalar) = scalar.filter(|scalar| !scalar.is_nothing()) else { continue };
            if let Err(why) = take((field.place)(&mut event), scalar) {
                faults.push(Fault { field: field.path, message: format!("{}: {why}", field.spelled(form)) });
            }
        }
        Reading::of(form, event, faults)
    }
}

impl Scalar<'_> {
    fn is_nothing(&self) -> bool {
        matches!(self, Scalar::Text(text) if text.is_empty())
    }
}

/// Puts a value in its place; or one that is none, and why.
fn take(place: Place<'_>, scalar: Scalar<'_>) -> Result<(), String> {
    match place {
        Place::Text(text) => put(text, NO_TEXT.to_owned(), read_text(scalar)),
        Place::Kind(kind) => put(kind, NO_NUMBER, read_kind(&scalar)),
        Place::Status(status) => put(status, NO_NUMBER, read_status(&scalar)),
        Place::Time(time) => put(time, Some(NO_TIME), read_time(&scalar, 1000).map(Some)),
        Place::TimeMs(time) => put(time, Some(NO_TIME), read_time(&scalar, 1).map(Some)),
        Place::Priority(number) => {
            let whole = read_whole(&scalar).and_then(|whole| i32::try_from(whole).ok());
            put(number, 0, whole.ok_or_else(|| must_be_whole(i32::MIN.into(), i32::MAX.into())))
        }
        Place::Version(number) => put(number, 0, read_whole(&scalar).ok_or_else(|| must_be_whole(i64::MIN, i64::MAX))),
        Place::Flag(flag) => put(flag, None, read_flag(&scalar).map(Some)),
    }
}

fn put<T>(place: &mut T, none: T, read: Result<T, String>) -> Result<(), String> {
    let (value, result) = match read {
        Ok(value) => (value, Ok(())),
        Err(why) => (none, Err(why)),
    };
    *place = value;
    result
}

fn read_text(scalar: Scalar<'_>) -> Result<String, String> {
    match scalar {
        Scalar::Text(text) => Ok(text.into_owned()),
        Scalar::Whole(_) | Scalar::Flag(_) | Scalar::Other(_) => Err(format!("must be a text, not {}", scalar.shown())),
    }
}

fn read_kind(scalar: &Scalar<'_>) -> Result<i32, String> {
    let named = scalar.text().and_then(EventKind::named);
    let unknown = || format!("{} is not a type of event that this version knows", scalar.shown());
    named.map(|kind| i32::from(kind.number())).ok_or_else(unknown)
}

fn read_status(scalar: &Scalar<'_>) -> Result<i32, String> {
    let named = scalar.text().and_then(TaskStatus::named);
    named.map(|status| status as i32).ok_or_else(|| {
        let all = TaskStatus::ALL.map(TaskStatus::name).join(", ");
        format!("must be one of {all}, not {}", scalar.shown())
    })
}

/// A time as a number of units since the epoch, `unit_ms` long; or as ISO 8601, which is GMT where it names no zone.
fn read_time(scalar: &Scalar<'_>, unit_ms: i64) -> Result<Timestamp, String> {
    let millis = match (read_whole(scalar), scalar.text()) {
        (Some(units), _) => units.checked_mul(unit_ms).and_then(Millis::within),
        (None, Some(text)) => iso(text).and_then(Millis::within),
        (None, None) => None,
    };
    millis.map(timestamp).ok_or_else(|| {
        let unit = if unit_ms == 1 { "milliseconds" } else { "seconds" };
        let shown = scalar.shown();
        format!("must be {unit} since 1970 or ISO 8601 (2026-01-31T12:00:00Z), of the years 1 to 9999, not {shown}")
    })
}

fn iso(text: &str) -> Option<i64> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|moment| moment.timestamp_millis());
    let local = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|moment| moment.and_utc());
    zoned.or_else(|_| local().map(|moment| moment.timestamp_millis())).ok()
}

fn read_whole(scalar: &Scalar<'_>) -> Option<i64> {
    match scalar {
        Scalar::Whole(whole) => Some(*whole),
        // What `parse` takes beside digits is a sign.
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Flag(_) | Scalar::Other(_) => None,
    }
}

fn read_flag(scalar: &Scalar<'_>) -> Result<bool, String> {
    match scalar {
        Scalar::Flag(flag) => Ok(*flag),
        Scalar::Text(text) if text == "true" => Ok(true),
        Scalar::Text(text) if text == "false" => Ok(false),
        Scalar::Text(_) | Scalar::Whole(_) | Scalar::Other(_) => {
            Err(format!("must be true or false, not {}", scalar.shown()))
        }
    }
}

fn must_be_whole(least: i64, most: i64) -> String {
    format!("must be a whole number from {least} to {most}")
}

impl Scalar<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(text),
            Scalar::Whole(_) | Scalar::Flag(_) | Scalar::Other(_) => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Scalar::Text(text) => quoted(text),
            Scalar::Whole(whole) => whole.to_string(),
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Other(kind) => (*kind).to_owned(),
        }
    }
}

/// In quotes, with what is no character to print escaped, and cut.
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

fn timestamp(moment: Millis) -> Timestamp {
    let nanos = i32::try_from(moment.0.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    Timestamp { seconds: moment.0.div_euclid(1000), nanos }
}

/// A time of the message, in milliseconds; `None` where it holds none.
pub fn millis(time: &Option<Timestamp>) -> Option<Millis> {
    let Timestamp { seconds, nanos } = (*time)?;
    Millis::from_parts(seconds, nanos)
}

/// `2026-01-31T12:00:00.000Z`, or to the second.
pub fn iso_text(moment: Millis, precision: SecondsFormat) -> Option<String> {
    Some(DateTime::from_timestamp_millis(moment.0)?.to_rfc3339_opts(precision, true))
}

pub fn kind_name(number: i32) -> Option<&'static str> {
    EventKind::from_number(number).map(EventKind::name)
}

pub fn status_name(number: i32) -> Option<&'static str> {
    TaskStatus::from_number(number).map(TaskStatus::name)
}

/// What a field of the message is as text, with times in whole seconds: what callbacks and `event_data` hold. `None`
/// where there is nothing to say.
pub fn as_text(place: Place<'_>) -> Option<String> {
    match place {
        Place::Text(text) => (!text.is_empty()).then(|| text.clone()),
        Place::Kind(kind) => kind_name(*kind).map(str::to_owned),
        Place::Status(status) => status_name(*status).map(str::to_owned),
        Place::Time(time) => millis(time).map(|moment| moment.second().0.to_string()),
        Place::TimeMs(time) => millis(time).map(|moment| moment.0.to_string()),
        Place::Priority(number) => Some(number.to_string()),
        Place::Version(number) => Some(number.to_string()),
        Place::Flag(flag) => flag.map(|flag| flag.to_string()),
    }
}
