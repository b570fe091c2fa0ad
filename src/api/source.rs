//! What a feed is of: figures that are at hand, or have to be asked for.

use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::encode::{self, Links, Stamp};
use super::proto::v1;
use crate::engine::{ChannelFilter, Realtime};
use crate::event::WorkspaceSid;
use crate::pipeline::{AskError, Stamped, Topic};

/// Where the figures of a feed come from. They are at hand, as those of a [`Topic`] are, or have to be asked for.
pub trait Source: Send + Sync + 'static {
    /// What a state shows.
    type Figures: Clone + Send + Sync;
    /// A state as it is written.
    type Message;
    /// Sources of one key show the same.
    type Key: Clone + Eq + Hash + Send + Sync;

    fn key(&self) -> Self::Key;

    fn workspace(&self) -> WorkspaceSid;

    /// Whether each tick is a change of these figures, rather than of what they may hang on.
    const TICKS_ARE_CHANGES: bool;

    /// The state now; `None` where it has to be asked for.
    fn latest(&self) -> Option<Stamped<Self::Figures>>;

    /// Asks for the state; the instant and the tick are of a moment before it was read. For those without a latest one.
    fn ask(self: Arc<Self>) -> Asking<Self::Figures>;

    /// Whether both show the same; the revision, the moment, the age and the edges of an interval are none of it.
    fn same(one: &Self::Figures, other: &Self::Figures) -> bool;

    fn message(links: &Links, workspace: WorkspaceSid, stamped: &Stamped<Self::Figures>) -> Self::Message;

    /// Ticks after each change of the figures, or of what they may hang on, and in the end.
    fn subscribe(&self) -> watch::Receiver<u64>;

    /// Whether there is nothing any more that the figures could be of; to be asked after the figures.
    fn has_ended(&self) -> bool;
}

/// An answer on its way.
pub type Asking<Figures> = Pin<Box<dyn Future<Output = Result<Asked<Figures>, AskError>> + Send>>;

/// A state that was asked for.
pub struct Asked<Figures> {
    pub asked_at: Instant,
    pub tick: u64,
    pub stamped: Stamped<Figures>,
}

impl Source for Topic {
    type Figures = Arc<Realtime>;
    type Message = v1::WorkspaceRealtimeStatistics;
    type Key = (WorkspaceSid, ChannelFilter);

    const TICKS_ARE_CHANGES: bool = true;

    fn key(&self) -> Self::Key {
        (self.workspace, self.filter.clone())
    }

    fn workspace(&self) -> WorkspaceSid {
        self.workspace
    }

    fn latest(&self) -> Option<Stamped<Arc<Realtime>>> {
        Some(Topic::latest(self))
    }

    fn ask(self: Arc<Self>) -> Asking<Arc<Realtime>> {
        unreachable!("a topic has its latest state at hand")
    }

    fn same(one: &Arc<Realtime>, other: &Arc<Realtime>) -> bool {
        one.same_figures(other)
    }

    fn message(links: &Links, workspace: WorkspaceSid, stamped: &Stamped<Arc<Realtime>>) -> Self::Message {
        encode::realtime(Stamp::of(links, workspace, stamped), &stamped.answer)
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        Topic::subscribe(self)
    }

    fn has_ended(&self) -> bool {
        Topic::has_ended(self)
    }
}
