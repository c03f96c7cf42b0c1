//! Generation of tokens with a base and adapters of it: several prompts and a whole cohort of adapters at once.
//!
//! Each token runs the forward pass over the whole window. The window of a plan grows with the texts, by doubling, so short texts cost little.

mod adapters;
mod sampling;

use std::sync::Arc;

use adapters::Loaded;
pub(super) use adapters::{Loaded as LoadedAdapter, check, check_saved, of_all as all_adapters};
use loralab_linalg::Draws;
pub use sampling::Sampling;

use crate::{
    device::{Cpu, Device, DeviceError, Inputs},
    graph::{
        memory::InputName,
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lora::peft::Adapter,
    models::{Adapters, Base, Training},
};

use super::MakeDevice;

/// Windows up to this many tokens have one size.
const SMALL: usize = 256;
/// The first size of a larger window.
const FIRST: usize = 64;

/// Models that continue texts token by token.
pub struct Generator<'a> {
    make_device: MakeDevice<'a>,
    device: Box<dyn Device>,
    plan: Arc<Plan>,
    /// Most tokens that a model reads.
    window: usize,
    vocabulary: usize,
    base: Base,
    adapters: Adapters,
    frozen_pairs: bool,
    loaded: Vec<Loaded>,
    left_alone: Vec<[usize; 2]>,
}

/// The request for continuations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Most tokens of a continuation.
    pub count: usize,
    /// The choice of each token.
    pub sampling: Sampling,
    /// Tokens that end a text.
    pub ends: Vec<u32>,
}

/// The reasons that a sequence can't be continued.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The adapter belongs to another base.
    #[error("{0}")]
    Adapter(String),
    /// The model says something about a text as a whole.
    #[error(
        "the base says which class a text belongs to, or gives it a score, and cannot continue a text; a model that writes, such as a Llama or a GPT-2, is needed"
    )]
    Classifies,
    /// An adapter of a cohort needs a base of its own.
    #[error("an adapter that belongs to a quantised base can be used alone only")]
    Quantised,
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

