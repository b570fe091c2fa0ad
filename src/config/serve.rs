//! The settings of `tasktally serve`. What belongs together is a group of its own, in a file of its own, flattened in.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::bounds::BoundsConfig;
use super::connections::ConnectionSettings;
use super::http::HttpSettings;
use super::tls::TlsSettings;
use super::trace::TraceSettings;
use super::{AccessConfig, duration_within};
use crate::limits;

/// Where the server listens, what it keeps, and for how long.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ServeConfig {
    /// File of settings: TOML, keys named as the flags, `max-watchers = 100`. Flags and variables win over it; `tasktally
    /// config` shows what is in force.
    #[arg(long, env = "TASKTALLY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Address to listen on, gRPC and HTTP alike; port 0 takes a free one.
    #[arg(long, env = "TASKTALLY_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:50051", value_parser = socket_address)]
    pub listen: SocketAddr,

    /// Folder of the journal and its checkpoints; created if missing. One process at a time may hold it.
    #[arg(long, env = "TASKTALLY_DATA_DIR", value_name = "DIR", default_value = "tasktally-data")]
    pub data_dir: PathBuf,

    /// Keep nothing on disk: --data-dir is not used, and every event is gone with the process.
    #[arg(long, env = "TASKTALLY_EPHEMERAL", value_parser = BoolishValueParser::new())]
    pub ephemeral: bool,

    /// Show a simulated contact centre, made up, beside the server: hours of its past, then live. Keeps nothing on disk
    /// unless --data-dir names a new directory. For a first look; it asks nobody who they are.
    #[arg(long, env = "TASKTALLY_DEMO", value_parser = BoolishValueParser::new())]
    pub demo: bool,

    /// How long events can be queried: 1h to 30d.
    #[arg(long, env = "TASKTALLY_RETENTION", value_name = "DURATION", default_value = "30d", value_parser = retention)]
    pub retention: Duration,

    /// Base of the `url` fields of answers, such as https://stats.example.com [default: http:// or https:// and where it listens]
    #[arg(long, env = "TASKTALLY_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Partitions that share the workspaces out, each with a thread of its own [default: one for each core]
    #[arg(long, env = "TASKTALLY_PARTITIONS", value_name = "N", default_value_t = cores(), hide_default_value = true, value_parser = partitions)]
    pub partitions: usize,

    /// Longest time that a shutdown may take, whatever clients do.
    #[arg(long, env = "TASKTALLY_SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "20s", value_parser = shutdown_timeout)]
    pub shutdown_timeout: Duration,

    /// Time between two checkpoints; a restart replays what came after the last one.
    #[arg(long, env = "TASKTALLY_CHECKPOINT_INTERVAL", value_name = "DURATION", default_value = "5m", value_parser = checkpoint_interval)]
    pub checkpoint_interval: Duration,

    /// Serve metrics (OpenMetrics) under /metrics, and nothing else, without TLS and without credentials on this address.
    /// They are nowhere else.
    #[arg(long, env = "TASKTALLY_METRICS_LISTEN", value_name = "ADDR:PORT", value_parser = socket_address)]
    pub metrics_listen: Option<SocketAddr>,

    #[command(flatten)]
    pub access: AccessConfig,

    #[command(flatten)]
    pub tls: TlsSettings,

    #[command(flatten)]
    pub http: HttpSettings,

    #[command(flatten)]
    pub trace: TraceSettings,

    #[command(flatten)]
    pub bounds: BoundsConfig,

    #[command(flatten)]
    pub connections: ConnectionSettings,
}

impl ServeConfig {
    /// What does not go together with a demo: it is a client that shows no credentials and speaks no TLS.
    pub fn demo_contradiction(&self) -> Option<String> {
        if self.demo && self.access.settings().is_some() {
            return Some("--demo asks nobody who they are: leave --credentials and --jwt-jwks out".to_owned());
        }
        (self.demo && self.tls.is_on()).then(|| "--demo speaks no TLS: leave --tls-cert out".to_owned())
    }

    /// The base of `url` fields, without a slash at its end, once it is known where the server really listens.
    pub fn public_base(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_on() { "https" } else { "http" };
        match &self.public_url {
            Some(url) => url.clone(),
            None => format!("{scheme}://{}", reachable(bound)),
        }
    }
}

/// Where a client on this host can open what is bound so: "every address" is none, and no certificate names it.
pub fn reachable(bound: SocketAddr) -> String {
    if bound.ip().is_unspecified() { format!("localhost:{}", bound.port()) } else { bound.to_string() }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(limits::PARTITIONS))
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("not an ADDRESS:PORT: {error}"))?;
    found.next().ok_or_else(|| "the name has no address".to_owned())
}

fn retention(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::RETENTION_MIN, limits::RETENTION_MAX)
}

fn shutdown_timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::SHUTDOWN_TIMEOUT_MIN, limits::SHUTDOWN_TIMEOUT_MAX)
}

fn checkpoint_interval(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::CHECKPOINT_INTERVAL_MIN, limits::CHECKPOINT_INTERVAL_MAX)
}

fn partitions(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=limits::PARTITIONS).contains(&count) => Ok(count),
        _ => Err(format!("must be a number from 1 to {}", limits::PARTITIONS)),
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !web || uri.authority().is_none() || uri.query().is_some() {
        return Err("must be http:// or https://, a host, and at most a path".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}
