//! One feed for each (workspace, channel) that somebody watches: the state, encoded once for all its watchers.
//!
//! Invariants of a [`Feed`]:
//! - no two encodings begin within [`ENCODING_INTERVAL`];
//! - a frame that is handed out shows the latest figures, and is at most [`MOST_FRAME_AGE`] old;
//! - `version` grows exactly when figures change: not with the revision, the moment or the age.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

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

/// All feeds. A feed lives as long as its watchers.
pub struct Hub<S: Source> {
    links: Arc<Links>,
    feeds: Arc<Feeds<S>>,
}

/// The figures of one (workspace, channel), for its watchers.
pub struct Feed<S: Source> {
    key: Key,
    source: Arc<S>,
    ticks: watch::Receiver<u64>,
    links: Arc<Links>,
    kept: Mutex<Option<Kept>>,
    hub: Weak<Feeds<S>>,
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
    pub fn new(links: Arc<Links>) -> Hub<S> {
        Hub { links, feeds: Arc::default() }
    }

    /// The feed of this workspace and channel; `source` is used if there is none yet.
    pub fn feed(&self, workspace: WorkspaceSid, channel: ChannelFilter, source: Arc<S>) -> Arc<Feed<S>> {
        let key = (workspace, channel);
        let mut feeds = locked(&self.feeds);
        let found = feeds.get(&key).and_then(Weak::upgrade);
        // One that has ended gives way: the workspace was forgotten and has begun anew.
        if let Some(feed) = found.as_ref().filter(|feed| !feed.has_ended()) {
            return feed.clone();
        }
        let feed = Arc::new(Feed {
            key: key.clone(),
            ticks: source.subscribe(),
            source,
            links: self.links.clone(),
            kept: Mutex::default(),
            hub: Arc::downgrade(&self.feeds),
        });
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
    /// Ticks when there may be something new.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.source.subscribe()
    }

    pub fn workspace(&self) -> WorkspaceSid {
        self.key.0
    }

    /// Whether there is nothing any more to watch; to be asked after [`Feed::offer`].
    pub fn has_ended(&self) -> bool {
        self.source.has_ended()
    }

    pub fn offer(&self, want: Want) -> Offer {
        let now = Instant::now();
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
        let message = Encoded::new(&v1::WatchRealtimeResponse { realtime: Some(realtime) });
        let version =
            before.map_or(0, |before| before.frame.version + u64::from(!before.figures.same_figures(&stamped.answer)));
        Kept { frame: Frame { message, version, encoded_at: now }, figures: stamped.answer, tick }
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
