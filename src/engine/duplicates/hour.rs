//! The fingerprints of one busy hour.

use std::sync::Arc;

/// A hash table that grows by one shard at a time (linear hashing), so that no growth stops the world: a shard is a
/// short sorted list, addressed by the low bits of the fingerprint, which are as good as random.
///
/// - With `n` shards, and `m` the power of two up to `n`, shards below `n - m` have been split, and take one bit more.
/// - Each shard ascends, without repetitions.
/// - There is at least one fingerprint, and there are just as many shards as keep [`SHARD_MEAN`].
#[derive(Clone, Debug)]
pub(super) struct Hour {
    shards: Vec<Arc<Vec<u64>>>,
    len: u64,
}

/// Fingerprints a shard, on average.
const SHARD_MEAN: u64 = 192;

impl Hour {
    /// From fingerprints, at least one, that ascend without repetitions.
    pub fn new(fingerprints: Vec<u64>) -> Hour {
        let mut hour = Hour { len: fingerprints.len() as u64, shards: vec![Arc::new(fingerprints)] };
        while hour.is_crowded() {
            hour.split();
        }
        hour
    }

    /// From shards as [`Hour::shards`] gave them; `None` if they are not.
    pub fn from_shards(shards: Vec<Vec<u64>>) -> Option<Hour> {
        let len = shards.iter().map(|shard| shard.len() as u64).sum();
        let hour = Hour { shards: shards.into_iter().map(Arc::new).collect(), len };
        if len == 0 || hour.shards.len() as u64 != len.div_ceil(SHARD_MEAN) {
            return None;
        }
        let mut shards = hour.shards.iter().enumerate();
        let sound = shards.all(|(at, shard)| {
            shard.is_sorted_by(|a, b| a < b) && shard.iter().all(|&fingerprint| hour.address(fingerprint) == at)
        });
        sound.then_some(hour)
    }

    pub fn shards(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.shards.iter().map(|shard| shard.as_slice())
    }

    pub fn contains(&self, fingerprint: u64) -> bool {
        self.shards[self.address(fingerprint)].binary_search(&fingerprint).is_ok()
    }

    /// False if it was there.
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        let at = self.address(fingerprint);
        let shard = &mut self.shards[at];
        let Err(place) = shard.binary_search(&fingerprint) else { return false };
        super::insert(Arc::make_mut(shard), place, fingerprint);
        self.len += 1;
        if self.is_crowded() {
            self.split();
        }
        true
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn heap_bytes(&self) -> usize {
        let shards = self.shards.iter().map(|shard| size_of::<Vec<u64>>() + 16 + shard.capacity() * 8);
        self.shards.capacity() * 8 + shards.sum::<usize>()
    }

    fn is_crowded(&self) -> bool {
        self.len > self.shards.len() as u64 * SHARD_MEAN
    }

    /// Moves half of one shard to a new one at the end.
    fn split(&mut self) {
        let count = self.shards.len();
        let bit = 1 << count.ilog2();
        let shard = &mut self.shards[count - bit];
        let (stay, go): (Vec<u64>, Vec<u64>) = shard.iter().partition(|&&fingerprint| fingerprint & bit as u64 == 0);
        *shard = Arc::new(exact(stay));
        self.shards.push(Arc::new(exact(go)));
    }

    fn address(&self, fingerprint: u64) -> usize {
        let count = self.shards.len();
        let bit = 1usize << count.ilog2();
        let at = fingerprint as usize & (2 * bit - 1);
        if at < count { at } else { at & (bit - 1) }
    }
}

fn exact(mut fingerprints: Vec<u64>) -> Vec<u64> {
    fingerprints.shrink_to_fit();
    fingerprints
}
