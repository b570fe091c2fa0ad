//! TaskRouter's own forms over HTTP: the same questions, asked of the same pipeline, answered from the same state.
//!
//! A query becomes the request of the service that answers it ([`parameters`]), is decoded and asked as if it had come over
//! gRPC, and the message that answers it is written as TaskRouter's JSON ([`figures`]). So both ways give one answer, by
//! one code. What goes wrong becomes TaskRouter's error JSON in one place ([`problem`]); the transport's own refusals are
//! put into the same words ([`wording`]).

mod body;
mod call;
pub mod cors;
pub mod description;
mod events;
mod figures;
mod gzip;
mod kept;
mod parameters;
pub mod problem;
mod resources;
mod sender;
mod stream;
mod time;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use crate::api::Api;
use crate::taskrouter::answer::{CALLBACK_PATH, STREAM_PATH};
pub use events::read_raw;
use problem::Problem;

/// Whether the task router sends events to this path, which it may sign.
pub fn is_for_events(path: &str) -> bool {
    matches!(path, CALLBACK_PATH | STREAM_PATH)
}

/// Whether what is answered under this path lasts as long as its client likes.
pub fn is_stream(path: &str) -> bool {
    path.starts_with("/v1/Workspaces/") && path.ends_with("/RealTimeStatistics/Stream")
}

/// The paths that are answered here, as they are counted: a part in braces stands for anything.
pub const TEMPLATES: &[&str] = &[
    "/v1/Workspaces/{WorkspaceSid}/Statistics",
    "/v1/Workspaces/{WorkspaceSid}/RealTimeStatistics",
    "/v1/Workspaces/{WorkspaceSid}/CumulativeStatistics",
    "/v1/Workspaces/{WorkspaceSid}/RealTimeStatistics/Stream",
    CALLBACK_PATH,
    STREAM_PATH,
    description::PATH,
];

/// The template that a path fits.
pub fn template(path: &str) -> Option<&'static str> {
    let fits = |template: &str| {
        let parts = template.split('/').zip(path.split('/'));
        template.matches('/').count() == path.matches('/').count()
            && parts.into_iter().all(|(part, given)| part.starts_with('{') || part == given)
    };
    TEMPLATES.iter().copied().find(|template| fits(template))
}

/// Everything that is answered over HTTP, with its description if there is to be one; without a fallback, which is the
/// transport's.
pub fn router(api: &Api, is_described: bool) -> Router {
    Router::new()
        .route("/v1/Workspaces/{workspace_sid}/Statistics", get(resources::statistics))
        .route("/v1/Workspaces/{workspace_sid}/RealTimeStatistics", get(resources::realtime))
        .route("/v1/Workspaces/{workspace_sid}/CumulativeStatistics", get(resources::cumulative))
        .method_not_allowed_fallback(not_allowed)
        .with_state(resources::Counter::new(api))
        .merge(events_in(api))
        .merge(streams(api))
        .merge(if is_described { description() } else { Router::new() })
}

fn events_in(api: &Api) -> Router {
    Router::new()
        .route(CALLBACK_PATH, post(events::callback))
        .route(STREAM_PATH, post(events::stream))
        .method_not_allowed_fallback(not_allowed)
        .with_state(api.clone())
}

fn description() -> Router {
    Router::new().route(description::PATH, get(description::document)).method_not_allowed_fallback(not_allowed)
}

fn streams(api: &Api) -> Router {
    Router::new()
        .route("/v1/Workspaces/{workspace_sid}/RealTimeStatistics/Stream", get(stream::open))
        .method_not_allowed_fallback(not_allowed)
        .with_state(stream::Desk::new(api))
}

/// What the transport refuses, in the same words as everything else.
pub fn wording(status: StatusCode, sentence: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(Problem::new(status, sentence).text()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The head says which methods there are.
pub async fn not_allowed(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not supported by {path}")).into_response()
}
