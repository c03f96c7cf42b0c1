//! `mse`: weight · Σ (prediction − target)² for each row. Row weights carry the mean, as in `cross_entropy`.

use loralab_cpu::{
    Scalar,
    mse::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::memory::Lane;

/// Reads prediction (N, O), target (N, O) and row weights (N, 1); writes the row losses, (N, 1).
#[derive(Clone, Debug)]
pub struct Mse {
    /// O.
    pub outputs: usize,
}

impl Kernel for Mse {
    const NAME: &'static str = "mse";

    fn outputs(&self) -> Vec<usize> {
        vec![1]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        3 * self.outputs
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        if let Some(dprediction) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, node.reads.clone(), vec![dprediction]);
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        let (shape, columns) = (Shape { rows: lane.values.rows, outputs: self.outputs }, self.outputs);
        let ([prediction, target, weights], [(out, _)]) = (dispatch.read(), dispatch.write());
        let width = if dispatch.pass == Pass::Forward { 1 } else { columns };
        lane.values.write([(out, width)], |values, [out]| {
            let (prediction, target) = (values.read(prediction, columns), values.read(target, columns));
            let weights = values.read(weights, 1);
            match dispatch.pass {
                Pass::Forward => mse::forward(shape, prediction, target, weights, out),
                _ => mse::backward(shape, prediction, target, weights, out),
            }
        });
    }
}
