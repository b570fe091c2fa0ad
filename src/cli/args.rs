//! Settings of the client commands. What every one of them needs to reach a server is in [`ConnectionArgs`] alone, so
//! that certificates and credentials have one place to come to.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueEnum, value_parser};

use super::import::args::ImportArgs;
use super::letters::args::LettersCommand;
use super::token::TokenArgs;
use super::watch::args::WatchArgs;
use crate::bench::args::BenchArgs;
use crate::config::duration_within;
use crate::limits;
use crate::simulate::args::SimulateArgs;

#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Send the events of a made-up contact centre: for demos, load and soak tests.
    Simulate(SimulateArgs),
    /// Measure a server: ingest, questions and a watch, beside a bare service.
    Bench(Box<BenchArgs>),
    /// Load events from a file of newline-delimited JSON, `-` for standard input.
    Ingest(IngestArgs),
    /// Load what happened in TaskRouter in the last 30 days, from its REST Events API.
    #[command(name = "import-taskrouter")]
    Import(Box<ImportArgs>),
    /// Ask whether a server serves: exit code 0 SERVING, 1 not serving, 2 unreachable.
    Healthcheck(HealthcheckArgs),
    /// Show the statistics of a workspace: what is, and what was. Without a workspace: the list of them.
    Get(GetArgs),
    /// Show what happened in a workspace in an interval.
    Cumulative(GetArgs),
    /// Show the state of a workspace, live: on a terminal a board, elsewhere a line for each update.
    Watch(Box<WatchArgs>),
    /// Show how a server is: version, revision, checkpoint, bounds that are near, the largest workspaces.
    Status(StatusArgs),
    /// Copy a running server's data to a directory that a server can be started on.
    Backup(BackupArgs),
    /// Forget everything of a workspace, so that it may be bound to another account. Asks before.
    Forget(ForgetArgs),
    /// Events that came in over HTTP and were refused: list, show, resend, drop.
    #[command(subcommand, name = "dead-letters")]
    Letters(LettersCommand),
}

impl ClientCommand {
    /// Which server the command talks to.
    pub fn connection(&self) -> &ConnectionArgs {
        match self {
            ClientCommand::Simulate(args) => &args.connection,
            ClientCommand::Bench(args) => &args.connection,
            ClientCommand::Ingest(args) => &args.connection,
            ClientCommand::Import(args) => &args.connection,
            ClientCommand::Healthcheck(args) => &args.connection,
            ClientCommand::Get(args) | ClientCommand::Cumulative(args) => &args.connection,
            ClientCommand::Watch(args) => &args.connection,
            ClientCommand::Status(args) => &args.connection,
            ClientCommand::Backup(args) => &args.connection,
            ClientCommand::Forget(args) => &args.connection,
            ClientCommand::Letters(command) => command.connection(),
        }
    }
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Server to talk to: http://HOST:PORT, HOST:PORT or HOST; https://HOST:PORT speaks TLS and needs --tls-ca.
    #[arg(long, env = "TASKTALLY_ADDRESS", value_name = "URL", default_value = "http://127.0.0.1:50051", value_parser = address)]
    pub address: String,

    /// Time that connecting, and then each call, may take. A watch or a stream as a whole has no limit.
    #[arg(long, env = "TASKTALLY_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    pub timeout: Duration,

    #[command(flatten)]
    pub token: TokenArgs,

    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Whom to trust at an https:// address, and who we are there.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// PEM file of the authorities that may have signed the server's certificate. No others are trusted: none are built
    /// in, and the system's are used only if named here (often /etc/ssl/certs/ca-certificates.crt).
    #[arg(long, env = "TASKTALLY_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// PEM file of the certificate to show to a server that asks for one.
    #[arg(long, env = "TASKTALLY_CLIENT_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, PEM.
    #[arg(long, env = "TASKTALLY_CLIENT_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct DisplayArgs {
    /// text for people, json for programs (canonical protobuf JSON, zeros included).
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,

