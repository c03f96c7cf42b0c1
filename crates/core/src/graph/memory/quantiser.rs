//! Quantisers: weights rounded to levels of few bits, packed in 32-bit words.
//!
//! A block of weights is divided by its largest magnitude, and each weight is rounded to the nearest level. What is kept is the level's code and the block's
//! magnitude; `loralab_cpu` has the layout, and decodes it.

use std::{fmt, sync::Arc};

use loralab_cpu::{INT8_LARGEST, NF4, NF4_BLOCK, NF4_ZERO, Packed, Packing, Weights};
use serde::{Deserialize, Serialize};

use super::Dtype;

/// A quantiser of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantiser {
    /// Sixteen levels, spaced as quantiles of the normal distribution, over blocks of 64.
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
    /// All quantisers.
    pub const ALL: [Quantiser; 2] = [Quantiser::Nf4, Quantiser::Int8];

    /// The element type of what it makes.
    pub const fn dtype(self) -> Dtype {
        match self {
            Quantiser::Nf4 => Dtype::Nf4,
            Quantiser::Int8 => Dtype::Int8,
        }
    }

    /// The layout of what it makes from rows of `columns` weights.
    const fn packing(self, columns: usize) -> Packing {
        match self {
            Quantiser::Nf4 => Packing::Nf4,
            Quantiser::Int8 => Packing::Int8 { columns },
        }
    }

    /// Quantises a matrix with rows of `columns` weights. Beside the result it takes the memory of one row.
    pub fn pack(self, weights: Weights<'_, f32>, columns: usize) -> Quantised {
        let packing = self.packing(columns);
        let block = if self == Quantiser::Nf4 { NF4_BLOCK } else { columns.max(1) };
        let (mut words, mut scratch) = (Vec::with_capacity(packing.words(weights.len())), Vec::new());
        for start in (0..weights.len()).step_by(block) {
            let values = weights.slice(start..weights.len().min(start + block)).decode(&mut scratch);
            let largest = values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            match self {
                Quantiser::Nf4 => pack_nf4(values, largest, &mut words),
                Quantiser::Int8 => pack_int8(values, largest, &mut words),
            }
        }
        Quantised { quantiser: self, columns, len: weights.len(), words: words.into() }
    }

    /// The dequantised values of a matrix, in row-major order with rows of `columns` elements.
    pub fn apply(self, values: &[f32], columns: usize) -> Vec<f32> {
        self.pack(Weights::F32(values), columns).to_f32()
    }
}

/// A quantised matrix. Cloning shares its words.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantised {
    quantiser: Quantiser,
    columns: usize,
    len: usize,
    words: Arc<[u32]>,
}

impl Quantised {
    /// The quantiser that made it.
    pub fn quantiser(&self) -> Quantiser {
        self.quantiser
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no weights.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The weights in the form that the CPU kernels take.
    pub fn packed(&self) -> Packed<'_> {
        Packed::new(self.quantiser.packing(self.columns), &self.words, self.len)
    }

    /// The words that hold some neighbouring weights; these begin with a block, and end with one or with the matrix.
    pub fn words(&self, weights: std::ops::Range<usize>) -> &[u32] {
        let packing = self.quantiser.packing(self.columns);
        &self.words[packing.words(weights.start)..packing.words(weights.end)]
    }

    /// The weights as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::new();
        Weights::<f32>::Packed(self.packed()).copy(&mut values);
        values
    }
}

/// Appends a block of NF4. Half-way between two levels the lower is taken, as in bitsandbytes.
fn pack_nf4(values: &[f32], largest: f32, words: &mut Vec<u32>) {
    // Exact: levels are f32, and the sum of two neighbours fits f64.
    let middles: [f64; 15] = std::array::from_fn(|code| (f64::from(NF4[code]) + f64::from(NF4[code + 1])) / 2.0);
    let code = |x: f32| {
        let share = f64::from(x / largest);
        middles.iter().map(|&middle| u32::from(share > middle)).sum::<u32>()
    };
    let code = |x: f32| if largest > 0.0 { code(x) } else { NF4_ZERO };
    let word = |eight: &[f32]| eight.iter().rev().fold(0, |word, &x| word << 4 | code(x));
    let end = words.len() + NF4_BLOCK / 8;
    words.extend(values.chunks(8).map(word));
    words.resize(end, 0);
    words.push(largest.to_bits());
}

/// Appends a row of int8. Half-way between two levels the even one is taken; the product that is rounded is computed as in bitsandbytes.
fn pack_int8(values: &[f32], largest: f32, words: &mut Vec<u32>) {
    let levels = INT8_LARGEST / largest;
    let code = |x: f32| {
        // A magnitude of 0 makes this a NaN, whose code is 0.
        let level = if levels.is_finite() { x * levels } else { x / largest * INT8_LARGEST };
        u32::from(level.round_ties_even() as i8 as u8)
    };
    words.push(largest.to_bits());
    words.extend(values.chunks(4).map(|four| four.iter().rev().fold(0, |word, &x| word << 8 | code(x))));
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
        for (steps, side) in [(8, NF4[8..].to_vec()), (7, NF4[..7].iter().rev().map(|x| -x).collect::<Vec<f32>>())] {
            for (index, level) in side.iter().enumerate() {
                let expected = 0.5 + 0.467_708_3 * (index + 1) as f64 / f64::from(steps);
                assert!((normal_cdf(f64::from(*level) * low) - expected).abs() < 1e-6, "{level}");
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
            let sum = f64::from(pair[0]) + f64::from(pair[1]);
            let middle = (sum / 2.0) as f32;
            let is_half_way = f64::from(middle) * 2.0 == sum;
            let kept = Quantiser::Nf4.apply(&[1.0, middle], 2)[1];
            assert!(!is_half_way || kept == pair[0], "{middle} became {kept}");
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
                let distances = NF4.map(|level| (level * largest - x).abs());
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
