//! Attention, with or without grouped heads, without a T×T buffer.
//!
//! The forward pass processes the keys of a query in tiles with a running maximum and a running sum of the softmax
//! (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). It stores one log-sum-exp per
//! query and head, from which the backward pass recomputes the probabilities of a tile.
//!
//! A tile is a small matrix product of views into q, k and v. A tile of which no query sees a key is skipped. Of the
//! others some scores are masked; they are computed nevertheless, because a whole matrix product is faster than a
//! hand-written part of one, and their probabilities are set to exact zeros.

mod sight;

use std::mem::take;
use std::ops::Range;

pub use sight::Rule;
use sight::{Sight, find_segments, within};

use crate::reduce::{maximum, sum};
use crate::simd::vectorize;
use crate::{Matrix, Scalar, Scratch, Store};

/// Queries and keys per tile. Fixed, so that the order of summation depends on the shape only.
const TILE: usize = 64;

/// The sizes of one call: N = B·T rows, whole sequences one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences B; attention stays within each.
    pub sequences: usize,
    /// Tokens T of a sequence.
    pub tokens: usize,
    /// Query heads H.
    pub heads: usize,
    /// Key and value heads KV, a divisor of H: query head `h` uses key head `h / (H / KV)`.
    pub kv_heads: usize,
    /// Head size D.
    pub head_size: usize,
}

/// `y` (N, H·D) = softmax(scores) v, per sequence and head, over the keys that the query sees by `rule`. The scores are
/// scale · q kᵀ, capped if the rule says so.
///
/// `q` is (N, H·D), `k` and `v` are (N, KV·D). `segments` (N) are numbers of which neighbouring rows that see each other
/// share one; rows of number 0 are padding, which no row sees and whose `y` is 0. `lse` (N, H) is the log-sum-exp of the
/// scores, for the backward pass; 0 for padding.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, KV does not divide H, or the window is 0.
pub fn forward<S: Scalar>(
    shape: Shape,
    rule: Rule,
    segments: Option<&[u32]>,
    q: &[S],
    k: &[S],
    v: &[S],
    y: &mut [S],
    lse: &mut [S],
    scratch: &mut Scratch<S>,
) {
    let limits = limits(shape, rule, segments, scratch);
    let sight = Sight::new(shape, rule, segments.map(|_| &*limits));
    attend([shape; 2], rule, sight, q, k, v, y, lse, scratch);
    scratch.limits = limits;
}

/// The same for rows that continue texts, whose keys and values lie in a cache, those of the rows themselves included: `k` and `v` are (B·C, KV·D), C
/// rows per sequence, of which a query at position `p` sees those up to `p`. `positions` (N) rise by 1 from row to row of a sequence.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, KV does not divide H, the window is 0, or a position is not below C.
pub fn forward_cached<S: Scalar>(
    shape: Shape,
    rule: Rule,
    context: usize,
    positions: &[u32],
    q: &[S],
    k: &[S],
    v: &[S],
    y: &mut [S],
    lse: &mut [S],
    scratch: &mut Scratch<S>,
) {
    assert!(
        rule.causal && rule.window != Some(0),
        "a text is continued by tokens that see themselves and those before"
    );
    assert_eq!(positions.len(), shape.sequences * shape.tokens, "the positions of {shape:?}");
    assert!(positions.iter().all(|&position| (position as usize) < context), "a position is outside of the cache");
    let keys = Shape { tokens: context, ..shape };
    attend([shape, keys], rule, Sight::cached(shape, rule, context, positions), q, k, v, y, lse, scratch);
}

