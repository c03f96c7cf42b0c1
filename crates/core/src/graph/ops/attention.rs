//! `attention`: softmax(scores) v for each sequence and head. y (N, H·D) ← q (N, H·D), k, v (N, KV·D), the rows' segments (N) if there are any; or k, v
//! (B·C, KV·D) from a cache, and the rows' positions (N).

use loralab_cpu::{
    Scalar,
    attention::{self, Rule, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    LIMITS = "attention/limits", workgroup 256;
    parts { "attention/limits", "lib/elements" }
    params { elements: u32, tokens: u32 }
    buffers { read segments: u32, write limits: u32 }
    constants {}
}
shader! {
    FORWARD = "attention/forward", workgroup 64;
    parts { "attention/forward", "lib/attention", "lib/attention_queries", "lib/hyperbolic" }
    params {
        tokens: u32, keys: u32, heads: u32, kv_heads: u32, head_size: u32, before: u32, after: u32, scale: f32, cap: f32, add: u32, add_value: u32,
    }
    buffers { read q: f32, read k: f32, read v: f32, read limits: u32, write y: f32, write lse: f32 }
    constants { VECTORS, SEGMENTS, CACHED, CAPPED }
}
shader! {
    DELTA = "attention/delta", workgroup 256;
    parts { "attention/delta", "lib/elements" }
    params { elements: u32, head_size: u32 }
    buffers { read y: f32, read lse: f32, read dy: f32, write sums: f32 }
    constants {}
}
shader! {
    BACKWARD_QUERY = "attention/backward_query", workgroup 64;
    parts { "attention/backward_query", "lib/attention", "lib/attention_backward", "lib/attention_queries", "lib/hyperbolic" }
    params {
        tokens: u32, keys: u32, heads: u32, kv_heads: u32, head_size: u32, before: u32, after: u32, scale: f32, cap: f32, add: u32, add_value: u32,
    }
    buffers { read q: f32, read k: f32, read v: f32, read limits: u32, read sums: f32, read dy: f32, write dq: f32 }
    constants { VECTORS, SEGMENTS, CACHED, CAPPED }
}
shader! {
    BACKWARD_KEY_VALUE = "attention/backward_key_value", workgroup 64;
    parts { "attention/backward_key_value", "lib/attention", "lib/attention_backward", "lib/hyperbolic" }
    params {
        tokens: u32, keys: u32, heads: u32, kv_heads: u32, head_size: u32, before: u32, after: u32, scale: f32, cap: f32, add: u32, add_value: u32,
    }
    buffers {
        read q: f32, read k: f32, read v: f32, read limits: u32, read sums: f32, read dy: f32, write dk: f32, write dv: f32,
    }
    constants { VECTORS, SEGMENTS, CACHED, CAPPED }
}

/// Queries or keys per workgroup.
const ATTENDED: usize = 64;
/// Largest head size D that the shaders support.
const LARGEST_HEAD: usize = 256;

/// The rows that a row attends to, and the scores that it gives them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attend {
    /// Head size D.
    pub head_size: usize,
    /// True if token `i` sees no token after it.
    pub causal: bool,
    /// W, at least 1: token `i` sees token `j` only if |i − j| < W, as with transformers' `sliding_window` in a decoder (`masking_utils.py`,
    /// `sliding_window_overlay`); `None` for no limit. transformers' window of an encoder includes its end: give it W = `sliding_window` + 1.
    pub window: Option<usize>,
    /// c of the soft cap c·tanh(s/c) of the scaled scores s (Gemma 2, arXiv 2408.00118, §2); `None` for none.
    pub cap: Option<f64>,
    /// Factor of the scores q kᵀ: 1/√D, or 1/√`query_pre_attn_scalar` in Gemma.
    pub scale: f64,
    /// True if rows see rows of their own segment only, and not its padding: the op then reads [`InputName::Segments`](crate::graph::memory::InputName::Segments).
    pub segments: bool,
}

impl Attend {
    /// A decoder's attention over whole sequences: each token sees itself and those before it, and scores are divided by √D.
    pub fn causal(head_size: usize) -> Attend {
        let Rule { causal, window, scale, cap } = Rule::causal(head_size);
        Attend { head_size, causal, window, cap, scale, segments: false }
    }

