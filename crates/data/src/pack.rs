//! Packing: several examples in one sequence, so that less of it is padding.

use std::collections::BTreeMap;

use crate::example::Examples;

/// Examples in packs that fit a sequence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    examples: Examples,
    /// The indices of the examples, pack by pack.
    order: Vec<u32>,
    /// The end of each pack in `order`.
    ends: Vec<u32>,
    tokens: usize,
}

impl Packed {
    /// Packs examples into sequences of `tokens` tokens by best-fit decreasing (Johnson 1974), as TRL's `packing_strategy="bfd"` does: from the longest to
    /// the shortest, each goes where it leaves the least room. An example that fits no sequence has one of its own.
    pub fn new(examples: Examples, tokens: usize) -> Self {
        // An example of n tokens takes n - 1 rows: its last token is only predicted.
        let rows = |index: u32| examples.at(index as usize).tokens.len().saturating_sub(1);
        let mut by_length: Vec<u32> = (0..u32::try_from(examples.len()).unwrap_or(u32::MAX)).collect();
        by_length.sort_by_key(|&index| std::cmp::Reverse(rows(index)));
        let mut packs: Vec<Vec<u32>> = Vec::new();
        // The packs that have so much room left.
        let mut room: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for index in by_length {
            let needed = rows(index);
            let fitting = room.range(needed..).next().map(|(room, _)| *room);
            let found = fitting.and_then(|left| {
                let waiting = room.get_mut(&left)?;
                let pack = waiting.pop()?;
                if waiting.is_empty() {
                    room.remove(&left);
                }
                Some((pack, left))
            });
            let (pack, left) = found.unwrap_or_else(|| {
                packs.push(vec![]);
                (packs.len() - 1, tokens)
            });
            packs[pack].push(index);
            room.entry(left.saturating_sub(needed)).or_default().push(pack);
        }
        let mut end = 0;
        let ends = packs.iter().map(|pack| {
            end += pack.len() as u32;
            end
        });
        let ends = ends.collect();
        Self { order: packs.concat(), ends, examples, tokens }
    }

    /// Number of packs.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The indices of the examples in a pack.
    ///
    /// # Panics
    /// If there is no such pack.
    pub fn pack(&self, pack: usize) -> &[u32] {
        let start = if pack == 0 { 0 } else { self.ends[pack - 1] };
        &self.order[start as usize..self.ends[pack] as usize]
    }

    /// The examples.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// The tokens of a sequence that they are packed for.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.examples.bytes() + size_of_val(&self.order[..]) + size_of_val(&self.ends[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(lengths: &[usize]) -> Examples {
        let mut examples = Examples::default();
        for &length in lengths {
            let taught = 1..length;
            examples.push(&vec![7; length], &[taught]);
        }
        examples
    }

    #[test]
    fn every_example_is_in_one_pack_and_every_pack_fits() {
        let lengths: Vec<usize> = (0..200).map(|index| 2 + index * 37 % 60).collect();
        let packed = Packed::new(examples(&lengths), 64);
        let mut seen: Vec<u32> = (0..packed.len()).flat_map(|pack| packed.pack(pack).to_vec()).collect();
        let rows = |pack: usize| packed.pack(pack).iter().map(|&index| lengths[index as usize] - 1).sum::<usize>();
        assert!((0..packed.len()).all(|pack| rows(pack) <= 64));
        // Best fit needs hardly more packs than the sum of the lengths does.
        let all: usize = lengths.iter().map(|length| length - 1).sum();
        assert!(packed.len() <= all.div_ceil(64) + 1, "{} packs for {all} rows", packed.len());
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<u32>>());
    }

    #[test]
    fn the_fullest_pack_that_has_room_is_taken() {
        // Rows 6, 5, 4, 3 into 9: 6 + 3 and 5 + 4.
        let packed = Packed::new(examples(&[5, 7, 4, 6]), 9);
        assert_eq!((packed.pack(0), packed.pack(1)), (&[1, 2][..], &[3, 0][..]));
        assert_eq!(Packed::new(examples(&[20]), 9).len(), 1);
    }
}
