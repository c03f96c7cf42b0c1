//! The recorder: lets a family record its model once, whatever of it is trained.

use super::Base;
use crate::graph::{
    memory::{Group, Value, Weight},
    tape::Tape,
};

/// Which modules get adapters, and of which rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    /// R.
    pub rank: usize,
    /// Ends of modules' names, such as `q_proj`.
    pub target_modules: Vec<String>,
}

impl Adapters {
    /// Whether a module of this full name is meant: a target is the whole name or what follows a dot in it, PEFT's rule.
    pub fn target(&self, module: &str) -> bool {
        let is_end = |target: &String| {
            module.strip_suffix(target.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.target_modules.iter().any(is_end)
    }
}

/// What of a model is trained.
#[derive(Clone, Copy, Debug)]
pub enum Training<'a> {
    /// LoRA adapters beside the frozen weights of a base.
    Adapters(&'a Base, &'a Adapters),
    /// Nothing: the base alone, with the inputs of these modules, by their full names, observed.
    Observed(&'a Base, &'a [String]),
    /// Every weight (pretraining).
    Everything,
}

/// A tape, with the weights and linear maps of a model as its training wants them.
pub(super) struct Recorder<'a> {
    pub tape: &'a mut Tape,
    training: Training<'a>,
}

impl<'a> Recorder<'a> {
    /// Records on `tape`.
    pub fn new(tape: &'a mut Tape, training: Training<'a>) -> Self {
        Recorder { tape, training }
    }

    /// A tensor of the model, of so many rows and columns.
    pub fn weight(&mut self, name: &str, shape: [usize; 2], group: Group) -> Weight {
        match self.training {
            Training::Adapters(base, _) | Training::Observed(base, _) => Weight::Frozen(base.index(name)),
            Training::Everything => Weight::Trained(self.tape.parameter(name, shape, group)),
        }
    }

    /// x Wᵀ of the module `name`, with an adapter or observed if it is meant to be.
    pub fn linear(&mut self, x: Value, name: &str, [inputs, outputs]: [usize; 2]) -> Value {
        let weight = self.weight(&format!("{name}.weight"), [outputs, inputs], Group::Matrix);
        self.tape.label(name.trim_start_matches("model."));
        match self.training {
            Training::Adapters(_, adapters) if adapters.target(name) => {
                self.tape.lora_linear(x, weight, outputs, adapters.rank, name)
            }
            Training::Observed(_, modules) if modules.iter().any(|module| module == name) => {
                self.tape.observe(x, name);
                self.tape.linear(x, weight, outputs)
            }
            _ => self.tape.linear(x, weight, outputs),
        }
    }
}
