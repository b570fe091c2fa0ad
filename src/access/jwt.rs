//! Signed tokens (RFC 7519): checked by keys that the operator gave, never by what the token says of itself.
//!
//! The checks are our own, on ring's signatures: their whole point is what they refuse, and each refusal has a test. A
//! claim of the wrong type is a refusal, never a claim that is not there.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::jwks::KeySet;
use super::{Admitted, Denied, Lease, Verdict, book};
use crate::event::Millis;
use crate::limits;
use crate::pipeline::{Caller, CallerName, Role, Roles};

const LEEWAY_MS: i64 = limits::JWT_LEEWAY.as_millis() as i64;

/// What a token must say, and where it says whom it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub issuer: String,
    pub audience: String,
    pub account_claim: Claim,
    pub roles_claim: Claim,
}

/// Where a claim stands: its name, or a JSON pointer to it (`/realm_access/roles`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim(String);

impl Claim {
    /// # Errors
    /// Why it is none.
    pub fn new(text: &str) -> Result<Claim, String> {
        if text.is_empty() {
            Err("must be a claim's name, or a JSON pointer".to_owned())
        } else {
            Ok(Claim(text.to_owned()))
        }
    }

    fn of<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        if self.0.starts_with('/') { claims.pointer(&self.0) } else { claims.get(&self.0) }
    }
}

/// Whether a token has the form of a signed one: three parts. Where it has, it is taken as nothing else.
pub fn is_like_one(token: &str) -> bool {
    token.split('.').count() == 3
}

/// Whom the token is of, at this time.
pub fn verify(token: &str, keys: &KeySet, expected: &Expected, now: Millis) -> Verdict {
    verified(token, keys, expected, now).map_err(|refused| {
        tracing::debug!(reason = refused.why, "a signed token was refused");
        refused.denied
    })
}

/// For the log why; for the caller only whether its token is worth renewing.
struct Refused {
    why: &'static str,
    denied: Denied,
}

fn wrong(why: &'static str) -> Refused {
    Refused { why, denied: Denied::Wrong }
}

fn verified(token: &str, keys: &KeySet, expected: &Expected, now: Millis) -> Result<Admitted, Refused> {
    let (signed, signature) = token.rsplit_once('.').ok_or(wrong("not of three parts"))?;
    let (header, payload) = signed.split_once('.').ok_or(wrong("not of three parts"))?;
    let header = object(header).ok_or(wrong("the header is no JSON object"))?;
    if header.contains_key("crit") {
        return Err(wrong("the header has critical extensions, and none is known here"));
    }
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(wrong("the header names no algorithm"))?;
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(wrong("kid is no text")),
    };
    // A key is for one algorithm: `none`, HS256 and whatever else a token may say find no key.
    let key = keys.find(id, algorithm).ok_or(wrong("no key has this kid and algorithm"))?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong("the signature is no base64url"))?;
    if !key.has_signed(signed.as_bytes(), &signature) {
        return Err(wrong("the signature is not that of the key"));
    }
    let claims = Value::Object(object(payload).ok_or(wrong("the claims are no JSON object"))?);
    let until_ms = in_time(&claims, now)?;
    if claims.get("iss").and_then(Value::as_str) != Some(&expected.issuer) {
        return Err(wrong("another issuer"));
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == expected.audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(&expected.audience)),
        _ => false,
    };
    if !is_for_us {
        return Err(wrong("another audience"));
    }
    let left = Duration::from_millis(until_ms.saturating_sub(now.0).max(0).unsigned_abs());
    let until = Instant::now().checked_add(left);
    let lease = Lease { taken_away: key.taken_away.clone(), until };
    Ok(Admitted { caller: caller(&claims, expected)?, name: name(&claims), lease, mark: None })
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// When the token ends, in milliseconds since 1970.
fn in_time(claims: &Value, now: Millis) -> Result<i64, Refused> {
    let ends = claims.get("exp").and_then(Value::as_f64).ok_or(wrong("no exp that is a number"))?;
    // Seconds, possibly with a fraction; a conversion from floats saturates.
    let until_ms = ((ends * 1000.0) as i64).saturating_add(LEEWAY_MS);
    if now.0 >= until_ms {
        return Err(Refused { why: "expired", denied: Denied::Expired });
    }
    let begins = match claims.get("nbf") {
        None => None,
        Some(begins) => Some(begins.as_f64().ok_or(wrong("nbf is no number"))?),
    };
    if begins.is_some_and(|begins| ((begins * 1000.0) as i64).saturating_sub(LEEWAY_MS) > now.0) {
        return Err(wrong("not valid yet"));
    }
    Ok(until_ms)
}

/// What the log calls the caller: whom the issuer says that the token is about.
fn name(claims: &Value) -> CallerName {
    let subject: Option<String> = claims.get("sub").and_then(Value::as_str).map(|sub| sub.chars().take(100).collect());
    CallerName(subject.map_or_else(|| "a signed token without a subject".into(), Arc::from))
}

/// Roles that are not ours are other programs'.
fn caller(claims: &Value, expected: &Expected) -> Result<Caller, Refused> {
    let account =
        expected.account_claim.of(claims).and_then(Value::as_str).ok_or(wrong("no account that is a text"))?;
    let scope = book::scope(account).map_err(|_| wrong("the account is neither a sid nor all"))?;
    let roles: Roles = match expected.roles_claim.of(claims) {
        None => Roles::NONE,
        Some(Value::String(words)) => words.split_ascii_whitespace().filter_map(Role::named).collect(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).filter_map(Role::named).collect(),
        Some(_) => return Err(wrong("the roles are neither a text nor a list")),
    };
    Ok(Caller { scope, roles })
}
