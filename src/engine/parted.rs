//! A hash table for what may be none, a few or millions: it takes little more than its entries, and grows, and is copied,
//! in small parts.
//!
//! One table doubles at some insertion, and moves all that it holds while the batch of that insertion waits; to copy it
//! for a checkpoint takes as long. Here the entries lie in blocks that are full, all but the last, and never move to make
//! room. Where each lies is told by an index of 8 bytes an entry, in parts of which one at a time is split (linear
//! hashing, as `duplicates/hour.rs` does it). A copy shares blocks and parts until one of the two changes them.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::sync::Arc;

use foldhash::quality::RandomState;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duplicates::insert;

/// Entries a block: few enough to be copied in a microsecond, many enough that what a block takes for itself is little
/// beside them.
const BLOCK: usize = 32;

/// So many entries are looked through, which is as fast as to look them up, and need no index. At most a block.
const SCANNED: usize = 16;

/// Marks a part, on average: few enough to be searched as fast as a hash table is.
const PART_MEAN: usize = 64;

/// Keys and values, like [`Table`](super::table::Table), but without the half of a table that is empty after it doubled.
///
/// - The entries are numbered without a gap: where one goes, the last takes its number.
/// - Once there are more than [`SCANNED`], and until there are none, there is an index.
#[derive(Clone)]
pub struct Parted<K, V> {
    /// None is empty; all are full but the last.
    blocks: Vec<Arc<Vec<(K, V)>>>,
    index: Option<Box<Index>>,
}

/// A mark for each entry.
///
/// With `n` parts, and `m` the power of two up to `n`, parts below `n - m` have been split, and take one bit more. There
/// are just as many as keep [`PART_MEAN`] at the most that there were since it was made, and at least one.
#[derive(Clone)]
struct Index {
    parts: Vec<Arc<Vec<Mark>>>,
    /// Keyed per process, because callers choose the ids; of the better kind, because parts are chosen by the lowest bits.
    hasher: RandomState,
}

/// Where an entry lies. Those of a part ascend by hash.
#[derive(Clone, Copy)]
struct Mark {
    hash: u32,
    number: u32,
}

impl<K, V> Default for Parted<K, V> {
    fn default() -> Self {
        Parted { blocks: Vec::new(), index: None }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Parted<K, V> {
    pub fn len(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let number = self.find(self.hash(key), key)?;
        Some(&self.entry(number).1)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        // What is not there is no reason to copy a block; nor below.
        let number = self.find(self.hash(key), key)?;
        Some(&mut self.entry_mut(number).1)
    }

    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let hash = self.hash(&key);
        let number = match self.find(hash, &key) {
            Some(number) => number,
            None => self.add(hash, key, V::default()),
        };
        &mut self.entry_mut(number).1
    }

    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(self.hash(key), key).is_some()
    }

    /// Answers the value that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.hash(&key);
        match self.find(hash, &key) {
            Some(number) => Some(std::mem::replace(&mut self.entry_mut(number).1, value)),
            None => {
                self.add(hash, key, value);
                None
            }
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.hash(key);
        let number = self.find(hash, key)?;
        if let Some(index) = &mut self.index {
            index.take(hash, number);
        }
        let block = self.blocks.last_mut()?;
        let last = Arc::make_mut(block).pop()?;
        if block.is_empty() {
            self.blocks.pop();
        }
        let count = self.len();
        if count == 0 {
            *self = Parted::default();
        }
        if number == count {
            return Some(last.1);
        }
        if let Some(index) = &mut self.index {
            let hash = index.hash(&last.0);
            index.take(hash, count);
            index.put(hash, number);
        }
        Some(std::mem::replace(self.entry_mut(number), last).1)
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.blocks.iter().flat_map(|block| block.iter()).map(|(key, value)| (key, value))
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub fn retain(&mut self, keeps: impl Fn(&V) -> bool) {
        let kept = self.values().filter(|value| keeps(value)).count();
        if kept < self.len() / 8 * 7 {
            // Much goes, as after a long stop: to make it anew takes less than to take each out.
            *self = std::mem::take(self).into_iter().filter(|(_, value)| keeps(value)).collect();
            return;
        }
        // From the last on, so that what takes the place of another has been looked at.
        for number in (0..self.len()).rev() {
            let (key, value) = self.entry(number);
            if !keeps(value) {
                self.remove(&key.clone());
            }
        }
    }

    fn entry(&self, number: usize) -> &(K, V) {
        &self.blocks[number / BLOCK][number % BLOCK]
    }

    fn entry_mut(&mut self, number: usize) -> &mut (K, V) {
        &mut Arc::make_mut(&mut self.blocks[number / BLOCK])[number % BLOCK]
    }

    /// Of no meaning while there is no index.
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        self.index.as_ref().map_or(0, |index| index.hash(key))
    }

