//! The one place that reads the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Millis;

/// Tells the time. The engine never asks; it is told.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Millis;
}

/// The host's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    fn now(&self) -> Millis {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)).min(Millis::MAX),
            Err(_) => Millis(0),
        }
    }
}
