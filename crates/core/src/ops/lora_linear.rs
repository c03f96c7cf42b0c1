//! `lora_linear`: y = x Wᵀ + s (x Aᵀ) Bᵀ, W frozen; with a frozen second pair, y = x Wᵀ + s ((x Aᵀ) Bᵀ − (x A₀ᵀ) B₀ᵀ).
//!
//! The two products of a frozen pair are subtracted before they are added to x Wᵀ, so equal pairs give exactly the base. B·A is never formed, and
//! W never has a gradient.

use loralab_cpu::{
    Scalar,
    lora_linear::{self, Pair, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::memory::{Lane, Span, Weight};

/// A frozen matrix with a trained low-rank pair beside it. Reads x; writes y and z = x Aᵀ.
#[derive(Clone, Debug)]
pub struct LoraLinear {
    /// I.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
    /// R.
    pub rank: usize,
    /// W, (O, I).
    pub weight: Weight,
    /// A, (R, I).
    pub a: Span,
    /// B, (O, R).
    pub b: Span,
    /// Whether runs have a frozen second pair (A₀, B₀), of the same shapes and at the same places of its buffer.
    pub frozen_pair: bool,
}

impl LoraLinear {
    fn frozen<'a, S: Scalar>(&self, lane: &Lane<'a, S>) -> Option<Pair<'a, S>> {
        self.frozen_pair.then(|| Pair { a: lane.frozen_pair(self.a), b: lane.frozen_pair(self.b) })
    }
}

impl Kernel for LoraLinear {
    const NAME: &'static str = "lora_linear";

    fn outputs(&self) -> Vec<usize> {
        vec![self.outputs, self.rank]
    }

    fn trains(&self) -> bool {
        true
    }

    fn flops_per_row(&self, pass: Pass) -> usize {
        let pair = 2 * self.rank * (self.inputs + self.outputs);
        let second = if self.frozen_pair { pair } else { 0 };
        match pass {
            Pass::Forward => 2 * self.inputs * self.outputs + pair + second,
            Pass::BackwardInput => 2 * self.inputs * self.outputs + 2 * self.rank * self.inputs + second,
            Pass::BackwardWeight | Pass::BackwardAdapter => pair + 2 * self.rank * self.outputs,
        }
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let (x, z) = (node.reads[0], node.writes[1]);
        let dz = reverse.scratch(self.rank);
        reverse.dispatch(self.clone(), Pass::BackwardAdapter, vec![x, z, dy], vec![(dz, loralab_cpu::Store::Set)]);
        if let Some(dx) = reverse.contribute(x) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![dy, dz], vec![dx]);
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        let shape = Shape { rows: lane.values.rows, inputs: self.inputs, outputs: self.outputs, rank: self.rank };
        let pair = Pair { a: lane.trained(self.a), b: lane.trained(self.b) };
        let (w, frozen, scale) = (lane.weight(self.weight), self.frozen(lane), lane.scale);
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _), (z, _)]) = (dispatch.read(), dispatch.write());
                lane.values.write([(y, self.outputs), (z, self.rank)], |values, [y, z]| {
                    let x = values.read(x, self.inputs);
                    lora_linear::forward(shape, x, w, pair, frozen, scale, z, y, lane.scratch);
                });
            }
            Pass::BackwardInput => {
                let ([dy, dz], [(dx, store)]) = (dispatch.read(), dispatch.write());
                lane.values.write([(dx, self.inputs)], |values, [dx]| {
                    let (dy, dz) = (values.read(dy, self.outputs), values.read(dz, self.rank));
                    lora_linear::backward_input(shape, dy, dz, w, pair.a, frozen, scale, dx, store, lane.scratch);
                });
            }
            Pass::BackwardAdapter | Pass::BackwardWeight => {
                let ([x, z, dy], [(dz, _)]) = (dispatch.read(), dispatch.write());
                let (da, db) = two_spans(lane.gradients, self.a, self.b);
                lane.values.write([(dz, self.rank)], |values, [dz]| {
                    let (x, z, dy) =
                        (values.read(x, self.inputs), values.read(z, self.rank), values.read(dy, self.outputs));
                    lora_linear::backward_adapter(shape, x, z, dy, pair.b, scale, dz, da, db);
                });
            }
        }
    }
}

/// Both spans of one flat buffer, to be written at once.
fn two_spans<S>(flat: &mut [S], first: Span, second: Span) -> (&mut [S], &mut [S]) {
    let (head, tail) = flat.split_at_mut(second.offset);
    (&mut head[first.range()], &mut tail[..second.len])
}
