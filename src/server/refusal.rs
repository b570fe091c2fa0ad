//! What the transport itself says to a caller. The application has its own mapping; these are the few answers that no
//! handler can give, because the handler is gone, late or broken.
use crate::access::Denied;
use crate::measure;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "tasktally";
const TIMEOUT_HEADER: &str = "grpc-timeout";

/// When a caller whom a shutdown sent away may come back: long enough for a process to be replaced, short enough that
/// nobody watches a frozen screen.
pub const RETRY_AFTER_SHUTDOWN: Duration = Duration::from_secs(1);

/// When a caller may come back whom nothing but its own call was in the way of.
const RETRY_SOON: Duration = Duration::from_millis(100);

/// The caller's deadline, or the server's own limit, has passed. `limit` is how long the call was given.
pub fn deadline_exceeded(limit: Duration) -> Status {
    let metadata = HashMap::from([("limit".to_owned(), humantime::format_duration(limit).to_string())]);
    let details = ErrorDetails::with_error_info("DEADLINE_EXCEEDED", DOMAIN, metadata);
    Status::with_error_details(Code::DeadlineExceeded, "the deadline of the call has passed", details)
}

/// The caller is not let in. What it showed is not quoted.
pub fn denied(denied: Denied) -> Status {
    let (reason, text) = match denied {
        Denied::Missing => {
            ("CREDENTIALS_MISSING", "this server asks for credentials: send `authorization: Bearer TOKEN`".to_owned())
        }
        Denied::Wrong => ("CREDENTIALS_WRONG", "the credentials are not good here".to_owned()),
        Denied::Expired => ("CREDENTIALS_EXPIRED", "the token has expired; get a new one".to_owned()),
        Denied::Busy { most_waiting, retry_after } => {
            measure::refused_by("credential_checks");
            let limit = [("limit", "credential_checks"), ("limit_value", &most_waiting.to_string())]
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
            let mut details = ErrorDetails::with_error_info("OVERLOADED", DOMAIN, HashMap::from(limit));
            details.set_retry_info(Some(retry_after));
            return Status::with_error_details(
                Code::ResourceExhausted,
                "too many credentials wait for a check",
                details,
            );
        }
    };
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(Code::Unauthenticated, text, details)
}

/// A stream ends because the credentials that it was begun with have expired, or were taken away or changed.
pub fn lease_over() -> Status {
    let details = ErrorDetails::with_error_info("CREDENTIALS_ENDED", DOMAIN, HashMap::new());
    let text = "the credentials that this stream was begun with have expired, or were taken away or changed";
    Status::with_error_details(Code::Unauthenticated, text, details)
}

/// More headers than a call may have.
pub fn headers_too_large(bytes: usize, most: u32) -> Status {
    measure::refused_by("max_header_bytes");
    let details = ErrorDetails::with_error_info("HEADERS_TOO_LARGE", DOMAIN, bound("max_header_bytes", &most));
    let text = format!("the headers of the call have {bytes} bytes, above the limit of {most}");
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// The body of a request has taken longer than the server waits for one.
pub fn request_too_slow(most: Duration) -> Status {
    measure::refused_by("body_timeout");
    let most = humantime::format_duration(most);
    let mut details = ErrorDetails::with_error_info("REQUEST_TOO_SLOW", DOMAIN, bound("body_timeout", &most));
    details.set_retry_info(Some(RETRY_SOON));
    Status::with_error_details(
        Code::ResourceExhausted,
        format!("the request was not there whole within {most}"),
        details,
    )
}

/// The server ends this stream because its connection is as old as it may be. The next one goes over a new connection.
pub fn connection_too_old(age: Duration) -> Status {
    let age = bound("max_connection_age", &humantime::format_duration(age));
    let mut details = ErrorDetails::with_error_info("CONNECTION_TOO_OLD", DOMAIN, age);
    details.set_retry_info(Some(RETRY_SOON));
    Status::with_error_details(Code::Unavailable, "the connection is as old as it may be; a new one is due", details)
}

/// The bound that a refusal is about.
fn bound(name: &str, number: &impl ToString) -> HashMap<String, String> {
    HashMap::from([("limit".to_owned(), name.to_owned()), ("limit_value".to_owned(), number.to_string())])
}

/// The server ends this stream because it is shutting down. May be retried.
pub fn shutting_down() -> Status {
    let mut details = ErrorDetails::with_error_info("SHUTTING_DOWN", DOMAIN, HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER_SHUTDOWN));
    Status::with_error_details(Code::Unavailable, "the server is shutting down", details)
}

/// A bug. What went wrong is in the log and not in the answer: a panic's message may quote another caller's data.
pub fn internal() -> Status {
    let details = ErrorDetails::with_error_info("INTERNAL", DOMAIN, HashMap::new());
    Status::with_error_details(Code::Internal, "an internal error; the server's log has the cause", details)
}

/// A `grpc-timeout` that is not one to eight digits and a unit. Ignoring it would run a call without the bound that the
/// caller believes in.
pub fn malformed_timeout(value: &str) -> Status {
    let metadata = HashMap::from([("value".to_owned(), value.to_owned())]);
    let mut details = ErrorDetails::with_error_info("MALFORMED_TIMEOUT", DOMAIN, metadata);
    details.add_bad_request_violation(TIMEOUT_HEADER, "must be one to eight digits and one of H, M, S, m, u, n");
    Status::with_error_details(Code::InvalidArgument, "grpc-timeout is malformed", details)
}

/// Whether a request speaks gRPC, so that its answer must be a status in trailers. gRPC-Web is not counted: it reaches
/// these layers translated ([`super::web`]), or as plain HTTP where it is of no kind that can be.
pub fn is_grpc<B>(request: &Request<B>) -> bool {
    let Some(kind) = request.headers().get(CONTENT_TYPE) else { return false };
    let Some(rest) = kind.as_bytes().strip_prefix(b"application/grpc") else { return false };
    matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// A response that is nothing but a status: one HEADERS frame, no body.
pub fn trailers_only<B>(status: Status, body: B) -> Response<B> {
    status.into_http::<()>().map(|()| body)
}

/// The frame that ends a body, whose head is sent, with `status`.
pub fn trailers(status: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // The message is percent-encoded and the details base64, so no header value can be refused; should one be, the
        // code alone still ends the call as meant.
        trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from(status.code() as i32));
    }
    Frame::trailers(trailers)
}
