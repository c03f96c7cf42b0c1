//! Tape: records the ops of a model, with static shapes, derives the backward pass and compiles both passes into a [`Plan`].

use std::ops::Range;

use loralab_cpu::Store;

use crate::graph::{
    memory::{Group, InputName, Parameter, Rows, Site, Span, Type, Value, Weight},
    ops::{
        Add, Attention, CrossEntropy, Dispatch, Embedding, Linear, LinearCrossEntropy, LoraLinear, Mse, Node, Op,
        Orthonormal, Pass, Relu, Reverse, RmsNorm, Rope, Swiglu,
    },
    plan::{Optimizer, Plan, Preconditioner, Shape, Update},
    recompute::recompute,
    recording::{Recording, Results},
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
    /// Only the forward pass; the model's output is kept.
    Predict,
    /// The forward pass up to the last observed value. Nothing is trained.
    Observe,
    /// The same, then the moments of every observed value x, stored as *gradients*: Σ w x xᵀ, (I, I), and Σ w x / 2, (1, I), with 2 w = 1/rows
    /// for rows that count. Nothing is trained: the moments are sums over rows like the gradients of weights, and the same kernels compute them.
    Moments,
}

/// Tokens of a vocabulary whose logits exist at a time, if there are more: wide enough for full matrix-product speed, no wider than other activations.
pub const CHUNK: usize = 2048;

/// Records a forward pass.
pub struct Tape {
    shape: Shape,
    nodes: Vec<Node>,
    types: Vec<Type>,
    needed: Vec<bool>,
    parameters: Vec<Parameter>,
    sites: Vec<Site>,
    tables: Vec<Vec<f64>>,
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
            tables: Vec::new(),
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

    /// Whether the backward pass computes the values of each layer again instead of keeping them (gradient checkpointing): less memory, more time, the same
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
    pub fn site(&mut self, module: &str, [inputs, outputs]: [usize; 2], rank: usize) -> [Span; 2] {
        let nowhere = Span { offset: 0, len: 0 };
        let mut site = Site { module: module.to_owned(), inputs, outputs, rank, a: nowhere, b: nowhere };
        let ([a, b], [of_a, of_b]) = (site.names(), site.shapes());
        (site.a, site.b) = (self.parameter(a, of_a, Group::A), self.parameter(b, of_b, Group::B));
        let factors = site.factors();
        self.sites.push(site);
        factors
    }

    /// Adds a table computed on the host and returns its index.
    pub fn table(&mut self, table: Vec<f64>) -> usize {
        self.tables.push(table);
        self.tables.len() - 1
    }

    /// Embeds the step's tokens: rows of `table`, (V, width).
    pub fn embedding(&mut self, table: Weight, width: usize) -> Value {
        let tokens = self.input(InputName::Tokens, 1);
        self.push(Embedding { width, table }, vec![tokens])
    }

    /// The linear map x Wᵀ; W is (outputs, columns of x).
    pub fn linear(&mut self, x: Value, weight: Weight, outputs: usize) -> Value {
        let inputs = self.columns(x);
        self.push(Linear { inputs, outputs, weight }, vec![x])
    }

    /// A linear map with an adapter, x Wᵀ + s (x Aᵀ) Bᵀ. Declares A, (R, I), and B, (O, R), as parameters named after `module`.
    pub fn lora_linear(&mut self, x: Value, weight: Weight, outputs: usize, rank: usize, module: &str) -> Value {
        let inputs = self.columns(x);
        let [a, b] = self.site(module, [inputs, outputs], rank);
        self.push(LoraLinear { inputs, outputs, rank, weight, a, b, frozen_pair: self.frozen_pairs }, vec![x])
    }

    /// RMSNorm: x · w / √(mean(x²) + ε).
    pub fn rms_norm(&mut self, x: Value, weight: Weight, epsilon: f64) -> Value {
        self.push(RmsNorm { width: self.columns(x), epsilon, weight }, vec![x])
    }

    /// Rotary position embedding: rotates the halves of each head by position; `table` is the index of the cosines, followed by the sines.
    pub fn rope(&mut self, x: Value, head_size: usize, table: usize) -> Value {
        let heads = self.columns(x) / head_size;
        self.push(Rope { tokens: self.shape.tokens, heads, head_size, table }, vec![x])
    }

