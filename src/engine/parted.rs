//! A hash table for what may come to be millions: it grows, and is copied, in small parts.
//!
//! One table doubles at some insertion, and moves all that it holds while the batch of that insertion waits; to copy it
//! for a checkpoint takes as long. This one grows by a part at a time (linear hashing, as `duplicates/hour.rs` does it), and
//! a copy shares the parts until one of the two changes them.

use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::sync::Arc;

use foldhash::quality::RandomState;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duplicates::insert;

/// Entries a part, on average: few enough to be searched as fast as a hash table is, and to be moved or copied in a
/// microsecond; many enough that what a part takes for itself is little beside them.
const PART_MEAN: usize = 32;

/// Keys and values, like [`Table`](super::table::Table), but without the half of a table that is empty after it doubled.
///
/// - With `n` parts, and `m` the power of two up to `n`, parts below `n - m` have been split, and take one bit more.
/// - There are just as many parts as keep [`PART_MEAN`] at the most that it ever held.
#[derive(Clone)]
pub struct Parted<K, V> {
    parts: Vec<Arc<Part<K, V>>>,
    len: usize,
    /// Keyed per process, because callers choose the ids; of the better kind, because parts are chosen by the lowest bits.
    hasher: RandomState,
}

/// Parallel columns, ascending by key.
#[derive(Clone)]
struct Part<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Parted<K, V> {
    fn default() -> Self {
        Parted { parts: Vec::new(), len: 0, hasher: RandomState::default() }
    }
}

impl<K, V> Default for Part<K, V> {
    fn default() -> Self {
        Part { keys: Vec::new(), values: Vec::new() }
    }
}

impl<K: Hash + Ord + Clone, V: Clone> Parted<K, V> {
    pub fn len(&self) -> usize {
        self.len
    }

    fn address(&self, key: &K) -> usize {
        address(self.hasher.hash_one(key), self.parts.len())
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        let part = self.parts.get(self.address(key))?;
        part.keys.binary_search(key).ok().map(|at| &part.values[at])
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.address(key);
        let part = self.parts.get_mut(at)?;
        // What is not there is no reason to copy a part; nor below.
        let at = part.keys.binary_search(key).ok()?;
        Some(&mut Arc::make_mut(part).values[at])
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Answers the value that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.parts.is_empty() {
            self.parts.push(Arc::default());
        }
        let at = self.address(&key);
        let part = Arc::make_mut(&mut self.parts[at]);
        match part.keys.binary_search(&key) {
            Ok(at) => Some(std::mem::replace(&mut part.values[at], value)),
            Err(at) => {
                insert(&mut part.keys, at, key);
                insert(&mut part.values, at, value);
                self.len += 1;
                if self.len > self.parts.len() * PART_MEAN {
                    self.split();
                }
                None
            }
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.address(key);
        let part = self.parts.get_mut(at)?;
        let at = part.keys.binary_search(key).ok()?;
        let part = Arc::make_mut(part);
        self.len -= 1;
        part.keys.remove(at);
        Some(part.values.remove(at))
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|part| part.keys.iter().zip(&part.values))
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| &part.values)
    }

    pub fn retain(&mut self, keeps: impl Fn(&V) -> bool) {
        for part in &mut self.parts {
            if part.values.iter().all(&keeps) {
                continue;
            }
            let kept: Part<K, V> =
                part.keys.iter().cloned().zip(part.values.iter().cloned()).filter(|(_, value)| keeps(value)).collect();
            self.len -= part.keys.len() - kept.keys.len();
            *part = Arc::new(kept);
        }
    }

    /// Moves half of one part to a new one at the end.
    fn split(&mut self) {
        let count = self.parts.len();
        let bit = 1 << count.ilog2();
        let Part { keys, values } = Arc::unwrap_or_clone(std::mem::take(&mut self.parts[count - bit]));
        let goes = |(key, _): &(K, V)| self.hasher.hash_one(key) as usize & bit != 0;
        let (go, stay): (Vec<_>, Vec<_>) = keys.into_iter().zip(values).partition(goes);
        self.parts[count - bit] = Arc::new(stay.into_iter().collect());
        self.parts.push(Arc::new(go.into_iter().collect()));
    }
}

