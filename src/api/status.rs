//! What a caller is told when a call fails: the one mapping from errors to gRPC statuses.
//!
//! Every status carries `google.rpc.ErrorInfo`; a bad request also `BadRequest` with every bad field; what a retry can
//! help also `RetryInfo`, and nothing else does. Texts stay short: they travel in a header.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::event::{Second, WorkspaceSid};
use crate::letters::LettersError;
use crate::limits;
use crate::measure;
use crate::pipeline::{AskError, CopyRefusal, Full, IngestError, Role};

const DOMAIN: &str = "tasktally";

/// After which a call is worth another try where the server is starting, or where another one must take over.
const RETRY_AFTER: Duration = limits::UNAVAILABLE_RETRY_DELAY;

/// The longest cause of a failure that is passed on, in bytes.
const MOST_CAUSE_BYTES: usize = 256;

/// Why a call fails.
#[derive(Debug)]
pub enum ApiError {
    /// Fields of the request are not what they must be; never empty.
    BadFields(Vec<FieldViolation>),
    /// The request holds more events than it may.
    TooManyEvents { sent: usize, most: usize },
    /// As many watch as the bound of this name allows.
    TooManyWatchers { limit: &'static str, most: usize },
    /// The body is not the message that the method takes.
    NotTheMessage { cause: String },
    /// The message has begun, and its end does not come.
    TooSlow,
    /// The message is larger than the server takes, before or after decompression.
    TooLarge { most_bytes: usize },
    /// The caller is known and has not the role that this call needs.
    NotPermitted { needed: Role },
    /// The caller is of one account, and what it asks for is of all.
    NotOfAll,
    /// A question about this workspace has no answer.
    Ask(WorkspaceSid, AskError),
    /// A question about no workspace in particular has no answer.
    List(AskError),
    /// Events could not be taken in.
    Ingest(IngestError),
    /// The dead letters could not be read or written.
    Letters(LettersError),
    /// There is no copy of the journal, or no more of it.
    Backup(CopyRefusal),
    /// The server is shutting down.
    Stopping,
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        status(error)
    }
}

/// Counts what is refused by a bound, whichever way the caller is told.
pub(crate) fn count(error: &ApiError) {
    let limit = match error {
        ApiError::TooManyEvents { .. } => "max_events_per_call",
        ApiError::TooManyWatchers { limit, .. } => limit,
        ApiError::TooSlow => "request_read_timeout",
        ApiError::TooLarge { .. } => "max_message_bytes",
        ApiError::Ask(_, AskError::Overloaded(full))
        | ApiError::List(AskError::Overloaded(full))
        | ApiError::Ingest(IngestError::Overloaded(full)) => full.limit,
        ApiError::Letters(LettersError::Busy(_)) => "dead_letter_calls",
        ApiError::BadFields(_)
        | ApiError::NotTheMessage { .. }
        | ApiError::NotPermitted { .. }
        | ApiError::NotOfAll
        | ApiError::Ask(..)
        | ApiError::List(_)
        | ApiError::Ingest(_)
        | ApiError::Letters(_)
        | ApiError::Backup(_)
        | ApiError::Stopping => return,
    };
    measure::refused_by(limit);
}