    /// An encoder's attention: each token sees all tokens of its segment, and scores are divided by √D.
    pub fn full(head_size: usize) -> Attend {
        Attend { causal: false, segments: true, ..Attend::causal(head_size) }
    }

    fn rule(self) -> Rule {
        let Attend { causal, window, scale, cap, .. } = self;
        Rule { causal, window, scale, cap }
    }
}

/// Attention by running softmax; the backward pass recomputes the probabilities from the stored log-sum-exp, so no (T, T) matrix is
/// ever stored (Dao 2023, arXiv 2307.08691). Reads q, k, v, and the segments if there are any; writes y and the log-sum-exp, (N, H). Both are 0
/// for padding.
///
/// With a cache, k and v are those of all positions that were ever written, and the last operand has the rows' positions: a row sees the positions up to
/// its own. There is no backward pass then.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Tokens T per sequence.
    pub tokens: usize,
    /// Query heads H.
    pub heads: usize,
    /// Heads of k and v, KV; divides H.
    pub kv_heads: usize,
    /// The mask, and the scaling of the scores.
    pub attend: Attend,
    /// Positions C per sequence of the cache that holds k and v; `None` if they are of the same rows as q.
    pub context: Option<usize>,
}

impl Attention {
    /// Columns of q and y, and of k and v.
    fn columns(&self) -> [usize; 2] {
        [self.heads, self.kv_heads].map(|heads| heads * self.attend.head_size)
    }

    /// Keys of a sequence: those of a cache, or one per token.
    fn keys(&self) -> usize {
        self.context.unwrap_or(self.tokens)
    }

    /// The most tokens that a token sees up to itself, and from itself on; both include it.
    fn reach(&self) -> [usize; 2] {
        let most = self.keys();
        let window = self.attend.window.map_or(most, |window| window.min(most));
        [window, if self.attend.causal { 1 } else { window }]
    }
}

