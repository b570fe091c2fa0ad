//! How many waits were shorter than so many seconds.

use std::sync::Arc;

/// Thresholds end at 30 days, so longer waits need not be told apart.
pub(super) const LONGEST: u32 = 2_592_000;

/// Waits by whole second, clamped at [`LONGEST`]: exact for every threshold in whole seconds up to that.
///
/// Its size follows the number of different seconds, never the number of waits. No insertion moves more than
/// [`SPARSE_MAX`] runs or touches more than one number for each chunk, whatever the waits are.
#[derive(Clone, Debug)]
pub(super) enum Histogram {
    Flat(Sparse),
    Wide(Wide),
}

/// Above so many different seconds a histogram is cut into chunks, and a chunk becomes dense.
const SPARSE_MAX: usize = 1024;

/// Seconds in a chunk of [`Wide`], as a power of two.
const CHUNK_BITS: u32 = 12;
const CHUNK_SECONDS: u32 = 1 << CHUNK_BITS;

/// Sorted runs, and a few waits that are not merged into them yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    runs: Vec<Run>,
    /// Unsorted, so that an insertion does not move the runs; few, so that counting them is quick.
    fresh: Vec<u32>,
}

/// `up_to` waits are of at most `second` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    second: u32,
    up_to: u32,
}

/// Chunks of 4,096 seconds, up to the longest wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Wide {
    /// Shared between clones until they change.
    chunks: Vec<Arc<Chunk>>,
    /// How many waits the chunks before each have; and, at the end, how many there are.
    before: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Chunk {
    Sparse(Sparse),
    Dense(Dense),
}

/// One number for each second, as a Fenwick tree: additions and sums in six steps on average.
#[derive(Clone, Debug)]
struct Dense {
    tree: Vec<u32>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::Flat(Sparse::default())
    }
}

impl Histogram {
    /// Counts a wait of so many whole seconds, at most [`LONGEST`].
    pub fn add(&mut self, second: u32) {
        match self {
            Histogram::Flat(flat) => {
                if flat.add(second) {
                    self.widen_if_full();
                }
            }
            Histogram::Wide(wide) => wide.chunk(second >> CHUNK_BITS, 1).add(second),
        }
    }

    /// Counts `(second, how many)` pairs that ascend by second.
    pub fn add_sorted(&mut self, pairs: &[(u32, u32)]) {
        match self {
            Histogram::Flat(flat) => flat.merge(pairs),
            Histogram::Wide(wide) => wide.add_sorted(pairs),
        }
        self.widen_if_full();
    }

    /// How many waits were shorter than `threshold` seconds.
    pub fn below(&self, threshold: u32) -> u64 {
        u64::from(match self {
            Histogram::Flat(flat) => flat.below(threshold),
            Histogram::Wide(wide) => wide.below(threshold),
        })
    }

    /// Everything as `(second, how many)`, ascending by second, each second once.
    pub fn pairs(&self) -> Vec<(u32, u32)> {
        match self {
            Histogram::Flat(flat) => flat.pairs(),
            Histogram::Wide(wide) => wide.pairs(),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Histogram::Flat(flat) => flat.heap_bytes(),
            Histogram::Wide(wide) => {
                let chunks = wide.chunks.iter().map(|chunk| size_of::<Chunk>() + 16 + chunk.heap_bytes());
                wide.chunks.capacity() * 8 + wide.before.capacity() * 4 + chunks.sum::<usize>()
            }
        }
    }

    fn widen_if_full(&mut self) {
        if let Histogram::Flat(flat) = self
            && flat.runs.len() > SPARSE_MAX
        {
            let mut wide = Wide::default();
            wide.add_sorted(&flat.pairs());
            *self = Histogram::Wide(wide);
        }
    }
}

impl Wide {
    fn add_sorted(&mut self, pairs: &[(u32, u32)]) {
        for part in pairs.chunk_by(|a, b| a.0 >> CHUNK_BITS == b.0 >> CHUNK_BITS) {
            let count = part.iter().map(|pair| pair.1).sum();
            self.chunk(part[0].0 >> CHUNK_BITS, count).add_sorted(part);
        }
    }

    /// The chunk with this index, to which the caller adds so many waits.
    fn chunk(&mut self, index: u32, count: u32) -> &mut Chunk {
        let index = index as usize;
        if index >= self.chunks.len() {
            let all = self.before.last().copied().unwrap_or(0);
            self.chunks.resize(index + 1, Arc::new(Chunk::Sparse(Sparse::default())));
            self.before.resize(index + 2, all);
        }
        self.before[index + 1..].iter_mut().for_each(|before| *before += count);
        Arc::make_mut(&mut self.chunks[index])
    }

    fn below(&self, threshold: u32) -> u32 {
        let index = (threshold >> CHUNK_BITS) as usize;
        match self.chunks.get(index) {
            Some(chunk) => self.before[index] + chunk.below(threshold),
            None => self.before.last().copied().unwrap_or(0),
        }
    }

    fn pairs(&self) -> Vec<(u32, u32)> {
        let chunks = (0..).step_by(CHUNK_SECONDS as usize).zip(&self.chunks);
        chunks.flat_map(|(first, chunk)| chunk.pairs(first)).collect()
    }
}