impl<K, V> FromIterator<(K, V)> for Part<K, V> {
    /// The keys must ascend.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let (mut keys, mut values): (Vec<K>, Vec<V>) = entries.into_iter().unzip();
        keys.shrink_to_fit();
        values.shrink_to_fit();
        Part { keys, values }
    }
}

fn address(hash: u64, count: usize) -> usize {
    let bit = 1usize << count.max(1).ilog2();
    let at = hash as usize & (2 * bit - 1);
    if at < count { at } else { at & (bit - 1) }
}

impl<K: Serialize + Hash + Ord + Clone, V: Serialize + Clone> Serialize for Parted<K, V> {
    /// As a map.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K, V> Deserialize<'de> for Parted<K, V>
where
    K: Deserialize<'de> + Hash + Ord + Clone,
    V: Deserialize<'de> + Clone,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Entries<K, V>
where
    K: Deserialize<'de> + Hash + Ord + Clone,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn sound(parted: &Parted<u64, u64>) {
        assert_eq!(parted.parts.iter().map(|part| part.keys.len()).sum::<usize>(), parted.len);
        for (at, part) in parted.parts.iter().enumerate() {
            assert!(part.keys.is_sorted() && part.keys.len() == part.values.len());
            for key in &part.keys {
                assert_eq!(address(parted.hasher.hash_one(key), parted.parts.len()), at, "{key}");
            }
        }
    }

    #[test]
    fn no_insertion_moves_more_than_a_part() {
        let mut parted = Parted::default();
        for key in 0..20_000_u64 {
            let before: Vec<usize> = parted.parts.iter().map(|part| Arc::as_ptr(part) as usize).collect();
            parted.insert(key, key);
            let moved =
                before.iter().zip(&parted.parts).filter(|(before, part)| **before != Arc::as_ptr(part) as usize);
            assert!(moved.count() <= 1);
        }
        sound(&parted);
        assert_eq!(parted.parts.len(), 20_000_usize.div_ceil(PART_MEAN));
        let largest = parted.parts.iter().map(|part| part.keys.len()).max();
        assert!(largest < Some(4 * PART_MEAN), "{largest:?}");
    }

    #[test]
    fn a_copy_shares_all_but_what_changes() {
        let mut parted: Parted<u64, u64> = Parted::default();
        for key in 0..20_000 {
            parted.insert(key, key);
        }
        let copy = parted.clone();
        assert_eq!(parted.remove(&99_999), None);
        *parted.get_mut(&7).unwrap() = 8;
        let shared = parted.parts.iter().zip(&copy.parts).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!((shared, copy.get(&7), parted.get(&7)), (parted.parts.len() - 1, Some(&7), Some(&8)));
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0..3_u8, 0..4_000_u64, 0..100_u64), 0..6_000)) {
            let (mut parted, mut model) = (Parted::default(), BTreeMap::new());
            for (step, key, value) in steps {
                match step {
                    0 => prop_assert_eq!(parted.remove(&key), model.remove(&key)),
                    _ => prop_assert_eq!(parted.insert(key, value), model.insert(key, value)),
                }
            }
            parted.retain(|value| *value != 5);
            model.retain(|_, value| *value != 5);
            sound(&parted);
            let back: Parted<u64, u64> = postcard::from_bytes(&postcard::to_stdvec(&parted).unwrap()).unwrap();
            for table in [parted, back] {
                prop_assert_eq!(table.iter().map(|(key, value)| (*key, *value)).collect::<BTreeMap<_, _>>(), model.clone());
                prop_assert!((0..4_000).all(|key| table.get(&key) == model.get(&key)));
            }
        }
    }
}
