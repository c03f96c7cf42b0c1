//! Recording: a model with its gradient as a list of dispatches over values that have no memory yet.

use crate::graph::{
    memory::{Buffer, InputName, Parameter, Shape, Site, Type, Value},
    ops::Dispatch,
    update::Update,
};

/// What a step leaves for the host to read; none where the model has no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results<V = Buffer> {
    /// What the model says, before the loss: logits or a regression's prediction. Kept by plans that probe or predict.
    pub prediction: Option<V>,
    /// Row losses, already weighted, (N, 1).
    pub loss: Option<V>,
    /// 1 where the row's largest logit is the target's, (N, 1).
    pub correct: Option<V>,
}

impl<V> Default for Results<V> {
    fn default() -> Self {
        Results { prediction: None, loss: None, correct: None }
    }
}

impl<V: Copy> Results<V> {
    /// Those there are.
    pub fn iter(&self) -> impl Iterator<Item = V> + use<V> {
        [self.loss, self.correct, self.prediction].into_iter().flatten()
    }
}

/// A model with its gradient, before its values have memory.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Shapes.
    pub shape: Shape,
    /// The loss of every row.
    pub forward: Vec<Dispatch<Value>>,
    /// The gradient of everything trained.
    pub backward: Vec<Dispatch<Value>>,
    /// What follows once a run's gradient is complete.
    pub updates: Vec<Update>,
    /// The type of every value.
    pub types: Vec<Type>,
    /// What the host gives.
    pub inputs: Vec<(InputName, Value)>,
    /// What the host reads.
    pub results: Results<Value>,
    /// What a probe reads when the forward pass is over.
    pub observed: Vec<Value>,
    /// The trained tensors.
    pub parameters: Vec<Parameter>,
    /// The adapters among them.
    pub sites: Vec<Site>,
    /// Whether every adapter has a frozen second pair.
    pub frozen_pairs: bool,
    /// Host-made tables.
    pub tables: Vec<Vec<f64>>,
}
