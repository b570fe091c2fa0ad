//! Settings of `tasktally simulate`.

use std::time::Duration;

use clap::Args;

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

impl SimulateArgs {
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
