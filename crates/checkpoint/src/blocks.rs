//! Quantised blocks: the element types of GGUF that store a few bits of each number and scales that a block of numbers shares.
//!
//! Layouts and arithmetic are those of ggml (`ggml-common.h`; `dequantize_row_*` in `ggml-quants.c`), operation for operation in f32, so that a decoded number
//! has ggml's bits.

use std::fmt;

use half::f16;

/// A type of quantised blocks. `d`, `m` are f16 scales; `q` is the integer of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// 32 elements of 4 bits: d·(q − 8).
    Q4_0,
    /// 32 elements of 4 bits: d·q + m.
    Q4_1,
    /// 32 elements of 5 bits: d·(q − 16).
    Q5_0,
    /// 32 elements of 5 bits: d·q + m.
    Q5_1,
    /// 32 elements of 8 bits: d·q.
    Q8_0,
    /// 256 elements of 4 bits in 8 parts, each with a 6-bit scale s and minimum t: (d·s)·q − m·t.
    Q4K,
    /// 256 elements of 5 bits in 8 parts, each with a 6-bit scale s and minimum t: (d·s)·q − m·t.
    Q5K,
    /// 256 elements of 6 bits in 16 parts, each with an 8-bit scale s: (d·s)·(q − 32).
    Q6K,
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blocks::Q4_0 => "Q4_0",
            Blocks::Q4_1 => "Q4_1",
            Blocks::Q5_0 => "Q5_0",
            Blocks::Q5_1 => "Q5_1",
            Blocks::Q8_0 => "Q8_0",
            Blocks::Q4K => "Q4_K",
            Blocks::Q5K => "Q5_K",
            Blocks::Q6K => "Q6_K",
        })
    }
}

impl Blocks {
    /// All types.
    pub const ALL: [Blocks; 8] =
        [Blocks::Q4_0, Blocks::Q4_1, Blocks::Q5_0, Blocks::Q5_1, Blocks::Q8_0, Blocks::Q4K, Blocks::Q5K, Blocks::Q6K];

    /// Elements of a block.
    pub const fn elements(self) -> usize {
        match self {
            Blocks::Q4K | Blocks::Q5K | Blocks::Q6K => 256,
            _ => 32,
        }
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        match self {
            Blocks::Q4_0 => 18,
            Blocks::Q4_1 => 20,
            Blocks::Q5_0 => 22,
            Blocks::Q5_1 => 24,
            Blocks::Q8_0 => 34,
            Blocks::Q4K => 144,
            Blocks::Q5K => 176,
            Blocks::Q6K => 210,
        }
    }

    /// The elements of whole blocks; bytes that are left over at the end are dropped.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let mut elements = Vec::with_capacity(bytes.len() / self.bytes() * self.elements());
        match self {
            Blocks::Q4_0 => bytes.as_chunks().0.iter().for_each(|block| q4_0(block, &mut elements)),
            Blocks::Q4_1 => bytes.as_chunks().0.iter().for_each(|block| q4_1(block, &mut elements)),
            Blocks::Q5_0 => bytes.as_chunks().0.iter().for_each(|block| q5_0(block, &mut elements)),
            Blocks::Q5_1 => bytes.as_chunks().0.iter().for_each(|block| q5_1(block, &mut elements)),
            Blocks::Q8_0 => bytes.as_chunks().0.iter().for_each(|block| q8_0(block, &mut elements)),
            Blocks::Q4K => bytes.as_chunks().0.iter().for_each(|block| q4_k(block, &mut elements)),
            Blocks::Q5K => bytes.as_chunks().0.iter().for_each(|block| q5_k(block, &mut elements)),
            Blocks::Q6K => bytes.as_chunks().0.iter().for_each(|block| q6_k(block, &mut elements)),
        }
        elements
    }
}

/// The f16 at a byte of a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The lower four bits of every byte, then the upper ones, as ggml orders the elements of a block.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}

