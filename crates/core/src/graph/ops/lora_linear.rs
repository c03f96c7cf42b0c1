//! `lora_linear`: y = x Wᵀ + s (x Aᵀ) Bᵀ, W frozen; with a frozen second pair, y = x Wᵀ + s ((x Aᵀ) Bᵀ − (x A₀ᵀ) B₀ᵀ).
//!
//! The frozen pair's product is subtracted from the trained pair's before the difference is added to x Wᵀ, so equal pairs give exactly the base's
//! output. B·A is never formed, and W never has a gradient.
//!
//! With dropout, A reads m x instead of x, with a random mask m; W and A₀ still read x (PEFT's `lora/layer.py`, `Linear.forward`).

use loralab_cpu::{
    Scalar, Store,
    lora_linear::{self, Pair, Shape},
};

use super::{Dispatch, Dropout, Kernel, Linear, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Span, Type, Weight},
    shader::{Grid, Launch, Memory, Product, Shader, adds, shader, word},
};

shader! {
    DOWN = "lora_linear/down", workgroup 64;
    params { rows: u32, inputs: u32, rank: u32, offset: u32, run_stride: u32, rank_stride: u32, input_stride: u32, scaled: u32, factor: f32 }
    buffers { read x: f32, read matrix: f32, read settings: f32, write z: f32 }
    constants {}
}
shader! {
    FORWARD = "lora_linear/forward", workgroup 256;
    parts { "lora_linear/forward", "lib/to_outputs", "lib/tile", "lib/tile_64", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, rank: u32, b_offset: u32, run_stride: u32, columns: u32, first: u32, factor: f32 }
    buffers {
        read x: f32, read w: u32, read z: f32, read trained: f32, read settings: f32, read frozen_z: f32, read frozen_pairs: f32, write y: f32,
    }
    constants { FORMAT, PAIRS }
}
shader! {
    FORWARD_LARGE = "lora_linear/forward_large", workgroup 128;
    parts { "lora_linear/forward", "lib/to_outputs", "lib/tile", "lib/tile_128", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, rank: u32, b_offset: u32, run_stride: u32, columns: u32, first: u32, factor: f32 }
    buffers {
        read x: f32, read w: u32, read z: f32, read trained: f32, read settings: f32, read frozen_z: f32, read frozen_pairs: f32, write y: f32,
    }
    constants { FORMAT, PAIRS, COLUMNS }
}
shader! {
    BACKWARD_INPUT = "lora_linear/backward_input", workgroup 256;
    parts { "lora_linear/backward_input", "lib/to_inputs", "lib/tile", "lib/tile_64", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, rank: u32, a_offset: u32, run_stride: u32, add: u32, columns: u32, first: u32 }
    buffers {
        read dy: f32, read w: u32, read dz: f32, read trained: f32, read frozen_dz: f32, read frozen_pairs: f32, write dx: f32,
    }
    constants { FORMAT, PAIRS, DROPS }
}
shader! {
    BACKWARD_INPUT_LARGE = "lora_linear/backward_input_large", workgroup 128;
    parts { "lora_linear/backward_input", "lib/to_inputs", "lib/tile", "lib/tile_128", "lib/decode" }
    params { rows: u32, inputs: u32, outputs: u32, rank: u32, a_offset: u32, run_stride: u32, add: u32, columns: u32, first: u32 }
    buffers {
        read dy: f32, read w: u32, read dz: f32, read trained: f32, read frozen_dz: f32, read frozen_pairs: f32, write dx: f32,
    }
    constants { FORMAT, PAIRS, DROPS, COLUMNS }
}
shader! {
    BACKWARD_ADAPTER = "lora_linear/backward_adapter", workgroup 64;
    params { rows: u32, rank: u32, columns: u32, offset: u32, run_stride: u32, rank_stride: u32, column_stride: u32, scaled: u32, factor: f32 }
    buffers { read narrow: f32, read wide: f32, read settings: f32, write gradients: f32 }
    constants {}
}

/// Rows per workgroup of `down`.
const DOWN_ROWS: usize = 32;
/// Ranks per workgroup of `down` and `backward_adapter`.
const RANKS: usize = 8;
/// Columns per workgroup of `backward_adapter`.
const COLUMNS: usize = 32;

/// A frozen matrix with a trained low-rank adapter. Reads x, and with dropout m x and the noise; writes y and z = x Aᵀ, or m x Aᵀ.
#[derive(Clone, Debug)]
pub struct LoraLinear {
    /// Input columns I.
    pub inputs: usize,
    /// Output columns O.
    pub outputs: usize,
    /// Rank R.
    pub rank: usize,
    /// The scale s as a multiple of the run's.
    pub factor: f64,
    /// W, (O, I).
    pub weight: Weight,
    /// A, (R, I).
    pub a: Span,
    /// B, (O, R).
    pub b: Span,
    /// True if runs have a frozen second pair (A₀, B₀), of the same shapes and at the same places in its own buffer.
    pub frozen_pair: bool,
    /// Dropout of A's input, if any; its result and its noise are then read besides.
    pub dropout: Option<Dropout>,
}

