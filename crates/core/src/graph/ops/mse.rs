//! `mse`: weight · Σ (prediction − target)² for each row. The row weights include the factor of the mean, as in `cross_entropy`.

use loralab_cpu::{
    Scalar,
    mse::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, shader, word},
};

shader! {
    FORWARD = "mse/forward", workgroup 256;
    parts { "mse/forward", "lib/elements" }
    params { rows: u32, outputs: u32 }
    buffers { read prediction: f32, read expected: f32, read weights: f32, write row_loss: f32 }
    constants {}
}
shader! {
    BACKWARD_INPUT = "mse/backward_input", workgroup 256;
    parts { "mse/backward_input", "lib/elements" }
    params { elements: u32, outputs: u32 }
    buffers { read prediction: f32, read expected: f32, read weights: f32, write dprediction: f32 }
    constants {}
}

/// Reads prediction (N, O), target (N, O) and row weights (N, 1); writes the row losses, (N, 1).
#[derive(Clone, Debug)]
pub struct Mse {
    /// Output columns O.
    pub outputs: usize,
}

impl Kernel for Mse {
    const NAME: &'static str = "mse";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(1)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        3 * self.outputs
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        if let Some(dprediction) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, node.reads.clone(), vec![dprediction]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([prediction, expected, weights], [(out, _)]) = (dispatch.read(), dispatch.write());
        let (shader, count) = match dispatch.pass {
            Pass::Forward => (&FORWARD, grid.all_rows()),
            _ => (&BACKWARD_INPUT, grid.all_rows() * self.outputs),
        };
        let buffers = [prediction, expected, weights, out].map(Memory::Rows);
        vec![Launch::over(shader, count, &[word(count), word(self.outputs)], &buffers)]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let (shape, columns) = (Shape { rows: micro_batch.values.rows, outputs: self.outputs }, self.outputs);
        let ([prediction, target, weights], [(out, _)]) = (dispatch.read(), dispatch.write());
        let width = if dispatch.pass == Pass::Forward { 1 } else { columns };
        micro_batch.values.write([(out, width)], |values, [out]| {
            let (prediction, target) = (values.read(prediction, columns), values.read(target, columns));
            let weights = values.read(weights, 1);
            match dispatch.pass {
                Pass::Forward => mse::forward(shape, prediction, target, weights, out),
                _ => mse::backward(shape, prediction, target, weights, out),
            }
        });
    }
}
