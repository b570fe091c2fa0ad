//! tasktally: exact statistics of a task router, durable and pushed.
//!
//! Read the rooms in this order and you follow one event from the wire to a watcher's screen:
//!
//! 1. [`event`]: the vocabulary. What an event says, valid by construction. Knows nothing else.
//! 2. [`engine`]: what events mean. A pure state machine: events in, answers out, `now` as an argument.
//! 3. [`journal`]: the durable order of event batches. Bytes, no meaning.
//! 4. [`pipeline`]: one owner for each share of the workspaces: admit → append and sync → apply → publish → reply.
//! 5. [`api`]: the wire. The only room that knows the messages of the contract.
//! 6. [`server`]: the transport. One port, bounded connections, deadlines, draining, health.
//! 7. [`tls`]: certificates, and the handshake in front of the transport.
//! 8. [`run`]: wiring. From a configuration to a running server, and back to an exit code.
//!
//! [`upkeep`] works on a data directory that no server has: verify, export, rebuild.
//!
//! Beside them: [`config`], [`limits`] and [`logging`] are the settings; [`cli`] and [`simulate`] are clients.
//!
//! Invariants that hold across rooms:
//! - Every answer is a function of (the set of accepted events, the question, `now`).
//! - What is acknowledged is on disk, applied and published, in that order.
//! - What a caller can make grow has a bound in [`limits`].

// For what ships; tests have clocks, wait for processes, and may unwrap. The lists and their reasons: clippy.toml.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used))]

pub mod api;
pub mod cli;
pub mod config;
pub mod engine;
pub mod event;
pub mod journal;
pub mod limits;
pub mod logging;
pub mod pipeline;
pub mod run;
pub mod server;
pub mod simulate;
pub mod tls;
pub mod upkeep;