impl LoraLinear {
    fn frozen<'a, S: Scalar>(&self, micro_batch: &MicroBatch<'a, S>) -> Option<Pair<'a, S>> {
        self.frozen_pair.then(|| Pair { a: micro_batch.frozen_pair(self.a), b: micro_batch.frozen_pair(self.b) })
    }

    /// The bits of the factor.
    fn factor(&self) -> u32 {
        (self.factor as f32).to_bits()
    }

    /// The scale s of a run with this scale.
    fn scale<S: Scalar>(&self, of_run: S) -> S {
        if self.factor == 1.0 { of_run } else { of_run * S::from_f64(self.factor) }
    }

    /// z (N, R) = x Aᵀ, with A in the memory `matrix`.
    fn down_by_a(&self, grid: &Grid<'_>, x: Memory, matrix: Memory, z: Memory) -> Launch {
        let [rows, inputs, rank] = [grid.rows, self.inputs, self.rank].map(word);
        let params = [rows, inputs, rank, word(self.a.offset), word(grid.trained), inputs, 1, 0, self.factor()];
        self.down(grid, &params, &[x, matrix, Memory::Settings, z])
    }

    /// dz (N, R) = s dy B, with B in the memory `matrix`.
    fn down_by_b(&self, grid: &Grid<'_>, dy: Memory, matrix: Memory, dz: Memory) -> Launch {
        let [rows, outputs, rank] = [grid.rows, self.outputs, self.rank].map(word);
        let params = [rows, outputs, rank, word(self.b.offset), word(grid.trained), 1, rank, 1, self.factor()];
        self.down(grid, &params, &[dy, matrix, Memory::Settings, dz])
    }

    fn down(&self, grid: &Grid<'_>, params: &[u32], buffers: &[Memory]) -> Launch {
        let groups = [self.rank.div_ceil(RANKS), grid.rows.div_ceil(DOWN_ROWS), grid.runs];
        Launch::new(&DOWN, params, buffers, groups)
    }
}

