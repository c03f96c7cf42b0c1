//! Texts that are continued with a cache of keys and values: their logits and tokens are those of passes over whole texts, for every family, in cohorts
//! with prompts of different lengths, beyond sliding windows.

use std::sync::Arc;

use loralab_core::{
    device::{Answer, Cpu, Device, Gpu, Inputs, RunSettings, wait},
    graph::{
        memory::{InputName, Tensor},
        plan::{Plan, Shape},
        tape::{Positions, Purpose, Tape},
    },
    lab::{Generator, Request},
    lora::peft::{Adapter, Module},
    models::{Adapters, Base, Training},
};
use loralab_linalg::{Draws, Stream};

use crate::{
    gpu,
    models::{FIXTURES, Fixture},
};

const RANK: usize = 2;
/// Tokens of a text, several times the sliding windows; within the positions of every fixture.
const TEXT: usize = 30;

/// The model with adapters of every layer, over `tokens` tokens of each of `sequences` texts.
fn record(base: &Base, shape: Shape, positions: Positions) -> Tape {
    let target_modules = base.model.linears().into_iter().map(|linear| linear.name).collect();
    let mut tape = Tape::new(shape, false);
    tape.positions(positions);
    base.model.record(&mut tape, Training::Adapters(base, &Adapters::new(RANK, target_modules)));
    tape
}

/// Rows of tokens at their positions, for one run.
struct Rows(Vec<u32>, Vec<u32>);

impl Rows {
    /// The tokens of a range of each text.
    fn new(texts: &[Vec<u32>], range: std::ops::Range<usize>) -> Rows {
        let tokens: Vec<u32> = texts.iter().flat_map(|text| text[range.clone()].to_vec()).collect();
        let positions = texts.iter().flat_map(|_| range.clone().map(|position| position as u32)).collect();
        Rows(tokens, positions)
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs::new().with(InputName::Tokens, &self.0).with(InputName::Positions, &self.1)
    }
}

type Make<'a> = &'a dyn Fn(Arc<Plan>, Arc<[Tensor]>) -> Box<dyn Device>;

fn on_cpu(plan: Arc<Plan>, base: Arc<[Tensor]>) -> Box<dyn Device> {
    Box::new(Cpu::<f32>::new(plan, base, Some(2)))
}

/// A device for a plan, each run with an adapter of its own.
fn device(make: Make<'_>, plan: &Arc<Plan>, base: &Base) -> Box<dyn Device> {
    let mut device = make(plan.clone(), base.tensors.clone());
    for run in 0..plan.shape.runs {
        let mut trained = vec![0.0; plan.trained_len()];
        Stream::new(run as u64, "adapter").normal(0.2, &mut trained);
        device.load(run, &trained, &[], RunSettings { scale: 1.5, ..RunSettings::PLAIN });
    }
    device
}

fn drawn(seed: u64, base: &Base, count: usize) -> Vec<u32> {
    let mut draws = Draws::new(seed, "texts");
    (0..count).map(|_| draws.below(base.model.vocabulary() as u32)).collect()
}

/// The largest difference between the logits of whole texts and those of the same texts read in two passes of 11 tokens and then token by token.
fn worst(base: &Base, make: Make<'_>) -> f32 {
    let (shape, pass, vocabulary) = (Shape { runs: 2, sequences: 2, tokens: TEXT }, 11, base.model.vocabulary());
    let texts: Vec<Vec<u32>> = (0..2).map(|seed| drawn(seed, base, TEXT)).collect();
    let whole = Arc::new(record(base, shape, Positions::ByIndex).compile(Purpose::Predict));
    let rows = Rows::new(&texts, 0..TEXT);
    let expected = wait(device(make, &whole, base).predict(&[rows.inputs(), rows.inputs()])).expect("no failure");

    let cached = |tokens, purpose| record(base, Shape { tokens, ..shape }, Positions::Cached(TEXT)).compile(purpose);
    let prefill = Some(Arc::new(cached(pass, Purpose::Prefill)));
    let plan = Arc::new(Plan { prefill, ..cached(1, Purpose::Predict) });
    let mut device = device(make, &plan, base);
    for start in [0, pass] {
        let rows = Rows::new(&texts, start..start + pass);
        device.prefill(&[rows.inputs(), rows.inputs()]);
    }
    let mut worst = 0.0_f32;
    // The last tokens of the passes once more: what is in the cache is written again.
    for token in 2 * pass - 2..TEXT {
        let rows = Rows::new(&texts, token..token + 1);
        let found = wait(device.predict(&[rows.inputs(), rows.inputs()])).expect("no failure");
        for (found, expected) in found.iter().zip(&expected) {
            for (text, found) in found.chunks(vocabulary).enumerate() {
                let expected = &expected[(text * TEXT + token) * vocabulary..][..vocabulary];
                let differences = found.iter().zip(expected).map(|(f, e)| (f - e).abs() / (1.0 + e.abs()));
                worst = differences.fold(worst, |worst, x| if x.is_nan() { x } else { worst.max(x) });
            }
        }
    }
    worst
}

