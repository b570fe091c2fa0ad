//! Why a client command failed: what to print, and which exit code.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::args::ConnectionArgs;
use super::handshake::{self, Mismatch};

/// One failure; the variant decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server's answer to a call, or the transport's.
    #[error("{}", describe(.0))]
    Call(Box<Status>),
    /// The command cannot go on without something that the caller must say.
    #[error("{0}")]
    Usage(String),
    #[error("{what}: {error}")]
    Local { what: String, error: io::Error },
    /// A data directory, named in the text.
    #[error("{0}")]
    Data(String),
    /// The server took nothing for as long as we were told to try.
    #[error("gave up after {} tries: {}", .tries, describe(.last))]
    GaveUp { tries: u32, last: Box<Status> },
    /// TaskRouter's API refuses what we ask for.
    #[error("TaskRouter: {0}")]
    Source(String),
    /// TaskRouter's API does not know us.
    #[error("TaskRouter: {0}")]
    SourceAccess(String),
    /// TaskRouter's API gave no page for as long as we were told to try.
    #[error("TaskRouter: gave up after {tries} tries: {words}")]
    SourceGone { tries: u32, words: String },
    /// The two sides cannot come together as they are.
    #[error("{words}")]
    Mismatch { mismatch: Mismatch, words: String },
}

/// Done, but events were refused, or a server does not serve.
pub const EXIT_REFUSED: u8 = 1;
pub const EXIT_USAGE: u8 = 2;
/// The request cannot succeed as it is.
pub const EXIT_REQUEST: u8 = 3;
/// The server may answer later.
pub const EXIT_UNAVAILABLE: u8 = 4;
/// A file, a terminal or the like on this side.
pub const EXIT_LOCAL: u8 = 5;
/// The server does not know us, or not as somebody who may do this.
pub const EXIT_ACCESS: u8 = 6;

impl Failure {
    pub fn local(what: impl Into<String>, error: io::Error) -> Failure {
        Failure::Local { what: what.into(), error }
    }

    /// With the workspace that TaskRouter was asked about.
    pub fn about(self, workspace: &str) -> Failure {
        match self {
            Failure::Source(words) => Failure::Source(format!("{workspace}: {words}")),
            Failure::SourceAccess(words) => Failure::SourceAccess(format!("{workspace}: {words}")),
            Failure::SourceGone { tries, words } => {
                Failure::SourceGone { tries, words: format!("{workspace}: {words}") }
            }
            other => other,
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Call(status) if may_pass(status) => EXIT_UNAVAILABLE,
            Failure::Call(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                EXIT_ACCESS
            }
            Failure::Call(_) => EXIT_REQUEST,
            Failure::GaveUp { .. } | Failure::SourceGone { .. } => EXIT_UNAVAILABLE,
            Failure::Source(_) => EXIT_REQUEST,
            Failure::SourceAccess(_) => EXIT_ACCESS,
            Failure::Usage(_) => EXIT_USAGE,
            Failure::Local { .. } | Failure::Data(_) => EXIT_LOCAL,
            Failure::Mismatch { mismatch, .. } => mismatch.exit_code(),
        }
    }

    /// What the user of this connection can do about it, where the text does not say.
    pub fn advice(&self, args: &ConnectionArgs) -> Option<String> {
        let status = match self {
            Failure::Call(status) => status,
            Failure::Mismatch { mismatch, .. } => return Some(mismatch.advice().to_owned()),
            _ => return None,
        };
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        let shows_token = args.token.token.is_some() || args.token.token_file.is_some();
        let advice = match (status.code(), reason.as_str(), &args.tls.tls_cert) {
            (Code::Unauthenticated, "CREDENTIALS_MISSING", _) => {
                "give a token: --token-file FILE, or the variable TASKTALLY_TOKEN (made with: tasktally credentials new)"
            }
            (Code::Unauthenticated, _, Some(cert)) if !shows_token => {
                return Some(format!(
                    "no name of the certificate in {} (--tls-cert) is in the server's credentials file \
                     (certificate = \"dns:…\" or \"uri:…\"); or give a token: --token-file FILE",
                    cert.display()
                ));
            }
            (Code::Unauthenticated, ..) => {
                "check the token that was sent (--token-file, TASKTALLY_TOKEN), or ask for a new one"
            }
            (Code::PermissionDenied, "ACCOUNT_NOT_ALL", _) => {
                "use a credential of account = \"all\": one of a single account may not, whatever its roles"
            }
            (Code::PermissionDenied, _, Some(_)) if !shows_token => {
                "use a certificate with that role: whoever runs the server gives roles to the names of certificates"
            }
            (Code::PermissionDenied, ..) => "use a token with that role: whoever runs the server gives roles to tokens",
            (Code::Unimplemented, ..) => {
                return Some(format!(
                    "server: {}; this may be its port for probes (--health-listen) or for metrics (--metrics-listen), \
                     where nothing else is answered",
                    args.address
                ));
            }
            _ => return None,
        };
        Some(advice.to_owned())
    }

    /// The reader of our output has gone: `tasktally get | head` is no failure.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Failure::Local { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        Failure::Call(Box::new(status))
    }
}

/// Whether the same call can succeed later: every call of ours may be repeated.
pub fn may_pass(status: &Status) -> bool {
    if handshake::in_status(status).is_some() {
        return false;
    }
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        // Without RetryInfo the message is too large, which no repetition changes.
        Code::ResourceExhausted => retry_delay(status).is_some(),
        // A status with a source was made by our own side of the transport: a broken connection, or our time-out.
        Code::Cancelled | Code::Unknown | Code::Internal => {
            std::error::Error::source(status).is_some() || timed_out(status)
        }
        _ => false,
    }
}

