//! `linear_cross_entropy`: the cross-entropy of the logits x Wᵀ, chunk by chunk of the vocabulary, so that all logits, (N, V), never exist.
//!
//! The forward pass keeps each row's largest logit, its token, the sum of exponentials and the target's logit; the backward pass computes the logits of
//! a chunk again. On a GPU the products of a chunk are those of `linear`, and a chunk is folded into the rows by a kernel of its own.

use std::ops::Range;

use loralab_cpu::{
    Scalar, Store,
    linear_cross_entropy::{self, Operands, Shape},
};

use super::{
    Dispatch, Kernel, Node, Pass, Reverse, TILE,
    linear::{self, Linear},
};
use crate::graph::{
    memory::{Buffer, MicroBatch, Type, Weight},
    shader::{Bound, Grid, Launch, Memory, Shader, Slice, shader, word},
};

shader! {
    FOLD = "linear_cross_entropy/fold", workgroup 64;
    parts { "linear_cross_entropy/fold", "lib/capped", "lib/rows" }
    params { rows: u32, first: u32, count: u32, last: u32, cap: f32 }
    buffers {
        read logits: f32, read targets: u32, read weights: f32, write state: f32, write row_loss: f32, write lse: f32, write correct: f32,
    }
    constants {}
}
shader! {
    GRADIENT = "linear_cross_entropy/gradient", workgroup 256;
    parts { "linear_cross_entropy/gradient", "lib/capped", "lib/elements" }
    params { elements: u32, first: u32, count: u32, cap: f32 }
    buffers { read targets: u32, read weights: f32, read lse: f32, write logits: f32 }
    constants {}
}

/// Numbers of a row that last from one chunk to the next on a GPU.
const STATE: u32 = 4;

/// A language model's head and its loss. Reads x (N, I), the expected token ids (N, 1) and row weights (N, 1); writes the row losses, the log-sum-exp and
/// 1 if the row is correct, each (N, 1).
#[derive(Clone, Debug)]
pub struct LinearCrossEntropy {
    /// Columns I of x.
    pub width: usize,
    /// Vocabulary size V.
    pub vocabulary: usize,
    /// Tokens of the vocabulary in a chunk.
    pub chunk: usize,
    /// W, (V, I).
    pub weight: Weight,
    /// The cap c of the logits, c · tanh(x Wᵀ / c); none for logits as they are.
    pub cap: Option<f64>,
}

/// Some tokens of the vocabulary, and their rows of W.
struct Chunk {
    tokens: Range<usize>,
    w: Bound,
}

impl LinearCrossEntropy {
    /// The chunks of the vocabulary, none of them in two parts of the matrix.
    fn chunks(&self, grid: &Grid<'_>) -> Vec<Chunk> {
        let of_part = |part: Slice| {
            let starts = part.rows.clone().step_by(self.chunk);
            starts.map(move |start| {
                let tokens = start..(start + self.chunk).min(part.rows.end);
                let offset = part.bound.offset + word((start - part.rows.start) * self.width);
                Chunk { tokens, w: Bound { offset, ..part.bound } }
            })
        };
        grid.parts(self.weight, self.vocabulary).into_iter().flat_map(of_part).collect()
    }

    fn cap_bits(&self) -> u32 {
        (self.cap.unwrap_or(0.0) as f32).to_bits()
    }

    /// The memory of a chunk's logits, which is not that of the rows' states.
    fn logits(&self) -> Memory {
        Memory::Scratch(word(self.chunk.min(self.vocabulary)).max(STATE + 1))
    }

    /// The launch that computes the products x Wᵀ of a chunk.
    fn product(&self, grid: &Grid<'_>, x: Buffer, Chunk { tokens, w }: &Chunk) -> Launch {
        let (product, columns) = ([self.width, tokens.len()], [word(tokens.len()), 0]);
        linear::forward(grid, product, w, [Memory::Rows(x), self.logits()], columns)
    }

    /// The launches that leave the gradients of a chunk's products in their memory.
    fn gradients(&self, grid: &Grid<'_>, [x, targets, weights, lse]: [Buffer; 4], chunk: &Chunk) -> [Launch; 2] {
        let tokens = &chunk.tokens;
        let elements = grid.all_rows() * tokens.len();
        let params = [word(elements), word(tokens.start), word(tokens.len()), self.cap_bits()];
        let [targets, weights, lse] = [targets, weights, lse].map(Memory::Rows);
        let gradient = Launch::over(&GRADIENT, elements, &params, &[targets, weights, lse, self.logits()]);
        [self.product(grid, x, chunk), gradient]
    }

    fn forward_launches(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([x, targets, weights], [loss, lse, correct]) = (dispatch.read(), dispatch.write().map(|(out, _)| out));
        let [targets, weights, loss, lse, correct] = [targets, weights, loss, lse, correct].map(Memory::Rows);
        let rows = grid.all_rows();
        let of_chunk = |chunk: Chunk| {
            let tokens = &chunk.tokens;
            let last = u32::from(tokens.end == self.vocabulary);
            let params = [word(rows), word(tokens.start), word(tokens.len()), last, self.cap_bits()];
            let buffers = [self.logits(), targets, weights, Memory::Scratch(STATE), loss, lse, correct];
            [self.product(grid, x, &chunk), Launch::in_rows(&FOLD, rows, &params, &buffers)]
        };
        self.chunks(grid).into_iter().flat_map(of_chunk).collect()
    }

