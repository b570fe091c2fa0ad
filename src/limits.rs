//! Every bound, as a constant with its reason. Those that an operator may set are the defaults of `config/bounds.rs` and
//! `config/connections.rs`. What a caller can make grow is bounded here and nowhere else; where two bounds depend on each
//! other the relation is asserted when the crate is compiled.

mod answers;
mod connections;
mod import;
mod letters;
mod terminal;
mod trace;
mod wallboard;

use std::time::Duration;

pub use answers::*;
pub use connections::*;
pub use import::*;
pub use letters::*;
pub use terminal::*;
pub use trace::*;
pub use wallboard::*;

// ---- One call -------------------------------------------------------------------------------------------------------

/// Events in one request of IngestService. Batches above 1,000 gain nothing, so ten times that leaves room for every
/// producer and still bounds what one call can hold.
pub const EVENTS_PER_CALL: usize = 10_000;

/// Bytes of one message after decompression: gRPC's customary bound. An event takes 200 to 400 bytes.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a name in an event (task channel, activity, worker, queue, workflow). The task router's own names end at
/// 256 characters; UTF-8 takes at most four bytes for each.
pub const NAME_BYTES: usize = 1_024;

/// Bytes of an event's `sid` that a refusal echoes: a well-formed one has 34, and rubbish need not come back whole.
pub const ECHOED_SID_BYTES: usize = 64;

/// Fields of one event callback: the longest has some 45, and two bytes of a body can stand for a field, which takes
/// fifty in memory.
pub const FORM_FIELDS: usize = 1_000;

/// Bytes of one event callback: 4 KB of attributes for the task and as much for the worker, every character of them as
/// three, and again in the description, come to some 64 KB.
pub const CALLBACK_BYTES: usize = 256 * 1024;

/// Time for the body of a request that brings events over HTTP. Its sender gives up after 15 s.
pub const EVENTS_BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Requests of one StreamEvents that are read and not yet answered; beyond it the server stops reading.
pub const STREAM_UNANSWERED_REQUESTS: usize = 8;

// ---- The client's connection ----------------------------------------------------------------------------------------------------

/// Time between two keep-alive pings: below the five minutes after which common NAT tables forget a flow.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Time in which a keep-alive ping must be answered before the connection counts as dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

// ---- TLS -----------------------------------------------------------------------------------------------------------

/// Bytes of one file of keys or certificates: the bundle of all public authorities has a quarter of it.
pub const TLS_FILE_BYTES: u64 = 1024 * 1024;

/// TLS handshakes under way at a time, of which a quarter for one peer: each costs a signature, some 0.1 to 1 ms of a
/// core, so this is what a core does in a blink; clients that come back all at once after a restart wait their turn.
pub const TLS_HANDSHAKES: usize = 512;

/// Time between two looks at the TLS files: what an operator waits without wondering, and a few reads of small files.
pub const TLS_RELOAD_INTERVAL_MIN: Duration = Duration::from_millis(10);
pub const TLS_RELOAD_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// Days before its end from which on a certificate is spoken of: authorities that renew by themselves do so with 30 days
/// left, so that at 14 something is wrong and there is time to mend it.
pub const TLS_EXPIRY_NOTICE_DAYS: i64 = 14;

// ---- The ports for probes and metrics --------------------------------------------------------------------------------------------

/// Connections at a time on the port for probes: one a prober, and there are few.
pub const PROBE_CONNECTIONS: usize = 64;

/// Scrapes of the metrics that are written at a time; others wait. There are few who scrape, and each costs a
/// millisecond and some file sizes.
pub const SCRAPES: usize = 2;

/// Calls at a time on one of them.
pub const PROBE_STREAMS: u32 = 16;

/// An accepted event that is older than this, by the server's clock, is counted as late: producers that are well send
/// within seconds.
pub const LATE_MS: i64 = 60_000;

// ---- The pipeline ---------------------------------------------------------------------------------------------------

