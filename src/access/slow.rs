//! Secrets that are slow to check, and what keeps strangers from making the server do nothing else.
//!
//! One check at a time, on a thread of its own; a bounded number wait, and one more is told to come back. After a check
//! that failed, the next waits three times as long as it took: wrong secrets take at most a quarter of one core. What
//! was right is remembered, under a key that this process alone knows, so that a caller pays once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::hmac;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::book::Credential;
use super::{Checked, Denied, Verdict};
use crate::limits;

/// How much longer than a failed check took nothing is checked.
const PAUSE_FACTOR: u32 = 3;

type Tag = [u8; 32];

pub struct Slow {
    one_at_a_time: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// `None` where the system has no random numbers; then nothing is remembered.
    key: Option<hmac::Key>,
    known: Arc<Mutex<HashMap<Tag, Arc<Credential>>>>,
}

impl Slow {
    pub fn new() -> Slow {
        let random = ring::rand::SystemRandom::new();
        Slow {
            one_at_a_time: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(limits::ARGON2_WAITING)),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random).ok(),
            known: Arc::default(),
        }
    }

    /// Which of these, if any, the secret belongs to.
    pub fn check(&self, candidates: Vec<Arc<Credential>>, secret: &str) -> Checked {
        let tag = self.tag(secret);
        if let Some(known) = tag.and_then(|tag| entries(&self.known).get(&tag).cloned())
            && candidates.iter().any(|candidate| Arc::ptr_eq(candidate, &known))
        {
            return Checked::Now(Ok(known.admitted()));
        }
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            let (most_waiting, retry_after) = (limits::ARGON2_WAITING, limits::OVERLOAD_RETRY_DELAY);
            return Checked::Now(Err(Denied::Busy { most_waiting, retry_after }));
        };
        let (turn, known, secret) = (self.one_at_a_time.clone(), self.known.clone(), secret.as_bytes().to_vec());
        Checked::Later(Box::pin(async move {
            let Ok(turn) = turn.acquire_owned().await else { return Err(Denied::Wrong) };
            let found = spawn_blocking(move || search(&candidates, &secret, (place, turn))).await;
            let found = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            if let (Some(found), Some(tag)) = (&found, tag) {
                remember(&known, tag, found.clone());
            }
            verdict(found)
        }))
    }

    /// Whether a check would begin at once.
    #[cfg(test)]
    pub fn is_free(&self) -> bool {
        self.one_at_a_time.available_permits() > 0
    }

    fn tag(&self, secret: &str) -> Option<Tag> {
        let tag = hmac::sign(self.key.as_ref()?, secret.as_bytes());
        tag.as_ref().try_into().ok()
    }
}

fn verdict(found: Option<Arc<Credential>>) -> Verdict {
    found.map(|credential| credential.admitted()).ok_or(Denied::Wrong)
}

/// Runs to its end even if the caller has gone: the place and the turn are given back here alone.
fn search(
    candidates: &[Arc<Credential>],
    secret: &[u8],
    (place, turn): (OwnedSemaphorePermit, OwnedSemaphorePermit),
) -> Option<Arc<Credential>> {
    let started = Instant::now();
    let found = candidates.iter().find(|candidate| candidate.has_secret(secret)).cloned();
    drop(place);
    if found.is_none() {
        let pause = started.elapsed().saturating_mul(PAUSE_FACTOR).min(Duration::from_secs(10));
        // Within the runtime's own threads, where there is a handle.
        tokio::runtime::Handle::current().spawn(async move {
            tokio::time::sleep(pause).await;
            drop(turn);
        });
    }
    found
}

fn remember(known: &Mutex<HashMap<Tag, Arc<Credential>>>, tag: Tag, credential: Arc<Credential>) {
    let mut known = entries(known);
    if known.len() >= limits::ARGON2_REMEMBERED {
        // Those that are good pay once more; that the table fills at all takes as many good secrets.
        known.clear();
    }
    known.insert(tag, credential);
}

fn entries<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::book::Book;

    #[test]
    fn so_many_good_secrets_are_remembered() {
        let text = "[[credential]]\nname = 'a'\naccount = 'all'\nroles = ['read']\n\
            argon2 = '$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$2LpA5nTcGJ4wFb8C4R1d0pB4bhNbWDMS1GfTk4wJ0wQ'";
        let book = Book::parse(text).unwrap_or_else(|fault| panic!("{fault:?}"));
        let (known, credential) = (Mutex::default(), book.slow_ones(None).remove(0));
        for number in 0..=limits::ARGON2_REMEMBERED {
            remember(&known, [number as u8; 32], credential.clone());
            assert!((1..=limits::ARGON2_REMEMBERED).contains(&entries(&known).len()));
        }
        assert_eq!(entries(&known).len(), 1, "the last one is there, and those before pay once more");
    }
}
