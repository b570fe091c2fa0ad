//! Settings of `tasktally import-taskrouter`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::args::{ConnectionArgs, Moment, SendArgs, moment, number_within};
use crate::config::duration_within;
use crate::limits;

#[derive(Args, Clone, Debug)]
#[command(after_help = ABOUT)]
pub struct ImportArgs {
    /// Sids of the workspaces (WS…) whose events are imported.
    #[arg(value_name = "WORKSPACE_SID", required = true)]
    pub workspaces: Vec<String>,

    /// From when on: a time such as 2026-01-31T08:00:00Z, or how long ago. TaskRouter keeps 30 days; the default leaves an
    /// hour, so that no event becomes too old on its way.
    #[arg(long, value_name = "TIME", default_value = "719h", value_parser = moment)]
    pub since: Moment,

    /// Until when, written as --since.
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = moment)]
    pub until: Moment,

    /// File that holds how far the import is. It is made at the first run; with the same arguments the next run goes on
    /// where the last one was, and once it is finished, from there until now.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,

    /// Read and judge, but send nothing: tells how many events there are and which would be refused.
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,

    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub send: SendArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// TaskRouter's side.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TaskRouter")]
pub struct SourceArgs {
    /// The account (AC…) that the workspaces belong to.
    #[arg(long, env = "TWILIO_ACCOUNT_SID", value_name = "SID", value_parser = account)]
    pub account_sid: String,

    /// File that holds the account's auth token, and nothing else. Without it the variable TWILIO_AUTH_TOKEN is read;
    /// there is no flag for the token itself, since every user of a machine can read those.
    #[arg(long, value_name = "FILE")]
    pub auth_token_file: Option<PathBuf>,

    /// Sid of an API key (SK…); the token is its secret then.
    #[arg(long, env = "TWILIO_API_KEY", value_name = "SID")]
    pub api_key: Option<String>,

    /// Where TaskRouter's REST API is, without /v1.
    #[arg(long, value_name = "URL", default_value = "https://taskrouter.twilio.com", value_parser = base_url)]
    pub base_url: String,

    /// Requests a second, at most. TaskRouter's own limits are honoured whatever this says.
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = requests_per_second)]
    pub max_requests_per_second: f64,

    /// Events of one page.
    #[arg(long, value_name = "N", default_value_t = limits::IMPORT_PAGE_EVENTS, value_parser = page_size)]
    pub page_size: usize,

    /// Span of time that is read at first; more or less of it where that has few or many pages.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = window)]
    pub window: Duration,

    /// Time in which TaskRouter must answer a request.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = page_timeout)]
    pub page_timeout: Duration,
}

const ABOUT: &str = "\
Reads what happened in TaskRouter from its REST Events API and sends it to
tasktally, oldest first. When it runs, before, during or after the live events,
makes no difference to any figure: an event counts once, and in its own time.
So point the live events at tasktally first, then import: nothing is missed.

  export TWILIO_ACCOUNT_SID=AC... TWILIO_AUTH_TOKEN=...
  tasktally import-taskrouter WS... --resume import.json

It may be interrupted and begun again at any time. With --resume it goes on
where it was; without, it reads everything again, which only takes time.
Refused events are told, one a line, with the reason; the exit code is 1 then.";

fn account(text: &str) -> Result<String, String> {
    crate::event::AccountSid::parse(text).map(|_| text.to_owned()).map_err(|malformed| malformed.to_string())
}

fn base_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let Some(authority) = uri.authority().filter(|_| is_web && uri.query().is_none()) else {
        return Err("must be https:// or http://, a host, and at most a path".to_owned());
    };
    let host = authority.host();
    let is_near = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if uri.scheme_str() == Some("http") && !is_near {
        return Err("the auth token would cross the network in plaintext: use https://".to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("a user name has no place in it".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn requests_per_second(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0.01 to 1000".to_owned()),
    }
}

fn page_size(text: &str) -> Result<usize, String> {
    number_within(text, limits::IMPORT_PAGE_EVENTS)
}

fn window(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::IMPORT_WINDOW_MIN, limits::IMPORT_WINDOW_MAX)
}

fn page_timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::from_millis(10), Duration::from_secs(60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_sent_where_others_can_read_it() {
        assert_eq!(base_url("https://taskrouter.twilio.com/").unwrap(), "https://taskrouter.twilio.com");
        for near in ["http://127.0.0.1:80", "http://[::1]:80", "http://localhost"] {
            base_url(near).unwrap();
        }
        for bad in ["http://taskrouter.twilio.com", "ftp://x", "https://a:b@x", "https://x/?y", "x", "http://10.0.0.1"]
        {
            base_url(bad).unwrap_err();
        }
    }

    #[test]
    fn help_fits_into_a_terminal() {
        assert!(ABOUT.lines().all(|line| line.chars().count() < 81));
    }
}
