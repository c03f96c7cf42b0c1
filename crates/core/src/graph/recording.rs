//! Recording: a model and its gradient as a list of dispatches over values that have no memory yet.

use crate::graph::{
    memory::{Buffer, HeadTensor, InputName, Parameter, Shape, Site, Type, Value},
    ops::Dispatch,
    update::Update,
};

/// Results of a step that the host reads; `None` if the model has no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results<V = Buffer> {
    /// The model's output before the loss: logits or a regression's prediction. Kept by plans that probe or predict.
    pub prediction: Option<V>,
    /// Weighted row losses, (N, 1).
    pub loss: Option<V>,
    /// 1 if the row's largest logit is the target's, else 0, (N, 1); of a regression of one column its prediction.
    pub answers: Option<V>,
}

impl<V> Default for Results<V> {
    fn default() -> Self {
        Results { prediction: None, loss: None, answers: None }
    }
}

impl<V: Copy> Results<V> {
    /// Those of prediction, loss and answers that the plan has, in this order.
    pub fn iter(&self) -> impl Iterator<Item = V> + use<V> {
        [self.loss, self.answers, self.prediction].into_iter().flatten()
    }
}

/// A model and its gradient, before its values have memory.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Numbers of runs, sequences and tokens.
    pub shape: Shape,
    /// Dispatches of the forward pass, up to the loss of each row.
    pub forward: Vec<Dispatch<Value>>,
    /// Dispatches of the backward pass, which computes the gradients of all trained tensors.
    pub backward: Vec<Dispatch<Value>>,
    /// Updates that follow once a run's gradient is complete.
    pub updates: Vec<Update>,
    /// The type of each value.
    pub types: Vec<Type>,
    /// Inputs that the host writes.
    pub inputs: Vec<(InputName, Value)>,
    /// Results that the host reads.
    pub results: Results<Value>,
    /// Values that a probe reads after the forward pass.
    pub observed: Vec<Value>,
    /// The trained tensors.
    pub parameters: Vec<Parameter>,
    /// The adapters; their factors are among the trained tensors.
    pub sites: Vec<Site>,
    /// The tensors that are trained whole beside the adapters.
    pub head: Vec<HeadTensor>,
    /// True if every adapter has a frozen second pair.
    pub frozen_pairs: bool,
    /// Tables computed on the host.
    pub tables: Vec<Vec<f64>>,
}
