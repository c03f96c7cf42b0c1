//! `loralab eval`: losses and accuracies of a base and adapters of it, side by side.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::HumanDuration;
use loralab_core::{
    device::{Machine, wait},
    lab::{Evaluator, for_labels, questions, train::Validation},
    lora::peft::Adapter,
};
use loralab_data::{Batch, Dataset, answer, bytes_per_token, spread, validation};
use loralab_experiment::{Bytes, Event, TextMeasures, fixed_text, loss_text};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    adapter::{self, Speakers},
    answers::Respondent,
    args::EvalArguments,
    base, device,
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
    /// Tokens whose prediction counts; none if texts have labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    /// Bytes of text that these tokens stand for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    /// The number of examples whose answers were compared; none if none were.
    answers: Option<usize>,
    models: Vec<Model>,
}

/// The row of a model.
#[derive(Serialize)]
struct Model {
    name: String,
    /// Mean loss, in nats per token, or per text; for scores their mean squared error.
    loss: Option<f64>,
    /// The other measures by name, in the order of the table.
    #[serde(flatten)]
    measures: Map<String, Value>,
}

/// Evaluates the base and the adapters, and prints a table or JSON.
pub fn eval(arguments: &EvalArguments) -> Result<()> {
    interrupt::end_when_asked("nothing is said of the models");
    let mut loaded = adapter::load(arguments.base.as_deref(), arguments.quantize, &arguments.adapter)?;
    let (dataset, tokens) = data(arguments, &loaded)?;
    let is_labelled = dataset.labelled().is_some();
    if is_labelled {
        let has_own = loaded
            .base
            .model
            .head()
            .iter()
            .all(|(name, _)| loaded.base.tensors.iter().any(|tensor| tensor.name == *name));
        if !has_own && !arguments.json {
            note(
                "The base has no classifier of its own: beside its name are the measures of one that is drawn at random.",
            );
        }
        check_classes(&loaded, has_own, &dataset)?;
        loaded.base = for_labels(loaded.base, &[&dataset])?;
    }
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
        let found = validation.filter(|_| loss.is_some());
        let measures = match is_labelled {
            true => of_labels(found),
            false => {
                let share = |value: fn(Validation) -> Option<f64>| found.and_then(value);
                let TextMeasures { perplexity, bits_per_byte } = TextMeasures::of(loss, of_token);
                let exact_match = match &answered {
                    Answered::Written { right, of } => Some(right[run] as f64 / *of as f64),
                    Answered::Foreseen { .. } => share(|validation| validation.accuracy),
                    Answered::No => None,
                };
                vec![
                    ("perplexity", perplexity),
                    ("bits_per_byte", bits_per_byte),
                    ("token_accuracy", share(|validation| Some(validation.token_accuracy))),
                    ("exact_match", exact_match),
                ]
            }
        };
        let measures = measures.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        Model { name, loss, measures }
    });
    let counted_tokens = |count: &dyn Fn(&Batch) -> usize| (!is_labelled).then(|| batches.iter().map(count).sum());
    let evaluated = Evaluated {
        version: env!("CARGO_PKG_VERSION"),
        device: machine.describe(),
        examples: examples.len(),
        tokens: counted_tokens(&|batch| batch.counted),
        bytes: counted_tokens(&|batch| batch.counted_bytes(&loaded.tokenizer)),
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

/// Refuses data with another number of classes than a classifier has: nothing says which of them they are.
fn check_classes(loaded: &Speakers, has_own: bool, dataset: &Dataset) -> Result<()> {
    let Some(names) = dataset.labelled().and_then(|texts| texts.labels().names()) else { return Ok(()) };
    // The last map of a head has a row for each class.
    let rows = |adapter: &Adapter| {
        adapter.saved.iter().rfind(|tensor| tensor.name.ends_with("weight")).map(|tensor| tensor.shape[0])
    };
    let own = has_own.then(|| loaded.base.model.labels().len());
    let of_adapters = loaded.adapters.iter().filter_map(rows);
    match own.into_iter().chain(of_adapters).find(|classes| *classes != names.len()) {
        Some(classes) => Err(usage(format_args!(
            "the labels of the data are {} ({}), but the classifier tells {classes} classes apart, and nothing says which of them these are; give data with a text of \
             each class",
            names.len(),
            names.join(", ")
        ))),
        None => Ok(()),
    }
}

/// The measures of a model that gives texts a class or a score.
fn of_labels(validation: Option<Validation>) -> Vec<(&'static str, Option<f64>)> {
    match validation.map(|found| (found.accuracy, found.confusion, found.correlation)) {
        Some((_, _, Some(scores))) => vec![("pearson", scores.pearson), ("spearman", scores.spearman)],
        Some((accuracy, Some(table), None)) => {
            vec![("accuracy", accuracy), ("f1", Some(table.f1())), ("mcc", Some(table.matthews()))]
        }
        Some((accuracy, None, None)) => vec![("accuracy", accuracy)],
        None => vec![],
    }
}

/// Reads the data. Returns them with the length of their sequences.
fn data(arguments: &EvalArguments, loaded: &Speakers) -> Result<(Dataset, usize)> {
    let longest = loaded.base.model.longest().max(1);
    let experiment = source::resolve(&arguments.experiment(arguments.tokens.unwrap_or(longest)))?;
    let wanted = base::wanted_of(&loaded.base);
    let (dataset, notes) = source::whole(&experiment, &loaded.tokenizer, wanted.as_ref())?;
    if !arguments.json {
        notes.iter().for_each(note);
    }
    if let (Dataset::Text(_), Some(_)) = (&dataset, arguments.exact_match) {
        return Err(usage(
            "a text has no answers to compare; leave `--exact-match` away, or give examples as `--data`",
        ));
    }
    let own = match (&dataset, dataset.examples(), dataset.labelled()) {
        (_, _, Some(texts)) => texts.iter().map(|text| text.tokens.len()).max().unwrap_or(1),
        (Dataset::Text(_), ..) | (_, None, _) => TEXT.min(longest),
        (_, Some(examples), _) => examples.iter().map(|lesson| lesson.tokens.len()).max().unwrap_or(1),
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
        let text = |value: Option<f64>, words: &dyn Fn(f64) -> String| value.map_or_else(|| "-".to_owned(), words);
        let names: Vec<&str> = self
            .models
            .iter()
            .map(|model| &model.measures)
            .max_by_key(|measures| measures.len())
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        let mut rows: Vec<Vec<String>> = vec![
            ["model", "loss"].into_iter().chain(names.iter().map(|name| heading(name))).map(str::to_owned).collect(),
        ];
        for model in &self.models {
            let measure = |name: &&str| {
                let value = model.measures.get(*name).and_then(Value::as_f64);
                text(
                    value,
                    if matches!(*name, "perplexity" | "bits_per_byte") {
                        &loss_text
                    } else {
                        &|share| fixed_text(share, 3)
                    },
                )
            };
            rows.push(
                [model.name.clone(), text(model.loss, &loss_text)]
                    .into_iter()
                    .chain(names.iter().map(measure))
                    .collect(),
            );
        }
        let answers =
            self.answers.map_or_else(String::new, |answers| format!("; the answers of {answers} are compared"));
        let size = self.tokens.zip(self.bytes).map(|(tokens, bytes)| format!(" of {tokens} tokens ({bytes} bytes)"));
        let examples = counted(self.examples, "example");
        aligned(&rows) + &format!("\n{examples}{}{answers}. On {}.\n", size.unwrap_or_default(), self.device)
    }
}

/// The heading of a measure's column.
fn heading(measure: &str) -> &str {
    match measure {
        "bits_per_byte" => "bits/byte",
        "token_accuracy" => "token accuracy",
        "exact_match" => "exact match",
        "f1" => "F1",
        "mcc" => "MCC",
        "pearson" => "Pearson",
        "spearman" => "Spearman",
        other => other,
    }
}
