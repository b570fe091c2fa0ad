//! The one thread that has the file: takes calls in their order, and writes what several callers keep in one go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::file::{self, Trouble};
use super::store::Store;
use super::{Again, Bounds, Kept, Letter, LettersError, Place, Reach, Totals, Which};
use crate::limits;
use crate::pipeline::Scope;

/// Least time between two lines about the same trouble.
const QUIET_FOR: Duration = Duration::from_secs(10);
/// Least time between two lines about letters that had to go.
const QUIET_ABOUT_ROOM: Duration = Duration::from_secs(60);

pub(super) type Done<T> = oneshot::Sender<Result<T, LettersError>>;

/// What is asked of the desk. Who asked may be gone by the time of the answer; the work is done all the same.
#[derive(Debug)]
pub(super) enum Job {
    Keep { letters: Vec<Letter>, done: Done<()> },
    List { scope: Scope, which: Which, reach: Reach, done: Done<Vec<Kept>> },
    Totals { scope: Scope, done: Done<Totals> },
    Settle { settled: Vec<i64>, again: Vec<Again>, done: Done<()> },
    Discard { scope: Scope, which: Which, most: usize, done: Done<usize> },
}

pub(super) struct Desk {
    place: Place,
    bounds: Bounds,
    /// `None` until there is something to keep, and after trouble: then it is opened anew.
    store: Option<Store>,
    /// Letters that had to go since the last line about them.
    pushed_out: u64,
    said_room: Option<Instant>,
    said_trouble: Option<Instant>,
}

impl Desk {
    pub(super) fn new(place: Place, bounds: Bounds) -> Desk {
        Desk { place, bounds, store: None, pushed_out: 0, said_room: None, said_trouble: None }
    }

    /// Until nobody can ask any more.
    pub(super) fn serve(mut self, mut inbox: mpsc::Receiver<Job>) {
        if file::is_there(&self.place) {
            // Damage should be told at the start, not when the first event is refused.
            let opened = self.work(|_| Ok(()));
            if opened.is_ok() {
                self.tell_what_is_there();
            }
        }
        while let Some(job) = inbox.blocking_recv() {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                next = match job {
                    Job::Keep { letters, done } => self.keep(letters, done, &mut inbox),
                    other => {
                        self.answer(other);
                        None
                    }
                };
            }
        }
    }

    fn tell_what_is_there(&mut self) {
        if let Ok(Totals { letters, bytes, .. }) = self.work(|store| store.totals(Scope::All))
            && letters > 0
        {
            tracing::info!(letters, bytes, "there are dead letters: tasktally dead-letters list");
        }
    }

    /// Keeps these and what else waits to be kept, in one transaction. Answers the job that was taken out beyond them.
    fn keep(&mut self, mut letters: Vec<Letter>, done: Done<()>, inbox: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let mut callers = vec![done];
        let mut beyond = None;
        while letters.len() < limits::DEAD_LETTER_GROUP {
            match inbox.try_recv() {
                Ok(Job::Keep { letters: more, done }) => {
                    letters.extend(more);
                    callers.push(done);
                }
                Ok(other) => {
                    beyond = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let bounds = self.bounds;
        let kept = self.work(|store| store.keep(&letters, &bounds));
        if let Ok(pushed_out) = &kept {
            self.note_pushed_out(*pushed_out);
        }
        for caller in callers {
            let _ = caller.send(kept.clone().map(|_| ()));
        }
        beyond
    }

    fn answer(&mut self, job: Job) {
        match job {
            Job::Keep { .. } => unreachable!("what is kept is kept together"),
            Job::List { scope, which, reach, done } => drop(done.send(self.look(|s| s.list(scope, &which, reach)))),
            Job::Totals { scope, done } => drop(done.send(self.look(|store| store.totals(scope)))),
            Job::Settle { settled, again, done } => {
                drop(done.send(self.look(|store| store.settle(&settled, &again))));
            }
            Job::Discard { scope, which, most, done } => {
                drop(done.send(self.look(|store| store.discard(scope, &which, most))));
            }
        }
    }

    /// Work on what is kept; where nothing ever was, no file is made for it.
    fn look<T: Default>(&mut self, work: impl Fn(&mut Store) -> Result<T, Trouble>) -> Result<T, LettersError> {
        if self.store.is_none() && !file::is_there(&self.place) {
            return Ok(T::default());
        }
        self.work(work)
    }

    /// Opens the file if need be. After damage it is set aside and the work begins anew with an empty one; after other
    /// trouble it is opened anew by the next call, since what a failed write left behind is told by reading it again.
    fn work<T>(&mut self, work: impl Fn(&mut Store) -> Result<T, Trouble>) -> Result<T, LettersError> {
        let mut done = self.try_work(&work);
        if let Err(Trouble::Damaged(damage)) = &done {
            let damage = damage.to_string();
            self.store = None;
            done = file::set_aside(&self.place, &damage).and_then(|()| self.try_work(&work));
        }
        done.map_err(|trouble| {
            if !matches!(trouble, Trouble::Full(_)) {
                self.store = None;
            }
            let cause: Arc<str> = trouble.to_string().into();
            if is_due(&mut self.said_trouble, QUIET_FOR) {
                tracing::error!(%cause, "dead letters cannot be kept: senders of refused events are asked to come again");
            }
            LettersError::Unusable(cause)
        })
    }

    fn try_work<T>(&mut self, work: &impl Fn(&mut Store) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(file::open(&self.place)?),
        };
        work(store)
    }

    fn note_pushed_out(&mut self, letters: u64) {
        self.pushed_out += letters;
        if self.pushed_out > 0 && is_due(&mut self.said_room, QUIET_ABOUT_ROOM) {
            let Bounds { letters: most, bytes: most_bytes, .. } = self.bounds;
            tracing::warn!(
                letters = self.pushed_out,
                max_dead_letters = most,
                max_dead_letter_bytes = most_bytes,
                "the oldest dead letters were dropped to make room"
            );
            self.pushed_out = 0;
        }
    }
}

fn is_due(said: &mut Option<Instant>, quiet_for: Duration) -> bool {
    let due = said.is_none_or(|said| said.elapsed() >= quiet_for);
    if due {
        *said = Some(Instant::now());
    }
    due
}
