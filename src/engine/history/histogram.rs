//! How many waits were shorter than so many seconds.

use std::sync::Arc;

/// Thresholds end at 30 days, so longer waits need not be told apart.
pub(super) const LONGEST: u32 = 2_592_000;

/// Waits by whole second, clamped at [`LONGEST`]: exact for every threshold in whole seconds up to that.
///
/// Its size follows the number of different seconds, never the number of waits. No insertion moves more than
/// [`FLAT_MAX`] runs, whatever the waits are.
#[derive(Clone, Debug)]
pub(super) enum Histogram {
    Flat(Sparse),
    Wide(Box<Wide>),
}

/// Above so many different seconds a histogram is cut into chunks.
const FLAT_MAX: usize = 4096;

/// Seconds a chunk of [`Wide`] covers, as a power of two.
const CHUNK_BITS: u32 = 12;
const CHUNKS: usize = (LONGEST >> CHUNK_BITS) as usize + 1;

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

/// Chunks of 4,096 seconds, each sparse, shared between clones until it changes.
#[derive(Clone, Debug)]
pub(super) struct Wide {
    chunks: Vec<Option<Arc<Sparse>>>,
    /// A Fenwick tree over the chunks' totals: prefix sums and additions in ten steps.
    prefix: Vec<u32>,
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
                flat.add(second);
                if flat.runs.len() > FLAT_MAX {
                    self.widen();
                }
            }
            Histogram::Wide(wide) => {
                wide.grow(second >> CHUNK_BITS, 1);
                wide.chunk(second >> CHUNK_BITS).add(second);
            }
        }
    }

    /// Counts `(second, how many)` pairs that ascend by second.
    pub fn add_sorted(&mut self, pairs: &[(u32, u32)]) {
        match self {
            Histogram::Flat(flat) => {
                flat.merge(pairs);
                if flat.runs.len() > FLAT_MAX {
                    self.widen();
                }
            }
            Histogram::Wide(wide) => {
                for part in pairs.chunk_by(|a, b| a.0 >> CHUNK_BITS == b.0 >> CHUNK_BITS) {
                    let index = part[0].0 >> CHUNK_BITS;
                    wide.grow(index, part.iter().map(|pair| pair.1).sum());
                    wide.chunk(index).merge(part);
                }
            }
        }
    }

    /// How many waits were shorter than `threshold` seconds.
    pub fn below(&self, threshold: u32) -> u64 {
        match self {
            Histogram::Flat(flat) => u64::from(flat.below(threshold)),
            Histogram::Wide(wide) => {
                let index = ((threshold >> CHUNK_BITS) as usize).min(CHUNKS - 1);
                let inside = wide.chunks[index].as_ref().map_or(0, |chunk| chunk.below(threshold));
                u64::from(wide.total_before(index)) + u64::from(inside)
            }
        }
    }

    /// Everything as `(second, how many)`, ascending by second, each second once.
    pub fn pairs(&self) -> Vec<(u32, u32)> {
        match self {
            Histogram::Flat(flat) => flat.pairs(),
            Histogram::Wide(wide) => wide.chunks.iter().flatten().flat_map(|chunk| chunk.pairs()).collect(),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Histogram::Flat(flat) => flat.heap_bytes(),
            Histogram::Wide(wide) => {
                let chunks = wide.chunks.iter().flatten().map(|chunk| size_of::<Sparse>() + 16 + chunk.heap_bytes());
                size_of::<Wide>() + wide.chunks.len() * 8 + wide.prefix.len() * 4 + chunks.sum::<usize>()
            }
        }
    }

    fn widen(&mut self) {
        let pairs = self.pairs();
        *self = Histogram::Wide(Box::new(Wide { chunks: vec![None; CHUNKS], prefix: vec![0; CHUNKS + 1] }));
        self.add_sorted(&pairs);
    }
}

impl Sparse {
    fn add(&mut self, second: u32) {
        if self.fresh.len() == self.fresh.capacity() {
            self.fresh.reserve_exact((self.fresh.len() / 2).max(8));
        }
        self.fresh.push(second);
        // A merge passes over all runs: the more there are, the more additions must share it.
        if self.fresh.len() >= (self.runs.len() / 16).clamp(32, 128) {
            self.settle();
        }
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
        let new =
            pairs.iter().filter(|pair| self.runs.binary_search_by_key(&pair.0, |run| run.second).is_err()).count();
        self.runs.reserve_exact(new);
        self.runs.resize(old + new, Run { second: 0, up_to: 0 });
        let mut write = old + new;
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

impl Wide {
    fn chunk(&mut self, index: u32) -> &mut Sparse {
        Arc::make_mut(self.chunks[index as usize].get_or_insert_default())
    }

    fn grow(&mut self, index: u32, count: u32) {
        let mut at = index as usize + 1;
        while at <= CHUNKS {
            self.prefix[at] += count;
            at += at & at.wrapping_neg();
        }
    }

    fn total_before(&self, index: usize) -> u32 {
        let mut at = index;
        let mut total = 0;
        while at > 0 {
            total += self.prefix[at];
            at &= at - 1;
        }
        total
    }
}
