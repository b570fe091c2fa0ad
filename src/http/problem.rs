//! What a caller over HTTP is told when a call fails: the one mapping from errors to TaskRouter's error JSON.
//!
//! `code`, `message`, `more_info` and `status`, and nothing else: newer libraries take an object that has `type` or
//! `title` too for another format.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::parameters;
use crate::api::status::{ApiError, bucket_rule, count, empty_rule};
use crate::event::WorkspaceSid;
use crate::letters::LettersError;
use crate::limits;
use crate::pipeline::{AskError, CopyRefusal, IngestError};

/// An error as TaskRouter words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub message: String,
    /// Given where a later call may succeed.
    pub retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Words<'a> {
    code: u32,
    message: &'a str,
    more_info: String,
    status: u16,
}

impl Problem {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        Problem { status, message: message.into(), retry_after: None }
    }

    /// Parameters are not what they must be; each one is named as the caller knows it.
    pub fn invalid(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, message)
    }

    /// As TaskRouter says it of what does not exist, and of what is not the caller's.
    pub fn not_found(path: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, format!("The requested resource {path} was not found"))
    }

    fn later(status: StatusCode, message: impl Into<String>, after: Duration) -> Problem {
        Problem { retry_after: Some(after), ..Problem::new(status, message) }
    }

    pub fn text(&self) -> Vec<u8> {
        let code = code(self.status);
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        let words = Words { code, message: &self.message, more_info, status: self.status.as_u16() };
        serde_json::to_vec(&words).unwrap_or_default()
    }
}

/// TaskRouter's number for a status: those it documents, and the same pattern for the others.
fn code(status: StatusCode) -> u32 {
    match status {
        StatusCode::BAD_REQUEST => 20001,
        StatusCode::UNAUTHORIZED => 20003,
        StatusCode::METHOD_NOT_ALLOWED => 20004,
        other => 20000 + u32::from(other.as_u16()),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.text()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // A cache may otherwise keep a 404 for as long as it likes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        response
    }
}

/// Rounded up, and never none.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

/// The problem that an error is.
pub fn problem(error: ApiError) -> Problem {
    count(&error);
    match error {
        ApiError::BadFields(violations) => {
            if violations.iter().any(|violation| violation.field == "workspace_sid") {
                return Problem::new(StatusCode::NOT_FOUND, "The requested resource was not found");
            }
            let named =
                violations.iter().map(|bad| parameters::translated(&format!("{} {}", bad.field, bad.description)));
            Problem::invalid(named.collect::<Vec<_>>().join("; "))
        }
        ApiError::TooManyEvents { sent, most } => {
            Problem::invalid(format!("a request holds at most {most} events (max_events_per_call), not {sent}"))
        }
        ApiError::NotTheMessage { cause } => Problem::invalid(format!("the body cannot be read: {cause}")),
        ApiError::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come to its end in time"),
        ApiError::TooLarge { most_bytes } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most_bytes} bytes"))
        }
        ApiError::TooManyWatchers { limit, most } => {
            let message = format!("there is no room for another watch: {limit} = {most}");
            Problem::later(StatusCode::TOO_MANY_REQUESTS, message, limits::WATCHERS_RETRY_DELAY)
        }
        ApiError::NotPermitted { needed } => {
            Problem::new(StatusCode::FORBIDDEN, format!("this needs credentials with the role {}", needed.name()))
        }
        ApiError::NotOfAll => {
            Problem::new(StatusCode::FORBIDDEN, "this concerns every account, and needs credentials of all")
        }
        ApiError::Ask(workspace, error) => unanswered(Some(workspace), error),
        ApiError::List(error) => unanswered(None, error),
        ApiError::Ingest(error) => untaken(error),
        ApiError::Letters(error) => unkept(error),
        ApiError::Backup(refusal) => uncopied(&refusal),
        ApiError::Stopping => stopping(),
    }
}

fn unanswered(workspace: Option<WorkspaceSid>, error: AskError) -> Problem {
    match error {
        AskError::UnknownWorkspace => {
            let path = workspace.map(|sid| format!("/Workspaces/{sid}")).unwrap_or_default();
            Problem::not_found(&path)
        }
        AskError::WindowTooOld { oldest, asked } => {
            let (oldest, asked) = (super::time::text(oldest.0), super::time::text(asked.0));
            let message =
                format!("StartDate: the interval starts at {asked}; the oldest time that can be asked for is {oldest}");
            Problem::invalid(message)
        }
        AskError::EmptyWindow { field } => {
            Problem::invalid(parameters::translated(&format!("{field} {}", empty_rule(field))))
        }
        AskError::TooManyBuckets { least_s } => Problem::invalid(format!("Bucket: {}", bucket_rule(least_s))),
        AskError::Overloaded(full) => {
            let message = format!("Too many requests: {} = {} are waiting", full.limit, full.most);
            let after = Duration::from_millis(full.retry_after_ms);
            Problem::later(StatusCode::TOO_MANY_REQUESTS, message, after)
        }
        AskError::Starting => starting(),
        AskError::Stopping => stopping(),
    }
}

