//! What the end-to-end tests share: the real binary on a free port, its clients, events and error details.
//!
//! Nothing here waits for a time to pass: a condition is polled until it holds, and a deadline that is far beyond any
//! honest delay turns a hang into a failure.
#![allow(dead_code, reason = "each test binary compiles this module and uses its own share of it")]

pub mod authority;
pub mod calls;
pub mod clock;
pub mod details;
pub mod disk;
pub mod events;
pub mod hostile;
pub mod people;
pub mod process;
pub mod raw;
pub mod stalled;
pub mod web;

use std::future::Future;
use std::time::{Duration, Instant};

/// After this a wait has hung. Far beyond any delay of a loaded machine.
pub const HANG: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Polls `condition` until it answers `Some`; panics with `what` when it never does.
pub async fn eventually<T, F, C>(what: &str, mut condition: C) -> T
where
    F: Future<Output = Option<T>>,
    C: FnMut() -> F,
{
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < HANG, "never happened: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As [`eventually`], without a runtime.
pub fn eventually_blocking<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < HANG, "never happened: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The future's value; panics with `what` when it hangs.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("hung: {what}"),
    }
}
