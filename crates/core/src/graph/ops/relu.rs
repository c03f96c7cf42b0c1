//! `relu`: y = max(x, 0), element by element; the slope at 0 is 0.

use loralab_cpu::{Scalar, relu};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "relu/forward", workgroup 256;
    parts { "relu/forward", "lib/map", "lib/elements" }
    params { elements: u32 }
    buffers { read x: f32, write y: f32 }
    constants {}
}
shader! {
    BACKWARD_INPUT = "relu/backward_input", workgroup 256;
    parts { "relu/backward_input", "lib/map_backward", "lib/elements" }
    params { elements: u32, add: u32 }
    buffers { read x: f32, read dy: f32, write dx: f32 }
    constants {}
}

/// Rectifier. Reads x; writes y.
#[derive(Clone, Debug)]
pub struct Relu {
    /// Columns of x and y.
    pub columns: usize,
}

impl Kernel for Relu {
    const NAME: &'static str = "relu";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![node.reads[0], dy], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let elements = grid.all_rows() * self.columns;
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            vec![Launch::over(&FORWARD, elements, &[word(elements)], &[x, y].map(Memory::Rows))]
        } else {
            let ([x, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            let buffers = [x, dy, dx].map(Memory::Rows);
            vec![Launch::over(&BACKWARD_INPUT, elements, &[word(elements), adds(store)], &buffers)]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let columns = self.columns;
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(y, columns)], |values, [y]| relu::forward(values.read(x, columns), y));
        } else {
            let ([x, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(dx, columns)], |values, [dx]| {
                relu::backward(values.read(x, columns), values.read(dy, columns), dx, store);
            });
        }
    }
}
