//! The wallboard: a page that this server serves by itself, and what it pushes to it.
//!
//! The page ([`assets`]) is embedded, loads nothing from anywhere else, and says nothing of anybody: it needs no
//! credentials. What it shows comes by one stream of server-sent events ([`stream`]): real-time figures at each change, and
//! at most each second those of three windows with their trends ([`windows`]). [`lists`] are what can be chosen.
//!
//! A page cannot keep a token out of its scripts' reach, so that where callers need credentials a browser shows a
//! session's cookie, which it gets for a token at the [`door`]. It opens this room's own reads and nothing else.

mod asked;
mod assets;
mod door;
mod lists;
mod stream;
mod windows;

use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method};
use serde::Serialize;

use crate::api::Api;
use crate::http::not_allowed;
pub use door::Door;

const STREAM: &str = "/wallboard/stream";
const WORKSPACES: &str = "/wallboard/workspaces";
const CHANNELS: &str = "/wallboard/channels";
const SESSION: &str = "/wallboard/session";

/// The page takes nothing from anywhere but this server, and is a part of no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Whether anybody may ask for this path: the page, and the door.
pub fn is_open(path: &str) -> bool {
    path == SESSION || assets::is_one(path)
}

/// Whether a session's cookie is enough to ask for this.
pub fn takes_session(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && matches!(path, STREAM | WORKSPACES | CHANNELS)
}

/// Whether this path is the wallboard's, whose callers are browsers.
pub fn is_ours(path: &str) -> bool {
    path == "/" || path.starts_with("/wallboard/")
}

/// Whether what is answered under this path lasts as long as its client likes.
pub fn is_stream(path: &str) -> bool {
    path == STREAM
}

pub fn router(api: &Api, door: Door) -> Router {
    let lists = Router::new()
        .route(WORKSPACES, get(lists::workspaces))
        .route(CHANNELS, get(lists::channels))
        .with_state(api.clone());
    let streams = Router::new().route(STREAM, get(stream::open)).with_state(stream::Desk::new(api));
    let session = get(door::state).post(door::sign_in).delete(door::sign_out);
    let session = Router::new().route(SESSION, session).with_state(door);
    let all = assets::router().merge(lists).merge(streams).merge(session);
    all.method_not_allowed_fallback(not_allowed).layer(map_response(guarded))
}

fn json<T: Serialize>(told: &T) -> Response {
    let text = serde_json::to_vec(told).unwrap_or_else(|error| unreachable!("names and numbers are JSON: {error}"));
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What stands on every answer of this room.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let always = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
