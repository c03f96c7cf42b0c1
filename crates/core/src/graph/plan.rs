//! Plan: the flat list of dispatches that a training step replays.
//!
//! A plan is made once, from static shapes. Making it decides which buffer holds which value: a buffer is handed on as soon as its value was
//! read for the last time, and always as a whole, so no dispatch ever sees one buffer twice with different access (WebGPU forbids it).

use std::fmt;

use loralab_cpu::Store;

use crate::graph::{
    memory::{Group, Parameter, Site, Tensor, Value, Weight},
    ops::{Dispatch, Linear, Op, Orthonormal, Pass},
};

/// How the trained buffer moves along its gradient; settings shared by a cohort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), as PyTorch computes it.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to √v̂.
        epsilon: f64,
    },
    /// Stochastic gradient descent with momentum, as PyTorch computes it.
    Sgd {
        /// Share of the old velocity that is kept.
        momentum: f64,
    },
    /// A step of ±learning rate for each element, the idealised Adam of the paper's theory.
    SignSgd,
}

/// What the gradients of both factors of an adapter are multiplied by before the optimiser sees them: the inverse of the other factor's own product, so that a
/// step changes B A by the same whether A is large and B small or the reverse. Zhang and Pilanci 2024, Riemannian Preconditioned LoRA, arXiv 2402.02347:
/// dA ← (BᵀB + ε I)⁻¹ dA, dB ← dB (AAᵀ + ε I)⁻¹, both of the factors before the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditioner {
    /// With ε = 10⁻², as PEFT has it.
    Riemannian,
    /// With ε = 10⁻⁶ and each inverse over its Frobenius norm: NoRA+ (Li et al. 2024, arXiv 2410.18965, as in its code). Where a factor is zero the other's
    /// gradient is left as it is, as the source does at its first step; directions in which a factor is exactly zero do not count in the norm, so that
    /// padding changes nothing, which is ours.
    NoraPlus,
}

impl Optimizer {
    /// Moments that it keeps of every trained number.
    pub fn moments(self) -> usize {
        match self {
            Optimizer::AdamW { .. } => 2,
            Optimizer::Sgd { .. } => 1,
            Optimizer::SignSgd => 0,
        }
    }
}

impl Preconditioner {
    /// ε.
    pub fn epsilon(self) -> f64 {
        match self {
            Preconditioner::Riemannian => 1e-2,
            Preconditioner::NoraPlus => 1e-6,
        }
    }

    /// Whether an inverse is divided by its norm.
    pub fn is_unit(self) -> bool {
        self == Preconditioner::NoraPlus
    }
}

/// One dispatch over the flat buffers of all runs, after the gradients are complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Finds the first non-finite gradient of each run; from then on the run is *diverged* and its row of every update is skipped.
    Finite,
    /// Scales each run's gradient to its largest allowed global norm.
    Clip,
    /// Multiplies the gradients of each run's adapters; what else is trained keeps its own.
    Precondition(Preconditioner),
    /// Moves each run's trained buffer by its own learning rate.
    Step(Optimizer),
}

impl Update {
    /// The word for this op in shaders, host, CPU kernels and tests.
    pub fn name(&self) -> &'static str {
        match self {
            Update::Finite => "finite",
            Update::Clip => "clip",
            Update::Precondition(_) => "precondition",
            Update::Step(Optimizer::AdamW { .. }) => "adamw",
            Update::Step(Optimizer::Sgd { .. }) => "sgd",
            Update::Step(Optimizer::SignSgd) => "sign_sgd",
        }
    }
}

/// Where a step finds its inputs and leaves its results; none where the model has no such value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Whether it reads token ids, (N).
    pub tokens: bool,
    /// Whether it compares with expected token ids, (N).
    pub targets: bool,
    /// Row weights of the loss, (N, 1).
    pub weights: Option<Value>,
    /// Feature rows going in, (N, columns): models that do not read tokens.
    pub features: Option<Value>,
    /// Feature rows expected, (N, columns).
    pub expected: Option<Value>,
    /// What the model says, before the loss: logits or a regression's prediction.
    pub prediction: Option<Value>,
    /// Row losses, already weighted, (N, 1).
    pub loss: Option<Value>,
    /// 1 where the row's largest logit is the target's, (N, 1).
    pub correct: Option<Value>,
}

/// Shapes that a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// K.
    pub runs: usize,
    /// B of each run.
    pub sequences: usize,
    /// T.
    pub tokens: usize,
}

impl Shape {
    /// Rows of one run, B·T.
    pub fn rows_per_run(&self) -> usize {
        self.sequences * self.tokens
    }
}

