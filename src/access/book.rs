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

use argon2::PasswordHash;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;
use toml::de::DeTable;

use self::entry::{Entry, entries};
use super::auth_token::AuthToken;
use super::{Fault, Mark, issue};
use crate::event::AccountSid;
use crate::limits;
use crate::pipeline::Caller;

mod entry;

pub(super) use entry::{Wrong, in_order, text};
pub use entry::{checked_name, scope};

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
    /// Those whose secret is slow to check: a wrong one is compared with each of these, and with no others.
    slow: Vec<Arc<Credential>>,
    auth_tokens: HashMap<AccountSid, AuthToken>,
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
            if let Some(same) = book.proved_by(&credential.proof) {
                return Err(fault(format!("{} is proved by what proves {}", credential.name, same.name)));
            }
            if book.all.len() == limits::CREDENTIALS {
                return Err(fault(format!("more than {} credentials", limits::CREDENTIALS)));
            }
            let is_slow = matches!(credential.proof, Proof::Argon2(_));
            if is_slow && book.slow.len() == limits::ARGON2_CREDENTIALS {
                let most = limits::ARGON2_CREDENTIALS;
                return Err(fault(format!("more than {most} credentials with argon2; use sha256 for tokens")));
            }
            book.add(Arc::new(credential));
        }
        Ok(book)
    }

    /// Whom this proves. For thousands of them in a row.
    fn proved_by(&self, proof: &Proof) -> Option<&Arc<Credential>> {
        let is_it = |other: &&Arc<Credential>| other.proof == *proof;
        match proof {
            Proof::Sha256(sum) => self.by_digest.get(&self.hasher.hash_one(sum))?.iter().find(is_it),
            Proof::Certificate(name) => self.by_certificate.get(name),
            Proof::Argon2(_) => self.slow.iter().find(is_it),
        }
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
            Proof::Argon2(_) => self.slow.push(credential.clone()),
        }
        self.all.push(credential);
    }

    /// The same people as this book, with what was begun under `old` still going on for everyone who did not change; and
    /// what is to be cancelled of the others, once nobody finds them any more.
    pub(super) fn after(self, old: &Book) -> (Book, Vec<CancellationToken>) {
        let mut book = Book { auth_tokens: self.auth_tokens, ..Book::default() };
        let mut gone: HashMap<&str, &Arc<Credential>> = old.all.iter().map(|old| (&*old.name, old)).collect();
        for new in self.all {
            let is_same = gone.get(&*new.name).is_some_and(|old| old.is_same(&new));
            let same = if is_same { gone.remove(&*new.name) } else { None };
            book.add(same.cloned().unwrap_or(new));
        }
        let ends = gone.into_values().map(|gone| gone.taken_away.clone()).collect();
        (book, ends)
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
        match self.slow.iter().find(|credential| Some(&*credential.name) == user) {
            Some(named) => vec![named.clone()],
            None => self.slow.clone(),
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

/// The library's complaint without what it quotes.
fn without_values(message: &str) -> String {
    message.split('`').step_by(2).collect::<Vec<_>>().join("…")
}
