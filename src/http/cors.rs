//! Pages of other origins may read, where `--http-cors-origin` names them, and call the services in gRPC-Web, where it does
//! so one by one.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may go by what it was told.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// What clients in browsers send beside what every page does: of the event stream, of gRPC-Web, and of a trace.
const ASKED: [&str; 6] = ["last-event-id", "grpc-timeout", "x-grpc-web", "x-user-agent", "traceparent", "tracestate"];
/// How a call in gRPC-Web went, where there is nothing else to say.
const ANSWERED: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

/// `*` is every origin, and nothing that a browser adds by itself (a password it remembers, a certificate): what a page
/// shows there it must have from its user. Nor may it POST, since on a server that asks nobody who they are any page would
/// then write. Exact origins are trusted with all that. Without any, browsers read nothing.
pub fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let asked = ASKED.map(HeaderName::from_static).into_iter().chain([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH]);
    let read = ANSWERED.map(HeaderName::from_static).into_iter().chain([ETAG, RETRY_AFTER, WWW_AUTHENTICATE]);
    let layer = CorsLayer::new()
        .allow_headers(asked.collect::<Vec<_>>())
        .expose_headers(read.collect::<Vec<_>>())
        .max_age(REMEMBERED);
    Some(if origins.iter().any(|origin| origin == "*") {
        layer.allow_origin(AllowOrigin::any()).allow_methods([Method::GET, Method::HEAD])
    } else {
        let layer = layer.allow_origin(AllowOrigin::list(origins.iter().cloned())).allow_credentials(true);
        layer.allow_methods([Method::GET, Method::HEAD, Method::POST])
    })
}