/// A compiled model: everything a device needs to build its buffers once and replay the step.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Shapes.
    pub shape: Shape,
    /// The loss of every row.
    pub forward: Vec<Dispatch>,
    /// The gradient of everything trained.
    pub backward: Vec<Dispatch>,
    /// What follows once a run's gradient is complete.
    pub updates: Vec<Update>,
    /// Columns of every row buffer.
    pub buffers: Vec<usize>,
    /// Inputs and results among the row buffers.
    pub ports: Ports,
    /// What a probe reads when the forward pass is over, each with its columns: x Aᵀ of every adapter, in the order of the parameters, where adapters are
    /// trained or probed; what a tape observes; what a range finder finds.
    pub observed: Vec<(Value, usize)>,
    /// The trained tensors, in the order they lie in the flat buffers.
    pub parameters: Vec<Parameter>,
    /// The adapters, whose factors are among the trained tensors; what else is trained is no part of one.
    pub sites: Vec<Site>,
    /// Whether every adapter has a frozen second pair.
    pub frozen_pairs: bool,
    /// Host-made tables, e.g. the cosines and sines of `rope`.
    pub tables: Vec<Vec<f64>>,
}

impl Plan {
    /// The randomised decomposition of W, (O, I), as far as it is large: Halko, Martinsson and Tropp 2011, arXiv 0909.4061, algorithms 4.4 and 5.1. From rows
    /// of features Ωᵀ, (k, I), that were drawn at random, a sketch W Ω and so many power iterations, with rows made orthonormal after every product.
    ///
    /// Observed are Qᵀ, (k, O), whose orthonormal rows nearly span the leading left singular vectors of W, and Qᵀ W, (k, I); predicted are orthonormal rows,
    /// (k, I), with the span of the latter. A weight that is not frozen is all that the plan trains.
    pub fn range(weight: Weight, [outputs, inputs]: [usize; 2], rows: usize, iterations: usize) -> Plan {
        let linear = Linear { inputs, outputs, weight };
        let orthonormal = |width| (Orthonormal { rows, width }.into(), Pass::Forward, width);
        let forth = [(Op::from(linear.clone()), Pass::Forward, outputs), orthonormal(outputs)];
        let back = [(linear.into(), Pass::BackwardInput, inputs), orthonormal(inputs)];
        let there_and_back = (0..=iterations).flat_map(|_| forth.iter().chain(&back)).cloned();
        let mut plan = Plan::chain(there_and_back, inputs, rows, 2);
        if let Weight::Trained(span) = weight {
            let name = "weight".to_owned();
            plan.parameters.push(Parameter { name, shape: [outputs, inputs], group: Group::Matrix, span });
        }
        plan
    }

    /// A product with the frozen tensor `weight`, W: rows of features X, (N, O), are predicted to be X W, (N, I).
    pub fn transposed_product(weight: usize, [outputs, inputs]: [usize; 2], rows: usize) -> Plan {
        let linear = Linear { inputs, outputs, weight: Weight::Frozen(weight) };
        Plan::chain([(linear.into(), Pass::BackwardInput, inputs)].into_iter(), outputs, rows, 0)
    }

    /// Rows of features, (N, I), are predicted as orthonormal rows with their span.
    pub fn orthonormal(rows: usize, width: usize) -> Plan {
        Plan::chain([(Orthonormal { rows, width }.into(), Pass::Forward, width)].into_iter(), width, rows, 0)
    }

    /// Each op reads what the one before it wrote, of so many columns; the first reads features, and what some before the last wrote is observed.
    fn chain(ops: impl Iterator<Item = (Op, Pass, usize)>, features: usize, rows: usize, observed: usize) -> Plan {
        let mut columns = vec![features];
        let mut forward = vec![];
        for (op, pass, width) in ops {
            let (read, written) = (Value(columns.len() - 1), Value(columns.len()));
            columns.push(width);
            forward.push(Dispatch {
                label: "weight".to_owned(),
                op,
                pass,
                reads: vec![read],
                writes: vec![(written, Store::Set)],
                columns: columns[read.0..].to_vec(),
            });
        }
        let last = columns.len() - 1;
        let mut plan = Plan {
            shape: Shape { runs: 1, sequences: 1, tokens: rows },
            forward,
            backward: vec![],
            updates: vec![],
            buffers: vec![],
            ports: Ports { features: Some(Value(0)), prediction: Some(Value(last)), ..Ports::default() },
            observed: (last - observed..last).map(|value| (Value(value), columns[value])).collect(),
            parameters: vec![],
            sites: vec![],
            frozen_pairs: false,
            tables: vec![],
        };
        plan.assign_buffers(&columns, true);
        plan
    }

    /// Elements that one run trains.
    pub fn trained_len(&self) -> usize {
        self.parameters.last().map_or(0, |last| last.span.offset + last.span.len)
    }

    /// The rank of the adapters, which is the same for all; 0 where there are none.
    pub fn rank(&self) -> usize {
        self.sites.first().map_or(0, |site| site.rank)
    }

    /// The optimiser; none where the plan takes no steps.
    pub fn optimizer(&self) -> Option<Optimizer> {
        self.updates.iter().find_map(|update| match update {
            Update::Step(optimizer) => Some(*optimizer),
            _ => None,
        })
    }

    /// Moments that the optimiser keeps of every trained number.
    pub fn moments(&self) -> usize {
        self.optimizer().map_or(0, Optimizer::moments)
    }