/// The forward pass, with the sizes of the queries and of the keys, which differ in tokens if at all.
fn attend<S: Scalar>(
    [shape, of_keys]: [Shape; 2],
    rule: Rule,
    sight: Sight<'_>,
    q: &[S],
    k: &[S],
    v: &[S],
    y: &mut [S],
    lse: &mut [S],
    scratch: &mut Scratch<S>,
) {
    shape.check(&[q.len(), y.len()], &[], &[lse.len()]);
    of_keys.check(&[], &[k.len(), v.len()], &[]);
    let Shape { heads, head_size, .. } = shape;
    let (scale, cap) = rule.factors();
    let (_, [scores, output, largest, total, shrink]) =
        scratch.split([TILE * TILE, TILE * head_size, TILE, TILE, TILE]);
    vectorize(
        #[inline(always)]
        || {
            for (sequence, head, queries) in shape.query_tiles() {
                let count = queries.len();
                let rows = shape.rows(sequence, &queries);
                let seen = sight.seen_by_tile(sequence, &queries);
                let output = &mut output[..count * head_size];
                let mut softmax = Softmax { output, largest, total, shrink, head_size };
                softmax.begin(count);
                for keys in tiles(seen.start, seen.end) {
                    let width = keys.len();
                    let scores = &mut scores[..count * width];
                    let key_rows = of_keys.rows(sequence, &keys);
                    let (query, key) = (shape.queries(q, &rows, head), shape.keys(k, &key_rows, head));
                    S::matmul(scores, query, key.t(), scale, Store::Set);
                    if let Some(cap) = cap {
                        cap_scores(scores, cap);
                    }
                    let seen_by = |query| sight.seen_by(sequence, queries.start + query);
                    softmax.exponentials(scores, &keys, keys.start == seen.start, seen_by);
                    let value = shape.keys(v, &key_rows, head);
                    S::matmul(softmax.output, Matrix::new(scores, count, width), value, S::ONE, Store::Add);
                }
                for query in 0..count {
                    let sees = !sight.seen_by(sequence, queries.start + query).is_empty();
                    lse[(rows.start + query) * heads + head] = if sees { softmax.end(query) } else { S::ZERO };
                }
                shape.scatter(softmax.output, y, rows, head, heads, Store::Set);
            }
        },
    );
}

/// The running softmax of a tile of queries.
struct Softmax<'a, S> {
    /// Σ exp(s − largest) v, (queries, D).
    output: &'a mut [S],
    /// The largest score of each query so far.
    largest: &'a mut [S],
    /// Σ exp(s − largest) of each query.
    total: &'a mut [S],
    /// The factor by which a new largest score shrinks the sums of each query.
    shrink: &'a mut [S],
    head_size: usize,
}

impl<S: Scalar> Softmax<'_, S> {
    #[inline(always)]
    fn begin(&mut self, count: usize) {
        self.total[..count].fill(S::ZERO);
        self.output.fill(S::ZERO);
    }

    /// Replaces the scores of a tile of keys by exp(s − largest), those that are not seen by 0, and adds them to the totals.
    #[inline(always)]
    fn exponentials(
        &mut self,
        scores: &mut [S],
        keys: &Range<usize>,
        is_first: bool,
        seen_by: impl Fn(usize) -> Range<usize>,
    ) {
        let width = keys.len();
        for (query, scores) in scores.chunks_exact_mut(width).enumerate() {
            let seen = seen_by(query);
            let here = within(&seen, keys);
            // Nothing was seen before this tile, or nothing is seen in it: there is nothing to shrink.
            self.shrink[query] = S::ZERO;
            if !here.is_empty() {
                let (here, is_first) = (maximum(&scores[here]), seen.start >= keys.start);
                let new = if is_first { here } else { here.max(self.largest[query]) };
                if !is_first {
                    self.shrink[query] = self.largest[query] - new;
                }
                self.largest[query] = new;
                for score in scores {
                    *score -= new;
                }
            }
        }
        S::exp_in_place(scores);
        if !is_first {
            let count = scores.len() / width;
            S::exp_in_place(&mut self.shrink[..count]);
            for (query, output) in self.output.chunks_exact_mut(self.head_size).enumerate() {
                self.total[query] *= self.shrink[query];
                for output in output {
                    *output *= self.shrink[query];
                }
            }
        }
        for (query, scores) in scores.chunks_exact_mut(width).enumerate() {
            clear_outside(scores, within(&seen_by(query), keys));
            self.total[query] += sum([scores], |[x]| x);
        }
    }

    /// Divides a query's output by its total, and returns its log-sum-exp.
    #[inline(always)]
    fn end(&mut self, query: usize) -> S {
        let inverse = S::ONE / self.total[query];
        for output in &mut self.output[query * self.head_size..][..self.head_size] {
            *output *= inverse;
        }
        self.largest[query] + self.total[query].ln()
    }
}

