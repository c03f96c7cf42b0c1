//! A named, seeded sequence of random blocks.

use crate::Philox;

/// The random numbers that belong to one seed and one name.
///
/// The seed is Philox's key; the counter is the block's index (two words) and the 64-bit FNV-1a hash of the name (two
/// words). So streams of different names never share a block unless the hashes of their names collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    generator: Philox,
    name: [u32; 2],
}

impl Stream {
    /// The stream of `name` under `seed`. For a tensor, the name is the tensor's own.
    pub fn new(seed: u64, name: &str) -> Self {
        Self {
            generator: Philox::new(words(seed)),
            name: words(fnv_1a(name.as_bytes())),
        }
    }

    /// Block `index` of the stream: 128 random bits.
    pub fn block(&self, index: u64) -> [u32; 4] {
        let [low, high] = words(index);
        self.generator
            .block([low, high, self.name[0], self.name[1]])
    }
}

/// The two halves of `value`, least significant first.
fn words(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// 64-bit FNV-1a (Fowler, Noll, Vo).
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(
            Stream::new((3 << 32) | 5, "foobar").block((7 << 32) | 9),
            expected
        );
    }
}
