//! What an error says beside its code.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A status, taken apart.
#[derive(Debug)]
pub struct Told {
    pub code: Code,
    pub reason: String,
    pub metadata: HashMap<String, String>,
    /// The fields of the violations, in their order.
    pub fields: Vec<String>,
    pub descriptions: Vec<String>,
    pub retry_after: Option<Duration>,
}

impl Told {
    pub fn metadata(&self, key: &str) -> &str {
        self.metadata.get(key).unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }
}

/// Takes a status apart, and checks what holds for each error: an ErrorInfo of this domain whose reason is
/// UPPER_SNAKE_CASE, and RetryInfo only under a code that a retry can help.
pub fn told(status: &Status) -> Told {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "tasktally", "{status:?}");
    let is_upper_snake = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    assert!(!info.reason.is_empty() && info.reason.bytes().all(is_upper_snake), "{status:?}");
    let retry_after = details.retry_info().map(|retry| retry.retry_delay.expect("RetryInfo names a delay"));
    if retry_after.is_some() {
        assert!(matches!(status.code(), Code::Unavailable | Code::ResourceExhausted), "{status:?}");
    }
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    Told {
        code: status.code(),
        reason: info.reason.clone(),
        metadata: info.metadata.clone(),
        fields: violations.iter().map(|violation| violation.field.clone()).collect(),
        descriptions: violations.iter().map(|violation| violation.description.clone()).collect(),
        retry_after,
    }
}

/// That a status is this error, that a caller is told to retry or not to, and that these are all the bad fields.
#[track_caller]
pub fn assert_told(status: &Status, code: Code, reason: &str, retry: bool, fields: &[&str]) -> Told {
    let told = told(status);
    assert_eq!((told.code, told.reason.as_str(), told.retry_after.is_some()), (code, reason, retry), "{status:?}");
    assert_eq!(told.fields, fields, "{status:?}");
    assert_eq!(told.descriptions.iter().filter(|text| text.is_empty()).count(), 0, "{status:?}");
    told
}