/// `dq` (N, H·D), `dk` and `dv` (N, KV·D) from `dy` (N, H·D); `stores` are those of `dq`, `dk` and `dv`.
///
/// With the recomputed probabilities p = exp(s − lse), and δ = Σ dy∘y per query and head (Dao et al. 2022, appendix B.4):
/// dv = pᵀ dy, ds = p ∘ (dy vᵀ − δ), dq = scale · ds k, dk = scale · dsᵀ q. A cap multiplies ds by its derivative
/// 1 − tanh². The gradients of the query heads that share a key head are summed. `y` and `lse` are results of [`forward`]
/// with the same rule and segments.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, KV does not divide H, or the window is 0.
pub fn backward<S: Scalar>(
    shape: Shape,
    rule: Rule,
    segments: Option<&[u32]>,
    q: &[S],
    k: &[S],
    v: &[S],
    y: &[S],
    lse: &[S],
    dy: &[S],
    dq: &mut [S],
    dk: &mut [S],
    dv: &mut [S],
    stores: [Store; 3],
    scratch: &mut Scratch<S>,
) {
    shape.check(&[q.len(), y.len(), dy.len(), dq.len()], &[k.len(), v.len(), dk.len(), dv.len()], &[lse.len()]);
    let Shape { heads, head_size, .. } = shape;
    let (scale, cap) = rule.factors();
    let limits = limits(shape, rule, segments, scratch);
    let sight = Sight::new(shape, rule, segments.map(|_| &*limits));
    let area = TILE * head_size;
    let slope_area = if cap.is_some() { TILE * TILE } else { 0 };
    let (_, [p, ds, slope, dq_tile, dk_tile, dv_tile]) =
        scratch.split([TILE * TILE, TILE * TILE, slope_area, area, area, area]);
    if segments.is_some() && stores[0] == Store::Set {
        // No tile of keys initialises dq of queries that see none.
        dq.fill(S::ZERO);
    }
    vectorize(
        #[inline(always)]
        || {
            for (sequence, kv_head, keys) in shape.key_tiles() {
                let width = keys.len();
                let key_rows = shape.rows(sequence, &keys);
                let (dk_tile, dv_tile) = (&mut dk_tile[..width * head_size], &mut dv_tile[..width * head_size]);
                dk_tile.fill(S::ZERO);
                dv_tile.fill(S::ZERO);
                for (head, queries) in shape.tiles_of_group(kv_head) {
                    let seen = sight.seen_by_tile(sequence, &queries);
                    if !seen.contains(&keys.start) {
                        continue;
                    }
                    let count = queries.len();
                    let rows = shape.rows(sequence, &queries);
                    let (p, ds) = (&mut p[..count * width], &mut ds[..count * width]);
                    let (query, dy_view) = (shape.queries(q, &rows, head), shape.queries(dy, &rows, head));
                    let (key, value) = (shape.keys(k, &key_rows, head), shape.keys(v, &key_rows, head));
                    S::matmul(p, query, key.t(), scale, Store::Set);
                    S::matmul(ds, dy_view, value.t(), S::ONE, Store::Set);
                    if let Some(cap) = cap {
                        cap_scores(p, cap);
                        slopes(p, cap, slope);
                    }
                    let lse_of = |query| lse[(rows.start + query) * heads + head];
                    let delta_of = |query| {
                        let place = shape.place(rows.start + query, head, heads);
                        sum([&dy[place.clone()], &y[place]], |[dy, y]| dy * y)
                    };
                    let seen_by = |query| within(&sight.seen_by(sequence, queries.start + query), &keys);
                    probabilities(p, ds, width, lse_of, delta_of, seen_by);
                    if cap.is_some() {
                        multiply(ds, slope);
                    }
                    let (p, ds) = (Matrix::new(p, count, width), Matrix::new(ds, count, width));
                    S::matmul(dv_tile, p.t(), dy_view, S::ONE, Store::Add);
                    S::matmul(dk_tile, ds.t(), query, scale, Store::Add);
                    let dq_tile = &mut dq_tile[..count * head_size];
                    S::matmul(dq_tile, ds, key, scale, Store::Set);
                    // The first tile of keys that a tile of queries sees initialises its dq.
                    let store = if keys.start == seen.start { stores[0] } else { Store::Add };
                    shape.scatter(dq_tile, dq, rows, head, heads, store);
                }
                shape.scatter(dk_tile, dk, key_rows.clone(), kv_head, shape.kv_heads, stores[1]);
                shape.scatter(dv_tile, dv, key_rows, kv_head, shape.kv_heads, stores[2]);
            }
        },
    );
    scratch.limits = limits;
}

