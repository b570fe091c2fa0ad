//! From the wire's messages to values that need no more checking.
//!
//! Messages are taken apart completely, so that a field added to the contract does not compile until it is read here.
//! What a caller got wrong is a value: a [`Refused`] event beside the ones that go ahead, or every
//! [`FieldViolation`](tonic_types::FieldViolation) of a request at once.

mod event;
mod letters;
mod page;
mod question;
#[cfg(test)]
mod tests;
#[doc(hidden)] // open for fuzz/, which holds it against the generated types
pub mod wire;

pub use event::{Batch, Outline, Refused, Sids, Unread, batch, event, outline};
pub use letters::{LetterPage, drop_letters, list_letters, resend_letters};
pub use page::{PageRequest, channel_page, channel_token, letter_token, workspace_page, workspace_token};
pub use question::{
    CumulativeRequest, Pace, RealtimeRequest, SeriesRequest, WatchRequest, WatchStatisticsRequest, cumulative,
    forget_workspace, realtime, series, statistics, status, watch_realtime, watch_statistics,
};

use tonic_types::FieldViolation;

use crate::event::{Millis, WorkspaceSid};

/// Everything that is wrong with one request, in the order of its fields.
#[derive(Debug, Default)]
struct Violations(Vec<FieldViolation>);

impl Violations {
    fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    fn or<T>(self, value: T) -> Result<T, Vec<FieldViolation>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    /// A value only stands in where a violation was added, so that reading can go on to the next field.
    fn workspace(&mut self, text: &str) -> WorkspaceSid {
        match WorkspaceSid::parse(text) {
            Ok(sid) => return sid,
            Err(_) if text.is_empty() => self.add("workspace_sid", "is required"),
            Err(malformed) => self.add("workspace_sid", malformed.to_string()),
        }
        WorkspaceSid::from_bytes([0; 16])
    }

    fn time(&mut self, field: &str, timestamp: Option<prost_types::Timestamp>) -> Option<Millis> {
        let timestamp = timestamp?;
        let moment = moment(&timestamp);
        if moment.is_none() {
            self.add(field, MALFORMED_TIMESTAMP);
        }
        moment
    }
}

const MALFORMED_TIMESTAMP: &str =
    "must be from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z, with nanos from 0 to 999999999";

/// Cut to milliseconds; `None` out of Timestamp's own range.
fn moment(timestamp: &prost_types::Timestamp) -> Option<Millis> {
    let prost_types::Timestamp { seconds, nanos } = *timestamp;
    Millis::from_parts(seconds, nanos)
}
