//! Weights of a few bits: integer codes and the magnitudes that scale them, packed in 32-bit words and decoded where they are read.
//!
//! A block of weights is stored as the largest magnitude m in it, an f32, and a code per weight.
//!
//! - *int8*: a block is a row. Its first word is m, then come four codes a word, the first in the low byte: q from −127 to 127, in two's complement. The
//!   weight is q / 127 · m. The last word of a row is filled up with zeros.
//! - *NF4*: a block is 64 neighbouring weights of the matrix in row-major order, wherever its rows end, as in bitsandbytes. Eight words hold eight codes
//!   each, the first in the low four bits, and the ninth is m. The weight is [`NF4`]\[code\] · m. The last block is filled up with codes of zero.

use crate::Scalar;

/// The levels of NF4: of each sign, quantiles of the normal distribution at equal steps of probability from 0.9677083 to a half, divided by the largest (Dettmers et
/// al. 2023, QLoRA, arXiv 2305.14314, appendix E): seven below zero, eight above.
pub const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The code of the level 0 in [`NF4`].
pub const NF4_ZERO: u32 = 7;
/// Weights of a block of NF4.
pub const NF4_BLOCK: usize = 64;
/// Words of a block of NF4: eight of codes, one of its magnitude.
const NF4_WORDS: usize = 9;
/// The largest code of int8.
pub const INT8_LARGEST: f32 = 127.0;

/// The layout of packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Eight bits a weight; a row has so many columns.
    Int8 {
        /// Weights of a row.
        columns: usize,
    },
    /// Four bits a weight.
    Nf4,
}

impl Packing {
    /// The words that hold so many weights: whole rows for int8.
    pub const fn words(self, len: usize) -> usize {
        match self {
            Packing::Int8 { columns: 0 } => 0,
            Packing::Int8 { columns } => len / columns * row_words(columns),
            Packing::Nf4 => len.div_ceil(NF4_BLOCK) * NF4_WORDS,
        }
    }
}

/// Words of a row of int8.
const fn row_words(columns: usize) -> usize {
    1 + columns.div_ceil(4)
}

/// Some neighbouring weights of a packed matrix.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    packing: Packing,
    /// The words of the whole matrix.
    words: &'a [u32],
    /// Index of the first weight, row-major.
    start: usize,
    len: usize,
}