#[test]
fn on_the_cpu_a_text_in_pieces_has_the_logits_of_the_whole() {
    for name in FIXTURES {
        let worst = worst(&Fixture::open(name).base, &on_cpu);
        println!("{name}: within {worst:.1e}");
        assert!(worst <= 1e-5, "{name}: {worst}");
    }
}

#[test]
fn on_the_gpu_a_text_in_pieces_has_the_logits_of_the_whole() {
    for accelerator in [gpu::native(), gpu::web_base()] {
        let make = |plan, base| -> Box<dyn Device> {
            Box::new(wait(Gpu::new(accelerator.clone(), plan, base)).expect("the GPU does not fail"))
        };
        for name in FIXTURES {
            let worst = worst(&Fixture::open(name).base, &make);
            println!("{name}: within {worst:.1e}");
            assert!(worst <= 1e-4, "{name}: {worst}");
        }
    }
}

fn adapter(base: &Base) -> Adapter {
    let draw = |name: String, len: usize| {
        let mut values = vec![0.0; len];
        Stream::new(7, &name).normal(0.3, &mut values);
        values
    };
    let module = |linear: loralab_core::models::Linear| Module {
        a: draw(format!("{}.a", linear.name), RANK * linear.inputs),
        b: draw(format!("{}.b", linear.name), RANK * linear.outputs),
        name: linear.name,
        inputs: linear.inputs,
        outputs: linear.outputs,
        factor: 1.0,
        frozen: None,
    };
    let modules: Vec<Module> = base.model.linears().into_iter().map(module).collect();
    Adapter {
        base: String::new(),
        quantised_base: None,
        saved: vec![],
        rank: RANK,
        alpha: 3.0,
        use_rslora: false,
        dropout: 0.0,
        target_modules: modules.iter().map(|module| module.name.clone()).collect(),
        modules,
    }
}

/// A continuation with the likeliest tokens, each by a pass over the last tokens that the model can read.
fn greedy(base: &Base, adapter: Option<&Adapter>, prompt: &[u32], count: usize) -> Vec<u32> {
    let (mut text, vocabulary) = (prompt.to_vec(), base.model.vocabulary());
    for _ in 0..count {
        let seen = text[text.len().saturating_sub(base.model.longest())..].to_vec();
        let shape = Shape { runs: 1, sequences: 1, tokens: seen.len() };
        let plan = Arc::new(record(base, shape, Positions::ByIndex).compile(Purpose::Predict));
        let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), Some(1));
        let factor = |name: &str| {
            let of = |module: &Module| name.starts_with(&format!("{}.lora_", module.name));
            let module = adapter.and_then(|adapter| adapter.modules.iter().find(|module| of(module)));
            module.map(|module| if name.contains("lora_A") { module.a.clone() } else { module.b.clone() })
        };
        let trained = plan.parameters.iter().flat_map(|p| factor(&p.name).unwrap_or_else(|| vec![0.0; p.span.len]));
        let scale = adapter.map_or(1.0, Adapter::scale);
        device.load(0, &trained.collect::<Vec<f32>>(), &[], RunSettings { scale, ..RunSettings::PLAIN });
        let rows = Rows::new(std::slice::from_ref(&seen), 0..seen.len());
        let logits = device.predict(&[rows.inputs()]).remove(0);
        let last = &logits[(seen.len() - 1) * vocabulary..];
        text.push((0..vocabulary).fold(0, |best, token| if last[token] > last[best] { token } else { best }) as u32);
    }
    text.split_off(prompt.len())
}

/// The base beside an adapter, prompts of 1 to 70 tokens, which take from no pass to two before the first token; and a second request, whose prompts begin
/// like the texts of the first. GPT-2's window of 32 tokens is exceeded.
#[test]
fn greedy_texts_are_those_of_whole_passes() {
    for name in ["llama", "mistral", "gemma3", "gpt2"] {
        let base = Fixture::open(name).base;
        let adapter = adapter(&base);
        let make = |plan, base| -> Answer<'_, Box<dyn Device>> { Box::pin(async { Ok(on_cpu(plan, base)) }) };
        let given = [None, Some(&adapter)];
        let mut generator = wait(Generator::new(&base, &given, 3, usize::MAX, &make)).expect("a generator");
        let mut prompts: Vec<Vec<u32>> = [1, 5, 70].map(|length| drawn(length, &base, length as usize)).to_vec();
        let request = Request { count: 12, ..Request::default() };
        for _ in 0..2 {
            let found = wait(generator.generate(&prompts, &request, |_, _, _| true)).expect("texts");
            for (found, adapter) in found.iter().zip(given) {
                for (found, prompt) in found.iter().zip(&prompts) {
                    let expected = greedy(&base, adapter, prompt, request.count);
                    assert_eq!(found, &expected, "{name}: {} tokens, {}", prompt.len(), adapter.is_some());
                }
            }
            // As in a conversation: what one of the runs said, and a few tokens more; the longest text ends here.
            prompts.pop();
            for (prompt, said) in prompts.iter_mut().zip(&found[1]) {
                prompt.extend(said);
                prompt.extend(drawn(9, &base, 4));
            }
        }
    }
}