/// Turns the scores of a tile into p = exp(s − lse), and its dy vᵀ into p ∘ (dy vᵀ − δ); both are 0 where a query does not see a
/// key. The functions give a query's log-sum-exp, its δ, and the keys of the tile that it sees.
#[inline(always)]
fn probabilities<S: Scalar>(
    p: &mut [S],
    ds: &mut [S],
    width: usize,
    lse: impl Fn(usize) -> S,
    delta: impl Fn(usize) -> S,
    seen: impl Fn(usize) -> Range<usize>,
) {
    for (query, p) in p.chunks_exact_mut(width).enumerate() {
        let lse = lse(query);
        for p in p {
            *p -= lse;
        }
    }
    S::exp_in_place(p);
    for (query, (p, ds)) in p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width)).enumerate() {
        let (delta, here) = (delta(query), seen(query));
        for (ds, &p) in ds.iter_mut().zip(&*p) {
            *ds = p * (*ds - delta);
        }
        clear_outside(p, here.clone());
        clear_outside(ds, here);
    }
}

/// The segment of each row, in memory taken from `scratch`; empty without segments. Checks what [`Shape::check`] does not see.
fn limits<S: Scalar>(
    shape: Shape,
    rule: Rule,
    segments: Option<&[u32]>,
    scratch: &mut Scratch<S>,
) -> Vec<Range<usize>> {
    assert!(rule.window != Some(0), "a window of 0 tokens leaves nothing to see");
    let mut limits = take(&mut scratch.limits);
    if let Some(segments) = segments {
        assert_eq!(segments.len(), shape.sequences * shape.tokens, "the segments of {shape:?}");
        find_segments(segments, shape.tokens, &mut limits);
    }
    limits
}

/// Replaces scores by c·tanh(s/c).
#[inline(always)]
fn cap_scores<S: Scalar>(scores: &mut [S], cap: S) {
    for score in scores {
        *score = cap * (*score / cap).tanh();
    }
}

/// The derivative 1 − tanh² of the cap at each capped score.
#[inline(always)]
fn slopes<S: Scalar>(capped: &[S], cap: S, slopes: &mut [S]) {
    for (slope, &capped) in slopes.iter_mut().zip(capped) {
        let tanh = capped / cap;
        *slope = S::ONE - tanh * tanh;
    }
}

/// Multiplies each number by its factor.
#[inline(always)]
fn multiply<S: Scalar>(numbers: &mut [S], factors: &[S]) {
    for (number, &factor) in numbers.iter_mut().zip(factors) {
        *number *= factor;
    }
}

