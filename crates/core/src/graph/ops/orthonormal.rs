//! `orthonormal`: makes the rows of each run orthonormal, with the same span. y (N, W) ← x (N, W).

use loralab_cpu::{
    Scalar,
    orthonormal::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, shader, word},
};

shader! {
    FORWARD = "orthonormal/forward", workgroup 256;
    params { rows: u32, width: u32 }
    buffers { read x: f32, write y: f32 }
    constants {}
}

/// Gram–Schmidt, twice over each row of a run (Giraud, Langou, Rozložník and van den Eshof 2005); a row that depends linearly on those before it becomes
/// zero. Reads x; writes y. It is used to search for subspaces, not in training: no gradient passes through it.
#[derive(Clone, Debug)]
pub struct Orthonormal {
    /// Rows of a run. They must be one sequence, since one micro-batch has to hold them all.
    pub rows: usize,
    /// Columns.
    pub width: usize,
}

impl Kernel for Orthonormal {
    const NAME: &'static str = "orthonormal";
    const SHADERS: &'static [Shader] = &[FORWARD];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.width)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        // On average, half of the rows precede a row; each needs a product and a subtraction, twice. Then two lengths and a quotient.
        (4 * self.rows + 1) * self.width
    }

    /// A tape records it only if no gradient is needed.
    fn backward(&self, _: &Node, _: &mut Reverse) {}

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
        let params = [self.rows, self.width].map(word);
        vec![Launch::in_rows(&FORWARD, grid.runs, &params, &[x, y].map(Memory::Rows))]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
        let &Orthonormal { rows, width } = self;
        micro_batch.values.write([(y, width)], |values, [y]| {
            orthonormal::forward(Shape { rows, width }, values.read(x, width), y);
        });
    }
}
