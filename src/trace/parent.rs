//! The trace that a caller says its call belongs to, as W3C writes it: <https://www.w3.org/TR/trace-context/>.

use std::str::FromStr as _;

use http::{HeaderMap, HeaderName};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Made once, since each call is asked for it.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00. Later ones may be longer, and begin as this one.
const LENGTH: usize = 55;

/// Bytes of `tracestate` that are kept; the recommendation asks for at least so many. What is longer is left out whole,
/// since half a list says something else.
const STATE_BYTES: usize = 512;

/// What the headers say. What is malformed says nothing, and neither does a `traceparent` that is there twice; a
/// `tracestate` that is malformed is left out.
pub fn of(headers: &HeaderMap) -> Option<SpanContext> {
    let first = headers.get(&TRACEPARENT)?;
    if headers.get_all(&TRACEPARENT).iter().nth(1).is_some() {
        return None;
    }
    let (trace, span, flags) = ids(first.as_bytes())?;
    Some(SpanContext::new(trace, span, flags, true, state(headers)))
}

fn ids(text: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, later) = text.split_at_checked(LENGTH)?;
    let version = byte(known.get(..2)?)?;
    let ends = if version == 0 { later.is_empty() } else { later.first().is_none_or(|next| *next == b'-') };
    let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    if version == u8::MAX || !ends || !dashes {
        return None;
    }
    let trace = TraceId::from_bytes(bytes(&known[3..35])?);
    let span = SpanId::from_bytes(bytes(&known[36..52])?);
    // Flags that are not known are not ours to pass on.
    let flags = TraceFlags::new(byte(&known[53..])?) & TraceFlags::SAMPLED;
    (trace != TraceId::INVALID && span != SpanId::INVALID).then_some((trace, span, flags))
}

fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut read = [0; N];
    for (byte_of_it, pair) in read.iter_mut().zip(digits.chunks_exact(2)) {
        *byte_of_it = byte(pair)?;
    }
    Some(read)
}

/// Two digits, which are in lower case.
fn byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| match digits.get(at)? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(digit(0)? << 4 | digit(1)?)
}

/// The list may be spread over several headers.
fn state(headers: &HeaderMap) -> TraceState {
    let given: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let list = given.join(",");
    if list.is_empty() || list.len() > STATE_BYTES {
        return TraceState::default();
    }
    TraceState::from_str(&list).unwrap_or_default()
}