    /// The number of an entry.
    fn find<Q: Eq + ?Sized>(&self, hash: u32, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        match &self.index {
            Some(index) => index.numbers(hash).find(|number| self.entry(*number).0.borrow() == key),
            None => self.blocks.first()?.iter().position(|(held, _)| held.borrow() == key),
        }
    }

    /// Adds an entry that is not there; answers its number.
    fn add(&mut self, hash: u32, key: K, value: V) -> usize {
        let number = self.len();
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK => {
                let last = Arc::make_mut(last);
                if last.len() == last.capacity() {
                    last.reserve_exact((last.len() / 4).clamp(1, BLOCK - last.len()));
                }
                last.push((key, value));
            }
            _ => {
                // Most tables stay small.
                let mut block = Vec::with_capacity(if number == 0 { 1 } else { BLOCK });
                block.push((key, value));
                if number == 0 {
                    self.blocks.reserve_exact(1);
                }
                self.blocks.push(Arc::new(block));
            }
        }
        match &mut self.index {
            Some(index) => {
                index.put(hash, number);
                index.keep_to(number + 1);
            }
            None if number == SCANNED => self.index = Some(Box::new(Index::of(self.iter().map(|(key, _)| key)))),
            None => {}
        }
        number
    }
}

impl Index {
    /// Of few keys, in the order of their numbers.
    fn of<'a, K: Hash + 'a>(keys: impl Iterator<Item = &'a K>) -> Index {
        let mut index = Index { parts: vec![Arc::default()], hasher: RandomState::default() };
        for (number, key) in keys.enumerate() {
            index.put(index.hash(key), number);
        }
        index
    }

    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    /// The numbers of the entries with this hash.
    fn numbers(&self, hash: u32) -> impl Iterator<Item = usize> {
        let part = &self.parts[address(hash, self.parts.len())];
        let same = part[first_of(part, hash)..].iter().take_while(move |mark| mark.hash == hash);
        same.map(|mark| mark.number as usize)
    }

    /// `number` fits: four thousand million entries are hundreds of gigabytes.
    fn put(&mut self, hash: u32, number: usize) {
        let at = address(hash, self.parts.len());
        let part = Arc::make_mut(&mut self.parts[at]);
        insert(part, first_of(part, hash), Mark { hash, number: number as u32 });
    }

    fn take(&mut self, hash: u32, number: usize) {
        let at = address(hash, self.parts.len());
        let part = Arc::make_mut(&mut self.parts[at]);
        let from = first_of(part, hash);
        if let Some(at) = part[from..].iter().position(|mark| mark.number as usize == number) {
            part.remove(from + at);
        }
    }

    /// With so many entries there may have to be another part: half of one, moved to a new one at the end.
    fn keep_to(&mut self, entries: usize) {
        let count = self.parts.len();
        if entries <= count * PART_MEAN {
            return;
        }
        let bit = 1 << count.ilog2();
        let marks = std::mem::take(&mut self.parts[count - bit]);
        let (go, stay): (Vec<Mark>, Vec<Mark>) = marks.iter().partition(|mark| mark.hash as usize & bit != 0);
        self.parts[count - bit] = Arc::new(exact(stay));
        self.parts.push(Arc::new(exact(go)));
    }
}

impl<K: Clone, V: Clone> IntoIterator for Parted<K, V> {
    type Item = (K, V);
    type IntoIter =
        std::iter::FlatMap<std::vec::IntoIter<Arc<Vec<(K, V)>>>, Vec<(K, V)>, fn(Arc<Vec<(K, V)>>) -> Vec<(K, V)>>;

    /// In no order.
    fn into_iter(self) -> Self::IntoIter {
        self.blocks.into_iter().flat_map(Arc::unwrap_or_clone)
    }
}

impl<K: Hash + Eq + Clone, V: Clone> FromIterator<(K, V)> for Parted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut parted = Parted::default();
        for (key, value) in entries {
            parted.insert(key, value);
        }
        parted
    }
}

/// The first mark that is not before this hash.
fn first_of(part: &[Mark], hash: u32) -> usize {
    part.partition_point(|mark| mark.hash < hash)
}

fn exact(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.shrink_to_fit();
    marks
}

fn address(hash: u32, count: usize) -> usize {
    let bit = 1usize << count.ilog2();
    let at = hash as usize & (2 * bit - 1);
    if at < count { at } else { at & (bit - 1) }
}

impl<K: Serialize + Hash + Eq + Clone, V: Serialize + Clone> Serialize for Parted<K, V> {
    /// As a map.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K, V> Deserialize<'de> for Parted<K, V>
where
    K: Deserialize<'de> + Hash + Eq + Clone,
    V: Deserialize<'de> + Clone,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Entries<K, V>
where
    K: Deserialize<'de> + Hash + Eq + Clone,
    V: Deserialize<'de> + Clone,
{
    type Value = Parted<K, V>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parted<K, V>, A::Error> {
        let mut parted = Parted::default();
        while let Some((key, value)) = entries.next_entry()? {
            parted.insert(key, value);
        }
        Ok(parted)
    }
}
