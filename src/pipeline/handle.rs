//! The pipeline as the services see it: submit events, ask questions.

use std::sync::{Arc, OnceLock};

use crossbeam_channel::Sender;
use tokio::sync::{Semaphore, oneshot, watch};

use super::ask::{
    AskError, Call, CumulativeQuestion, Forget, ForgetError, Frozen, Full, IngestError, Ingested, Patience, Question,
    Reply, Stamped,
};
use super::caller::Caller;
use super::copying::{CopyMessage, CopyRefusal, Copying};
use super::counted::{Checkpoints, Commits, Counted};
use super::holdings::Holdings;
use super::owner::LARGEST_CALL;
use super::passed::Passed;
use super::pasts::Pasts;
use super::shelf::Shelf;
use super::topic::Topic;
use super::writer::{JournalHealth, unwritable};
use crate::engine::{ChannelFilter, ChannelRow, Cumulative, Realtime, WorkspaceRow};
use crate::event::{Event, WorkspaceSid};
use crate::limits;
use crate::trace::passage::{self, Passage};

/// A handle to all partitions; cheap to clone. Services may hold one before there is anything behind it: until the
/// journal is replayed everything answers `Starting`.
#[derive(Clone, Default)]
pub struct Pipeline {
    pub(super) inner: Arc<OnceLock<Inner>>,
}

pub(super) struct Inner {
    pub partitions: Box<[PartitionHandle]>,
    pub health: watch::Receiver<JournalHealth>,
    pub queue_events: usize,
    pub copies: Sender<CopyMessage>,
    pub series: super::series::Room,
    pub commits: Arc<Commits>,
    pub checkpoints: Arc<Checkpoints>,
    /// The newest timestamp of an event that the journal began with.
    pub newest_at_start: i64,
}

pub(super) struct PartitionHandle {
    pub calls: Sender<Call>,
    /// Unbounded, since `asking` bounds what callers can put in and the pipeline's own questions are few.
    pub questions: Sender<Question>,
    pub asking: Arc<Semaphore>,
    pub most_asking: usize,
    pub places: Arc<Semaphore>,
    pub shelf: Shelf,
    pub pasts: Pasts,
    pub passed: Arc<Passed>,
    pub counted: Arc<Counted>,
}

/// Events that are in the queue; their answer comes when they are durable and applied.
pub struct Submitted {
    pipeline: Pipeline,
    parts: Vec<SubmittedPart>,
}

/// What one partition has of it.
struct SubmittedPart {
    number: usize,
    answer: oneshot::Receiver<Result<Ingested, IngestError>>,
    passage: Option<Arc<Passage>>,
}

impl Pipeline {
    /// Puts the events, each with its index in the call, into the queues of their partitions. Calls submitted one
    /// after the other are admitted in that order.
    pub async fn submit(
        &self,
        caller: &Caller,
        events: Vec<(u32, Event)>,
        patience: Patience,
    ) -> Result<Submitted, IngestError> {
        assert!(events.len() <= LARGEST_CALL, "a call of {} events, more than {LARGEST_CALL}", events.len());
        let inner = self.inner.get().ok_or(IngestError::Starting)?;
        match &*inner.health.borrow() {
            JournalHealth::Writable => {}
            JournalHealth::Unwritable(cause) => return Err(unwritable(cause.clone())),
            JournalHealth::Lost(_) => return Err(IngestError::Stopping),
        }
        // All places first: a call is queued whole or not at all.
        let mut shares = Vec::new();
        for (number, events) in inner.share_out(events) {
            let queue = &inner.partitions[number].places;
            let wanted = events.len().min(inner.queue_events);
            let places = match patience {
                Patience::Refuse if !inner.has_room(number, wanted) => Err(inner.full()),
                Patience::Refuse => queue.clone().try_acquire_many_owned(wanted as u32).map_err(|_| inner.full()),
                Patience::Wait => {
                    queue.clone().acquire_many_owned(wanted as u32).await.map_err(|_| IngestError::Stopping)
                }
            }?;
            shares.push((number, events, places));
        }
        let mut parts = Vec::with_capacity(shares.len());
        let traced = passage::begin();
        for (number, events, places) in shares {
            let (reply, answer) = oneshot::channel();
            let passage = traced.as_ref().map(|call| Passage::into(call, number));
            let call = Call { caller: *caller, events, reply, passage: passage.clone(), _places: places };
            inner.partitions[number].calls.send(call).map_err(|_| IngestError::Stopping)?;
            parts.push(SubmittedPart { number, answer, passage });
        }
        Ok(Submitted { pipeline: self.clone(), parts })
    }

