//! `linear`: y = x Wᵀ. y (N, O) ← x (N, I), W (O, I), frozen or trained.

use loralab_cpu::{
    Scalar, Store,
    linear::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse, TILE};
use crate::graph::{
    memory::{MicroBatch, Type, Weight},
    shader::{Bound, Grid, Launch, Memory, Product, Shader, Slice, adds, shader, word},
};

shader! {
    FORWARD = "linear/forward", workgroup 256;
    parts { "linear/forward", "lib/to_outputs", "lib/tile", "lib/tile_64", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, weight_offset: u32, weight_stride: u32, columns: u32, first: u32 }
    buffers { read x: f32, read w: u32, write y: f32 }
    constants { FORMAT }
}
shader! {
    FORWARD_LARGE = "linear/forward_large", workgroup 128;
    parts { "linear/forward", "lib/to_outputs", "lib/tile", "lib/tile_128", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, weight_offset: u32, weight_stride: u32, columns: u32, first: u32 }
    buffers { read x: f32, read w: u32, write y: f32 }
    constants { FORMAT, COLUMNS }
}
shader! {
    BACKWARD_INPUT = "linear/backward_input", workgroup 256;
    parts { "linear/backward_input", "lib/to_inputs", "lib/tile", "lib/tile_64", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, weight_offset: u32, weight_stride: u32, add: u32, columns: u32, first: u32 }
    buffers { read dy: f32, read w: u32, write dx: f32 }
    constants { FORMAT }
}
shader! {
    BACKWARD_INPUT_LARGE = "linear/backward_input_large", workgroup 128;
    parts { "linear/backward_input", "lib/to_inputs", "lib/tile", "lib/tile_128", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, weight_offset: u32, weight_stride: u32, add: u32, columns: u32, first: u32 }
    buffers { read dy: f32, read w: u32, write dx: f32 }
    constants { FORMAT, COLUMNS }
}
shader! {
    pub BACKWARD_WEIGHT = "linear/backward_weight", workgroup 256;
    parts { "linear/backward_weight", "lib/tile", "lib/tile_64" }
    params { rows: u32, inputs: u32, outputs: u32, offset: u32, stride: u32 }
    buffers { read x: f32, read dy: f32, write gradients: f32 }
    constants {}
}

/// A linear map of every row. Reads x; writes y.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Input columns I.
    pub inputs: usize,
    /// Output columns O.
    pub outputs: usize,
    /// W, (O, I).
    pub weight: Weight,
}

/// The launch of y = x Wᵀ with the matrix `w`, (columns of the product, terms). y has `all` columns; the product's first is stored in column `first`.
pub fn forward(
    grid: &Grid<'_>,
    [terms, columns]: [usize; 2],
    w: &Bound,
    [x, y]: [Memory; 2],
    [all, first]: [u32; 2],
) -> Launch {
    let product = Product { shaders: [&FORWARD, &FORWARD_LARGE], terms, columns, rank: 0 };
    let params = [word(grid.rows), word(terms), word(columns), w.offset, w.stride, all, first];
    grid.product(product, &params, &[x, w.memory, y], &[w.format])
}

/// The launch of dx (+)= dy W with the matrix `w`, (terms, columns of the product). dy has `all` columns; the first term is of column `first`.
pub fn backward_input(
    grid: &Grid<'_>,
    [terms, columns]: [usize; 2],
    w: &Bound,
    [dy, dx]: [Memory; 2],
    store: Store,
    [all, first]: [u32; 2],
) -> Launch {
    let product = Product { shaders: [&BACKWARD_INPUT, &BACKWARD_INPUT_LARGE], terms, columns, rank: 0 };
    let params = [word(grid.rows), word(columns), word(terms), w.offset, w.stride, adds(store), all, first];
    grid.product(product, &params, &[dy, w.memory, dx], &[w.format])
}

impl Kernel for Linear {
    const NAME: &'static str = "linear";
    const SHADERS: &'static [Shader] = &[FORWARD, FORWARD_LARGE, BACKWARD_INPUT, BACKWARD_INPUT_LARGE, BACKWARD_WEIGHT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.outputs)]
    }

    fn trains(&self) -> bool {
        matches!(self.weight, Weight::Trained(_))
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        2 * self.inputs * self.outputs
    }

    fn working(&self, _: usize) -> usize {
        self.inputs * self.outputs
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

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let [rows, inputs, outputs] = [grid.rows, self.inputs, self.outputs].map(word);
        let parts = grid.parts(self.weight, self.outputs).into_iter();
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
                let of_part = |part: Slice| {
                    let product = [self.inputs, part.rows.len()];
                    forward(grid, product, &part.bound, [Memory::Rows(x), Memory::Rows(y)], [outputs, part.first()])
                };
                parts.map(of_part).collect()
            }
            Pass::BackwardInput => {
                let ([dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
                let of_part = |part: Slice| {
                    let (product, store) = ([part.rows.len(), self.inputs], part.store(store));
                    let operands = [Memory::Rows(dy), Memory::Rows(dx)];
                    backward_input(grid, product, &part.bound, operands, store, [outputs, part.first()])
                };
                parts.map(of_part).collect()
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let w = grid.weight(self.weight);
                let [x, dy] = dispatch.read().map(Memory::Rows);
                let groups = [self.inputs.div_ceil(TILE), self.outputs.div_ceil(TILE), grid.runs];
                let params = [rows, inputs, outputs, w.offset, w.stride];
                vec![Launch::new(&BACKWARD_WEIGHT, &params, &[x, dy, Memory::Gradients], groups)]
            }
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let shape = Shape { rows: micro_batch.values.rows, inputs: self.inputs, outputs: self.outputs };
        let w = micro_batch.weight(self.weight);
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(y, self.outputs)], |values, [y]| {
                    linear::forward(
                        shape,
                        values.read(x, self.inputs),
                        w,
                        y,
                        micro_batch.threads,
                        micro_batch.scratch.weights(),
                    );
                });
            }
            Pass::BackwardInput => {
                let ([dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(dx, self.inputs)], |values, [dx]| {
                    let dy = values.read(dy, self.outputs);
                    linear::backward_input(shape, dy, w, dx, store, micro_batch.threads, micro_batch.scratch.weights());
                });
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let Weight::Trained(span) = self.weight else { return };
                let [x, dy] = dispatch.read();
                let (x, dy) = (micro_batch.values.read(x, self.inputs), micro_batch.values.read(dy, self.outputs));
                linear::backward_weight(shape, x, dy, &mut micro_batch.gradients[span.range()]);
            }
        }
    }
}