    /// Show times in UTC rather than local time.
    #[arg(long)]
    pub utc: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

/// Which workspace and channel a question is about.
#[derive(Args, Clone, Debug)]
pub struct SubjectArgs {
    /// Sid of the workspace (WS…); may be left out where the server knows just one.
    #[arg(value_name = "WORKSPACE_SID")]
    pub workspace: Option<String>,

    /// Only tasks of this channel: its unique name or its TC… sid.
    #[arg(long, value_name = "CHANNEL", default_value = "", hide_default_value = true)]
    pub channel: String,
}

#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    #[command(flatten)]
    pub subject: SubjectArgs,

    /// The last so many minutes [default: 15]
    #[arg(long, value_name = "N", conflicts_with_all = ["start", "end"],
        value_parser = value_parser!(i32).range(i64::from(limits::MINUTES_MIN)..=i64::from(limits::MINUTES_MAX)))]
    pub minutes: Option<i32>,

    /// Start of the interval: 2026-01-31T08:00:00Z, or how long ago: 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub start: Option<Moment>,

    /// End of the interval, exclusive; written as --start.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub end: Option<Moment>,

    /// Split waits at these thresholds, in seconds: 5,30.
    #[arg(long, value_name = "SECONDS,…", value_delimiter = ',',
        value_parser = value_parser!(i32).range(i64::from(limits::THRESHOLD_MIN_SECONDS)..=i64::from(limits::THRESHOLD_MAX_SECONDS)))]
    pub split: Vec<i32>,

    #[command(flatten)]
    pub display: DisplayArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// How client commands send events.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sending")]
pub struct SendArgs {
    /// Events in one request.
    #[arg(long, value_name = "N", default_value_t = limits::CLIENT_BATCH_EVENTS, value_parser = batch)]
    pub batch: usize,

    /// Requests in flight at a time, on each connection.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = in_flight)]
    pub in_flight: usize,

