//! The credentials file: who is known, and what proves it.
//!
//! ```toml
//! [[credential]]
//! name = "wallboard"                # for people and logs
//! account = "AC…"                   # or "all"
//! roles = ["read"]                  # of read, ingest, admin
//! sha256 = "…"                      # of a token of `tasktally credentials new`: one of sha256, argon2, certificate
//! ```
//!
//! Entries `[[auth_token]]` stand beside them: see [`auth_token`](super::auth_token).
//!
//! Read strictly: what is not understood is an error with its line, never a guess.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use argon2::{Params, PasswordHash};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::auth_token::{self, AuthToken};
use super::{Fault, Mark, certificate, issue};
use crate::event::AccountSid;
use crate::limits;
use crate::pipeline::{Caller, Role, Roles, Scope};

/// One who is known. Not `Debug`: hashes of secrets stay out of logs, too.
pub struct Credential {
    pub name: Arc<str>,
    pub caller: Caller,
    proof: Proof,
    /// The same for an entry of another file, or of another day, that is exactly this one.
    pub(super) mark: Mark,
    /// Cancelled when a later file no longer has exactly this.
    pub(super) taken_away: CancellationToken,
}

#[derive(PartialEq, Eq)]
enum Proof {
    /// SHA-256 of a token that is too long to be guessed.
    Sha256([u8; 32]),
    /// Of a secret that may be guessable, and is therefore slow to check.
    Argon2(Box<PasswordHash>),
    /// A name of the client's certificate, with its kind.
    Certificate(String),
}

/// Everyone of one file.
#[derive(Default)]
pub struct Book {
    all: Vec<Arc<Credential>>,
    /// Those with a SHA-256, by a hash of it whose key is this process's own: so that the time of a look-up tells nothing.
    by_digest: HashMap<u64, Vec<Arc<Credential>>>,
    hasher: RandomState,
    by_certificate: HashMap<String, Arc<Credential>>,
    auth_tokens: HashMap<AccountSid, AuthToken>,
}

/// One entry of a file.
enum Entry {
    Credential(Credential),
    AuthToken(AuthToken),
}

impl Book {
    /// Reads the text of a credentials file.
    ///
    /// # Errors
    /// What is wrong first, with its line.
    pub fn parse(text: &str) -> Result<Book, Fault> {
        let place = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        let document = DeTable::parse(text).map_err(|error| {
            // The library's own text quotes the line, which may hold a secret.
            let at = error.span().map_or(0, |span| span.start);
            Fault { line: place(at), what: format!("not TOML: {}", without_values(error.message())) }
        })?;
        let entries = entries(document.get_ref()).map_err(|(at, what)| Fault { line: place(at), what })?;
        let mut book = Book::default();
        let mut names = HashSet::new();
        for (at, entry) in entries {
            let fault = |what: String| Fault { line: place(at), what };
            if !names.insert(entry.name().clone()) {
                return Err(fault(format!("the name {} is used twice", entry.name())));
            }
            let credential = match entry {
                Entry::Credential(credential) => credential,
                Entry::AuthToken(token) => {
                    book.add_auth_token(token).map_err(fault)?;
                    continue;
                }
            };
            if let Some(same) = book.all.iter().find(|other| other.proof == credential.proof) {
                return Err(fault(format!("{} is proved by what proves {}", credential.name, same.name)));
            }
            if book.all.len() == limits::CREDENTIALS {
                return Err(fault(format!("more than {} credentials", limits::CREDENTIALS)));
            }
            let is_slow = matches!(credential.proof, Proof::Argon2(_));
            if is_slow && book.slow_ones(None).len() == limits::ARGON2_CREDENTIALS {
                let most = limits::ARGON2_CREDENTIALS;
                return Err(fault(format!("more than {most} credentials with argon2; use sha256 for tokens")));
            }
            book.add(Arc::new(credential));
        }
        Ok(book)
    }

