//! What may be asked of the pipeline, and what comes back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::caller::Caller;
use super::holdings::Holdings;
use super::topic::Topic;
use crate::engine::{
    ChannelFilter, ChannelRow, Cumulative, Past, Realtime, Window, WindowError, Workspace, WorkspaceRow,
};
use crate::event::{Event, Millis, Second, SecondRange, WorkspaceSid};
use crate::limits;
use crate::trace::passage::Passage;

/// An answer, the revision of the state that it was given from, and the `now` that it was given at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<T> {
    pub revision: i64,
    pub as_of: Millis,
    pub answer: T,
}

/// What a question about an interval asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CumulativeQuestion {
    pub channel: ChannelFilter,
    pub window: Window,
    /// In whole seconds.
    pub thresholds: Box<[u32]>,
}

/// What a question about an interval, bucket by bucket, asks for.
#[derive(Clone, Debug)]
pub struct SeriesQuestion {
    pub of: CumulativeQuestion,
    /// Length of a bucket in seconds, at least 1.
    pub bucket_s: i64,
}

/// A queue that has no room: the name of its bound, the bound, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub limit: &'static str,
    pub most: usize,
    pub retry_after_ms: u64,
}

impl Full {
    /// Those who were refused together are not to come back together.
    pub fn now(limit: &'static str, most: usize) -> Full {
        let delay_ms = limits::OVERLOAD_RETRY_DELAY.as_millis() as u64;
        Full { limit, most, retry_after_ms: delay_ms / 2 + rand::random_range(0..=delay_ms) }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No accepted event has named the workspace, or it is another account's.
    #[error("no such workspace")]
    UnknownWorkspace,
    #[error("the window begins at {}, before the oldest second that can be asked for, {}", asked.0, oldest.0)]
    WindowTooOld { oldest: Second, asked: Second },
    #[error("the window is empty")]
    EmptyWindow { field: &'static str },
    /// The window has more buckets of this length than an answer may have.
    #[error("the window has more than {} buckets; the least that fits has {least_s} s", limits::SERIES_BUCKETS)]
    TooManyBuckets { least_s: i64 },
    /// Ask again after a while.
    #[error("too many questions are waiting")]
    Overloaded(Full),
    #[error("starting")]
    Starting,
    #[error("shutting down")]
    Stopping,
}

impl From<WindowError> for AskError {
    fn from(error: WindowError) -> AskError {
        match error {
            WindowError::Empty { field } => AskError::EmptyWindow { field },
            WindowError::TooOld { oldest, asked } => AskError::WindowTooOld { oldest, asked },
        }
    }
}

/// Why no event of a call was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Send again after a while.
    #[error("too many events are waiting")]
    Overloaded(Full),
    /// The journal cannot be written now; it recovers by itself when the cause goes away. Send again after a while.
    #[error("the journal cannot be written: {cause}")]
    Unwritable { cause: Arc<str>, retry_after_ms: u64 },
    #[error("starting")]
    Starting,
    /// Whether the events were taken is open; sending them again is safe.
    #[error("shutting down")]
    Stopping,
}

/// Why a workspace was not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// Nothing has happened.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The journal did not take it: nothing has happened, unless the server is stopping, when it is not known.
    #[error(transparent)]
    Write(IngestError),
}

/// What a call does when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Refuse,
    Wait,
}

/// Why one event was refused at the door. In the order in which they are given where several hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooOld {
        oldest: Millis,
    },
    TooNew {
        newest: Millis,
    },
    AccountMismatch,
    /// `field` is the path within the event of the first name that is longer than `most` bytes.
    NameTooLong {
        field: &'static str,
        most: u64,
    },
    /// There is no room for another `kind`: the bound of this name is reached.
    LimitExceeded {
        kind: &'static str,
        limit: &'static str,
        most: u64,
    },
}

/// What became of the events of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    pub accepted: u64,
    pub duplicates: u64,
    /// By the index that the caller gave the event.
    pub refused: Vec<(u32, Refusal)>,
    pub revision: i64,
}

/// The part of one ingest call that one partition owns.
pub struct Call {
    pub caller: Caller,
    /// With the index of each within the call.
    pub events: Vec<(u32, Event)>,
    pub reply: oneshot::Sender<Result<Ingested, IngestError>>,
    /// Where the call's way is noted, if somebody wants to know.
    pub passage: Option<Arc<Passage>>,
    /// The events' places in the queue, given back when the call is dropped.
    pub _places: OwnedSemaphorePermit,
}

/// Everything that is asked of the owner of a partition.
pub enum Question {
    Realtime(Caller, WorkspaceSid, ChannelFilter, Reply<Stamped<Arc<Realtime>>>),
    Cumulative(Caller, WorkspaceSid, CumulativeQuestion, Reply<Stamped<Cumulative>>),
    /// Everything that a series is made from, and the interval that is meant.
    Past(Caller, WorkspaceSid, SeriesQuestion, Reply<Stamped<(SecondRange, Past)>>),
    Statistics(Caller, WorkspaceSid, CumulativeQuestion, Reply<Stamped<(Arc<Realtime>, Cumulative)>>),
    Topic(Caller, WorkspaceSid, ChannelFilter, Reply<Arc<Topic>>),
    Workspaces(Caller, Option<WorkspaceSid>, usize, Reply<Vec<WorkspaceRow>>),
    /// What all workspaces hold, and so many of the largest.
    Holdings(usize, Reply<Holdings>),
    Channels(Caller, WorkspaceSid, Option<Box<str>>, usize, Reply<Vec<ChannelRow>>),
    /// Forget everything of this workspace; answered with the revision, once that is on disk.
    Forget(Forget),
    /// Answered once the partition has passed this position.
    Passed(u64, oneshot::Sender<()>),
    /// Settle what has been submitted, then end the thread.
    Stop,
    /// A copy of everything, for a checkpoint.
    Freeze(oneshot::Sender<Frozen>),
}

/// A workspace that somebody wants forgotten.
pub struct Forget {
    pub caller: Caller,
    pub workspace: WorkspaceSid,
    pub reply: oneshot::Sender<Result<i64, ForgetError>>,
}

pub type Reply<T> = oneshot::Sender<Result<T, AskError>>;

/// A partition as it stood at one position of the journal.
pub struct Frozen {
    pub position: u64,
    pub workspaces: Vec<(WorkspaceSid, Workspace)>,
}
