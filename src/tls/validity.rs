//! From when until when a certificate is valid, and for whom.

use std::time::{SystemTime, UNIX_EPOCH};

use x509_parser::prelude::{FromDer, X509Certificate};

/// In seconds since 1970, both inclusive; and what keeps clients from taking it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub not_before_s: i64,
    pub not_after_s: i64,
    /// It is an authority's own (CA:TRUE): strict clients take none of these from a server.
    pub is_authority: bool,
}

impl Validity {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Result<Validity, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let validity = certificate.validity();
        Ok(Validity {
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
            is_authority: certificate.is_ca(),
        })
    }

    /// Whole days from `now_s` to the end; negative once it has passed.
    pub fn days_left(&self, now_s: i64) -> i64 {
        (self.not_after_s - now_s).div_euclid(24 * 60 * 60)
    }

    pub fn has_ended(&self, now_s: i64) -> bool {
        now_s > self.not_after_s
    }

    /// The end, for people.
    pub fn end(&self) -> String {
        let since = std::time::Duration::from_secs(self.not_after_s.unsigned_abs());
        humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
    }
}

#[expect(clippy::disallowed_methods, reason = "certificates end by the calendar; no fact depends on it")]
pub(super) fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
