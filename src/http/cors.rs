//! Pages of other origins may read, where `--http-cors-origin` names them.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may go by what it was told.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// `*` is every origin, and nothing that a browser adds by itself (a password it remembers, a certificate): what a page
/// shows there it must have from its user. Exact origins are trusted with both. Without any, browsers read nothing.
pub fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let last_event_id = HeaderName::from_static("last-event-id");
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, last_event_id])
        .expose_headers([ETAG, RETRY_AFTER, WWW_AUTHENTICATE])
        .max_age(REMEMBERED);
    Some(if origins.iter().any(|origin| origin == "*") {
        layer.allow_origin(AllowOrigin::any())
    } else {
        layer.allow_origin(AllowOrigin::list(origins.iter().cloned())).allow_credentials(true)
    })
}