/// Elements of five bits: the nibbles, with the fifth bits from a word.
fn fives(high: [u8; 4], nibbles_of: &[u8]) -> impl Iterator<Item = u8> {
    let high = u32::from_le_bytes(high);
    nibbles(nibbles_of).enumerate().map(move |(index, low)| low | ((high >> index & 1) as u8) << 4)
}

fn q4_0(block: &[u8; 18], elements: &mut Vec<f32>) {
    let d = half(block, 0);
    elements.extend(nibbles(&block[2..]).map(|q| f32::from(q as i8 - 8) * d));
}

fn q4_1(block: &[u8; 20], elements: &mut Vec<f32>) {
    let (d, m) = (half(block, 0), half(block, 2));
    elements.extend(nibbles(&block[4..]).map(|q| f32::from(q) * d + m));
}

fn q5_0(block: &[u8; 22], elements: &mut Vec<f32>) {
    let d = half(block, 0);
    let high = [block[2], block[3], block[4], block[5]];
    elements.extend(fives(high, &block[6..]).map(|q| f32::from(q as i8 - 16) * d));
}

fn q5_1(block: &[u8; 24], elements: &mut Vec<f32>) {
    let (d, m) = (half(block, 0), half(block, 2));
    let high = [block[4], block[5], block[6], block[7]];
    elements.extend(fives(high, &block[8..]).map(|q| f32::from(q) * d + m));
}

fn q8_0(block: &[u8; 34], elements: &mut Vec<f32>) {
    let d = half(block, 0);
    elements.extend(block[2..].iter().map(|&q| f32::from(q as i8) * d));
}

/// The scale and the minimum of a part, packed in 12 bytes: those of the first four parts in 6 bits of a byte each, the upper two bits of the others above them.
fn scale_and_minimum(packed: &[u8], part: usize) -> [f32; 2] {
    let [scale, minimum] = if part < 4 {
        [packed[part] & 63, packed[part + 4] & 63]
    } else {
        [packed[part + 4] & 15 | (packed[part - 4] >> 6) << 4, packed[part + 4] >> 4 | (packed[part] >> 6) << 4]
    };
    [f32::from(scale), f32::from(minimum)]
}

/// Adds the 256 elements of a Q4_K or Q5_K block, whose integers `q` gives by part and place in the part.
fn eighths(block: &[u8], elements: &mut Vec<f32>, q: impl Fn(usize, usize) -> u8) {
    let (d, m) = (half(block, 0), half(block, 2));
    for part in 0..8 {
        let [scale, minimum] = scale_and_minimum(&block[4..16], part);
        let (scale, minimum) = (d * scale, m * minimum);
        elements.extend((0..32).map(|place| scale * f32::from(q(part, place)) - minimum));
    }
}

/// The four bits of an element of a Q4_K or Q5_K block: two parts share 32 bytes.
fn shared_nibble(bytes: &[u8], part: usize, place: usize) -> u8 {
    bytes[part / 2 * 32 + place] >> (part % 2 * 4) & 15
}

fn q4_k(block: &[u8; 144], elements: &mut Vec<f32>) {
    eighths(block, elements, |part, place| shared_nibble(&block[16..], part, place));
}

fn q5_k(block: &[u8; 176], elements: &mut Vec<f32>) {
    eighths(block, elements, |part, place| {
        shared_nibble(&block[48..], part, place) | (block[16 + place] >> part & 1) << 4
    });
}

fn q6_k(block: &[u8; 210], elements: &mut Vec<f32>) {
    let d = half(block, 208);
    for index in 0..256 {
        // Each half of the block has 64 bytes of lower and 32 bytes of upper bits; quarters of a half take turns in them.
        let (part, quarter, place) = (index / 128, index % 128 / 32, index % 32);
        let low = block[part * 64 + quarter % 2 * 32 + place] >> (quarter / 2 * 4) & 15;
        let high = block[128 + part * 32 + place] >> (quarter * 2) & 3;
        let scale = block[192 + index / 16] as i8;
        elements.push(d * f32::from(scale) * f32::from((low | high << 4) as i8 - 32));
    }
}
