//! The transport: one port that speaks HTTP/2 and HTTP/1, over one router.
//!
//! What it promises the rest of the house:
//! - A call that panics is answered (`panic`), a caller is known before anything of a call is read (`entrance`, `leased`), a call is bounded by its caller's deadline to its last byte (`deadline`), and
//!   the streams of library services end when the server shuts down (`drain`). These are tower layers; a client that stops
//!   reading cannot escape them (`fuse`).
//! - No peer holds a connection without speaking, or without reading (`guard`), or a call by sending it slowly (`body`),
//!   or keeps us busy with frames that ask for nothing (`frames`); no connection lives or idles for ever (`lifetime`).
//! - No peer takes the connections of the others (`peers`), no number of peers takes more than the bounds say
//!   (`connection`), and a full file table costs no core (`accept`).
//! - A shutdown ends within its bound whatever clients do, and nothing of a call is left running after it.
//! - Browsers may speak gRPC-Web (`web`); everything within sees gRPC.
//! - Health says what the server is ready for (`health`), and every call and connection is counted (`traffic`).
//!
//! It knows nothing of what the router answers.
mod accept;
mod body;
mod connection;
mod deadline;
mod denials;
mod drain;
mod entrance;
mod frames;
mod fuse;
mod guard;
mod health;
mod leased;
mod lifetime;
mod panic;
mod patient;
mod peer;
mod peers;
mod plain;
mod rarely;
mod refusal;
#[cfg(test)]
mod tests;
mod traffic;
mod web;

pub use accept::Accept;
pub use connection::Connections;
pub use deadline::DeadlineLayer;
#[doc(hidden)] // open for fuzz/
pub use deadline::parse as parse_timeout;
pub use denials::totals as callers_denied;
pub use drain::{DrainLayer, is_library_stream};
pub use entrance::{Browsing, EntranceLayer, is_health, is_health_or_reflection, is_reflection};
pub use health::Health;
pub use panic::PanicLayer;
pub use peer::{Peer, PeerCertificate, network};
pub use plain::{LastWords, Wording, wordless};
pub use traffic::{Rpc, Seen, Templates, Traffic, TrafficLayer};

use axum::{Router, body::Body};
use connection::{End, Stop};
use http::{Request, StatusCode};
use peers::Room;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, service::Routes};
use tower::{Layer, util::option_layer};
use tower_http::cors::CorsLayer;
use traffic::Connected;
use web::WebLayer;

/// How long, after everything was cut, tasks may take to notice. Only a handler that blocks its thread takes any time.
const UNWIND: Duration = Duration::from_millis(500);

/// What a server of this kind can be told.
#[derive(Clone)]
pub struct Settings {
    pub connections: Connections,
    /// Bounds every gRPC call, streams included, whatever deadline its caller names. None by default: a watch lasts.
    pub longest_call: Option<Duration>,
    /// The paths whose streams are ended when the server shuts down: those whose own code would not, and those that might
    /// not be read, since code cannot end what is not read. Not for streams that owe answers: what is not ready when the
    /// server shuts down is not waited for.
    pub drained: fn(&str) -> bool,
    /// The paths whose request bodies last as long as their callers like; those of the others have a bound.
    pub lasting: fn(&str) -> bool,
    /// Who is let in, and to what without asking. Everybody to everything by default.
    pub entrance: EntranceLayer,
    /// What plain HTTP is told where the transport answers. The status alone by default.
    pub wording: Wording,
    /// Which pages of other origins may read; none by default.
    pub cors: Option<CorsLayer>,
    /// Where calls and connections are counted.
    pub traffic: Arc<Traffic>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: Connections::default(),
            longest_call: None,
            drained: is_library_stream,
            lasting: is_reflection,
            entrance: EntranceLayer::new(None, is_health),
            wording: wordless,
            cors: None,
            traffic: Arc::default(),
        }
    }
}

/// What happened until the server was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Connections accepted in all.
    pub accepted: u64,
    /// Connections that were still open when the bound had passed, and were cut.
    pub cut: u64,
    /// Connections that were closed at once, since their peers had as many as they may.
    pub refused: u64,
}

/// The router of gRPC's routes and of plain HTTP's, which has no fallback. What neither knows is answered in the caller's
/// own terms: UNIMPLEMENTED to gRPC, 404 in these words to HTTP.
pub fn router(routes: Routes, plain: Router, wording: Wording) -> Router {
    let unknown = move |request: Request<Body>| async move {
        if refusal::is_grpc(&request) {
            return refusal::trailers_only(Status::unimplemented("there is no such method"), Body::empty());
        }
        let sentence = format!("The requested resource {} was not found", request.uri().path());
        wording(StatusCode::NOT_FOUND, &sentence).map(Body::from)
    };
    routes.into_axum_router().merge(plain).fallback(unknown)
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
    // `with_state` lays the routes out once, rather than for each request.
    let drain = DrainLayer::new(shutdown.clone(), settings.drained);
    let service = DeadlineLayer::new(settings.longest_call).layer(drain.layer(router.with_state(())));
    let entrance = settings.entrance.clone().with(settings.connections.max_header_bytes, settings.wording);
    let service = PanicLayer::new(settings.wording).layer(entrance.layer(service));
    let traffic = settings.traffic.clone();
    // Within the translation, where a call's status still stands in its trailers.
    let service = WebLayer.layer(TrafficLayer(traffic.clone()).layer(service));
    // In front of the entrance: a browser asks without credentials whether it may show some, and reads refusals too.
    let service = option_layer(settings.cors.clone()).layer(service);
    let cut = Arc::new(AtomicU64::new(0));
    let mut room = Room::new(&settings.connections, traffic.clone());
    let mut accepted = 0;
    let settings = Arc::new(settings);
    while let Some((io, place)) = shutdown.run_until_cancelled(room.next(&mut acceptor)).await {
        accepted += 1;
        let (service, stop, cut) = (service.clone(), stop.clone(), cut.clone());
        let (settings, streams) = (settings.clone(), tasks.clone());
        let connected = Connected::on(&traffic);
        tasks.spawn(async move {
            let _place = (place, connected);
            if connection::run(io, service, &settings, streams, &stop).await == End::Cut {
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
    Outcome { accepted, cut: cut.load(Ordering::Relaxed), refused: traffic.refused.load(Ordering::Relaxed) }
}
