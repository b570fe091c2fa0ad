//! Who calls: what a caller shows is looked up, and a [`Caller`] or a reason comes out.
//!
//! [`Gate`] is the door, and knows neither gRPC nor any message: headers and, where the transport has verified one, a
//! certificate go in. Behind it stand the credentials file ([`book`]), secrets that take long to check ([`slow`]), signed
//! tokens ([`jwt`], their keys in [`jwks`]), and the reader that takes changed files over ([`reload`]). [`issue`] makes
//! new tokens. [`sessions`] are what browsers show once they were let in.
//!
//! What holds here:
//! - Nothing secret is logged or printed, not even in part: what holds secrets has no `Debug`, or one without them.
//! - What decides is compared in constant time, or found by a hash whose key this process alone knows.
//! - What an unknown caller can make grow or compute has a bound.
//! - A credential that is taken away ends what was begun with it: see [`Lease`].

pub mod auth_token;
pub mod book;
mod certificate;
pub mod issue;
pub mod jwks;
pub mod jwt;
mod reload;
pub mod sessions;
mod shown;
mod slow;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::pipeline::Clock;
pub use crate::pipeline::{Caller, CallerName, Role, Scope};
pub use auth_token::AuthTokens;
use book::{Book, Credential};
use jwks::KeySet;
use jwt::Expected;
pub use reload::Reloads;
use shown::Shown;
use slow::Slow;

/// Where what callers are known by stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub credentials: Option<PathBuf>,
    pub jwt: Option<JwtSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    pub jwks: PathBuf,
    pub expected: Expected,
}

/// A file that callers are known by cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: larger than {most} bytes", path.display())]
    TooLarge { path: PathBuf, most: u64 },
    #[error("{}:{}: {}", path.display(), fault.line, fault.what)]
    Malformed { path: PathBuf, fault: Fault },
}

/// What is wrong in a file, and where. Never quotes a value, which may be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first is 1.
    pub line: usize,
    pub what: String,
}

/// Reads a credentials file as the gate does. Blocks.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_credentials(path: &Path) -> Result<Book, AccessError> {
    reload::credentials(path, &reload::read(path)?)
}

/// The book, and a word to the operator if everybody on the host can read the keys in it. Blocks.
fn warned(path: &Path, book: Book) -> Book {
    if book.auth_tokens().next().is_some() && auth_token::is_open_to_all(path) {
        tracing::warn!(file = %path.display(), "everybody on this host can read the auth tokens in it: chmod o-r");
    }
    book
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nothing was shown.
    Missing,
    /// What was shown is nothing that this server knows.
    Wrong,
    /// What was shown was good once.
    Expired,
    /// Too many callers wait for a slow check; what was shown may be good.
    Busy { most_waiting: usize, retry_after: Duration },
}

/// Tells a credential from what a later file makes of it, and says nothing of its secret.
type Mark = [u8; 32];

/// A caller who is let in.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub caller: Caller,
    pub name: CallerName,
    pub lease: Lease,
    /// Of an entry of the credentials file.
    mark: Option<Mark>,
}

/// For how long a caller is let in. A call that is short needs no more than to have begun; a stream must end when this
/// does.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Cancelled when the credential, or the key that signed it, is taken away or changed.
    taken_away: CancellationToken,
    until: Option<Instant>,
}

impl Lease {
    /// Until this is cancelled.
    #[cfg(test)]
    pub fn until_cancelled(taken_away: CancellationToken) -> Lease {
        Lease { taken_away, until: None }
    }

    pub fn is_over(&self) -> bool {
        self.taken_away.is_cancelled() || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Waits until it is over.
    pub async fn over(self) {
        let expired = async {
            match self.until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.taken_away.cancelled() => {}
            () = expired => {}
        }
    }
}

pub type Verdict = Result<Admitted, Denied>;

/// What became of a check: most are done at once.
pub enum Checked {
    Now(Verdict),
    Later(Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

/// Knows callers by what they show. Cheap to clone; every clone sees what a reload brings.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    book: RwLock<Arc<Book>>,
    keys: RwLock<Arc<KeySet>>,
    slow: Slow,
    clock: Arc<dyn Clock>,
    reloads: Reloads,
}

impl Gate {
    /// Reads every file. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it must be.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Gate, AccessError> {
        let book = match &settings.credentials {
            Some(path) => warned(path, read_credentials(path)?),
            None => Book::default(),
        };
        let keys = match &settings.jwt {
            Some(jwt) => reload::keys(&jwt.jwks, &reload::read(&jwt.jwks)?)?,
            None => KeySet::default(),
        };
        let (book, keys) = (RwLock::new(Arc::new(book)), RwLock::new(Arc::new(keys)));
        let (slow, reloads) = (Slow::new(), Reloads::default());
        Ok(Gate { inner: Arc::new(Inner { settings, book, keys, slow, clock, reloads }) })
    }