    fn add_auth_token(&mut self, token: AuthToken) -> Result<(), String> {
        if self.auth_tokens.len() == limits::CREDENTIALS {
            return Err(format!("more than {} auth tokens", limits::CREDENTIALS));
        }
        let (account, name) = (token.account, token.name.clone());
        match self.auth_tokens.insert(account, token) {
            Some(other) => {
                Err(format!("{name} and {} are both of {account}: an account has one auth token", other.name))
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, credential: Arc<Credential>) {
        match &credential.proof {
            Proof::Sha256(sum) => {
                let key = self.hasher.hash_one(sum);
                self.by_digest.entry(key).or_default().push(credential.clone());
            }
            Proof::Certificate(name) => {
                self.by_certificate.insert(name.clone(), credential.clone());
            }
            Proof::Argon2(_) => {}
        }
        self.all.push(credential);
    }

    /// The same people as this book, with what was begun under `old` still going on for everyone who did not change, and
    /// ended for the others.
    pub(super) fn after(self, old: &Book) -> Book {
        let mut book = Book { auth_tokens: self.auth_tokens, ..Book::default() };
        for new in self.all {
            let same = old.all.iter().find(|old| old.is_same(&new));
            book.add(same.cloned().unwrap_or(new));
        }
        for gone in old.all.iter().filter(|old| !book.all.iter().any(|new| Arc::ptr_eq(old, new))) {
            gone.taken_away.cancel();
        }
        book
    }

    pub fn len(&self) -> usize {
        self.all.len() + self.auth_tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In no order.
    pub fn auth_tokens(&self) -> impl Iterator<Item = &AuthToken> {
        self.auth_tokens.values()
    }

    pub(super) fn auth_token(&self, account: AccountSid) -> Option<&AuthToken> {
        self.auth_tokens.get(&account)
    }

    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.all.iter().map(|credential| &**credential)
    }

    /// Whom this token belongs to, among those whose tokens are quick to check.
    pub(super) fn with_token(&self, token: &str) -> Option<&Credential> {
        let sum = digest(&SHA256, token.as_bytes());
        let key = self.hasher.hash_one(<[u8; 32]>::try_from(sum.as_ref()).ok()?);
        let found = self.by_digest.get(&key)?.iter().find(|credential| credential.has_sum(sum.as_ref()));
        found.map(|credential| &**credential)
    }

    pub(super) fn with_certificate(&self, name: &str) -> Option<&Credential> {
        self.by_certificate.get(name).map(|credential| &**credential)
    }

    /// Those whose secret is slow to check: the one of this name if there is one, else all.
    pub(super) fn slow_ones(&self, user: Option<&str>) -> Vec<Arc<Credential>> {
        let slow = || self.all.iter().filter(|credential| matches!(credential.proof, Proof::Argon2(_)));
        match slow().find(|credential| Some(&*credential.name) == user) {
            Some(named) => vec![named.clone()],
            None => slow().cloned().collect(),
        }
    }
}

impl Credential {
    fn has_sum(&self, sum: &[u8]) -> bool {
        matches!(&self.proof, Proof::Sha256(own) if bool::from(own.as_slice().ct_eq(sum)))
    }

    /// Takes long, and much memory.
    pub(super) fn has_secret(&self, secret: &[u8]) -> bool {
        use argon2::PasswordVerifier as _;
        // The argument says all: these parameters are not used.
        let argon2 = argon2::Argon2::default();
        matches!(&self.proof, Proof::Argon2(hash) if argon2.verify_password(secret, &**hash).is_ok())
    }

    fn is_same(&self, other: &Credential) -> bool {
        self.name == other.name && self.caller == other.caller && self.proof == other.proof
    }

    /// What proves it, for people.
    pub fn kind(&self) -> &'static str {
        match self.proof {
            Proof::Sha256(_) => "sha256",
            Proof::Argon2(_) => "argon2",
            Proof::Certificate(_) => "certificate",
        }
    }
}

impl Proof {
    fn mark(&self, name: &str, caller: &Caller) -> Mark {
        let proof = match self {
            Proof::Sha256(sum) => format!("sha256 {sum:?}"),
            Proof::Argon2(hash) => format!("argon2 {hash}"),
            Proof::Certificate(name) => format!("certificate {name}"),
        };
        issue::digest_of(&format!("tasktally credential\n{name}\n{caller:?}\n{proof}"))
    }
}

impl Entry {
    fn name(&self) -> &Arc<str> {
        match self {
            Entry::Credential(credential) => &credential.name,
            Entry::AuthToken(token) => &token.name,
        }
    }
}

/// A place in the text, and what is wrong there.
pub(super) type Wrong = (usize, String);

pub(super) type Key<'a> = Spanned<toml::de::DeString<'a>>;

/// As the text has it, so that the first thing that is wrong is the one that is told; the library sorts by key.
pub(super) fn in_order<'t, 'a>(table: &'t DeTable<'a>) -> Vec<(&'t Key<'a>, &'t Spanned<DeValue<'a>>)> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

fn entries(document: &DeTable<'_>) -> Result<Vec<(usize, Entry)>, Wrong> {
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

pub(super) fn text<'a>(value: &'a Spanned<DeValue<'_>>) -> Result<&'a str, String> {
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

/// The library's complaint without what it quotes.
fn without_values(message: &str) -> String {
    message.split('`').step_by(2).collect::<Vec<_>>().join("…")
}
