//! `split`: equal parts of the columns of x, such as the queries, keys and values of GPT-2's fused product. (N, C) each ← x (N, parts·C).

use loralab_cpu::{Scalar, split};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type, Value},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "split/forward", workgroup 256;
    parts { "split/forward", "lib/elements" }
    params { elements: u32, wide: u32, columns: u32, first: u32 }
    buffers { read x: f32, write y: f32 }
    constants {}
}
shader! {
    BACKWARD_INPUT = "split/backward_input", workgroup 256;
    parts { "split/backward_input", "lib/elements" }
    params { elements: u32, wide: u32, columns: u32, first: u32, add: u32 }
    buffers { read dy: f32, write dx: f32 }
    constants {}
}

/// Equal parts of the columns. Reads x; writes every part, all of which must reach the loss if one does.
#[derive(Clone, Debug)]
pub struct Split {
    /// Number of parts.
    pub parts: usize,
    /// Columns C of a part.
    pub columns: usize,
}

impl Kernel for Split {
    const NAME: &'static str = "split";
    const SHADERS: &'static [Shader] = &[FORWARD, BACKWARD_INPUT];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns); self.parts]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.columns * self.parts
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let gradients: Vec<Value> = node.writes.iter().filter_map(|part| reverse.gradient(*part)).collect();
        if gradients.is_empty() {
            return;
        }
        assert_eq!(gradients.len(), self.parts, "either every part of a split value reaches the loss, or none");
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, gradients, vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let elements = grid.all_rows() * self.columns;
        let params = |part: usize| [elements, self.parts * self.columns, self.columns, part * self.columns].map(word);
        if dispatch.pass == Pass::Forward {
            let [x] = dispatch.read();
            let of_part = |(part, (y, _)): (usize, &(_, _))| {
                Launch::over(&FORWARD, elements, &params(part), &[x, *y].map(Memory::Rows))
            };
            dispatch.writes.iter().enumerate().map(of_part).collect()
        } else {
            let [(dx, store)] = dispatch.write();
            let of_part = |(part, dy): (usize, &_)| {
                let params = [&params(part)[..], &[adds(store)]].concat();
                Launch::over(&BACKWARD_INPUT, elements, &params, &[*dy, dx].map(Memory::Rows))
            };
            dispatch.reads.iter().enumerate().map(of_part).collect()
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let Split { parts, columns } = *self;
        if dispatch.pass == Pass::Forward {
            let [x] = dispatch.read();
            for (part, &(y, _)) in dispatch.writes.iter().enumerate() {
                micro_batch.values.write([(y, columns)], |values, [y]| {
                    split::forward(values.read(x, parts * columns), columns, parts, part, y);
                });
            }
        } else {
            let [(dx, store)] = dispatch.write();
            micro_batch.values.write([(dx, parts * columns)], |values, [dx]| {
                for (part, &dy) in dispatch.reads.iter().enumerate() {
                    split::backward(values.read(dy, columns), columns, parts, part, dx, store);
                }
            });
        }
    }
}
