//! One feed for each thing that somebody watches: the state, encoded once for all its watchers.
//!
//! Invariants of a [`Feed`]:
//! - no two encodings, and no two questions, begin within [`ENCODING_INTERVAL`];
//! - a frame that is handed out shows the latest figures, or those of a moment after its watcher wanted them, and it has
//!   been there for at most [`MOST_FRAME_AGE`];
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
use super::encode::Links;
use super::source::{Asked, Asking, Source};
use crate::event::WorkspaceSid;
use crate::limits;
use crate::pipeline::AskError;

/// Least time between two encodings of one feed.
pub const ENCODING_INTERVAL: Duration = limits::WATCH_MIN_INTERVAL_MIN;

/// The oldest that a frame may be when it is handed to the transport.
pub const MOST_FRAME_AGE: Duration = limits::WATCH_MESSAGE_AGE;

type Feeds<S> = Mutex<HashMap<<S as Source>::Key, Weak<Feed<S>>>>;

/// How a state is written for those who watch.
pub type Form<S> = fn(<S as Source>::Message) -> Encoded;

/// All feeds of one form. A feed lives as long as its watchers.
pub struct Hub<S: Source> {
    links: Arc<Links>,
    form: Form<S>,
    feeds: Arc<Feeds<S>>,
    stop: CancellationToken,
}

/// The figures of one key, for its watchers.
pub struct Feed<S: Source> {
    key: S::Key,
    source: Arc<S>,
    ticks: watch::Receiver<u64>,
    links: Arc<Links>,
    form: Form<S>,
    board: Mutex<Board<S>>,
    hub: Weak<Feeds<S>>,
    /// Rung by the feed's crier when there may be something new.
    bell: Bell,
    is_stopping: AtomicBool,
    /// Ends the crier when it is dropped.
    _deserted: oneshot::Sender<Infallible>,
}

/// What a feed knows.
struct Board<S: Source> {
    kept: Option<Kept<S>>,
    is_asking: bool,
    /// Those who asked too much are told when to come again.
    not_before: Option<Instant>,
    /// Why there is nothing more.
    failure: Option<AskError>,
}

/// A state, encoded.
#[derive(Clone, Debug)]
pub struct Frame {
    pub message: Encoded,
    /// Which figures it shows.
    pub version: u64,
    /// Just before its figures were read, or asked for.
    pub encoded_at: Instant,
    /// When its figures were there: as `encoded_at`, but where they had to be asked for.
    arrived_at: Instant,
}

/// The latest frame, what it shows, and the tick up to which that is known to be the latest.
struct Kept<S: Source> {
    frame: Frame,
    figures: S::Figures,
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
    /// With the tick up to which there is nothing newer.
    Frame(Frame, u64),
    /// There will be one, but not before this moment.
    NotBefore(Instant),
    /// It has been asked for: the bell will ring.
    Asked,
    /// The figures were still the same at this tick.
    Unchanged(u64),
    /// There will be none any more.
    Over(AskError),
}

impl<S: Source> Hub<S> {
    /// Feeds end when `stop` is cancelled.
    pub fn new(links: Arc<Links>, form: Form<S>, stop: CancellationToken) -> Hub<S> {
        Hub { links, form, feeds: Arc::default(), stop }
    }

    /// The feed of the source's key; the source itself is used if there is none yet. To be asked within a runtime.
    pub fn feed(&self, source: Arc<S>) -> Arc<Feed<S>> {
        let key = source.key();
        let mut feeds = locked(&self.feeds);
        let found = feeds.get(&key).and_then(Weak::upgrade);
        // One that has ended gives way: the workspace was forgotten and has begun anew.
        if let Some(feed) = found.as_ref().filter(|feed| !feed.is_over()) {
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
            board: Mutex::new(Board { kept: None, is_asking: false, not_before: None, failure: None }),
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
        self.source.workspace()
    }

    /// Whether there is nothing any more to watch; to be asked after [`Feed::offer`].
    pub fn has_ended(&self) -> bool {
        self.source.has_ended()
    }

    /// Whether nobody gets anything here any more.
    fn is_over(&self) -> bool {
        self.has_ended() || locked(&self.board).failure.is_some()
    }

    /// `since` is when the watcher was first told that what it wants has been asked for: what was read after that will do,
    /// though things have gone on.
    pub fn offer(self: &Arc<Self>, want: Want, since: Option<Instant>, now: Instant) -> Offer {
        let mut board = locked(&self.board);
        if let Some(failure) = &board.failure {
            return Offer::Over(failure.clone());
        }
        // The tick is read before the state: a state that is newer than its tick is only looked at once more.
        let tick = *self.ticks.borrow();
        let mut not_before = board.not_before;
        if let Some(kept) = board.kept.as_mut() {
            if kept.tick != tick && self.source.latest().is_some_and(|latest| S::same(&kept.figures, &latest.answer)) {
                kept.tick = tick;
            }
            if kept.tick == tick || since.is_some_and(|since| kept.frame.encoded_at >= since) {
                if matches!(want, Want::OtherThan(version) if version == kept.frame.version) {
                    return Offer::Unchanged(kept.tick);
                }
                if want.is_met_by(&kept.frame) && now - kept.frame.arrived_at <= MOST_FRAME_AGE {
                    return Offer::Frame(kept.frame.clone(), kept.tick);
                }
            }
            not_before = not_before.max(Some(kept.frame.encoded_at + ENCODING_INTERVAL));
        }
        if let Some(not_before) = not_before.filter(|not_before| now < *not_before) {
            return Offer::NotBefore(not_before);
        }
        if let Some(stamped) = self.source.latest() {
            let frame = self.write(&mut board, Asked { asked_at: now, tick, stamped }, now);
            return Offer::Frame(frame, tick);
        }
        if !board.is_asking {
            board.is_asking = true;
            let asking = self.source.clone().ask();
            tokio::spawn(receive(Arc::downgrade(self), asking));
        }
        Offer::Asked
    }

    fn write(&self, board: &mut Board<S>, asked: Asked<S::Figures>, arrived_at: Instant) -> Frame {
        let Asked { asked_at, tick, stamped } = asked;
        let message = (self.form)(S::message(&self.links, self.workspace(), &stamped));
        let version = board
            .kept
            .as_ref()
            .map_or(0, |before| before.frame.version + u64::from(!S::same(&before.figures, &stamped.answer)));
        let frame = Frame { message, version, encoded_at: asked_at, arrived_at };
        board.kept = Some(Kept { frame: frame.clone(), figures: stamped.answer, tick });
        frame
    }

    fn take(&self, answer: Result<Asked<S::Figures>, AskError>) {
        let mut board = locked(&self.board);
        board.is_asking = false;
        board.not_before = None;
        match answer {
            Ok(asked) => drop(self.write(&mut board, asked, Instant::now())),
            // The watch goes on, later than it should.
            Err(AskError::Overloaded(full)) => {
                board.not_before = Some(Instant::now() + Duration::from_millis(full.retry_after_ms));
            }
            Err(failure) => board.failure = Some(failure),
        }
    }

    /// Wakes everybody who waits.
    async fn ring(&self) {
        let mut place = Some(0);
        while let Some(from) = place {
            place = self.bell.ring_from(from);
            if place.is_some() {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Waits for what was asked for, and tells the watchers.
async fn receive<S: Source>(feed: Weak<Feed<S>>, asking: Asking<S::Figures>) {
    let answer = asking.await;
    let Some(feed) = feed.upgrade() else { return };
    feed.take(answer);
    feed.ring().await;
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
        feed.ring().await;
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
