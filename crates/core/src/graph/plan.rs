//! Plan: the flat list of dispatches that a training step replays.
//!
//! A plan is made once, from static shapes: a [`Recording`] defines what is computed, [`placement`](crate::graph::placement) in which buffers.

use std::{fmt, sync::Arc};

use loralab_cpu::Store;

pub use crate::graph::memory::Shape;
pub use crate::graph::update::{Optimizer, Preconditioner, Update};
use crate::graph::{
    memory::{Buffer, HeadTensor, Input, InputName, Parameter, Site, Tensor, Type, Value},
    ops::{Dispatch, Op, Pass},
    placement::Placement,
    recording::{Recording, Results},
};

/// A compiled model: everything a device needs to make its buffers once and replay the step.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Numbers of runs, sequences and tokens.
    pub shape: Shape,
    /// Dispatches of the forward pass, up to the loss of each row.
    pub forward: Vec<Dispatch>,
    /// Dispatches of the backward pass, which computes the gradients of all trained tensors.
    pub backward: Vec<Dispatch>,
    /// Updates that follow once a run's gradient is complete.
    pub updates: Vec<Update>,
    /// The type of each buffer: that of the widest value that it ever holds.
    pub buffers: Vec<Type>,
    /// Inputs that the host writes for a step.
    pub inputs: Vec<Input>,
    /// Results that the host reads after a step.
    pub results: Results,
    /// Values that a probe reads after the forward pass, each with its columns: x Aᵀ of every adapter, in the order of the sites, if adapters are
    /// trained or probed; the values that a tape observes; the result of a range finder.
    pub observed: Vec<(Buffer, usize)>,
    /// The trained tensors, in the order of the flat buffers.
    pub parameters: Vec<Parameter>,
    /// The adapters; their factors are among the trained tensors.
    pub sites: Vec<Site>,
    /// The tensors that are trained whole beside the adapters; they are among the trained tensors.
    pub head: Vec<HeadTensor>,
    /// True if every adapter has a frozen second pair.
    pub frozen_pairs: bool,
    /// Tables computed on the host, e.g. the cosines and sines of `rope`.
    pub tables: Vec<Vec<f64>>,
    /// The same model over more tokens per sequence, up to its last cache, for reading prompts: it has the same trained tensors, tables and caches.
    pub prefill: Option<Arc<Plan>>,
}

impl Plan {
    /// Compiles a recording; buffers are reused once their values were read for the last time.
    pub fn new(recording: Recording) -> Plan {
        let placement = Placement::reusing(&recording);
        Plan::placed(recording, &placement)
    }

    /// Compiles a recording with one buffer per value: more memory, the same bits. For tests of the reuse.
    pub fn without_reuse(recording: Recording) -> Plan {
        let placement = Placement::separate(&recording);
        Plan::placed(recording, &placement)
    }

    fn placed(recording: Recording, placement: &Placement) -> Plan {
        let place = |value| placement.buffer(value);
        let placed = |dispatches: Vec<Dispatch<Value>>| -> Vec<Dispatch> {
            dispatches.into_iter().map(|dispatch| dispatch.placed(place)).collect()
        };
        let Recording { shape, forward, backward, updates, types, inputs, results, observed, .. } = recording;
        let Recording { parameters, sites, head, frozen_pairs, tables, .. } = recording;
        let input = |(name, value): (InputName, Value)| Input { name, kind: types[value.0], buffer: place(value) };
        let Results { prediction, loss, answers } = results;
        Plan {
            shape,
            forward: placed(forward),
            backward: placed(backward),
            updates,
            buffers: placement.types.clone(),
            inputs: inputs.into_iter().map(input).collect(),
            results: Results { prediction: prediction.map(place), loss: loss.map(place), answers: answers.map(place) },
            observed: observed.into_iter().map(|value| (place(value), types[value.0].columns)).collect(),
            parameters,
            sites,
            head,
            frozen_pairs,
            tables,
            prefill: None,
        }
    }

    /// A plan of one run in which each op reads the result of the one before it; `ops` gives each op, its pass and its result's columns. The first op reads
    /// `rows` rows of `features` columns, the last one's result is the prediction, and the results of the `observed` ops before it are observed.
    pub fn chain(
        ops: impl Iterator<Item = (Op, Pass, usize)>,
        features: usize,
        rows: usize,
        observed: usize,
        parameters: Vec<Parameter>,
    ) -> Plan {
        let mut types = vec![Type::floats(features)];
        let mut forward = vec![];
        for (op, pass, width) in ops {
            let (read, written) = (Value(types.len() - 1), Value(types.len()));
            types.push(Type::floats(width));
            forward.push(Dispatch {
                label: "weight".to_owned(),
                op,
                pass,
                reads: vec![read],
                writes: vec![(written, Store::Set)],
                types: types[read.0..].to_vec(),
            });
        }
        let last = types.len() - 1;
        Plan::new(Recording {
            shape: Shape { runs: 1, sequences: 1, tokens: rows },
            forward,
            backward: vec![],
            updates: vec![],
            types,
            inputs: vec![(InputName::Features, Value(0))],
            results: Results { prediction: Some(Value(last)), ..Results::default() },
            observed: (last - observed..last).map(Value).collect(),
            parameters,
            sites: vec![],
            head: vec![],
            frozen_pairs: false,
            tables: vec![],
        })
    }

