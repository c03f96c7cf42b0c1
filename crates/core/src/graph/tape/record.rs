//! The recorded model as dispatches: the forward pass, and what the purpose of the plan asks for after it.

use std::{collections::HashSet, ops::Range};

use super::{Purpose, Tape};
use crate::graph::{
    memory::{Group, InputName, Type, Value},
    ops::{Dispatch, Moments, Node, Op, Pass, Reverse},
    plan::Update,
    recompute::recompute,
    recording::{Recording, Results},
};

impl Tape {
    /// Both passes as dispatches over values that have no memory yet.
    pub(super) fn record(mut self, purpose: Purpose) -> Recording {
        self.keep_only_asked(purpose);
        let observed: Vec<Value> = match purpose {
            Purpose::Train(_) | Purpose::Probe => {
                let adapters = self.nodes.iter().filter(|node| matches!(node.op, Op::LoraLinear(_)));
                adapters.map(|node| node.writes[1]).collect()
            }
            Purpose::Observe => self.observed.iter().map(|(_, x)| *x).collect(),
            Purpose::Evaluate | Purpose::Predict | Purpose::Prefill | Purpose::Moments(_) => vec![],
        };
        let moments = if let Purpose::Moments(codes) = purpose { self.moments(codes) } else { vec![] };
        let mut forward: Vec<Dispatch<Value>> = self.nodes.iter().map(Dispatch::forward).collect();
        let (mut backward, types) = match purpose {
            Purpose::Train(_) | Purpose::Probe => self.reverse(),
            _ => (moments, self.types.clone()),
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
            head: self.head,
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

    /// Removes the results that nobody asked for, and the ops that only they need.
    fn keep_only_asked(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Probe | Purpose::Predict => self.keep_output(),
            _ => self.results.prediction = None,
        }
        let asked: Vec<Value> = match purpose {
            Purpose::Train(_) | Purpose::Probe | Purpose::Evaluate => return,
            Purpose::Predict => self.results.prediction.into_iter().collect(),
            Purpose::Prefill => {
                (0..self.types.len()).filter(|&value| self.types[value].is_cached()).map(Value).collect()
            }
            Purpose::Observe | Purpose::Moments(_) => self.observed.iter().map(|(_, x)| *x).collect(),
        };
        self.results = Results { prediction: self.results.prediction, ..Results::default() };
        let mut needed: HashSet<Value> = asked.into_iter().collect();
        let mut kept: Vec<Node> = vec![];
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.writes.iter().any(|value| needed.contains(value)) {
                needed.extend(&node.reads);
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
    }

    /// The dispatches that compute the moments of the observed values; declares the parameters whose gradients these are.
    fn moments(&mut self, codes: Option<usize>) -> Vec<Dispatch<Value>> {
        let weights = self.input(InputName::Weights, 1);
        let code = codes.map(|columns| (self.input(InputName::Codes, columns), columns));
        let observed = std::mem::take(&mut self.observed);
        let moments = observed.into_iter().map(|(mut modules, x)| {
            let (label, inputs) = (modules.swap_remove(0), self.columns(x));
            let (code, codes) = code.unwrap_or((x, inputs));
            let sums = self.parameter(format!("{label}.moments"), [codes + 1, inputs], Group::Matrix);
            let op = Moments { codes, inputs, sums }.into();
            Dispatch { label, op, pass: Pass::Forward, reads: vec![code, x, weights], writes: vec![], types: vec![] }
        });
        moments.collect()
    }
}
