//! Settings of `tasktally simulate`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Settings;
use crate::cli::args::{ConnectionArgs, Moment, SendArgs, moment, number_within};
use crate::config::duration_within;
use crate::event::AccountSid;
use crate::limits;

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tasktally simulate --backfill 1h                 the past hour, as fast as can be, then stop
  tasktally simulate --backfill 8h --live          likewise, then go on live until Ctrl-C
  tasktally simulate --rate 50 --duration 10m      live for ten minutes, 50 tasks a second
  tasktally simulate --backfill 30d --rate 0.2 --duplicates 0.05 --late 0.05 --late-by 10m
  tasktally simulate --backfill 1h --account AC… --token-file token
  tasktally simulate --backfill 1h --live --as callbacks --account AC… --auth-token-file auth-token

A task makes about fourteen events. The same seed and start make the same events with the same sids; another start \
makes another set of workspaces. Without --backfill, --start or --duration it runs live until Ctrl-C.")]
pub struct SimulateArgs {
    /// Seed of the centre.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Account of the centre (AC…) rather than one made up from the seed: a token of one account may send nothing else.
    #[arg(long, value_name = "ACCOUNT_SID", value_parser = account)]
    pub account: Option<AccountSid>,

    /// Workspaces.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workspaces)]
    pub workspaces: usize,

    /// Workers in each workspace; they work as fast as the rate of tasks demands.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = workers)]
    pub workers: usize,

    /// New tasks a second, over all workspaces.
    #[arg(long, value_name = "TASKS", default_value_t = 1.0, value_parser = rate)]
    pub rate: f64,

    /// Begin this long ago and send the past as fast as the server takes it: up to 30d.
    #[arg(long, value_name = "DURATION", value_parser = backfill, conflicts_with = "start")]
    pub backfill: Option<Duration>,

    /// Begin at this moment rather than --backfill ago, to send the same events again: 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub start: Option<Moment>,

    /// End before this moment, which is past, rather than now: with --start, the same events whenever it is run.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["live", "duration"])]
    pub until: Option<Moment>,

    /// Go on live once the past is sent.
    #[arg(long)]
    pub live: bool,

    /// Go on live for this long.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Share of events that are sent twice, within a minute.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub duplicates: f64,

    /// Share of events that are sent late and so out of order.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub late: f64,

    /// How late a late event is at most.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub late_by: Duration,

    /// Form to send in: this service's own, or those that TaskRouter sends.
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Grpc)]
    pub form: Form,

    /// File with the account's auth token, to sign what is sent as TaskRouter does; nothing else is shown then.
    #[arg(long, value_name = "FILE")]
    pub auth_token_file: Option<PathBuf>,

    /// Where the REST Events API is served, with --as events-api.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50080")]
    pub listen: SocketAddr,

    /// Public address of the server, which is what signatures are over, where it is another than --address.
    #[arg(long, value_name = "URL", requires = "auth_token_file")]
    pub public_url: Option<String>,

    /// Send over StreamEvents rather than one call a batch.
    #[arg(long)]
    pub stream: bool,

    /// Connections to send over.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = connections)]
    pub connections: usize,

    #[command(flatten)]
    pub send: SendArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// How events travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// IngestEvents, or StreamEvents with --stream.
    Grpc,
    /// Event callbacks, one POST an event.
    Callbacks,
    /// Event Streams, one POST a batch of CloudEvents.
    Streams,
    /// Not sent: served at --listen as TaskRouter's REST Events API, for import-taskrouter.
    EventsApi,
}

impl SimulateArgs {
    /// # Errors
    /// Flags that do not go together, in words.
    pub fn check(&self) -> Result<(), String> {
        match self.form {
            Form::Grpc if self.auth_token_file.is_some() => {
                Err("--auth-token-file signs what is sent --as callbacks or --as streams".to_owned())
            }
            Form::Callbacks | Form::Streams | Form::EventsApi if self.stream => {
                Err("--stream is gRPC's: leave it out, or leave out --as".to_owned())
            }
            Form::EventsApi if self.auth_token_file.is_none() => {
                Err("--as events-api needs --auth-token-file: who asks must show the token".to_owned())
            }
            Form::Grpc | Form::Callbacks | Form::Streams | Form::EventsApi => Ok(()),
        }
    }

    /// Events of one request.
    pub fn batch(&self) -> usize {
        if self.form == Form::Callbacks { 1 } else { self.send.batch }
    }

    /// Requests in flight on a connection: many more where one carries but one event.
    pub fn in_flight(&self) -> usize {
        const CALLBACKS_FOR_A_CALL: usize = 16;
        if self.form == Form::Callbacks { self.send.in_flight * CALLBACKS_FOR_A_CALL } else { self.send.in_flight }
    }

    pub fn settings(&self, start_ms: i64) -> Settings {
        Settings { start_ms, workspaces: self.workspaces, workers: self.workers, tasks_per_second: self.rate }
    }

    /// Whether the centre goes on once its past is sent.
    pub fn goes_live(&self) -> bool {
        self.live || self.duration.is_some() || (self.backfill.is_none() && self.start.is_none())
    }
}

fn account(text: &str) -> Result<AccountSid, String> {
    AccountSid::parse(text).map_err(|malformed| malformed.to_string())
}

fn workspaces(text: &str) -> Result<usize, String> {
    number_within(text, limits::WORKSPACES)
}

fn workers(text: &str) -> Result<usize, String> {
    number_within(text, limits::WORKERS_PER_WORKSPACE)
}

fn connections(text: &str) -> Result<usize, String> {
    number_within(text, limits::CLIENT_CONNECTIONS_MAX)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0001..=1_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0.0001 to 1000000".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

fn backfill(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::from_secs(1), limits::RETENTION_MAX)
}

fn duration(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::ZERO, Duration::from_secs(366 * 24 * 60 * 60))
}
