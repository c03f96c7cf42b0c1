//! The head of a language model and its loss in one op: the cross-entropy of the logits x Wᵀ, which never exist as a whole.
//!
//! The vocabulary is processed in chunks. The forward pass keeps a running maximum and a running sum of exponentials for each
//! row (Milakov and Gimelshein 2018, arXiv 1805.02867); the backward pass computes a chunk's logits again (Wijmans et al. 2024,
//! *Cut Your Losses in Large-Vocabulary Language Models*, arXiv 2411.09009). Rows of weight 0 are left out of every product.
//!
//! With a cap c the logits are c · tanh(x Wᵀ / c) (Gemma 2, arXiv 2408.00118 §2).

use std::ops::Range;

use crate::cross_entropy::sum_of_exponentials;
use crate::reduce::maximum;
use crate::simd::vectorize;
use crate::{Matrix, Scalar, Scratch, Store, Threads, Weights};

/// Rows whose logits of a chunk are computed together.
const ROWS: usize = 256;

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N, one prediction each.
    pub rows: usize,
    /// Columns I of x.
    pub width: usize,
    /// Vocabulary size V.
    pub vocabulary: usize,
    /// Tokens of the vocabulary in a chunk.
    pub chunk: usize,
}

/// The operands of a call.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a, S> {
    /// Hidden rows x, (N, I).
    pub x: &'a [S],
    /// The output matrix W, (V, I).
    pub w: Weights<'a, S>,
    /// The expected token of each row, (N).
    pub targets: &'a [u32],
    /// The weight of each row in the loss, (N).
    pub weights: &'a [S],
    /// The cap c of the logits; none for logits as they are.
    pub cap: Option<S>,
}

/// Numbers of working memory that a call needs: decoded weights of a chunk, its logits, and the rows that count.
pub fn working(shape: Shape) -> usize {
    let Shape { rows, width, vocabulary, chunk } = shape;
    let chunk = chunk.min(vocabulary);
    chunk * width + rows.min(ROWS) * chunk + rows * (2 * width + 4)
}

/// The loss of each row, and 1 if its prediction is correct, else 0.
///
/// - `lse` (N) = ln Σ exp(logit), relative to the largest logit so far so that nothing overflows;
/// - `row_loss` (N) = weight · (lse − logit\[target\]), in nats;
/// - `correct` (N) = 1 if the largest logit, the first of equals, is the target's, else 0.
///
/// A row of weight 0 gets `lse` 0, `row_loss` 0 and `correct` 1; neither its x nor its target are read.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or a target of non-zero weight is not below V.
pub fn forward<S: Scalar>(
    shape: Shape,
    operands: Operands<'_, S>,
    lse: &mut [S],
    row_loss: &mut [S],
    correct: &mut [S],
    threads: Threads,
    scratch: &mut Scratch<S>,
) {
    shape.check(&operands, &[lse.len(), row_loss.len(), correct.len()]);
    let Operands { x, targets, weights, .. } = operands;
    let rows = count(weights);
    let (decoded, [packed, largest, total, score, best, logits]) =
        scratch.split([rows * shape.width, rows, rows, rows, rows, shape.logits(rows)]);
    pack(weights, x, packed, shape.width);
    for tokens in shape.chunks() {
        let w = shape.matrix(operands.w, &tokens, decoded);
        for block in blocks(rows) {
            let logits = &mut logits[..block.len() * tokens.len()];
            shape.logits_of(&packed[block.start * shape.width..block.end * shape.width], w, logits, threads);
            cap_all(operands.cap, logits);
            let targets = counted(weights).skip(block.start).map(|row| targets[row] as usize);
            for ((row, target), logits) in block.zip(targets).zip(logits.chunks_exact(tokens.len())) {
                let here = vectorize(
                    #[inline(always)]
                    || maximum(logits),
                );
                // Only a larger one takes the place of an earlier one, so the first of equals stays.
                if tokens.start == 0 || here > largest[row] {
                    let first = logits.iter().position(|logit| *logit == here).unwrap_or(0);
                    best[row] = S::from_f64((tokens.start + first) as f64);
                    total[row] = if tokens.start == 0 { S::ZERO } else { total[row] * (largest[row] - here).exp() };
                    largest[row] = here;
                }
                total[row] += vectorize(
                    #[inline(always)]
                    || sum_of_exponentials(logits, largest[row]),
                );
                if tokens.contains(&target) {
                    score[row] = logits[target - tokens.start];
                }
            }
        }
    }
    lse.fill(S::ZERO);
    row_loss.fill(S::ZERO);
    correct.fill(S::ONE);
    for (place, row) in counted(weights).enumerate() {
        lse[row] = largest[place] + total[place].ln();
        row_loss[row] = weights[row] * (lse[row] - score[place]);
        let is_best = best[place] == S::from_f64(f64::from(targets[row]));
        correct[row] = if is_best { S::ONE } else { S::ZERO };
    }
}