impl Kernel for Attention {
    const NAME: &'static str = "attention";
    const SHADERS: &'static [Shader] = &[LIMITS, FORWARD, DELTA, BACKWARD_QUERY, BACKWARD_KEY_VALUE];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns()[0]), Type::floats(self.heads)]
    }

    fn flops_per_row(&self, pass: Pass) -> usize {
        let products = if pass == Pass::Forward { 2 } else { 5 };
        // Pairs of tokens of a sequence of which the first sees the second; the window is cut at both ends.
        let [before, after] = self.reach();
        if self.context.is_some() {
            return 2 * products * self.columns()[0] * before;
        }
        let cut = |reach: usize| reach * self.tokens - reach * (reach - 1) / 2;
        let seen = cut(before) + cut(after) - self.tokens;
        products * self.columns()[0] * (2 * seen).div_ceil(self.tokens)
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        assert!(self.context.is_none(), "no gradient passes through a cache");
        let [q, k, v] = [node.reads[0], node.reads[1], node.reads[2]];
        let [y, lse] = [node.writes[0], node.writes[1]];
        let [wide, narrow] = self.columns();
        // The kernel computes all three gradients at once; one that is not needed goes to scratch.
        let mut put = |value| {
            let columns = if value == q { wide } else { narrow };
            reverse.contribute(value).unwrap_or_else(|| (reverse.scratch(columns), loralab_cpu::Store::Set))
        };
        let writes = vec![put(q), put(k), put(v)];
        let reads = [q, k, v, y, lse, dy].into_iter().chain(node.reads.get(3).copied()).collect();
        reverse.dispatch(self.clone(), Pass::BackwardInput, reads, writes);
    }

    fn refusal(&self) -> Option<String> {
        let head_size = self.attend.head_size;
        (head_size > LARGEST_HEAD).then(|| {
            format!("its heads have {head_size} features, and attention on a GPU is made for at most {LARGEST_HEAD}")
        })
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let Attend { head_size, scale, cap, segments, .. } = self.attend;
        let [tokens, heads, kv_heads, size] = [self.tokens, self.heads, self.kv_heads, head_size].map(word);
        let [before, after] = self.reach().map(word);
        let [scale, limit] = [scale, cap.unwrap_or(0.0)].map(|x| (x as f32).to_bits());
        let keys = word(self.keys());
        let params =
            |stores: [u32; 2]| [tokens, keys, heads, kv_heads, size, before, after, scale, limit, stores[0], stores[1]];
        let is_cached = self.context.is_some();
        let constants = [head_size.div_ceil(4), segments.into(), is_cached.into(), cap.is_some().into()].map(word);
        let groups = |heads: usize| [self.tokens.div_ceil(ATTENDED), heads, grid.all_rows() / self.tokens];
        let rows = dispatch.reads.iter().copied().map(Memory::Rows).collect::<Vec<_>>();
        let (&last, [q, k, v]) = (rows.last().unwrap_or(&Memory::Limits), [rows[0], rows[1], rows[2]]);
        let all = grid.all_rows();
        let mut launches = Vec::new();
        // Without segments no kernel reads the limits, but their binding still needs a buffer that is read anyway: q, or the positions with a cache.
        let mut limits = if is_cached { last } else { q };
        if segments {
            limits = Memory::Limits;
            launches.push(Launch::over(&LIMITS, all, &[word(all), tokens], &[last, limits]));
        }
        if dispatch.pass == Pass::Forward {
            let [(y, _), (lse, _)] = dispatch.write();
            let buffers = [q, k, v, limits, Memory::Rows(y), Memory::Rows(lse)];
            launches.push(Launch::new(&FORWARD, &params([0; 2]), &buffers, groups(self.heads)).with(&constants));
        } else {
            let ([y, lse, dy], [dq, dk, dv]) = ([rows[3], rows[4], rows[5]], dispatch.write());
            let sums = Memory::Scratch(2 * heads);
            let elements = all * self.heads;
            let query = [q, k, v, limits, sums, dy, Memory::Rows(dq.0)];
            let key_value = [q, k, v, limits, sums, dy, Memory::Rows(dk.0), Memory::Rows(dv.0)];
            let of_query = params([adds(dq.1), 0]);
            let of_key = params([adds(dk.1), adds(dv.1)]);
            launches.extend([
                Launch::over(&DELTA, elements, &[word(elements), size], &[y, lse, dy, sums]),
                Launch::new(&BACKWARD_QUERY, &of_query, &query, groups(self.heads)).with(&constants),
                Launch::new(&BACKWARD_KEY_VALUE, &of_key, &key_value, groups(self.kv_heads)).with(&constants),
            ]);
        }
        launches
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let (rule, scratch) = (self.attend.rule(), &mut *micro_batch.scratch);
        let shape = Shape {
            sequences: micro_batch.values.rows / self.tokens,
            tokens: self.tokens,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_size: self.attend.head_size,
        };
        let [wide, narrow] = self.columns();
        let [q, k, v] = [dispatch.reads[0], dispatch.reads[1], dispatch.reads[2]];
        if let Some(context) = self.context {
            let [(y, _), (lse, _)] = dispatch.write();
            micro_batch.values.write([(y, wide), (lse, self.heads)], |values, [y, lse]| {
                let (q, k, v) = (values.read(q, wide), values.cached(k), values.cached(v));
                let positions = values.ids(dispatch.reads[3]);
                attention::forward_cached(shape, rule, context, positions, q, k, v, y, lse, scratch);
            });
        } else if dispatch.pass == Pass::Forward {
            let [(y, _), (lse, _)] = dispatch.write();
            micro_batch.values.write([(y, wide), (lse, self.heads)], |values, [y, lse]| {
                let (q, k, v) = (values.read(q, wide), values.read(k, narrow), values.read(v, narrow));
                let segments = dispatch.reads.get(3).map(|&segments| values.ids(segments));
                attention::forward(shape, rule, segments, q, k, v, y, lse, scratch);
            });
        } else {
            let ([y, lse, dy], [dq, dk, dv]) =
                ([dispatch.reads[3], dispatch.reads[4], dispatch.reads[5]], dispatch.write());
            let stores = [dq.1, dk.1, dv.1];
            micro_batch.values.write([(dq.0, wide), (dk.0, narrow), (dv.0, narrow)], |values, [dq, dk, dv]| {
                let (q, k, v) = (values.read(q, wide), values.read(k, narrow), values.read(v, narrow));
                let (y, dy, lse) = (values.read(y, wide), values.read(dy, wide), values.read(lse, self.heads));
                let segments = dispatch.reads.get(6).map(|&segments| values.ids(segments));
                attention::backward(shape, rule, segments, q, k, v, y, lse, dy, dq, dk, dv, stores, scratch);
            });
        }
    }
}