    /// Causal attention within each sequence.
    pub fn attention(&mut self, q: Value, k: Value, v: Value, head_size: usize) -> Value {
        let (heads, kv_heads) = (self.columns(q) / head_size, self.columns(k) / head_size);
        self.push(Attention { tokens: self.shape.tokens, heads, kv_heads, head_size }, vec![q, k, v])
    }

    /// SwiGLU: gate · sigmoid(gate) · up.
    pub fn swiglu(&mut self, gate: Value, up: Value) -> Value {
        self.push(Swiglu { columns: self.columns(gate) }, vec![gate, up])
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

    /// Ends the model with the cross-entropy of `logits` against the step's targets.
    pub fn cross_entropy(&mut self, logits: Value) {
        let [targets, weights] = [InputName::Targets, InputName::Weights].map(|name| self.input(name, 1));
        let loss = self.push(CrossEntropy { vocabulary: self.columns(logits) }, vec![logits, targets, weights]);
        let correct = self.nodes.last().map(|node| node.writes[2]);
        self.results = Results { prediction: Some(logits), loss: Some(loss), correct };
    }

    /// Ends a language model: the logits of x over the output matrix `weight`, (vocabulary, columns of x), and their cross-entropy against the step's
    /// targets.
    ///
    /// A vocabulary of at most [`CHUNK`] tokens has its logits kept as a value, since they are no wider than other activations and computing them again in
    /// the backward pass would cost a product more. Of a larger one, only a chunk of the logits exists at a time; plans that keep the model's output
    /// compute all of them beside the loss.
    pub fn head(&mut self, x: Value, weight: Weight, vocabulary: usize) {
        if vocabulary <= CHUNK {
            let logits = self.linear(x, weight, vocabulary);
            self.cross_entropy(logits);
        } else {
            self.linear_cross_entropy(x, weight, vocabulary, CHUNK, None);
        }
    }

    /// Ends the model with the cross-entropy of the logits x Wᵀ against the step's targets, `chunk` tokens of the vocabulary at a time. With a cap c the
    /// logits are c · tanh(x Wᵀ / c).
    pub fn linear_cross_entropy(
        &mut self,
        x: Value,
        weight: Weight,
        vocabulary: usize,
        chunk: usize,
        cap: Option<f64>,
    ) {
        let [targets, weights] = [InputName::Targets, InputName::Weights].map(|name| self.input(name, 1));
        let op = LinearCrossEntropy { width: self.columns(x), vocabulary, chunk, weight, cap };
        let loss = self.push(op, vec![x, targets, weights]);
        let correct = self.nodes.last().map(|node| node.writes[2]);
        self.results = Results { prediction: None, loss: Some(loss), correct };
    }

    /// Ends the model with the squared error of `prediction` against the step's expected rows.
    pub fn mse(&mut self, prediction: Value) {
        let outputs = self.columns(prediction);
        let (expected, weights) = (self.input(InputName::Expected, outputs), self.input(InputName::Weights, 1));
        let loss = self.push(Mse { outputs }, vec![prediction, expected, weights]);
        self.results = Results { prediction: Some(prediction), loss: Some(loss), correct: None };
    }

    /// Compiles the recorded model.
    pub fn compile(self, purpose: Purpose) -> Plan {
        Plan::new(self.record(purpose))
    }

    /// Compiles to a plan in which every value has a buffer of its own: more memory, the same bits. For tests of the reuse.
    pub fn compile_without_reuse(self, purpose: Purpose) -> Plan {
        Plan::without_reuse(self.record(purpose))
    }

    /// Both passes as dispatches over values that have no memory yet.
    fn record(mut self, purpose: Purpose) -> Recording {
        if matches!(purpose, Purpose::Observe | Purpose::Moments) {
            self.end_at_observed();
        }
        let observed: Vec<Value> = match purpose {
            Purpose::Train(_) | Purpose::Probe => {
                let adapters = self.nodes.iter().filter(|node| matches!(node.op, Op::LoraLinear(_)));
                adapters.map(|node| node.writes[1]).collect()
            }
            Purpose::Observe => self.observed.iter().map(|(_, x)| *x).collect(),
            Purpose::Evaluate | Purpose::Predict | Purpose::Moments => vec![],
        };
        match purpose {
            Purpose::Probe | Purpose::Predict => self.keep_output(),
            _ => self.results.prediction = None,
        }
        let moments = if purpose == Purpose::Moments { self.moments() } else { vec![] };
        let mut forward: Vec<Dispatch<Value>> = self.nodes.iter().map(Dispatch::forward).collect();
        let (mut backward, types) = match purpose {
            Purpose::Train(_) | Purpose::Probe => self.reverse(),
            Purpose::Evaluate | Purpose::Predict | Purpose::Observe | Purpose::Moments => (moments, self.types.clone()),
        };
        let updates = match purpose {
            Purpose::Train(optimizer) => {
                let precondition = self.preconditioner.map(Update::Precondition);
                let updates = [Some(Update::Finite), Some(Update::Clip), precondition, Some(Update::Step(optimizer))];
                updates.into_iter().flatten().collect()
            }
            _ => vec![],
        };
        for dispatch in forward.iter_mut().chain(&mut backward) {
            dispatch.types = dispatch.uses().map(|value| types[value.0]).collect();
        }
        let read = |value: &Value| forward.iter().chain(&backward).any(|dispatch| dispatch.reads.contains(value));
        self.inputs.retain(|(_, value)| read(value));
        Recording {
            shape: self.shape,
            forward,
            backward,
            updates,
            types,
            inputs: self.inputs,
            results: self.results,
            observed,
            parameters: self.parameters,
            sites: self.sites,
            frozen_pairs: self.frozen_pairs,
            tables: self.tables,
        }
    }

    /// The backward pass, and the types of all values.
    fn reverse(&self) -> (Vec<Dispatch<Value>>, Vec<Type>) {
        let (backward, mut types) = Reverse::pass(&self.nodes, self.types.clone(), self.needed.clone());
        let layers: Vec<Range<usize>> = match self.recomputes {
            true => self.layers.windows(2).map(|marks| marks[0]..marks[1]).collect(),
            false => vec![],
        };
        let kept: Vec<Value> = self.results.iter().collect();
        let backward = recompute(&self.nodes, &layers, &kept, backward, &mut types);
        (backward, types)
    }

    /// Records the logits of a head that computes them in chunks.
    fn keep_output(&mut self) {
        let head = self.nodes.iter().rev().find_map(|node| match &node.op {
            Op::LinearCrossEntropy(head) => Some((Linear::from(head), node.reads[0])),
            _ => None,
        });
        if let (None, Some((linear, x))) = (self.results.prediction, head) {
            self.results.prediction = Some(self.push(linear, vec![x]));
        }
    }

    /// Removes the ops after the last observed value: the rest of the model and its loss.
    fn end_at_observed(&mut self) {
        let writes = |node: &Node| node.writes.iter().any(|value| self.observed.iter().any(|(_, x)| x == value));
        self.nodes.truncate(self.nodes.iter().rposition(writes).map_or(0, |last| last + 1));
        self.inputs.retain(|(name, _)| *name != InputName::Expected);
        self.results = Results::default();
    }

    /// The dispatches that compute the moments of the observed values; declares the parameters whose gradients these are.
    ///
    /// A row that does not count is removed by the squared error's gradient, 2 w (x − 0), which is exactly 0 if w is. The target of that error is
    /// an input, as wide as the widest observed value, which the step has to fill with zeros.
    fn moments(&mut self) -> Vec<Dispatch<Value>> {
        let observed = std::mem::take(&mut self.observed);
        let widest = observed.iter().map(|(_, x)| self.columns(*x)).max().unwrap_or(1);
        let (zeros, weights) = (self.input(InputName::Expected, widest), self.input(InputName::Weights, 1));
        let mut dispatches = Vec::new();
        for (modules, x) in observed {
            let module = &modules[0];
            let columns = self.columns(x);
            let counted = self.value(Type::floats(columns), false);
            let mut second = |name: String, outputs: usize| {
                let weight = Weight::Trained(self.parameter(name, [outputs, columns], Group::Matrix));
                Linear { inputs: columns, outputs, weight }
            };
            let gram = second(format!("{module}.second_moment"), columns);
            let mean = second(format!("{module}.half_mean"), 1);
            for (op, pass, reads, writes) in [
                (
                    Op::from(Mse { outputs: columns }),
                    Pass::BackwardInput,
                    vec![x, zeros, weights],
                    vec![(counted, Store::Set)],
                ),
                (Op::from(gram), Pass::BackwardWeight, vec![x, counted], vec![]),
                (Op::from(mean), Pass::BackwardWeight, vec![x, weights], vec![]),
            ] {
                dispatches.push(Dispatch { label: module.clone(), op, pass, reads, writes, types: vec![] });
            }
        }
        dispatches
    }

    fn columns(&self, value: Value) -> usize {
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
