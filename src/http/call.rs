//! One call, as far as it can be read without knowing what it asks for, and its answer.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::gzip;
use super::kept::Written;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::pipeline::Caller;

/// Who calls, about which workspace, with what.
pub struct Call {
    pub caller: Caller,
    /// As it stands in the path.
    pub workspace_sid: String,
    query: Option<String>,
    known: Vec<HeaderValue>,
    takes_gzip: bool,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Call, Infallible> {
        // A call that came past the entrance is nobody's, and nobody may do anything.
        let caller = parts.extensions.get().copied().unwrap_or_else(Caller::nobody);
        // /v1/Workspaces/WS…/…
        let workspace_sid = parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned();
        let known = parts.headers.get_all(IF_NONE_MATCH).iter().cloned().collect();
        let (query, takes_gzip) = (parts.uri.query().map(str::to_owned), gzip::is_taken(&parts.headers));
        Ok(Call { caller, workspace_sid, query, known, takes_gzip })
    }
}

impl Call {
    pub fn parameters(&self) -> Parameters {
        Parameters::read(self.query.as_deref())
    }

    /// The answer, or that the caller has it already.
    pub fn reply(&self, answer: Result<Written, Problem>) -> Response {
        let Written { text, validator } = match answer {
            Ok(written) => written,
            Err(problem) => return problem.into_response(),
        };
        let is_known = self.known.iter().any(|known| names(known, validator.to_str().unwrap_or_default()));
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        keep_with(headers, validator);
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let packed = if self.takes_gzip { gzip::packed(&text) } else { None };
        if packed.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *response.body_mut() = packed.map_or_else(|| Body::from(text), Body::from);
        response
    }
}

/// What is the caller's own may be kept by it, and is asked for again each time.
fn keep_with(headers: &mut HeaderMap, validator: HeaderValue) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("authorization, accept-encoding"));
    headers.insert(ETAG, validator);
}

/// Whether one of a list of validators is this one, compared weakly; `*` is any.
fn names(list: &HeaderValue, validator: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let ours = opaque(validator);
    list.to_str().is_ok_and(|list| list.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == ours))
}
