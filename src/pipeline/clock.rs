//! The one place that reads clocks.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::event::Millis;

/// Tells the time. The engine never asks; it is told.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, which may be set back or forward at any moment: what facts and answers are about.
    fn now(&self) -> Millis;

    /// The time since some moment in the past, which only grows: what waiting goes by.
    fn uptime(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
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