/// Events that wait in the queue of one partition: some 0.3 s of work, and under 100 MB of decoded events.
pub const QUEUED_EVENTS: usize = 200_000;

/// Events that one group commit holds at most: bounds the time between two syncs, and the memory of one group.
pub const GROUP_EVENTS: usize = 40_000;

/// Events of one call that the pipeline takes at most; the bound on a call may be set up to it.
pub const PIPELINE_CALL_EVENTS: usize = 20_000;

/// Questions waiting for one partition's thread, which answers some 100,000 a second.
pub const QUEUED_QUESTIONS: usize = 10_000;

/// Partitions, each with its thread.
pub const PARTITIONS: usize = 256;

/// Bytes of ingest requests that are being read or unanswered, over all connections: at 250 bytes an event some half a
/// second of work, and less than the queues take, so that what is too much is refused before it is read. Decoded, an
/// event takes up to four times its bytes.
pub const INGEST_BYTES: usize = 64 * 1024 * 1024;

/// Least that a call or a message of a stream counts for in these: what it costs beside its bytes.
pub const CALL_BYTES: usize = 4 * 1024;

/// A call of more bytes is a large one: it leaves one part in so many of the room to smaller ones.
pub const LARGE_CALL_BYTES: usize = 64 * 1024;
pub const SPARE_FOR_SMALL_CALLS: usize = 8;

/// Events of a call above which it is a large one, likewise.
pub const LARGE_CALL_EVENTS: usize = 250;

/// Bytes of a request above which it waits for its turn to be decoded: half of the cores decode, so that a question
/// never stands behind all large requests that are ready.
pub const DECODED_IN_TURN_BYTES: usize = 16 * 1024;

/// How long a message of an ingest request may take from its header to its end: it holds its room that long.
pub const REQUEST_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Delay that an overloaded server asks for on average: the time in which a full queue drains by half. The delays of
/// single calls are spread over half of it to one and a half, so that those who were refused together do not come
/// back together.
pub const OVERLOAD_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Free space of the data directory's disk below which no events are taken: a checkpoint of ten million events and some
/// seconds of events, which are on their way when it is noticed.
pub const MIN_FREE_DISK_BYTES: u64 = 256 * 1024 * 1024;

/// How often free space is looked at.
pub const FREE_DISK_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Least and largest setting that is a number of bytes.
pub const SMALLEST_BYTES_SETTING: usize = 1024;
pub const LARGEST_BYTES_SETTING: usize = 1 << 40;

/// Delay that a server asks for while it starts, stops or cannot write its journal, which it tries again each second.
pub const UNAVAILABLE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Time after which a backup that nobody asks for any more is given up, and the journal compressed and pruned again.
pub const BACKUP_IDLE: Duration = Duration::from_secs(30);

/// Time after which a backup is given up however fast it goes on: pruning waits as long.
pub const BACKUP_TOTAL: Duration = Duration::from_secs(6 * 60 * 60);

// ---- Objects held ---------------------------------------------------------------------------------------------------

/// Workspaces of one server.
pub const WORKSPACES: usize = 10_000;

/// Workspaces of one account: half of all, so that one account never takes the room of the others.
pub const WORKSPACES_PER_ACCOUNT: usize = 5_000;

/// Task channels of one workspace. Real ones have five; each has a history of its own.
pub const CHANNELS_PER_WORKSPACE: usize = 1_000;

/// Activities of one workspace. A row of every real-time answer each.
pub const ACTIVITIES_PER_WORKSPACE: usize = 10_000;

/// Priorities that the active tasks of one workspace have. A row of every real-time answer each; routers have some ten,
/// and those that raise them as tasks wait some hundreds.
pub const PRIORITIES_PER_WORKSPACE: usize = 10_000;

/// Workers of one workspace, those deleted included, since a deletion is remembered for ever.
pub const WORKERS_PER_WORKSPACE: usize = 1_000_000;

/// Active tasks of one workspace: some 150 bytes each.
pub const ACTIVE_TASKS_PER_WORKSPACE: usize = 5_000_000;

