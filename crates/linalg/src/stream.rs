//! A named, seeded sequence of random blocks, which fills tensors.

use crate::{Philox, normal};

/// The random numbers of one seed and one name.
///
/// The seed is Philox's key; the counter is the block's index (two words) and the 64-bit FNV-1a hash of the name (two
/// words). So streams of different names never share a block unless the hashes of their names collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    generator: Philox,
    name: [u32; 2],
}

impl Stream {
    /// The resolution of [`Stream::uniform`] relative to the bound, 2⁻²³.
    pub const UNIFORM_UNIT: f32 = 1.0 / (1 << 23) as f32;
    /// The resolution of [`Stream::normal`] relative to the standard deviation, 2⁻²¹.
    pub const NORMAL_UNIT: f32 = 1.0 / (1 << normal::RESULT_BITS) as f32;

    /// The stream of `name` under `seed`. The stream of a tensor has the tensor's name.
    pub fn new(seed: u64, name: &str) -> Self {
        Self { generator: Philox::new(words(seed)), name: words(fnv_1a(name.as_bytes())) }
    }

    /// The words that determine this stream: two of its seed and two of its name's hash, the least significant of each first.
    pub fn words(&self) -> [u32; 4] {
        let [seed_low, seed_high] = self.generator.key();
        [seed_low, seed_high, self.name[0], self.name[1]]
    }

    /// Block `index` of the stream: 128 random bits.
    pub fn block(&self, index: u64) -> [u32; 4] {
        let [low, high] = words(index);
        self.generator.block([low, high, self.name[0], self.name[1]])
    }

    /// Fills `out` with uniform numbers of variance `bound`²/3: within ±`bound`, symmetric around 0, never 0.
    ///
    /// Element `i` is an odd integer below 2²³ from word `i` of the stream, times `bound`·2⁻²³; only this product is rounded.
    pub fn uniform(&self, bound: f32, out: &mut [f32]) {
        let unit = bound * Self::UNIFORM_UNIT;
        self.fill(out, |word| (((word >> 9 << 1) | 1) as i32 - (1 << 23)) as f32 * unit);
    }

    /// Fills `out` with normal numbers of mean 0 and standard deviation `std`, at most 6.338 `std` away from 0.
    ///
    /// Element `i` is the normal quantile of word `i` of the stream in fixed point, times `std`·2⁻²¹; only this product is rounded.
    pub fn normal(&self, std: f32, out: &mut [f32]) {
        let unit = std * Self::NORMAL_UNIT;
        self.fill(out, |word| normal::from_bits(word) as f32 * unit);
    }

    /// Sets element `i` of `out` to `value` of word `i` of the stream.
    fn fill(&self, out: &mut [f32], value: impl Fn(u32) -> f32) {
        for (index, chunk) in (0..).zip(out.chunks_mut(4)) {
            for (element, word) in chunk.iter_mut().zip(self.block(index)) {
                *element = value(word);
            }
        }
    }
}

