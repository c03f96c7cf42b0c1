//! Writing text with a base, or a base and an adapter.

use std::sync::Arc;

use loralab_linalg::Draws;

use crate::{
    adapter::Adapter,
    device::{Device, DeviceError, Input, RunSettings},
    memory::Parameter,
    model::{Adapters, Base, Training, decoder},
    plan::Shape,
    tape::{Purpose, Tape},
};

use super::{MakeDevice, Room};

/// How the next byte is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the likeliest byte; 1 draws from the model's distribution; between them it is sharpened.
    pub temperature: f64,
    /// Seed of the draws.
    pub seed: u64,
}

/// A model that continues a text byte by byte.
///
/// Each byte replays the forward pass over the whole window; for the small models and windows here that costs less than it would to keep keys
/// and values.
pub struct Generator {
    device: Box<dyn Device>,
    window: usize,
    vocabulary: usize,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// An adapter of another base.
    #[error("{0}")]
    Adapter(String),
    /// A device that fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl Generator {
    /// A generator from a base and, if there is one, an adapter of its shapes.
    ///
    /// # Errors
    /// Says which module of the adapter does not fit the base, or how the device fails.
    pub async fn new(
        base: &Base,
        adapter: Option<&Adapter>,
        make_device: MakeDevice<'_>,
    ) -> Result<Generator, GenerateError> {
        // An adapter that was trained on a quantised base is nothing to the base as it came.
        let base = &adapter
            .map_or_else(|| base.clone(), |adapter| Room::of_base_name(&adapter.base).base(base, &adapted(adapter)));
        let (window, vocabulary) = (base.config.tokens, base.config.vocabulary);
        let adapters = Adapters {
            rank: adapter.map_or(1, |adapter| adapter.rank),
            target_modules: adapter.map_or(vec![], adapted),
        };
        let frozen_pairs = adapter.is_some_and(|adapter| adapter.modules.iter().any(|module| module.frozen.is_some()));
        let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: window }, frozen_pairs);
        decoder(&mut tape, &base.config, Training::Adapters(base, &adapters));
        let plan = Arc::new(tape.compile(Purpose::Predict));
        let (mut trained, mut frozen) = (Vec::new(), Vec::new());
        for pair in plan.parameters.chunks_exact(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let name = a.name.trim_end_matches(".lora_A.weight");
            let module = adapter.and_then(|adapter| adapter.modules.iter().find(|module| module.name == name));
            // An adapter that names its modules in full, as one with a rank of 0 does, says nothing of the others.
            if module.is_none() && adapter.is_some_and(|adapter| !adapter.targets(name)) {
                trained.resize(trained.len() + a.span.len + b.span.len, 0.0);
                frozen.resize(if frozen_pairs { trained.len() } else { 0 }, 0.0);
                continue;
            }
            let module = module.ok_or_else(|| {
                GenerateError::Adapter(format!("the adapter has no weights for `{name}` of the base"))
            })?;
            let shapes = [[adapters.rank, module.inputs], [module.outputs, adapters.rank]];
            if shapes != [a.shape, b.shape] {
                return Err(GenerateError::Adapter(format!(
                    "the adapter's `{name}` is for a layer of {} inputs and {} outputs, but the base's has {} and {}",
                    module.inputs, module.outputs, a.shape[1], b.shape[0]
                )));
            }
            trained.extend(module.a.iter().chain(&module.b));
            if frozen_pairs {
                match &module.frozen {
                    Some((a, b)) => frozen.extend(a.iter().chain(b)),
                    None => frozen.resize(trained.len(), 0.0),
                }
            }
        }
        for module in adapter.iter().flat_map(|adapter| &adapter.modules) {
            let of_module = |pair: &[Parameter]| pair[0].name.trim_end_matches(".lora_A.weight") == module.name;
            if !plan.parameters.chunks_exact(2).any(of_module) {
                let name = &module.name;
                return Err(GenerateError::Adapter(format!("the adapter's `{name}` is no linear layer of the base")));
            }
        }
        let mut device = make_device(plan, base.tensors.clone()).await?;
        let settings = RunSettings {
            scale: adapter.map_or(1.0, Adapter::scale),
            learning_rate_ratio: 1.0,
            weight_decay: 0.0,
            max_grad_norm: 0.0,
        };
        device.load(0, &trained, &frozen, settings);
        Ok(Generator { device, window, vocabulary })
    }

    /// Continues `prompt` by at most `count` bytes, handing each to `on_byte`, which ends the text early by returning false.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn continue_text(
        &mut self,
        prompt: &[u8],
        count: usize,
        sampling: Sampling,
        mut on_byte: impl FnMut(u8) -> bool,
    ) -> Result<(), DeviceError> {
        let mut draws = Draws::new(sampling.seed, "generate");
        let mut text: Vec<u32> = prompt.iter().map(|&byte| u32::from(byte)).collect();
        // A model needs something to go on from; a line's end is what every text of the little world begins after.
        if text.is_empty() {
            text.push(u32::from(b'\n'));
        }
        for _ in 0..count {
            let seen = &text[text.len().saturating_sub(self.window)..];
            let mut tokens = seen.to_vec();
            tokens.resize(self.window, 0);
            let (targets, weights) = (vec![0; self.window], vec![0.0; self.window]);
            let input = Input { tokens: &tokens, targets: &targets, weights: &weights, ..Input::default() };
            let logits = &self.device.predict(&[input]).await?[0];
            let last = &logits[(seen.len() - 1) * self.vocabulary..seen.len() * self.vocabulary];
            let byte = choose(last, sampling.temperature, &mut draws);
            text.push(byte as u32);
            if !on_byte(byte as u8) {
                break;
            }
        }
        Ok(())
    }
}

/// The last parts of the names of an adapter's modules: its target modules may be full names, or stand for a pattern.
fn adapted(adapter: &Adapter) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    adapter.modules.iter().map(|module| last(&module.name)).collect()
}

/// The index of the next byte.
fn choose(logits: &[f32], temperature: f64, draws: &mut Draws) -> usize {
    let best = (0..logits.len()).max_by(|&i, &j| logits[i].total_cmp(&logits[j])).unwrap_or(0);
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