/// Task channels of one account, over its workspaces: five in each of the workspaces that it may have.
pub const CHANNELS_PER_ACCOUNT: usize = 25_000;

/// Activities of one account, over its workspaces.
pub const ACTIVITIES_PER_ACCOUNT: usize = 100_000;

/// Workers of one account, over its workspaces: some 200 MB.
pub const WORKERS_PER_ACCOUNT: usize = 2_000_000;

/// Active tasks of one account, over its workspaces: some 1.5 GB.
pub const ACTIVE_TASKS_PER_ACCOUNT: usize = 10_000_000;

// ---- Callers --------------------------------------------------------------------------------------------------------

/// Credentials of one file. A look-up costs the same whatever their number.
pub const CREDENTIALS: usize = 10_000;

/// Length of an account's auth token. The vendor's have 32 characters; what is much shorter can be guessed, as signatures
/// made with it are there to try it on.
pub const AUTH_TOKEN_BYTES_MIN: usize = 16;
pub const AUTH_TOKEN_BYTES_MAX: usize = 128;

/// Those of them whose secret is slow to check: each wrong secret is compared with all of them, one after the other.
pub const ARGON2_CREDENTIALS: usize = 16;

/// Checks of slow secrets that wait for their turn; one takes some 50 ms, and one runs at a time.
pub const ARGON2_WAITING: usize = 32;

/// Good slow secrets that are remembered: one a credential, and some that a changed file left behind.
pub const ARGON2_REMEMBERED: usize = 4 * ARGON2_CREDENTIALS;

/// Memory of one check of a slow secret, in KiB: three times what is customary (19 MiB), and no more than a small host has.
pub const ARGON2_MEMORY_KIB: u32 = 64 * 1024;

/// Memory times passes, in KiB: about half a second of one core.
pub const ARGON2_WORK_KIB: u32 = 4 * ARGON2_MEMORY_KIB;

/// Bytes of a credential's name: it stands in logs.
pub const CREDENTIAL_NAME_BYTES: usize = 64;

/// Bytes of a credentials file or a JWK set: 10,000 entries of 200 bytes, twice over.
pub const CREDENTIALS_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// How often the credentials file and the JWK set are looked at. What is new is taken at the second look that finds it.
pub const CREDENTIALS_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Keys of a JWK set. Issuers have two or three at a time.
pub const JWKS_KEYS: usize = 64;

/// How far the issuer's clock may differ from ours.
pub const JWT_LEEWAY: Duration = Duration::from_secs(30);

// ---- Questions ------------------------------------------------------------------------------------------------------

/// Buckets of one GetCumulativeSeries: more than a chart has pixels for, and an answer of a few hundred kilobytes.
pub const SERIES_BUCKETS: i64 = 1_000;

/// Series that are added up at a time, each of them from a copy of what was known when it was asked for.
pub const SERIES_AT_ONCE: usize = 4;

/// Calls for a series that are being answered or wait for their turn, in all.
pub const SERIES_CALLS: usize = 100;

/// Sums of one channel in one bucket after which others have their turn; one takes a few microseconds at most.
pub const SERIES_SLICE_SUMS: usize = 256;

/// Thresholds of one `split_by_wait_time`.
pub const THRESHOLDS: usize = 20;

/// Least threshold, in seconds.
pub const THRESHOLD_MIN_SECONDS: i32 = 1;

/// Largest threshold, in seconds: the longest wait that the retention can show.
pub const THRESHOLD_MAX_SECONDS: i32 = 30 * 24 * 60 * 60;

/// Least `minutes` of an interval.
pub const MINUTES_MIN: i32 = 1;

/// Largest `minutes` of an interval: the retention.
pub const MINUTES_MAX: i32 = 30 * 24 * 60;

/// `minutes` of an interval where the request names none.
pub const MINUTES_DEFAULT: i32 = 15;

/// Items of one page of a list where the request names no number.
pub const PAGE_SIZE_DEFAULT: usize = 50;

