//! `loralab eval`: losses and accuracies of a base and adapters of it, side by side.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::HumanDuration;
use loralab_core::{
    device::{Machine, wait},
    lab::{Evaluator, questions, train::Validation},
    lora::peft::Adapter,
};
use loralab_data::{Batch, Dataset, answer, bytes_per_token, spread, validation};
use loralab_experiment::{Bytes, Event, TextMeasures, fixed_text, loss_text};
use serde::Serialize;

use crate::{
    adapter::{self, Speakers},
    answers::Respondent,
    args::EvalArguments,
    device,
    dry_run::counted,
    failure::usage,
    interrupt, source,
    table::aligned,
    terminal::{note, print},
};

/// Tokens of a sequence of text, unless asked for otherwise.
const TEXT: usize = 512;

/// Time between two notes on what is done.
const SILENCE: Duration = Duration::from_secs(10);

/// The object that `--json` prints.
#[derive(Serialize)]
struct Evaluated {
    /// Version of loralab.
    version: &'static str,
    device: String,
    /// Examples, or sequences of a text.
    examples: usize,
    /// Tokens whose prediction counts.
    tokens: usize,
    /// Bytes of text that these tokens stand for.
    bytes: usize,
    /// The number of examples whose answers were compared; none if none were.
    answers: Option<usize>,
    models: Vec<Model>,
}

/// The row of a model.
#[derive(Serialize)]
struct Model {
    name: String,
    /// Mean loss, in nats per token.
    loss: Option<f64>,
    perplexity: Option<f64>,
    bits_per_byte: Option<f64>,
    token_accuracy: Option<f64>,
    exact_match: Option<f64>,
}

/// Evaluates the base and the adapters, and prints a table or JSON.
pub fn eval(arguments: &EvalArguments) -> Result<()> {
    interrupt::end_when_asked("nothing is said of the models");
    let loaded = adapter::load(arguments.base.as_deref(), arguments.quantize, &arguments.adapter)?;
    if loaded.base.model.output().is_of_texts() {
        bail!(
            "`{}` classifies texts, but `eval` measures models that continue them; `sweep` and `train` report the accuracy of a classifier",
            loaded.name
        );
    }
    let (dataset, tokens) = data(arguments, &loaded)?;
    let limit = arguments.examples.unwrap_or(usize::MAX);
    let batches = validation(&dataset, arguments.batch_size, tokens, limit).map_err(usage)?;
    let threads = source::threads(arguments.threads)?;
    let machine = device::open(&arguments.device, threads, arguments.json)?;
    let available = device::available(&machine, arguments.memory);
    let given: Vec<_> = [None].into_iter().chain(loaded.adapters.iter().map(Some)).collect();
    let validations = validate(arguments, &loaded, &given, &batches, tokens, &machine, available)?;
    let examples = spread(dataset.sequences(tokens), limit);
    let answered = answers(arguments, &loaded, &given, &dataset, &examples, &machine, available)?;

    let of_token = bytes_per_token(&batches, &loaded.tokenizer);
    let folders = arguments.adapter.iter().map(|folder| folder.display().to_string());
    let names = [loaded.name.clone()].into_iter().chain(folders);
    let models = names.zip(validations).enumerate().map(|(run, (name, validation))| {
        let loss = validation.and_then(|validation| Event::finite(validation.loss));
        let TextMeasures { perplexity, bits_per_byte } = TextMeasures::of(loss, of_token);
        let share = |value: fn(Validation) -> Option<f64>| validation.filter(|_| loss.is_some()).and_then(value);
        Model {
            name,
            loss,
            perplexity,
            bits_per_byte,
            token_accuracy: share(|validation| Some(validation.token_accuracy)),
            exact_match: match &answered {
                Answered::Written { right, of } => Some(right[run] as f64 / *of as f64),
                Answered::Foreseen { .. } => share(|validation| validation.accuracy),
                Answered::No => None,
            },
        }
    });
    let evaluated = Evaluated {
        version: env!("CARGO_PKG_VERSION"),
        device: machine.describe(),
        examples: examples.len(),
        tokens: batches.iter().map(|batch| batch.counted).sum(),
        bytes: batches.iter().map(|batch| batch.counted_bytes(&loaded.tokenizer)).sum(),
        answers: match answered {
            Answered::Written { of, .. } | Answered::Foreseen { of } => Some(of),
            Answered::No => None,
        },
        models: models.collect(),
    };
    match arguments.json {
        true => print(serde_json::to_string_pretty(&evaluated)?)?,
        false => print(evaluated.table().trim_end())?,
    }
    Ok(())
}

