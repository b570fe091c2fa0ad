//! How long a connection may live and idle.
use std::{
    future::{Future, pending},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The calls of one connection: how many are open, and when the last one ended.
#[derive(Clone, Debug)]
pub(super) struct Calls(Arc<State>);

#[derive(Debug)]
struct State {
    begun: Instant,
    open: AtomicUsize,
    /// Milliseconds from `begun` to the end of the last call.
    last_end_ms: AtomicU64,
}

/// A call that is open; ends when dropped.
#[derive(Debug)]
pub(super) struct OpenCall(Arc<State>);

impl Default for Calls {
    fn default() -> Self {
        Self(Arc::new(State { begun: Instant::now(), open: AtomicUsize::new(0), last_end_ms: AtomicU64::new(0) }))
    }
}

impl Calls {
    pub fn begin(&self) -> OpenCall {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.0.clone())
    }

    /// Whether answers of one may come together with those of others.
    pub fn are_several(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > 1
    }

    /// Completes once there has been no call for all of `idle`.
    ///
    /// Nothing wakes it when a call ends: it looks when the last end that it knows of is `idle` ago, and a call that was
    /// open then cannot have ended longer ago than that.
    pub async fn idle(&self, idle: Duration) {
        loop {
            let now = Instant::now();
            let since = if self.0.open.load(Ordering::Relaxed) > 0 { now } else { self.last_end() };
            if now >= since + idle {
                return;
            }
            sleep_until(since + idle).await;
        }
    }

    fn last_end(&self) -> Instant {
        self.0.begun + Duration::from_millis(self.0.last_end_ms.load(Ordering::Relaxed))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let ms = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_end_ms.fetch_max(ms, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a connection is asked to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Idle,
    Age,
}

/// Completes when a connection has idled or lived long enough; a bound of zero is none. Ages differ by up to a tenth, so
/// that connections that came all at once after a restart do not leave so.
pub(super) async fn over(calls: &Calls, idle: Duration, age: Duration) -> Over {
    let lived = async {
        let jitter = age.mul_f64(rand::random_range(0.0..0.1));
        bounded(age, tokio::time::sleep(age - jitter)).await;
    };
    tokio::select! {
        () = bounded(idle, calls.idle(idle)) => Over::Idle,
        () = lived => Over::Age,
    }
}

async fn bounded(bound: Duration, end: impl Future<Output = ()>) {
    if bound.is_zero() { pending().await } else { end.await }
}