impl<'a> Generator<'a> {
    /// A generator from a base and adapters of its shapes, each a run; `None` is the base itself. It continues up to `prompts` texts at once. Its window is as
    /// many tokens as the base was trained on, at most `longest`.
    ///
    /// # Errors
    /// The module of an adapter that does not fit the base, or the failure of the device.
    pub async fn new(
        base: &Base,
        given: &[Option<&Adapter>],
        prompts: usize,
        longest: usize,
        make_device: MakeDevice<'a>,
    ) -> Result<Generator<'a>, GenerateError> {
        if base.model.output().is_of_texts() {
            return Err(GenerateError::Classifies);
        }
        let (base, adapters) = adapters::of_all(base, given)?;
        let window = base.model.longest().min(longest).max(1);
        let frozen_pairs =
            given.iter().flatten().any(|adapter| adapter.modules.iter().any(|module| module.frozen.is_some()));
        let tokens = if window <= SMALL { window } else { FIRST };
        let shape = Shape { runs: given.len(), sequences: prompts.max(1), tokens };
        let plan = compile(&base, &adapters, shape, frozen_pairs);
        let loaded: Vec<Loaded> = given.iter().map(|adapter| Loaded::new(&plan, *adapter)).collect();
        let device = device(make_device, &plan, &base, &loaded).await?;
        Ok(Generator {
            make_device,
            device,
            plan,
            window,
            vocabulary: base.model.vocabulary(),
            left_alone: given.iter().map(|adapter| adapters::left_alone(&base, &adapters, *adapter)).collect(),
            base,
            adapters,
            frozen_pairs,
            loaded,
        })
    }

    /// For each adapter, the number of layers that it names without having tensors for them, and the number it names. The former are as in the base.
    pub fn left_alone(&self) -> &[[usize; 2]] {
        &self.left_alone
    }

    /// Continues each prompt with every run; see [`generate_each`](Generator::generate_each).
    ///
    /// # Errors
    /// Those of [`generate_each`](Generator::generate_each).
    ///
    /// # Panics
    /// If there are more prompts than the generator was made for.
    pub async fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        request: &Request,
        on_token: impl FnMut(usize, usize, u32) -> bool,
    ) -> Result<Vec<Vec<Vec<u32>>>, GenerateError> {
        let of_runs = vec![prompts.to_vec(); self.plan.shape.runs];
        self.generate_each(&of_runs, request, on_token).await
    }

    /// Continues the prompts of each run, token ids below the vocabulary's size. `on_token` gets the run, the index of the prompt and the token, and ends
    /// the text early by returning false; an end token ends it, too, and belongs to the continuation. Returns the continuations, run by run.
    ///
    /// # Errors
    /// If a prompt is empty, a logit is not finite, or the device fails.
    ///
    /// # Panics
    /// If there are more prompts than the generator was made for, or not a list for each run.
    pub async fn generate_each(
        &mut self,
        prompts: &[Vec<Vec<u32>>],
        request: &Request,
        mut on_token: impl FnMut(usize, usize, u32) -> bool,
    ) -> Result<Vec<Vec<Vec<u32>>>, GenerateError> {
        let Shape { runs, sequences, .. } = self.plan.shape;
        assert_eq!(prompts.len(), runs, "each run has prompts");
        assert!(prompts.iter().all(|prompts| prompts.len() <= sequences), "more prompts than one pass has");
        if prompts.iter().flatten().any(Vec::is_empty) {
            return Err(GenerateError::EmptyPrompt);
        }
        let text = |index: usize| {
            let (run, prompt) = (index / sequences, index % sequences);
            Text::new(prompts[run].get(prompt), &request.sampling, prompt)
        };
        let mut texts: Vec<Text> = (0..runs * sequences).map(text).collect();
        for _ in 0..request.count {
            if texts.iter().all(|text| text.ended) {
                break;
            }
            let logits = self.logits(&texts).await?;
            for (index, (text, logits)) in
                texts.iter_mut().zip(&logits).enumerate().filter(|(_, (text, _))| !text.ended)
            {
                if !logits.iter().all(|logit| logit.is_finite()) {
                    return Err(self.not_finite(index / sequences, &text.tokens));
                }
                let token = request.sampling.choose(logits, &mut text.draws) as u32;
                text.tokens.push(token);
                let goes_on = on_token(index / sequences, index % sequences, token);
                text.ended = !goes_on || request.ends.contains(&token);
            }
        }
        let continuation = |text: &Text| text.tokens[text.prompt..].to_vec();
        let of_run = |(texts, prompts): (&[Text], &Vec<Vec<u32>>)| {
            texts[..prompts.len()].iter().map(continuation).collect::<Vec<_>>()
        };
        Ok(texts.chunks_exact(sequences).zip(prompts).map(of_run).collect())
    }

    /// The logits after the last token of each text.
    async fn logits(&mut self, texts: &[Text]) -> Result<Vec<Vec<f32>>, GenerateError> {
        let longest = texts.iter().map(|text| text.tokens.len()).max().unwrap_or(1).min(self.window);
        self.make_room(longest).await?;
        let Shape { sequences, tokens, .. } = self.plan.shape;
        let rows: Vec<Vec<u32>> = texts
            .chunks_exact(sequences)
            .map(|texts| texts.iter().flat_map(|text| padded(text.seen(self.window), tokens)).collect())
            .collect();
        let (zeros, weights) = (vec![0_u32; sequences * tokens], vec![0.0_f32; sequences * tokens]);
        let inputs: Vec<Inputs<'_>> = rows.iter().map(|rows| inputs(rows, &zeros, &weights)).collect();
        let predicted = self.device.predict(&inputs).await?;
        let last = |(index, text): (usize, &Text)| {
            let row = index % sequences * tokens + text.seen(self.window).len() - 1;
            predicted[index / sequences][row * self.vocabulary..(row + 1) * self.vocabulary].to_vec()
        };
        Ok(texts.iter().enumerate().map(last).collect())
    }

    /// Makes a device for a longer window if the present one is shorter than `longest` tokens.
    async fn make_room(&mut self, longest: usize) -> Result<(), GenerateError> {
        let shape = self.plan.shape;
        if longest > shape.tokens {
            let tokens = longest.next_power_of_two().min(self.window);
            self.plan = compile(&self.base, &self.adapters, Shape { tokens, ..shape }, self.frozen_pairs);
            self.device = device(self.make_device, &self.plan, &self.base, &self.loaded).await?;
        }
        Ok(())
    }

    /// The error that names the first part of the model whose values are not finite for a text.
    fn not_finite(&self, run: usize, text: &[u32]) -> GenerateError {
        let seen = &text[text.len().saturating_sub(self.window)..];
        let shape = Shape { runs: 1, sequences: 1, tokens: seen.len() };
        let plan = compile(&self.base, &self.adapters, shape, self.frozen_pairs);
        let mut cpu = Cpu::<f32>::new(plan, self.base.tensors.clone(), Some(1));
        self.loaded[run].put(&mut cpu, 0);
        let (zeros, weights) = (vec![0_u32; seen.len()], vec![0.0_f32; seen.len()]);
        let tensor = cpu.first_not_finite(0, inputs(seen, &zeros, &weights), seen.len());
        // Values that overflow on a GPU but not here are seen in the logits only.
        GenerateError::NotFinite { tensor: tensor.unwrap_or_else(|| "lm_head".to_owned()), tokens: text.len() }
    }
}

