//! Checkpoints while the server lives, and the last one.

use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::pipeline::{Clock, Keeper, Pipeline, Running, SystemClock};

/// A checkpoint is also due after this many events, so that a restart has little to replay whatever the rate.
const CHECKPOINT_EVENTS: u64 = 2_000_000;

/// When the next checkpoint is due, and who writes it. Writing goes on in the background, so that signals and trouble
/// are heard meanwhile.
pub struct Keeping {
    keeper: Option<Keeper>,
    writing: Option<JoinHandle<Keeper>>,
    interval: Duration,
    last: Instant,
    at: u64,
}

impl Keeping {
    pub fn new(keeper: Option<Keeper>, interval: Duration, at: u64) -> Keeping {
        Keeping { keeper, writing: None, interval, last: Instant::now(), at }
    }

    pub async fn look(&mut self, pipeline: &Pipeline) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.take_back().await;
        }
        let due = self.last.elapsed() >= self.interval || pipeline.passed() >= self.at + CHECKPOINT_EVENTS;
        let Some(mut keeper) = self.keeper.take_if(|_| due) else { return };
        self.last = Instant::now();
        self.at = pipeline.passed();
        self.writing = Some(spawn_blocking(move || {
            keep(&mut keeper);
            keeper
        }));
    }

    async fn take_back(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.keeper = Some(writing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
    }

    /// The last checkpoint, then the end of the threads.
    pub async fn finish(mut self, running: Running) {
        self.take_back().await;
        let finish = move || {
            if let Some(keeper) = &mut self.keeper {
                keep(keeper);
            }
            running.stop();
        };
        spawn_blocking(finish).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }
}

fn keep(keeper: &mut Keeper) {
    let now = Clock::now(&SystemClock);
    if let Err(error) = keeper.run_once(now) {
        tracing::error!(%error, "cannot write a checkpoint; the journal has everything, a restart replays more of it");
    }
}
