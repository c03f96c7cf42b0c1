//! Weights of few bits: what a base keeps of its weights where it is stored so, as the numbers that are computed with.
//!
//! A block of numbers is divided by its largest magnitude, and each takes the nearest level. What is stored would be the level and the block's magnitude; here
//! the weight stays in f32, at the values that those stand for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Numbers that share a magnitude in NF4, row after row.
const BLOCK: usize = 64;

/// The levels of NF4: of each sign, quantiles of the normal distribution at equal steps of probability from 0.9677083 to a half, over the largest (Dettmers et
/// al. 2023, QLoRA, arXiv 2305.14314, appendix E): seven below zero, eight above.
const NF4: [f64; 16] = [
    -1.0,
    -0.696_192_800_998_687_7,
    -0.525_073_051_452_636_7,
    -0.394_917_488_098_144_53,
    -0.284_441_381_692_886_35,
    -0.184_773_430_228_233_34,
    -0.091_050_036_251_544_95,
    0.0,
    0.079_580_299_556_255_34,
    0.160_930_201_411_247_25,
    0.246_112_301_945_686_34,
    0.337_915_241_718_292_24,
    0.440_709_829_330_444_34,
    0.562_617_003_917_694_1,
    0.722_956_836_223_602_3,
    1.0,
];

/// How weights are brought to few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantiser {
    /// Sixteen levels, spaced as normal numbers are, over blocks of 64.
    Nf4,
    /// 255 levels at equal distances, over whole rows.
    Int8,
}

impl fmt::Display for Quantiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quantiser::Nf4 => "nf4",
            Quantiser::Int8 => "int8",
        })
    }
}

impl Quantiser {
    /// All of them.
    pub const ALL: [Quantiser; 2] = [Quantiser::Nf4, Quantiser::Int8];

    /// The values that are left of those of a matrix, which lie row after row.
    pub fn apply(self, values: &[f32], columns: usize) -> Vec<f32> {
        let block = if self == Quantiser::Nf4 { BLOCK } else { columns.max(1) };
        let of_block = |block: &[f32]| {
            let largest = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let near = move |x: f32| if largest > 0.0 { self.nearest(x, largest) * largest } else { 0.0 };
            block.iter().map(|x| near(*x)).collect::<Vec<f32>>()
        };
        values.chunks(block).flat_map(of_block).collect()
    }

    /// The level nearest to x, as a share of the block's largest magnitude. Half way between two, NF4 takes the lower one and the integers the even one, as
    /// bitsandbytes does; the product in which it does so is its own, too.
    fn nearest(self, x: f32, largest: f32) -> f32 {
        match self {
            Quantiser::Nf4 => {
                let share = f64::from(x / largest);
                let distance = |level: f64| (level - share).abs();
                NF4.into_iter().min_by(|one, other| distance(*one).total_cmp(&distance(*other))).unwrap_or(0.0) as f32
            }
            Quantiser::Int8 => {
                let levels = 127.0 / largest;
                let level = if levels.is_finite() { x * levels } else { x / largest * 127.0 };
                level.round_ties_even() / 127.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ∫ of the normal density from −∞ to x, by Simpson's rule.
    fn normal_cdf(x: f64) -> f64 {
        let (steps, density) = (2000, |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt());
        let h = x / f64::from(steps);
        let weight = |i: i32| {
            if i == 0 || i == steps {
                1.0
            } else if i % 2 == 1 {
                4.0
            } else {
                2.0
            }
        };
        0.5 + h / 3.0 * (0..=steps).map(|i| weight(i) * density(f64::from(i) * h)).sum::<f64>()
    }

    #[test]
    fn nf4_levels_are_quantiles() {
        // The quantile of 0.9677083, by bisection.
        let (mut low, mut high) = (0.0, 4.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if normal_cdf(middle) < 0.967_708_3 { low = middle } else { high = middle }
        }
        for (steps, side) in [(8, NF4[8..].to_vec()), (7, NF4[..7].iter().rev().map(|x| -x).collect())] {
            for (index, level) in side.iter().enumerate() {
                let expected = 0.5 + 0.467_708_3 * (index + 1) as f64 / f64::from(steps);
                assert!((normal_cdf(level * low) - expected).abs() < 1e-6, "{level}");
            }
        }
    }

    /// Magnitudes of 127 and 1 leave every half exactly half way.
    #[test]
    fn what_is_half_way_goes_to_the_even_integer_and_the_lower_level() {
        let halves = [127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5];
        assert_eq!(Quantiser::Int8.apply(&halves, 8), [127.0, 0.0, 2.0, 2.0, 0.0, -2.0, -2.0, 126.0]);
        assert_eq!(Quantiser::Int8.apply(&[1e-38, -2e-38], 2)[1], -2e-38);
        for pair in NF4.windows(2) {
            let middle = ((pair[0] + pair[1]) / 2.0) as f32;
            let is_half_way = f64::from(middle) * 2.0 == pair[0] + pair[1];
            let kept = Quantiser::Nf4.apply(&[1.0, middle], 2)[1];
            assert!(!is_half_way || kept == pair[0] as f32, "{middle} became {kept}");
        }
    }

    #[test]
    fn every_value_goes_to_its_blocks_nearest_level() {
        let values: Vec<f32> =
            (0..100).map(|i| ((i * 37 % 101) as f32 - 50.0) * if i < 64 { 0.02 } else { 3.0 }).collect();
        let coarse = Quantiser::Nf4.apply(&values, 50);
        let fine = Quantiser::Int8.apply(&values, 50);
        for (block, coarse) in values.chunks(64).zip(coarse.chunks(64)) {
            let largest = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (x, kept) in block.iter().zip(coarse) {
                let distances = NF4.map(|level| (level as f32 * largest - x).abs());
                let least = distances.into_iter().fold(f32::INFINITY, f32::min);
                assert!(((x - kept).abs() - least).abs() < 1e-6 * largest);
            }
        }
        let error = |kept: &[f32]| kept.iter().zip(&values).map(|(kept, x)| (kept - x).powi(2)).sum::<f32>();
        assert!(error(&fine) < error(&coarse) / 100.0 && error(&fine) > 0.0);
        for quantiser in Quantiser::ALL {
            assert_eq!(quantiser.apply(&[0.0; 3], 3), [0.0; 3]);
            let kept = quantiser.apply(&values, 50);
            let again = quantiser.apply(&kept, 50);
            assert!(
                again.iter().zip(&kept).all(|(again, kept)| (again - kept).abs() <= 1e-6 * kept.abs()),
                "{quantiser}"
            );
        }
    }
}