    /// Go on trying for this long while the server takes nothing (unavailable or overloaded), then give up.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = patience)]
    pub patience: Duration,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each line is a tasktally.v1.Event in canonical protobuf JSON; field names may be camelCase or as in the proto:
  {\"sid\":\"EV…\",\"type\":\"EVENT_TYPE_TASK_CREATED\",\"timestamp\":\"2026-01-31T08:00:00.123Z\",\"accountSid\":\"AC…\",…}
Loading a file again is safe: events taken before count as duplicates.")]
pub struct IngestArgs {
    /// File to read; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Skip the lines before this one, the first being 1: to go on after an interruption.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    pub from_line: u64,

    #[command(flatten)]
    pub send: SendArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The server goes on meanwhile; the copy is as of one position, with everything that was acknowledged before the command. It \
is written beside DEST as DEST.partial, verified as `tasktally verify` does, and renamed at the end: what is at DEST is \
complete. --timeout is the time that the server may be silent. To restore, start a server on DEST.")]
pub struct BackupArgs {
    /// Directory to make; it must not be there, or be empty.
    #[arg(value_name = "DEST")]
    pub dest: PathBuf,

    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Undoes a wrong first binding: an event of the wrong account has named the workspace first, and those of the right one are \
refused. Its statistics, its events and its account are gone, durably; then its events may be sent again, with the sids \
that they had. Only a backup brings back what was forgotten. Repeating it is safe: NOT_FOUND means that it is done.")]
pub struct ForgetArgs {
    /// Sid of the workspace (WS…).
    #[arg(value_name = "WORKSPACE_SID")]
    pub workspace: String,

    /// Do not ask.
    #[arg(long)]
    pub yes: bool,

    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "Needs the role admin, of all accounts, where callers are asked who they are.")]
pub struct StatusArgs {
    /// Largest workspaces to show: at most 100; 0 for 10.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = value_parser!(i32).range(0..))]
    pub workspaces: i32,

    #[command(flatten)]
    pub display: DisplayArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Args, Clone, Debug)]
pub struct HealthcheckArgs {
    /// Service to ask about, such as tasktally.v1.IngestService, liveness or readiness; empty for the whole server.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub service: String,

    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// A moment, given as such or by its distance from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(SystemTime),
    Ago(Duration),
}

impl Moment {
    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self, now_ms: i64) -> i64 {
        match self {
            Moment::At(at) => chrono::DateTime::<chrono::Utc>::from(at).timestamp_millis(),
            Moment::Ago(ago) => now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

/// A time, or how long ago it was.
///
/// # Errors
/// It is neither.
pub fn moment(text: &str) -> Result<Moment, String> {
    if text == "now" {
        return Ok(Moment::Ago(Duration::ZERO));
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Moment::Ago(ago));
    }
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|at| Moment::At(at.into()))
        .map_err(|_| "neither a time such as 2026-01-31T08:00:00Z nor a duration such as 2h".to_owned())
}

/// An address as `http://HOST:PORT` or `https://HOST:PORT`; a bare host takes the service's own port.
///
/// # Errors
/// Why it is none.
pub fn address(text: &str) -> Result<String, String> {
    let (scheme, scheme_less) = match text.strip_prefix("https://") {
        Some(rest) => ("https", rest),
        None => ("http", text.strip_prefix("http://").unwrap_or(text)),
    };
    let uri: http::Uri = format!("http://{scheme_less}").parse().map_err(|error| format!("not an address: {error}"))?;
    // The library takes brackets anywhere, and a port that is none for one that is not given.
    let is_host = |host: &str| match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && !host.contains(['[', ']', '@']),
    };
    let misplaced = scheme_less.contains("://") || uri.query().is_some() || !matches!(uri.path(), "" | "/");
    match uri.authority() {
        Some(authority) if !misplaced && is_host(authority.host()) => {
            let port = match authority.as_str().strip_prefix(authority.host()) {
                Some("") => Ok(50051),
                Some(rest) => port(rest).ok_or("the port must be a number from 0 to 65535".to_owned()),
                None => Err("a user name has no place in an address".to_owned()),
            };
            port.map(|port| format!("{scheme}://{}:{port}", authority.host()))
        }
        _ => Err("must be http://HOST:PORT, https://HOST:PORT, HOST:PORT or HOST".to_owned()),
    }
}

/// `:PORT`. Only digits, where Rust would take a sign.
fn port(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::from_millis(1), Duration::from_secs(24 * 60 * 60))
}

pub(super) fn patience(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::ZERO, Duration::from_secs(30 * 24 * 60 * 60))
}

fn batch(text: &str) -> Result<usize, String> {
    number_within(text, limits::EVENTS_PER_CALL)
}

fn in_flight(text: &str) -> Result<usize, String> {
    number_within(text, limits::CLIENT_IN_FLIGHT_MAX)
}

pub(crate) fn number_within(text: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 1 to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_four_forms() {
        assert_eq!(address("http://stats.example:1234/").unwrap(), "http://stats.example:1234");
        assert_eq!(address("127.0.0.1:7").unwrap(), "http://127.0.0.1:7");
        assert_eq!(address("[::1]:7").unwrap(), "http://[::1]:7");
        assert_eq!(address("stats").unwrap(), "http://stats:50051");
        assert_eq!(address("https://stats").unwrap(), "https://stats:50051");
        for text in ["", "https://", "https://x/path", "ftp://x", "http://x/path", "http://u:p@x", "a b", "http://:80"]
        {
            assert!(address(text).is_err(), "{text:?}");
        }
        for text in ["h[::1]", "[::1", "[x]", "[::1]x:7", "stats:", "stats:65536", "stats:+7", "stats:7:7"] {
            assert!(address(text).is_err(), "{text:?} must not become {:?}", address(text));
        }
    }

    #[test]
    fn moments_are_times_or_distances() {
        assert_eq!(moment("2h").unwrap().as_millis(10_000_000), 2_800_000);
        assert_eq!(moment("now").unwrap().as_millis(7), 7);
        assert_eq!(moment("1970-01-01T01:00:01.5+01:00").unwrap().as_millis(0), 1_500);
        assert!(moment("yesterday").is_err());
    }
}
