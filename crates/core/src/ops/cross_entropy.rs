//! `cross_entropy`: `weight · (log Σ exp(logits) − logits[target])` for each row, and whether the largest logit is the target's.
//!
//! Row weights carry the mean: a batch gives 1/count to the rows that count and exactly 0 to the others, which are then selected away.

use loralab_cpu::{
    Scalar,
    cross_entropy::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::{
    memory::Lane,
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

/// Reads logits (N, V) and row weights (N, 1); writes the row losses, the log-sum-exp and 1 where the row is right, each (N, 1).
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// V.
    pub vocabulary: usize,
}

impl Kernel for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

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

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let (rows, vocabulary) = (grid.all_rows(), word(self.vocabulary));
        if dispatch.pass == Pass::Forward {
            let ([logits, weights], [loss, lse, correct]) = (dispatch.read(), dispatch.write().map(|(out, _)| out));
            let [logits, weights, loss, lse, correct] = [logits, weights, loss, lse, correct].map(Memory::Rows);
            let buffers = [logits, Memory::Targets, weights, loss, lse, correct];
            vec![Launch::in_rows(&FORWARD, rows, &[word(rows), vocabulary], &buffers)]
        } else {
            let ([logits, weights, lse], [(dlogits, _)]) = (dispatch.read(), dispatch.write());
            let [logits, weights, lse, dlogits] = [logits, weights, lse, dlogits].map(Memory::Rows);
            let (elements, buffers) = (rows * self.vocabulary, [logits, Memory::Targets, weights, lse, dlogits]);
            vec![Launch::over(&BACKWARD_INPUT, elements, &[word(elements), vocabulary], &buffers)]
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
