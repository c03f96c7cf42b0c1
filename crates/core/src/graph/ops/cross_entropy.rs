//! `cross_entropy`: `weight · (log Σ exp(logits) − logits[target])` for each row, and 1 if the largest logit is the target's, else 0.
//!
//! The row weights include the factor of the mean: 1/count for rows that count and exactly 0 for others, whose results are set to 0 by selection.

use loralab_cpu::{
    Scalar,
    cross_entropy::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, shader, word},
};

shader! {
    FORWARD = "cross_entropy/forward", workgroup 64;
    parts { "cross_entropy/forward", "lib/rows" }
    params { rows: u32, vocabulary: u32 }
    buffers { read logits: f32, read targets: u32, read weights: f32, write row_loss: f32, write lse: f32, write correct: f32 }
    constants {}
}
shader! {
    BACKWARD_INPUT = "cross_entropy/backward_input", workgroup 256;
    parts { "cross_entropy/backward_input", "lib/elements" }
    params { elements: u32, vocabulary: u32 }
    buffers { read logits: f32, read targets: u32, read weights: f32, read lse: f32, write dlogits: f32 }
    constants {}
}

/// Reads logits (N, V), the expected token ids (N, 1) and row weights (N, 1); writes the row losses, the log-sum-exp and 1 if the row is correct, each (N, 1).
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// Vocabulary size V.
    pub vocabulary: usize,
}

impl Kernel for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(1), Type::floats(1), Type::floats(1)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        4 * self.vocabulary
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let (logits, lse) = (node.reads[0], node.writes[1]);
        if let Some(dlogits) = reverse.contribute(logits) {
            let reads = [&node.reads[..], &[lse]].concat();
            reverse.dispatch(self.clone(), Pass::BackwardInput, reads, vec![dlogits]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let (rows, vocabulary) = (grid.all_rows(), word(self.vocabulary));
        if dispatch.pass == Pass::Forward {
            let ([logits, targets, weights], [loss, lse, correct]) =
                (dispatch.read(), dispatch.write().map(|(out, _)| out));
            let buffers = [logits, targets, weights, loss, lse, correct].map(Memory::Rows);
            vec![Launch::in_rows(&FORWARD, rows, &[word(rows), vocabulary], &buffers)]
        } else {
            let ([logits, targets, weights, lse], [(dlogits, _)]) = (dispatch.read(), dispatch.write());
            let buffers = [logits, targets, weights, lse, dlogits].map(Memory::Rows);
            let elements = rows * self.vocabulary;
            vec![Launch::over(&BACKWARD_INPUT, elements, &[word(elements), vocabulary], &buffers)]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let (shape, columns) = (Shape { rows: micro_batch.values.rows, vocabulary: self.vocabulary }, self.vocabulary);
        if dispatch.pass == Pass::Forward {
            let ([logits, targets, weights], [(loss, _), (lse, _), (correct, _)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(loss, 1), (lse, 1), (correct, 1)], |values, [loss, lse, correct]| {
                let (logits, weights) = (values.read(logits, columns), values.read(weights, 1));
                cross_entropy::forward(shape, logits, values.ids(targets), weights, lse, loss, correct);
            });
        } else {
            let ([logits, targets, weights, lse], [(dlogits, _)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(dlogits, columns)], |values, [dlogits]| {
                let (logits, weights, lse) =
                    (values.read(logits, columns), values.read(weights, 1), values.read(lse, 1));
                cross_entropy::backward(shape, logits, values.ids(targets), weights, lse, dlogits);
            });
        }
    }
}
