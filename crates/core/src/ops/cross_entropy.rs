//! `cross_entropy`: `weight · (log Σ exp(logits) − logits[target])` for each row, and whether the largest logit is the target's.
//!
//! Row weights carry the mean: a batch gives 1/count to the rows that count and exactly 0 to the others, which are then selected away.

use loralab_cpu::{
    Scalar,
    cross_entropy::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::memory::Lane;

/// Reads logits (N, V) and row weights (N, 1); writes the row losses, the log-sum-exp and 1 where the row is right, each (N, 1).
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// V.
    pub vocabulary: usize,
}

impl Kernel for CrossEntropy {
    const NAME: &'static str = "cross_entropy";

    fn outputs(&self) -> Vec<usize> {
        vec![1, 1, 1]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        4 * self.vocabulary
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let ([logits, weights], lse) = ([node.reads[0], node.reads[1]], node.writes[1]);
        if let Some(dlogits) = reverse.contribute(logits) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![logits, weights, lse], vec![dlogits]);
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        let (shape, columns) = (Shape { rows: lane.values.rows, vocabulary: self.vocabulary }, self.vocabulary);
        if dispatch.pass == Pass::Forward {
            let ([logits, weights], [(loss, _), (lse, _), (correct, _)]) = (dispatch.read(), dispatch.write());
            lane.values.write([(loss, 1), (lse, 1), (correct, 1)], |values, [loss, lse, correct]| {
                let (logits, weights) = (values.read(logits, columns), values.read(weights, 1));
                cross_entropy::forward(shape, logits, lane.targets, weights, lse, loss, correct);
            });
        } else {
            let ([logits, weights, lse], [(dlogits, _)]) = (dispatch.read(), dispatch.write());
            lane.values.write([(dlogits, columns)], |values, [dlogits]| {
                let (logits, weights, lse) =
                    (values.read(logits, columns), values.read(weights, 1), values.read(lse, 1));
                cross_entropy::backward(shape, logits, lane.targets, weights, lse, dlogits);
            });
        }
    }
}
