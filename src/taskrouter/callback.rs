//! Event callbacks: a form whose values are all texts.

use std::borrow::Cow;

use super::identity::Identity;
use super::value::{Scalar, Sheet, as_text};
use super::{Form, Reading, Unreadable, field};
use crate::api::proto::v1;
use crate::limits;

/// A form's fields, in their order.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Reads a callback's body.
///
/// # Errors
/// It is no form.
pub fn read(body: &[u8]) -> Result<Reading, Unreadable> {
    of_pairs(&pairs(body)?)
}

/// Reads the fields of a callback. A field of ours that comes twice is refused, since nothing tells which one counts.
///
/// # Errors
/// One comes twice.
pub fn of_pairs(pairs: &Pairs<'_>) -> Result<Reading, Unreadable> {
    let mut sheet = Sheet::default();
    for (name, value) in pairs {
        let Some(row) = field::of_callback(name) else { continue };
        let place = &mut sheet.0[row];
        if place.is_some() {
            return Err(Unreadable::Twice { field: field::TABLE[row].spelled(Form::Callback) });
        }
        *place = Some(Scalar::Text(Cow::Borrowed(value)));
    }
    let is_nameless = !sheet.has(0);
    let mut reading = sheet.read(Form::Callback);
    if is_nameless {
        let mut identity = Identity::default();
        pairs.iter().for_each(|(name, value)| identity.add(name, value));
        reading.event.sid = identity.sid();
    }
    Ok(reading)
}

/// The fields of a form, decoded strictly: a library that mends what is broken would let two different bodies be one.
///
/// # Errors
/// It is no form.
pub fn pairs(body: &[u8]) -> Result<Pairs<'_>, Unreadable> {
    let most = limits::FORM_FIELDS;
    let mut pairs = Vec::new();
    let mut at = 0;
    for piece in body.split(|byte| *byte == b'&') {
        let start = at;
        at += piece.len() + 1;
        if piece.is_empty() {
            continue;
        }
        if pairs.len() == most {
            return Err(Unreadable::TooManyFields { most });
        }
        let equals = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
        let (name, value) = (&piece[..equals], piece.get(equals + 1..).unwrap_or_default());
        let name = text(decode(name, start)?).ok_or(Unreadable::NotUtf8)?;
        let value = text(decode(value, start + equals + 1)?);
        let value = value.ok_or_else(|| Unreadable::TextNotUtf8 { field: super::value::quoted(&name) })?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// `at` is where the text begins in the body.
fn decode(encoded: &[u8], at: usize) -> Result<Cow<'_, [u8]>, Unreadable> {
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [byte, after @ ..] = rest {
        rest = after;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let broken = Unreadable::Percent { at: at + encoded.len() - rest.len() - 1 };
                let [high, low, after @ ..] = rest else { return Err(broken) };
                let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return Err(broken) };
                rest = after;
                high << 4 | low
            }
            other => *other,
        });
    }
    Ok(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The fields of the callback that tells of this event.
pub fn write(event: &v1::Event) -> Vec<(String, String)> {
    let mut event = event.clone();
    let mut pairs = Vec::new();
    for field in field::TABLE.iter() {
        if field.is_there(&event)
            && let Some(text) = as_text((field.place)(&mut event))
        {
            pairs.push((field.spelled(Form::Callback).to_owned(), text));
        }
    }
    pairs
}

/// A form's fields as the body of a request.
pub fn encode(pairs: &[(String, String)]) -> String {
    let mut body = String::new();
    for (name, value) in pairs {
        if !body.is_empty() {
            body.push('&');
        }
        escape(name, &mut body);
        body.push('=');
        escape(value, &mut body);
    }
    body
}

fn escape(text: &str, body: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b' ' => body.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => body.push(char::from(byte)),
            _ => {
                body.push('%');
                body.push(char::from(DIGITS[usize::from(byte >> 4)]));
                body.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}