impl<'a> Packed<'a> {
    /// All `len` weights of a matrix.
    ///
    /// # Panics
    /// If there are not as many words as these need.
    pub fn new(packing: Packing, words: &'a [u32], len: usize) -> Packed<'a> {
        assert_eq!(words.len(), packing.words(len), "words of {len} weights in {packing:?}");
        Packed { packing, words, start: 0, len }
    }

    /// The number of weights.
    pub fn len(self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The weights of `range`.
    ///
    /// # Panics
    /// If `range` exceeds these weights.
    #[must_use]
    pub fn slice(self, range: std::ops::Range<usize>) -> Packed<'a> {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} weights", self.len);
        Packed { start: self.start + range.start, len: range.len(), ..self }
    }

    /// Writes the weights to `out`, of the same length, in the arithmetic of `S`: one rounding each for NF4, two for int8.
    pub(crate) fn decode<S: Scalar>(self, out: &mut [S]) {
        let block = match self.packing {
            Packing::Int8 { columns } => columns,
            Packing::Nf4 => NF4_BLOCK,
        };
        let (mut at, mut rest) = (self.start, out);
        while !rest.is_empty() {
            let (index, first) = (at / block, at % block);
            let (now, later) = rest.split_at_mut(rest.len().min(block - first));
            at += now.len();
            match self.packing {
                Packing::Int8 { columns } => {
                    let words = &self.words[index * row_words(columns)..][..row_words(columns)];
                    int8(words, first, now);
                }
                Packing::Nf4 => nf4(&self.words[index * NF4_WORDS..][..NF4_WORDS], first, now),
            }
            rest = later;
        }
    }
}

/// Decodes neighbours of a row, from the weight `first` on.
fn int8<S: Scalar>(words: &[u32], first: usize, out: &mut [S]) {
    let largest = S::from_f32(f32::from_bits(words[0]));
    let whole = S::from_f32(INT8_LARGEST);
    let code = |place: usize| (words[1 + place / 4] >> (place % 4 * 8)) as u8 as i8;
    for (place, out) in (first..).zip(out) {
        *out = S::from_f32(f32::from(code(place))) / whole * largest;
    }
}

/// Decodes neighbours of a block, from the weight `first` on.
fn nf4<S: Scalar>(words: &[u32], first: usize, out: &mut [S]) {
    let largest = S::from_f32(f32::from_bits(words[NF4_WORDS - 1]));
    let levels = NF4.map(|level| S::from_f32(level) * largest);
    for (place, out) in (first..).zip(out) {
        *out = levels[(words[place / 8] >> (place % 8 * 4)) as usize & 15];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tracked;

    /// Words made by hand, and the weights that they stand for.
    fn by_hand() -> [(Packing, Vec<u32>, Vec<f32>); 2] {
        let byte = |q: i8| u32::from(q as u8);
        let rows = vec![
            2.0_f32.to_bits(),
            byte(127) | byte(-127) << 8 | byte(1) << 16 | byte(0) << 24,
            byte(-64),
            0.5_f32.to_bits(),
            byte(3) | byte(-5) << 8 | byte(100) << 16 | byte(-100) << 24,
            byte(7),
        ];
        let int8 = |q: f32, m: f32| q / 127.0 * m;
        let weights = [[127.0, -127.0, 1.0, 0.0, -64.0], [3.0, -5.0, 100.0, -100.0, 7.0]];
        let weights = weights.into_iter().zip([2.0, 0.5]).flat_map(|(row, m)| row.map(|q| int8(q, m))).collect();
        // Every code in turn, four times and a bit.
        let codes: Vec<u32> = (0..70).map(|index| index % 16).collect();
        let mut blocks = Vec::new();
        for (codes, m) in codes.chunks(64).zip([3.0_f32, 0.25]) {
            let word = |eight: &[u32]| eight.iter().rev().fold(0, |word, code| word << 4 | code);
            let mut words: Vec<u32> = codes.chunks(8).map(word).collect();
            words.resize(8, 0x7777_7777);
            blocks.extend(words.into_iter().chain([m.to_bits()]));
        }
        let levels = codes.iter().enumerate().map(|(at, &code)| NF4[code as usize] * if at < 64 { 3.0 } else { 0.25 });
        [(Packing::Int8 { columns: 5 }, rows, weights), (Packing::Nf4, blocks, levels.collect())]
    }

    #[test]
    fn words_made_by_hand_are_decoded_from_any_place() {
        for (packing, words, weights) in by_hand() {
            let packed = Packed::new(packing, &words, weights.len());
            for start in 0..weights.len() {
                for end in start..=weights.len() {
                    let mut found = vec![f32::NAN; end - start];
                    packed.slice(start..end).decode(&mut found);
                    assert_eq!(found, weights[start..end], "{packing:?}, {start}..{end}");
                }
            }
        }
    }

    /// WGSL rounds a quotient to 2.5 units, a product to half of one.
    #[test]
    fn the_bound_covers_the_roundings_of_any_device() {
        for (packing, words, weights) in by_hand() {
            let mut bounded = vec![Tracked::ZERO; weights.len()];
            Packed::new(packing, &words, weights.len()).decode(&mut bounded);
            for (bounded, weight) in bounded.iter().zip(&weights) {
                assert!((f64::from(*weight) - bounded.value).abs() <= bounded.error, "{bounded:?} and {weight}");
                assert!(bounded.error <= 3.1 * f64::from(f32::EPSILON) * bounded.value.abs(), "{bounded:?}");
            }
        }
    }
}
