//! `rms_norm`: y = x · g / √(mean(x²) + ε) over each row, or over each head of a row. y (N, H·W) ← x (N, H·W), gain g (W), which is w or 1 + w.

use loralab_cpu::{
    Scalar,
    rms_norm::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type, Weight},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "rms_norm/forward", workgroup 64;
    parts { "rms_norm/forward", "lib/rows", "lib/gain", "lib/decode" }
    params { rows: u32, rows_per_run: u32, width: u32, epsilon: f32, weight_offset: u32, weight_stride: u32 }
    buffers { read x: f32, read w: u32, write y: f32, write inverse_rms: f32 }
    constants { FORMAT, OFFSET }
}
shader! {
    BACKWARD_INPUT = "rms_norm/backward_input", workgroup 64;
    parts { "rms_norm/backward_input", "lib/rows", "lib/gain", "lib/decode" }
    params { rows: u32, rows_per_run: u32, width: u32, weight_offset: u32, weight_stride: u32, add: u32 }
    buffers { read x: f32, read w: u32, read inverse_rms: f32, read dy: f32, write dx: f32 }
    constants { FORMAT, OFFSET }
}
shader! {
    BACKWARD_WEIGHT = "rms_norm/backward_weight", workgroup 256;
    parts { "rms_norm/backward_weight", "lib/columns", "lib/elements" }
    params { runs: u32, rows_per_run: u32, width: u32, offset: u32, stride: u32 }
    buffers { read dy: f32, write gradients: f32, read x: f32, read inverse_rms: f32 }
    constants {}
}

/// Root-mean-square norm (Zhang & Sennrich 2019, arXiv 1910.07467). Reads x; writes y and 1/rms.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// Vectors side by side in a row, each with a norm of its own: the heads H, or 1.
    pub heads: usize,
    /// Columns W of each.
    pub width: usize,
    /// ε.
    pub epsilon: f64,
    /// The gain, (W).
    pub gain: Gain,
}

/// The gain of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gain {
    /// w.
    pub weight: Weight,
    /// The number that is added to w: 0, or 1 as Gemma stores it (transformers' `modeling_gemma.py`, `GemmaRMSNorm`: x · (1 + w)).
    pub offset: Offset,
}

/// The number that is added to a stored gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// Nothing: the gain is w.
    Zero,
    /// One: the gain is 1 + w.
    One,
}

impl From<Weight> for Gain {
    /// The gain w.
    fn from(weight: Weight) -> Gain {
        Gain { weight, offset: Offset::Zero }
    }
}

impl RmsNorm {
    fn columns(&self) -> usize {
        self.heads * self.width
    }
}

impl Kernel for RmsNorm {
    const NAME: &'static str = "rms_norm";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns()), Type::floats(self.heads)]
    }

    fn trains(&self) -> bool {
        matches!(self.gain.weight, Weight::Trained(_))
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        4 * self.columns()
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let (x, inverse_rms) = (node.reads[0], node.writes[1]);
        if self.trains() {
            reverse.dispatch(self.clone(), Pass::BackwardWeight, vec![x, inverse_rms, dy], vec![]);
        }
        if let Some(dx) = reverse.contribute(x) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![x, inverse_rms, dy], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        // To the kernels a head is a row.
        let (all, rows, width) = (grid.all_rows() * self.heads, word(grid.rows * self.heads), word(self.width));
        let w = grid.weight(self.gain.weight);
        let constants = [w.format, u32::from(self.gain.offset == Offset::One)];
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _), (inverse_rms, _)]) = (dispatch.read(), dispatch.write());
                let epsilon = (self.epsilon as f32).to_bits();
                let params = [word(all), rows, width, epsilon, w.offset, w.stride];
                let buffers = [Memory::Rows(x), w.memory, Memory::Rows(y), Memory::Rows(inverse_rms)];
                vec![Launch::in_rows(&FORWARD, all, &params, &buffers).with(&constants)]
            }
            Pass::BackwardInput => {
                let ([x, inverse_rms, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
                let params = [word(all), rows, width, w.offset, w.stride, adds(store)];
                let [x, inverse_rms, dy, dx] = [x, inverse_rms, dy, dx].map(Memory::Rows);
                vec![
                    Launch::in_rows(&BACKWARD_INPUT, all, &params, &[x, w.memory, inverse_rms, dy, dx])
                        .with(&constants),
                ]
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let [x, inverse_rms, dy] = dispatch.read().map(Memory::Rows);
                let params = [word(grid.runs), rows, width, w.offset, w.stride];
                let buffers = [dy, Memory::Gradients, x, inverse_rms];
                vec![Launch::over(&BACKWARD_WEIGHT, grid.runs * self.width, &params, &buffers)]
            }
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let shape = Shape { rows: micro_batch.values.rows * self.heads, width: self.width };
        let columns = self.columns();
        let w =
            rms_norm::Gain { weight: micro_batch.weight(self.gain.weight), plus_one: self.gain.offset == Offset::One };
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _), (inverse_rms, _)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(y, columns), (inverse_rms, self.heads)], |values, [y, inverse_rms]| {
                    let (x, epsilon) = (values.read(x, columns), S::from_f64(self.epsilon));
                    rms_norm::forward(shape, x, w, epsilon, y, inverse_rms, micro_batch.scratch.weights());
                });
            }
            Pass::BackwardInput => {
                let ([x, inverse_rms, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(dx, columns)], |values, [dx]| {
                    let (x, dy) = (values.read(x, columns), values.read(dy, columns));
                    let inverse_rms = values.read(inverse_rms, self.heads);
                    rms_norm::backward_input(shape, x, w, inverse_rms, dy, dx, store, micro_batch.scratch.weights());
                });
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let Weight::Trained(span) = self.gain.weight else { return };
                let [x, inverse_rms, dy] = dispatch.read();
                let (x, dy) = (micro_batch.values.read(x, columns), micro_batch.values.read(dy, columns));
                let inverse_rms = micro_batch.values.read(inverse_rms, self.heads);
                rms_norm::backward_weight(shape, x, inverse_rms, dy, &mut micro_batch.gradients[span.range()]);
            }
        }
    }
}
