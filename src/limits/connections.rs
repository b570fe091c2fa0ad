//! Bounds on connections and on what one may take: the defaults of `config/connections.rs`.

use std::time::Duration;

/// Connections at a time: watchers by the thousand and producers by the dozen, each some 35 KB when idle.
pub const CONNECTIONS: usize = 10_000;
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// Connections at a time of one address: half of all, so that one never takes those of the others. No less, since a proxy
/// in front of the server may open one for each of its clients, and a sidecar brings everybody from the loopback address.
pub const CONNECTIONS_PER_PEER: usize = 5_000;

/// Files that are open besides connections: the journal, checkpoints, a backup, the runtime's own, and what is accepted
/// and not yet counted.
pub const FILES_BESIDES: usize = 128;

/// Time from the connection to the first bytes of HTTP: enough for a handshake that lost packets twice.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which a peer must take at least a byte of what waits for it: beyond what networks recover from by themselves.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for the headers of an HTTP/1 request, and for the silence before it: HTTP/1 is for probes and people here.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the body of a call: the largest message at 70 KB/s, and twice what an ingest message has from its first byte,
/// so that it is the one that is named.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Headers of one call: tokens fit, floods do not.
pub const HEADER_BYTES: u32 = 16 * 1024;
/// Least: what hyper's buffer must hold, and most: what nobody needs.
pub const HEADER_BYTES_MIN: u32 = 4 * 1024;
pub const HEADER_BYTES_MAX: u32 = 1024 * 1024;

/// Silence after which an HTTP/2 peer is pinged: below the minute after which many load balancers and address translators
/// forget a quiet connection.
pub const CONNECTION_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Time for the answer: that of several lost packets.
pub const CONNECTION_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Time without a call after which a connection is asked to finish: a client that asks every few minutes keeps its own,
/// one that has been forgotten does not.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(30 * 60);

/// Age at which a connection is asked to finish: once a day clients spread anew over what a load balancer has, and show
/// their certificates anew.
pub const CONNECTION_AGE: Duration = Duration::from_secs(24 * 60 * 60);
pub const CONNECTION_LIFETIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Time after which what is left of an old connection is cut: any call is over, and a stream of events has had its chance.
pub const CONNECTION_GRACE: Duration = Duration::from_secs(10 * 60);

/// Range of the time-outs on connections.
pub const CONNECTION_BOUND_MIN: Duration = Duration::from_millis(100);
pub const CONNECTION_BOUND_MAX: Duration = Duration::from_secs(60 * 60);

/// Calls at a time on one HTTP/2 connection: a dashboard's proxy may hold a thousand watches on one, and ask beside them.
pub const STREAMS_PER_CONNECTION: u32 = 2_000;
pub const STREAMS_PER_CONNECTION_MAX: u32 = 100_000;

/// Streams that were opened and reset before they were served: rapid resets cost the client nothing and us a stream each;
/// a client that cancels a burst of calls stays below.
pub const PENDING_RESETS: usize = 200;

/// Frames that ask for nothing, at once and again in ten seconds, besides what calls and answers pay for: some 10 ms of a
/// core, and what it takes to cancel all calls of a connection at once. A client's own pings are one in some seconds.
pub const CONTROL_FRAMES: u32 = 10_000;
pub const CONTROL_FRAMES_MIN: u32 = 100;
pub const CONTROL_FRAMES_MAX: u32 = 10_000_000;

/// What a client may send on one connection before it is read; on one call half of it, several batches of a thousand
/// events. Less would slow producers on long lines down.
pub const UNREAD_BYTES: u32 = 2 * 1024 * 1024;
/// Least: HTTP/2's own windows; most: what one producer on a line around the world fills.
pub const UNREAD_BYTES_MIN: u32 = 2 * 65_535;
pub const UNREAD_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// What of one stream's answer is buffered beyond the client's window: a handful of watch messages, so that a slow watcher
/// skips states in the application rather than queueing them in the transport.
pub const STREAM_SEND_BUFFER_BYTES: usize = 4 * 1024;

const _: () = assert!(CONNECTIONS_PER_PEER <= CONNECTIONS && CONNECTIONS <= CONNECTIONS_MAX);
const _: () =
    assert!(super::REQUEST_READ_TIMEOUT.as_millis() < BODY_TIMEOUT.as_millis(), "a slow message is told as one");