impl Kernel for LoraLinear {
    const NAME: &'static str = "lora_linear";
    const SHADERS: &'static [Shader] =
        &[DOWN, FORWARD, FORWARD_LARGE, BACKWARD_INPUT, BACKWARD_INPUT_LARGE, BACKWARD_ADAPTER];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.outputs), Type::floats(self.rank)]
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

    fn working(&self, rows: usize) -> usize {
        let pairs = if self.frozen_pair { rows * (self.rank + 2 * self.outputs) } else { 0 };
        self.inputs * self.outputs + pairs
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let (x, z) = (node.reads[0], node.writes[1]);
        let dz = reverse.scratch(self.rank);
        let mut of_adapter = x;
        if let Some(dropout) = &self.dropout {
            // Computed again rather than kept since the forward pass.
            of_adapter = reverse.scratch(self.inputs);
            let reads = vec![x, node.reads[2]];
            reverse.dispatch(dropout.clone(), Pass::Forward, reads, vec![(of_adapter, Store::Set)]);
        }
        reverse.dispatch(self.clone(), Pass::BackwardAdapter, vec![of_adapter, z, dy], vec![(dz, Store::Set)]);
        if let Some(dx) = reverse.contribute(x) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![dy, dz], vec![dx]);
        }
        if let Some(&dropped) = node.reads.get(1)
            && let Some(gradient) = reverse.contribute(dropped)
        {
            let down = Linear { inputs: self.inputs, outputs: self.rank, weight: Weight::Trained(self.a) };
            reverse.dispatch(down, Pass::BackwardInput, vec![dz], vec![gradient]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let parts = grid.parts(self.weight, self.outputs).into_iter();
        let [rows, inputs, outputs, rank, trained] =
            [grid.rows, self.inputs, self.outputs, self.rank, grid.trained].map(word);
        let pairs = u32::from(self.frozen_pair);
        // Without a second pair, the binding needs a placeholder, which is not read.
        let frozen_pairs = if self.frozen_pair { Memory::FrozenPairs } else { Memory::Trained };
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _), (z, _)]) = (dispatch.read(), dispatch.write());
                let of_adapter = *dispatch.reads.get(1).unwrap_or(&x);
                let [x, of_adapter, y, z] = [x, of_adapter, y, z].map(Memory::Rows);
                let mut launches = vec![self.down_by_a(grid, of_adapter, Memory::Trained, z)];
                let mut frozen_z = z;
                if self.frozen_pair {
                    frozen_z = Memory::Scratch(rank);
                    launches.push(self.down_by_a(grid, x, Memory::FrozenPairs, frozen_z));
                }
                launches.extend(parts.map(|part| {
                    let (w, count, first) = (part.bound, part.rows.len(), part.first());
                    let shaders = [&FORWARD, &FORWARD_LARGE];
                    let product = Product { shaders, terms: self.inputs, columns: count, rank: self.rank };
                    let buffers = [x, w.memory, z, Memory::Trained, Memory::Settings, frozen_z, frozen_pairs, y];
                    let b = word(self.b.offset) + first * rank;
                    let params = [rows, inputs, word(count), rank, b, trained, outputs, first, self.factor()];
                    grid.product(product, &params, &buffers, &[w.format, pairs])
                }));
                launches
            }
            Pass::BackwardInput => {
                let ([dy, dz], [(dx, store)]) = (dispatch.read(), dispatch.write());
                let [dy, dz, dx] = [dy, dz, dx].map(Memory::Rows);
                let mut launches = vec![];
                let mut frozen_dz = dz;
                if self.frozen_pair {
                    frozen_dz = Memory::Scratch(rank);
                    launches.push(self.down_by_b(grid, dy, Memory::FrozenPairs, frozen_dz));
                }
                let drops = u32::from(self.dropout.is_some());
                launches.extend(parts.map(|part| {
                    let (w, count, first) = (part.bound, part.rows.len(), part.first());
                    let shaders = [&BACKWARD_INPUT, &BACKWARD_INPUT_LARGE];
                    let product = Product { shaders, terms: count, columns: self.inputs, rank: self.rank };
                    let buffers = [dy, w.memory, dz, Memory::Trained, frozen_dz, frozen_pairs, dx];
                    // The adapters are added once, with the first part; a rank of 0 adds nothing.
                    let rank = if first == 0 { rank } else { 0 };
                    let add = adds(part.store(store));
                    let params = [rows, inputs, word(count), rank, word(self.a.offset), trained, add, outputs, first];
                    grid.product(product, &params, &buffers, &[w.format, pairs, drops])
                }));
                launches
            }
            Pass::BackwardAdapter | Pass::BackwardWeight => {
                let ([x, z, dy], [(dz, _)]) = (dispatch.read(), dispatch.write());
                let [x, z, dy, dz] = [x, z, dy, dz].map(Memory::Rows);
                let groups = |columns: usize| [columns.div_ceil(COLUMNS), self.rank.div_ceil(RANKS), grid.runs];
                let of_a = [rows, rank, inputs, word(self.a.offset), trained, inputs, 1, 0, self.factor()];
                let of_b = [rows, rank, outputs, word(self.b.offset), trained, 1, rank, 1, self.factor()];
                let (settings, gradients) = (Memory::Settings, Memory::Gradients);
                vec![
                    self.down_by_b(grid, dy, Memory::Trained, dz),
                    Launch::new(&BACKWARD_ADAPTER, &of_a, &[dz, x, settings, gradients], groups(self.inputs)),
                    Launch::new(&BACKWARD_ADAPTER, &of_b, &[z, dy, settings, gradients], groups(self.outputs)),
                ]
            }
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let shape =
            Shape { rows: micro_batch.values.rows, inputs: self.inputs, outputs: self.outputs, rank: self.rank };
        let pair = Pair { a: micro_batch.trained(self.a), b: micro_batch.trained(self.b) };
        let (w, frozen, scale) =
            (micro_batch.weight(self.weight), self.frozen(micro_batch), self.scale(micro_batch.scale));
        match dispatch.pass {
            Pass::Forward => {
                let ([x], [(y, _), (z, _)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(y, self.outputs), (z, self.rank)], |values, [y, z]| {
                    let of_adapter = values.read(*dispatch.reads.get(1).unwrap_or(&x), self.inputs);
                    let x = values.read(x, self.inputs);
                    let (threads, scratch) = (micro_batch.threads, &mut *micro_batch.scratch);
                    lora_linear::forward(shape, x, of_adapter, w, pair, frozen, scale, z, y, threads, scratch);
                });
            }
            Pass::BackwardInput => {
                let ([dy, dz], [(dx, store)]) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(dx, self.inputs)], |values, [dx]| {
                    let (dy, dz) = (values.read(dy, self.outputs), values.read(dz, self.rank));
                    lora_linear::backward_input(
                        shape,
                        dy,
                        dz,
                        w,
                        self.dropout.is_none().then_some(pair.a),
                        frozen,
                        scale,
                        dx,
                        store,
                        micro_batch.scratch,
                    );
                });
            }
            Pass::BackwardAdapter | Pass::BackwardWeight => {
                let ([x, z, dy], [(dz, _)]) = (dispatch.read(), dispatch.write());
                let (da, db) = two_spans(micro_batch.gradients, self.a, self.b);
                micro_batch.values.write([(dz, self.rank)], |values, [dz]| {
                    let (x, z, dy) =
                        (values.read(x, self.inputs), values.read(z, self.rank), values.read(dy, self.outputs));
                    lora_linear::backward_adapter(shape, x, z, dy, pair.b, scale, dz, da, db);
                });
            }
        }
    }
}

/// Mutable slices of two spans of one flat buffer.
fn two_spans<S>(flat: &mut [S], first: Span, second: Span) -> (&mut [S], &mut [S]) {
    let (head, tail) = flat.split_at_mut(second.offset);
    (&mut head[first.range()], &mut tail[..second.len])
}
