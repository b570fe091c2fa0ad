//! The page, as it lies in the binary: what people would call a bundle, but that nothing was bundled.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use xxhash_rust::xxh3::xxh3_128;

struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const fn asset(path: &'static str, kind: &'static str, text: &'static str) -> Asset {
    Asset { path, kind, text }
}

static ASSETS: [Asset; 9] = [
    asset("/", HTML, include_str!("assets/index.html")),
    asset("/wallboard/board.css", CSS, include_str!("assets/board.css")),
    asset("/wallboard/board.js", SCRIPT, include_str!("assets/board.js")),
    asset("/wallboard/session.js", SCRIPT, include_str!("assets/session.js")),
    asset("/wallboard/settings.js", SCRIPT, include_str!("assets/settings.js")),
    asset("/wallboard/source.js", SCRIPT, include_str!("assets/source.js")),
    asset("/wallboard/trend.js", SCRIPT, include_str!("assets/trend.js")),
    asset("/wallboard/view.js", SCRIPT, include_str!("assets/view.js")),
    asset("/wallboard/icon.svg", SVG, include_str!("assets/icon.svg")),
];

pub fn is_one(path: &str) -> bool {
    ASSETS.iter().any(|asset| asset.path == path)
}

pub fn router() -> Router {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let validator = HeaderValue::from_str(&format!("\"{:032x}\"", xxh3_128(asset.text.as_bytes())));
        let validator = validator.unwrap_or_else(|_| unreachable!("a validator is hexadecimal digits"));
        let answer = move |headers: HeaderMap| {
            let answer = asset.answer(&headers, &validator);
            async { answer }
        };
        router.route(asset.path, get(answer))
    })
}

impl Asset {
    /// Kept by browsers and asked for again each time, so that a new version is there with the next look.
    fn answer(&self, headers: &HeaderMap, validator: &HeaderValue) -> Response {
        let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, validator));
        let mut response = Response::new(if is_known { Body::empty() } else { Body::from(self.text) });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        }
        response.headers_mut().insert(ETAG, validator.clone());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// Whether one of a list of validators is this one; a proxy that packs what passes may have made it weak.
fn names(list: &HeaderValue, validator: &HeaderValue) -> bool {
    let (Ok(list), Ok(validator)) = (list.to_str(), validator.to_str()) else { return false };
    list.split(',').any(|tag| tag.trim().trim_start_matches("W/") == validator)
}
