//! `moments`: Σ w · [c, 1]ᵀ x over the rows of a run, added to a trained tensor's gradient, (C + 1, I).

use loralab_cpu::{
    Scalar,
    moments::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse, TILE};
use crate::graph::{
    memory::{MicroBatch, Span, Type},
    shader::{Grid, Launch, Memory, Shader, shader, word},
};

shader! {
    FORWARD = "moments/forward", workgroup 256;
    parts { "moments/forward", "lib/tile", "lib/tile_64" }
    params { rows: u32, codes: u32, inputs: u32, offset: u32, stride: u32 }
    buffers { read code: f32, read x: f32, read weights: f32, write moments: f32 }
    constants {}
}

/// The second moment of c, the code, with x, and the sum of x, over rows of weight w. Reads c (N, C), x (N, I) and w (N, 1); c may be x. The sums are
/// added to the gradients at `sums`, since they are sums over rows like the gradients of weights. It is used for starts, not in training: no gradient
/// passes through it.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Columns C of the code.
    pub codes: usize,
    /// Columns I of x.
    pub inputs: usize,
    /// The place of the sums, (C + 1, I), among the gradients.
    pub sums: Span,
}

impl Kernel for Moments {
    const NAME: &'static str = "moments";
    const SHADERS: &'static [Shader] = &[FORWARD];

    fn outputs(&self) -> Vec<Type> {
        vec![]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.codes + 2 * (self.codes + 1) * self.inputs
    }

    fn working(&self, rows: usize) -> usize {
        rows * (self.codes + self.inputs)
    }

    /// A tape appends it after the forward pass.
    fn backward(&self, _: &Node, _: &mut Reverse) {}

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let [code, x, weights] = dispatch.read().map(Memory::Rows);
        let groups = [self.inputs.div_ceil(TILE), (self.codes + 1).div_ceil(TILE), grid.runs];
        let params = [grid.rows, self.codes, self.inputs, self.sums.offset, grid.trained].map(word);
        vec![Launch::new(&FORWARD, &params, &[code, x, weights, Memory::Gradients], groups)]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let &Moments { codes, inputs, sums } = self;
        let ([code, x, weights], values) = (dispatch.read(), &micro_batch.values);
        let shape = Shape { rows: values.rows, codes, inputs };
        let (code, x, weights) = (values.read(code, codes), values.read(x, inputs), values.read(weights, 1));
        moments::forward(shape, code, x, weights, &mut micro_batch.gradients[sums.range()], micro_batch.scratch);
    }
}
