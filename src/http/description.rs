//! `/v1/openapi.json`: what there is over HTTP, for programs.

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

/// Where it is found.
pub const PATH: &str = "/v1/openapi.json";

/// Written by hand; the tests hold it against what is answered.
const DOCUMENT: &str = include_str!("openapi.json");

pub async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], DOCUMENT).into_response()
}
