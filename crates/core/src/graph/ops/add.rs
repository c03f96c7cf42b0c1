//! `add`: y = a + b, element by element. Both inputs share the result's gradient unless a copy is needed.

use loralab_cpu::{Scalar, add};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "add/forward", workgroup 256;
    parts { "add/forward", "lib/elements" }
    params { elements: u32 }
    buffers { read a: f32, read b: f32, write y: f32 }
    constants {}
}
shader! {
    BACKWARD_INPUT = "add/backward_input", workgroup 256;
    parts { "add/backward_input", "lib/elements" }
    params { elements: u32, add: u32 }
    buffers { read dy: f32, write dx: f32 }
    constants {}
}

/// Elementwise sum. Reads a, b (two different values); writes y.
#[derive(Clone, Debug)]
pub struct Add {
    /// Columns of a, b and y.
    pub columns: usize,
}

impl Kernel for Add {
    const NAME: &'static str = "add";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        for &input in &node.reads {
            if !reverse.share(input, dy)
                && let Some(dx) = reverse.contribute(input)
            {
                reverse.dispatch(self.clone(), Pass::BackwardInput, vec![dy], vec![dx]);
            }
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let elements = grid.all_rows() * self.columns;
        if dispatch.pass == Pass::Forward {
            let ([a, b], [(y, _)]) = (dispatch.read(), dispatch.write());
            vec![Launch::over(&FORWARD, elements, &[word(elements)], &[a, b, y].map(Memory::Rows))]
        } else {
            let ([dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            let params = [word(elements), adds(store)];
            vec![Launch::over(&BACKWARD_INPUT, elements, &params, &[dy, dx].map(Memory::Rows))]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let columns = self.columns;
        if dispatch.pass == Pass::Forward {
            let ([a, b], [(y, _)]) = (dispatch.read(), dispatch.write());
            micro_batch
                .values
                .write([(y, columns)], |values, [y]| add::forward(values.read(a, columns), values.read(b, columns), y));
        } else {
            let ([dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            micro_batch
                .values
                .write([(dx, columns)], |values, [dx]| add::backward(values.read(dy, columns), dx, store));
        }
    }
}