impl Chunk {
    fn add(&mut self, second: u32) {
        match self {
            Chunk::Sparse(sparse) => {
                if sparse.add(second) {
                    self.thicken_if_full();
                }
            }
            Chunk::Dense(dense) => dense.add(second, 1),
        }
    }

    fn add_sorted(&mut self, pairs: &[(u32, u32)]) {
        match self {
            Chunk::Sparse(sparse) => sparse.merge(pairs),
            Chunk::Dense(dense) => return pairs.iter().for_each(|&(second, count)| dense.add(second, count)),
        }
        self.thicken_if_full();
    }

    fn thicken_if_full(&mut self) {
        if let Chunk::Sparse(sparse) = self
            && sparse.runs.len() > SPARSE_MAX
        {
            let mut dense = Dense { tree: vec![0; CHUNK_SECONDS as usize + 1] };
            sparse.pairs().iter().for_each(|&(second, count)| dense.add(second, count));
            *self = Chunk::Dense(dense);
        }
    }

    fn below(&self, threshold: u32) -> u32 {
        match self {
            Chunk::Sparse(sparse) => sparse.below(threshold),
            Chunk::Dense(dense) => dense.below(threshold),
        }
    }

    /// `first` is the chunk's first second.
    fn pairs(&self, first: u32) -> Vec<(u32, u32)> {
        match self {
            Chunk::Sparse(sparse) => sparse.pairs(),
            Chunk::Dense(dense) => dense.pairs(first),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Chunk::Sparse(sparse) => sparse.heap_bytes(),
            Chunk::Dense(dense) => dense.tree.capacity() * 4,
        }
    }
}

impl Dense {
    fn add(&mut self, second: u32, count: u32) {
        let mut at = (second % CHUNK_SECONDS) as usize + 1;
        while let Some(sum) = self.tree.get_mut(at) {
            *sum += count;
            at += at & at.wrapping_neg();
        }
    }

    fn below(&self, threshold: u32) -> u32 {
        let mut at = (threshold % CHUNK_SECONDS) as usize;
        let mut total = 0;
        while at > 0 {
            total += self.tree[at];
            at &= at - 1;
        }
        total
    }

    fn pairs(&self, first: u32) -> Vec<(u32, u32)> {
        // Undoes the sums: from the top, each takes back what it gave to its parent.
        let mut counts = self.tree.clone();
        for at in (1..counts.len()).rev() {
            let parent = at + (at & at.wrapping_neg());
            if parent < counts.len() {
                counts[parent] -= counts[at];
            }
        }
        let seconds = (first..).zip(&counts[1..]);
        seconds.filter(|(_, count)| **count > 0).map(|(second, count)| (second, *count)).collect()
    }
}

impl Sparse {
    /// Whether there may be more runs than before.
    fn add(&mut self, second: u32) -> bool {
        if self.fresh.len() == self.fresh.capacity() {
            self.fresh.reserve_exact((self.fresh.len() / 2).max(8));
        }
        self.fresh.push(second);
        // A merge passes over all runs: the more there are, the more additions must share it.
        let full = self.fresh.len() >= (self.runs.len() / 16).clamp(32, 128);
        if full {
            self.settle();
        }
        full
    }

    fn settle(&mut self) {
        let mut fresh = std::mem::take(&mut self.fresh);
        self.merge(&counted(&mut fresh));
        fresh.clear();
        self.fresh = fresh;
    }

    /// Merges ascending pairs in place, from the back, so that only runs above the smallest pair move.
    fn merge(&mut self, pairs: &[(u32, u32)]) {
        let mut old = self.runs.len();
        let mut write = old + pairs.len();
        self.runs.reserve_exact(pairs.len());
        self.runs.resize(write, Run { second: 0, up_to: 0 });
        let mut added: u32 = pairs.iter().map(|pair| pair.1).sum();
        for &(second, count) in pairs.iter().rev() {
            while old > 0 && self.runs[old - 1].second > second {
                let run = self.runs[old - 1];
                write -= 1;
                self.runs[write] = Run { second: run.second, up_to: run.up_to + added };
                old -= 1;
            }
            let before = if old > 0 { self.runs[old - 1].up_to } else { 0 };
            if old > 0 && self.runs[old - 1].second == second {
                old -= 1;
            }
            write -= 1;
            self.runs[write] = Run { second, up_to: before + added };
            added -= count;
        }
        // Seconds that were there before left a gap.
        self.runs.drain(old..write);
    }

    fn below(&self, threshold: u32) -> u32 {
        let end = self.runs.partition_point(|run| run.second < threshold);
        let settled = if end > 0 { self.runs[end - 1].up_to } else { 0 };
        settled + self.fresh.iter().map(|&second| u32::from(second < threshold)).sum::<u32>()
    }

    fn pairs(&self) -> Vec<(u32, u32)> {
        let mut merged = Sparse { runs: self.runs.clone(), fresh: Vec::new() };
        merged.merge(&counted(&mut self.fresh.clone()));
        let mut before = 0;
        let pair = |run: &Run| (run.second, run.up_to - std::mem::replace(&mut before, run.up_to));
        merged.runs.iter().map(pair).collect()
    }

    fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>() + self.fresh.capacity() * 4
    }
}

/// Sorts, and counts equal neighbours.
fn counted(seconds: &mut [u32]) -> Vec<(u32, u32)> {
    seconds.sort_unstable();
    seconds.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
}
