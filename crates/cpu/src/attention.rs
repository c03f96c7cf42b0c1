//! Causal attention, with or without grouped heads, without a T×T buffer.
//!
//! The forward pass processes the keys of a query in tiles with a running maximum and a running sum of the softmax
//! (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). It stores one log-sum-exp per
//! query and head, from which the backward pass recomputes the probabilities of a tile.
//!
//! A tile is a small matrix product of views into q, k and v. On the diagonal, half of its scores are masked; they are
//! computed nevertheless, because a whole matrix product is faster than a hand-written half, and their probabilities
//! are set to exact zeros.

use std::ops::Range;

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
    /// Tokens T of a sequence; each attends to itself and those before it.
    pub tokens: usize,
    /// Query heads H.
    pub heads: usize,
    /// Key and value heads KV, a divisor of H: query head `h` uses key head `h / (H / KV)`.
    pub kv_heads: usize,
    /// Head size D.
    pub head_size: usize,
}

/// `y` (N, H·D) = softmax(q kᵀ / √D) v, per sequence and head, over the keys at or before the query.
///
/// `q` is (N, H·D), `k` and `v` are (N, KV·D). `lse` (N, H) is the log-sum-exp of the scaled scores, for the backward
/// pass.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or KV does not divide H.
pub fn forward<S: Scalar>(
    shape: Shape,
    q: &[S],
    k: &[S],
    v: &[S],
    y: &mut [S],
    lse: &mut [S],
    scratch: &mut Scratch<S>,
) {
    shape.check(&[q.len(), y.len()], &[k.len(), v.len()], lse.len());
    let Shape { heads, head_size, .. } = shape;
    let scale = shape.scale();
    let (_, [scores, output, largest, total, shrink]) =
        scratch.split([TILE * TILE, TILE * head_size, TILE, TILE, TILE]);
    vectorize(
        #[inline(always)]
        || {
            for (sequence, head, queries) in shape.query_tiles() {
                let count = queries.len();
                let rows = shape.rows(sequence, &queries);
                let output = &mut output[..count * head_size];
                for keys in tiles(0, queries.end) {
                    let (first, width) = (keys.start == 0, keys.len());
                    let scores = &mut scores[..count * width];
                    let key_rows = shape.rows(sequence, &keys);
                    let (query, key) = (shape.queries(q, &rows, head), shape.keys(k, &key_rows, head));
                    S::matmul(scores, query, key.t(), scale, Store::Set);

                    for (query, scores) in scores.chunks_exact_mut(width).enumerate() {
                        let here = maximum(&scores[..visible(&queries, &keys, query)]);
                        let new = if first { here } else { here.max(largest[query]) };
                        shrink[query] = if first { S::ZERO } else { largest[query] - new };
                        largest[query] = new;
                        for score in scores {
                            *score -= new;
                        }
                    }
                    S::exp_in_place(scores);
                    if first {
                        total[..count].fill(S::ZERO);
                        output.fill(S::ZERO);
                    } else {
                        S::exp_in_place(&mut shrink[..count]);
                        for (query, output) in output.chunks_exact_mut(head_size).enumerate() {
                            total[query] *= shrink[query];
                            for output in output {
                                *output *= shrink[query];
                            }
                        }
                    }
                    for (query, scores) in scores.chunks_exact_mut(width).enumerate() {
                        scores[visible(&queries, &keys, query)..].fill(S::ZERO);
                        total[query] += sum([scores], |[x]| x);
                    }
                    let value = shape.keys(v, &key_rows, head);
                    S::matmul(output, Matrix::new(scores, count, width), value, S::ONE, Store::Add);
                }
                for (query, output) in output.chunks_exact_mut(head_size).enumerate() {
                    let inverse = S::ONE / total[query];
                    for output in output {
                        *output *= inverse;
                    }
                    lse[(rows.start + query) * heads + head] = largest[query] + total[query].ln();
                }
                shape.scatter(output, y, rows, head, heads, Store::Set);
            }
        },
    );
}

