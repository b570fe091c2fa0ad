//! A request of the page, as far as it can be read without knowing what it asks for.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::pipeline::Caller;

/// Who asks, with what.
pub struct Asked {
    pub caller: Caller,
    query: String,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked, Infallible> {
        // A call that came past the entrance is nobody's, and nobody may do anything.
        let caller = parts.extensions.get().copied().unwrap_or_else(Caller::nobody);
        Ok(Asked { caller, query: parts.uri.query().unwrap_or_default().to_owned() })
    }
}

impl Asked {
    /// The first value of this name, as pages write queries; empty where there is none that is text.
    pub fn word(&self, name: &str) -> String {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.filter(|(other, _)| *other == name).map(|(_, value)| value).next().unwrap_or_default();
        let value = found.replace('+', " ");
        percent_decode_str(&value).decode_utf8().map(|text| text.into_owned()).unwrap_or_default()
    }
}