    /// Whether some queue may have no room for a large call.
    pub fn is_pressed(&self) -> bool {
        self.inner.get().is_some_and(|inner| {
            (0..inner.partitions.len()).any(|number| !inner.has_room(number, LARGEST_CALL.min(inner.queue_events)))
        })
    }

    /// Whether a call of so many events, of which the first and the last are of these workspaces, would be queued: where
    /// both belong to one partition it is taken for that of all of them. An error is what submitting it would answer;
    /// without one, submitting may still fail.
    pub fn expect_room(&self, workspaces: [WorkspaceSid; 2], events: usize) -> Result<(), IngestError> {
        let inner = self.inner.get().ok_or(IngestError::Starting)?;
        let [first, last] = workspaces.map(|workspace| inner.number_of(workspace));
        let wanted = if first == last { events.min(inner.queue_events) } else { 1 };
        if [first, last].iter().all(|number| inner.has_room(*number, wanted)) { Ok(()) } else { Err(inner.full()) }
    }

    pub(super) fn inner(&self) -> Result<&Inner, AskError> {
        self.inner.get().ok_or(AskError::Starting)
    }

    pub(super) fn partition(&self, workspace: WorkspaceSid) -> Result<&PartitionHandle, AskError> {
        let inner = self.inner()?;
        Ok(&inner.partitions[inner.number_of(workspace)])
    }

    /// From the shelf where the answer stands there and is true of this moment, else from the owner.
    pub async fn realtime(
        &self,
        caller: &Caller,
        workspace: WorkspaceSid,
        channel: &ChannelFilter,
    ) -> Result<Stamped<Arc<Realtime>>, AskError> {
        let partition = self.partition(workspace)?;
        if let Some(topic) = partition.shelf.find(workspace, channel)
            && topic.is_current()
        {
            if !caller.sees(topic.account) {
                return Err(AskError::UnknownWorkspace);
            }
            topic.touch();
            let latest = topic.latest();
            if !topic.has_ended() {
                return Ok(latest);
            }
        }
        partition.ask(|reply| Question::Realtime(*caller, workspace, channel.clone(), reply)).await
    }

    /// From the past that is kept, where one is, else from the owner.
    pub async fn cumulative(
        &self,
        caller: &Caller,
        workspace: WorkspaceSid,
        question: CumulativeQuestion,
    ) -> Result<Stamped<Cumulative>, AskError> {
        let partition = self.partition(workspace)?;
        if let Some(answer) = partition.pasts.answer(caller, workspace, &question) {
            return answer;
        }
        partition.ask(|reply| Question::Cumulative(*caller, workspace, question, reply)).await
    }

    /// Both from one state at one instant.
    pub async fn statistics(
        &self,
        caller: &Caller,
        workspace: WorkspaceSid,
        question: CumulativeQuestion,
    ) -> Result<Stamped<(Arc<Realtime>, Cumulative)>, AskError> {
        self.partition(workspace)?.ask(|reply| Question::Statistics(*caller, workspace, question, reply)).await
    }

    /// The workspaces that the caller may see, ascending by sid, from the first after `after`.
    pub async fn workspaces(
        &self,
        caller: &Caller,
        after: Option<WorkspaceSid>,
        at_most: usize,
    ) -> Result<Vec<WorkspaceRow>, AskError> {
        let mut rows = Vec::new();
        for partition in self.inner()?.partitions.iter() {
            rows.extend(partition.ask(|reply| Question::Workspaces(*caller, after, at_most, reply)).await?);
        }
        rows.sort_unstable_by_key(|row| row.workspace);
        rows.truncate(at_most);
        Ok(rows)
    }

