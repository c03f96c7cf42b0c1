//! The reverse pass: derives the backward dispatches from the loss to all trained tensors.

use loralab_cpu::Store;

use super::{Add, Dispatch, Op, Pass};
use crate::graph::memory::{Type, Value};

/// One op of a recorded forward pass.
#[derive(Clone, Debug)]
pub struct Node {
    /// The part of the model that it belongs to.
    pub label: String,
    /// The op.
    pub op: Op,
    /// Values that it reads.
    pub reads: Vec<Value>,
    /// Values that it writes: the result, then the values that its backward pass needs.
    pub writes: Vec<Value>,
}

/// The state of a reverse pass: the gradients that exist, and the dispatches that compute them.
///
/// A value that several ops read accumulates its gradient in one buffer: the first contribution overwrites, later ones add. The two inputs
/// of an `add` share its result's gradient until one of them gets another contribution; it is copied only if the other is still to be read.
pub struct Reverse {
    types: Vec<Type>,
    needed: Vec<bool>,
    producer: Vec<usize>,
    gradients: Vec<Option<Value>>,
    node: usize,
    label: String,
    dispatches: Vec<(usize, Dispatch<Value>)>,
}

impl Reverse {
    /// Reverses `nodes`, the last of which must be a loss. `types` has the type of every value, `needed` is true for values whose gradients are needed.
    ///
    /// Returns the backward dispatches, each with the index of its node, and the types of all values, including the new ones.
    pub fn pass(nodes: &[Node], types: Vec<Type>, needed: Vec<bool>) -> (Vec<(usize, Dispatch<Value>)>, Vec<Type>) {
        let mut producer = vec![usize::MAX; types.len()];
        for (index, node) in nodes.iter().enumerate() {
            for value in &node.writes {
                producer[value.0] = index;
            }
        }
        let gradients = vec![None; types.len()];
        let mut reverse =
            Reverse { types, needed, producer, gradients, node: 0, label: String::new(), dispatches: Vec::new() };
        for (index, node) in nodes.iter().enumerate().rev() {
            reverse.node = index;
            reverse.label.clone_from(&node.label);
            node.op.backward(node, &mut reverse);
        }
        (reverse.dispatches, reverse.types)
    }

    /// The gradient of a node's result; `None` if no trained tensor needs it.
    pub fn gradient(&self, value: Value) -> Option<Value> {
        self.gradients[value.0]
    }

    /// The destination for a contribution of the current node to the gradient of `value`; `None` if that gradient is not needed.
    pub fn contribute(&mut self, value: Value) -> Option<(Value, Store)> {
        if !self.needed[value.0] {
            return None;
        }
        let Some(gradient) = self.gradients[value.0] else {
            let fresh = self.value(self.types[value.0]);
            self.gradients[value.0] = Some(fresh);
            return Some((fresh, Store::Set));
        };
        let still_read = (0..self.producer.len()).any(|other| {
            other != value.0
                && self.gradients[other] == Some(gradient)
                && self.producer[other] != usize::MAX
                && self.producer[other] <= self.node
        });
        if !still_read {
            return Some((gradient, Store::Add));
        }
        let copy = self.value(self.types[value.0]);
        let columns = self.types[value.0].columns;
        self.dispatch(Add { columns }, Pass::BackwardInput, vec![gradient], vec![(copy, Store::Set)]);
        self.gradients[value.0] = Some(copy);
        Some((copy, Store::Add))
    }

    /// Lets `value` share `gradient` if it has none yet. Returns false if it already has one; true if it now shares, or needs no gradient.
    pub fn share(&mut self, value: Value, gradient: Value) -> bool {
        if !self.needed[value.0] {
            return true;
        }
        let free = self.gradients[value.0].is_none();
        if free {
            self.gradients[value.0] = Some(gradient);
        }
        free
    }

    /// A new f32 value with `columns` columns and one row per token.
    pub fn scratch(&mut self, columns: usize) -> Value {
        self.value(Type::floats(columns))
    }

    fn value(&mut self, kind: Type) -> Value {
        self.types.push(kind);
        Value(self.types.len() - 1)
    }

    /// Appends a dispatch of the current node.
    pub fn dispatch(&mut self, op: impl Into<Op>, pass: Pass, reads: Vec<Value>, writes: Vec<(Value, Store)>) {
        let (label, types) = (self.label.clone(), vec![]);
        self.dispatches.push((self.node, Dispatch { label, op: op.into(), pass, reads, writes, types }));
    }
}
