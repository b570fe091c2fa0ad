//! Chance, the same on every machine: integers and comparisons only, no logarithm that two libraries round differently.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded source of everything that happens by chance.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Two draws differ if any part of their seed does.
    pub fn new(seed: u64, start_ms: i64, purpose: u64) -> Draw {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&start_ms.to_le_bytes());
        bytes[16..24].copy_from_slice(&purpose.to_le_bytes());
        Draw(ChaCha8Rng::from_seed(bytes))
    }

    /// Uniform in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Scaling a 64-bit draw leaves a bias of less than bound / 2^64.
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// An index by weight; 0 where every weight is 0.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, &weight) in weights.iter().enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        0
    }

    /// Exponentially distributed around `mean`, by von Neumann's method, which only compares.
    pub fn around(&mut self, mean: i64) -> i64 {
        let mut whole: i64 = 0;
        loop {
            let first = self.0.next_u32();
            let (mut last, mut falling) = (first, 1);
            loop {
                let next = self.0.next_u32();
                if next > last {
                    break;
                }
                last = next;
                falling += 1;
            }
            if falling % 2 == 1 {
                let part = (i128::from(mean) * i128::from(first)) >> 32;
                return mean.saturating_mul(whole).saturating_add(part as i64);
            }
            whole += 1;
        }
    }

    /// A new sid with these two letters.
    pub fn sid(&mut self, letters: &str) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut sid = String::with_capacity(34);
        sid.push_str(letters);
        for _ in 0..2 {
            let mut bits = self.0.next_u64();
            for _ in 0..16 {
                sid.push(char::from(DIGITS[(bits & 15) as usize]));
                bits >>= 4;
            }
        }
        sid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_has_the_mean_asked_for() {
        let mut draw = Draw::new(1, 0, 0);
        let total: i64 = (0..100_000).map(|_| draw.around(1_000_000)).sum();
        let mean = total / 100_000;
        assert!((985_000..1_015_000).contains(&mean), "{mean}");
    }

    #[test]
    fn weights_and_shares_are_kept() {
        let mut draw = Draw::new(1, 0, 0);
        let mut hits = [0; 3];
        (0..10_000).for_each(|_| hits[draw.weighted(&[1, 0, 3])] += 1);
        assert!(hits[1] == 0 && (2_300..2_700).contains(&hits[0]), "{hits:?}");
        assert_eq!((draw.below(0), draw.below(1), draw.weighted(&[0])), (0, 0, 0));
        assert!(!draw.per_mille(0) && draw.per_mille(1000));
    }

    #[test]
    fn every_part_of_the_seed_counts() {
        let sid = |seed, start, purpose| Draw::new(seed, start, purpose).sid("EV");
        assert_eq!(sid(1, 2, 3), sid(1, 2, 3));
        assert!(crate::event::EventSid::matches(&sid(1, 2, 3)));
        for other in [sid(0, 2, 3), sid(1, 0, 3), sid(1, 2, 0)] {
            assert_ne!(sid(1, 2, 3), other);
        }
    }
}