    /// What signatures are made with, as the file says now.
    pub fn auth_tokens(&self) -> AuthTokens {
        AuthTokens(self.book())
    }

    /// How many credentials there are, and how many keys of signed tokens.
    pub fn size(&self) -> (usize, usize) {
        (self.book().len(), self.keys().len())
    }

    /// How many changed files were taken over, and how many were refused.
    pub fn reloads(&self) -> &Reloads {
        &self.inner.reloads
    }

    /// Whom these headers, or else this certificate (DER, verified by the transport), belong to. A header that is there
    /// decides alone: one that is wrong is not made good by a certificate.
    pub fn check(&self, headers: &HeaderMap, certificate: Option<&[u8]>) -> Checked {
        match shown::in_headers(headers) {
            Shown::Nothing => Checked::Now(self.by_certificate(certificate)),
            Shown::Malformed => Checked::Now(Err(Denied::Wrong)),
            Shown::Token { user, token } => self.by_token(user.as_deref(), &token),
        }
    }

    fn by_certificate(&self, certificate: Option<&[u8]>) -> Verdict {
        let Some(certificate) = certificate else { return Err(Denied::Missing) };
        let book = self.book();
        let names = certificate::names(certificate);
        let credential = names.iter().find_map(|name| book.with_certificate(name));
        credential.map(|credential| credential.admitted()).ok_or(Denied::Wrong)
    }

    fn by_token(&self, user: Option<&str>, token: &str) -> Checked {
        // A user name in the form of an account is a claim about the token.
        let claimed = user.and_then(|user| crate::event::AccountSid::parse(user).ok());
        let narrowed = move |admitted: Admitted| narrow(admitted, claimed);
        let book = self.book();
        if let Some(credential) = book.with_token(token) {
            return Checked::Now(narrowed(credential.admitted()));
        }
        if let Some(jwt) = &self.inner.settings.jwt
            && jwt::is_like_one(token)
        {
            let verdict = jwt::verify(token, &self.keys(), &jwt.expected, self.inner.clock.now());
            return Checked::Now(verdict.and_then(narrowed));
        }
        let candidates = book.slow_ones(user);
        if candidates.is_empty() {
            return Checked::Now(Err(Denied::Wrong));
        }
        match self.inner.slow.check(candidates, token) {
            Checked::Now(verdict) => Checked::Now(verdict.and_then(narrowed)),
            Checked::Later(verdict) => Checked::Later(Box::pin(async move { verdict.await.and_then(narrowed) })),
        }
    }

    /// Everyone of the credentials file, by mark.
    fn by_mark(&self) -> HashMap<Mark, Admitted> {
        self.book().credentials().map(|credential| (credential.mark, credential.admitted())).collect()
    }

    fn now(&self) -> crate::event::Millis {
        self.inner.clock.now()
    }

    fn book(&self) -> Arc<Book> {
        self.inner.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keys(&self) -> Arc<KeySet> {
        self.inner.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The account that was claimed must be the token's; a token of all accounts becomes one of that account.
fn narrow(mut admitted: Admitted, claimed: Option<crate::event::AccountSid>) -> Verdict {
    let Some(claimed) = claimed else { return Ok(admitted) };
    if !admitted.caller.sees(claimed) {
        return Err(Denied::Wrong);
    }
    admitted.caller.scope = Scope::Account(claimed);
    Ok(admitted)
}

impl Credential {
    fn admitted(&self) -> Admitted {
        let lease = Lease { taken_away: self.taken_away.clone(), until: None };
        Admitted { caller: self.caller, name: CallerName(self.name.clone()), lease, mark: Some(self.mark) }
    }
}
