//! Sequential draws from a stream.

use crate::Stream;
use crate::philox::multiply_wide;

/// Random numbers drawn one after the other from a [`Stream`]: for shuffles, uniform integers and random choices.
///
/// Only integer arithmetic is used, so a sequence of calls gives the same results on every machine.
#[derive(Clone, Debug)]
pub struct Draws {
    stream: Stream,
    next_block: u64,
    block: [u32; 4],
    used: usize,
}

impl Draws {
    /// Starts at the beginning of the stream of `name` under `seed`.
    pub fn new(seed: u64, name: &str) -> Self {
        let stream = Stream::new(seed, name);
        Self { stream, next_block: 1, block: stream.block(0), used: 0 }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == self.block.len() {
            self.block = self.stream.block(self.next_block);
            self.next_block += 1;
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }

    /// A number in `0..bound`, exactly uniform.
    ///
    /// Lemire, "Fast random integer generation in an interval", 2019, algorithm 5: the high word of `bound · random`,
    /// rejecting the few low words that would make some results more likely.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "a number below 0 was asked for; the bound must be at least 1");
        let rejected = bound.wrapping_neg() % bound; // 2³² mod bound
        loop {
            let (high, low) = multiply_wide(self.next_u32(), bound);
            if low >= rejected {
                return high;
            }
        }
    }

    /// True with probability exactly `hits / trials`.
    ///
    /// # Panics
    /// If `trials` is 0.
    pub fn chance(&mut self, hits: u32, trials: u32) -> bool {
        self.below(trials) < hits
    }

    /// Shuffles `items`, with every order equally likely (Fisher–Yates, from the end).
    ///
    /// # Panics
    /// If there are 2³² items or more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let count = u32::try_from(end + 1).expect("fewer than 2^32 items are shuffled");
            items.swap(end, self.below(count) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Σ (observed − expected)² / expected.
    fn chi_squared(counts: &[u32], expected: f64) -> f64 {
        counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn reads_the_stream_in_order() {
        let mut draws = Draws::new(7, "order");
        let stream = Stream::new(7, "order");
        for index in 0..3 {
            for word in stream.block(index) {
                assert_eq!(draws.next_u32(), word);
            }
        }
    }

    #[test]
    fn below_is_even() {
        let mut draws = Draws::new(1, "dice");
        let mut counts = [0; 6];
        for _ in 0..600_000 {
            counts[draws.below(6) as usize] += 1;
        }
        let distance = chi_squared(&counts, 1e5);
        assert!(distance < 20.5, "{counts:?}"); // 0.1 % of fair dice exceed this, 5 degrees of freedom
        assert!((0..100).all(|_| draws.below(1) == 0));
    }

    /// With bound 3·2³⁰ a plain high word would give multiples of 3 twice as often as the others.
    #[test]
    fn below_is_even_at_large_bounds() {
        let mut draws = Draws::new(2, "large");
        let mut counts = [0; 3];
        for _ in 0..300_000 {
            counts[(draws.below(3 << 30) % 3) as usize] += 1;
        }
        let distance = chi_squared(&counts, 1e5);
        assert!(distance < 13.9, "{counts:?}"); // 0.1 %, 2 degrees of freedom
    }

    #[test]
    fn chance_keeps_its_rate() {
        let mut draws = Draws::new(3, "coin");
        let hits = (0..100_000).filter(|_| draws.chance(3, 10)).count();
        assert!(hits.abs_diff(30_000) < 500, "{hits}"); // 3.4 standard deviations
        assert!((0..100).all(|_| draws.chance(10, 10) && !draws.chance(0, 10)));
    }

    #[test]
    fn shuffle_reaches_every_order_evenly() {
        let mut draws = Draws::new(4, "cards");
        let mut counts = [0; 24];
        for _ in 0..240_000 {
            let mut cards = [0, 1, 2, 3];
            draws.shuffle(&mut cards);
            let rank = |i: usize| cards[i + 1..].iter().filter(|&&card| card < cards[i]).count();
            counts[rank(0) * 6 + rank(1) * 2 + rank(2)] += 1;
        }
        let distance = chi_squared(&counts, 1e4);
        assert!(distance < 49.8, "{counts:?}"); // 0.1 %, 23 degrees of freedom
        draws.shuffle::<u8>(&mut []);
    }
}
