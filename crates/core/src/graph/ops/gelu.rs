//! `gelu`: y = GELU(x), element by element.

pub use loralab_cpu::gelu::Form;
use loralab_cpu::{Scalar, gelu};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "gelu/forward", workgroup 256;
    parts { "gelu/forward", "lib/map", "lib/gelu", "lib/elements" }
    params { elements: u32 }
    buffers { read x: f32, write y: f32 }
    constants { FORM }
}
shader! {
    BACKWARD_INPUT = "gelu/backward_input", workgroup 256;
    parts { "gelu/backward_input", "lib/map_backward", "lib/gelu", "lib/elements" }
    params { elements: u32, add: u32 }
    buffers { read x: f32, read dy: f32, write dx: f32 }
    constants { FORM }
}

/// Gaussian error linear unit (Hendrycks & Gimpel 2016, arXiv 1606.08415). Reads x; writes y.
#[derive(Clone, Debug)]
pub struct Gelu {
    /// Columns of x and y.
    pub columns: usize,
    /// The form.
    pub form: Form,
}

/// The value of the shaders' constant `FORM`.
pub(super) fn number(form: Form) -> u32 {
    match form {
        Form::Erf => 0,
        Form::Tanh => 1,
    }
}

impl Kernel for Gelu {
    const NAME: &'static str = "gelu";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        10 * self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![node.reads[0], dy], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let (elements, form) = (grid.all_rows() * self.columns, [number(self.form)]);
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            vec![Launch::over(&FORWARD, elements, &[word(elements)], &[x, y].map(Memory::Rows)).with(&form)]
        } else {
            let ([x, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            let buffers = [x, dy, dx].map(Memory::Rows);
            vec![Launch::over(&BACKWARD_INPUT, elements, &[word(elements), adds(store)], &buffers).with(&form)]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let columns = self.columns;
        if dispatch.pass == Pass::Forward {
            let ([x], [(y, _)]) = (dispatch.read(), dispatch.write());
            micro_batch
                .values
                .write([(y, columns)], |values, [y]| gelu::forward(self.form, values.read(x, columns), y));
        } else {
            let ([x, dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(dx, columns)], |values, [dx]| {
                gelu::backward(self.form, values.read(x, columns), values.read(dy, columns), dx, store);
            });
        }
    }
}