/// The plan of a model that predicts.
fn compile(base: &Base, adapters: &Adapters, shape: Shape, frozen_pairs: bool) -> Arc<Plan> {
    let mut tape = Tape::new(shape, frozen_pairs);
    base.model.record(&mut tape, Training::Adapters(base, adapters));
    Arc::new(tape.compile(Purpose::Predict))
}

/// A device with every run's adapter.
async fn device(
    make_device: MakeDevice<'_>,
    plan: &Arc<Plan>,
    base: &Base,
    loaded: &[Loaded],
) -> Result<Box<dyn Device>, DeviceError> {
    let mut device = make_device(plan.clone(), base.tensors.clone()).await?;
    loaded.iter().enumerate().for_each(|(run, loaded)| loaded.put(&mut *device, run));
    Ok(device)
}

fn inputs<'a>(tokens: &'a [u32], zeros: &'a [u32], weights: &'a [f32]) -> Inputs<'a> {
    Inputs::new().with(InputName::Tokens, tokens).with(InputName::Targets, zeros).with(InputName::Weights, weights)
}

/// The tokens with as many zeros after them as make `tokens` of them. A causal model's rows do not depend on those after them.
fn padded(seen: &[u32], tokens: usize) -> impl Iterator<Item = u32> + '_ {
    seen.iter().copied().chain(std::iter::repeat(0)).take(tokens)
}

/// A text that is continued.
struct Text {
    tokens: Vec<u32>,
    /// Tokens of the prompt.
    prompt: usize,
    draws: Draws,
    ended: bool,
}

impl Text {
    /// The text of a prompt; one that has ended where there is none.
    fn new(prompt: Option<&Vec<u32>>, sampling: &Sampling, index: usize) -> Text {
        let tokens = prompt.cloned().unwrap_or_else(|| vec![0]);
        Text { prompt: tokens.len(), tokens, draws: sampling.draws(index), ended: prompt.is_none() }
    }

    /// The last tokens, as many as a window has.
    fn seen(&self, window: usize) -> &[u32] {
        &self.tokens[self.tokens.len().saturating_sub(window)..]
    }
}
