//! Wakes all who wait for one thing, at the price of a waker each.
//!
//! Whoever hangs a waker here is woken by each ring for as long as it hangs, so that waiting on costs nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// How many are woken before others get the lock.
const AT_ONCE: usize = 1024;

#[derive(Debug, Default)]
pub struct Bell(Mutex<Hung>);

#[derive(Debug, Default)]
struct Hung {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Bell {
    /// Answers the place of the waker.
    pub fn hang(&self, waker: Waker) -> usize {
        let mut hung = self.hung();
        if let Some(place) = hung.free.pop() {
            hung.wakers[place] = Some(waker);
            return place;
        }
        hung.wakers.push(Some(waker));
        hung.wakers.len() - 1
    }

    /// Takes the waker from this place.
    pub fn unhang(&self, place: usize) {
        let mut hung = self.hung();
        let taken = hung.wakers.get_mut(place).and_then(Option::take);
        if taken.is_some() {
            hung.free.push(place);
        }
        if hung.free.len() == hung.wakers.len() {
            *hung = Hung::default();
        }
        drop(hung);
        // Whatever goes with a waker goes without the lock.
        drop(taken);
    }

    /// Wakes those who hang there from this place on, up to a number; answers where to go on.
    pub fn ring_from(&self, place: usize) -> Option<usize> {
        let hung = self.hung();
        let next = place + AT_ONCE;
        hung.wakers.iter().skip(place).take(AT_ONCE).flatten().for_each(Waker::wake_by_ref);
        (next < hung.wakers.len()).then_some(next)
    }

    fn hung(&self) -> MutexGuard<'_, Hung> {
        // Whole at every moment, so that a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn rung(bell: &Bell) -> usize {
        let mut place = Some(0);
        std::iter::from_fn(|| {
            place = bell.ring_from(place?);
            Some(())
        })
        .count()
    }

    #[test]
    fn each_ring_wakes_everybody_who_hangs_there_once() {
        let bell = Bell::default();
        let counters: Vec<_> = (0..2 * AT_ONCE + 1).map(|_| Arc::new(Counter(AtomicUsize::new(0)))).collect();
        let places: Vec<_> = counters.iter().map(|counter| bell.hang(counter.clone().into())).collect();
        bell.unhang(places[7]);
        for rings in 1..4 {
            assert_eq!(rung(&bell), 3, "a ring has three parts");
            for (number, counter) in counters.iter().enumerate() {
                assert_eq!(counter.0.load(Ordering::Relaxed), if number == 7 { 0 } else { rings });
            }
        }
    }

    #[test]
    fn a_place_is_used_again_and_nothing_is_left_of_those_who_went() {
        let bell = Bell::default();
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let places: Vec<_> = (0..10).map(|_| bell.hang(counter.clone().into())).collect();
        bell.unhang(places[3]);
        assert_eq!(bell.hang(counter.clone().into()), places[3]);
        places.into_iter().for_each(|place| bell.unhang(place));
        assert_eq!((bell.hung().wakers.capacity(), Arc::strong_count(&counter)), (0, 1));
    }
}
