//! `loralab plan`: prints the list of dispatches that a training step replays.

use anyhow::Result;
use loralab_core::lab::PlanNeeds;
use loralab_experiment::Experiment;

use crate::{
    args::PlanArguments,
    prepare::{prepare, refused},
    search, source,
    terminal::print,
};

/// Prints the plan of a cohort.
pub fn plan(arguments: &PlanArguments) -> Result<()> {
    search::refuse(arguments.grid.learning_rates.as_deref(), "plan")?;
    let flags = arguments.grid.over(arguments.settings.experiment());
    let experiment = source::experiment(Experiment::default(), arguments.settings.config.as_deref(), flags)?;
    let prepared = prepare(&experiment, &arguments.device, false)?;
    let sweep = prepared.sweep(&experiment).map_err(|error| refused(error, &experiment))?;
    let cohorts = prepared.cohorts(&sweep, &experiment.cells()).map_err(|error| refused(error, &experiment))?;
    let first = cohorts.first().map_or(&[][..], Vec::as_slice);
    let plan = sweep.plan(arguments.runs.unwrap_or(first.len()), PlanNeeds::of(&experiment, first));
    print(plan.print(&prepared.base.tensors))?;
    Ok(())
}
