//! The bounds on connections, each with the number that `limits.rs` gives the reason for.

use std::time::Duration;

use clap::Args;

use super::bounds::{BOUNDS, bytes};
use super::duration_within;
use super::shown::Fitted;
use crate::limits;

/// What connections may take. As for the other bounds, the name of one in errors is that of its flag.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ConnectionSettings {
    /// Connections at a time. Those beyond wait in the kernel's queue until others end. Where the limit on open files (`ulimit
    /// -n`) leaves room for fewer, there are fewer, and the log says so.
    #[arg(long, env = "TASKTALLY_MAX_CONNECTIONS", value_name = "N", default_value_t = limits::CONNECTIONS, value_parser = connections, help_heading = BOUNDS)]
    pub max_connections: usize,

    /// Connections at a time from one address (in IPv6, from one /64). Those beyond are closed at once, unanswered. Raise it
    /// to --max-connections where all clients come through one proxy or balancer that opens a connection for each.
    #[arg(long, env = "TASKTALLY_MAX_CONNECTIONS_PER_PEER", value_name = "N", default_value_t = limits::CONNECTIONS_PER_PEER, value_parser = connections, help_heading = BOUNDS)]
    pub max_connections_per_peer: usize,

    /// TLS handshakes under way at a time, a quarter of them for one address. Those beyond wait, within
    /// --handshake-timeout.
    #[arg(long, env = "TASKTALLY_MAX_HANDSHAKES", value_name = "N", default_value_t = limits::TLS_HANDSHAKES, value_parser = connections, help_heading = BOUNDS)]
    pub max_handshakes: usize,

    /// How long a client may take from its connection to the end of the TLS handshake and the first bytes of HTTP.
    #[arg(long, env = "TASKTALLY_HANDSHAKE_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = bound, help_heading = BOUNDS)]
    pub handshake_timeout: Duration,

    /// Calls at a time on one HTTP/2 connection. Clients hold back those beyond by themselves.
    #[arg(long, env = "TASKTALLY_MAX_STREAMS", value_name = "N", default_value_t = limits::STREAMS_PER_CONNECTION, value_parser = streams, help_heading = BOUNDS)]
    pub max_streams: u32,

    /// HTTP/2 frames that ask for nothing (PING, SETTINGS, WINDOW_UPDATE, PRIORITY, RST_STREAM) on one connection, at once and
    /// again in ten seconds, beside those that calls and answers bring with them (100 to 10000000). Never less than it takes
    /// to cancel --max-streams calls.
    #[arg(long, env = "TASKTALLY_MAX_CONTROL_FRAMES", value_name = "N", default_value_t = limits::CONTROL_FRAMES, value_parser = control_frames, help_heading = BOUNDS)]
    pub max_control_frames: u32,

    /// Bytes of the headers of one call, 32 for each field above its text: 4KiB to 1MiB.
    #[arg(long, env = "TASKTALLY_MAX_HEADER_BYTES", value_name = "BYTES", default_value = "16KiB", value_parser = header_bytes, help_heading = BOUNDS)]
    pub max_header_bytes: u32,

    /// How long the headers of an HTTP/1 request may take, and an HTTP/1 connection may idle before it.
    #[arg(long, env = "TASKTALLY_HEADER_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = bound, help_heading = BOUNDS)]
    pub header_timeout: Duration,

    /// How long the body of a call may take, but for StreamEvents, whose body lasts as long as its client likes.
    #[arg(long, env = "TASKTALLY_BODY_TIMEOUT", value_name = "DURATION", default_value = "1m", value_parser = bound, help_heading = BOUNDS)]
    pub body_timeout: Duration,

    /// Bytes that a client may send on one connection before they are read, half of it on one call: 128KiB to 64MiB. This
    /// times the connections is what clients can make the server hold; lines that are long and fast want more.
    #[arg(long, env = "TASKTALLY_MAX_UNREAD_BYTES", value_name = "BYTES", default_value = "2MiB", value_parser = unread_bytes, help_heading = BOUNDS)]
    pub max_unread_bytes: u32,

    /// How long a client may take not one byte of what waits for it.
    #[arg(long, env = "TASKTALLY_WRITE_STALL_TIMEOUT", value_name = "DURATION", default_value = "1m", value_parser = bound, help_heading = BOUNDS)]
    pub write_stall_timeout: Duration,

    /// Ping an HTTP/2 client that has been quiet for this long.
    #[arg(long, env = "TASKTALLY_KEEPALIVE_INTERVAL", value_name = "DURATION", default_value = "20s", value_parser = bound, help_heading = BOUNDS)]
    pub keepalive_interval: Duration,

    /// How long a ping's answer may take before the connection counts as dead.
    #[arg(long, env = "TASKTALLY_KEEPALIVE_TIMEOUT", value_name = "DURATION", default_value = "20s", value_parser = bound, help_heading = BOUNDS)]
    pub keepalive_timeout: Duration,

    /// Ask a connection without calls to close after this long; 0s never does.
    #[arg(long, env = "TASKTALLY_MAX_CONNECTION_IDLE", value_name = "DURATION", default_value = "30m", value_parser = lifetime, help_heading = BOUNDS)]
    pub max_connection_idle: Duration,

    /// Ask a connection to close at this age, or up to a tenth before, so that clients do not come back all at once; 0s
    /// never does. New calls go over a new connection, calls under way go on, watches end with UNAVAILABLE and are begun
    /// anew.
    #[arg(long, env = "TASKTALLY_MAX_CONNECTION_AGE", value_name = "DURATION", default_value = "1d", value_parser = lifetime, help_heading = BOUNDS)]
    pub max_connection_age: Duration,

    /// How long what is under way on such a connection may go on before it is cut.
    #[arg(long, env = "TASKTALLY_MAX_CONNECTION_GRACE", value_name = "DURATION", default_value = "10m", value_parser = lifetime, help_heading = BOUNDS)]
    pub max_connection_grace: Duration,
}

