//! Sentences about a training before it starts: the share of the data that it reads, and its estimated time.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::HumanDuration;
use loralab_core::{
    device::{Inputs, Machine, RunSettings, wait, webgpu::Tiling},
    lab::{PlanNeeds, Prepared, Sweep, adapted, adapters},
    models::{Base, Linear},
};
use loralab_data::{Dataset, Split};
use loralab_experiment::{Cell, Resolved, SECOND_NAMES};

use crate::dry_run::counted;

/// A shorter first step is timed again, since a first step also allocates memory.
const SHORT: Duration = Duration::from_millis(500);

/// Warnings about settings that may be unintended: schemes left out, and ranks higher than necessary.
pub fn cautions(experiment: &Resolved, base: &Base) -> Vec<String> {
    let trains = |name: &str| experiment.schemes.iter().any(|scheme| scheme == name);
    let left_out = SECOND_NAMES.into_iter().filter(|(second, first)| trains(first) && !trains(second));
    let mut cautions: Vec<String> = left_out
        .map(|(second, first)| format!("{second} is {first} under another name, so it is not trained again."))
        .collect();
    cautions.extend(rank_in_words(experiment, base));
    cautions
}

/// A sentence on the modules that carry adapters and the number of trained parameters of a run, with their share of all parameters.
pub fn trained(experiment: &Resolved, base: &Base) -> String {
    let modules = adapted(base, experiment).unwrap_or_default();
    let ranks = adapters(base, experiment);
    let size = |module: &Linear| ranks.of(&module.name).rank * (module.inputs + module.outputs);
    let elements: usize = modules.iter().map(size).sum();
    let head: usize = base.model.head().iter().map(|(_, [rows, columns])| rows * columns).sum();
    let elements = elements + head;
    let layer = |module: &Linear| module.name.split('.').find_map(|part| part.parse::<usize>().ok());
    let layers: BTreeSet<usize> = modules.iter().filter_map(layer).collect();
    let mut ends: Vec<&str> = vec![];
    for module in &modules {
        let end = module.name.rsplit('.').next().unwrap_or_default();
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    let which = match modules.len() == layers.len() * ends.len() {
        true => format!("{} × {}", counted(layers.len(), "layer"), ends.join(", ")),
        false => format!("{} ({})", counted(modules.len(), "module"), ends.join(", ")),
    };
    let share = 100.0 * elements as f64 / (base.model.parameters() + elements) as f64;
    let head =
        base.model.head_module().map(|module| format!(", and the whole {module} of {} parameters", grouped(head)));
    format!("Adapters: {which}{}: {} trained parameters ({share:.2} %)", head.unwrap_or_default(), grouped(elements))
}

/// A number with commas between its thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let group = |(place, digit): (usize, char)| {
        let comma = place > 0 && (digits.len() - place).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

/// A warning if the rank exceeds that of any change of some matrix; else none.
pub fn rank_in_words(experiment: &Resolved, base: &Base) -> Option<String> {
    let (adapters, linears) = (adapters(base, experiment), base.model.linears());
    let adapted = linears.iter().filter(|linear| adapters.target(&linear.name));
    let narrowest = adapted.map(|linear| (linear.inputs.min(linear.outputs), &linear.name));
    let (width, name) = narrowest.min_by_key(|(width, _)| *width).filter(|(width, _)| *width < experiment.rank)?;
    let module = name.rsplit('.').next().unwrap_or(name);
    Some(format!(
        "The rank is {}, but no change of {module} has a rank above {width}: a higher one takes memory and time, and gains nothing there.",
        experiment.rank
    ))
}

/// Sentences on what was read, the sizes of training and validation data, and the number of epochs.
pub fn data(experiment: &Resolved, data: &Split) -> String {
    let Resolved { steps, tokens, validation_examples, .. } = *experiment;
    let per_step = experiment.sequences_per_step();
    let [train, held_out] = [&data.train, &data.validation].map(|part| part.sequences(tokens));
    let validated = held_out.min(validation_examples);
    let is = if validated == 1 { "is" } else { "are" };
    let epochs = steps as f64 * experiment.sequences_per_step() as f64 / train.max(1) as f64;
    let epochs = if epochs < 10.0 { format!("{epochs:.2}") } else { format!("{epochs:.0}") };
    let parts = match (&data.train, &data.validation) {
        (Dataset::Text(text), Dataset::Text(rest)) => format!(
            "{} tokens of text to train on, {train} sequences, and {} held out, of whose {held_out} sequences {validated} {is}",
            text.len(),
            rest.len()
        ),
        (Dataset::Packed(packed), _) => format!(
            "{} examples in {train} sequences to train on and {held_out} examples held out, of which {validated} {is}",
            packed.examples().len()
        ),
        _ => format!("{train} examples to train on and {held_out} held out, of which {validated} {is}"),
    };
    let notes: String = data.notes.iter().map(|note| format!("{note}\n")).collect();
    let unit = match data.train.labelled().map(|texts| texts.labels().names().is_some()) {
        None => "in nats per token, ",
        Some(true) => "in nats per text, ",
        Some(false) => "the squared error, ",
    };
    format!(
        "{notes}{parts} validated with: their mean loss, {unit}is what is compared.\n\
         {steps} steps of {per_step} sequences are {epochs} epochs."
    )
}

/// Estimates the training time of these cohorts by timing a step and a validation of some of them. The timed steps do not count for any run.
///
/// # Errors
/// If a device fails.
pub fn time(experiment: &Resolved, prepared: &Prepared, sweep: &Sweep<'_>, cohorts: &[Vec<Cell>]) -> Result<String> {
    let device = prepared.machine.describe();
    if let Machine::Gpu(gpu) = &prepared.machine
        && matches!(gpu.options().tiling, Tiling::Timed(_))
    {
        return Ok(format!("On {device}; how long it takes shows once its tiles are timed."));
    }
    let Some(cells) = cohorts.iter().max_by_key(|cells| cells.len()) else { return Ok(String::new()) };
    let timed = timed(experiment, prepared, sweep, cells)?;
    let times: usize = cohorts.iter().map(|cells| cells.len().div_ceil(timed.runs)).sum();
    let seconds = timed.training(experiment, prepared) * times as f64;
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let seconds = match seconds.as_secs() {
        0 => "Less than a second".to_owned(),
        _ => format!("About {}", HumanDuration(seconds)),
    };
    Ok(format!("{seconds} on {device}, by a step that was timed, beside starts that read weights or data."))
}

/// The times of a step and of a validation's batch.
pub struct Timed {
    /// The runs that they are of.
    runs: usize,
    /// Seconds of a step of these runs.
    step: f64,
    /// Seconds of a batch of a validation of these runs.
    validation: f64,
}

impl Timed {
    /// Seconds of a whole training of these runs.
    fn training(&self, experiment: &Resolved, prepared: &Prepared) -> f64 {
        let Resolved { steps, batch_size, tokens, validation_examples, evaluate_every, .. } = *experiment;
        let batches = prepared.data.validation.sequences(tokens).min(validation_examples).div_ceil(batch_size);
        let due = steps.saturating_sub(1).checked_div(evaluate_every).unwrap_or(0);
        let validations = 1 + due + experiment.rungs().count();
        self.step * steps as f64 + self.validation * (validations as f64 * batches as f64)
    }

    /// The share of each run in that.
    pub fn of_run(&self, experiment: &Resolved, prepared: &Prepared) -> f64 {
        self.training(experiment, prepared) / self.runs as f64
    }
}

/// Times a step and a batch of a validation of some of these runs. They do not count for any run.
///
/// # Errors
/// If a device fails.
pub fn timed(experiment: &Resolved, prepared: &Prepared, sweep: &Sweep<'_>, cells: &[Cell]) -> Result<Timed> {
    let runs = match prepared.machine {
        // Each thread trains one run, so as many runs as threads take the time of one.
        Machine::Cpu(threads) => {
            let threads = threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
            cells.len().min(threads.unwrap_or(1))
        }
        Machine::Gpu(_) => cells.len(),
    };
    let plan = Arc::new(sweep.plan(runs, PlanNeeds::of(experiment, cells)));
    let zeros = vec![0.0; plan.trained_len()];
    let batch = sweep.batch(experiment.seeds[0])?;
    let inputs = vec![Inputs::from(&batch); runs];
    wait(async {
        let mut device = prepared.machine.make(plan.clone(), prepared.base.tensors.clone()).await?;
        let pairs = if plan.frozen_pairs { &zeros[..] } else { &[] };
        (0..runs).for_each(|run| device.load(run, &zeros, pairs, RunSettings::PLAIN));
        let mut times = [Duration::ZERO; 2];
        for validates in [false, true] {
            let time = &mut times[usize::from(validates)];
            for _ in 0..2 {
                let began = Instant::now();
                if validates {
                    device.evaluate(std::slice::from_ref(&inputs)).await?;
                } else {
                    device.step(&inputs, &vec![0.0; runs]);
                    device.reports().await?;
                }
                *time = began.elapsed();
                if *time > SHORT {
                    break;
                }
            }
        }
        let [step, validation] = times.map(|time| time.as_secs_f64());
        Ok(Timed { runs, step, validation })
    })
}
