//! `embedding`: a row of the table for each token or other id, times a scale. y (N, W) ← ids (N), table (V, W).
//!
//! The table may begin with rows that stand for no id, as RoBERTa's positions do.

use loralab_cpu::{Scalar, embedding};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type, Weight},
    shader::{Grid, Launch, Memory, Shader, Slice, shader, word},
};

shader! {
    FORWARD = "embedding/forward", workgroup 256;
    parts { "embedding/forward", "lib/elements", "lib/decode" }
    params {
        elements: u32, rows_per_run: u32, width: u32, weight_offset: u32, weight_stride: u32, scale: f32, first: u32, count: u32
    }
    buffers { read tokens: u32, read w: u32, write y: f32 }
    constants { FORMAT }
}
shader! {
    BACKWARD_WEIGHT = "embedding/backward_weight", workgroup 256;
    parts { "embedding/backward_weight", "lib/elements" }
    params { elements: u32, rows_per_run: u32, vocabulary: u32, width: u32, offset: u32, stride: u32, scale: f32 }
    buffers { read tokens: u32, read dy: f32, write gradients: f32 }
    constants {}
}

/// Table lookup by token, position or any other id. Reads ids, (N, 1); writes y.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// Columns of the table.
    pub width: usize,
    /// The table, (V, width).
    pub table: Weight,
    /// Index of the row that the id 0 stands for; 0 for most tables.
    pub first: usize,
    /// Factor of every element; 1 for most models.
    pub scale: f64,
}

impl Kernel for Embedding {
    const NAME: &'static str = "embedding";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_WEIGHT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.width)]
    }

    fn trains(&self) -> bool {
        matches!(self.table, Weight::Trained(_))
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.width
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        if let (true, Some(dy)) = (self.trains(), reverse.gradient(node.writes[0])) {
            reverse.dispatch(self.clone(), Pass::BackwardWeight, vec![node.reads[0], dy], vec![]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let (rows, width, scale) = (word(grid.rows), word(self.width), (self.scale as f32).to_bits());
        if dispatch.pass == Pass::Forward {
            let ([tokens], [(y, _)]) = (dispatch.read(), dispatch.write());
            let vocabulary = match self.table {
                Weight::Frozen(index) => grid.base[index].shape[0],
                Weight::Trained(table) => table.len / self.width,
            };
            let elements = grid.all_rows() * self.width;
            let of_part = |part: Slice| {
                let (table, count) = (part.bound, word(part.rows.len()));
                // The id of the part's first row; the shader's arithmetic wraps around like this.
                let first = part.first().wrapping_sub(word(self.first));
                let params = [word(elements), rows, width, table.offset, table.stride, scale, first, count];
                let buffers = [Memory::Rows(tokens), table.memory, Memory::Rows(y)];
                Launch::over(&FORWARD, elements, &params, &buffers).with(&[table.format])
            };
            grid.parts(self.table, vocabulary).into_iter().map(of_part).collect()
        } else if let Weight::Trained(table) = self.table {
            let [tokens, dy] = dispatch.read();
            let before = self.first * self.width;
            let (offset, elements) = (word(table.offset + before), grid.runs * (table.len - before));
            let vocabulary = word(table.len / self.width - self.first);
            let params = [word(elements), rows, vocabulary, width, offset, word(grid.trained), scale];
            let buffers = [Memory::Rows(tokens), Memory::Rows(dy), Memory::Gradients];
            vec![Launch::over(&BACKWARD_WEIGHT, elements, &params, &buffers)]
        } else {
            vec![]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let (scale, before) = (S::from_f64(self.scale), self.first * self.width);
        if dispatch.pass == Pass::Forward {
            let ([tokens], [(y, _)]) = (dispatch.read(), dispatch.write());
            let table = micro_batch.weight(self.table);
            let table = table.slice(before..table.len());
            micro_batch.values.write([(y, self.width)], |values, [y]| {
                embedding::forward(values.ids(tokens), table, self.width, scale, y, micro_batch.scratch.weights());
            });
        } else if let Weight::Trained(table) = self.table {
            let [tokens, dy] = dispatch.read();
            let (tokens, dy) = (micro_batch.values.ids(tokens), micro_batch.values.read(dy, self.width));
            let gradients = &mut micro_batch.gradients[table.range()][before..];
            embedding::backward(tokens, self.width, scale, dy, gradients);
        }
    }
}
