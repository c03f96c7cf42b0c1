//! `swiglu`: y = gate · sigmoid(gate) · up, element by element.

use loralab_cpu::{Scalar, swiglu};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "swiglu/forward", workgroup 256;
    parts { "swiglu/activation", "lib/gated", "lib/elements" }
    params { elements: u32 }
    buffers { read gate: f32, read up: f32, write y: f32 }
    constants {}
}
shader! {
    BACKWARD_INPUT = "swiglu/backward_input", workgroup 256;
    parts { "swiglu/activation", "lib/gated_backward", "lib/elements" }
    params { elements: u32, add_gate: u32, add_up: u32 }
    buffers { read gate: f32, read up: f32, read dy: f32, write dgate: f32, write dup: f32 }
    constants {}
}

/// The gated activation of Llama's feed-forward block (Shazeer 2020, arXiv 2002.05202). Reads gate, up; writes y.
#[derive(Clone, Debug)]
pub struct Swiglu {
    /// Columns of gate, up and y.
    pub columns: usize,
}

impl Kernel for Swiglu {
    const NAME: &'static str = "swiglu";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        6 * self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let [gate, up] = [node.reads[0], node.reads[1]];
        let mut put = |value| {
            reverse.contribute(value).unwrap_or_else(|| (reverse.scratch(self.columns), loralab_cpu::Store::Set))
        };
        let writes = vec![put(gate), put(up)];
        reverse.dispatch(self.clone(), Pass::BackwardInput, vec![gate, up, dy], writes);
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let elements = grid.all_rows() * self.columns;
        if dispatch.pass == Pass::Forward {
            let ([gate, up], [(y, _)]) = (dispatch.read(), dispatch.write());
            let buffers = [gate, up, y].map(Memory::Rows);
            vec![Launch::over(&FORWARD, elements, &[word(elements)], &buffers)]
        } else {
            let ([gate, up, dy], [dgate, dup]) = (dispatch.read(), dispatch.write());
            let params = [word(elements), adds(dgate.1), adds(dup.1)];
            vec![Launch::over(&BACKWARD_INPUT, elements, &params, &[gate, up, dy, dgate.0, dup.0].map(Memory::Rows))]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let columns = self.columns;
        if dispatch.pass == Pass::Forward {
            let ([gate, up], [(y, _)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(y, columns)], |values, [y]| {
                swiglu::forward(values.read(gate, columns), values.read(up, columns), y);
            });
        } else {
            let ([gate, up, dy], [dgate, dup]) = (dispatch.read(), dispatch.write());
            let stores = [dgate.1, dup.1];
            micro_batch.values.write([(dgate.0, columns), (dup.0, columns)], |values, [dgate, dup]| {
                let (gate, up, dy) = (values.read(gate, columns), values.read(up, columns), values.read(dy, columns));
                swiglu::backward(gate, up, dy, dgate, dup, stores);
            });
        }
    }
}
