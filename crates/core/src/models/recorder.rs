//! The recorder: lets a family write its forward pass once, for every choice of what is trained.

use std::collections::BTreeMap;

use loralab_linalg::Law;

use super::{Base, covers};
use crate::graph::{
    memory::{Begin, Group, LowRank, Value, Weight},
    tape::Tape,
};

/// The modules that get adapters, and the adapters' ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    /// Rank R of the modules that have no rank of their own.
    pub rank: usize,
    /// Last components of modules' names, such as `q_proj`, or full names.
    pub target_modules: Vec<String>,
    /// The modules whose adapters have a rank or a scale of their own, by full name.
    pub own: BTreeMap<String, LowRank>,
}

impl Adapters {
    /// Adapters of one rank.
    pub fn new(rank: usize, target_modules: Vec<String>) -> Adapters {
        Adapters { rank, target_modules, own: BTreeMap::new() }
    }

    /// The rank and scale of the module of this full name.
    pub fn of(&self, module: &str) -> LowRank {
        self.own.get(module).copied().unwrap_or(self.rank.into())
    }

    /// The same adapters with ranks that are `times` as high.
    #[must_use]
    pub fn times(&self, times: usize) -> Adapters {
        let mut wide = Adapters { rank: times * self.rank, ..self.clone() };
        wide.own.values_mut().for_each(|own| own.rank *= times);
        wide
    }

    /// Every rank and scale that a module may have.
    pub fn low_ranks(&self) -> impl Iterator<Item = LowRank> {
        self.own.values().copied().chain([self.rank.into()])
    }

    /// The highest rank.
    pub fn highest(&self) -> usize {
        self.low_ranks().map(|own| own.rank).fold(0, usize::max)
    }

    /// True if the module of this full name is a target: a target equals the whole name or its end after a dot, as in PEFT.
    pub fn target(&self, module: &str) -> bool {
        self.target_modules.iter().any(|target| covers(target, module))
    }
}

/// The part of a model that is trained.
#[derive(Clone, Copy, Debug)]
pub enum Training<'a> {
    /// LoRA adapters; the weights of the base are frozen.
    Adapters(&'a Base, &'a Adapters),
    /// Nothing: only the base runs, and the inputs of these modules (full names) are observed.
    Observed(&'a Base, &'a [String]),
    /// Every weight (pretraining).
    Everything,
}

/// A tape that records weights and linear maps according to what is trained.
pub(super) struct Recorder<'a> {
    pub tape: &'a mut Tape,
    training: Training<'a>,
}

impl<'a> Recorder<'a> {
    /// A recorder on `tape`.
    pub fn new(tape: &'a mut Tape, training: Training<'a>) -> Self {
        Recorder { tape, training }
    }

    /// A tensor of the model, of `shape` (rows, columns): frozen, or trained in `group`.
    pub fn weight(&mut self, name: &str, shape: [usize; 2], group: Group) -> Weight {
        match self.training {
            Training::Adapters(base, _) | Training::Observed(base, _) => Weight::Frozen(base.index(name)),
            Training::Everything => Weight::Trained(self.tape.parameter(name, shape, group)),
        }
    }

    /// Sets the label of the next ops to the name of a module, without the outermost `model.` or `transformer.`.
    pub fn label(&mut self, name: &str) {
        let inner = ["model.", "transformer.", "bert.", "roberta."].iter().find_map(|outer| name.strip_prefix(outer));
        self.tape.label(inner.unwrap_or(name));
    }

    /// A tensor of the model's head, of `shape` (rows, columns), which is trained whole: from the checkpoint's values if it has them, else from random ones.
    fn head_weight(&mut self, name: &str, shape: [usize; 2], group: Group, law: Law) -> Weight {
        match self.training {
            Training::Adapters(base, _) => {
                let begin = base.head_values(name).map_or(Begin::Drawn(law), Begin::Given);
                Weight::Trained(self.tape.head_tensor(name, shape, group, begin))
            }
            // The head reads what is observed, so that it is never run: any tensor will do.
            Training::Observed(..) => Weight::Frozen(0),
            Training::Everything => Weight::Trained(self.tape.parameter(name, shape, group)),
        }
    }

    /// Records x Wᵀ + b of the head's module `name`. New weights are normal with this standard deviation, new biases zero.
    pub fn head_linear(&mut self, x: Value, name: &str, [inputs, outputs]: [usize; 2], deviation: f64) -> Value {
        let (law, weight) = (Law::Normal(deviation as f32), format!("{name}.weight"));
        let weight = self.head_weight(&weight, [outputs, inputs], Group::Matrix, law);
        let bias = self.head_weight(&format!("{name}.bias"), [1, outputs], Group::Gain, Law::Zeros);
        self.label(name);
        self.tape.linear(x, weight, Some(bias), outputs)
    }

    /// Records LayerNorm with the weight and the bias of the module `name`.
    pub fn layer_norm(&mut self, x: Value, name: &str, width: usize, epsilon: f64) -> Value {
        let [weight, bias] =
            ["weight", "bias"].map(|part| self.weight(&format!("{name}.{part}"), [1, width], Group::Gain));
        self.label(name);
        self.tape.layer_norm(x, weight, Some(bias), epsilon)
    }

    /// Records x Wᵀ, and + b if it has a bias, of the module `name`, with an adapter if it is a target, or observed if it is listed.
    pub fn linear(&mut self, x: Value, name: &str, [inputs, outputs]: [usize; 2], has_bias: bool) -> Value {
        let weight = self.weight(&format!("{name}.weight"), [outputs, inputs], Group::Matrix);
        let bias = has_bias.then(|| self.weight(&format!("{name}.bias"), [1, outputs], Group::Gain));
        self.label(name);
        match self.training {
            Training::Adapters(_, adapters) if adapters.target(name) => {
                self.tape.lora_linear(x, weight, bias, outputs, adapters.of(name), name)
            }
            Training::Observed(_, modules) if modules.iter().any(|module| module == name) => {
                self.tape.observe(x, name);
                self.tape.linear(x, weight, bias, outputs)
            }
            _ => self.tape.linear(x, weight, bias, outputs),
        }
    }
}
