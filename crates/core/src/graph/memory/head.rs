//! Heads: tensors that are trained whole beside the adapters, such as a classifier's.

use std::sync::Arc;

use loralab_linalg::{Law, Stream};

use super::Span;

/// A tensor that is trained whole, from values of its own. It is one of a plan's trained tensors, and belongs to no adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadTensor {
    /// Hugging Face name, e.g. `classifier.weight`.
    pub name: String,
    /// Rows and columns; a bias is (1, columns).
    pub shape: [usize; 2],
    /// Its place in the run's flat buffers.
    pub span: Span,
    /// Its values before the first step.
    pub begin: Begin,
}

/// The values of a head's tensor before the first step.
#[derive(Clone, Debug, PartialEq)]
pub enum Begin {
    /// Random ones, drawn from the run's seed and the tensor's name: runs of one seed begin alike.
    Drawn(Law),
    /// Those of a checkpoint.
    Given(Arc<[f32]>),
}

impl HeadTensor {
    /// Its values before the first step of a run with this seed.
    pub fn values(&self, seed: u64) -> Vec<f32> {
        match &self.begin {
            Begin::Given(values) => values.to_vec(),
            Begin::Drawn(law) => {
                let mut values = vec![0.0; self.span.len];
                law.fill(&self.stream(seed), &mut values);
                values
            }
        }
    }

    /// The random numbers of a run with this seed.
    pub fn stream(&self, seed: u64) -> Stream {
        Stream::new(seed, &self.name)
    }
}
