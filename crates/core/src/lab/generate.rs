//! Generation of tokens with a base, or a base and an adapter.

use crate::graph::memory::InputName;
use std::sync::Arc;

use loralab_linalg::Draws;

use crate::{
    device::{Cpu, Device, DeviceError, Inputs, RunSettings},
    graph::{
        memory::Tensor,
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lora::peft::{Adapter, Module},
    models::{Adapters, Base, Linear, Training},
};

use super::{MakeDevice, PlanNeeds};

/// The rule that chooses the next token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the likeliest token; 1 draws from the model's distribution; values between sharpen it.
    pub temperature: f64,
    /// The seed of the draws.
    pub seed: u64,
}

/// A model that continues a sequence token by token.
///
/// Each token runs the forward pass over the whole window; for the small models and windows here that costs less than a cache of keys and
/// values.
pub struct Generator {
    device: Box<dyn Device>,
    window: usize,
    vocabulary: usize,
    loaded: Loaded,
    left_alone: [usize; 2],
}

/// The values that the device was loaded with.
struct Loaded {
    plan: Arc<Plan>,
    base: Arc<[Tensor]>,
    trained: Vec<f32>,
    frozen: Vec<f32>,
    settings: RunSettings,
}

/// The reasons that a sequence can't be continued.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The adapter belongs to another base.
    #[error("{0}")]
    Adapter(String),
    /// The prompt has no token, so nothing can be predicted.
    #[error("the prompt has no token, but a model needs one to go on from")]
    EmptyPrompt,
    /// The logits are infinite or not a number.
    #[error(
        "after {tokens} tokens the model's logits are not finite; the first values that are not are those of `{tensor}`, whose weights, or the adapter's, are too \
         large for 32-bit floats"
    )]
    NotFinite {
        /// The first part of the model whose values are not finite.
        tensor: String,
        /// Tokens that the model had read.
        tokens: usize,
    },
    /// A device fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl Generator {
    /// A generator from a base and, optionally, an adapter of its shapes. Its window is as many tokens as the base was trained on, at most `longest`.
    ///
    /// # Errors
    /// The module of the adapter that does not fit the base, or the failure of the device.
    pub async fn new(
        base: &Base,
        adapter: Option<&Adapter>,
        longest: usize,
        make_device: MakeDevice<'_>,
    ) -> Result<Generator, GenerateError> {
        let adapters = Adapters {
            rank: adapter.map_or(1, |adapter| adapter.rank),
            target_modules: adapter.map_or(vec![], adapted),
        };
        // An adapter that was trained on a quantised base belongs to the quantised weights only.
        let base =
            &adapter.map_or_else(|| base.clone(), |adapter| PlanNeeds::of_adapter(adapter).base(base, &adapters));
        let (window, vocabulary) = (base.model.longest().min(longest), base.model.vocabulary());
        check(adapter.map_or(&[], |adapter| &adapter.modules), base).map_err(GenerateError::Adapter)?;
        let frozen_pairs = adapter.is_some_and(|adapter| adapter.modules.iter().any(|module| module.frozen.is_some()));
        let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: window }, frozen_pairs);
        base.model.record(&mut tape, Training::Adapters(base, &adapters));
        let plan = Arc::new(tape.compile(Purpose::Predict));
        let (mut trained, mut frozen) = (Vec::new(), Vec::new());
        let mut left_alone = [0, 0];
        for site in &plan.sites {
            let name = &site.module;
            // An adapter of some layers leaves the others as they are.
            let module = adapter.and_then(|adapter| adapter.modules.iter().find(|module| module.name == *name));
            if adapter.is_some_and(|adapter| adapter.targets(name)) {
                left_alone = [left_alone[0] + usize::from(module.is_none()), left_alone[1] + 1];
            }
            trained.extend(module.iter().flat_map(|module| module.a.iter().chain(&module.b)));
            trained.resize(site.b.range().end, 0.0);
            if frozen_pairs {
                let pair = module.and_then(|module| module.frozen.as_ref());
                frozen.extend(pair.iter().flat_map(|(a, b)| a.iter().chain(b)));
                frozen.resize(trained.len(), 0.0);
            }
        }
        let mut device = make_device(plan.clone(), base.tensors.clone()).await?;
        let settings = RunSettings {
            scale: adapter.map_or(1.0, Adapter::scale),
            learning_rate_ratio: 1.0,
            weight_decay: 0.0,
            max_grad_norm: 0.0,
        };
        device.load(0, &trained, &frozen, settings);
        let loaded = Loaded { plan, base: base.tensors.clone(), trained, frozen, settings };
        Ok(Generator { device, window, vocabulary, loaded, left_alone })
    }

    /// The number of layers that the adapter names without having tensors for them, and the number it names. The former are as in the base.
    pub fn left_alone(&self) -> [usize; 2] {
        self.left_alone
    }

    /// Continues `prompt`, token ids below the vocabulary's size, by at most `count` tokens. Each is passed to `on_token`, which ends the sequence early by
    /// returning false.
    ///
    /// # Errors
    /// If the prompt is empty, a logit is not finite, or the device fails.
    pub async fn continue_tokens(
        &mut self,
        prompt: &[u32],
        count: usize,
        sampling: Sampling,
        mut on_token: impl FnMut(u32) -> bool,
    ) -> Result<(), GenerateError> {
        let mut draws = Draws::new(sampling.seed, "generate");
        let mut sequence = prompt.to_vec();
        if sequence.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        for _ in 0..count {
            let seen = &sequence[sequence.len().saturating_sub(self.window)..];
            let mut tokens = seen.to_vec();
            tokens.resize(self.window, 0);
            let (targets, weights) = (vec![0; self.window], vec![0.0; self.window]);
            let input = Inputs::new()
                .with(InputName::Tokens, &tokens)
                .with(InputName::Targets, &targets)
                .with(InputName::Weights, &weights);
            let logits = &self.device.predict(&[input]).await?[0];
            let last = &logits[(seen.len() - 1) * self.vocabulary..seen.len() * self.vocabulary];
            if !last.iter().all(|logit| logit.is_finite()) {
                let (tensor, tokens) = (self.loaded.first_not_finite(input, seen.len()), sequence.len());
                return Err(GenerateError::NotFinite { tensor, tokens });
            }
            let token = choose(last, sampling.temperature, &mut draws) as u32;
            sequence.push(token);
            if !on_token(token) {
                break;
            }
        }
        Ok(())
    }
}

