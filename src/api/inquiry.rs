//! What WatchStatistics asks again and again, since figures of an interval are at nobody's hand.
//!
//! The owner of the workspace is asked only when something may have changed and somebody wants a message: at most once in
//! [`ENCODING_INTERVAL`](super::feed::ENCODING_INTERVAL) for all who watch the same, and a watcher alone is cause for one
//! question in its `min_interval`. Few questions of watches stand in the owners' queues at a time.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::encode::{self, Links, Stamp};
use super::proto::v1;
use super::source::{Asked, Asking, Source};
use crate::engine::{Cumulative, Realtime};
use crate::event::WorkspaceSid;
use crate::pipeline::{AskError, Caller, CumulativeQuestion, Pipeline, Stamped, Topic};

/// What is and what was of one workspace, channel, interval and set of thresholds.
pub struct Inquiry {
    pipeline: Pipeline,
    /// One who may see the workspace, as all do who watch with this one.
    caller: Caller,
    topic: Arc<Topic>,
    question: CumulativeQuestion,
    touches: watch::Receiver<u64>,
    /// As long as somebody looks at the topic, its owner tells of what time alone changes.
    _looks: watch::Receiver<u64>,
    turns: Arc<Semaphore>,
}

/// What is, and what was.
pub type Both = Arc<(Arc<Realtime>, Cumulative)>;

impl Inquiry {
    /// Thresholds are a set: in which order, and how often, makes no difference.
    pub fn new(
        pipeline: Pipeline,
        caller: Caller,
        topic: Arc<Topic>,
        mut question: CumulativeQuestion,
        turns: Arc<Semaphore>,
    ) -> Inquiry {
        let mut thresholds = question.thresholds.into_vec();
        thresholds.sort_unstable();
        thresholds.dedup();
        question.thresholds = thresholds.into();
        let (touches, _looks) = (topic.subscribe_to_touches(), topic.subscribe());
        Inquiry { pipeline, caller, topic, question, touches, _looks, turns }
    }

    async fn ask(self: Arc<Self>) -> Result<Asked<Both>, AskError> {
        let _turn = self.turns.acquire().await.map_err(|_| AskError::Stopping)?;
        // Both before the question, so that nothing that comes later is taken to be in the answer.
        let (asked_at, tick) = (Instant::now(), *self.touches.borrow());
        let question = self.question.clone();
        let Stamped { revision, as_of, answer } =
            self.pipeline.statistics(&self.caller, self.topic.workspace, question).await?;
        Ok(Asked { asked_at, tick, stamped: Stamped { revision, as_of, answer: Arc::new(answer) } })
    }
}

impl Source for Inquiry {
    type Figures = Both;
    type Message = v1::WorkspaceStatistics;
    type Key = (WorkspaceSid, CumulativeQuestion);

    const TICKS_ARE_CHANGES: bool = false;

    fn key(&self) -> Self::Key {
        (self.topic.workspace, self.question.clone())
    }

    fn workspace(&self) -> WorkspaceSid {
        self.topic.workspace
    }

    fn latest(&self) -> Option<Stamped<Both>> {
        None
    }

    fn ask(self: Arc<Self>) -> Asking<Both> {
        Box::pin(Inquiry::ask(self))
    }

    fn same(one: &Both, other: &Both) -> bool {
        let ((realtime, Cumulative { account, range: _, totals }), (other_realtime, other)) = (&**one, &**other);
        *account == other.account && *totals == other.totals && realtime.same_figures(other_realtime)
    }

    fn message(links: &Links, workspace: WorkspaceSid, stamped: &Stamped<Both>) -> v1::WorkspaceStatistics {
        let (realtime, cumulative) = &*stamped.answer;
        encode::statistics(Stamp::of(links, workspace, stamped), realtime, cumulative)
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.touches.clone()
    }

    fn has_ended(&self) -> bool {
        self.topic.has_ended()
    }
}
