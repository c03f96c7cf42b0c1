//! Tape: records the ops of a model, with static shapes, derives the backward pass and compiles both passes into a [`Plan`].

mod ends;
mod record;

pub use ends::CHUNK;

use crate::graph::{
    memory::{Begin, Group, HeadTensor, InputName, LowRank, NOISE, Parameter, Rows, Site, Span, Type, Value, Weight},
    ops::{
        Add, Attend, Attention, Bias, Cache, Dropout, Embedding, Gain, Geglu, Gelu, LayerNorm, Linear, LoraLinear,
        Node, Op, Orthonormal, Relu, RmsNorm, Rope, Rotary, Split, Swiglu, Tanh, gelu,
    },
    plan::{Optimizer, Plan, Preconditioner, Shape},
    recording::Results,
};

/// The purpose that a plan is compiled for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    /// Losses, gradients and steps.
    Train(Optimizer),
    /// Losses and gradients without steps; the model's output is kept.
    Probe,
    /// Only the forward pass, up to the loss.
    Evaluate,
    /// Only the model's output.
    Predict,
    /// Only the values that go into caches.
    Prefill,
    /// Only the observed values. Nothing is trained.
    Observe,
    /// The same, then the moments of every observed value x, stored as *gradients*: Σ w \[x, 1\]ᵀ x, (I + 1, I), with the step's row weights w. With a
    /// number of columns C, the second moment is that of the step's code c with x: Σ w \[c, 1\]ᵀ x, (C + 1, I). Nothing is trained.
    Moments(Option<usize>),
}

/// The source of the rows' positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Its index in its sequence.
    ByIndex,
    /// The input [`InputName::Positions`], below T: texts that are packed into one sequence each begin at 0. Attention then keeps them apart by
    /// [`InputName::Segments`].
    Given,
    /// The input [`InputName::Positions`], below this many positions C: the rows of a sequence follow those of earlier calls. Attention reads the keys and
    /// values of all positions up to a row's own from a cache, to which the rows' own are added first.
    Cached(usize),
}

/// Records a forward pass.
pub struct Tape {
    shape: Shape,
    nodes: Vec<Node>,
    types: Vec<Type>,
    needed: Vec<bool>,
    parameters: Vec<Parameter>,
    sites: Vec<Site>,
    head: Vec<HeadTensor>,
    tables: Vec<Vec<f64>>,
    rotaries: Vec<(Rotary, usize)>,
    positions: Positions,
    dropout: f64,
    inputs: Vec<(InputName, Value)>,
    results: Results<Value>,
    frozen_pairs: bool,
    preconditioner: Option<Preconditioner>,
    observed: Vec<(Vec<String>, Value)>,
    label: String,
    /// The first node of each layer.
    layers: Vec<usize>,
    recomputes: bool,
}

impl Tape {
    /// An empty tape for K runs of B sequences of T tokens; `frozen_pairs` gives every adapter a frozen second pair.
    pub fn new(shape: Shape, frozen_pairs: bool) -> Tape {
        Tape {
            shape,
            nodes: Vec::new(),
            types: Vec::new(),
            needed: Vec::new(),
            parameters: Vec::new(),
            sites: Vec::new(),
            head: Vec::new(),
            tables: Vec::new(),
            rotaries: Vec::new(),
            positions: Positions::ByIndex,
            dropout: 0.0,
            inputs: Vec::new(),
            results: Results::default(),
            frozen_pairs,
            preconditioner: None,
            observed: Vec::new(),
            label: String::new(),
            layers: Vec::new(),
            recomputes: false,
        }
    }

    /// Sets the preconditioner of the adapters' steps, or none.
    pub fn precondition(&mut self, preconditioner: Option<Preconditioner>) {
        self.preconditioner = preconditioner;
    }

    /// Sets the probability of dropout in the inputs of the adapters that are declared next, from 0 (none) to below 1. A step has dropout only if it gives
    /// [`InputName::Noise`].
    pub fn dropout(&mut self, probability: f64) {
        self.dropout = probability;
    }

    /// Marks x, the input of `module`, as observed; a value that several modules read is observed once for all of them.
    pub fn observe(&mut self, x: Value, module: &str) {
        match self.observed.iter_mut().find(|(_, value)| *value == x) {
            Some((modules, _)) => modules.push(module.to_owned()),
            None => self.observed.push((vec![module.to_owned()], x)),
        }
    }

    /// The modules that read each observed value, in the order of the values of a plan for [`Purpose::Observe`] or the moments of one for [`Purpose::Moments`].
    pub fn observed(&self) -> Vec<Vec<String>> {
        self.observed.iter().map(|(modules, _)| modules.clone()).collect()
    }

