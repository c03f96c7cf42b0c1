//! `rope`: rotary position embedding; the halves of each head are rotated by position. y (N, H·D) ← x (N, H·D), tables (T, D/2).

use loralab_cpu::{
    Scalar,
    rope::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    ROTATE = "rope/rotate", workgroup 256;
    parts { "rope/rotate", "lib/elements" }
    params { pairs: u32, tokens: u32, heads: u32, half: u32, back: u32, add: u32 }
    buffers { read x: f32, read cosines: f32, read sines: f32, write y: f32 }
    constants {}
}

/// Rotary position embedding (Su et al. 2021, arXiv 2104.09864), halves rotated as in Hugging Face's Llama. Reads x; writes y.
#[derive(Clone, Debug)]
pub struct Rope {
    /// T: a row's position is its index within its sequence of T rows.
    pub tokens: usize,
    /// Heads H.
    pub heads: usize,
    /// Head size D, even.
    pub head_size: usize,
    /// Index of the cosine table, (T, D/2); the sine table is the next.
    pub table: usize,
}

impl Kernel for Rope {
    const NAME: &'static str = "rope";
    const SHADERS: &'static [Shader] = &[ROTATE];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.heads * self.head_size)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        3 * self.heads * self.head_size
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![dy], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([from], [(to, store)]) = (dispatch.read(), dispatch.write());
        let half = self.head_size / 2;
        let pairs = grid.all_rows() * self.heads * half;
        let back = u32::from(dispatch.pass != Pass::Forward);
        let params = [word(pairs), word(self.tokens), word(self.heads), word(half), back, adds(store)];
        let tables = [self.table, self.table + 1].map(Memory::Table);
        vec![Launch::over(&ROTATE, pairs, &params, &[Memory::Rows(from), tables[0], tables[1], Memory::Rows(to)])]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let shape =
            Shape { rows: micro_batch.values.rows, tokens: self.tokens, heads: self.heads, head_size: self.head_size };
        let (cos, sin) = (&micro_batch.tables[self.table], &micro_batch.tables[self.table + 1]);
        let columns = self.heads * self.head_size;
        let ([from], [(to, store)]) = (dispatch.read(), dispatch.write());
        micro_batch.values.write([(to, columns)], |values, [to]| {
            let from = values.read(from, columns);
            match dispatch.pass {
                Pass::Forward => rope::forward(shape, from, cos, sin, to),
                _ => rope::backward(shape, from, cos, sin, to, store),
            }
        });
    }
}
