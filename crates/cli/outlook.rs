//! Sentences about the training that is about to begin: how much of the data it sees, and how long that takes here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::HumanDuration;
use loralab_core::{
    device::{Inputs, Machine, RunSettings, wait, webgpu::Tiling},
    lab::{Room, Sweep},
};
use loralab_data::{Dataset, Split};
use loralab_experiment::{Cell, Resolved};

use crate::sweep::Prepared;

/// A first step that takes less is timed again: it also fills memory that later ones find.
const SHORT: Duration = Duration::from_millis(500);

/// The parts of the data, and how often the training goes through its own.
pub fn data(experiment: &Resolved, data: &Split) -> String {
    let Resolved { steps, tokens, validation_examples, .. } = *experiment;
    let per_step = experiment.sequences_per_step();
    let [train, held_out] = [&data.train, &data.validation].map(|part| part.sequences(tokens));
    let validated = held_out.min(validation_examples);
    let epochs = steps as f64 * experiment.sequences_per_step() as f64 / train.max(1) as f64;
    let epochs = if epochs < 10.0 { format!("{epochs:.2}") } else { format!("{epochs:.0}") };
    let parts = match (&data.train, &data.validation) {
        (Dataset::Text(text), Dataset::Text(rest)) => format!(
            "{} tokens of text to train on, {train} sequences, and {} held out, of whose {held_out} sequences {validated} are",
            text.len(),
            rest.len()
        ),
        _ => format!("{train} examples to train on and {held_out} held out, of which {validated} are"),
    };
    format!(
        "{parts} validated with: their mean loss, in nats per token, is what is compared.\n\
         {steps} steps of {per_step} sequences are {epochs} epochs."
    )
}

/// Estimates the time that the runs of these cohorts take, by a step and a validation of some of them that are timed. What is timed is kept nowhere.
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
    let runs = match prepared.machine {
        // A thread carries a run, so that as many as there are threads take as long as one.
        Machine::Cpu(threads) => {
            let threads = threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
            cells.len().min(threads.unwrap_or(1))
        }
        Machine::Gpu(_) => cells.len(),
    };
    let plan = Arc::new(sweep.plan(runs, Room::of(experiment, cells)));
    let zeros = vec![0.0; plan.trained_len()];
    let batch = sweep.batch(experiment.seeds[0])?;
    let inputs = vec![Inputs::from(&batch); runs];
    let (step, validation) = wait(async {
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
        Ok::<_, anyhow::Error>((times[0].as_secs_f64(), times[1].as_secs_f64()))
    })?;
    let Resolved { steps, batch_size, tokens, validation_examples, evaluate_every, .. } = *experiment;
    let batches = prepared.data.validation.sequences(tokens).min(validation_examples).div_ceil(batch_size);
    let validations = 1 + steps.saturating_sub(1).checked_div(evaluate_every).unwrap_or(0);
    let of_runs = step * steps as f64 + validation * (validations as f64 * batches as f64);
    let times: usize = cohorts.iter().map(|cells| cells.len().div_ceil(runs)).sum();
    let seconds = Duration::try_from_secs_f64(of_runs * times as f64).unwrap_or(Duration::MAX);
    let seconds = match seconds.as_secs() {
        0 => "Less than a second".to_owned(),
        _ => format!("About {}", HumanDuration(seconds)),
    };
    Ok(format!("{seconds} on {device}, by a step that was timed, beside starts that read weights or data."))
}
