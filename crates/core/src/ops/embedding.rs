//! `embedding`: a row of the table for each token. y (N, W) ← tokens (N), table (V, W).

use loralab_cpu::{Scalar, embedding};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::memory::{Lane, Weight};

/// Looks tokens up in a table. Writes y.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// Columns of the table.
    pub width: usize,
    /// The table, (V, width).
    pub table: Weight,
}

impl Kernel for Embedding {
    const NAME: &'static str = "embedding";

    fn outputs(&self) -> Vec<usize> {
        vec![self.width]
    }

    fn trains(&self) -> bool {
        matches!(self.table, Weight::Trained(_))
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.width
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        if let (true, Some(dy)) = (self.trains(), reverse.gradient(node.writes[0])) {
            reverse.dispatch(self.clone(), Pass::BackwardWeight, vec![dy], vec![]);
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        if dispatch.pass == Pass::Forward {
            let [(y, _)] = dispatch.write();
            let table = lane.weight(self.table);
            lane.values.write([(y, self.width)], |_, [y]| {
                embedding::forward(lane.tokens, table, self.width, y, lane.scratch.weights());
            });
        } else if let Weight::Trained(table) = self.table {
            let [dy] = dispatch.read();
            let dy = lane.values.read(dy, self.width);
            embedding::backward(lane.tokens, self.width, dy, &mut lane.gradients[table.range()]);
        }
    }
}
