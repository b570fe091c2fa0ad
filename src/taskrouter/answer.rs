//! Where the task router's events are posted, and what is answered: written by the server, read by what sends to it.

use serde::{Deserialize, Serialize};

/// Event callbacks, one a request.
pub const CALLBACK_PATH: &str = "/v1/events/callback";

/// Event Streams, one event a request or many.
pub const STREAM_PATH: &str = "/v1/events/stream";

/// Header of the answer to a callback: what became of its event. The answer to one that is refused says why in its body,
/// in a message that begins with the reason.
pub const OUTCOME: &str = "tasktally-outcome";
pub const ACCEPTED: &str = "accepted";
pub const DUPLICATE: &str = "duplicate";
pub const REFUSED: &str = "refused";

/// What became of the events of one request of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub accepted: u64,
    pub duplicates: u64,
    /// In the order of the request.
    pub refused: Vec<RefusedEvent>,
}

/// An event that is refused for good, and kept as a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEvent {
    /// Its place in the request, from 0.
    pub index: u32,
    /// As it was sent, if it was.
    pub sid: String,
    /// As the contract names it, without the prefix that all share: `MISSING_FIELD`.
    pub reason: String,
    /// Path in the contract; empty where the event as a whole is refused.
    pub field: String,
    pub message: String,
}