    /// The input of that name; `None` if no op reads it.
    pub fn input(&self, name: InputName) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// Columns of the model's output; 0 if the plan does not keep it.
    pub fn predicted_columns(&self) -> usize {
        self.results.prediction.map_or(0, |buffer| self.buffers[buffer.0].columns)
    }

    /// Columns of all buffers together that have a row for each token.
    pub fn columns(&self) -> usize {
        self.buffers.iter().filter(|kind| !kind.is_cached()).map(|kind| kind.columns).sum()
    }

    /// The buffers that are kept between calls, with their elements per run, in the order of the model.
    pub fn caches(&self) -> impl Iterator<Item = (Buffer, usize)> + '_ {
        let caches = self.buffers.iter().enumerate().filter(|(_, kind)| kind.is_cached());
        caches.map(|(index, kind)| (Buffer(index), kind.len(self.shape)))
    }

    /// Trained elements per run.
    pub fn trained_len(&self) -> usize {
        self.parameters.last().map_or(0, |last| last.span.offset + last.span.len)
    }

    /// Writes the head's first values for a run with this seed into a flat buffer of trained tensors.
    pub fn put_head(&self, seed: u64, trained: &mut [f32]) {
        for tensor in &self.head {
            trained[tensor.span.range()].copy_from_slice(&tensor.values(seed));
        }
    }

    /// The largest rank of an adapter; 0 without adapters.
    pub fn rank(&self) -> usize {
        self.sites.iter().map(|site| site.rank).max().unwrap_or(0)
    }

    /// The optimiser; `None` if the plan takes no steps.
    pub fn optimizer(&self) -> Option<Optimizer> {
        self.updates.iter().find_map(|update| match update {
            Update::Step(optimizer) => Some(*optimizer),
            _ => None,
        })
    }

    /// Number of moments that the optimiser keeps per trained element.
    pub fn moments(&self) -> usize {
        self.optimizer().map_or(0, Optimizer::moments)
    }

    /// The preconditioner of the gradients, if any.
    pub fn preconditioner(&self) -> Option<Preconditioner> {
        self.updates.iter().find_map(|update| match update {
            Update::Precondition(preconditioner) => Some(*preconditioner),
            _ => None,
        })
    }

    /// Multiplications and additions of one step of all runs.
    pub fn flops(&self) -> u64 {
        let dispatches = self.forward.iter().chain(&self.backward);
        let per_row: u64 = dispatches.map(|dispatch| dispatch.op.flops_per_row(dispatch.pass) as u64).sum();
        per_row * self.shape.rows_per_run() as u64 * self.shape.runs as u64
    }

    /// The plan as text, one dispatch per line; frozen tensors are named from `base`.
    pub fn print<'a>(&'a self, base: &'a [Tensor]) -> impl fmt::Display + 'a {
        Printed { plan: self, base }
    }
}

struct Printed<'a> {
    plan: &'a Plan,
    base: &'a [Tensor],
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Printed { plan, base } = self;
        let Shape { runs, sequences, tokens } = plan.shape;
        let rows = plan.shape.rows_per_run() * runs;
        writeln!(f, "K = {runs} runs of B = {sequences} sequences of T = {tokens} tokens: N = {rows} rows")?;
        let stored: usize = base.iter().map(Tensor::bytes).sum();
        writeln!(f, "frozen base: {} tensors, {stored} bytes", base.len())?;
        let pairs = if plan.frozen_pairs { ", each with a frozen second pair" } else { "" };
        let (tensors, elements) = (plan.parameters.len(), plan.trained_len());
        writeln!(f, "trained: {tensors} tensors, {elements} elements a run{pairs}")?;
        let columns: Vec<usize> = plan.buffers.iter().map(|kind| kind.columns).collect();
        writeln!(f, "row buffers: {} of (N, columns), columns {columns:?}", columns.len())?;
        let dispatches = plan.forward.iter().chain(&plan.backward);
        for (index, dispatch) in dispatches.enumerate() {
            let name = format!("{}/{}", dispatch.op.name(), dispatch.pass.name());
            let reads: Vec<String> = dispatch.reads.iter().map(|value| format!("r{}", value.0)).collect();
            let written = |(value, store): &(Buffer, Store)| {
                format!("{}r{}", if *store == Store::Add { "+" } else { "" }, value.0)
            };
            let writes = dispatch.writes.iter().map(written);
            let gradients = dispatch.adds_gradients().then(|| "+gradients".to_owned());
            let writes: Vec<String> = writes.chain(gradients).collect();
            let mflop = dispatch.op.flops_per_row(dispatch.pass) as f64 * rows as f64 / 1e6;
            let (reads, writes) = (reads.join(" "), writes.join(" "));
            writeln!(f, "{index:4}  {:32}  {name:30}  {mflop:9.2} MFLOP  {reads} → {writes}", dispatch.label)?;
        }
        for (index, update) in plan.updates.iter().enumerate() {
            let index = plan.forward.len() + plan.backward.len() + index;
            writeln!(f, "{index:4}  {:32}  {:30}  all runs, flat", "", update.name())?;
        }
        write!(f, "{:.3} GFLOP a step", plan.flops() as f64 / 1e9)
    }
}
