//! `X-Twilio-Signature`: HMAC-SHA1 under the account's auth token, in base64.
//!
//! What is signed is the full public URL, query and all. A form's fields follow it, sorted by name, each name and value
//! appended; a JSON body is named in the URL instead, by its SHA-256 as `bodySHA256`. Senders and the URL that they were
//! given may or may not spell out the port, so that both ways are good.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key};
use subtle::ConstantTimeEq as _;

/// The parameter of the URL that names a JSON body.
const BODY_SHA256: &str = "bodySHA256";

/// The signature of a form that is sent to this URL.
pub fn of_form<N: AsRef<str>, V: AsRef<str>>(token: &str, url: &str, pairs: &[(N, V)]) -> String {
    sign(token, &signed_text(url, pairs))
}

/// The signature of a JSON body that is sent to this URL, which names the body: see [`naming_body`].
pub fn of_body(token: &str, url: &str) -> String {
    sign(token, url)
}

/// The URL with the body's SHA-256 in its query.
pub fn naming_body(url: &str, body: &[u8]) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{BODY_SHA256}={}", hex(digest(&SHA256, body).as_ref()))
}

/// Whether this is the signature of the form.
pub fn is_of_form<N: AsRef<str>, V: AsRef<str>>(token: &str, url: &str, pairs: &[(N, V)], shown: &str) -> bool {
    is_signed(token, url, |url| signed_text(url, pairs), shown)
}

/// Whether this is the signature of the URL, and the URL names this body.
pub fn is_of_body(token: &str, url: &str, body: &[u8], shown: &str) -> bool {
    names_body(url, body) & is_signed(token, url, str::to_owned, shown)
}

/// Whether the URL names this body.
pub fn names_body(url: &str, body: &[u8]) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let named = query.split('&').find_map(|pair| pair.strip_prefix(BODY_SHA256)?.strip_prefix('='));
    let sum = hex(digest(&SHA256, body).as_ref());
    named.is_some_and(|named| bool::from(named.to_ascii_lowercase().as_bytes().ct_eq(sum.as_bytes())))
}

/// All ways of writing the URL are tried, whichever is right, so that the time tells nothing.
fn is_signed(token: &str, url: &str, signed: impl Fn(&str) -> String, shown: &str) -> bool {
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let Ok(shown) = STANDARD.decode(shown) else { return false };
    let ways = [url.to_owned(), with_port(url), without_port(url)];
    ways.iter().fold(false, |found, url| found | hmac::verify(&key, signed(url).as_bytes(), &shown).is_ok())
}

fn sign(token: &str, text: &str) -> String {
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn signed_text<N: AsRef<str>, V: AsRef<str>>(url: &str, pairs: &[(N, V)]) -> String {
    let mut sorted: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    sorted.sort_unstable();
    // A field that comes twice with one value counts once, as the vendor's libraries have it.
    sorted.dedup();
    sorted.into_iter().fold(url.to_owned(), |text, (name, value)| text + name + value)
}

/// Scheme, host and port, and what follows them.
fn taken_apart(url: &str) -> Option<(&str, &str, Option<&str>, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match authority.rsplit_once(':').filter(|(_, port)| is_port(port)) {
        Some((host, port)) => Some((scheme, host, Some(port), after)),
        None => Some((scheme, authority, None, after)),
    }
}

fn with_port(url: &str) -> String {
    match taken_apart(url) {
        Some((scheme, host, None, after)) => {
            let port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
            format!("{scheme}://{host}:{port}{after}")
        }
        Some(_) | None => url.to_owned(),
    }
}

fn without_port(url: &str) -> String {
    match taken_apart(url) {
        Some((scheme, host, Some(_), after)) => format!("{scheme}://{host}{after}"),
        Some(_) | None => url.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
