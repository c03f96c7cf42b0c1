//! The rows that see each other: causality, a window and segments, each of which leaves a contiguous range of rows.

use std::ops::Range;

use super::{Shape, TILE};

/// The rows that a row sees, and the scores that it gives them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// True if token `i` sees no token after it.
    pub causal: bool,
    /// W, at least 1: token `i` sees token `j` if |i − j| < W. transformers' `sliding_window` of a decoder
    /// (`masking_utils.py`, `sliding_window_overlay`); `None` for no limit.
    pub window: Option<usize>,
    /// Factor of the scores, e.g. 1/√D.
    pub scale: f64,
    /// c of the soft cap c·tanh(s/c) of the scaled scores (Gemma 2, arXiv 2408.00118, §2); `None` for none.
    pub cap: Option<f64>,
}

impl Rule {
    /// A decoder's rule: each token sees itself and all before it, and scores are divided by √D.
    pub fn causal(head_size: usize) -> Rule {
        Rule { causal: true, window: None, scale: (head_size as f64).sqrt().recip(), cap: None }
    }
}

/// Replaces the contents of `limits` by the segment of each row, as a range of tokens of its sequence.
///
/// A segment is a run of neighbouring rows with the same number; a padding row, whose number is 0, has an empty one.
/// Hence the first and the last token that a row sees never decrease from one row to the next.
pub(super) fn find_segments(segments: &[u32], tokens: usize, limits: &mut Vec<Range<usize>>) {
    limits.clear();
    for sequence in segments.chunks_exact(tokens.max(1)) {
        let mut start = 0;
        for segment in sequence.chunk_by(|one, next| one == next) {
            let end = start + segment.len();
            for token in start..end {
                limits.push(if segment[0] == 0 { token..token } else { start..end });
            }
            start = end;
        }
    }
}

/// The rows that each row sees in one call.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    tokens: usize,
    causal: bool,
    window: usize,
    segments: Option<&'a [Range<usize>]>,
    /// The position of each row, if keys lie in a cache.
    positions: Option<&'a [u32]>,
}

impl<'a> Sight<'a> {
    /// The sight by `rule`, over the segments that [`find_segments`] found, if rows are in segments.
    pub fn new(shape: Shape, rule: Rule, segments: Option<&'a [Range<usize>]>) -> Self {
        let window = rule.window.map_or(shape.tokens, |window| window.min(shape.tokens));
        Self { tokens: shape.tokens, causal: rule.causal, window, segments, positions: None }
    }

    /// The sight by `rule` of rows at these positions of a cache of `context` keys per sequence.
    pub fn cached(shape: Shape, rule: Rule, context: usize, positions: &'a [u32]) -> Self {
        let window = rule.window.map_or(context, |window| window.min(context));
        Self { tokens: shape.tokens, causal: true, window, segments: None, positions: Some(positions) }
    }

    /// The keys of its sequence that a token sees; empty for padding.
    #[inline(always)]
    pub fn seen_by(&self, sequence: usize, token: usize) -> Range<usize> {
        if let Some(positions) = self.positions {
            let end = positions[sequence * self.tokens + token] as usize + 1;
            return end.saturating_sub(self.window)..end;
        }
        let segment = match self.segments {
            Some(segments) => segments[sequence * self.tokens + token].clone(),
            None => 0..self.tokens,
        };
        let after = if self.causal { 1 } else { self.window };
        segment.start.max((token + 1).saturating_sub(self.window))..segment.end.min(token + after)
    }

    /// The tokens of whole tiles that hold every token that one of `queries` sees; empty if none sees any.
    pub fn seen_by_tile(&self, sequence: usize, queries: &Range<usize>) -> Range<usize> {
        let (first, last) = (self.seen_by(sequence, queries.start), self.seen_by(sequence, queries.end - 1));
        first.start / TILE * TILE..last.end
    }
}

/// The part of `seen` within `tile`, counted from the tile's first token.
#[inline(always)]
pub(super) fn within(seen: &Range<usize>, tile: &Range<usize>) -> Range<usize> {
    let start = seen.start.clamp(tile.start, tile.end) - tile.start;
    let end = seen.end.clamp(tile.start, tile.end) - tile.start;
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_runs_of_neighbours_within_a_sequence() {
        // Limits that an earlier call left are overwritten.
        let left = 7..9;
        let mut limits = vec![left];
        find_segments(&[4, 4, 0, 0, 2, 2, 4, 2, 2, 0], 5, &mut limits);
        assert_eq!(limits, [0..2, 0..2, 2..2, 3..3, 4..5, 0..1, 1..2, 2..4, 2..4, 4..4]);
    }

    #[test]
    fn a_row_sees_what_every_rule_allows() {
        let shape = Shape { sequences: 1, tokens: 9, heads: 1, kv_heads: 1, head_size: 1 };
        let numbers = [3, 3, 3, 3, 0, 5, 5, 5, 0];
        let mut limits = vec![];
        find_segments(&numbers, 9, &mut limits);
        for (causal, window) in [(true, None), (false, None), (true, Some(2)), (false, Some(3)), (false, Some(1))] {
            let rule = Rule { causal, window, scale: 1.0, cap: None };
            for segments in [None, Some(&limits[..])] {
                let sight = Sight::new(shape, rule, segments);
                for i in 0..9 {
                    let sees = |j: usize| {
                        let alike = segments.is_none() || numbers[i] != 0 && numbers[i] == numbers[j];
                        alike && (!causal || j <= i) && i.abs_diff(j) < window.unwrap_or(9)
                    };
                    let expected: Vec<usize> = (0..9).filter(|&j| sees(j)).collect();
                    assert_eq!(sight.seen_by(0, i).collect::<Vec<_>>(), expected, "{rule:?}, token {i}");
                }
            }
        }
    }

    #[test]
    fn the_part_within_a_tile_is_counted_from_its_start() {
        assert_eq!(within(&(3..70), &(64..100)), 0..6);
        assert_eq!(within(&(70..80), &(64..100)), 6..16);
        assert!(within(&(3..5), &(64..100)).is_empty() && within(&(300..500), &(64..100)).is_empty());
        assert!(within(&(70..70), &(64..100)).is_empty());
    }
}
