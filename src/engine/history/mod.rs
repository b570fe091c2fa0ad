//! Every counted event of one series for 30 days, and what any stretch of them adds up to.
//!
//! Time is cut into spans of 8 days, 1 day, 6 hours, 1 hour, 10 minutes, 1 minute, 10 seconds and 1 second, aligned
//! to the epoch. A span with few events keeps them as they are; a fuller one keeps their sum and hands them to the
//! spans of the next level. So memory follows events rather than time, at any density, and a question folds an exact
//! cover of its interval: at most a few sums at each level, and two leaves at its edges.
//!
//! Waits are split at whole seconds, up to 30 days, so a histogram by whole second is exact.

mod aggregate;
mod codec;
mod histogram;
mod leaf;
mod node;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::node::{Node, SPANS};
use super::totals::{Figure, Sample, Totals};
use crate::event::{Millis, Second, SecondRange};

/// The cumulative index of one series: the events of a workspace's one channel.
///
/// - The order of additions never shows.
/// - A clone is cheap and stays as it is while the original changes: spans are shared until written.
/// - No addition does work that grows with the number of events held.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The newest additions, in order of arrival. They enter the spans together, which shares the way down; and a
    /// series with few events has no spans at all.
    recent: Vec<Recent>,
    /// Ascending by number.
    roots: Vec<Root>,
    len: u64,
}

/// So many additions wait before they enter the spans.
const RECENT_MAX: usize = 128;

/// Sums count in 32 bits. Four thousand million events are hundreds of gigabytes with all that belongs to them.
const LEN_MAX: u64 = u32::MAX as u64;

const ROOT_SECONDS: i64 = SPANS[0] as i64;
const ROOT_KEYS: i64 = ROOT_SECONDS * 16;

/// An event not yet in the spans: `key` is its second and figure, as 16ths of a second.
#[derive(Clone, Copy, Debug)]
struct Recent {
    key: i64,
    wait_ms: u64,
}

/// An event in a span: `place` is its second within the root and its figure, as 16ths of a second.
#[derive(Clone, Copy, Debug)]
struct Row {
    place: u32,
    wait_ms: u64,
}

/// One span of the highest level: seconds from `number` × 8 days on.
#[derive(Clone, Debug)]
struct Root {
    number: i64,
    node: Node,
}

const _: () = assert!(Figure::COUNT <= 16 && ROOT_KEYS < u32::MAX as i64);

impl History {
    /// Counts one event. The second must be one that [`Millis`] can hold.
    pub fn add(&mut self, second: Second, sample: Sample) {
        let (first, last) = (Millis::MIN.second(), Millis::MAX.second());
        assert!(first <= second && second <= last, "second {} outside {}..={}", second.0, first.0, last.0);
        assert!(self.len < LEN_MAX, "a series holds {} events, the most is {LEN_MAX}", self.len);
        self.len += 1;
        if self.recent.len() == self.recent.capacity() {
            self.recent.reserve_exact((self.recent.len() / 2).max(4));
        }
        let wait_ms = if sample.figure.has_wait() { sample.wait_ms } else { 0 };
        self.recent.push(Recent { key: second.0 * 16 + sample.figure as i64, wait_ms });
        if self.recent.len() >= RECENT_MAX {
            self.settle();
        }
    }

    /// Adds what lies in `range` to `totals`, whose splits say the thresholds (1 to 2,592,000 seconds). Several series
    /// are summed into one `totals`.
    pub fn sum_into(&self, range: SecondRange, totals: &mut Totals) {
        let (start, end) = (range.start().0, range.end().0);
        // By key, with one comparison for each: what lies before the first wraps to a large distance.
        let (first_key, end_key) = (start.saturating_mul(16), end.saturating_mul(16));
        let length = end_key.wrapping_sub(first_key) as u64;
        for recent in self.recent.iter().filter(|recent| (recent.key.wrapping_sub(first_key) as u64) < length) {
            totals.add(recent.sample());
        }
        let first = start.div_euclid(ROOT_SECONDS);
        let from = self.roots.partition_point(|root| root.number < first);
        for root in &self.roots[from..] {
            let base = root.number * ROOT_SECONDS;
            if base >= end {
                break;
            }
            let place = |second: i64| (second.clamp(base, base + ROOT_SECONDS) - base) as u32 * 16;
            root.node.sum_into(0, 0, &(place(start)..place(end)), totals);
        }
    }

    /// Drops what lies before `second`; nothing may be asked about it any more. Cheap enough for every minute: costs
    /// what is dropped, and a walk down one edge.
    pub fn forget_before(&mut self, second: Second) {
        let recent = self.recent.len();
        self.recent.retain(|recent| recent.second() >= second);
        let mut dropped = (recent - self.recent.len()) as u64;
        let number = second.0.div_euclid(ROOT_SECONDS);
        let gone = self.roots.partition_point(|root| root.number < number);
        dropped += self.roots.drain(..gone).map(|root| root.node.len()).sum::<u64>();
        if let Some(root) = self.roots.first_mut()
            && root.number == number
        {
            let place = second.0.rem_euclid(ROOT_SECONDS) as u32 * 16;
            dropped += root.node.forget_before(0, place);
            if root.node.is_empty() {
                self.roots.remove(0);
            }
        }
        self.len -= dropped;
    }

    /// How many events it holds.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap, what is shared with clones included. Walks all spans.
    pub fn heap_bytes(&self) -> usize {
        let roots = self.roots.iter().map(|root| root.node.heap_bytes()).sum::<usize>();
        self.recent.capacity() * size_of::<Recent>() + self.roots.capacity() * size_of::<Root>() + roots
    }

    /// Moves the recent additions into the spans.
    fn settle(&mut self) {
        let mut recent = std::mem::take(&mut self.recent);
        recent.sort_unstable_by_key(|recent| recent.key);
        let mut rows = Vec::with_capacity(recent.len());
        for part in recent.chunk_by(|a, b| a.key.div_euclid(ROOT_KEYS) == b.key.div_euclid(ROOT_KEYS)) {
            let number = part[0].key.div_euclid(ROOT_KEYS);
            let row = |recent: &Recent| Row { place: recent.key.rem_euclid(ROOT_KEYS) as u32, wait_ms: recent.wait_ms };
            rows.clear();
            rows.extend(part.iter().map(row));
            self.root(number).add(0, &rows);
        }
        recent.clear();
        self.recent = recent;
    }

    fn root(&mut self, number: i64) -> &mut Node {
        let at = self.roots.binary_search_by_key(&number, |root| root.number).unwrap_or_else(|at| {
            self.roots.insert(at, Root { number, node: Node::Leaf(Arc::default()) });
            at
        });
        &mut self.roots[at].node
    }
}

impl Recent {
    fn second(&self) -> Second {
        Second(self.key.div_euclid(16))
    }

    fn sample(&self) -> Sample {
        Sample { figure: Figure::ALL[self.key.rem_euclid(16) as usize], wait_ms: self.wait_ms }
    }
}

impl Row {
    fn figure(&self) -> usize {
        (self.place & 15) as usize
    }
}