    /// Tokens T of a sequence.
    pub fn tokens(&self) -> usize {
        self.shape.tokens
    }

    /// Sets the label of the next ops: the part of the model that they belong to.
    pub fn label(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Begins a layer of the model, which ends where the next begins. Layers are what [`recompute_layers`](Tape::recompute_layers) is about.
    pub fn layer(&mut self) {
        self.layers.push(self.nodes.len());
    }

    /// True if the backward pass computes the values of each layer again instead of keeping them (gradient checkpointing): less memory, more time, the same
    /// bits. The last layer is not computed again, since its values are needed at once.
    pub fn recompute_layers(&mut self, recomputes: bool) {
        self.recomputes = recomputes;
    }

    /// Declares a trained tensor of `shape` (rows, columns) and returns its place in the flat buffers.
    pub fn parameter(&mut self, name: impl Into<String>, shape: [usize; 2], group: Group) -> Span {
        let offset = self.parameters.last().map_or(0, |last| last.span.offset + last.span.len);
        let span = Span { offset, len: shape[0] * shape[1] };
        self.parameters.push(Parameter { name: name.into(), shape, group, span });
        span
    }

    /// Declares an adapter of `module`, with I inputs and O outputs, and returns the places of A, (R, I), and B, (O, R).
    pub fn site(&mut self, module: &str, [inputs, outputs]: [usize; 2], low_rank: impl Into<LowRank>) -> [Span; 2] {
        let (LowRank { rank, factor }, nowhere) = (low_rank.into(), Span { offset: 0, len: 0 });
        let mut site = Site { module: module.to_owned(), inputs, outputs, rank, factor, a: nowhere, b: nowhere };
        let ([a, b], [of_a, of_b]) = (site.names(), site.shapes());
        (site.a, site.b) = (self.parameter(a, of_a, Group::A), self.parameter(b, of_b, Group::B));
        let factors = site.factors();
        self.sites.push(site);
        factors
    }

    /// Declares a tensor of a head, of `shape` (rows, columns), which is trained whole from `begin` on.
    pub fn head_tensor(&mut self, name: &str, shape: [usize; 2], group: Group, begin: Begin) -> Span {
        let span = self.parameter(name, shape, group);
        self.head.push(HeadTensor { name: name.to_owned(), shape, span, begin });
        span
    }

    /// Adds a table computed on the host and returns its index.
    pub fn table(&mut self, table: Vec<f64>) -> usize {
        self.tables.push(table);
        self.tables.len() - 1
    }

    /// Embeds the step's tokens: rows of `table`, (V, width).
    pub fn embedding(&mut self, table: Weight, width: usize) -> Value {
        self.embedding_of(InputName::Tokens, table, width, 1.0)
    }

    /// Embeds the ids of an input: rows of `table`, (ids, width), times `scale`. A family that scales gives the number that its model multiplies by:
    /// Gemma's √width is rounded to the dtype of the weights first (transformers' `modeling_gemma.py`, `normalizer`).
    pub fn embedding_of(&mut self, ids: InputName, table: Weight, width: usize, scale: f64) -> Value {
        let ids = self.input(ids, 1);
        self.push(Embedding { width, table, first: 0, scale }, vec![ids])
    }

    /// Embeds the rows' positions: rows of `table`, (positions, width), of which the one at index `first` is that of position 0.
    pub fn position_embedding(&mut self, table: Weight, first: usize, width: usize) -> Value {
        let positions = self.input(InputName::Positions, 1);
        self.push(Embedding { width, table, first, scale: 1.0 }, vec![positions])
    }

    /// The linear map x Wᵀ + b; W is (outputs, columns of x), b (outputs).
    pub fn linear(&mut self, x: Value, weight: Weight, bias: Option<Weight>, outputs: usize) -> Value {
        let inputs = self.columns(x);
        let y = self.push(Linear { inputs, outputs, weight }, vec![x]);
        self.bias(y, bias)
    }

    /// A linear map with an adapter, x Wᵀ + s (x Aᵀ) Bᵀ + b. Declares A, (R, I), and B, (O, R), as parameters named after `module`.
    pub fn lora_linear(
        &mut self,
        x: Value,
        weight: Weight,
        bias: Option<Weight>,
        outputs: usize,
        low_rank: impl Into<LowRank>,
        module: &str,
    ) -> Value {
        let (inputs, low_rank) = (self.columns(x), low_rank.into());
        let LowRank { rank, factor } = low_rank;
        let [a, b] = self.site(module, [inputs, outputs], low_rank);
        let mut reads = vec![x];
        let dropout = (self.dropout > 0.0).then(|| Dropout::new(inputs, self.dropout, module));
        if let Some(dropout) = &dropout {
            let noise = self.input(InputName::Noise, NOISE);
            reads.extend([self.push(dropout.clone(), vec![x, noise]), noise]);
        }
        let frozen_pair = self.frozen_pairs;
        let y = self.push(LoraLinear { inputs, outputs, rank, factor, weight, a, b, frozen_pair, dropout }, reads);
        self.bias(y, bias)
    }

    /// x + b row by row, or x itself without a bias.
    fn bias(&mut self, x: Value, bias: Option<Weight>) -> Value {
        match bias {
            Some(weight) => self.push(Bias { columns: self.columns(x), weight }, vec![x]),
            None => x,
        }
    }

    /// RMSNorm of every row: x · g / √(mean(x²) + ε), where the gain g is (columns).
    pub fn rms_norm(&mut self, x: Value, gain: impl Into<Gain>, epsilon: f64) -> Value {
        self.head_norm(x, gain, self.columns(x), epsilon)
    }

    /// RMSNorm of every head of a row, all with one gain, (head size): the query and key norms of Qwen 3 and Gemma 3.
    ///
    /// # Panics
    /// If the columns are no whole number of heads.
    pub fn head_norm(&mut self, x: Value, gain: impl Into<Gain>, head_size: usize, epsilon: f64) -> Value {
        let columns = self.columns(x);
        assert!(columns.is_multiple_of(head_size), "{columns} columns are no heads of {head_size}");
        let (heads, gain) = (columns / head_size, gain.into());
        self.push(RmsNorm { heads, width: head_size, epsilon, gain }, vec![x])
    }

    /// LayerNorm of every row: (x − μ) · w / √(variance + ε) + b, where w and b are (columns).
    pub fn layer_norm(&mut self, x: Value, weight: Weight, bias: Option<Weight>, epsilon: f64) -> Value {
        let y = self.push(LayerNorm { width: self.columns(x), epsilon, weight }, vec![x]);
        self.bias(y, bias)
    }

    /// Sets where the next ops take a row's position from.
    pub fn positions(&mut self, positions: Positions) {
        self.positions = positions;
    }

    /// Rotary position embedding: rotates pairs of the first features of each head by the row's position. Equal angles share their tables.
    ///
    /// # Panics
    /// If more features are rotated than a head has.
    pub fn rope(&mut self, x: Value, head_size: usize, rotary: &Rotary) -> Value {
        let (tokens, heads, rotated) = (self.shape.tokens, self.columns(x) / head_size, rotary.rotated());
        let positions = if let Positions::Cached(context) = self.positions { context } else { tokens };
        assert!(rotated <= head_size, "a head of {head_size} features has no {rotated} to rotate");
        let known = self.rotaries.iter().find(|(known, _)| known == rotary).map(|(_, table)| *table);
        let table = known.unwrap_or_else(|| {
            let [cosines, _] = rotary.tables(positions).map(|table| self.table(table));
            self.rotaries.push((rotary.clone(), cosines));
            cosines
        });
        let given = (self.positions != Positions::ByIndex).then(|| self.input(InputName::Positions, 1));
        let reads = [x].into_iter().chain(given).collect();
        self.push(Rope { tokens, heads, head_size, rotated, table }, reads)
    }

    /// Attention within each sequence, or each segment of it if `attend` says so: q is (N, H·D), k and v are (N, KV·D). With [`Positions::Cached`] k and v
    /// go into a cache first, and attention is over all that it holds of a text.
    ///
    /// # Panics
    /// If texts are to be continued by a model that also reads what comes after a token, or reads segments.
    pub fn attention(&mut self, q: Value, k: Value, v: Value, attend: Attend) -> Value {
        let [heads, kv_heads] = [q, k].map(|value| self.columns(value) / attend.head_size);
        let attend = Attend { segments: attend.segments || self.positions == Positions::Given, ..attend };
        let tokens = self.shape.tokens;
        if let Positions::Cached(context) = self.positions {
            assert!(attend.causal && !attend.segments, "a text can be continued by a decoder only");
            let positions = self.input(InputName::Positions, 1);
            let columns = self.columns(k);
            let [k, v] = [k, v].map(|x| self.push(Cache { tokens, context, columns }, vec![x, positions]));
            let op = Attention { tokens, heads, kv_heads, attend, context: Some(context) };
            return self.push(op, vec![q, k, v, positions]);
        }
        let segments = attend.segments.then(|| self.input(InputName::Segments, 1));
        let reads = [q, k, v].into_iter().chain(segments).collect();
        self.push(Attention { tokens, heads, kv_heads, attend, context: None }, reads)
    }

    /// SwiGLU: gate · sigmoid(gate) · up.
    pub fn swiglu(&mut self, gate: Value, up: Value) -> Value {
        self.push(Swiglu { columns: self.columns(gate) }, vec![gate, up])
    }

    /// GEGLU: GELU(gate) · up.
    pub fn geglu(&mut self, gate: Value, up: Value, form: gelu::Form) -> Value {
        self.push(Geglu { columns: self.columns(gate), form }, vec![gate, up])
    }

    /// GELU.
    pub fn gelu(&mut self, x: Value, form: gelu::Form) -> Value {
        self.push(Gelu { columns: self.columns(x), form }, vec![x])
    }

    /// The hyperbolic tangent.
    pub fn tanh(&mut self, x: Value) -> Value {
        self.softcap(x, 1.0)
    }

    /// cap · tanh(x / cap): keeps every element between −cap and cap.
    pub fn softcap(&mut self, x: Value, cap: f64) -> Value {
        self.push(Tanh { columns: self.columns(x), cap }, vec![x])
    }

    /// Equal parts of the columns of x, from left to right. All of them must reach the loss if one does.
    pub fn split(&mut self, x: Value, parts: usize) -> Vec<Value> {
        let columns = self.columns(x) / parts;
        self.push(Split { parts, columns }, vec![x]);
        self.nodes.last().map(|node| node.writes.clone()).unwrap_or_default()
    }

    /// Orthonormal rows that span the same space as the rows of x, for each run.
    ///
    /// # Panics
    /// If a gradient would have to pass through the op, or a run has several sequences.
    pub fn orthonormal(&mut self, x: Value) -> Value {
        assert!(!self.needed[x.0], "no gradient passes through orthonormal rows");
        assert_eq!(self.shape.sequences, 1, "the rows of a run become orthonormal together, as one sequence");
        self.push(Orthonormal { rows: self.shape.tokens, width: self.columns(x) }, vec![x])
    }

    /// The rectifier max(x, 0).
    pub fn relu(&mut self, x: Value) -> Value {
        self.push(Relu { columns: self.columns(x) }, vec![x])
    }

    /// The sum a + b.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.push(Add { columns: self.columns(a) }, vec![a, b])
    }