/// `dq` (N, H·D), `dk` and `dv` (N, KV·D) from `dy` (N, H·D); `stores` are those of `dq`, `dk` and `dv`.
///
/// With the recomputed probabilities p = exp(s − lse), and δ = Σ dy∘y per query and head (Dao et al. 2022, appendix B.4):
/// dv = pᵀ dy, ds = p ∘ (dy vᵀ − δ), dq = ds k / √D, dk = dsᵀ q / √D. The gradients of the query heads that share a key
/// head are summed. `y` and `lse` are results of [`forward`].
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or KV does not divide H.
pub fn backward<S: Scalar>(
    shape: Shape,
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
    shape.check(&[q.len(), y.len(), dy.len(), dq.len()], &[k.len(), v.len(), dk.len(), dv.len()], lse.len());
    let Shape { heads, head_size, .. } = shape;
    let scale = shape.scale();
    let area = TILE * head_size;
    let (_, [p, ds, dq_tile, dk_tile, dv_tile]) = scratch.split([TILE * TILE, TILE * TILE, area, area, area]);
    vectorize(
        #[inline(always)]
        || {
            for (sequence, kv_head, keys) in shape.key_tiles() {
                let width = keys.len();
                let key_rows = shape.rows(sequence, &keys);
                let (dk_tile, dv_tile) = (&mut dk_tile[..width * head_size], &mut dv_tile[..width * head_size]);
                dk_tile.fill(S::ZERO);
                dv_tile.fill(S::ZERO);
                for (head, queries) in shape.tiles_that_see(kv_head, &keys) {
                    let count = queries.len();
                    let rows = shape.rows(sequence, &queries);
                    let (p, ds) = (&mut p[..count * width], &mut ds[..count * width]);
                    let (query, dy_view) = (shape.queries(q, &rows, head), shape.queries(dy, &rows, head));
                    let (key, value) = (shape.keys(k, &key_rows, head), shape.keys(v, &key_rows, head));
                    S::matmul(p, query, key.t(), scale, Store::Set);
                    S::matmul(ds, dy_view, value.t(), S::ONE, Store::Set);

                    for (p, row) in p.chunks_exact_mut(width).zip(rows.clone()) {
                        let lse = lse[row * heads + head];
                        for p in p {
                            *p -= lse;
                        }
                    }
                    S::exp_in_place(p);
                    let pairs = p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width));
                    for ((p, ds), (query, row)) in pairs.zip(rows.clone().enumerate()) {
                        let place = shape.place(row, head, heads);
                        let delta = sum([&dy[place.clone()], &y[place]], |[dy, y]| dy * y);
                        for (ds, &p) in ds.iter_mut().zip(&*p) {
                            *ds = p * (*ds - delta);
                        }
                        let seen = visible(&queries, &keys, query);
                        p[seen..].fill(S::ZERO);
                        ds[seen..].fill(S::ZERO);
                    }

                    let (p, ds) = (Matrix::new(p, count, width), Matrix::new(ds, count, width));
                    S::matmul(dv_tile, p.t(), dy_view, S::ONE, Store::Add);
                    S::matmul(dk_tile, ds.t(), query, scale, Store::Add);
                    let dq_tile = &mut dq_tile[..count * head_size];
                    S::matmul(dq_tile, ds, key, scale, Store::Set);
                    // Every query attends to the first tile of keys, so that tile initialises dq.
                    let store = if keys.start == 0 { stores[0] } else { Store::Add };
                    shape.scatter(dq_tile, dq, rows, head, heads, store);
                }
                shape.scatter(dk_tile, dk, key_rows.clone(), kv_head, shape.kv_heads, stores[1]);
                shape.scatter(dv_tile, dv, key_rows, kv_head, shape.kv_heads, stores[2]);
            }
        },
    );
}

impl Shape {
    /// Factor of the scores: 1/√D.
    fn scale<S: Scalar>(self) -> S {
        S::from_f64((self.head_size as f64).sqrt().recip())
    }

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

    /// All (query head, tile of queries) that attend to some of `keys` in `kv_head`.
    fn tiles_that_see(self, kv_head: usize, keys: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let start = keys.start;
        let heads = kv_head * self.group()..(kv_head + 1) * self.group();
        heads.flat_map(move |head| tiles(start, self.tokens).map(move |queries| (head, queries)))
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

    fn check(self, per_query_feature: &[usize], per_key_feature: &[usize], per_query: usize) {
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
        assert_eq!(per_query, rows * heads, "the (N, H) operand of {self:?}");
    }
}

/// The tiles of the tokens from `start`, a multiple of [`TILE`], to `end`.
fn tiles(start: usize, end: usize) -> impl Iterator<Item = Range<usize>> {
    (start..end).step_by(TILE).map(move |start| start..end.min(start + TILE))
}

/// Number of `keys`, counted from the first, that the `query`-th of `queries` attends to.
fn visible(queries: &Range<usize>, keys: &Range<usize>, query: usize) -> usize {
    (queries.start + query + 1 - keys.start).min(keys.len())
}