/// The status that a caller gets for an error.
pub fn status(error: ApiError) -> Status {
    count(&error);
    match error {
        ApiError::BadFields(violations) => bad_fields(violations),
        ApiError::TooManyEvents { sent, most } => too_many_events(sent, most),
        ApiError::TooSlow => {
            let seconds = limits::REQUEST_READ_TIMEOUT.as_secs();
            let text = format!("the message did not come to its end within {seconds} s");
            let metadata = [("limit", "request_read_timeout".to_owned()), ("limit_value", format!("{seconds}s"))];
            retriable(Code::ResourceExhausted, "REQUEST_TOO_SLOW", text, RETRY_AFTER, metadata)
        }
        ApiError::TooManyWatchers { limit, most } => {
            let text = format!("there is no room for another watch: {limit} = {most}");
            let after = limits::WATCHERS_RETRY_DELAY;
            retriable(Code::ResourceExhausted, "TOO_MANY_WATCHERS", text, after, bound(limit, most))
        }
        ApiError::NotTheMessage { cause } => {
            let cause = cut(&cause, MOST_CAUSE_BYTES);
            let text = format!("the body is not the message: {cause}");
            refused(Code::InvalidArgument, "MALFORMED_MESSAGE", text, [("cause", cause.to_owned())])
        }
        ApiError::TooLarge { most_bytes } => {
            let text = format!("the message is larger than {most_bytes} bytes");
            let [limit, value] = bound("max_message_bytes", most_bytes);
            let metadata = [limit, value, ("limit_bytes", most_bytes.to_string())];
            refused(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", text, metadata)
        }
        ApiError::NotPermitted { needed } => {
            let text = format!("this needs credentials with the role {}", needed.name());
            refused(Code::PermissionDenied, "ROLE_MISSING", text, [("role", needed.name().to_owned())])
        }
        ApiError::NotOfAll => {
            let text = "this concerns every account, and needs credentials of all".to_owned();
            refused(Code::PermissionDenied, "ACCOUNT_NOT_ALL", text, [])
        }
        ApiError::Ask(workspace, error) => unanswered(Some(workspace), error),
        ApiError::List(error) => unanswered(None, error),
        ApiError::Ingest(error) => untaken(error),
        ApiError::Letters(error) => unkept(error),
        ApiError::Backup(refusal) => uncopied(refusal),
        ApiError::Stopping => stopping(),
    }
}

fn uncopied(refusal: CopyRefusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        CopyRefusal::NotKept => {
            let text = "the server keeps nothing on disk: there is nothing to back up".to_owned();
            refused(Code::FailedPrecondition, "NOTHING_ON_DISK", text, [])
        }
        CopyRefusal::UnderWay => retriable(Code::ResourceExhausted, "BACKUP_UNDER_WAY", text, RETRY_AFTER, []),
        CopyRefusal::TooSlow => refused(Code::Aborted, "BACKUP_TOO_SLOW", text, []),
        CopyRefusal::Forgotten => refused(Code::Aborted, "BACKUP_INTERRUPTED", text, []),
        CopyRefusal::Unreadable(cause) => {
            let cause = cut(&cause, MOST_CAUSE_BYTES).to_owned();
            refused(
                Code::DataLoss,
                "JOURNAL_DAMAGED",
                format!("the journal cannot be read: {cause}"),
                [("cause", cause)],
            )
        }
        CopyRefusal::Starting => starting(),
        CopyRefusal::Stopping => stopping(),
    }
}

fn unkept(error: LettersError) -> Status {
    let text = error.to_string();
    match error {
        LettersError::Starting => starting(),
        LettersError::Stopping => stopping(),
        LettersError::Busy(most) => overloaded(Full::now("dead_letter_calls", most)),
        LettersError::Unusable(cause) => {
            let cause = cut(&cause, MOST_CAUSE_BYTES).to_owned();
            let text = cut(&text, MOST_CAUSE_BYTES).to_owned();
            retriable(Code::Unavailable, "DEAD_LETTERS_UNUSABLE", text, RETRY_AFTER, [("cause", cause)])
        }
    }
}

fn unanswered(workspace: Option<WorkspaceSid>, error: AskError) -> Status {
    match error {
        AskError::UnknownWorkspace => {
            let sid = workspace.map(|sid| sid.to_string()).unwrap_or_default();
            let text = format!("no accepted event has named the workspace {sid}");
            refused(Code::NotFound, "WORKSPACE_NOT_FOUND", text, [("workspace_sid", sid)])
        }
        AskError::WindowTooOld { oldest, asked } => too_old(oldest, asked),
        AskError::EmptyWindow { field } => bad_fields(vec![FieldViolation::new(field, empty_rule(field))]),
        AskError::TooManyBuckets { least_s } => bad_fields(vec![FieldViolation::new("bucket", bucket_rule(least_s))]),
        AskError::Overloaded(full) => overloaded(full),
        AskError::Starting => starting(),
        AskError::Stopping => stopping(),
    }
}

/// What is asked of the field that leaves an interval no second.
pub fn empty_rule(field: &str) -> &'static str {
    match field {
        "start_time" => "must not be in the future: without end_time, the interval ends now",
        _ => "must be after start_time, once rounded to whole seconds",
    }
}

/// What is asked of a bucket where the interval has too many of the given length.
pub fn bucket_rule(least_s: i64) -> String {
    let most = limits::SERIES_BUCKETS;
    format!("must be at least {least_s} s for this interval, which then has no more than {most} buckets")
}

