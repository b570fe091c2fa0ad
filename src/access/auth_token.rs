//! Auth tokens: what the task router signs an account's requests with, and by which they are known.
//!
//! ```toml
//! [[auth_token]]
//! name = "acme"                     # for people and logs
//! account = "AC…"                   # of one account, and at most one an account
//! token = "…"                       # the account's auth token, as it is: a key cannot be hashed
//! ```

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::book::{Book, Wrong, checked_name, in_order, text};
use crate::event::AccountSid;
use crate::limits;

/// The auth token of one account. Not `Debug`: it is a secret as it stands.
pub struct AuthToken {
    pub name: Arc<str>,
    pub account: AccountSid,
    token: Box<str>,
}

impl AuthToken {
    /// The key of signatures.
    pub fn key(&self) -> &str {
        &self.token
    }
}

/// The auth tokens of one moment: a changed file makes new ones. Cheap to clone.
#[derive(Clone)]
pub struct AuthTokens(pub(super) Arc<Book>);

impl AuthTokens {
    pub fn of(&self, account: AccountSid) -> Option<&AuthToken> {
        self.0.auth_token(account)
    }

    pub fn is_empty(&self) -> bool {
        self.0.auth_tokens().next().is_none()
    }
}

/// Says of a response that its caller's signature was missing or wrong, so that the entrance can count it.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned;

/// Whether everybody on this host can read the file. Blocks.
pub fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

/// Reads one entry.
pub(super) fn entry(at: usize, table: &DeTable<'_>) -> Result<AuthToken, Wrong> {
    let (mut name, mut account, mut token) = (None, None, None);
    for (key, value) in in_order(table) {
        let at = value.span().start;
        let wrong = |what: String| (at, what);
        match &**key.get_ref() {
            "name" => name = Some(text(value).and_then(checked_name).map_err(wrong)?),
            "account" => {
                let sid = text(value).and_then(|text| AccountSid::parse(text).map_err(|bad| format!("account {bad}")));
                account = Some(sid.map_err(wrong)?);
            }
            "token" => token = Some(text(value).and_then(checked_token).map_err(wrong)?),
            _ => {
                return Err((
                    Spanned::span(key).start,
                    "unknown key; an auth_token has name, account and token".into(),
                ));
            }
        }
    }
    let missing = |key: &str| (at, format!("{key} is missing"));
    Ok(AuthToken {
        name: name.ok_or_else(|| missing("name"))?.into(),
        account: account.ok_or_else(|| missing("account"))?,
        token: token.ok_or_else(|| missing("token"))?,
    })
}

/// What could not be typed right, or was cut, is not taken.
fn checked_token(text: &str) -> Result<Box<str>, String> {
    let range = limits::AUTH_TOKEN_BYTES_MIN..=limits::AUTH_TOKEN_BYTES_MAX;
    if !range.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("token must be {} to {} visible characters of ASCII", range.start(), range.end()));
    }
    Ok(text.into())
}
