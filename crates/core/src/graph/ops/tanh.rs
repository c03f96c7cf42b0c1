//! `tanh`: y = cap · tanh(x / cap), element by element; with a cap of 1 the hyperbolic tangent.

use loralab_cpu::{Scalar, tanh};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "tanh/forward", workgroup 256;
    parts { "tanh/forward", "lib/hyperbolic", "lib/elements" }
    params { elements: u32, cap: f32 }
    buffers { read x: f32, write y: f32 }
    constants {}
}
shader! {
    BACKWARD_INPUT = "tanh/backward_input", workgroup 256;
    parts { "tanh/backward_input", "lib/elements" }
    params { elements: u32, add: u32, cap: f32 }
    buffers { read y: f32, read dy: f32, write dx: f32 }
    constants {}
}

/// Hyperbolic tangent of a chosen height: BERT's pooler (cap 1), Gemma 2's logits (Riviere et al. 2024, arXiv 2408.00118, §2). Reads x; writes y.
#[derive(Clone, Debug)]
pub struct Tanh {
    /// Columns of x and y.
    pub columns: usize,
    /// The cap: y lies between −cap and cap.
    pub cap: f64,
}

impl Kernel for Tanh {
    const NAME: &'static str = "tanh";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        8 * self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![node.writes[0], dy], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let (elements, cap) = (grid.all_rows() * self.columns, (self.cap as f32).to_bits());
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            vec![Launch::over(&FORWARD, elements, &[word(elements), cap], &[x, y].map(Memory::Rows))]
        } else {
            let ([y, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            let buffers = [y, dy, dx].map(Memory::Rows);
            vec![Launch::over(&BACKWARD_INPUT, elements, &[word(elements), adds(store), cap], &buffers)]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let (columns, cap) = (self.columns, S::from_f64(self.cap));
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(y, columns)], |values, [y]| tanh::forward(values.read(x, columns), cap, y));
        } else {
            let ([y, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(dx, columns)], |values, [dx]| {
                tanh::backward(values.read(y, columns), values.read(dy, columns), cap, dx, store);
            });
        }
    }
}