/// The senders of events know 503 as the answer to come back to, not 429.
fn untaken(error: IngestError) -> Problem {
    match error {
        IngestError::Overloaded(full) => {
            let message = format!("the server cannot keep up: {} = {} are taken", full.limit, full.most);
            let after = Duration::from_millis(full.retry_after_ms);
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, message, after)
        }
        IngestError::Unwritable { cause, retry_after_ms } => {
            let message = format!("the journal cannot be written: {cause}");
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, message, Duration::from_millis(retry_after_ms))
        }
        IngestError::Starting => starting(),
        IngestError::Stopping => stopping(),
    }
}

/// What cannot be kept is not refused either: its sender is to come back.
fn unkept(error: LettersError) -> Problem {
    let message = error.to_string();
    match error {
        LettersError::Busy(_) | LettersError::Unusable(_) => unavailable(&message),
        LettersError::Starting => starting(),
        LettersError::Stopping => stopping(),
    }
}

/// Nothing over HTTP makes a copy; were something to, this is what it would say.
fn uncopied(refusal: &CopyRefusal) -> Problem {
    let message = refusal.to_string();
    match refusal {
        CopyRefusal::NotKept | CopyRefusal::TooSlow | CopyRefusal::Forgotten => {
            Problem::new(StatusCode::CONFLICT, message)
        }
        CopyRefusal::UnderWay => {
            Problem::later(StatusCode::TOO_MANY_REQUESTS, message, limits::UNAVAILABLE_RETRY_DELAY)
        }
        CopyRefusal::Unreadable(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message),
        CopyRefusal::Starting => starting(),
        CopyRefusal::Stopping => stopping(),
    }
}

fn starting() -> Problem {
    unavailable("the server is starting")
}

fn stopping() -> Problem {
    unavailable("the server is shutting down")
}

fn unavailable(message: &str) -> Problem {
    Problem::later(StatusCode::SERVICE_UNAVAILABLE, message, limits::UNAVAILABLE_RETRY_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Second;
    use crate::pipeline::{Full, Role};

    const WORKSPACE: WorkspaceSid = WorkspaceSid::from_bytes([7; 16]);

    #[test]
    fn every_error_has_its_status_and_says_when_to_come_back_where_that_helps() {
        let full = || Full { limit: "max_queued_events", most: 1, retry_after_ms: 1 };
        let ask = |error| ApiError::Ask(WORKSPACE, error);
        let cases = [
            (ApiError::NotTheMessage { cause: "x".to_owned() }, 400, 20001, false),
            (ApiError::TooManyEvents { sent: 2, most: 1 }, 400, 20001, false),
            (ask(AskError::WindowTooOld { oldest: Second(9), asked: Second(5) }), 400, 20001, false),
            (ask(AskError::EmptyWindow { field: "end_time" }), 400, 20001, false),
            (ask(AskError::TooManyBuckets { least_s: 9 }), 400, 20001, false),
            (ApiError::NotPermitted { needed: Role::Read }, 403, 20403, false),
            (ApiError::NotOfAll, 403, 20403, false),
            (ask(AskError::UnknownWorkspace), 404, 20404, false),
            (ApiError::TooSlow, 408, 20408, false),
            (ApiError::TooLarge { most_bytes: 1 }, 413, 20413, false),
            (ask(AskError::Overloaded(full())), 429, 20429, true),
            (ApiError::TooManyWatchers { limit: "max_watchers", most: 1 }, 429, 20429, true),
            (ApiError::Ingest(IngestError::Overloaded(full())), 503, 20503, true),
            (ApiError::Ingest(IngestError::Unwritable { cause: "x".into(), retry_after_ms: 1 }), 503, 20503, true),
            (ask(AskError::Starting), 503, 20503, true),
            (ask(AskError::Stopping), 503, 20503, true),
            (ApiError::Stopping, 503, 20503, true),
        ];
        for (error, status, code, may_come_back) in cases {
            let what = format!("{error:?}");
            let problem = problem(error);
            let words: serde_json::Value = serde_json::from_slice(&problem.text()).unwrap();
            assert_eq!((&words["status"], &words["code"]), (&status.into(), &code.into()), "{what}");
            let response = problem.into_response();
            assert_eq!(response.status(), status, "{what}");
            let after =
                response.headers().get(RETRY_AFTER).map(|after| after.to_str().unwrap().parse::<u64>().unwrap());
            assert_eq!(after.is_some(), may_come_back, "{what}");
            assert!(after.is_none_or(|after| after >= 1), "{what}");
        }
    }
}
