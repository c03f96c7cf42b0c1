//! `attention`: causal softmax(q kᵀ / √D) v for each sequence and head. y (N, H·D) ← q (N, H·D), k, v (N, KV·D).

use loralab_cpu::{
    Scalar,
    attention::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::memory::Lane;

/// Causal attention by running softmax; the backward pass recomputes the probabilities from the kept log-sum-exp, so no (T, T) matrix is
/// ever stored (Dao 2023, arXiv 2307.08691). Reads q, k, v; writes y and the log-sum-exp, (N, H).
#[derive(Clone, Debug)]
pub struct Attention {
    /// T.
    pub tokens: usize,
    /// H.
    pub heads: usize,
    /// Heads of k and v; divides H.
    pub kv_heads: usize,
    /// D.
    pub head_size: usize,
}

impl Kernel for Attention {
    const NAME: &'static str = "attention";

    fn outputs(&self) -> Vec<usize> {
        vec![self.heads * self.head_size, self.heads]
    }

    fn flops_per_row(&self, pass: Pass) -> usize {
        let products = if pass == Pass::Forward { 2 } else { 5 };
        products * self.heads * self.head_size * (self.tokens + 1)
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let [q, k, v] = [node.reads[0], node.reads[1], node.reads[2]];
        let [y, lse] = [node.writes[0], node.writes[1]];
        // The kernel makes all three at once; a gradient that nobody needs goes to scratch.
        let mut put = |value| {
            let columns = if value == q { self.heads } else { self.kv_heads } * self.head_size;
            reverse.contribute(value).unwrap_or_else(|| (reverse.scratch(columns), loralab_cpu::Store::Set))
        };
        let writes = vec![put(q), put(k), put(v)];
        reverse.dispatch(self.clone(), Pass::BackwardInput, vec![q, k, v, y, lse, dy], writes);
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
        let shape = Shape {
            sequences: lane.values.rows / self.tokens,
            tokens: self.tokens,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_size: self.head_size,
        };
        let (wide, narrow) = (self.heads * self.head_size, self.kv_heads * self.head_size);
        if dispatch.pass == Pass::Forward {
            let ([q, k, v], [(y, _), (lse, _)]) = (dispatch.read(), dispatch.write());
            lane.values.write([(y, wide), (lse, self.heads)], |values, [y, lse]| {
                let (q, k, v) = (values.read(q, wide), values.read(k, narrow), values.read(v, narrow));
                attention::forward(shape, q, k, v, y, lse, lane.scratch);
            });
        } else {
            let ([q, k, v, y, lse, dy], [dq, dk, dv]) = (dispatch.read(), dispatch.write());
            let stores = [dq.1, dk.1, dv.1];
            lane.values.write([(dq.0, wide), (dk.0, narrow), (dv.0, narrow)], |values, [dq, dk, dv]| {
                let (q, k, v) = (values.read(q, wide), values.read(k, narrow), values.read(v, narrow));
                let (y, dy, lse) = (values.read(y, wide), values.read(dy, wide), values.read(lse, self.heads));
                attention::backward(shape, q, k, v, y, lse, dy, dq, dk, dv, stores, lane.scratch);
            });
        }
    }
}
