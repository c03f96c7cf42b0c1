//! Philox 4×32-10, the counter-based generator of Random123.

/// Multipliers of the two halves of a round (Salmon et al. 2011, `philox4x32`).
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Increments of the key per round: the golden ratio and √3 − 1, in 32 bits.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Philox 4×32-10: a keyed bijection from 128-bit counters to 128-bit blocks of random bits.
///
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. This module's tests use
/// its published test vectors. It needs only 32-bit integers (a shader without 64-bit integers computes the wide
/// product from four 16-bit ones), so a GPU can draw the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// The generator with this key; the least significant word is first.
    pub fn new(key: [u32; 2]) -> Self {
        Self { key }
    }

    /// The key; the least significant word is first.
    pub fn key(self) -> [u32; 2] {
        self.key
    }

    /// The 128 random bits of `counter`.
    pub fn block(self, counter: [u32; 4]) -> [u32; 4] {
        let mut key = self.key;
        let mut block = counter;
        for round in 0..ROUNDS {
            if round > 0 {
                key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
            }
            let (high_0, low_0) = multiply_wide(MULTIPLIERS[0], block[0]);
            let (high_1, low_1) = multiply_wide(MULTIPLIERS[1], block[2]);
            block = [high_1 ^ block[1] ^ key[0], low_1, high_0 ^ block[3] ^ key[1], low_0];
        }
        block
    }
}

/// The 64-bit product of two words, as (high, low).
pub(crate) fn multiply_wide(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of Random123, the lines `philox4x32 10`.
    #[test]
    fn published_vectors() {
        let vectors = [
            ([0; 4], [0; 2], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
            (
                [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
                [0xA409_3822, 0x299F_31D0],
                [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
            ),
        ];
        for (counter, key, expected) in vectors {
            assert_eq!(Philox::new(key).block(counter), expected);
        }
    }

    /// The method for machines without 64-bit integers gives the same products.
    #[test]
    fn wide_product_needs_only_words() {
        fn by_halves(a: u32, b: u32) -> (u32, u32) {
            let (a_high, a_low, b_high, b_low) = (a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF);
            let low = a_low * b_low;
            let middle = a_high * b_low + (low >> 16);
            let carry = a_low * b_high + (middle & 0xFFFF);
            (a_high * b_high + (middle >> 16) + (carry >> 16), a.wrapping_mul(b))
        }
        let generator = Philox::new([1, 2]);
        for i in 0..10_000 {
            let [a, b, ..] = generator.block([i, 0, 0, 0]);
            assert_eq!(by_halves(a, b), multiply_wide(a, b));
        }
        assert_eq!(by_halves(u32::MAX, u32::MAX), multiply_wide(u32::MAX, u32::MAX));
    }
}