/// Reads the data. Returns them with the length of their sequences.
fn data(arguments: &EvalArguments, loaded: &Speakers) -> Result<(Dataset, usize)> {
    let longest = loaded.base.model.longest().max(1);
    let experiment = source::resolve(&arguments.experiment(arguments.tokens.unwrap_or(longest)))?;
    let (dataset, notes) = source::whole(&experiment, &loaded.tokenizer)?;
    if !arguments.json {
        notes.iter().for_each(note);
    }
    if let (Dataset::Text(_), Some(_)) = (&dataset, arguments.exact_match) {
        return Err(usage(
            "a text has no answers to compare; leave `--exact-match` away, or give examples as `--data`",
        ));
    }
    let own = match (&dataset, dataset.examples()) {
        (Dataset::Text(_), _) | (_, None) => TEXT.min(longest),
        (_, Some(examples)) => examples.iter().map(|lesson| lesson.tokens.len()).max().unwrap_or(1),
    };
    Ok((dataset, arguments.tokens.unwrap_or(own)))
}

/// Evaluates all models on the batches.
fn validate(
    arguments: &EvalArguments,
    loaded: &Speakers,
    given: &[Option<&Adapter>],
    batches: &[Batch],
    tokens: usize,
    machine: &Machine,
    available: u64,
) -> Result<Vec<Option<Validation>>> {
    let explained = |error| adapter::explained(error, &loaded.name);
    let evaluator = Evaluator::new(&loaded.base, given, arguments.batch_size, tokens).map_err(explained)?;
    let needed = machine.needs(evaluator.plan(), &loaded.base.tensors).of(given.len());
    if needed > available {
        return Err(usage(format_args!(
            "a pass over {} of {tokens} tokens with {} takes {}, but only {} may be used. Lower `--batch-size` or `--tokens`, give fewer \
             adapters at once, or raise `--memory`.",
            counted(arguments.batch_size, "sequence"),
            counted(given.len(), "model"),
            Bytes(needed),
            Bytes(available)
        )));
    }
    let make_device = |plan, base| machine.make(plan, base);
    let (began, mut told) = (Instant::now(), Instant::now());
    let on_group = |done: usize| {
        if !arguments.json && done < batches.len() && told.elapsed() > SILENCE {
            let left = began.elapsed().div_f64(done as f64).mul_f64((batches.len() - done) as f64);
            note(format_args!("{done} of {} passes are done, about {} left.", batches.len(), HumanDuration(left)));
            told = Instant::now();
        }
    };
    wait(evaluator.validate(batches, &make_device, on_group)).map_err(explained)
}

/// The comparison of answers.
enum Answered {
    /// Each model has written them: the number of right ones for each.
    Written { right: Vec<usize>, of: usize },
    /// The pass over the data says which would be written.
    Foreseen { of: usize },
    /// There are none, or they must be written to be compared and nobody asked for that.
    No,
}

/// Lets the models answer, as far as that was asked for.
fn answers(
    arguments: &EvalArguments,
    loaded: &Speakers,
    given: &[Option<&Adapter>],
    dataset: &Dataset,
    chosen: &[usize],
    machine: &Machine,
    available: u64,
) -> Result<Answered> {
    let Some(examples) = dataset.examples() else { return Ok(Answered::No) };
    let Some(most) = arguments.exact_match else {
        let all = questions(examples, chosen, &loaded.tokenizer);
        if !all.iter().any(|question| answer::has_mark(&question.wanted)) {
            return Ok(Answered::Foreseen { of: all.len() });
        }
        if !arguments.json {
            note(
                "Answers that end in `#### ` and a number are compared only if the models write them: `--exact-match N` asks for N of them.",
            );
        }
        return Ok(Answered::No);
    };
    let few: Vec<usize> = spread(chosen.len(), most).into_iter().map(|place| chosen[place]).collect();
    let asked = questions(examples, &few, &loaded.tokenizer);
    let respondent = Respondent {
        base: &loaded.base,
        name: &loaded.name,
        tokenizer: &loaded.tokenizer,
        machine,
        available,
        batch_size: arguments.batch_size,
        count: arguments.count,
    };
    let on_asked = |done: usize| {
        if !arguments.json {
            note(format_args!("{done} of {} questions are answered.", asked.len()));
        }
    };
    let right = respondent.right(given, &asked, on_asked)?;
    Ok(Answered::Written { right, of: asked.len() })
}

impl Evaluated {
    /// A line for each model, with aligned columns, and what they were evaluated on.
    fn table(&self) -> String {
        let header = ["model", "loss", "perplexity", "bits/byte", "token accuracy", "exact match"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        let text = |value: Option<f64>, words: &dyn Fn(f64) -> String| value.map_or_else(|| "-".to_owned(), words);
        let share = |value: f64| fixed_text(value, 3);
        for model in &self.models {
            rows.push(vec![
                model.name.clone(),
                text(model.loss, &loss_text),
                text(model.perplexity, &loss_text),
                text(model.bits_per_byte, &loss_text),
                text(model.token_accuracy, &share),
                text(model.exact_match, &share),
            ]);
        }
        let answers =
            self.answers.map_or_else(String::new, |answers| format!("; the answers of {answers} are compared"));
        aligned(&rows)
            + &format!(
                "\n{} of {} tokens ({} bytes){answers}. On {}.\n",
                counted(self.examples, "example"),
                self.tokens,
                self.bytes,
                self.device
            )
    }
}
