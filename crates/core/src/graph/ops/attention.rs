//! `attention`: causal softmax(q kᵀ / √D) v for each sequence and head. y (N, H·D) ← q (N, H·D), k, v (N, KV·D).

use loralab_cpu::{
    Scalar,
    attention::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    FORWARD = "attention/forward", workgroup 64;
    parts { "attention/forward", "lib/attention", "lib/attention_queries" }
    params { tokens: u32, heads: u32, kv_heads: u32, head_size: u32, scale: f32 }
    buffers { read q: f32, read k: f32, read v: f32, write y: f32, write lse: f32 }
    constants { VECTORS }
}
shader! {
    DELTA = "attention/delta", workgroup 256;
    parts { "attention/delta", "lib/elements" }
    params { elements: u32, head_size: u32 }
    buffers { read y: f32, read dy: f32, write delta: f32 }
    constants {}
}
shader! {
    BACKWARD_QUERY = "attention/backward_query", workgroup 64;
    parts { "attention/backward_query", "lib/attention", "lib/attention_backward", "lib/attention_queries" }
    params { tokens: u32, heads: u32, kv_heads: u32, head_size: u32, scale: f32, add: u32 }
    buffers { read q: f32, read k: f32, read v: f32, read lse: f32, read dy: f32, read delta: f32, write dq: f32 }
    constants { VECTORS }
}
shader! {
    BACKWARD_KEY_VALUE = "attention/backward_key_value", workgroup 64;
    parts { "attention/backward_key_value", "lib/attention", "lib/attention_backward" }
    params { tokens: u32, heads: u32, kv_heads: u32, head_size: u32, scale: f32, add_key: u32, add_value: u32 }
    buffers {
        read q: f32, read k: f32, read v: f32, read lse: f32, read dy: f32, read delta: f32, write dk: f32, write dv: f32,
    }
    constants { VECTORS }
}

/// Queries or keys per workgroup.
const ATTENDED: usize = 64;
/// Largest head size D that the shaders support.
const LARGEST_HEAD: usize = 128;

/// Causal attention by running softmax; the backward pass recomputes the probabilities from the stored log-sum-exp, so no (T, T) matrix is
/// ever stored (Dao 2023, arXiv 2307.08691). Reads q, k, v; writes y and the log-sum-exp, (N, H).
#[derive(Clone, Debug)]
pub struct Attention {
    /// Tokens T per sequence.
    pub tokens: usize,
    /// Query heads H.
    pub heads: usize,
    /// Heads of k and v, KV; divides H.
    pub kv_heads: usize,
    /// Head size D.
    pub head_size: usize,
}

impl Kernel for Attention {
    const NAME: &'static str = "attention";
    const SHADERS: &'static [Shader] = &[FORWARD, DELTA, BACKWARD_QUERY, BACKWARD_KEY_VALUE];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.heads * self.head_size), Type::floats(self.heads)]
    }

    fn flops_per_row(&self, pass: Pass) -> usize {
        let products = if pass == Pass::Forward { 2 } else { 5 };
        products * self.heads * self.head_size * (self.tokens + 1)
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        let [q, k, v] = [node.reads[0], node.reads[1], node.reads[2]];
        let [y, lse] = [node.writes[0], node.writes[1]];
        // The kernel computes all three gradients at once; one that is not needed goes to scratch.
        let mut put = |value| {
            let columns = if value == q { self.heads } else { self.kv_heads } * self.head_size;
            reverse.contribute(value).unwrap_or_else(|| (reverse.scratch(columns), loralab_cpu::Store::Set))
        };
        let writes = vec![put(q), put(k), put(v)];
        reverse.dispatch(self.clone(), Pass::BackwardInput, vec![q, k, v, y, lse, dy], writes);
    }

    fn refusal(&self) -> Option<String> {
        let Attention { head_size, .. } = self;
        (*head_size > LARGEST_HEAD).then(|| {
            format!("its heads have {head_size} features, and attention on a GPU is made for at most {LARGEST_HEAD}")
        })
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let scale = (self.head_size as f64).sqrt().recip() as f32;
        let [tokens, heads, kv_heads, head_size] = [self.tokens, self.heads, self.kv_heads, self.head_size].map(word);
        let sizes = [tokens, heads, kv_heads, head_size, scale.to_bits()];
        let groups = |heads: usize| [self.tokens.div_ceil(ATTENDED), heads, grid.all_rows() / self.tokens];
        let vectors = word(self.head_size.div_ceil(4));
        if dispatch.pass == Pass::Forward {
            let ([q, k, v], [(y, _), (lse, _)]) = (dispatch.read(), dispatch.write());
            let buffers = [q, k, v, y, lse].map(Memory::Rows);
            vec![Launch::new(&FORWARD, &sizes, &buffers, groups(self.heads)).with(&[vectors])]
        } else {
            let ([q, k, v, y, lse, dy], [dq, dk, dv]) = (dispatch.read::<6>(), dispatch.write());
            let [q, k, v, y, lse, dy] = [q, k, v, y, lse, dy].map(Memory::Rows);
            let delta = Memory::Scratch(heads);
            let elements = grid.all_rows() * self.heads;
            let of_query = [&sizes[..], &[adds(dq.1)]].concat();
            let of_key = [&sizes[..], &[adds(dk.1), adds(dv.1)]].concat();
            let inputs = [q, k, v, lse, dy, delta];
            let query = [&inputs[..], &[Memory::Rows(dq.0)]].concat();
            let key_value = [&inputs[..], &[Memory::Rows(dk.0), Memory::Rows(dv.0)]].concat();
            vec![
                Launch::over(&DELTA, elements, &[word(elements), head_size], &[y, dy, delta]),
                Launch::new(&BACKWARD_QUERY, &of_query, &query, groups(self.heads)).with(&[vectors]),
                Launch::new(&BACKWARD_KEY_VALUE, &of_key, &key_value, groups(self.kv_heads)).with(&[vectors]),
            ]
        }
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let shape = Shape {
            sequences: micro_batch.values.rows / self.tokens,
            tokens: self.tokens,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_size: self.head_size,
        };
        let (wide, narrow) = (self.heads * self.head_size, self.kv_heads * self.head_size);
        if dispatch.pass == Pass::Forward {
            let ([q, k, v], [(y, _), (lse, _)]) = (dispatch.read(), dispatch.write());
            micro_batch.values.write([(y, wide), (lse, self.heads)], |values, [y, lse]| {
                let (q, k, v) = (values.read(q, wide), values.read(k, narrow), values.read(v, narrow));
                attention::forward(shape, q, k, v, y, lse, micro_batch.scratch);
            });
        } else {
            let ([q, k, v, y, lse, dy], [dq, dk, dv]) = (dispatch.read(), dispatch.write());
            let stores = [dq.1, dk.1, dv.1];
            micro_batch.values.write([(dq.0, wide), (dk.0, narrow), (dv.0, narrow)], |values, [dq, dk, dv]| {
                let (q, k, v) = (values.read(q, wide), values.read(k, narrow), values.read(v, narrow));
                let (y, dy, lse) = (values.read(y, wide), values.read(dy, wide), values.read(lse, self.heads));
                attention::backward(shape, q, k, v, y, lse, dy, dq, dk, dv, stores, micro_batch.scratch);
            });
        }
    }
}
