//! Ends an HTTP/2 stream that its client has stopped reading.
//!
//! A layer can end a response only when its body is polled, and hyper polls a body only while the client's flow-control
//! window has room. A client that stops reading would therefore outlive its own deadline and hold what its stream holds.
//! So each stream runs in a task that the layers can put a fuse to: when the armed moment comes and the task is still
//! there, it is dropped, and dropping it resets the stream (CANCEL).
use super::{lifetime::Calls, rarely::Rarely};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio_util::task::TaskTracker;

/// How long a stream whose answer is decided may take to be read before it is reset: several round trips between
/// continents, and little beside any shutdown bound.
pub const READ_GRACE: Duration = Duration::from_secs(2);

type Event = Rarely<dyn Future<Output = ()> + Send>;

/// The events of which the first ends the stream. Shared by the stream's task and the layers inside it, which run in the
/// same task, so that the lock is never contended.
#[derive(Clone, Default)]
struct Fuse(Arc<Mutex<Vec<Event>>>);

tokio::task_local! {
    static FUSE: Fuse;
}

impl Fuse {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        // A poisoned list is still a list of events: the worst that one of them does is fire.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        for event in self.events().iter_mut() {
            if Pin::new(event).poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// Resets the HTTP/2 stream that the caller is running in once `event` completes, unless the stream has ended by then.
/// Does nothing where [`is_fused`] says no.
pub fn arm(event: impl Future<Output = ()> + Send + 'static) {
    let _ = FUSE.try_with(|fuse| {
        let mut events = fuse.events();
        // Most streams have one, for as long as they last.
        events.reserve_exact(1);
        events.push(Rarely::new(Box::pin(event)));
    });
}

/// Whether the caller runs in the task of an HTTP/2 stream. On HTTP/1 a stalled write ends the connection instead.
pub fn is_fused() -> bool {
    FUSE.try_with(|_| ()).is_ok()
}

/// hyper's executor for one connection: runs each HTTP/2 stream as a task that is tracked, so that a shutdown can wait for
/// it, counted as a call of the connection, and fused.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    tasks: TaskTracker,
    calls: Calls,
}

impl Streams {
    pub fn new(tasks: TaskTracker, calls: Calls) -> Self {
        Self { tasks, calls }
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let call = self.calls.begin();
        self.tasks.spawn(async move {
            let _call = call;
            until_blown(stream).await;
        });
    }
}

async fn until_blown(stream: impl Future<Output = ()>) {
    let fuse = Fuse::default();
    let mut stream = pin!(FUSE.scope(fuse.clone(), stream));
    poll_fn(|cx| match stream.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => fuse.poll(cx),
    })
    .await;
}
