//! Dead letters: events that came in over HTTP and were refused, kept until somebody mends what was wrong.
//!
//! Nobody waits at the other end of a callback who could read why an event was refused, so the server keeps it: the raw
//! text, the reason and the time, in `dead-letters.db` beside the journal ([`store`] has the layout, [`file`] the way it
//! is opened). [`Letters`] is the handle that callers share; one thread ([`desk`]) owns the file.
//!
//! Invariants:
//! * What [`Letters::keep`] took is on the disk when it returns: a sender may be told that its event was refused for good.
//! * Letters never stop the rest. A file that is damaged is set aside, one that cannot be written fails the call.
//! * Letters are bounded in number and bytes, in all and for each account; the oldest go first, counted and logged.
//! * A letter is seen only by callers of the account whose credential brought it, and by those of all accounts.

mod desk;
mod file;
mod store;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot};

use crate::event::Millis;
use crate::limits;
use crate::pipeline::Scope;
use desk::{Desk, Job};

/// How an event came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One form-encoded callback.
    Callback,
    /// One CloudEvent of a stream's body.
    Stream,
}

/// Why an event was refused: the contract's RejectionReason, by its number, which this room need not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub number: i32,
    /// Path of the field within the event, where it is about one.
    pub field: String,
    pub message: String,
}

/// A refused event, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Whose credential brought it.
    pub scope: Scope,
    pub form: Form,
    /// What came, of this one event alone: a form-encoded body, or one CloudEvent as JSON.
    pub raw: Vec<u8>,
    /// As far as the event says them, and as it says them.
    pub event_sid: String,
    pub event_type: String,
    pub workspace_sid: String,
    pub reason: Reason,
    /// When it was refused.
    pub at: Millis,
}

/// A letter that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Grows from letter to letter, and is never given twice.
    pub id: i64,
    /// The letter; `at` is when it was refused last. Without `raw` where that was not asked for.
    pub letter: Letter,
    /// When it was refused first.
    pub first: Millis,
    /// How often it was refused.
    pub attempts: i64,
}

/// Which letters are meant: those that fit everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Only these, at most [`limits::DEAD_LETTER_IDS`]; empty for any.
    pub ids: Vec<i64>,
    pub workspace_sid: Option<String>,
    pub reason: Option<i32>,
}

/// How much of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Only letters with a larger id.
    pub after: i64,
    pub rows: usize,
    /// `Some` with the raw texts, and no more once they have so many bytes; at least one letter always.
    pub raw_bytes: Option<usize>,
}

/// A letter whose event was sent again, and refused again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    pub id: i64,
    pub reason: Reason,
    pub at: Millis,
}

/// What is kept, of one account or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub letters: u64,
    pub bytes: u64,
    /// Letters that had to go to make room, ever.
    pub pushed_out: u64,
}

/// How much is kept. The newest letter is kept whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub letters: usize,
    pub bytes: usize,
    pub letters_per_account: usize,
    pub bytes_per_account: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            letters: limits::DEAD_LETTERS,
            bytes: limits::DEAD_LETTER_BYTES,
            letters_per_account: limits::DEAD_LETTERS_PER_ACCOUNT,
            bytes_per_account: limits::DEAD_LETTER_BYTES_PER_ACCOUNT,
        }
    }
}

/// Where letters are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file of this folder, which the caller holds for itself.
    Folder(PathBuf),
    /// Nowhere: they are gone with the process.
    Memory,
}

/// Why nothing was done. The call may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LettersError {
    #[error("the server is starting")]
    Starting,
    /// The bound of calls that wait.
    #[error("{0} calls wait for the dead letters already")]
    Busy(usize),
    #[error("the dead letters cannot be written or read: {0}")]
    Unusable(Arc<str>),
    #[error("the server is shutting down")]
    Stopping,
}

/// The dead letters of a server. The default keeps nothing until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    jobs: Arc<OnceLock<mpsc::Sender<Job>>>,
}

impl Letters {
    /// Begins to keep letters, on a thread of its own. That the file is damaged or cannot be written is no error here.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn open(&self, place: Place, bounds: Bounds) -> io::Result<()> {
        let (jobs, inbox) = mpsc::channel(limits::DEAD_LETTER_CALLS);
        std::thread::Builder::new().name("letters".to_owned()).spawn(move || Desk::new(place, bounds).serve(inbox))?;
        // Opened once; a second thread would end at once, with its channel.
        let _ = self.jobs.set(jobs);
        Ok(())
    }

    /// Keeps the letters, durably. One that is there already, of the same account and text, is refused once more rather
    /// than kept twice.
    ///
    /// # Errors
    /// None of them is sure to be kept; to keep them again does no harm.
    pub async fn keep(&self, letters: Vec<Letter>) -> Result<(), LettersError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.ask(|done| Job::Keep { letters, done }).await
    }

    /// The letters that are meant and that a caller of this scope may see, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn list(&self, scope: Scope, which: Which, reach: Reach) -> Result<Vec<Kept>, LettersError> {
        self.ask(|done| Job::List { scope, which, reach, done }).await
    }

    /// # Errors
    /// They cannot be read.
    pub async fn totals(&self, scope: Scope) -> Result<Totals, LettersError> {
        self.ask(|done| Job::Totals { scope, done }).await
    }

    /// Of letters that were sent again: some are settled and go, others were refused again.
    ///
    /// # Errors
    /// All are as they were.
    pub async fn settle(&self, settled: Vec<i64>, again: Vec<Again>) -> Result<(), LettersError> {
        if settled.is_empty() && again.is_empty() {
            return Ok(());
        }
        self.ask(|done| Job::Settle { settled, again, done }).await
    }

    /// Drops the letters that are meant and that a caller of this scope may see, at most so many. Answers how many.
    ///
    /// # Errors
    /// All are as they were.
    pub async fn discard(&self, scope: Scope, which: Which, most: usize) -> Result<usize, LettersError> {
        self.ask(|done| Job::Discard { scope, which, most, done }).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, LettersError>>) -> Job,
    ) -> Result<T, LettersError> {
        let jobs = self.jobs.get().ok_or(LettersError::Starting)?;
        let (done, answer) = oneshot::channel();
        jobs.try_send(job(done)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => LettersError::Busy(limits::DEAD_LETTER_CALLS),
            mpsc::error::TrySendError::Closed(_) => LettersError::Stopping,
        })?;
        answer.await.unwrap_or(Err(LettersError::Stopping))
    }
}