/// Items of one page of a list at most; a larger request counts as this one.
pub const PAGE_SIZE_MAX: usize = 1_000;

/// Workspaces that a status tells of where the request names no number: a screen of them.
pub const STATUS_WORKSPACES: usize = 10;

/// Those at most; a larger request counts as this one.
pub const STATUS_WORKSPACES_MAX: usize = 100;

/// Bytes of a row of a page beside its name.
pub const PAGE_ROW_BYTES: usize = 128;

// ---- Watches --------------------------------------------------------------------------------------------------------

/// Watchers at a time: some 6 to 8 KB each, so 160 MB at most.
pub const WATCHERS: usize = 20_000;

/// Watchers of the workspaces of one account: half of all, so that one account never takes the seats of the others.
pub const WATCHERS_PER_ACCOUNT: usize = 10_000;

/// Delay that is asked of a watcher for whom there is no seat: watchers stay, so there is no hurry.
pub const WATCHERS_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Least `min_interval` of a watch; also how often one state is encoded at most.
pub const WATCH_MIN_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// `min_interval` of a watch where the request names none: what people call immediate.
pub const WATCH_MIN_INTERVAL_DEFAULT: Duration = Duration::from_millis(100);

/// Least `heartbeat_interval` of a watch.
pub const WATCH_HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// `heartbeat_interval` of a watch where the request names none.
pub const WATCH_HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);

/// Largest interval of either kind: a stall should show within the hour.
pub const WATCH_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// Questions that watches of WatchStatistics have in a queue at a time, all of them together: however many they are,
/// others have room, and events their turn.
pub const WATCH_QUESTIONS: usize = 4;

/// Age of a message when it is handed to the transport, at most.
pub const WATCH_MESSAGE_AGE: Duration = Duration::from_millis(100);

// ---- Time -----------------------------------------------------------------------------------------------------------

/// How far an event may be ahead of the server's clock: clocks of producers differ by seconds, five minutes is wrong.
pub const FUTURE_SKEW: Duration = Duration::from_secs(5 * 60);

/// Least retention: what the default interval needs, several times over.
pub const RETENTION_MIN: Duration = Duration::from_secs(60 * 60);

/// Largest retention, and the default: that of the mirrored resources.
pub const RETENTION_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a shutdown may take whatever clients do.
pub const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(20);
pub const SHUTDOWN_TIMEOUT_MIN: Duration = Duration::from_millis(100);
pub const SHUTDOWN_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// Time between two checkpoints: a restart replays at most this much, some seconds of work.
pub const CHECKPOINT_INTERVAL_DEFAULT: Duration = Duration::from_secs(5 * 60);
pub const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_secs(1);
pub const CHECKPOINT_INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

// ---- The client commands --------------------------------------------------------------------------------------------

/// Bytes of one line of `tasktally ingest`. An event has a few hundred; a longer line is refused and skipped.
pub const LINE_BYTES: usize = 1024 * 1024;

/// Bytes of events that a client command puts into one request: a message with room for its framing.
pub const CLIENT_BATCH_BYTES: usize = 3 * 1024 * 1024;

/// Events that a client command puts into one request by default: above it nothing is gained.
pub const CLIENT_BATCH_EVENTS: usize = 1_000;

/// Requests that a client command may have in flight on one connection.
pub const CLIENT_IN_FLIGHT_MAX: usize = 256;

/// Events or calls of one measurement of `tasktally bench`: they are encoded ahead, some 300 bytes each.
pub const BENCH_EVENTS_MAX: usize = 1_000_000;

/// Connections that a client command opens at most.
pub const CLIENT_CONNECTIONS_MAX: usize = 256;

/// Pause before the first repetition of a call; it doubles with each further one.
pub const CLIENT_BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest pause between two repetitions, unless the server asks for a longer one.
pub const CLIENT_BACKOFF_MAX: Duration = Duration::from_secs(2);

// ---- Relations ------------------------------------------------------------------------------------------------------

