//! Generation of tokens with a base and adapters of it: several prompts and a whole cohort of adapters at once.
//!
//! The device keeps the keys and values of the tokens that it has read of each text, so a token costs a pass over one row; prompts are read before, up to
//! [`PREFILL`] tokens at a time. Only tokens that the cache does not hold are read: an answer of a conversation costs the new question. A text longer than
//! the window is read again from a later beginning for each token, since its positions are then others.

mod adapters;
mod sampling;
mod texts;

use std::sync::Arc;

use adapters::Loaded;
pub(super) use adapters::{Loaded as LoadedAdapter, check, check_saved, of_all as all_adapters};
pub use sampling::Sampling;
use texts::{Rows, Text};

use crate::{
    device::{Cpu, Device, DeviceError},
    graph::{
        memory::Quantiser,
        plan::{Plan, Shape},
        tape::{Positions, Purpose, Tape},
    },
    lora::peft::Adapter,
    models::{Adapters, Base, Training},
};

use super::MakeDevice;

/// Positions that a cache has at first, unless the window has fewer.
const FIRST: usize = 256;
/// Tokens of a prompt that one pass reads: enough for full matrix-product speed.
const PREFILL: usize = 64;

/// Models that continue texts token by token.
pub struct Generator<'a> {
    make_device: MakeDevice<'a>,
    device: Box<dyn Device>,
    plan: Arc<Plan>,
    /// Positions that the cache has for each text.
    context: usize,
    /// The tokens whose keys and values the cache holds, text by text.
    kept: Vec<Vec<u32>>,
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
    /// An adapter belongs to weights that are quantised in another way.
    #[error(
        "an adapter that was trained on weights quantised to {own} does not belong to this base, whose linear maps are all quantised to {found}; leave `--quantize` \
         away, and use the adapter alone"
    )]
    OtherQuantiser {
        /// The quantiser of the adapter's base.
        own: Quantiser,
        /// That of this base.
        found: Quantiser,
    },
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
        let context = window.min(FIRST);
        let shape = Shape { runs: given.len(), sequences: prompts.max(1), tokens: 1 };
        let plan = compile(&base, &adapters, shape, context, frozen_pairs);
        let loaded: Vec<Loaded> = given.iter().map(|adapter| Loaded::new(&plan, *adapter)).collect();
        let device = device(make_device, &plan, &base, &loaded).await?;
        Ok(Generator {
            make_device,
            device,
            plan,
            context,
            kept: vec![vec![]; shape.runs * shape.sequences],
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
        let longest = prompts.iter().flatten().map(Vec::len).max().unwrap_or(1);
        self.make_room(longest.saturating_add(request.count)).await?;
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

    /// The logits after the last token of each text, (V) each.
    async fn logits(&mut self, texts: &[Text]) -> Result<Vec<Vec<f32>>, GenerateError> {
        let seen: Vec<&[u32]> = texts.iter().map(|text| text.seen(self.window)).collect();
        for (kept, seen) in self.kept.iter_mut().zip(&seen) {
            let same = kept.iter().zip(&seen[..seen.len() - 1]).take_while(|(kept, seen)| kept == seen).count();
            kept.truncate(same);
        }
        let width = self.plan.prefill.as_ref().map_or(1, |prefill| prefill.shape.tokens);
        while self.kept.iter().zip(&seen).any(|(kept, seen)| kept.len() + 1 < seen.len()) {
            let rows = self.rows(&seen, width);
            self.device.prefill(&Vec::from_iter(rows.iter().map(Rows::inputs)));
        }
        let rows = self.rows(&seen, 1);
        let predicted = self.device.predict(&Vec::from_iter(rows.iter().map(Rows::inputs))).await?;
        let of_run = |logits: &Vec<f32>| logits.chunks_exact(self.vocabulary).map(<[f32]>::to_vec).collect::<Vec<_>>();
        Ok(predicted.iter().flat_map(of_run).collect())
    }

    /// The rows of each run's next pass, `width` tokens of each text from the first one that the cache does not hold, which it holds from then on.
    fn rows(&mut self, seen: &[&[u32]], width: usize) -> Vec<Rows> {
        let of_run = |(kept, seen): (&mut [Vec<u32>], &[&[u32]])| {
            let mut rows = Rows::default();
            for (kept, seen) in kept.iter_mut().zip(seen) {
                let start = kept.len().min(seen.len() - 1).min(self.context - width);
                rows.push(start, &seen[start..], width);
                *kept = seen[..seen.len().min(start + width)].to_vec();
            }
            rows
        };
        let sequences = self.plan.shape.sequences;
        self.kept.chunks_exact_mut(sequences).zip(seen.chunks_exact(sequences)).map(of_run).collect()
    }

    /// Makes a device with a longer cache if the present one is shorter than texts of so many tokens. The new cache is empty.
    async fn make_room(&mut self, longest: usize) -> Result<(), GenerateError> {
        let needed = longest.min(self.window);
        if needed > self.context {
            self.context = needed.next_power_of_two().min(self.window);
            self.plan = compile(&self.base, &self.adapters, self.plan.shape, self.context, self.frozen_pairs);
            self.device = device(self.make_device, &self.plan, &self.base, &self.loaded).await?;
            self.kept.iter_mut().for_each(Vec::clear);
        }
        Ok(())
    }

    /// The error that names the first part of the model whose values are not finite for a text.
    fn not_finite(&self, run: usize, text: &[u32]) -> GenerateError {
        let seen = &text[text.len().saturating_sub(self.window)..];
        let shape = Shape { runs: 1, sequences: 1, tokens: seen.len() };
        let plan = tape(&self.base, &self.adapters, shape, Positions::ByIndex, self.frozen_pairs);
        let mut cpu = Cpu::<f32>::new(Arc::new(plan.compile(Purpose::Predict)), self.base.tensors.clone(), Some(1));
        self.loaded[run].put(&mut cpu, 0);
        let mut rows = Rows::default();
        rows.push(0, seen, seen.len());
        let tensor = cpu.first_not_finite(0, rows.inputs(), seen.len());
        // Values that overflow on a GPU but not here are seen in the logits only.
        GenerateError::NotFinite { tensor: tensor.unwrap_or_else(|| "lm_head".to_owned()), tokens: text.len() }
    }
}

/// The plan of a model that predicts a token of each text at a time, with a cache of `context` positions, and its prefill.
fn compile(base: &Base, adapters: &Adapters, shape: Shape, context: usize, frozen_pairs: bool) -> Arc<Plan> {
    let tape = |tokens| tape(base, adapters, Shape { tokens, ..shape }, Positions::Cached(context), frozen_pairs);
    let prefill = tape(PREFILL.min(context)).compile(Purpose::Prefill);
    Arc::new(Plan { prefill: Some(Arc::new(prefill)), ..tape(1).compile(Purpose::Predict) })
}

/// A recorded model with adapters.
fn tape(base: &Base, adapters: &Adapters, shape: Shape, positions: Positions, frozen_pairs: bool) -> Tape {
    let mut tape = Tape::new(shape, frozen_pairs);
    tape.positions(positions);
    base.model.record(&mut tape, Training::Adapters(base, adapters));
    tape
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
