//! From deliveries to batches at the right time: the past as fast as it is taken, the present as it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Centre, Disturbed, timestamp_ms};
use crate::api::proto::v1::Event;
use crate::cli::client::now_ms;
use crate::limits;

/// What is sent, and until when.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Events from this moment on are not sent; `None` goes on until stopped.
    pub until_ms: Option<i64>,
    /// Events of one batch at most.
    pub batch: usize,
}

/// How long a live event waits for others to share its request.
const LINGER: Duration = Duration::from_millis(20);

struct Feed {
    plan: Plan,
    batches: mpsc::Sender<Vec<Event>>,
    stop: CancellationToken,
    /// The time of the centre, for the progress.
    reached_ms: Arc<AtomicI64>,
    batch: Vec<Event>,
    flushed: Instant,
}

/// The other side wants no more, or the user does not.
struct Stopped;

/// Starts the feeding thread; it ends with the plan, at the token, or when nobody takes batches any more.
pub(super) fn start(
    deliveries: Disturbed<Centre>,
    plan: Plan,
    stop: CancellationToken,
) -> (mpsc::Receiver<Vec<Event>>, Arc<AtomicI64>) {
    // Two batches ahead keep the senders busy and memory small.
    let (batches, taken) = mpsc::channel(2);
    let reached_ms = Arc::new(AtomicI64::new(0));
    let mut feed = Feed {
        batch: Vec::with_capacity(plan.batch),
        plan,
        batches,
        stop,
        reached_ms: Arc::clone(&reached_ms),
        flushed: Instant::now(),
    };
    std::thread::spawn(move || {
        // Either way nothing is left to do: a stop is not an error.
        let _ = feed.run(deliveries);
    });
    (taken, reached_ms)
}

impl Feed {
    fn run(&mut self, mut deliveries: Disturbed<Centre>) -> Result<(), Stopped> {
        for delivery in deliveries.by_ref() {
            if self.plan.until_ms.is_some_and(|until_ms| delivery.due_ms >= until_ms) {
                self.take_if_wanted(delivery.event)?;
                break;
            }
            self.wait_until(delivery.due_ms)?;
            self.reached_ms.store(delivery.due_ms, Ordering::Relaxed);
            self.take(delivery.event)?;
        }
        // What was under way at the end is sent at once, so that the sum of what was sent is lawful.
        for delivery in deliveries.drain() {
            self.take_if_wanted(delivery.event)?;
        }
        self.flush()
    }

    fn take_if_wanted(&mut self, event: Event) -> Result<(), Stopped> {
        let wanted = self.plan.until_ms.is_none_or(|until_ms| timestamp_ms(&event) < until_ms);
        if wanted { self.take(event) } else { Ok(()) }
    }

    fn take(&mut self, event: Event) -> Result<(), Stopped> {
        self.batch.push(event);
        if self.batch.len() >= self.plan.batch { self.flush() } else { Ok(()) }
    }

    #[expect(clippy::disallowed_methods, reason = "the feed has a thread of its own")]
    fn wait_until(&mut self, due_ms: i64) -> Result<(), Stopped> {
        loop {
            if self.stop.is_cancelled() {
                // Events handed to us count as happened: send them before the end.
                self.flush()?;
                return Err(Stopped);
            }
            let left = match u64::try_from(due_ms.saturating_sub(now_ms())) {
                Ok(left_ms) if left_ms > 0 => Duration::from_millis(left_ms),
                _ => return Ok(()),
            };
            if self.flushed.elapsed() >= LINGER {
                self.flush()?;
            }
            std::thread::sleep(left.min(LINGER));
        }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        self.flushed = Instant::now();
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(self.plan.batch));
        self.batches.blocking_send(batch).map_err(|_| Stopped)
    }
}

/// The earliest moment that a backfill may begin at: a bit after what the server refuses as too old, since sending takes
/// its time.
pub(super) fn oldest_ms(now_ms: i64) -> i64 {
    const MARGIN_MS: i64 = 15 * 60_000;
    now_ms - limits::RETENTION_MAX.as_millis() as i64 + MARGIN_MS
}
