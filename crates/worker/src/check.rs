//! The self-check: compares every kernel of a training step on this GPU with the error bound that the CPU derives for it.

use std::{fmt::Write, sync::Arc};

use loralab_core::{
    device::{Gpu, Inputs, Machine},
    lab::{
        self, PlanNeeds, State, Sweep,
        train::{Run, start},
        verify,
    },
};
use loralab_data::{Dataset, HELD_OUT, Task};
use loralab_experiment::{Experiment, Message, Seeds};

use crate::{Host, TOKENIZER, base, words};

/// Checks one step of a small cohort, and posts a report.
pub(crate) async fn check(machine: &Machine, host: &dyn Host) -> Result<(), String> {
    let Machine::Gpu(accelerator) = machine else {
        return Err(
            "the page trains on the processor, which is what a GPU is checked against; there is nothing to check"
                .to_owned(),
        );
    };
    // Small enough for a CPU that computes an error bound for every number.
    let experiment = Experiment {
        base: Some("nano".to_owned()),
        schemes: Some(vec!["init-a".to_owned(), "init-ab-subtract".to_owned()]),
        learning_rates: Some(vec![4e-3]),
        seeds: Some(Seeds::Count(1)),
        batch_size: Some(1),
        ..Experiment::default()
    };
    let experiment = lab::resolve(&experiment).map_err(words)?;
    let base = base("nano", host).await?;
    let data =
        Dataset::Examples(Task::Translation.examples(TOKENIZER, 0, 256).into()).split(0, HELD_OUT, experiment.tokens);
    let data = data.map_err(words)?;
    let sweep = Sweep::new(&base, "nano", &experiment, &data).map_err(words)?;
    let cells = experiment.cells();
    let plan = Arc::new(sweep.plan(cells.len(), PlanNeeds::of(&experiment, &cells)));
    let runs = cells.iter().map(|cell| sweep.start(cell)).collect::<Result<Vec<_>, _>>().map_err(words)?;
    let state = |run: &Run| {
        let (trained, frozen_pairs) = start(&plan, &base.tensors, run).map_err(words)?.numbers();
        Ok(State { trained, frozen_pairs, settings: run.settings })
    };
    let states = runs.iter().map(state).collect::<Result<Vec<State>, String>>()?;
    let batches = runs.iter().map(|run| sweep.batch(run.seed)).collect::<Result<Vec<_>, _>>().map_err(words)?;
    let inputs: Vec<Inputs<'_>> = batches.iter().map(Inputs::from).collect();
    let rates: Vec<f64> = runs.iter().map(|run| run.learning_rate).collect();

    let mut gpu = Gpu::new(accelerator.clone(), plan.clone(), base.tensors.clone()).await.map_err(words)?;
    let verdict = verify(&mut gpu, &plan, &base.tensors, &states, &inputs, &rates).await.map_err(words)?;
    let elements: usize = verdict.kernels.iter().map(|kernel| kernel.elements).sum();
    let mut report = format!("loralab {} self-check on {}\n", env!("CARGO_PKG_VERSION"), machine.describe());
    let failure = verdict.failure();
    let (count, runs) = (verdict.kernels.len(), cells.len());
    // Writing to a String can't fail.
    let _ = match failure {
        None => writeln!(
            report,
            "passed: {count} kernels of a step of {runs} runs are within their bounds, {elements} numbers compared"
        ),
        Some(kernel) => writeln!(report, "FAILED at {}: {:?}", kernel.name, kernel.worst),
    };
    for kernel in &verdict.kernels {
        let _ = writeln!(report, "{:6.2} % of its bound  {}", 100.0 * kernel.share, kernel.name);
    }
    host.post(Message::Checked { passed: failure.is_none(), report });
    Ok(())
}
