//! One feed for each (workspace, channel) that somebody watches: the state, encoded once for all its watchers.
//!
//! Invariants of a [`Feed`]:
//! - no two encodings begin within [`ENCODING_INTERVAL`];
//! - a frame that is handed out shows the latest figures, and is at most [`MOST_FRAME_AGE`] old;
//! - `version` grows exactly when figures change: not with the revision, the moment or the age.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bell::Bell;
use super::codec::Encoded;
use super::encode::{self, Links, Stamp};
use super::proto::v1;
use crate::engine::{ChannelFilter, Realtime};
use crate::event::WorkspaceSid;
use crate::limits;
use crate::pipeline::{Stamped, Topic};

/// Least time between two encodings of one feed.
pub const ENCODING_INTERVAL: Duration = limits::WATCH_MIN_INTERVAL_MIN;

/// The oldest that a frame may be when it is handed to the transport.
pub const MOST_FRAME_AGE: Duration = limits::WATCH_MESSAGE_AGE;

/// Where the figures of a feed come from: a [`Topic`], but for tests.
pub trait Source: Send + Sync + 'static {
    /// The state now.
    fn latest(&self) -> Stamped<Arc<Realtime>>;

    /// Ticks after each change of the figures, and in the end.
    fn subscribe(&self) -> watch::Receiver<u64>;

    /// Whether there is nothing any more that the figures could be of; to be asked after [`Source::latest`].
    fn has_ended(&self) -> bool;
}

impl Source for Topic {
    fn latest(&self) -> Stamped<Arc<Realtime>> {
        Topic::latest(self)
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        Topic::subscribe(self)
    }

    fn has_ended(&self) -> bool {
        Topic::has_ended(self)
    }
}

type Key = (WorkspaceSid, ChannelFilter);
type Feeds<S> = Mutex<HashMap<Key, Weak<Feed<S>>>>;

/// How a state is written for those who watch.
pub type Form = fn(v1::WorkspaceRealtimeStatistics) -> Encoded;

/// All feeds of one form. A feed lives as long as its watchers.
pub struct Hub<S: Source> {
    links: Arc<Links>,
    form: Form,
    feeds: Arc<Feeds<S>>,
    stop: CancellationToken,
}

/// The figures of one (workspace, channel), for its watchers.
pub struct Feed<S: Source> {
    key: Key,
    source: Arc<S>,
    ticks: watch::Receiver<u64>,
    links: Arc<Links>,
    form: Form,
    kept: Mutex<Option<Kept>>,
    hub: Weak<Feeds<S>>,
    /// Rung by the feed's crier when there may be something new.
    bell: Bell,
    is_stopping: AtomicBool,
    /// Ends the crier when it is dropped.
    _deserted: oneshot::Sender<Infallible>,
}

/// A state, encoded.
#[derive(Clone, Debug)]
pub struct Frame {
    pub message: Encoded,
    /// Which figures it shows.
    pub version: u64,
    /// Just before its figures were read.
    pub encoded_at: Instant,
}

/// The latest frame, what it shows, and the tick up to which that is known to be the latest.
struct Kept {
    frame: Frame,
    figures: Arc<Realtime>,
    tick: u64,
}

/// Which frame a watcher wants.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// One that was encoded at this moment or later.
    Since(Instant),
    /// One that was encoded after this moment.
    After(Instant),
    /// One that shows other figures than these.
    OtherThan(u64),
}

/// What a feed has for a watcher.
#[derive(Debug)]
pub enum Offer {
    Frame(Frame),
    /// There will be one, but not before this moment.
    NotBefore(Instant),
    /// The figures are still the same.
    Unchanged,
}

impl<S: Source> Hub<S> {
    /// Feeds end when `stop` is cancelled.
    pub fn new(links: Arc<Links>, form: Form, stop: CancellationToken) -> Hub<S> {
        Hub { links, form, feeds: Arc::default(), stop }
    }

    /// The feed of this workspace and channel; `source` is used if there is none yet. To be asked within a runtime.
    pub fn feed(&self, workspace: WorkspaceSid, channel: ChannelFilter, source: Arc<S>) -> Arc<Feed<S>> {
        let key = (workspace, channel);
        let mut feeds = locked(&self.feeds);
        let found = feeds.get(&key).and_then(Weak::upgrade);
        // One that has ended gives way: the workspace was forgotten and has begun anew.
        if let Some(feed) = found.as_ref().filter(|feed| !feed.has_ended()) {
            return feed.clone();
        }
        let (_deserted, deserted) = oneshot::channel();
        let ticks = source.subscribe();
        let feed = Arc::new(Feed {
            key: key.clone(),
            ticks: ticks.clone(),
            source,
            links: self.links.clone(),
            form: self.form,
            kept: Mutex::default(),
            hub: Arc::downgrade(&self.feeds),
            bell: Bell::default(),
            is_stopping: AtomicBool::new(self.stop.is_cancelled()),
            _deserted,
        });
        tokio::spawn(cry(Arc::downgrade(&feed), ticks, self.stop.clone(), deserted));
        feeds.insert(key, Arc::downgrade(&feed));
        // The last one to let go of a feed takes the lock.
        drop(feeds);
        drop(found);
        feed
    }

