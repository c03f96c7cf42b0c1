//! `layer_norm`: y = (x − μ) · w / √(variance + ε) over each row. y (N, W) ← x (N, W), gain w (W). Its shift is the op `bias`.

use loralab_cpu::{
    Scalar,
    layer_norm::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type, Weight},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "layer_norm/forward", workgroup 64;
    parts { "layer_norm/forward", "lib/rows", "lib/decode" }
    params { rows: u32, width: u32, epsilon: f32, rows_per_run: u32, weight_offset: u32, weight_stride: u32 }
    buffers { read x: f32, read w: u32, write y: f32, write mean: f32, write inverse_deviation: f32 }
    constants { FORMAT }
}
shader! {
    BACKWARD_INPUT = "layer_norm/backward_input", workgroup 64;
    parts { "layer_norm/backward_input", "lib/rows", "lib/decode" }
    params { rows: u32, width: u32, rows_per_run: u32, add: u32, weight_offset: u32, weight_stride: u32 }
    buffers { read x: f32, read w: u32, read mean: f32, read inverse_deviation: f32, read dy: f32, write dx: f32 }
    constants { FORMAT }
}
shader! {
    BACKWARD_WEIGHT = "layer_norm/backward_weight", workgroup 256;
    parts { "layer_norm/backward_weight", "lib/columns", "lib/elements" }
    params { runs: u32, rows_per_run: u32, width: u32, offset: u32, stride: u32 }
    buffers { read dy: f32, write gradients: f32, read x: f32, read mean: f32, read inverse_deviation: f32 }
    constants {}
}

/// Layer norm without its shift (Ba, Kiros & Hinton 2016, arXiv 1607.06450). Reads x; writes y, μ and 1/√(variance + ε).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Columns.
    pub width: usize,
    /// ε.
    pub epsilon: f64,
    /// The gain, (width).
    pub weight: Weight,
}

impl Kernel for LayerNorm {
    const NAME: &'static str = "layer_norm";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.width), Type::floats(1), Type::floats(1)]
    }

    fn trains(&self) -> bool {
        matches!(self.weight, Weight::Trained(_))
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        7 * self.width
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let (x, mean, inverse) = (node.reads[0], node.writes[1], node.writes[2]);
        if self.trains() {
            reverse.dispatch(self.clone(), Pass::BackwardWeight, vec![x, mean, inverse, dy], vec![]);
        }
        if let Some(dx) = reverse.contribute(x) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![x, mean, inverse, dy], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let (all, rows, width) = (grid.all_rows(), word(grid.rows), word(self.width));
        let w = grid.weight(self.weight);
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _), (mean, _), (inverse, _)]) = (dispatch.read(), dispatch.write());
                let epsilon = (self.epsilon as f32).to_bits();
                let params = [word(all), width, epsilon, rows, w.offset, w.stride];
                let [x, y, mean, inverse] = [x, y, mean, inverse].map(Memory::Rows);
                let buffers = [x, w.memory, y, mean, inverse];
                vec![Launch::in_rows(&FORWARD, all, &params, &buffers).with(&[w.format])]
            }
            Pass::BackwardInput => {
                let ([x, mean, inverse, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
                let params = [word(all), width, rows, adds(store), w.offset, w.stride];
                let [x, mean, inverse, dy, dx] = [x, mean, inverse, dy, dx].map(Memory::Rows);
                let buffers = [x, w.memory, mean, inverse, dy, dx];
                vec![Launch::in_rows(&BACKWARD_INPUT, all, &params, &buffers).with(&[w.format])]
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let [x, mean, inverse, dy] = dispatch.read().map(Memory::Rows);
                let params = [word(grid.runs), rows, width, w.offset, w.stride];
                let buffers = [dy, Memory::Gradients, x, mean, inverse];
                vec![Launch::over(&BACKWARD_WEIGHT, grid.runs * self.width, &params, &buffers)]
            }
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let shape = Shape { rows: micro_batch.values.rows, width: self.width };
        let w = micro_batch.weight(self.weight);
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _), (mean, _), (inverse, _)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(y, self.width), (mean, 1), (inverse, 1)], |values, [y, mean, inverse]| {
                    let (x, epsilon) = (values.read(x, self.width), S::from_f64(self.epsilon));
                    layer_norm::forward(shape, x, w, epsilon, y, mean, inverse, micro_batch.scratch.weights());
                });
            }
            Pass::BackwardInput => {
                let ([x, mean, inverse, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(dx, self.width)], |values, [dx]| {
                    let (x, dy) = (values.read(x, self.width), values.read(dy, self.width));
                    let (mean, inverse) = (values.read(mean, 1), values.read(inverse, 1));
                    layer_norm::backward_input(
                        shape,
                        x,
                        w,
                        mean,
                        inverse,
                        dy,
                        dx,
                        store,
                        micro_batch.scratch.weights(),
                    );
                });
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let Weight::Trained(span) = self.weight else { return };
                let [x, mean, inverse, dy] = dispatch.read();
                let (x, dy) = (micro_batch.values.read(x, self.width), micro_batch.values.read(dy, self.width));
                let (mean, inverse) = (micro_batch.values.read(mean, 1), micro_batch.values.read(inverse, 1));
                layer_norm::backward_weight(shape, x, mean, inverse, dy, &mut micro_batch.gradients[span.range()]);
            }
        }
    }
}