/// The two halves of `value`, least significant first.
fn words(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// 64-bit FNV-1a (Fowler, Noll, Vo).
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal::tests::exceedance;

    const SAMPLES: usize = 1_000_000;

    fn uniform(seed: u64, name: &str, bound: f32) -> Vec<f32> {
        let mut out = vec![f32::NAN; SAMPLES];
        Stream::new(seed, name).uniform(bound, &mut out);
        out
    }

    fn normal(seed: u64, name: &str, std: f32) -> Vec<f32> {
        let mut out = vec![f32::NAN; SAMPLES];
        Stream::new(seed, name).normal(std, &mut out);
        out
    }

    fn moment(sample: &[f32], power: i32) -> f64 {
        sample.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / sample.len() as f64
    }

    /// Within four standard errors of the mean: a fair sample is outside once in 16 000 times.
    fn assert_near(value: f64, expected: f64, standard_deviation: f64) {
        let tolerance = 4.0 * standard_deviation / (SAMPLES as f64).sqrt();
        assert!((value - expected).abs() < tolerance, "{value}, expected {expected} ± {tolerance}");
    }

    /// The Kolmogorov–Smirnov distance between a sample and a cumulative distribution, times √samples.
    fn kolmogorov_smirnov(mut sample: Vec<f32>, below: impl Fn(f64) -> f64) -> f64 {
        sample.sort_by(f32::total_cmp);
        let count = sample.len() as f64;
        let distance = sample.iter().enumerate().fold(0.0, |worst: f64, (rank, &x)| {
            let probability = below(f64::from(x));
            worst.max(probability - rank as f64 / count).max((rank + 1) as f64 / count - probability)
        });
        distance * count.sqrt()
    }

    #[test]
    fn published_hashes() {
        assert_eq!(fnv_1a(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn counter_layout() {
        let hash = fnv_1a(b"foobar");
        let counter = [9, 7, hash as u32, (hash >> 32) as u32];
        let expected = Philox::new([5, 3]).block(counter);
        assert_eq!(Stream::new((3 << 32) | 5, "foobar").block((7 << 32) | 9), expected);
    }

    #[test]
    fn element_depends_on_its_place_alone() {
        let long = normal(1, "tensor", 1.0);
        for length in [0, 1, 3, 4, 5, 1001] {
            let mut short = vec![f32::NAN; length];
            Stream::new(1, "tensor").normal(1.0, &mut short);
            assert_eq!(short, long[..length]);
        }
    }

    #[test]
    fn uniform_has_its_moments_and_its_shape() {
        let sample = uniform(1, "uniform", 1.0);
        assert_near(moment(&sample, 1), 0.0, (1f64 / 3.0).sqrt());
        assert_near(moment(&sample, 2), 1.0 / 3.0, (1f64 / 5.0 - 1.0 / 9.0).sqrt());
        assert_near(moment(&sample, 4), 1.0 / 5.0, (1f64 / 9.0 - 1.0 / 25.0).sqrt());
        assert!(kolmogorov_smirnov(sample, |x| (x + 1.0) / 2.0) < 1.95); // 0.1 % of fair samples exceed it
    }

    #[test]
    fn uniform_stays_inside_its_bound_and_off_zero() {
        for bound in [1.0, 0.062_5, 1.0 / 3f32.sqrt(), 1e-3, 1.000_000_1, 1.999_999_9] {
            let unit = bound * Stream::UNIFORM_UNIT;
            assert!(((1 << 23) - 1) as f32 * unit < bound, "the largest integer reaches {bound}");
            let sample = uniform(2, "bound", bound);
            assert!(sample.iter().all(|x| x.abs() < bound && *x != 0.0));
            assert!(sample.iter().any(|x| *x > 0.999 * bound) && sample.iter().any(|x| *x < -0.999 * bound));
        }
    }

    #[test]
    fn normal_has_its_moments_and_its_shape() {
        let sample = normal(1, "normal", 1.0);
        assert_near(moment(&sample, 1), 0.0, 1.0);
        assert_near(moment(&sample, 2), 1.0, 2f64.sqrt());
        assert_near(moment(&sample, 3), 0.0, 15f64.sqrt());
        assert_near(moment(&sample, 4), 3.0, 96f64.sqrt());
        let below = |x: f64| {
            if x < 0.0 { exceedance(-x) } else { 1.0 - exceedance(x) }
        };
        assert!(kolmogorov_smirnov(sample, below) < 1.95);
    }

    #[test]
    fn normal_has_its_tails_and_no_heap_at_zero() {
        let sample = normal(3, "tails", 1.0);
        for z in [2.0, 3.0, 4.0] {
            let beyond = sample.iter().filter(|x| f64::from(x.abs()) > z).count() as f64;
            let expected = 2.0 * exceedance(z);
            assert_near(beyond / SAMPLES as f64, expected, expected.sqrt());
        }
        assert!(sample.iter().all(|x| x.abs() < 6.338));
        assert!(sample.iter().filter(|x| **x == 0.0).count() < 5); // 0.2 expected: the step is 2⁻²¹
    }

    #[test]
    fn std_and_bound_scale_with_one_rounding() {
        let (unit, scaled) = (normal(4, "scale", 1.0), normal(4, "scale", 0.3));
        for (&one, &other) in unit.iter().zip(&scaled) {
            assert_eq!(other, (f64::from(one) * f64::from(0.3f32)) as f32);
        }
        let (unit, scaled) = (uniform(4, "scale", 1.0), uniform(4, "scale", 0.3));
        for (&one, &other) in unit.iter().zip(&scaled) {
            assert_eq!(other, (f64::from(one) * f64::from(0.3f32)) as f32);
        }
    }

    #[test]
    fn names_seeds_and_neighbours_are_independent() {
        let first = normal(1, "layers.0.lora_A", 1.0);
        let shifted: Vec<f32> = first.iter().cycle().skip(1).take(SAMPLES).copied().collect();
        let others = [
            normal(1, "layers.1.lora_A", 1.0),
            normal(2, "layers.0.lora_A", 1.0),
            normal(1 << 32, "layers.0.lora_A", 1.0),
            shifted,
        ];
        for other in others {
            let products: Vec<f32> = first.iter().zip(&other).map(|(x, y)| x * y).collect();
            assert_near(moment(&products, 1), 0.0, 1.0);
        }
    }

    /// These bits must never change: a published result names its start by the seed. The numbers come from a separate
    /// implementation (Philox in Python, the quantile in f64).
    #[test]
    fn golden_bits() {
        let stream = Stream::new(42, "model.layers.0.self_attn.q_proj.lora_A.weight");
        let (mut uniform, mut normal) = ([0.0; 5], [0.0; 5]);
        stream.uniform(0.1, &mut uniform);
        stream.normal(0.1, &mut normal);
        assert_eq!(uniform.map(f32::to_bits), [0xBCD6_0F6D, 0xBD7F_08B0, 0x3D9B_3522, 0x3D59_0457, 0xBDAE_135B]);
        assert_eq!(normal.map(f32::to_bits), [0x3D08_A280, 0x3DB4_CAC0, 0xBCFC_9080, 0xBD80_AB80, 0x3E13_667A]);
    }
}
