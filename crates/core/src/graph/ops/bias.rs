//! `bias`: y = x + b, row by row. y (N, O) ← x (N, O), b (O), frozen or trained.

use loralab_cpu::{Scalar, bias};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type, Weight},
    ops::Add,
    shader::{Grid, Launch, Memory, Shader, shader, word},
};

shader! {
    FORWARD = "bias/forward", workgroup 256;
    parts { "bias/forward", "lib/elements", "lib/decode" }
    params { elements: u32, rows_per_run: u32, width: u32, weight_offset: u32, weight_stride: u32 }
    buffers { read x: f32, read w: u32, write y: f32 }
    constants { FORMAT }
}
shader! {
    BACKWARD_WEIGHT = "bias/backward_weight", workgroup 256;
    parts { "bias/backward_weight", "lib/columns", "lib/elements" }
    params { runs: u32, rows_per_run: u32, width: u32, offset: u32, stride: u32 }
    buffers { read dy: f32, write gradients: f32 }
    constants {}
}

/// The bias of a linear layer. Reads x; writes y.
///
/// A separate op rather than the last step of a product, so that products without a bias keep their kernel and every bit of their result. The
/// gradient of x is that of y, which both share.
#[derive(Clone, Debug)]
pub struct Bias {
    /// Columns O.
    pub columns: usize,
    /// b, (O).
    pub weight: Weight,
}

impl Kernel for Bias {
    const NAME: &'static str = "bias";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_WEIGHT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn trains(&self) -> bool {
        matches!(self.weight, Weight::Trained(_))
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        if self.trains() {
            reverse.dispatch(self.clone(), Pass::BackwardWeight, vec![dy], vec![]);
        }
        let x = node.reads[0];
        if !reverse.share(x, dy)
            && let Some(dx) = reverse.contribute(x)
        {
            reverse.dispatch(Add { columns: self.columns }, Pass::BackwardInput, vec![dy], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let b = grid.weight(self.weight);
        let [rows, width] = [grid.rows, self.columns].map(word);
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            let elements = grid.all_rows() * self.columns;
            let params = [word(elements), rows, width, b.offset, b.stride];
            let buffers = [Memory::Rows(x), b.memory, Memory::Rows(y)];
            vec![Launch::over(&FORWARD, elements, &params, &buffers).with(&[b.format])]
        } else {
            let [dy] = dispatch.read().map(Memory::Rows);
            let params = [word(grid.runs), rows, width, b.offset, b.stride];
            vec![Launch::over(&BACKWARD_WEIGHT, grid.runs * self.columns, &params, &[dy, Memory::Gradients])]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            let b = micro_batch.weight(self.weight);
            micro_batch.values.write([(y, self.columns)], |values, [y]| {
                bias::forward(values.read(x, self.columns), b, y, micro_batch.scratch.weights());
            });
        } else if let Weight::Trained(span) = self.weight {
            let [dy] = dispatch.read();
            let dy = micro_batch.values.read(dy, self.columns);
            bias::backward_weight(dy, &mut micro_batch.gradients[span.range()]);
        }
    }
}