    /// What the workspaces of all accounts hold, and so many of the largest: for a caller of all.
    pub async fn holdings(&self, at_most: usize) -> Result<Holdings, AskError> {
        let mut all = Holdings::default();
        for partition in self.inner()?.partitions.iter() {
            all = all.and(partition.ask(|reply| Question::Holdings(at_most, reply)).await?, at_most);
        }
        Ok(all)
    }

    /// The channels of a workspace, ascending by name as bytes, from the first after `after`.
    pub async fn channels(
        &self,
        caller: &Caller,
        workspace: WorkspaceSid,
        after: Option<&str>,
        at_most: usize,
    ) -> Result<Vec<ChannelRow>, AskError> {
        let after = after.map(Box::from);
        self.partition(workspace)?.ask(|reply| Question::Channels(*caller, workspace, after, at_most, reply)).await
    }

    /// The published answer of a workspace and channel filter, true of a moment after this call began.
    pub async fn topic(
        &self,
        caller: &Caller,
        workspace: WorkspaceSid,
        channel: &ChannelFilter,
    ) -> Result<Arc<Topic>, AskError> {
        self.partition(workspace)?.ask(|reply| Question::Topic(*caller, workspace, channel.clone(), reply)).await
    }

    /// Forgets everything of a workspace, durably, as if no event had ever named it; answers the revision since which
    /// it is gone. Whoever hears nothing may ask again: that the workspace is unknown means that it is forgotten.
    pub async fn forget(&self, caller: &Caller, workspace: WorkspaceSid) -> Result<i64, ForgetError> {
        let partition = self.partition(workspace)?;
        let _place = partition.asking.try_acquire().map_err(|_| partition.questions_full())?;
        let (reply, answer) = oneshot::channel();
        let forget = Forget { caller: *caller, workspace, reply };
        partition.questions.send(Question::Forget(forget)).map_err(|_| AskError::Stopping)?;
        answer.await.unwrap_or(Err(AskError::Stopping.into()))
    }

    /// Begins a copy of the journal, as it is now. At most one at a time.
    pub async fn copy(&self) -> Result<Copying, CopyRefusal> {
        Copying::begin(&self.inner.get().ok_or(CopyRefusal::Starting)?.copies).await
    }

    /// Whether the journal can take events; `None` before the start.
    pub fn health(&self) -> Option<watch::Receiver<JournalHealth>> {
        Some(self.inner.get()?.health.clone())
    }

    /// Asks for a copy of one partition, as of its own position, for a checkpoint. `None` where it is gone.
    pub(super) fn freeze(&self, number: usize) -> Option<oneshot::Receiver<Frozen>> {
        let partition = self.inner.get()?.partitions.get(number)?;
        let (reply, answer) = oneshot::channel();
        partition.questions.send(Question::Freeze(reply)).ok()?;
        Some(answer)
    }

    /// Where checkpoints are counted; nowhere, before the start.
    pub(super) fn checkpoints(&self) -> Arc<Checkpoints> {
        self.inner.get().map(|inner| inner.checkpoints.clone()).unwrap_or_default()
    }

    pub(super) fn tell_to_stop(&self) {
        for partition in self.inner.get().map_or(&[][..], |inner| &inner.partitions) {
            // One that is gone already needs not be told.
            let _ = partition.questions.send(Question::Stop);
        }
    }

    /// The position that every partition has passed.
    pub fn passed(&self) -> u64 {
        self.positions().min().unwrap_or(0)
    }

    /// The position that some partition has passed.
    pub(super) fn furthest(&self) -> u64 {
        self.positions().max().unwrap_or(0)
    }

    fn positions(&self) -> impl Iterator<Item = u64> {
        let partitions = self.inner.get().map_or(&[][..], |inner| &inner.partitions);
        partitions.iter().map(|partition| partition.passed.position())
    }
}

