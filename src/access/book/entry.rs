//! The entries of a credentials file, one by one.

use std::sync::Arc;

use argon2::{Params, PasswordHash};
use tokio_util::sync::CancellationToken;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Credential, Proof};
use crate::access::auth_token::{self, AuthToken};
use crate::access::certificate;
use crate::event::AccountSid;
use crate::limits;
use crate::pipeline::{Caller, Role, Roles, Scope};

/// One entry of a file.
pub(super) enum Entry {
    Credential(Credential),
    AuthToken(AuthToken),
}

impl Entry {
    pub fn name(&self) -> &Arc<str> {
        match self {
            Entry::Credential(credential) => &credential.name,
            Entry::AuthToken(token) => &token.name,
        }
    }
}

/// A place in the text, and what is wrong there.
pub(in crate::access) type Wrong = (usize, String);

pub(in crate::access) type Key<'a> = Spanned<toml::de::DeString<'a>>;

/// As the text has it, so that the first thing that is wrong is the one that is told; the library sorts by key.
pub(in crate::access) fn in_order<'t, 'a>(table: &'t DeTable<'a>) -> Vec<(&'t Key<'a>, &'t Spanned<DeValue<'a>>)> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

pub(super) fn entries(document: &DeTable<'_>) -> Result<Vec<(usize, Entry)>, Wrong> {
    let mut entries = Vec::new();
    for (key, value) in in_order(document) {
        let kind = &**key.get_ref();
        if !matches!(kind, "credential" | "auth_token") {
            return Err((key.span().start, "expected [[credential]] or [[auth_token]] and nothing else".to_owned()));
        }
        let array = value
            .get_ref()
            .as_array()
            .ok_or_else(|| (key.span().start, format!("expected [[{kind}]], with two brackets on each side")))?;
        for entry in array.iter() {
            let at = entry.span().start;
            let table = entry.get_ref().as_table().ok_or_else(|| (at, format!("expected [[{kind}]]")))?;
            let entry = match kind {
                "credential" => credential(at, table).map(Entry::Credential)?,
                _ => auth_token::entry(at, table).map(Entry::AuthToken)?,
            };
            entries.push((at, entry));
        }
    }
    // By their places, so that the second of two that contradict each other is the one that is told.
    entries.sort_by_key(|(at, _)| *at);
    Ok(entries)
}

fn credential(at: usize, table: &DeTable<'_>) -> Result<Credential, Wrong> {
    let (mut name, mut account, mut roles, mut proof) = (None, None, None, None);
    for (key, value) in in_order(table) {
        let at = value.span().start;
        let wrong = |what: String| (at, what);
        match &**key.get_ref() {
            "name" => name = Some(text(value).and_then(checked_name).map_err(wrong)?),
            "account" => account = Some(text(value).and_then(scope).map_err(wrong)?),
            "roles" => roles = Some(role_set(value).map_err(wrong)?),
            kind @ ("sha256" | "argon2" | "certificate") => {
                if proof.is_some() {
                    return Err(wrong("only one of sha256, argon2 and certificate".to_owned()));
                }
                let text = text(value).map_err(wrong)?;
                proof = Some(match kind {
                    "sha256" => sum(text).map(Proof::Sha256).map_err(wrong)?,
                    "argon2" => slow_hash(text).map(|hash| Proof::Argon2(Box::new(hash))).map_err(wrong)?,
                    _ => certificate::expected(text).map(Proof::Certificate).ok_or_else(|| {
                        wrong(
                            "certificate must be dns:NAME, uri:URI or email:ADDRESS of the certificate's SAN"
                                .to_owned(),
                        )
                    })?,
                });
            }
            _ => {
                let known = "name, account, roles and one of sha256, argon2, certificate";
                return Err((key.span().start, format!("unknown key; a credential has {known}")));
            }
        }
    }
    let missing = |key: &str| (at, format!("{key} is missing"));
    let name: Arc<str> = name.ok_or_else(|| missing("name"))?.into();
    let caller =
        Caller { scope: account.ok_or_else(|| missing("account"))?, roles: roles.ok_or_else(|| missing("roles"))? };
    let proof = proof.ok_or_else(|| missing("one of sha256, argon2 and certificate"))?;
    let mark = proof.mark(&name, &caller);
    Ok(Credential { name, caller, proof, mark, taken_away: CancellationToken::new() })
}

pub(in crate::access) fn text<'a>(value: &'a Spanned<DeValue<'_>>) -> Result<&'a str, String> {
    value.get_ref().as_str().ok_or_else(|| "must be a text in quotes".to_owned())
}

/// A name of the kind that logs and shells take as one word.
///
/// # Errors
/// Why it is none.
pub fn checked_name(text: &str) -> Result<Box<str>, String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if text.is_empty() || text.len() > limits::CREDENTIAL_NAME_BYTES || !text.bytes().all(is_word) {
        let most = limits::CREDENTIAL_NAME_BYTES;
        return Err(format!("name must be 1 to {most} of A-Z a-z 0-9 . _ - @"));
    }
    if AccountSid::matches(text) {
        return Err("name must not be an account's sid, which as a user name has a meaning of its own".to_owned());
    }
    Ok(text.into())
}

/// An account's sid, or `all`.
///
/// # Errors
/// Why it is neither.
pub fn scope(text: &str) -> Result<Scope, String> {
    if text == "all" {
        return Ok(Scope::All);
    }
    AccountSid::parse(text).map(Scope::Account).map_err(|malformed| format!("account {malformed}, or \"all\""))
}

fn role_set(value: &Spanned<DeValue<'_>>) -> Result<Roles, String> {
    let all = || Role::ALL.map(Role::name).join(", ");
    let list = value.get_ref().as_array().ok_or_else(|| format!("roles must be a list of: {}", all()))?;
    let role = |value: &Spanned<DeValue<'_>>| {
        value.get_ref().as_str().and_then(Role::named).ok_or_else(|| format!("roles are: {}", all()))
    };
    let roles = list.iter().map(role).collect::<Result<Roles, String>>()?;
    if roles.is_empty() { Err(format!("at least one role of: {}", all())) } else { Ok(roles) }
}

fn sum(text: &str) -> Result<[u8; 32], String> {
    let malformed = || "sha256 must be 64 hexadecimal digits".to_owned();
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    let mut sum = [0; 32];
    for (byte, digits) in sum.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| malformed())?;
    }
    Ok(sum)
}

/// A PHC string that can be checked, at a cost that a server can bear.
fn slow_hash(text: &str) -> Result<PasswordHash, String> {
    let malformed = || "argon2 must be a PHC string: $argon2id$v=19$m=…,t=…,p=…$SALT$HASH".to_owned();
    let hash = PasswordHash::new(text).map_err(|_| malformed())?;
    if !hash.algorithm.as_str().starts_with("argon2") || hash.salt.is_none() || hash.hash.is_none() {
        return Err(malformed());
    }
    argon2::Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| malformed())?;
    if let Some(version) = hash.version {
        argon2::Version::try_from(version).map_err(|_| malformed())?;
    }
    let params = Params::try_from(&hash).map_err(|_| malformed())?;
    let (memory, work) = (params.m_cost(), u64::from(params.m_cost()) * u64::from(params.t_cost()));
    if memory > limits::ARGON2_MEMORY_KIB || work > u64::from(limits::ARGON2_WORK_KIB) {
        let (memory, work) = (limits::ARGON2_MEMORY_KIB, limits::ARGON2_WORK_KIB);
        return Err(format!("argon2 costs too much to check: m must be at most {memory}, m times t at most {work}"));
    }
    Ok(hash)
}
