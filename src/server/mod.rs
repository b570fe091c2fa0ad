//! The transport: one port that speaks HTTP/2 and HTTP/1, over one router.
//!
//! What it promises the rest of the house:
//! - A call that panics is answered (`panic`), a call is bounded by its caller's deadline to its last byte (`deadline`), and
//!   the streams of library services end when the server shuts down (`drain`). These are tower layers; a client that stops
//!   reading cannot escape them (`fuse`).
//! - No peer holds a connection without speaking, or without reading (`guard`), no number of peers takes more than the
//!   bounds say (`connection`), and a full file table costs no core (`accept`).
//! - A shutdown ends within its bound whatever clients do, and nothing of a call is left running after it.
//! - Health says what the server is ready for (`health`).
//!
//! It knows nothing of what the router answers.
mod accept;
mod connection;
mod deadline;
mod drain;
mod fuse;
mod guard;
mod health;
mod panic;
mod peer;
mod refusal;
#[cfg(test)]
mod tests;

pub use accept::Accept;
pub use connection::Connections;
pub use deadline::DeadlineLayer;
#[doc(hidden)] // open for fuzz/
pub use deadline::parse as parse_timeout;
pub use drain::{DrainLayer, is_library_stream};
pub use health::Health;
pub use panic::PanicLayer;
pub use peer::{Peer, PeerCertificate};

use axum::{Router, body::Body, response::IntoResponse};
use connection::{End, Stop};
use http::{Request, Response, StatusCode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, service::Routes};
use tower::Layer;

/// How long, after everything was cut, tasks may take to notice. Only a handler that blocks its thread takes any time.
const UNWIND: Duration = Duration::from_millis(500);

/// The least time between two log lines that say that all connections are taken.
const FULL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What a server of this kind can be told.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub connections: Connections,
    /// Bounds every gRPC call, streams included, whatever deadline its caller names. None by default: a watch lasts.
    pub longest_call: Option<Duration>,
    /// The paths whose streams are ended when the server shuts down: those whose own code would not, and those that might
    /// not be read, since code cannot end what is not read. Not for streams that owe answers: what is not ready when the
    /// server shuts down is not waited for.
    pub drained: fn(&str) -> bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connections: Connections::default(), longest_call: None, drained: is_library_stream }
    }
}

/// What happened until the server was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Connections accepted in all.
    pub accepted: u64,
    /// Connections that were still open when the bound had passed, and were cut.
    pub cut: u64,
}

/// The router of `routes`. What it does not know is answered in the caller's own terms: UNIMPLEMENTED to gRPC, 404 to HTTP.
pub fn router(routes: Routes) -> Router {
    routes.into_axum_router().fallback(unknown)
}

async fn unknown(request: Request<Body>) -> Response<Body> {
    if refusal::is_grpc(&request) {
        refusal::trailers_only(Status::unimplemented("there is no such method"), Body::empty())
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// Serves `router` on what `acceptor` accepts until `shutdown` fires; then accepts no more, asks every connection to finish
/// the calls in flight, and, `bound` later, cuts what is left. Returns at most half a second after that.
///
/// When the future is dropped before, everything is cut at once.
pub async fn serve<A: Accept>(
    mut acceptor: A,
    router: Router,
    settings: Settings,
    shutdown: CancellationToken,
    bound: Duration,
) -> Outcome {
    let tasks = TaskTracker::new();
    let stop = Stop { graceful: shutdown.clone(), force: CancellationToken::new() };
    let _cut_on_drop = stop.force.clone().drop_guard();
    let builder = settings.connections.builder(tasks.clone());
    // `with_state` lays the routes out once, rather than for each request.
    let drain = DrainLayer::new(shutdown.clone(), settings.drained);
    let service = PanicLayer.layer(DeadlineLayer::new(settings.longest_call).layer(drain.layer(router.with_state(()))));
    let cut = Arc::new(AtomicU64::new(0));
    let mut slots = Slots::new(settings.connections.max_connections);
    let mut accepted = 0;
    while let Some((io, slot)) = shutdown.run_until_cancelled(take(&mut slots, &mut acceptor)).await {
        accepted += 1;
        let (service, builder, stop, cut) = (service.clone(), builder.clone(), stop.clone(), cut.clone());
        tasks.spawn(async move {
            let _slot = slot;
            if connection::run(io, service, &builder, &settings.connections, &stop).await == End::Cut {
                cut.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    drop(acceptor);
    tasks.close();
    if timeout(bound, tasks.wait()).await.is_err() {
        stop.force.cancel();
        if timeout(UNWIND, tasks.wait()).await.is_err() {
            tracing::error!(tasks = tasks.len(), "tasks that block their threads are left behind");
        }
    }
    Outcome { accepted, cut: cut.load(Ordering::Relaxed) }
}

/// The next connection, once there is a slot for it.
async fn take<A: Accept>(slots: &mut Slots, acceptor: &mut A) -> ((A::Stream, Peer), OwnedSemaphorePermit) {
    let slot = slots.take().await;
    (accept::next(acceptor).await, slot)
}

/// The room for connections.
struct Slots {
    free: Arc<Semaphore>,
    logged: Option<Instant>,
}

impl Slots {
    fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))), logged: None }
    }

    async fn take(&mut self) -> OwnedSemaphorePermit {
        if self.free.available_permits() == 0 && self.logged.is_none_or(|logged| logged.elapsed() >= FULL_LOG_INTERVAL)
        {
            self.logged = Some(Instant::now());
            tracing::warn!("all connections are taken; new ones wait until others end");
        }
        match self.free.clone().acquire_owned().await {
            Ok(slot) => slot,
            Err(closed) => unreachable!("nobody closes the semaphore of connections: {closed}"),
        }
    }
}