impl ConnectionSettings {
    /// Lowers what was not given to what was.
    pub(super) fn fit(&mut self, is_given: impl Fn(&str) -> bool) -> Option<Fitted> {
        let (name, other, most) = ("max_connections_per_peer", "max_connections", self.max_connections);
        let is_less = !is_given(name) && self.max_connections_per_peer > most;
        is_less.then(|| {
            self.max_connections_per_peer = most;
            (name, other, most)
        })
    }

    /// What is wrong with them as a whole, in a sentence.
    pub(super) fn contradiction(&self) -> Option<String> {
        let (all, of_peer) = (self.max_connections, self.max_connections_per_peer);
        (of_peer > all).then(|| {
            format!(
                "--max-connections-per-peer {of_peer} is more than --max-connections {all}: set \
                 --max-connections-per-peer to at most {all}, or raise --max-connections"
            )
        })
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=limits::CONNECTIONS_MAX).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 1 to {}", limits::CONNECTIONS_MAX)),
    }
}

fn streams(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if (1..=limits::STREAMS_PER_CONNECTION_MAX).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 1 to {}", limits::STREAMS_PER_CONNECTION_MAX)),
    }
}

fn control_frames(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ limits::CONTROL_FRAMES_MIN..=limits::CONTROL_FRAMES_MAX) => Ok(number),
        _ => Err(format!("must be a number from {} to {}", limits::CONTROL_FRAMES_MIN, limits::CONTROL_FRAMES_MAX)),
    }
}

fn header_bytes(text: &str) -> Result<u32, String> {
    match u32::try_from(bytes(text)?) {
        Ok(bytes @ limits::HEADER_BYTES_MIN..=limits::HEADER_BYTES_MAX) => Ok(bytes),
        _ => Err("must be from 4KiB to 1MiB".to_owned()),
    }
}

fn unread_bytes(text: &str) -> Result<u32, String> {
    match u32::try_from(bytes(text)?) {
        Ok(bytes @ limits::UNREAD_BYTES_MIN..=limits::UNREAD_BYTES_MAX) => Ok(bytes),
        _ => Err("must be from 128KiB to 64MiB".to_owned()),
    }
}

fn bound(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::CONNECTION_BOUND_MIN, limits::CONNECTION_BOUND_MAX)
}

fn lifetime(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::ZERO, limits::CONNECTION_LIFETIME_MAX)
}
