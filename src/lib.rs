//! tasktally: exact statistics of a task router, durable and pushed.
//!
//! Read the rooms in this order and you follow one event from the wire to a watcher's screen:
//!
//! 1. [`event`]: the vocabulary. What an event says, valid by construction. Knows nothing else.
//! 2. [`engine`]: what events mean. A pure state machine: events in, answers out, `now` as an argument.
//! 3. [`journal`]: the durable order of event batches. Bytes, no meaning.
//! 4. [`pipeline`]: one owner for each share of the workspaces: admit → append and sync → apply → publish → reply.
//! 5. [`access`]: who calls. Headers and certificates in, a caller or a reason out.
//! 6. [`api`]: the wire. Decode, ask, encode: one file for each thing that callers do.
//! 7. [`taskrouter`]: the task router's own forms of an event, read and written, and its signatures.
//! 8. [`server`]: the transport. One port, bounded connections, deadlines, draining, health.
//! 9. [`http`](mod@http): the same questions and events over HTTP, in TaskRouter's own form.
//! 10. [`wallboard`]: a page that shows the figures, and what is pushed to it.
//! 11. [`tls`]: certificates, and the handshake in front of the transport.
//! 12. [`run`]: wiring. From a configuration to a running server, and back to an exit code.
//!
//! [`letters`] keeps what came in over HTTP and was refused. [`upkeep`] works on a data directory that no server has:
//! verify, export, rebuild.
//!
//! [`metrics`] tells Prometheus what the rooms have counted; [`measure`] is what they count with. [`trace`] follows one
//! call through the rooms, for its caller's collector.
//!
//! Beside them: [`config`], [`limits`] and [`logging`] are the settings; [`cli`], [`simulate`] and [`bench`] are clients.
//!
//! Invariants that hold across rooms:
//! - Every answer is a function of (the set of accepted events, the question, `now`).
//! - What is acknowledged is on disk, applied and published, in that order.
//! - What a caller can make grow has a bound in [`limits`].

// For what ships; tests have clocks, wait for processes, and may unwrap. The lists and their reasons: clippy.toml.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used))]

pub mod access;
pub mod api;
pub mod bench;
pub mod cli;
pub mod config;
pub mod engine;
pub mod event;
pub mod http;
pub mod journal;
pub mod letters;
pub mod limits;
pub mod logging;
pub mod measure;
pub mod metrics;
pub mod pipeline;
pub mod run;
pub mod server;
pub mod simulate;
pub mod taskrouter;
pub mod tls;
pub mod trace;
pub mod upkeep;
pub mod wallboard;
