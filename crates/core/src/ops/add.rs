//! `add`: y = a + b, element by element. Its gradient is shared by both inputs where nothing forces a copy.

use loralab_cpu::{Scalar, add};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::memory::Lane;

/// Reads a, b (two different values); writes y.
#[derive(Clone, Debug)]
pub struct Add {
    /// Columns of all three.
    pub columns: usize,
}

impl Kernel for Add {
    const NAME: &'static str = "add";

    fn outputs(&self) -> Vec<usize> {
        vec![self.columns]
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

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        let columns = self.columns;
        if dispatch.pass == Pass::Forward {
            let ([a, b], [(y, _)]) = (dispatch.read(), dispatch.write());
            lane.values
                .write([(y, columns)], |values, [y]| add::forward(values.read(a, columns), values.read(b, columns), y));
        } else {
            let ([dy], [(dx, store)]) = (dispatch.read(), dispatch.write());
            lane.values.write([(dx, columns)], |values, [dx]| add::backward(values.read(dy, columns), dx, store));
        }
    }
}
