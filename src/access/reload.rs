//! Taking over files that changed. Contents are compared, not times or inodes, so that it is the same whether a file is
//! written in place, renamed into place, or reached through links that are switched, as Kubernetes does it.

use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::jwks::KeySet;
use super::{AccessError, Fault, Gate};
use crate::limits;

/// What became of changed files.
#[derive(Debug, Default)]
pub struct Reloads {
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Reloads {
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The text of a file, within the bound on it. Blocks.
pub(super) fn read(path: &Path) -> Result<String, AccessError> {
    let failed = |error| AccessError::Read { path: path.to_owned(), error };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let most = limits::CREDENTIALS_FILE_BYTES;
    file.take(most + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > most {
        return Err(AccessError::TooLarge { path: path.to_owned(), most });
    }
    String::from_utf8(text).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        malformed(path, Fault { line, what: "not UTF-8".to_owned() })
    })
}

fn malformed(path: &Path, fault: Fault) -> AccessError {
    AccessError::Malformed { path: path.to_owned(), fault }
}

pub(super) fn credentials(path: &Path, text: &str) -> Result<Book, AccessError> {
    Book::parse(text).map_err(|fault| malformed(path, fault))
}

pub(super) fn keys(path: &Path, text: &str) -> Result<KeySet, AccessError> {
    KeySet::parse(text).map_err(|fault| malformed(path, fault))
}

/// One file, and what it said when it was looked at last.
#[derive(Clone, Default)]
pub(super) struct Looked {
    /// As it was taken over, or refused.
    settled: Option<Result<String, String>>,
    /// As it was at the last look, where that was another state: taken only once it is the same twice, so that a file
    /// that is being written is not taken half.
    moving: Option<Result<String, String>>,
}

impl Looked {
    /// What the file says now, if it is to be taken or refused.
    fn look(&mut self, path: &Path) -> Option<Result<String, AccessError>> {
        let now = read(path);
        let state = now.as_ref().map_err(AccessError::to_string).cloned();
        if self.settled.is_none() {
            // The gate read it a moment ago.
            self.settled = Some(state);
            return None;
        }
        if self.settled.as_ref() == Some(&state) {
            self.moving = None;
            return None;
        }
        if self.moving.as_ref() != Some(&state) {
            self.moving = Some(state);
            return None;
        }
        self.settled = self.moving.take();
        Some(now)
    }
}

impl Gate {
    /// Takes over changed files, for ever. A file that cannot be used changes nothing but a counter, and is logged once.
    pub async fn follow(self) {
        let (mut credentials, mut jwks) = (Looked::default(), Looked::default());
        loop {
            let gate = self.clone();
            let looked = spawn_blocking(move || {
                gate.look(&mut credentials, &mut jwks);
                (credentials, jwks)
            });
            match looked.await {
                Ok(both) => (credentials, jwks) = both,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
            sleep(limits::CREDENTIALS_LOOK_INTERVAL).await;
        }
    }

    pub(super) fn look(&self, of_credentials: &mut Looked, of_jwks: &mut Looked) {
        let settings = &self.inner.settings;
        if let Some(path) = &settings.credentials
            && let Some(text) = of_credentials.look(path)
        {
            let book = text.and_then(|text| credentials(path, &text)).map(|book| super::warned(path, book));
            let taken = book.map(|book| replace(&self.inner.book, |old| book.after(old)).len());
            self.note(path, taken);
        }
        if let Some(path) = settings.jwt.as_ref().map(|jwt| &jwt.jwks)
            && let Some(text) = of_jwks.look(path)
        {
            let set = text.and_then(|text| keys(path, &text));
            let taken = set.map(|set| replace(&self.inner.keys, |old| set.after(old)).len());
            self.note(path, taken);
        }
    }

    fn note(&self, path: &Path, taken: Result<usize, AccessError>) {
        let reloads = &self.inner.reloads;
        match taken {
            Ok(entries) => {
                let taken = reloads.taken.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::info!(file = %path.display(), entries, taken, "took over a changed file");
            }
            Err(error) => {
                let refused = reloads.refused.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(%error, refused, "a changed file cannot be used; what it said before still holds");
            }
        }
    }
}

/// Nobody who asks waits for the next to be made, and nobody finds what has ended: whoever is sent away by a cancellation,
/// and comes back at once, finds the next. Whoever follows the files is alone in replacing anything.
fn replace<T>(place: &RwLock<Arc<T>>, next: impl FnOnce(&T) -> (T, Vec<CancellationToken>)) -> Arc<T> {
    let old = place.read().unwrap_or_else(PoisonError::into_inner).clone();
    let (next, ends) = next(&old);
    let next = Arc::new(next);
    *place.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
    ends.iter().for_each(CancellationToken::cancel);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_what_comes_next_to_be_made() {
        let place = RwLock::new(Arc::new(1));
        let end = CancellationToken::new();
        let next = replace(&place, |old| {
            assert!(place.try_read().is_ok_and(|held| **held == 1), "calls read what there is meanwhile");
            (old + 1, vec![end.clone()])
        });
        assert_eq!((*next, **place.read().unwrap(), end.is_cancelled()), (2, 2, true));
    }
}
