//! Which events of a workspace have been accepted, for as long as they can still be asked about.
//!
//! An event that is sent again carries its original's timestamp, so only the events of that time need to be looked
//! through. Time is cut into spans of 8 days, 1 day, 6 hours and 1 hour; a span with few events keeps them all, with
//! the hour of each; a fuller one hands them to the spans of the next level. Within an hour the fingerprints
//! alone are kept, 8 bytes each.

mod codec;
mod hour;
mod node;
#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::node::{HOURS, Node};
use crate::event::{EventSid, Millis, Second};

/// The events of one workspace that were accepted.
///
/// - What was inserted is found until it is forgotten, whatever else is inserted.
/// - A clone is cheap and stays as it is while the original changes: parts are shared until written.
/// - No insertion moves more than some hundred fingerprints.
#[derive(Clone, Debug)]
pub struct Duplicates {
    key: u64,
    /// Ascending by number.
    roots: Vec<Root>,
    len: u64,
}

/// What stands for an event: 64 bits of a keyed hash of its sid and its second.
///
/// Two different events of one hour of one workspace have the same fingerprint, and the later one is taken for a
/// duplicate, with a probability of 2⁻⁶⁴: about 4 in a thousand million over all pairs of 10 million events spread over
/// 30 days. The whole sid would double the memory of the service to save that. The hash is keyed, so that senders who
/// do not know the key cannot choose sids that collide; it is no proof against those who do, nor needs to be, since
/// a sender can only harm its own workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

/// One span of the highest level: hours from `number` × 192 on.
#[derive(Clone, Debug)]
struct Root {
    number: i64,
    node: Node,
}

const ROOT_SECONDS: i64 = HOURS[0] as i64 * 3600;

/// The root of a second, and the hour within it.
fn place(second: Second) -> (i64, u8) {
    (second.0.div_euclid(ROOT_SECONDS), (second.0.rem_euclid(ROOT_SECONDS) / 3600) as u8)
}

impl Duplicates {
    /// None yet. `key` should be random, and stay the same as long as the fingerprints live.
    pub fn new(key: u64) -> Duplicates {
        Duplicates { key, roots: Vec::new(), len: 0 }
    }

    pub fn fingerprint(&self, sid: EventSid, second: Second) -> Fingerprint {
        let mut event = [0; 24];
        event[..16].copy_from_slice(sid.as_bytes());
        event[16..].copy_from_slice(&second.0.to_le_bytes());
        Fingerprint(xxh3_64_with_seed(&event, self.key))
    }

    /// Whether the event was accepted. `second` is that of the fingerprint.
    #[inline]
    pub fn contains(&self, second: Second, fingerprint: Fingerprint) -> bool {
        let (number, hour) = place(second);
        let root = self.find(number).ok().map(|at| &self.roots[at]);
        root.is_some_and(|root| root.node.contains(0, hour, fingerprint.0))
    }

    /// Remembers the event; false if it was there. `second` is that of the fingerprint, one that [`Millis`] can hold.
    pub fn insert(&mut self, second: Second, fingerprint: Fingerprint) -> bool {
        let (first, last) = (Millis::MIN.second(), Millis::MAX.second());
        assert!(first <= second && second <= last, "second {} outside {}..={}", second.0, first.0, last.0);
        let (number, hour) = place(second);
        let at = self.find(number).unwrap_or_else(|at| {
            self.roots.insert(at, Root { number, node: Node::default() });
            at
        });
        let new = self.roots[at].node.insert(0, hour, fingerprint.0);
        self.len += u64::from(new);
        new
    }

    /// Forgets the events of the hours before the one that holds `second`.
    pub fn forget_before(&mut self, second: Second) {
        let (number, hour) = place(second);
        let gone = self.roots.partition_point(|root| root.number < number);
        let mut dropped: u64 = self.roots.drain(..gone).map(|root| root.node.len()).sum();
        if let Some(root) = self.roots.first_mut()
            && root.number == number
        {
            dropped += root.node.forget_before(0, hour);
            if root.node.is_empty() {
                self.roots.remove(0);
            }
        }
        self.len -= dropped;
    }

    /// How many events it remembers.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap, what is shared with clones included. Walks all parts.
    pub fn heap_bytes(&self) -> usize {
        let roots = self.roots.iter().map(|root| root.node.heap_bytes()).sum::<usize>();
        self.roots.capacity() * size_of::<Root>() + roots
    }

    fn find(&self, number: i64) -> Result<usize, usize> {
        // Mostly the newest.
        match self.roots.last() {
            Some(last) if last.number == number => Ok(self.roots.len() - 1),
            _ => self.roots.binary_search_by_key(&number, |root| root.number),
        }
    }
}

/// Inserts, growing by an eighth: most parts stay as they are for 30 days, so that slack would be memory lost.
pub(super) fn insert<T>(column: &mut Vec<T>, at: usize, value: T) {
    if column.len() == column.capacity() {
        column.reserve_exact((column.len() / 8).max(4));
    }
    column.insert(at, value);
}
