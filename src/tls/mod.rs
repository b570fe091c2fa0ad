//! TLS: who the server is, by its certificate, and who its clients are, by theirs.
//!
//! - The files are read at the start (`files`), where anything wrong with them is a refusal that names the file, and
//!   again whenever they change (`reload`), where anything wrong leaves the certificate in force as it is.
//! - A connection's handshake happens in its own reads and writes (`stream`), so that nobody waits for a slow peer but
//!   that peer, and the transport's bounds on silent connections hold for it.
//! - Handshakes that have begun and not ended have a bound, of all and of one peer (`handshakes`).
//! - TLS 1.2 and 1.3, and nothing older; no renegotiation, no early data.
mod files;
mod handshakes;
mod reload;
mod stream;
#[cfg(test)]
mod tests;
mod validity;

pub use files::{Files, TlsError};
pub use reload::{Reload, Tls};
pub use stream::{TlsAcceptor, TlsStream};

use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;

/// What happened so far, for whoever reports it. Each only grows, but for the last.
#[derive(Debug, Default)]
pub struct Counters {
    pub handshakes_done: AtomicU64,
    /// Handshakes that ended in an alert, a time-out or a broken connection.
    pub handshakes_failed: AtomicU64,
    /// Files that changed and were taken.
    pub reloads: AtomicU64,
    /// Files that changed and were not good; what was in force stayed so.
    pub reloads_failed: AtomicU64,
    /// Until when the certificate in force is valid, in seconds since 1970.
    pub not_after_s: AtomicI64,
}
