//! `linear`: y = x Wᵀ. y (N, O) ← x (N, I), W (O, I), frozen or trained.

use loralab_cpu::{
    Scalar,
    linear::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::memory::{Lane, Weight};

/// A matrix applied to every row. Reads x; writes y.
#[derive(Clone, Debug)]
pub struct Linear {
    /// I.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
    /// W, (O, I).
    pub weight: Weight,
}

impl Kernel for Linear {
    const NAME: &'static str = "linear";

    fn outputs(&self) -> Vec<usize> {
        vec![self.outputs]
    }

    fn trains(&self) -> bool {
        matches!(self.weight, Weight::Trained(_))
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        2 * self.inputs * self.outputs
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let x = node.reads[0];
        if self.trains() {
            reverse.dispatch(self.clone(), Pass::BackwardWeight, vec![x, dy], vec![]);
        }
        if let Some(dx) = reverse.contribute(x) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![dy], vec![dx]);
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        let shape = Shape { rows: lane.values.rows, inputs: self.inputs, outputs: self.outputs };
        let w = lane.weight(self.weight);
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
                lane.values.write([(y, self.outputs)], |values, [y]| {
                    linear::forward(shape, values.read(x, self.inputs), w, y, lane.scratch.weights());
                });
            }
            Pass::BackwardInput => {
                let ([dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
                lane.values.write([(dx, self.inputs)], |values, [dx]| {
                    let dy = values.read(dy, self.outputs);
                    linear::backward_input(shape, dy, w, dx, store, lane.scratch.weights());
                });
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let Weight::Trained(span) = self.weight else { return };
                let [x, dy] = dispatch.read();
                let (x, dy) = (lane.values.read(x, self.inputs), lane.values.read(dy, self.outputs));
                linear::backward_weight(shape, x, dy, &mut lane.gradients[span.range()]);
            }
        }
    }
}
