//! Cross-entropy of a softmax over the vocabulary, row by row, with weights that select which rows count.
//!
//! The loss of a row of weight 0 is *selected* to be 0, never multiplied by 0: 0 · NaN would be NaN, and masked tokens
//! must not affect a run, whatever their logits are.

use crate::Scalar;
use crate::reduce::{maximum, sum};
use crate::simd::vectorize;

/// Elements whose exponentials are computed together, in a buffer on the stack.
const BLOCK: usize = 256;

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows N, one prediction each.
    pub rows: usize,
    /// Vocabulary size V.
    pub vocabulary: usize,
}

/// The loss of each row, and 1 if its prediction is correct, else 0.
///
/// From `logits` (N, V), `targets` (N) and `weights` (N):
/// - `lse` (N) = ln Σ exp(logit), taken relative to the row's maximum so that nothing overflows;
/// - `row_loss` (N) = weight · (lse − logit\[target\]), in nats;
/// - `correct` (N) = 1 if the largest logit, the first of equals, is the target's, else 0.
///
/// A row of weight 0 gets `lse` 0, `row_loss` 0 and `correct` 1; neither its logits nor its target are read.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or a target of non-zero weight is not below V.
pub fn forward<S: Scalar>(
    shape: Shape,
    logits: &[S],
    targets: &[u32],
    weights: &[S],
    lse: &mut [S],
    row_loss: &mut [S],
    correct: &mut [S],
) {
    shape.check(logits.len(), &[targets.len(), weights.len(), lse.len(), row_loss.len(), correct.len()]);
    vectorize(
        #[inline(always)]
        || {
            let inputs = logits.chunks_exact(shape.vocabulary).zip(targets).zip(weights);
            let outputs = lse.iter_mut().zip(row_loss).zip(correct);
            for (((logits, &target), &weight), ((lse, row_loss), correct)) in inputs.zip(outputs) {
                if weight == S::ZERO {
                    (*lse, *row_loss, *correct) = (S::ZERO, S::ZERO, S::ONE);
                    continue;
                }
                let largest = maximum(logits);
                let score = logits[target as usize];
                *lse = largest + sum_of_exponentials(logits, largest).ln();
                *row_loss = weight * (*lse - score);
                let first = score == largest && logits[..target as usize].iter().all(|&other| other < largest);
                *correct = if first { S::ONE } else { S::ZERO };
            }
        },
    );
}

/// `dlogits` (N, V) = weight · (softmax(logits) − onehot(target)), with `lse` from [`forward`].
///
/// A row of weight 0 gets exact zeros.
///
/// # Panics
/// If a slice does not have the size that `shape` defines, or a target of non-zero weight is not below V.
pub fn backward<S: Scalar>(shape: Shape, logits: &[S], targets: &[u32], weights: &[S], lse: &[S], dlogits: &mut [S]) {
    shape.check(logits.len(), &[targets.len(), weights.len(), lse.len()]);
    assert_eq!(dlogits.len(), logits.len());
    vectorize(
        #[inline(always)]
        || {
            let inputs = logits.chunks_exact(shape.vocabulary).zip(targets).zip(weights).zip(lse);
            for ((((logits, &target), &weight), &lse), dlogits) in
                inputs.zip(dlogits.chunks_exact_mut(shape.vocabulary))
            {
                if weight == S::ZERO {
                    dlogits.fill(S::ZERO);
                    continue;
                }
                for (dlogit, &logit) in dlogits.iter_mut().zip(logits) {
                    *dlogit = logit - lse;
                }
                S::exp_in_place(dlogits);
                dlogits[target as usize] -= S::ONE;
                for dlogit in dlogits {
                    *dlogit *= weight;
                }
            }
        },
    );
}

/// Σ exp(xᵢ − largest).
#[inline(always)]
pub(crate) fn sum_of_exponentials<S: Scalar>(x: &[S], largest: S) -> S {
    let mut total = S::ZERO;
    for x in x.chunks(BLOCK) {
        let mut block = [S::ZERO; BLOCK];
        let block = &mut block[..x.len()];
        for (shifted, &x) in block.iter_mut().zip(x) {
            *shifted = x - largest;
        }
        S::exp_in_place(block);
        total += sum([block], |[x]| x);
    }
    total
}

impl Shape {
    fn check(self, full: usize, per_row: &[usize]) {
        assert!(self.vocabulary > 0, "a prediction needs at least one token to choose from");
        assert_eq!(full, self.rows * self.vocabulary, "the logits of {self:?}");
        for &length in per_row {
            assert_eq!(length, self.rows, "an (N) operand of {self:?}");
        }
    }
}
