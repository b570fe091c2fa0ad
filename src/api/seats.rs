//! The places for watchers: so many in all, and so many for the workspaces of one account.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::ApiLimits;
use super::status::ApiError;
use crate::event::AccountSid;
use crate::limits;

/// Who watches. Taken once a watch and given back once; nothing in between looks here.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    most_of_account: usize,
    taken: Mutex<Taken>,
    /// Messages of all watches, and changes that were never sent since a newer one was there.
    sent: AtomicU64,
    conflated: AtomicU64,
    /// Taken by a watch for as long as it has a question in a queue.
    questions: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only accounts that are watched.
    accounts: HashMap<AccountSid, usize>,
}

/// A watcher's place, free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    account: AccountSid,
}

impl Seats {
    pub fn new(limits: &ApiLimits) -> Arc<Seats> {
        let (most, most_of_account) = (limits.max_watchers, limits.max_watchers_per_account);
        let [sent, conflated] = [const { AtomicU64::new(0) }; 2];
        let questions = Arc::new(Semaphore::new(limits::WATCH_QUESTIONS));
        Arc::new(Seats { most, most_of_account, taken: Mutex::default(), sent, conflated, questions })
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.taken().all
    }

    /// The account whose workspaces have the most watchers, and how many.
    pub fn most_of_account(&self) -> Option<(AccountSid, usize)> {
        self.taken()
            .accounts
            .iter()
            .max_by_key(|(_, watchers)| **watchers)
            .map(|(account, watchers)| (*account, *watchers))
    }

    /// Messages of all watches until now.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Changes of figures that were skipped, since a newer one was there when a watcher could take a message.
    pub fn conflated(&self) -> u64 {
        self.conflated.load(Ordering::Relaxed)
    }

    /// The turns of the watches that have to ask for their figures.
    pub fn questions(&self) -> &Arc<Semaphore> {
        &self.questions
    }

    /// # Errors
    /// All seats are taken, or all that one account may have.
    pub fn take(self: &Arc<Seats>, account: AccountSid) -> Result<Seat, ApiError> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            return Err(ApiError::TooManyWatchers { limit: "max_watchers", most: self.most });
        }
        let of_account = taken.accounts.get(&account).copied().unwrap_or(0);
        if of_account >= self.most_of_account {
            let (limit, most) = ("max_watchers_per_account", self.most_of_account);
            return Err(ApiError::TooManyWatchers { limit, most });
        }
        taken.all += 1;
        taken.accounts.insert(account, of_account + 1);
        Ok(Seat { seats: self.clone(), account })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Whole at every moment, so that a panic elsewhere does not spoil it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// A message was sent, and so many changes before it were not.
    pub fn note(&self, skipped: u64) {
        self.seats.sent.fetch_add(1, Ordering::Relaxed);
        if skipped > 0 {
            self.seats.conflated.fetch_add(skipped, Ordering::Relaxed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        if let Some(of_account) = taken.accounts.get_mut(&self.account) {
            *of_account -= 1;
            if *of_account == 0 {
                taken.accounts.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(taken: Result<Seat, ApiError>) -> &'static str {
        match taken {
            Err(ApiError::TooManyWatchers { limit, .. }) => limit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_seat_is_free_again_when_it_is_dropped_and_nothing_of_its_account_is_left() {
        let seats = Seats::new(&ApiLimits { max_watchers: 3, max_watchers_per_account: 2, ..ApiLimits::default() });
        let [one, two] = [1, 2].map(|byte| AccountSid::from_bytes([byte; 16]));
        let (first, _second) = (seats.take(one).unwrap(), seats.take(one).unwrap());
        assert_eq!(limit(seats.take(one)), "max_watchers_per_account");
        let other = seats.take(two).unwrap();
        assert_eq!(limit(seats.take(two)), "max_watchers");
        drop(first);
        let again = seats.take(one).unwrap();
        assert_eq!(limit(seats.take(two)), "max_watchers");
        drop((other, again));
        let left = seats.taken();
        assert_eq!((left.all, left.accounts.len()), (1, 1));
    }
}