/// Whether the server said this, rather than our own side of the transport of a server that it could not ask.
pub fn is_answer(status: &Status) -> bool {
    std::error::Error::source(status).is_none() && !timed_out(status)
}

/// How long the server asks us to wait.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// Whether our own side gave up on the call; the transport calls that CANCELLED.
pub(super) fn timed_out(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == "Timeout expired"
}

/// A status for people: code and message, then the details, one to a line.
pub fn describe(status: &Status) -> String {
    if timed_out(status) {
        return "DEADLINE_EXCEEDED: no answer within --timeout".to_owned();
    }
    let mut text = code_name(status.code()).to_owned();
    if !status.message().is_empty() {
        let _ = write!(text, ": {}", status.message());
    }
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            let _ = write!(text, ": {why}");
        }
        cause = error.source();
    }
    let details = status.get_error_details();
    if let Some(info) = details.error_info() {
        let mut values: Vec<String> = info.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        values.sort();
        let _ = write!(text, "\n  reason: {}", info.reason);
        if !values.is_empty() {
            let _ = write!(text, " ({})", values.join(", "));
        }
    }
    for violation in details.bad_request().iter().flat_map(|bad| &bad.field_violations) {
        let _ = write!(text, "\n  {}: {}", violation.field, violation.description);
    }
    if let Some(delay) = retry_delay(status) {
        let _ = write!(text, "\n  retry after {}", humantime::format_duration(delay));
    }
    text
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn details_are_printed_one_to_a_line() {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([("limit".to_owned(), "20".to_owned()), ("given".to_owned(), "21".to_owned())]);
        details
            .set_error_info("TOO_MANY_THRESHOLDS", "tasktally", metadata)
            .add_bad_request_violation("split_by_wait_time", "at most 20")
            .add_bad_request_violation("minutes", "must be 1 to 43200")
            .set_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::InvalidArgument, "bad request", details);
        assert_eq!(
            describe(&status),
            "INVALID_ARGUMENT: bad request\n  reason: TOO_MANY_THRESHOLDS (given=21, limit=20)\n  \
             split_by_wait_time: at most 20\n  minutes: must be 1 to 43200\n  retry after 1s 500ms"
        );
        assert_eq!(Failure::from(status).exit_code(), EXIT_REQUEST);
    }

    #[test]
    fn the_exit_code_tells_whether_a_repetition_can_help() {
        let code = |status: Status| Failure::from(status).exit_code();
        assert_eq!(code(Status::unavailable("")), EXIT_UNAVAILABLE);
        assert_eq!(code(Status::deadline_exceeded("")), EXIT_UNAVAILABLE);
        assert_eq!(code(Status::cancelled("Timeout expired")), EXIT_UNAVAILABLE);
        assert_eq!(code(Status::not_found("")), EXIT_REQUEST);
        assert_eq!(code(Status::unauthenticated("")), EXIT_ACCESS);
        assert_eq!(code(Status::permission_denied("")), EXIT_ACCESS);
        assert_eq!(code(Status::internal("a bug over there")), EXIT_REQUEST);
        assert_eq!(code(Status::resource_exhausted("too large")), EXIT_REQUEST);
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
        assert_eq!(code(Status::with_error_details(Code::ResourceExhausted, "busy", details)), EXIT_UNAVAILABLE);
    }

    fn refused(code: Code, reason: &str) -> Failure {
        let details = ErrorDetails::with_error_info(reason, "tasktally", HashMap::new());
        Failure::from(Status::with_error_details(code, "", details))
    }

    #[test]
    fn advice_is_about_what_was_shown() {
        let args = |line: &str| {
            let line = format!("tasktally get --address https://x {line}");
            match crate::config::try_parse(line.split_whitespace().map(Into::into), None).unwrap().command {
                crate::config::Command::Client(command) => command.connection().clone(),
                _ => panic!("{line} is a client command"),
            }
        };
        let advice = |code, reason: &str, line: &str| refused(code, reason).advice(&args(line)).unwrap();
        let shows = "--tls-cert me.pem --tls-key me.key";
        let of_certificate = advice(Code::Unauthenticated, "CREDENTIALS_WRONG", shows);
        assert!(of_certificate.contains("me.pem") && !of_certificate.contains("check the token"), "{of_certificate}");
        let both = advice(Code::Unauthenticated, "CREDENTIALS_WRONG", &format!("{shows} --token-file t"));
        assert!(both.contains("check the token"), "a token that is there decides: {both}");
        let all = advice(Code::PermissionDenied, "ACCOUNT_NOT_ALL", "");
        assert!(all.contains("account = \"all\"") && !all.contains("with that role"), "{all}");
        let probes = advice(Code::Unimplemented, "", "");
        assert!(
            probes.contains("https://x:50051")
                && probes.contains("--health-listen")
                && probes.contains("--metrics-listen"),
            "{probes}"
        );
    }

    #[test]
    fn a_closed_pipe_is_told_from_other_trouble() {
        assert!(Failure::local("stdout", io::ErrorKind::BrokenPipe.into()).is_closed_pipe());
        assert!(!Failure::local("stdout", io::ErrorKind::StorageFull.into()).is_closed_pipe());
    }
}
