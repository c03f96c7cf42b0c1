//! `geglu`: y = GELU(gate) · up, element by element.

use loralab_cpu::{Scalar, geglu, gelu::Form};

use super::{Dispatch, Kernel, Node, Pass, Reverse, gelu::number};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "geglu/forward", workgroup 256;
    parts { "geglu/activation", "lib/gated", "lib/gelu", "lib/elements" }
    params { elements: u32 }
    buffers { read gate: f32, read up: f32, write y: f32 }
    constants { FORM }
}
shader! {
    BACKWARD_INPUT = "geglu/backward_input", workgroup 256;
    parts { "geglu/activation", "lib/gated_backward", "lib/gelu", "lib/elements" }
    params { elements: u32, add_gate: u32, add_up: u32 }
    buffers { read gate: f32, read up: f32, read dy: f32, write dgate: f32, write dup: f32 }
    constants { FORM }
}

/// The gated activation of Gemma's feed-forward block (Shazeer 2020, arXiv 2002.05202). Reads gate, up; writes y.
#[derive(Clone, Debug)]
pub struct Geglu {
    /// Columns of gate, up and y.
    pub columns: usize,
    /// The form of GELU.
    pub form: Form,
}

impl Kernel for Geglu {
    const NAME: &'static str = "geglu";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        12 * self.columns
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
            vec![Launch::over(&FORWARD, elements, &[word(elements)], &buffers).with(&[number(self.form)])]
        } else {
            let ([gate, up, dy], [dgate, dup]) = (dispatch.read(), dispatch.write());
            let params = [word(elements), adds(dgate.1), adds(dup.1)];
            let buffers = [gate, up, dy, dgate.0, dup.0].map(Memory::Rows);
            vec![Launch::over(&BACKWARD_INPUT, elements, &params, &buffers).with(&[number(self.form)])]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let columns = self.columns;
        if dispatch.pass == Pass::Forward {
            let ([gate, up], [(y, _)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(y, columns)], |values, [y]| {
                geglu::forward(self.form, values.read(gate, columns), values.read(up, columns), y);
            });
        } else {
            let ([gate, up, dy], [dgate, dup]) = (dispatch.read(), dispatch.write());
            let stores = [dgate.1, dup.1];
            micro_batch.values.write([(dgate.0, columns), (dup.0, columns)], |values, [dgate, dup]| {
                let (gate, up, dy) = (values.read(gate, columns), values.read(up, columns), values.read(dy, columns));
                geglu::backward(self.form, gate, up, dy, dgate, dup, stores);
            });
        }
    }
}