    /// What gradients are multiplied by before the optimiser sees them, if anything.
    pub fn preconditioner(&self) -> Option<Preconditioner> {
        self.updates.iter().find_map(|update| match update {
            Update::Precondition(preconditioner) => Some(*preconditioner),
            _ => None,
        })
    }

    /// Gives every value of the dispatches a buffer; `columns` of each value, by index. The values of `ports` keep theirs throughout.
    pub(crate) fn assign_buffers(&mut self, columns: &[usize], keep_prediction: bool) {
        let order: Vec<&Dispatch> = self.forward.iter().chain(&self.backward).collect();
        let mut last_use = vec![0; columns.len()];
        for (time, dispatch) in order.iter().enumerate() {
            for value in dispatch.reads.iter().chain(dispatch.writes.iter().map(|(value, _)| value)) {
                last_use[value.0] = time;
            }
        }
        for (value, _) in &self.observed {
            last_use[value.0] = last_use[value.0].max(self.forward.len());
        }
        let ports = &self.ports;
        let inputs = [ports.weights, ports.features, ports.expected];
        let prediction = if keep_prediction { ports.prediction } else { None };
        let outputs = [ports.loss, ports.correct, prediction];
        let mut buffers: Vec<usize> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut home: Vec<Option<usize>> = vec![None; columns.len()];
        // What the host writes and reads has a buffer of its own, exactly as wide as the value.
        for value in inputs.iter().chain(&outputs).flatten() {
            last_use[value.0] = usize::MAX;
            home[value.0] = Some(buffers.len());
            buffers.push(columns[value.0]);
        }
        for (time, dispatch) in order.iter().enumerate() {
            for (value, _) in &dispatch.writes {
                if home[value.0].is_none() {
                    // The narrowest free buffer that is wide enough; none is ever stretched.
                    let fit = (0..free.len())
                        .filter(|&i| buffers[free[i]] >= columns[value.0])
                        .min_by_key(|&i| buffers[free[i]]);
                    home[value.0] = Some(match fit {
                        Some(i) => free.swap_remove(i),
                        None => {
                            buffers.push(columns[value.0]);
                            buffers.len() - 1
                        }
                    });
                }
            }
            let mut ended: Vec<Value> =
                dispatch.reads.iter().chain(dispatch.writes.iter().map(|(value, _)| value)).copied().collect();
            ended.sort_unstable();
            ended.dedup();
            free.extend(ended.iter().filter(|value| last_use[value.0] == time).filter_map(|value| home[value.0]));
        }

        let place = |value: &mut Value| {
            if let Some(buffer) = home[value.0] {
                *value = Value(buffer);
            }
        };
        for dispatch in self.forward.iter_mut().chain(&mut self.backward) {
            dispatch.reads.iter_mut().for_each(place);
            dispatch.writes.iter_mut().for_each(|(value, _)| place(value));
        }
        self.observed.iter_mut().for_each(|(value, _)| place(value));
        if !keep_prediction {
            self.ports.prediction = None;
        }
        let ports = &mut self.ports;
        for port in [
            &mut ports.weights,
            &mut ports.features,
            &mut ports.expected,
            &mut ports.prediction,
            &mut ports.loss,
            &mut ports.correct,
        ] {
            port.iter_mut().for_each(place);
        }
        self.buffers = buffers;
    }

    /// Multiplications and additions of one step of all runs.
    pub fn flops(&self) -> u64 {
        let dispatches = self.forward.iter().chain(&self.backward);
        let per_row: u64 = dispatches.map(|dispatch| dispatch.op.flops_per_row(dispatch.pass) as u64).sum();
        per_row * self.shape.rows_per_run() as u64 * self.shape.runs as u64
    }

    /// The plan as text, one dispatch a line; names frozen tensors from `base`.
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
        let stored: usize = base.iter().map(|tensor| tensor.data.bytes()).sum();
        writeln!(f, "frozen base: {} tensors, {stored} bytes", base.len())?;
        let pairs = if plan.frozen_pairs { ", each with a frozen second pair" } else { "" };
        let (tensors, elements) = (plan.parameters.len(), plan.trained_len());
        writeln!(f, "trained: {tensors} tensors, {elements} elements a run{pairs}")?;
        writeln!(f, "row buffers: {} of (N, columns), columns {:?}", plan.buffers.len(), plan.buffers)?;
        let dispatches = plan.forward.iter().chain(&plan.backward);
        for (index, dispatch) in dispatches.enumerate() {
            let name = format!("{}/{}", dispatch.op.name(), dispatch.pass.name());
            let reads: Vec<String> = dispatch.reads.iter().map(|value| format!("r{}", value.0)).collect();
            let writes: Vec<String> = dispatch
                .writes
                .iter()
                .map(|(value, store)| format!("{}r{}", if *store == Store::Add { "+" } else { "" }, value.0))
                .collect();
            let writes = match dispatch.pass {
                Pass::BackwardWeight | Pass::BackwardAdapter => [&writes[..], &["+gradients".to_owned()]].concat(),
                _ => writes,
            };
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