const _: () = assert!(EVENTS_PER_CALL <= QUEUED_EVENTS, "one call must fit into an empty queue");
const _: () = assert!(GROUP_EVENTS <= QUEUED_EVENTS, "a group is taken from the queue");
const _: () = assert!(EVENTS_PER_CALL <= PIPELINE_CALL_EVENTS, "the pipeline takes what a call may hold");
const _: () = assert!(2 * PIPELINE_CALL_EVENTS <= GROUP_EVENTS, "a group has room for more than one large call");
const _: () = assert!(MESSAGE_BYTES <= INGEST_BYTES, "the largest message can be read");
const _: () = assert!(WATCHERS_PER_ACCOUNT <= WATCHERS);
const _: () = assert!(WORKSPACES_PER_ACCOUNT <= WORKSPACES);
const _: () = assert!(CHANNELS_PER_WORKSPACE <= CHANNELS_PER_ACCOUNT);
const _: () = assert!(ACTIVITIES_PER_WORKSPACE <= ACTIVITIES_PER_ACCOUNT);
const _: () = assert!(WORKERS_PER_WORKSPACE <= WORKERS_PER_ACCOUNT);
const _: () = assert!(ACTIVE_TASKS_PER_WORKSPACE <= ACTIVE_TASKS_PER_ACCOUNT);
const _: () = assert!(CLIENT_BATCH_EVENTS <= EVENTS_PER_CALL, "what our clients send is taken");
const _: () = assert!(CLIENT_BATCH_BYTES + LINE_BYTES <= MESSAGE_BYTES, "a batch may pass its bound by one event");
const _: () = assert!(NAME_BYTES < LINE_BYTES, "a line holds an event with the longest names");
const _: () = assert!(PAGE_SIZE_DEFAULT <= PAGE_SIZE_MAX);
const _: () =
    assert!(PAGE_SIZE_MAX * (NAME_BYTES + PAGE_ROW_BYTES) <= MESSAGE_BYTES, "a full page fits into a message");
const _: () = assert!(MINUTES_MIN <= MINUTES_DEFAULT && MINUTES_DEFAULT <= MINUTES_MAX);
const _: () = assert!(MINUTES_MAX as u64 * 60 == RETENTION_MAX.as_secs(), "minutes reach as far as the retention");
const _: () = assert!(THRESHOLD_MAX_SECONDS as u64 == RETENTION_MAX.as_secs(), "no wait is longer than the retention");
const _: () = assert!(MINUTES_DEFAULT as u64 * 60 <= RETENTION_MIN.as_secs(), "the default interval is never too old");
const _: () = assert!(RETENTION_MIN.as_secs() <= RETENTION_MAX.as_secs());
const _: () = assert!(WATCH_MIN_INTERVAL_MIN.as_millis() <= WATCH_MIN_INTERVAL_DEFAULT.as_millis());
const _: () = assert!(WATCH_HEARTBEAT_MIN.as_millis() <= WATCH_HEARTBEAT_DEFAULT.as_millis());
const _: () = assert!(WATCH_MIN_INTERVAL_DEFAULT.as_millis() <= WATCH_HEARTBEAT_DEFAULT.as_millis());
const _: () = assert!(WATCH_HEARTBEAT_DEFAULT.as_millis() <= WATCH_INTERVAL_MAX.as_millis());
const _: () = assert!(WATCH_MIN_INTERVAL_MIN.as_millis() <= WATCH_MESSAGE_AGE.as_millis(), "shared states stay fresh");
const _: () = assert!(CACHED_CHANNEL_VIEWS <= CHANNELS_PER_WORKSPACE);
const _: () = assert!(CLIENT_BACKOFF_MIN.as_millis() <= CLIENT_BACKOFF_MAX.as_millis());
const _: () = assert!(CHECKPOINT_INTERVAL_MIN.as_millis() <= CHECKPOINT_INTERVAL_DEFAULT.as_millis());
const _: () = assert!(SHUTDOWN_TIMEOUT_MIN.as_millis() <= SHUTDOWN_TIMEOUT_DEFAULT.as_millis());
