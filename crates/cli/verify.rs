//! `loralab verify`: every kernel of a training step on a GPU, held to the bound that the CPU derives for it.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use loralab_core::{
    device::{Gpu, Inputs, Machine, wait},
    lab::{Room, State, verify as judge},
};
use loralab_experiment::Experiment;

use crate::{
    args::VerifyArguments, dry_run::counted, failure::usage, interrupt, search, source, sweep::Prepared,
    terminal::print,
};

/// Looks at one step of the first cohort.
pub fn verify(arguments: &VerifyArguments) -> Result<()> {
    interrupt::end_when_asked("nothing is verified");
    search::refuse(arguments.grid.learning_rates.as_deref(), "verify")?;
    let flags = arguments.grid.over(arguments.settings.experiment());
    // Small enough for a CPU that carries an error bound with every number.
    let defaults = Experiment {
        base: Some("nano".to_owned()),
        batch_size: Some(2),
        learning_rates: Some(vec![4e-3]),
        cohort: Some(4),
        ..Experiment::default()
    };
    let experiment = source::experiment(defaults, arguments.settings.config.as_deref(), flags)?;
    let prepared = Prepared::new(&experiment, &arguments.device, false)?;
    let Machine::Gpu(accelerator) = &prepared.machine else {
        return Err(usage(
            "there is no real GPU here to be verified; `loralab devices` lists what there is, and `--device gpu` takes a software one too",
        ));
    };
    let sweep = prepared.sweep(&experiment)?;
    let cohorts = prepared.cohorts(&sweep, &experiment)?;
    let cells = cohorts.first().ok_or_else(|| anyhow!("the grid has no runs"))?;
    let plan = Arc::new(sweep.plan(cells.len(), Room::of(&experiment, cells)));
    let runs = cells.iter().map(|cell| sweep.start(cell)).collect::<Result<Vec<_>, _>>()?;
    let make_device = |plan, base| prepared.machine.make(plan, base);
    let starts = wait(sweep.starts(&runs, &plan, &make_device)).map_err(usage)?;
    let states = starts.into_iter().zip(&runs).map(|(start, run)| {
        let (trained, frozen_pairs) = start.map_err(usage)?.initial.numbers();
        Ok(State { trained, frozen_pairs, settings: run.settings })
    });
    let states = states.collect::<Result<Vec<State>>>()?;
    let batches = runs.iter().map(|run| sweep.batch(run.seed)).collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<Inputs<'_>> = batches.iter().map(Inputs::from).collect();
    let rates: Vec<f64> = runs.iter().map(|run| run.learning_rate).collect();

    let verdict = wait(async {
        let mut gpu = Gpu::new(accelerator.clone(), plan.clone(), prepared.base.tensors.clone()).await?;
        judge(&mut gpu, &plan, &prepared.base.tensors, &states, &inputs, &rates).await
    })?;
    let width = verdict.kernels.iter().map(|kernel| kernel.name.len()).max().unwrap_or(0);
    for kernel in verdict.kernels.iter().filter(|_| arguments.list) {
        print(format_args!(
            "{:width$}  {:>9} elements  {:>6} % of the bound",
            kernel.name,
            kernel.elements,
            percent(kernel.share)
        ))?;
    }
    if let Some(kernel) = verdict.failure() {
        let worst = kernel.worst;
        bail!(
            "{} leaves its bound at `{}`: element {} of run {} is {:e}, but {:e} is right and {:e} may be off. Use `--device cpu`, \
             and please report this with the output of `loralab devices`",
            accelerator.name(),
            kernel.name,
            worst.index,
            worst.run,
            worst.gpu,
            worst.exact,
            worst.allowed
        );
    }
    let elements: usize = verdict.kernels.iter().map(|kernel| kernel.elements).sum();
    let worst = verdict.kernels.iter().max_by(|one, other| one.share.total_cmp(&other.share));
    let (name, share) = worst.map_or(("", 0.0), |kernel| (kernel.name.as_str(), kernel.share));
    print(format_args!(
        "{}: {} kernels of a step of {} are within their bounds, {elements} numbers compared; the largest error is {} % of what is \
         allowed, at `{name}`.",
        accelerator.name(),
        verdict.kernels.len(),
        counted(cells.len(), "run"),
        percent(share)
    ))?;
    Ok(())
}

/// A share in percent with two decimals; what is short of the whole is never rounded up to it.
fn percent(share: f64) -> String {
    format!("{:.2}", (1e4 * share).floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn what_is_short_of_the_whole_is_shown_so() {
        assert_eq!([0.0, 0.1234, 0.996, 0.99999, 1.0].map(percent), ["0.00", "12.34", "99.60", "99.99", "100.00"]);
    }
}
