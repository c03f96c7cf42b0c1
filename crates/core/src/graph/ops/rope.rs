//! `rope`: rotary position embedding; pairs of features of each head are rotated by position. y (N, H·D) ← x (N, H·D), tables (T, P/2), maybe positions (N).

use loralab_cpu::{
    Scalar,
    rope::{self, Angles, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    ROTATE = "rope/rotate", workgroup 256;
    parts { "rope/rotate", "lib/elements" }
    params { elements: u32, tokens: u32, heads: u32, head_size: u32, half: u32, back: u32, add: u32 }
    buffers { read x: f32, read cosines: f32, read sines: f32, read positions: u32, write y: f32 }
    constants { GIVEN }
}

/// The angles by which a model rotates: how fast each pair of features turns, whatever the position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Radians per position of each of the P/2 pairs; θ^(−2i/P) in the plain embedding. The P features are the first of each head.
    pub frequencies: Vec<f64>,
    /// Factor of all cosines and sines: 1, or YaRN's attention factor.
    pub factor: f64,
}

impl Rotary {
    /// The plain embedding of all `head_size` features: frequencies θ^(−2i/D). Su et al. 2021, arXiv 2104.09864, eq. 15.
    pub fn plain(theta: f64, head_size: usize) -> Rotary {
        let frequency = |pair: usize| theta.powf(-2.0 * pair as f64 / head_size as f64);
        Rotary { frequencies: (0..head_size / 2).map(frequency).collect(), factor: 1.0 }
    }

    /// Features P of a head that are rotated.
    pub fn rotated(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// The cosines and the sines of the first `tokens` positions, (tokens, P/2) each.
    pub fn tables(&self, tokens: usize) -> [Vec<f64>; 2] {
        let angles = || {
            (0..tokens).flat_map(|position| self.frequencies.iter().map(move |frequency| position as f64 * frequency))
        };
        [
            angles().map(|angle| self.factor * angle.cos()).collect(),
            angles().map(|angle| self.factor * angle.sin()).collect(),
        ]
    }
}

/// Rotary position embedding (Su et al. 2021, arXiv 2104.09864), halves rotated as in Hugging Face's Llama. Reads x, and positions if they are given; writes y.
#[derive(Clone, Debug)]
pub struct Rope {
    /// T: a row's position is its index within its sequence of T rows, unless it is given.
    pub tokens: usize,
    /// Heads H.
    pub heads: usize,
    /// Head size D.
    pub head_size: usize,
    /// Features P of each head that are rotated, the first ones; even.
    pub rotated: usize,
    /// Index of the cosine table, (T, P/2); the sine table is the next.
    pub table: usize,
}

impl Rope {
    /// The operands that a backward dispatch reads: the gradient `first`, then the positions if there are any.
    fn with_positions<V: Copy>(first: V, reads: &[V]) -> Vec<V> {
        [first].into_iter().chain(reads.get(1).copied()).collect()
    }
}

impl Kernel for Rope {
    const NAME: &'static str = "rope";
    const SHADERS: &'static [Shader] = &[ROTATE];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.heads * self.head_size)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        3 * self.heads * self.rotated
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            let reads = Rope::with_positions(dy, &node.reads);
            reverse.dispatch(self.clone(), Pass::BackwardInput, reads, vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([from], [(to, store)]) = (dispatch.read(), dispatch.write());
        let half = self.rotated / 2;
        let elements = grid.all_rows() * self.heads * (self.head_size - half);
        let sizes = [elements, self.tokens, self.heads, self.head_size, half].map(word);
        let params = [&sizes[..], &[u32::from(dispatch.pass != Pass::Forward), adds(store)]].concat();
        let [cosines, sines] = [self.table, self.table + 1].map(Memory::Table);
        let given = dispatch.reads.get(1).copied();
        // Without positions, the binding needs a placeholder, which is not read.
        let positions = given.map_or(Memory::Slot, Memory::Rows);
        let buffers = [Memory::Rows(from), cosines, sines, positions, Memory::Rows(to)];
        vec![Launch::over(&ROTATE, elements, &params, &buffers).with(&[u32::from(given.is_some())])]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let Rope { tokens, heads, head_size, rotated, table } = *self;
        let shape = Shape { rows: micro_batch.values.rows, tokens, heads, head_size, rotated };
        let [cos, sin] = [table, table + 1].map(|table| &*micro_batch.tables[table]);
        let columns = heads * head_size;
        let ([from], [(to, store)]) = (dispatch.read(), dispatch.write());
        micro_batch.values.write([(to, columns)], |values, [to]| {
            let positions = dispatch.reads.get(1).map(|&positions| values.ids(positions));
            let (from, angles) = (values.read(from, columns), Angles { cos, sin, positions });
            match dispatch.pass {
                Pass::Forward => rope::forward(shape, from, angles, to),
                _ => rope::backward(shape, from, angles, to, store),
            }
        });
    }
}