impl Loaded {
    /// The first part of the model whose values are not finite, in the first `rows` rows of the input.
    fn first_not_finite(&self, input: Inputs<'_>, rows: usize) -> String {
        let mut cpu = Cpu::<f32>::new(self.plan.clone(), self.base.clone(), Some(1));
        cpu.load(0, &self.trained, &self.frozen, self.settings);
        // Values that overflow on a GPU but not here are seen in the logits only.
        cpu.first_not_finite(0, input, rows).unwrap_or_else(|| "lm_head".to_owned())
    }
}

/// Checks that the modules of an adapter fit linear layers of the base, before anything of their sizes is allocated.
pub(super) fn check(modules: &[Module], base: &Base) -> Result<(), String> {
    let layers = base.model.linears();
    for Linear { name, inputs: columns, outputs: rows } in &layers {
        match modules.iter().find(|module| module.name == *name) {
            Some(Module { inputs, outputs, .. }) if [outputs, inputs] != [rows, columns] => {
                return Err(format!(
                    "the adapter's `{name}` is for a layer of {inputs} inputs and {outputs} outputs, but the base's has {columns} and {rows}"
                ));
            }
            _ => {}
        }
    }
    match modules.iter().find(|module| layers.iter().all(|layer| module.name != layer.name)) {
        Some(Module { name, .. }) => Err(format!("the adapter's `{name}` is no linear layer of the base")),
        None => Ok(()),
    }
}

/// The last parts of the names of an adapter's modules: its target modules may be full names or patterns.
fn adapted(adapter: &Adapter) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    adapter.modules.iter().map(|module| last(&module.name)).collect()
}

/// The index of the next token, from finite logits. Of equal logits the first is the likeliest, as in an evaluation and in Hugging Face Transformers.
fn choose(logits: &[f32], temperature: f64, draws: &mut Draws) -> usize {
    let best = (0..logits.len()).fold(0, |best, index| if logits[index] > logits[best] { index } else { best });
    if temperature <= 0.0 {
        return best;
    }
    let weights: Vec<f64> = logits.iter().map(|&x| (f64::from(x - logits[best]) / temperature).exp()).collect();
    let mut left = f64::from(draws.next_u32()) / 2f64.powi(32) * weights.iter().sum::<f64>();
    weights
        .iter()
        .position(|weight| {
            left -= weight;
            left < 0.0
        })
        .unwrap_or(best)
}