/// `dx` (N, I) (+)= dlogits W, with dlogits = weight · (softmax(logits) − onehot(target)), times 1 − (logit / c)² with a cap c.
/// `lse` is a result of [`forward`].
///
/// A row of weight 0 gets exact zeros.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or a target of non-zero weight is not below V.
pub fn backward_input<S: Scalar>(
    shape: Shape,
    operands: Operands<'_, S>,
    lse: &[S],
    dx: &mut [S],
    store: Store,
    threads: Threads,
    scratch: &mut Scratch<S>,
) {
    shape.check(&operands, &[lse.len()]);
    assert_eq!(dx.len(), operands.x.len(), "dx must be (N, I)");
    let (rows, width) = (count(operands.weights), shape.width);
    let (decoded, [packed, sums, logits]) = scratch.split([rows * width, rows * width, shape.logits(rows)]);
    pack(operands.weights, operands.x, packed, width);
    for tokens in shape.chunks() {
        let w = shape.matrix(operands.w, &tokens, decoded);
        for block in blocks(rows) {
            let (dlogits, place) = (&mut logits[..block.len() * tokens.len()], block.start * width..block.end * width);
            shape.logits_of(&packed[place.clone()], w, dlogits, threads);
            gradient(&operands, lse, &block, &tokens, dlogits);
            let dlogits = Matrix::new(dlogits, block.len(), tokens.len());
            let store = if tokens.start == 0 { Store::Set } else { Store::Add };
            S::matmul_by(threads, &mut sums[place], dlogits, w, S::ONE, store);
        }
    }
    if store == Store::Set {
        dx.fill(S::ZERO);
    }
    for (row, sums) in counted(operands.weights).zip(sums.chunks_exact(width)) {
        dx[row * width..(row + 1) * width].iter_mut().zip(sums).for_each(|(dx, &sum)| *dx += sum);
    }
}

/// `dw` (V, I) += dlogitsᵀ x, with dlogits as in [`backward_input`].
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or a target of non-zero weight is not below V.
pub fn backward_weight<S: Scalar>(
    shape: Shape,
    operands: Operands<'_, S>,
    lse: &[S],
    dw: &mut [S],
    threads: Threads,
    scratch: &mut Scratch<S>,
) {
    shape.check(&operands, &[lse.len()]);
    assert_eq!(dw.len(), shape.vocabulary * shape.width, "dw must be (V, I)");
    let (rows, width) = (count(operands.weights), shape.width);
    let (decoded, [packed, logits]) = scratch.split([rows * width, shape.logits(rows)]);
    pack(operands.weights, operands.x, packed, width);
    for tokens in shape.chunks() {
        let w = shape.matrix(operands.w, &tokens, decoded);
        let dw = &mut dw[tokens.start * width..tokens.end * width];
        for block in blocks(rows) {
            let (dlogits, x) =
                (&mut logits[..block.len() * tokens.len()], &packed[block.start * width..block.end * width]);
            shape.logits_of(x, w, dlogits, threads);
            gradient(&operands, lse, &block, &tokens, dlogits);
            let dlogits = Matrix::new(dlogits, block.len(), tokens.len());
            S::matmul_by(threads, dw, dlogits.t(), Matrix::new(x, block.len(), width), S::ONE, Store::Add);
        }
    }
}