/// Sets the elements outside `kept` to zero.
#[inline(always)]
fn clear_outside<S: Scalar>(row: &mut [S], kept: Range<usize>) {
    row[..kept.start].fill(S::ZERO);
    row[kept.end..].fill(S::ZERO);
}

impl Rule {
    /// The factor of the scores, and their cap.
    fn factors<S: Scalar>(self) -> (S, Option<S>) {
        (S::from_f64(self.scale), self.cap.map(S::from_f64))
    }
}

impl Shape {
    /// Number of query heads that share a key head.
    fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// All (sequence, query head, tile of queries).
    fn query_tiles(self) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
        let pairs = (0..self.sequences).flat_map(move |sequence| (0..self.heads).map(move |head| (sequence, head)));
        pairs.flat_map(move |(sequence, head)| tiles(0, self.tokens).map(move |queries| (sequence, head, queries)))
    }

    /// All (sequence, key head, tile of keys).
    fn key_tiles(self) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
        Self { heads: self.kv_heads, ..self }.query_tiles()
    }

    /// All (query head, tile of queries) that use `kv_head`.
    fn tiles_of_group(self, kv_head: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let heads = kv_head * self.group()..(kv_head + 1) * self.group();
        heads.flat_map(move |head| tiles(0, self.tokens).map(move |queries| (head, queries)))
    }

    /// The rows of a range of tokens of a sequence.
    fn rows(self, sequence: usize, tokens: &Range<usize>) -> Range<usize> {
        sequence * self.tokens + tokens.start..sequence * self.tokens + tokens.end
    }

    /// The index range of head `head` of `row` in a tensor of `heads` heads.
    fn place(self, row: usize, head: usize, heads: usize) -> Range<usize> {
        let start = (row * heads + head) * self.head_size;
        start..start + self.head_size
    }

    /// (rows, D): a query head of `x` (N, H·D).
    fn queries<'a, S>(self, x: &'a [S], rows: &Range<usize>, head: usize) -> Matrix<'a, S> {
        let start = self.place(rows.start, head, self.heads).start;
        Matrix::strided(&x[start..], rows.len(), self.head_size, self.heads * self.head_size)
    }

    /// (rows, D): the key head of `x` (N, KV·D) that query head `head` uses.
    fn keys<'a, S>(self, x: &'a [S], rows: &Range<usize>, head: usize) -> Matrix<'a, S> {
        Self { heads: self.kv_heads, ..self }.queries(x, rows, head / self.group())
    }

    /// Stores `tile` (rows, D) as head `head` of `out` (N, heads·D).
    #[inline(always)]
    fn scatter<S: Scalar>(
        self,
        tile: &[S],
        out: &mut [S],
        rows: Range<usize>,
        head: usize,
        heads: usize,
        store: Store,
    ) {
        for (row, tile) in rows.zip(tile.chunks_exact(self.head_size)) {
            for (out, &x) in out[self.place(row, head, heads)].iter_mut().zip(tile) {
                store.put(out, x);
            }
        }
    }

    fn check(self, per_query_feature: &[usize], per_key_feature: &[usize], per_query: &[usize]) {
        let Self { sequences, tokens, heads, kv_heads, head_size } = self;
        assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "{kv_heads} key heads cannot serve {heads} heads");
        assert!(head_size > 0, "a head needs at least one feature");
        let rows = sequences * tokens;
        for &length in per_query_feature {
            assert_eq!(length, rows * heads * head_size, "an (N, H·D) operand of {self:?}");
        }
        for &length in per_key_feature {
            assert_eq!(length, rows * kv_heads * head_size, "an (N, KV·D) operand of {self:?}");
        }
        for &length in per_query {
            assert_eq!(length, rows * heads, "an (N, H) operand of {self:?}");
        }
    }
}

/// The tiles of the tokens from `start`, a multiple of [`TILE`], to `end`.
fn tiles(start: usize, end: usize) -> impl Iterator<Item = Range<usize>> {
    (start..end).step_by(TILE).map(move |start| start..end.min(start + TILE))
}
