//! Sending events so that all of them are settled: again and again, since repeating an ingest changes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tonic::Status;

use super::client::Server;
use super::failure::{Failure, may_pass, retry_delay};
use super::text::printable;
use crate::api::proto::v1::{Event, IngestEventsRequest, IngestEventsResponse, RejectedEvent, RejectionReason};
use crate::limits;

/// Sends batches to one server.
#[derive(Clone, Debug)]
pub struct Courier {
    pub server: Server,
    /// How long to go on while the server takes nothing.
    pub patience: Duration,
}

/// A settled batch.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub response: IngestEventsResponse,
    /// Repetitions that it took.
    pub retries: u32,
}

impl Courier {
    /// Sends one batch until it is settled.
    ///
    /// # Errors
    /// The server refuses the whole call, or took nothing for as long as our patience lasts.
    pub async fn deliver(&self, events: Vec<Event>) -> Result<Receipt, Failure> {
        let request = IngestEventsRequest { events };
        let mut backoff = Backoff::new(self.patience);
        loop {
            // Cloned since the call consumes it and may have to be repeated.
            match self.server.ingest().ingest_events(self.server.request(request.clone())).await {
                Ok(response) => return Ok(Receipt { response: response.into_inner(), retries: backoff.tries }),
                Err(status) => tokio::time::sleep(backoff.pause(status)?).await,
            }
        }
    }
}

/// Pauses between repetitions: doubling, jittered, and never shorter than the server asks for.
#[derive(Debug)]
pub struct Backoff {
    patience: Duration,
    since: Option<Instant>,
    pub tries: u32,
}

impl Backoff {
    pub fn new(patience: Duration) -> Backoff {
        Backoff { patience, since: None, tries: 0 }
    }

    /// The server took something: patience starts afresh.
    pub fn reset(&mut self) {
        self.since = None;
        self.tries = 0;
    }

    /// How long to wait before the next attempt.
    ///
    /// # Errors
    /// Repeating cannot help, or has gone on for too long.
    pub fn pause(&mut self, status: Status) -> Result<Duration, Failure> {
        if !may_pass(&status) {
            return Err(status.into());
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.tries += 1;
        let doubled = limits::CLIENT_BACKOFF_MIN * 2u32.pow((self.tries - 1).min(16));
        let own = doubled.min(limits::CLIENT_BACKOFF_MAX).mul_f64(0.5 + rand::random::<f64>() / 2.0);
        let pause = match retry_delay(&status) {
            // All who were told the same delay must not come back at the same moment.
            Some(asked) => own.max(asked.mul_f64(1.0 + rand::random::<f64>() / 4.0)),
            None => own,
        };
        if since.elapsed() + pause > self.patience {
            return Err(Failure::GaveUp { tries: self.tries, last: Box::new(status) });
        }
        tracing::debug!(code = ?status.code(), message = status.message(), ?pause, tries = self.tries, "trying again");
        Ok(pause)
    }
}

/// What became of everything that was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub calls: u64,
    pub retries: u64,
    pub accepted: u64,
    pub duplicates: u64,
    /// By the number of the reason.
    pub rejected: BTreeMap<i32, u64>,
    /// The highest revision of an answer.
    pub revision: i64,
}

impl Tally {
    pub fn add(&mut self, receipt: &Receipt) {
        let response = &receipt.response;
        self.calls += 1;
        self.retries += u64::from(receipt.retries);
        self.accepted += u64::try_from(response.accepted).unwrap_or(0);
        self.duplicates += u64::try_from(response.duplicates).unwrap_or(0);
        self.revision = self.revision.max(response.revision);
        for rejected in &response.rejected {
            *self.rejected.entry(rejected.reason).or_default() += 1;
        }
    }

    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Events that the server has settled, one way or another.
    pub fn settled(&self) -> u64 {
        self.accepted + self.duplicates + self.rejected_total()
    }
}

/// The reason's name, without the prefix that all share.
pub fn reason_name(number: i32) -> String {
    match RejectionReason::try_from(number) {
        Ok(reason) => reason.as_str_name().trim_start_matches("REJECTION_REASON_").to_owned(),
        Err(_) => format!("REASON_{number}"),
    }
}

/// A refusal in one line: sid, reason, field, message.
pub fn describe_rejection(rejected: &RejectedEvent) -> String {
    let mut text = printable(&rejected.event_sid);
    if text.is_empty() {
        text.push_str("(no sid)");
    }
    text.push(' ');
    text.push_str(&reason_name(rejected.reason));
    // A server may name the field in its message, too: once is enough.
    let told = rejected.message.starts_with(&rejected.field);
    for part in [if told { "" } else { &rejected.field }, &rejected.message] {
        if !part.is_empty() {
            text.push_str(": ");
            text.push_str(&printable(part));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn pauses_grow_and_honour_the_server() {
        let mut backoff = Backoff::new(Duration::from_secs(3600));
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.pause(Status::unavailable("")).unwrap()).collect();
        assert!(pauses[0] <= limits::CLIENT_BACKOFF_MIN, "{pauses:?}");
        assert!(pauses[11] > limits::CLIENT_BACKOFF_MAX / 3 && pauses[11] <= limits::CLIENT_BACKOFF_MAX, "{pauses:?}");

        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(60)));
        let busy = Status::with_error_details(tonic::Code::ResourceExhausted, "busy", details);
        assert!(backoff.pause(busy).unwrap() >= Duration::from_secs(60));
        backoff.reset();
        assert!(backoff.pause(Status::unavailable("")).unwrap() <= limits::CLIENT_BACKOFF_MIN);
    }

    #[test]
    fn what_cannot_help_is_not_repeated_and_patience_ends() {
        let mut backoff = Backoff::new(Duration::from_secs(3600));
        assert!(matches!(backoff.pause(Status::invalid_argument("")), Err(Failure::Call(_))));
        assert!(matches!(backoff.pause(Status::resource_exhausted("too large")), Err(Failure::Call(_))));
        let mut impatient = Backoff::new(Duration::ZERO);
        assert!(matches!(impatient.pause(Status::unavailable("")), Err(Failure::GaveUp { tries: 1, .. })));
    }

    #[test]
    fn a_refusal_is_one_line() {
        let mut rejected = RejectedEvent {
            index: 3,
            event_sid: "EV1".to_owned(),
            reason: RejectionReason::MalformedField as i32,
            field: "task.sid".to_owned(),
            message: "must be WT followed by 32 hexadecimal digits".to_owned(),
        };
        assert_eq!(
            describe_rejection(&rejected),
            "EV1 MALFORMED_FIELD: task.sid: must be WT followed by 32 hexadecimal digits"
        );
        rejected.message = format!("task.sid: {}", rejected.message);
        let told_once = describe_rejection(&rejected);
        assert_eq!(told_once.matches("task.sid").count(), 1, "{told_once}");
        rejected = RejectedEvent { reason: 99, ..RejectedEvent::default() };
        assert_eq!(describe_rejection(&rejected), "(no sid) REASON_99");
    }
}