    fn backward_input_launches(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let (reads, [(dx, store)]) = (dispatch.read(), dispatch.write());
        let of_chunk = |chunk: Chunk| {
            let Chunk { tokens, w } = &chunk;
            let store = if tokens.start == 0 { store } else { Store::Add };
            let (product, columns) = ([tokens.len(), self.width], [word(tokens.len()), 0]);
            let operands = [self.logits(), Memory::Rows(dx)];
            let back = linear::backward_input(grid, product, w, operands, store, columns);
            self.gradients(grid, reads, &chunk).into_iter().chain([back])
        };
        self.chunks(grid).into_iter().flat_map(of_chunk).collect()
    }

    fn backward_weight_launches(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let reads: [Buffer; 4] = dispatch.read();
        let of_chunk = |chunk: Chunk| {
            let Chunk { tokens, w } = &chunk;
            let groups = [self.width.div_ceil(TILE), tokens.len().div_ceil(TILE), grid.runs];
            let params = [word(grid.rows), word(self.width), word(tokens.len()), w.offset, w.stride];
            let buffers = [Memory::Rows(reads[0]), self.logits(), Memory::Gradients];
            let back = Launch::new(&linear::BACKWARD_WEIGHT, &params, &buffers, groups);
            self.gradients(grid, reads, &chunk).into_iter().chain([back])
        };
        self.chunks(grid).into_iter().flat_map(of_chunk).collect()
    }
}

impl Kernel for LinearCrossEntropy {
    const NAME: &'static str = "linear_cross_entropy";
    const SHADERS: &'static [Shader] = &[FOLD, GRADIENT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(1), Type::floats(1), Type::floats(1)]
    }

    fn trains(&self) -> bool {
        matches!(self.weight, Weight::Trained(_))
    }

    fn flops_per_row(&self, pass: Pass) -> usize {
        let products = if pass == Pass::Forward { 1 } else { 2 };
        (2 * self.width * products + 4) * self.vocabulary
    }

    fn working(&self, rows: usize) -> usize {
        let LinearCrossEntropy { width, vocabulary, chunk, .. } = *self;
        linear_cross_entropy::working(Shape { rows, width, vocabulary, chunk })
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let reads = [&node.reads[..], &[node.writes[1]]].concat();
        if self.trains() {
            reverse.dispatch(self.clone(), Pass::BackwardWeight, reads.clone(), vec![]);
        }
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, reads, vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        match dispatch.pass {
            Pass::Forward => self.forward_launches(dispatch, grid),
            Pass::BackwardInput => self.backward_input_launches(dispatch, grid),
            Pass::BackwardWeight | Pass::BackwardAdapter => self.backward_weight_launches(dispatch, grid),
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let LinearCrossEntropy { width, vocabulary, chunk, .. } = *self;
        let shape = Shape { rows: micro_batch.values.rows, width, vocabulary, chunk };
        let (w, cap, threads) = (micro_batch.weight(self.weight), self.cap.map(S::from_f64), micro_batch.threads);
        let [x, targets, weights] = dispatch.read();
        match dispatch.pass {
            Pass::Forward => {
                let [(loss, _), (lse, _), (correct, _)] = dispatch.write();
                micro_batch.values.write([(loss, 1), (lse, 1), (correct, 1)], |values, [loss, lse, correct]| {
                    let (x, targets, weights) = (values.read(x, width), values.ids(targets), values.read(weights, 1));
                    let operands = Operands { x, w, targets, weights, cap };
                    linear_cross_entropy::forward(shape, operands, lse, loss, correct, threads, micro_batch.scratch);
                });
            }
            Pass::BackwardInput => {
                let ([.., lse], [(dx, store)]): ([Buffer; 4], _) = (dispatch.read(), dispatch.write());
                micro_batch.values.write([(dx, width)], |values, [dx]| {
                    let (x, targets, weights) = (values.read(x, width), values.ids(targets), values.read(weights, 1));
                    let (operands, lse) = (Operands { x, w, targets, weights, cap }, values.read(lse, 1));
                    let scratch = &mut *micro_batch.scratch;
                    linear_cross_entropy::backward_input(shape, operands, lse, dx, store, threads, scratch);
                });
            }
            Pass::BackwardWeight | Pass::BackwardAdapter => {
                let Weight::Trained(span) = self.weight else { return };
                let [.., lse]: [Buffer; 4] = dispatch.read();
                let values = &*micro_batch.values;
                let (x, targets, weights) = (values.read(x, width), values.ids(targets), values.read(weights, 1));
                let (operands, lse) = (Operands { x, w, targets, weights, cap }, values.read(lse, 1));
                let (dw, scratch) = (&mut micro_batch.gradients[span.range()], &mut *micro_batch.scratch);
                linear_cross_entropy::backward_weight(shape, operands, lse, dw, threads, scratch);
            }
        }
    }
}

/// The op that gives the logits of such a head, for plans that keep them.
impl From<&LinearCrossEntropy> for Linear {
    fn from(head: &LinearCrossEntropy) -> Linear {
        Linear { inputs: head.width, outputs: head.vocabulary, weight: head.weight }
    }
}
