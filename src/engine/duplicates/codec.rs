//! The accepted events as bytes. Fingerprints are as good as random, so they are written as they are; the spans
//! are written as they lie, so that reading them back takes no hashing and no sorting.
//!
//! Format: version; key; roots (number, span). A span is 0, count, fingerprints, hours; or 1, count, parts (start,
//! span); or 2, count, shards (count, fingerprints).

use std::sync::Arc;

use super::hour::Hour;
use super::node::{Branch, Child, HOURS, LEAF_MAX, Leaf, Node};
use super::{Duplicates, ROOT_SECONDS, Root};
use crate::engine::varint::{Damaged, Spill, put, put_signed, take, take_count, take_signed, take_up_to};
use crate::event::Millis;

const VERSION: u64 = 1;

const LEAF: u64 = 0;
const BRANCH: u64 = 1;
const HOUR: u64 = 2;

impl Duplicates {
    /// Appends everything held, the key included, in a form that [`Duplicates::decode`] reads back: some 8 bytes an
    /// event.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_in_parts(out, &mut |_| ());
    }

    /// The same, calling `spill` again and again with what there is so far, which it may take.
    pub fn encode_in_parts(&self, out: &mut Vec<u8>, spill: &mut Spill<'_>) {
        put(out, VERSION);
        put(out, self.key);
        put(out, self.roots.len() as u64);
        for root in &self.roots {
            put_signed(out, root.number);
            put_node(out, spill, &root.node);
        }
    }

    /// Reads what [`Duplicates::encode`] wrote, from the front of `bytes`. Any other bytes give an error or some set,
    /// never a panic, and take memory in proportion to their own length at most.
    pub fn decode(bytes: &mut &[u8]) -> Result<Duplicates, Damaged> {
        if take(bytes)? != VERSION {
            return Err(Damaged("accepted events of an unknown version"));
        }
        let mut duplicates = Duplicates::new(take(bytes)?);
        let numbers = Millis::MIN.second().0.div_euclid(ROOT_SECONDS)..=Millis::MAX.second().0.div_euclid(ROOT_SECONDS);
        for _ in 0..take_count(bytes, 3)? {
            let number = take_signed(bytes)?;
            if !numbers.contains(&number) || duplicates.roots.last().is_some_and(|last| last.number >= number) {
                return Err(Damaged("spans of accepted events out of order"));
            }
            let node = take_node(bytes, 0, 0)?;
            duplicates.len += node.len();
            duplicates.roots.push(Root { number, node });
        }
        Ok(duplicates)
    }
}

fn put_node(out: &mut Vec<u8>, spill: &mut Spill<'_>, node: &Node) {
    match node {
        Node::Leaf(leaf) => {
            put(out, LEAF);
            put_fingerprints(out, &leaf.fingerprints);
            out.extend_from_slice(&leaf.hours);
        }
        Node::Branch(branch) => {
            put(out, BRANCH);
            put(out, branch.children.len() as u64);
            for child in &branch.children {
                put(out, u64::from(child.start));
                put_node(out, spill, &child.node);
            }
        }
        Node::Hour(hour) => {
            put(out, HOUR);
            put(out, hour.shards().len() as u64);
            hour.shards().for_each(|shard| {
                put_fingerprints(out, shard);
                spill(out);
            });
        }
    }
    spill(out);
}

/// A span of this level from hour `start` on.
fn take_node(bytes: &mut &[u8], level: usize, start: u8) -> Result<Node, Damaged> {
    let last = level + 1 == HOURS.len();
    match take(bytes)? {
        LEAF => take_leaf(bytes, start..=start + (HOURS[level] - 1)),
        BRANCH if !last => {
            let mut branch = Branch::default();
            let span = HOURS[level + 1];
            let count = take_count(bytes, 3)?;
            if count == 0 || count > usize::from(HOURS[level] / span) {
                return Err(Damaged("too few or too many parts of a span"));
            }
            let mut least = start;
            for left in (0..count).rev() {
                let most = start + (HOURS[level] - span) - left as u8 * span;
                let start = take_up_to(bytes, u64::from(most))? as u8;
                if start < least || !start.is_multiple_of(span) {
                    return Err(Damaged("parts of a span out of order"));
                }
                branch.children.push(Child { start, node: take_node(bytes, level + 1, start)? });
                least = start.saturating_add(span);
            }
            Ok(Node::Branch(Arc::new(branch)))
        }
        HOUR if last => {
            let count = take_count(bytes, 1)?;
            let shards = (0..count).map(|_| take_fingerprints(bytes)).collect::<Result<Vec<_>, _>>()?;
            let hour = Hour::from_shards(shards).ok_or(Damaged("fingerprints out of order"))?;
            Ok(Node::Hour(Arc::new(hour)))
        }
        _ => Err(Damaged("no such form of a span")),
    }
}

fn take_leaf(bytes: &mut &[u8], span: std::ops::RangeInclusive<u8>) -> Result<Node, Damaged> {
    let fingerprints = take_fingerprints(bytes)?;
    let Some((hours, rest)) = bytes.split_at_checked(fingerprints.len()) else {
        return Err(Damaged("hours are cut short"));
    };
    *bytes = rest;
    let leaf = Leaf { fingerprints, hours: hours.to_vec() };
    let sound = leaf.events().is_sorted_by(|a, b| a < b) && leaf.hours.iter().all(|hour| span.contains(hour));
    if leaf.len() == 0 || leaf.len() > LEAF_MAX || !sound {
        return Err(Damaged("events of a span out of order"));
    }
    Ok(Node::Leaf(Arc::new(leaf)))
}

fn put_fingerprints(out: &mut Vec<u8>, fingerprints: &[u64]) {
    put(out, fingerprints.len() as u64);
    out.reserve(fingerprints.len() * 8);
    for fingerprint in fingerprints {
        out.extend_from_slice(&fingerprint.to_le_bytes());
    }
}

fn take_fingerprints(bytes: &mut &[u8]) -> Result<Vec<u64>, Damaged> {
    let count = take_count(bytes, 8)?;
    let (taken, rest) = bytes.split_at(count * 8);
    *bytes = rest;
    let (words, _) = taken.as_chunks::<8>();
    Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}
