//! Published answers: what readers see without asking the owner.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::ask::Stamped;
use super::clock::Clock;
use super::passed::Passed;
use crate::engine::{ChannelFilter, Realtime};
use crate::event::{AccountSid, Millis, WorkspaceSid};

/// The real-time answer of one (workspace, channel filter) that somebody asked for. Its owner publishes here before it
/// replies to an ingest, and when time alone changes a figure.
pub struct Topic {
    pub workspace: WorkspaceSid,
    pub filter: ChannelFilter,
    pub account: AccountSid,
    view: Mutex<View>,
    /// Ticks when the figures change.
    changes: watch::Sender<u64>,
    /// Ticks when anything may have changed in the workspace.
    touches: watch::Sender<u64>,
    /// The end of the last group that the owner has applied and published.
    passed: Arc<Passed>,
    clock: Arc<dyn Clock>,
    /// When it was last read, in the clock's milliseconds; topics that nobody wants are dropped.
    asked_at: AtomicI64,
    /// Nothing more comes: the workspace was forgotten.
    ended: AtomicBool,
}

#[derive(Clone)]
struct View {
    revision: u64,
    made_at: Millis,
    realtime: Arc<Realtime>,
}

impl Topic {
    pub(super) fn new(
        workspace: WorkspaceSid,
        filter: ChannelFilter,
        realtime: Realtime,
        revision: u64,
        passed: Arc<Passed>,
        clock: Arc<dyn Clock>,
    ) -> Topic {
        let made_at = clock.now();
        Topic {
            workspace,
            filter,
            account: realtime.account,
            view: Mutex::new(View { revision, made_at, realtime: Arc::new(realtime) }),
            changes: watch::Sender::new(0),
            touches: watch::Sender::new(0),
            passed,
            asked_at: AtomicI64::new(Millis::MIN.0),
            ended: AtomicBool::new(false),
            clock,
        }
    }

    /// The latest figures, as they are now.
    ///
    /// The position passed is read before the view: whatever was acknowledged up to it is in the view. Where time has
    /// made the view untrue and the owner has not come round yet, `as_of` says up to when it was true.
    pub fn latest(&self) -> Stamped<Arc<Realtime>> {
        let passed = self.passed.position();
        let view = self.view();
        let now = self.clock.now();
        let as_of = match view.realtime.valid_until {
            Some(until) if until <= now => until.minus(1).max(view.made_at),
            _ => now.max(view.made_at),
        };
        Stamped { revision: passed.max(view.revision) as i64, as_of, answer: view.realtime }
    }

    /// Whether [`Topic::latest`] is true of this very moment.
    pub fn is_current(&self) -> bool {
        let (view, now) = (self.view(), self.clock.now());
        view.made_at <= now && view.realtime.valid_until.is_none_or(|until| until > now)
    }

    /// Whether the workspace was forgotten. Whoever asks only after he has looked at an answer shows nothing old under
    /// a revision that has forgotten it.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.changes.send_modify(|ticks| *ticks += 1);
        self.touches.send_modify(|ticks| *ticks += 1);
    }

    /// Ticks when figures change, and in the end.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ticks whenever an event was taken of the workspace, whatever it changes, when these figures change, and in the end.
    pub fn subscribe_to_touches(&self) -> watch::Receiver<u64> {
        self.touches.subscribe()
    }

    pub(super) fn touch(&self) {
        self.asked_at.store(self.clock.now().0, Ordering::Relaxed);
    }

    pub(super) fn asked_at(&self) -> Millis {
        Millis(self.asked_at.load(Ordering::Relaxed))
    }

    pub(super) fn is_watched(&self) -> bool {
        self.changes.receiver_count() > 0
    }

    pub(super) fn publish(&self, realtime: Realtime, revision: u64, made_at: Millis) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = !view.realtime.same_figures(&realtime);
        let touched = changed || view.revision != revision;
        view.made_at = made_at;
        view.revision = revision;
        if changed || view.realtime.valid_until != realtime.valid_until {
            view.realtime = Arc::new(realtime);
        }
        drop(view);
        if changed {
            self.changes.send_modify(|ticks| *ticks += 1);
        }
        // Few topics have somebody who wants to know, and this is on the way of every event.
        if touched && self.touches.receiver_count() > 0 {
            self.touches.send_modify(|ticks| *ticks += 1);
        }
    }

    fn view(&self) -> View {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