impl Inner {
    /// Whether a call would find places. A large one leaves some to small ones, which would else stand behind those
    /// that take all that is free; into an empty queue goes everything.
    fn has_room(&self, number: usize, wanted: usize) -> bool {
        let free = self.partitions[number].places.available_permits();
        let is_large = wanted > limits::LARGE_CALL_EVENTS;
        let spare = if is_large { self.queue_events / limits::SPARE_FOR_SMALL_CALLS } else { 0 };
        free >= self.queue_events || free >= wanted + spare
    }

    fn full(&self) -> IngestError {
        IngestError::Overloaded(Full::now("max_queued_events", self.queue_events))
    }

    fn share_out(&self, events: Vec<(u32, Event)>) -> Vec<(usize, Vec<(u32, Event)>)> {
        let Some((_, first)) = events.first() else { return Vec::new() };
        let first = self.number_of(first.workspace);
        if events.iter().all(|(_, event)| self.number_of(event.workspace) == first) {
            return vec![(first, events)];
        }
        let mut shares: Vec<Vec<(u32, Event)>> = self.partitions.iter().map(|_| Vec::new()).collect();
        for (index, event) in events {
            shares[self.number_of(event.workspace)].push((index, event));
        }
        shares.into_iter().enumerate().filter(|(_, share)| !share.is_empty()).collect()
    }

    fn number_of(&self, workspace: WorkspaceSid) -> usize {
        partition_of(workspace, self.partitions.len())
    }
}

impl PartitionHandle {
    fn questions_full(&self) -> AskError {
        AskError::Overloaded(Full::now("max_queued_questions", self.most_asking))
    }

    pub(super) async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, AskError> {
        let _place = self.asking.try_acquire().map_err(|_| self.questions_full())?;
        let (reply, answer) = oneshot::channel();
        self.questions.send(question(reply)).map_err(|_| AskError::Stopping)?;
        answer.await.unwrap_or(Err(AskError::Stopping))
    }
}

impl Submitted {
    /// Waits until the events are durable and applied. The revision is one that every partition concerned has passed,
    /// so that a read sent after this answer has at least it.
    pub async fn settled(self) -> Result<Ingested, IngestError> {
        let mut sum = Ingested { revision: self.pipeline.passed() as i64, ..Ingested::default() };
        let mut ends = Vec::with_capacity(self.parts.len());
        for SubmittedPart { number, answer, passage } in self.parts {
            let part = answer.await.unwrap_or(Err(IngestError::Stopping));
            if let Some(passage) = passage {
                passage.tell(part.as_ref().err().map(ToString::to_string));
            }
            let part = part?;
            sum.accepted += part.accepted;
            sum.duplicates += part.duplicates;
            sum.refused.extend(part.refused);
            ends.push((number, part.revision));
        }
        sum.refused.sort_unstable_by_key(|(index, _)| *index);
        if let Some(latest) = ends.iter().map(|(_, end)| *end).max() {
            sum.revision = latest;
            for (number, _) in ends.iter().filter(|(_, end)| *end < latest) {
                self.pipeline.wait_until_passed(*number, latest as u64).await?;
            }
        }
        Ok(sum)
    }
}

impl Pipeline {
    async fn wait_until_passed(&self, number: usize, position: u64) -> Result<(), IngestError> {
        let partition = &self.inner.get().ok_or(IngestError::Starting)?.partitions[number];
        if partition.passed.position() >= position {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        partition.questions.send(Question::Passed(position, reply)).map_err(|_| IngestError::Stopping)?;
        answer.await.map_err(|_| IngestError::Stopping)
    }
}

/// The share that a workspace belongs to. Stable over restarts only as long as the number of shares is; nothing on
/// disk depends on it.
pub fn partition_of(workspace: WorkspaceSid, partitions: usize) -> usize {
    (xxhash_rust::xxh3::xxh3_64(workspace.as_bytes()) % partitions as u64) as usize
}
