//! What a caller is told when a call fails: the one mapping from errors to gRPC statuses.
//!
//! Every status carries `google.rpc.ErrorInfo`; a bad request also `BadRequest` with every bad field; what a retry can
//! help also `RetryInfo`, and nothing else does. Texts stay short: they travel in a header.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::event::{Second, WorkspaceSid};
use crate::limits;
use crate::pipeline::{AskError, CopyRefusal, Full, IngestError};

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
    /// A question about this workspace has no answer.
    Ask(WorkspaceSid, AskError),
    /// A question about no workspace in particular has no answer.
    List(AskError),
    /// Events could not be taken in.
    Ingest(IngestError),
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

/// The status that a caller gets for an error.
pub fn status(error: ApiError) -> Status {
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
        ApiError::Ask(workspace, error) => unanswered(Some(workspace), error),
        ApiError::List(error) => unanswered(None, error),
        ApiError::Ingest(error) => untaken(error),
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

fn unanswered(workspace: Option<WorkspaceSid>, error: AskError) -> Status {
    match error {
        AskError::UnknownWorkspace => {
            let sid = workspace.map(|sid| sid.to_string()).unwrap_or_default();
            let text = format!("no accepted event has named the workspace {sid}");
            refused(Code::NotFound, "WORKSPACE_NOT_FOUND", text, [("workspace_sid", sid)])
        }
        AskError::WindowTooOld { oldest, asked } => too_old(oldest, asked),
        AskError::EmptyWindow { field } => {
            let rule = if field == "start_time" { "must be before the end of now" } else { "must be after start_time" };
            bad_fields(vec![FieldViolation::new(field, format!("{rule}, once rounded to whole seconds"))])
        }
        AskError::Overloaded(full) => overloaded(full),
        AskError::Starting => starting(),
        AskError::Stopping => stopping(),
    }
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
pub(super) fn cut(text: &str, most_bytes: usize) -> &str {
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
mod tests {
    use super::*;

    fn workspace() -> WorkspaceSid {
        WorkspaceSid::from_bytes([0xab; 16])
    }

    fn ask(error: AskError) -> Status {
        status(ApiError::Ask(workspace(), error))
    }

    fn ingest(error: IngestError) -> Status {
        status(ApiError::Ingest(error))
    }

    fn full(retry_after_ms: u64) -> Full {
        Full { limit: "max_queued_events", most: 7, retry_after_ms }
    }

    fn backup(refusal: CopyRefusal) -> Status {
        status(ApiError::Backup(refusal))
    }

    /// Code, reason, whether a retry is offered, number of bad fields.
    fn shape(status: &Status) -> (Code, String, bool, usize) {
        let details = status.get_error_details();
        let info = details.error_info().expect("every error has an ErrorInfo");
        assert_eq!(info.domain, "tasktally");
        assert!(info.reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{}", info.reason);
        let bad = details.bad_request().map_or(0, |bad| bad.field_violations.len());
        (status.code(), info.reason.clone(), details.retry_info().is_some(), bad)
    }

    fn value(status: &Status, key: &str) -> String {
        status.get_error_details().error_info().unwrap().metadata[key].clone()
    }

    #[test]
    fn every_error_has_its_code_its_reason_and_retry_info_only_where_a_retry_helps() {
        let bad = || FieldViolation::new("minutes", "must be from 1 to 43200");
        let (oldest, asked) = (Second(10), Second(9));
        let unwritable = IngestError::Unwritable { cause: "no space".into(), retry_after_ms: 1000 };
        let expected = [
            (status(ApiError::BadFields(vec![bad(), bad()])), Code::InvalidArgument, "BAD_FIELDS", false, 2),
            (status(ApiError::TooManyEvents { sent: 3, most: 2 }), Code::InvalidArgument, "TOO_MANY_EVENTS", false, 1),
            (
                status(ApiError::NotTheMessage { cause: "?".into() }),
                Code::InvalidArgument,
                "MALFORMED_MESSAGE",
                false,
                0,
            ),
            (status(ApiError::TooLarge { most_bytes: 4 }), Code::ResourceExhausted, "MESSAGE_TOO_LARGE", false, 0),
            (ask(AskError::UnknownWorkspace), Code::NotFound, "WORKSPACE_NOT_FOUND", false, 0),
            (ask(AskError::WindowTooOld { oldest, asked }), Code::OutOfRange, "START_TOO_OLD", false, 0),
            (ask(AskError::EmptyWindow { field: "start_time" }), Code::InvalidArgument, "BAD_FIELDS", false, 1),
            (ask(AskError::Overloaded(full(5))), Code::ResourceExhausted, "OVERLOADED", true, 0),
            (ask(AskError::Starting), Code::Unavailable, "STARTING", true, 0),
            (ask(AskError::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
            (ingest(IngestError::Overloaded(full(5))), Code::ResourceExhausted, "OVERLOADED", true, 0),
            (ingest(unwritable), Code::Unavailable, "JOURNAL_UNWRITABLE", true, 0),
            (ingest(IngestError::Starting), Code::Unavailable, "STARTING", true, 0),
            (ingest(IngestError::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
            (status(ApiError::List(AskError::Starting)), Code::Unavailable, "STARTING", true, 0),
            (status(ApiError::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
            (status(ApiError::TooSlow), Code::ResourceExhausted, "REQUEST_TOO_SLOW", true, 0),
            (
                status(ApiError::TooManyWatchers { limit: "max_watchers", most: 1 }),
                Code::ResourceExhausted,
                "TOO_MANY_WATCHERS",
                true,
                0,
            ),
            (backup(CopyRefusal::NotKept), Code::FailedPrecondition, "NOTHING_ON_DISK", false, 0),
            (backup(CopyRefusal::UnderWay), Code::ResourceExhausted, "BACKUP_UNDER_WAY", true, 0),
            (backup(CopyRefusal::TooSlow), Code::Aborted, "BACKUP_TOO_SLOW", false, 0),
            (backup(CopyRefusal::Forgotten), Code::Aborted, "BACKUP_INTERRUPTED", false, 0),
            (backup(CopyRefusal::Unreadable("page 3".into())), Code::DataLoss, "JOURNAL_DAMAGED", false, 0),
            (backup(CopyRefusal::Starting), Code::Unavailable, "STARTING", true, 0),
            (backup(CopyRefusal::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
        ];
        for (status, code, reason, retry, bad) in expected {
            assert_eq!(shape(&status), (code, reason.to_owned(), retry, bad));
        }
    }

    #[test]
    fn the_metadata_holds_the_values() {
        let unknown = ask(AskError::UnknownWorkspace);
        assert_eq!(value(&unknown, "workspace_sid"), workspace().to_string());
        let too_old = ask(AskError::WindowTooOld { oldest: Second(1_800_000_000), asked: Second(1_799_999_999) });
        assert_eq!(value(&too_old, "oldest_start_time"), "2027-01-15T08:00:00Z");
        assert_eq!(value(&too_old, "start_time"), "2027-01-15T07:59:59Z");
        let too_many = status(ApiError::TooManyEvents { sent: 10_001, most: 10_000 });
        assert_eq!(value(&too_many, "sent"), "10001");
        let too_large = status(ApiError::TooLarge { most_bytes: 4096 });
        assert_eq!(value(&too_large, "limit_bytes"), "4096");
        let watchers = status(ApiError::TooManyWatchers { limit: "max_watchers", most: 3 });
        let overloaded = ingest(IngestError::Overloaded(full(5)));
        for (status, limit, number) in [
            (too_many, "max_events_per_call", "10000"),
            (too_large, "max_message_bytes", "4096"),
            (watchers, "max_watchers", "3"),
            (overloaded, "max_queued_events", "7"),
        ] {
            assert_eq!((value(&status, "limit").as_str(), value(&status, "limit_value").as_str()), (limit, number));
        }
    }

    #[test]
    fn the_delay_is_the_one_asked_for() {
        let details = ask(AskError::Overloaded(full(250))).get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(250)));
    }

    #[test]
    fn an_empty_window_names_the_field_at_fault() {
        for field in ["start_time", "end_time"] {
            let details = ask(AskError::EmptyWindow { field }).get_error_details();
            assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
        }
    }

    #[test]
    fn a_long_cause_is_cut_between_characters() {
        let unwritable = ingest(IngestError::Unwritable { cause: "é".repeat(200).into(), retry_after_ms: 1 });
        assert_eq!(value(&unwritable, "cause"), "é".repeat(128));
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }

    #[test]
    fn what_the_library_says_of_a_request_becomes_ours_and_ours_stays() {
        let read = |status| shape(&of_reading(status, 9));
        let too_large = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned(), false, 0);
        assert_eq!(read(Status::out_of_range("length")), too_large);
        assert_eq!(read(Status::resource_exhausted("decompressing")), too_large);
        let malformed = (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned(), false, 0);
        assert_eq!(read(Status::internal("Unexpected EOF")), malformed);
        let ours = ask(AskError::WindowTooOld { oldest: Second(1), asked: Second(0) });
        assert_eq!(read(ours.clone()), shape(&ours));
        assert!(of_reading(Status::unimplemented("gzip"), 9).details().is_empty());
    }
}