fn untaken(error: IngestError) -> Status {
    match error {
        IngestError::Overloaded(full) => overloaded(full),
        IngestError::Unwritable { cause, retry_after_ms } => {
            let cause = cut(&cause, MOST_CAUSE_BYTES);
            let text = format!("the journal cannot be written: {cause}");
            let after = Duration::from_millis(retry_after_ms);
            retriable(Code::Unavailable, "JOURNAL_UNWRITABLE", text, after, [("cause", cause.to_owned())])
        }
        IngestError::Starting => starting(),
        IngestError::Stopping => stopping(),
    }
}

fn bad_fields(violations: Vec<FieldViolation>) -> Status {
    let fields = violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>().join(",");
    let described = violations.iter().map(|violation| format!("{} {}", violation.field, violation.description));
    let text = described.collect::<Vec<_>>().join("; ");
    let mut details = info("BAD_FIELDS", [("fields", fields)]);
    details.set_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, text, details)
}

fn too_many_events(sent: usize, most: usize) -> Status {
    let text = format!("a request holds at most {most} events, not {sent}");
    let [limit, value] = bound("max_events_per_call", most);
    let mut details = info("TOO_MANY_EVENTS", [limit, value, ("sent", sent.to_string())]);
    details.add_bad_request_violation("events", format!("must have at most {most}, not {sent}"));
    Status::with_error_details(Code::InvalidArgument, text, details)
}

fn too_old(oldest: Second, asked: Second) -> Status {
    let time = |second: Second| prost_types::Timestamp { seconds: second.0, nanos: 0 }.to_string();
    let (oldest, asked) = (time(oldest), time(asked));
    let text = format!("the interval starts at {asked}; the oldest time that can be asked for is {oldest}");
    refused(Code::OutOfRange, "START_TOO_OLD", text, [("oldest_start_time", oldest), ("start_time", asked)])
}

fn overloaded(Full { limit, most, retry_after_ms }: Full) -> Status {
    let text = format!("the server cannot keep up: {limit} = {most} are taken");
    let after = Duration::from_millis(retry_after_ms);
    let [limit, value] = bound(limit, most);
    let metadata = [limit, value, ("retry_after_ms", retry_after_ms.to_string())];
    retriable(Code::ResourceExhausted, "OVERLOADED", text, after, metadata)
}

fn starting() -> Status {
    retriable(Code::Unavailable, "STARTING", "the server is starting".to_owned(), RETRY_AFTER, [])
}

fn stopping() -> Status {
    retriable(Code::Unavailable, "SHUTTING_DOWN", "the server is shutting down".to_owned(), RETRY_AFTER, [])
}

/// For what the same call would only meet again.
fn refused<const N: usize>(code: Code, reason: &str, text: String, metadata: [(&str, String); N]) -> Status {
    Status::with_error_details(code, text, info(reason, metadata))
}

/// For what a later call may not meet.
fn retriable<const N: usize>(
    code: Code,
    reason: &str,
    text: String,
    after: Duration,
    metadata: [(&str, String); N],
) -> Status {
    let mut details = info(reason, metadata);
    details.set_retry_info(Some(after));
    Status::with_error_details(code, text, details)
}

/// What every refusal by a bound says: which setting it is, and its number.
fn bound(limit: &'static str, most: usize) -> [(&'static str, String); 2] {
    [("limit", limit.to_owned()), ("limit_value", most.to_string())]
}

fn info<const N: usize>(reason: &str, metadata: [(&str, String); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

/// The longest start of the text that fits.
pub fn cut(text: &str, most_bytes: usize) -> &str {
    let mut end = most_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A status that the library made while it read a request, in this service's own terms. What has details is ours
/// already; the library knows no details.
pub fn of_reading(status: Status, most_bytes: usize) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    match status.code() {
        // The length before decompression is over the limit, or the length after it.
        Code::OutOfRange | Code::ResourceExhausted => self::status(ApiError::TooLarge { most_bytes }),
        // The body ends early, or is not what its compression says.
        Code::Internal => self::status(ApiError::NotTheMessage { cause: status.message().to_owned() }),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => status,
    }
}

#[cfg(test)]
mod tests;