    /// An input with a row of `columns` columns for each token. Repeated calls return the same value.
    pub fn input(&mut self, name: InputName, columns: usize) -> Value {
        let kind = Type { dtype: name.dtype(), rows: Rows::Token, columns };
        if let Some((_, value)) = self.inputs.iter().find(|(known, _)| *known == name) {
            assert_eq!(self.types[value.0], kind, "{name:?} is read in two shapes");
            return *value;
        }
        let value = self.value(kind, false);
        self.inputs.push((name, value));
        value
    }

    /// The step's feature rows, (N, columns).
    pub fn features(&mut self, columns: usize) -> Value {
        self.input(InputName::Features, columns)
    }

    /// Compiles the recorded model.
    pub fn compile(self, purpose: Purpose) -> Plan {
        Plan::new(self.record(purpose))
    }

    /// Compiles to a plan in which every value has a buffer of its own: more memory, the same bits. For tests of the reuse.
    pub fn compile_without_reuse(self, purpose: Purpose) -> Plan {
        Plan::without_reuse(self.record(purpose))
    }

    /// Columns of a value.
    pub fn columns(&self, value: Value) -> usize {
        self.types[value.0].columns
    }

    fn value(&mut self, kind: Type, needed: bool) -> Value {
        self.types.push(kind);
        self.needed.push(needed);
        Value(self.types.len() - 1)
    }

    /// Records an op. The values that it reads must be distinct, since each one's gradient is written to a buffer of its own.
    fn push(&mut self, op: impl Into<Op>, reads: Vec<Value>) -> Value {
        let op = op.into();
        let twice = (1..reads.len()).any(|i| reads[..i].contains(&reads[i]));
        assert!(!twice, "{} reads one value twice; an op takes different values", op.name());
        let needed = op.trains() || reads.iter().any(|value| self.needed[value.0]);
        let writes: Vec<Value> = op.outputs().into_iter().map(|kind| self.value(kind, needed)).collect();
        let result = writes[0];
        self.nodes.push(Node { label: self.label.clone(), op, reads, writes });
        result
    }
}
