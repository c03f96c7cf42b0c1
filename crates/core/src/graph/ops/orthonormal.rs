//! `orthonormal`: the rows of a run become orthonormal and span what they did. y (N, W) ← x (N, W).

use loralab_cpu::{
    Scalar,
    orthonormal::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{Lane, Type},
    shader::{Grid, Launch, Memory, Shader, shader, word},
};

shader! {
    FORWARD = "orthonormal/forward", workgroup 256;
    params { rows: u32, width: u32 }
    buffers { read x: f32, write y: f32 }
    constants {}
}

/// Gram–Schmidt, twice, over the rows of each run in turn (Giraud, Langou, Rozložník and van den Eshof 2005); a row that depends on those before it becomes
/// zero. Reads x; writes y. It is for what is sought, not trained: no gradient passes through it.
#[derive(Clone, Debug)]
pub struct Orthonormal {
    /// Rows of a run. They must be one sequence, as a lane is to hold them all.
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
        // Half of the rows stand before one, on average; each asks twice for a product and a subtraction. Then two lengths and a quotient.
        (4 * self.rows + 1) * self.width
    }

    /// A tape records it only where no gradient is wanted.
    fn backward(&self, _: &Node, _: &mut Reverse) {}

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
        let params = [self.rows, self.width].map(word);
        vec![Launch::in_rows(&FORWARD, grid.runs, &params, &[x, y].map(Memory::Rows))]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
        let &Orthonormal { rows, width } = self;
        lane.values.write([(y, width)], |values, [y]| {
            orthonormal::forward(Shape { rows, width }, values.read(x, width), y);
        });
    }
}