/// Replaces the products x Wᵀ of the counted rows in `block` and of `tokens` by the gradients of the loss with respect to them.
fn gradient<S: Scalar>(
    operands: &Operands<'_, S>,
    lse: &[S],
    block: &Range<usize>,
    tokens: &Range<usize>,
    logits: &mut [S],
) {
    let &Operands { targets, weights, cap, .. } = operands;
    let rows = counted(weights).skip(block.start);
    for (logits, row) in logits.chunks_exact_mut(tokens.len()).zip(rows) {
        let target = targets[row] as usize;
        if let Some(cap) = cap {
            // The slope is needed after the logits are overwritten, so each is finished by itself.
            for (token, logit) in tokens.clone().zip(logits) {
                let capped = capped(*logit, cap);
                let share = capped / cap;
                let expected = if token == target { S::ONE } else { S::ZERO };
                *logit = weights[row] * ((capped - lse[row]).exp() - expected) * (S::ONE - share * share);
            }
            continue;
        }
        vectorize(
            #[inline(always)]
            || {
                for logit in &mut *logits {
                    *logit -= lse[row];
                }
                S::exp_in_place(logits);
                if tokens.contains(&target) {
                    logits[target - tokens.start] -= S::ONE;
                }
                for dlogit in logits {
                    *dlogit *= weights[row];
                }
            },
        );
    }
}

/// c · tanh(x / c), by one exponential of a negative number, which can't overflow.
fn capped<S: Scalar>(x: S, cap: S) -> S {
    let small = (-(x.abs() + x.abs()) / cap).exp();
    let size = cap * (S::ONE - small) / (S::ONE + small);
    if x < S::ZERO { -size } else { size }
}

fn cap_all<S: Scalar>(cap: Option<S>, logits: &mut [S]) {
    if let Some(cap) = cap {
        logits.iter_mut().for_each(|logit| *logit = capped(*logit, cap));
    }
}

/// The rows of non-zero weight.
fn counted<S: Scalar>(weights: &[S]) -> impl Iterator<Item = usize> + '_ {
    (0..weights.len()).filter(|&row| weights[row] != S::ZERO)
}

fn count<S: Scalar>(weights: &[S]) -> usize {
    counted(weights).count()
}

/// Copies the rows that count, each `width` wide, one after another.
fn pack<S: Scalar>(weights: &[S], x: &[S], packed: &mut [S], width: usize) {
    for (row, packed) in counted(weights).zip(packed.chunks_exact_mut(width)) {
        packed.copy_from_slice(&x[row * width..(row + 1) * width]);
    }
}

/// `rows` in blocks of [`ROWS`].
fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(ROWS).map(move |start| start..(start + ROWS).min(rows))
}

impl Shape {
    /// The tokens of each chunk.
    fn chunks(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.vocabulary).step_by(self.chunk).map(move |start| start..(start + self.chunk).min(self.vocabulary))
    }

    /// Logits of a chunk of the vocabulary that exist at a time, if `rows` rows count.
    fn logits(self, rows: usize) -> usize {
        rows.min(ROWS) * self.chunk.min(self.vocabulary)
    }

    /// The rows of W that belong to `tokens`.
    fn matrix<'a, S: Scalar>(self, w: Weights<'a, S>, tokens: &Range<usize>, decoded: &'a mut Vec<S>) -> Matrix<'a, S> {
        let rows = w.slice(tokens.start * self.width..tokens.end * self.width);
        Matrix::new(rows.decode(decoded), tokens.len(), self.width)
    }

    /// `logits` (rows, tokens) = x Wᵀ.
    fn logits_of<S: Scalar>(self, x: &[S], w: Matrix<'_, S>, logits: &mut [S], threads: Threads) {
        let x = Matrix::new(x, x.len() / self.width, self.width);
        S::matmul_by(threads, logits, x, w.t(), S::ONE, Store::Set);
    }

    fn check<S: Scalar>(self, operands: &Operands<'_, S>, per_row: &[usize]) {
        let Shape { rows, width, vocabulary, chunk } = self;
        assert!(vocabulary > 0, "a prediction needs at least one token to choose from");
        assert!(chunk > 0, "a chunk needs at least one token");
        assert_eq!(operands.x.len(), rows * width, "the rows of {self:?}");
        assert_eq!(operands.w.len(), vocabulary * width, "the matrix of {self:?}");
        for length in [operands.targets.len(), operands.weights.len()].iter().chain(per_row) {
            assert_eq!(*length, rows, "an (N) operand of {self:?}");
        }
        let known = |row: usize| (operands.targets[row] as usize) < vocabulary;
        assert!(counted(operands.weights).all(known), "a target of {self:?} is not in the vocabulary");
    }
}