    /// How many feeds there are.
    pub fn len(&self) -> usize {
        locked(&self.feeds).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<S: Source> Feed<S> {
    /// Has the waker woken whenever there may be something new; answers its place.
    pub fn join(&self, waker: Waker) -> usize {
        self.bell.hang(waker)
    }

    /// Gives the place up.
    pub fn leave(&self, place: usize) {
        self.bell.unhang(place);
    }

    /// Another number than before where there may be something new.
    pub fn tick(&self) -> u64 {
        *self.ticks.borrow()
    }

    /// Whether no more will come, since the server or the source has ended.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub fn workspace(&self) -> WorkspaceSid {
        self.key.0
    }

    /// Whether there is nothing any more to watch; to be asked after [`Feed::offer`].
    pub fn has_ended(&self) -> bool {
        self.source.has_ended()
    }

    pub fn offer(&self, want: Want, now: Instant) -> Offer {
        let mut kept = locked(&self.kept);
        // The tick is read before the state: a state that is newer than its tick is only looked at once more.
        let tick = *self.ticks.borrow();
        if let Some(kept) = kept.as_mut() {
            let latest = kept.tick == tick || kept.figures.same_figures(&self.source.latest().answer);
            if latest {
                kept.tick = tick;
                if matches!(want, Want::OtherThan(version) if version == kept.frame.version) {
                    return Offer::Unchanged;
                }
                if want.is_met_by(&kept.frame) && now - kept.frame.encoded_at <= MOST_FRAME_AGE {
                    return Offer::Frame(kept.frame.clone());
                }
            }
            let not_before = kept.frame.encoded_at + ENCODING_INTERVAL;
            if now < not_before {
                return Offer::NotBefore(not_before);
            }
        }
        let encoded = self.encode(kept.as_ref(), tick, now);
        Offer::Frame(kept.insert(encoded).frame.clone())
    }

    fn encode(&self, before: Option<&Kept>, tick: u64, now: Instant) -> Kept {
        let stamped = self.source.latest();
        let realtime = encode::realtime(Stamp::of(&self.links, self.key.0, &stamped), &stamped.answer);
        let message = (self.form)(realtime);
        let version =
            before.map_or(0, |before| before.frame.version + u64::from(!before.figures.same_figures(&stamped.answer)));
        Kept { frame: Frame { message, version, encoded_at: now }, figures: stamped.answer, tick }
    }
}

/// Tells the watchers of a feed, from a task of the runtime: the owner of the figures wakes one task, however many watch.
async fn cry<S: Source>(
    feed: Weak<Feed<S>>,
    mut ticks: watch::Receiver<u64>,
    stop: CancellationToken,
    mut deserted: oneshot::Receiver<Infallible>,
) {
    loop {
        let is_over = tokio::select! {
            biased;
            _ = &mut deserted => return,
            () = stop.cancelled() => true,
            ticked = ticks.changed() => ticked.is_err(),
        };
        let Some(feed) = feed.upgrade() else { return };
        if is_over {
            feed.is_stopping.store(true, Ordering::Release);
        }
        let mut place = Some(0);
        while let Some(from) = place {
            place = feed.bell.ring_from(from);
            if place.is_some() {
                tokio::task::yield_now().await;
            }
        }
        if is_over {
            return;
        }
    }
}

impl<S: Source> Drop for Feed<S> {
    fn drop(&mut self) {
        let Some(feeds) = self.hub.upgrade() else { return };
        let mut feeds = locked(&feeds);
        // Another watcher may have come in between and put a new feed in this one's place.
        if feeds.get(&self.key).is_some_and(|feed| feed.strong_count() == 0) {
            feeds.remove(&self.key);
        }
    }
}

impl Want {
    fn is_met_by(self, frame: &Frame) -> bool {
        match self {
            Want::Since(moment) => frame.encoded_at >= moment,
            Want::After(moment) => frame.encoded_at > moment,
            Want::OtherThan(version) => frame.version != version,
        }
    }
}

/// What is under these locks is whole at every moment, so that a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
