//! Up to where a partition has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The position up to which everything that a partition owns is applied and published.
///
/// Its owner moves it on when it has settled a group. For a commit in which nothing was for the partition the journal's
/// writer does so in its place, so that a group of one workspace wakes one thread, however many partitions there are.
#[derive(Debug)]
pub struct Passed {
    position: AtomicU64,
    /// Whether somebody waits for a position, and the owner must hear of each.
    awaited: AtomicBool,
}

impl Passed {
    pub fn new(position: u64) -> Passed {
        Passed { position: AtomicU64::new(position), awaited: AtomicBool::new(false) }
    }

    pub fn position(&self) -> u64 {
        self.position.load(Ordering::SeqCst)
    }

    /// Never back.
    pub fn advance(&self, position: u64) {
        self.position.fetch_max(position, Ordering::SeqCst);
    }

    /// For the owner, before it looks whether what is waited for has been passed.
    pub fn await_more(&self, awaited: bool) {
        self.awaited.store(awaited, Ordering::SeqCst);
    }

    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::SeqCst)
    }

    /// For the writer, after a commit up to `end` without anything of the partition; `told` is the end of the last one
    /// with something. False where the owner has to hear of it: it has not settled that one yet, and must pass the two in
    /// their order, or somebody waits for a position.
    ///
    /// Either this sees that somebody waits, or the owner, which says so before it looks, sees the position.
    pub fn skip(&self, told: u64, end: u64) -> bool {
        if self.position() < told {
            return false;
        }
        self.advance(end);
        !self.is_awaited()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_settled_is_not_passed_over() {
        let passed = Passed::new(10);
        assert!(!passed.skip(15, 20), "the group that ends at 15 is not settled");
        assert_eq!(passed.position(), 10);
        passed.advance(15);
        assert!(passed.skip(15, 20));
        assert_eq!(passed.position(), 20);
        passed.await_more(true);
        assert!(!passed.skip(15, 30), "somebody waits");
        assert_eq!(passed.position(), 30);
        passed.advance(20);
        assert_eq!(passed.position(), 30);
    }
}
