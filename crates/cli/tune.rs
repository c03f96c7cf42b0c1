//! `loralab tune`: finds a scheme and a learning rate within a budget, and trains an adapter with them.
//!
//! Its folder has the results of the comparison and, if that was shorter, of the last training, in folders of their own, and the adapter beside them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use loralab_core::lab::Prepared;
use loralab_experiment::{
    Allowance, BestCheckpoint, Cell, Choice, Experiment, RateSearch, Resolved, Seeds, Tuned, Work, comparison_steps,
    run_steps, winner,
};
use serde::{Deserialize, Serialize};

use crate::{
    args::{Output, TuneArguments},
    durable::{write_folder, write_whole},
    failure::{Stopped, usage},
    grid::{Cells, train_grid},
    interrupt::Interrupt,
    outlook,
    prepare::{self, refused},
    report,
    results::{ADAPTER_CONFIG, ADAPTER_TENSORS, ADAPTERS, COMMAND, REPORT, Results, TUNED, best, lock_folder},
    resume::{self, Begun},
    source,
    sweep::of_length,
    terminal::{note, print, quoted},
    trained::Trained,
};

/// The folders of the comparison, of the last training, and of the adapter.
pub const COMPARISON: &str = "comparison";
const LAST: &str = "last";
const ADAPTER: &str = "adapter";
/// The file of the plan.
const PLAN: &str = "plan.json";
/// Seeds, if the settings do not say how many; the budget may not pay all.
const SEEDS: u64 = 5;
/// The share of the budget from which it counts as used.
const FULL: f64 = 0.8;
/// The share of the last training's estimated time that is reserved for it.
const RESERVE: f64 = 1.05;

/// The decisions before the first step, which hold when a tuning is continued.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    /// The budget.
    budget: Work,
    /// Steps of the runs that are compared.
    compared_steps: usize,
    /// The part of the budget that the last training takes, in the budget's unit; 0 if there is none.
    last: f64,
}

/// A tuning under way.
struct Tuning<'a> {
    arguments: &'a TuneArguments,
    budget: Work,
    /// The experiment at full length.
    experiment: Resolved,
    prepared: Prepared,
    plan: Plan,
    interrupt: Interrupt,
}

/// Compares, trains, and writes the folder.
pub fn tune(arguments: &TuneArguments, begun: &Begun) -> Result<()> {
    let started = Instant::now();
    let TuneArguments { grid, output, .. } = arguments;
    // A folder that is continued says how much it was.
    let Some(budget) = arguments.budget else { return Err(usage("`tune` needs a `--budget`")) };
    let flags = grid.over(arguments.settings.experiment());
    let refuse_rates = |settings: &Experiment| match settings.learning_rates {
        Some(_) => Err(usage(
            "`tune` searches for the learning rates; leave `--learning-rates` away, or compare those by `loralab sweep`",
        )),
        None => Ok(()),
    };
    refuse_rates(&flags)?;
    let defaults = Experiment { seeds: Some(Seeds::Count(SEEDS)), ..Experiment::default() };
    let mut settings = source::settings(defaults, arguments.settings.config.as_deref(), flags)?;
    refuse_rates(&settings)?;
    settings.searches = false;
    settings.stop_early.get_or_insert(true);
    let (experiment, data) = of_length(settings, arguments.length)?;
    if output.resume.is_none() {
        Results::check_free(&output.output, "")?;
    }
    let interrupt = Interrupt::listen(output.quiet);
    let _lock = lock_folder(&output.output)?;
    let prepared = prepare::with_data(&experiment, data, &arguments.device, output.quiet)?;
    let file = output.output.join(PLAN);
    let known = known_plan(&file)?;
    let plan = match known {
        Some(plan) if plan.budget == budget => plan,
        Some(plan) => continued(plan, budget, &experiment, &prepared, started, output.quiet)?,
        None => new_plan(budget, &experiment, &prepared, started)?,
    };
    // A folder with a command can be continued, also without a plan.
    begun.write(&output.output.join(COMMAND))?;
    if known != Some(plan) {
        write_whole(&file, format!("{}\n", serde_json::to_string_pretty(&plan)?).as_bytes())?;
    }
    let tuning = Tuning { arguments, budget, experiment, prepared, plan, interrupt };
    tuning.outlook();
    tuning.run().map_err(|error| tuning.stopped(error))
}

/// The plan in a file; none if it is not there.
fn known_plan(file: &Path) -> Result<Option<Plan>> {
    if !file.exists() {
        return Ok(None);
    }
    let read = || format!("`{}` is not a plan that loralab wrote; begin anew, without `--resume`", file.display());
    Ok(Some(serde_json::from_slice(&fs::read(file).with_context(read)?).with_context(read)?))
}

/// The plan with another budget. Runs that were compared keep their length.
fn continued(
    plan: Plan,
    budget: Work,
    experiment: &Resolved,
    prepared: &Prepared,
    started: Instant,
    quiet: bool,
) -> Result<Plan> {
    let is_larger = match (plan.budget, budget) {
        (Work::Steps(was), Work::Steps(is)) => is > was,
        (Work::Seconds(was), Work::Seconds(is)) => is > was,
        _ => false,
    };
    if !is_larger {
        return Err(usage(format_args!(
            "this tuning was begun with a budget of {}, and {budget} is no larger one in the same unit; give a larger one, or leave `--budget` away",
            plan.budget
        )));
    }
    let new = new_plan(budget, experiment, prepared, started)?.compared_steps;
    if new > plan.compared_steps && !quiet {
        note(format_args!(
            "The runs that are compared keep their {} steps, and more seeds are what a larger budget pays here; begun anew in another folder, {budget} would pay a \
             comparison at {new} steps.",
            plan.compared_steps
        ));
    }
    Ok(Plan { budget, ..plan })
}

/// The longest comparison that the budget pays beside what follows.
fn new_plan(budget: Work, experiment: &Resolved, prepared: &Prepared, started: Instant) -> Result<Plan> {
    let steps = experiment.steps;
    let (run_steps, last) = match budget {
        Work::Steps(all) => (all as f64, steps as f64),
        Work::Seconds(all) => {
            let sweep = prepared.sweep(experiment).map_err(|error| refused(error, experiment))?;
            let first = RateSearch::of_best(experiment).next(None, &[]);
            let scouts: Vec<Cell> = first.iter().flat_map(Choice::cells).collect();
            let cohorts = prepared.cohorts(&sweep, &scouts).map_err(|error| refused(error, experiment))?;
            let seconds = |cells: &[Cell]| -> Result<f64> {
                Ok(outlook::timed(experiment, prepared, &sweep, cells)?.of_run(experiment, prepared))
            };
            let (together, alone) = (seconds(&cohorts[0])? / steps as f64, RESERVE * seconds(&scouts[..1])?);
            ((all - started.elapsed().as_secs_f64()) / together, alone / together)
        }
    };
    let Some(compared_steps) = comparison_steps(run_steps, last, experiment.schemes.len(), steps) else {
        let pays = |times: &f64| comparison_steps(times * run_steps, last, experiment.schemes.len(), steps).is_some();
        let times = (1..).map(|times| 1.0 + 0.05 * f64::from(times)).find(pays).unwrap_or(f64::INFINITY);
        let needed = match budget {
            Work::Steps(all) => Work::Steps((all as f64 * times).ceil() as usize),
            Work::Seconds(all) => Work::Seconds((all * times).ceil()),
        };
        return Err(usage(format_args!(
            "a budget of {budget} pays about {run_steps:.0} steps of single runs, too few to compare {} and train {steps} steps with the best; give {needed} or more, lower \
             `--steps`, or name fewer `--schemes`",
            experiment.schemes.join(" and ")
        )));
    };
    let last = match (compared_steps == steps, budget) {
        (true, _) => 0.0,
        (false, Work::Steps(_)) => last,
        (false, Work::Seconds(all)) => last * (all / run_steps),
    };
    Ok(Plan { budget, compared_steps, last })
}

impl Tuning<'_> {
    /// Says what is going to happen.
    fn outlook(&self) {
        let Plan { compared_steps, .. } = self.plan;
        let steps = self.experiment.steps;
        if !self.arguments.output.quiet {
            let then = if compared_steps == steps { "" } else { ", then the best of them trained" };
            note(format_args!(
                "Budget {}: {} are compared at {compared_steps} of {steps} steps{then}.",
                self.budget,
                self.experiment.schemes.join(", ")
            ));
        }
    }

    fn run(&self) -> Result<()> {
        let Plan { compared_steps, last, .. } = self.plan;
        let Resolved { steps, warmup_steps, .. } = self.experiment;
        let compared = Resolved {
            steps: compared_steps,
            warmup_steps: warmup_steps * compared_steps / steps,
            ..self.experiment.clone()
        };
        let budget = match self.budget {
            Work::Steps(steps) => Work::Steps(steps.saturating_sub(last as usize)),
            Work::Seconds(seconds) => Work::Seconds(seconds - last),
        };
        let cells = Cells::Tuned(Allowance { budget, steps: compared_steps });
        let mut comparison = self.train(&compared, cells, COMPARISON)?;
        comparison.complete(self.arguments.output.quiet)?;
        let Some((cell, is_significant)) = winner(&comparison.summary, &comparison.runs) else {
            bail!("no run of the comparison ended with a loss; `{}` says why", self.folder(COMPARISON).display());
        };
        let spent = run_steps(&comparison.runs, compared_steps);
        let mut seconds = comparison.summary.setting.wall_seconds;
        let last = if compared_steps < steps { Some(self.last(&cell)?) } else { None };
        let of = last.as_ref().unwrap_or(&comparison);
        let checkpoint = of.runs.iter().find(|run| run.cell == cell).and_then(BestCheckpoint::of);
        let Some(BestCheckpoint { step, loss, .. }) = checkpoint else {
            bail!(
                "the setting that was best in short runs, {} at {:e}, diverged at full length; give a larger budget, which compares longer runs",
                cell.scheme,
                cell.learning_rate
            );
        };
        self.take_adapter(of, &cell)?;
        seconds += last.as_ref().map_or(0.0, |last| last.summary.setting.wall_seconds);
        let tuned = Tuned {
            budget: self.budget,
            compared_steps,
            cell,
            steps,
            best_step: step,
            loss,
            run_steps: spent + if last.is_some() { steps } else { 0 },
            seconds,
            compared: comparison.summary.sentence(),
            is_significant,
        };
        self.write(&tuned, &comparison)
    }

    /// Trains with the best setting at full length.
    fn last(&self, cell: &Cell) -> Result<Trained> {
        let Cell { scheme, learning_rate, seed } = cell.clone();
        let experiment = Resolved {
            schemes: vec![scheme],
            learning_rates: vec![learning_rate],
            seeds: vec![seed],
            stop_early: false,
            ..self.experiment.clone()
        };
        let mut last = self.train(&experiment, Cells::All, LAST)?;
        last.complete(self.arguments.output.quiet)?;
        Ok(last)
    }

    /// Trains in a folder of its own, or goes on there.
    fn train(&self, experiment: &Resolved, cells: Cells, name: &str) -> Result<Trained> {
        let TuneArguments { device, output, .. } = self.arguments;
        let folder = self.folder(name);
        let resumes = output.resume.is_some();
        let results = Results::open(&folder, false, resumes, None)?;
        let experiment = match resumes {
            true => resume::widened(experiment, &folder, true)?,
            false => experiment.clone(),
        };
        let output = Output {
            output: folder,
            overwrite: false,
            resume: output.resume.clone(),
            save_every: output.save_every,
            keep_best: (1..experiment.steps).any(|step| experiment.evaluates_after(step)),
            exact_match: None,
            log: vec![],
            quiet: output.quiet,
            json: false,
            dry_run: false,
        };
        train_grid(&experiment, cells, &self.prepared, device, results, &output, &self.interrupt)
    }

    /// Copies the adapter with the lowest loss of a run.
    fn take_adapter(&self, trained: &Trained, cell: &Cell) -> Result<()> {
        let adapters = trained.results.folder().join(ADAPTERS);
        let name = if trained.results.has_best(cell) { best(cell) } else { cell.id() };
        let read = |file: &str| {
            let path = adapters.join(&name).join(file);
            fs::read(&path).with_context(|| format!("`{}` cannot be read", path.display()))
        };
        let (config, tensors) = (read(ADAPTER_CONFIG)?, read(ADAPTER_TENSORS)?);
        write_folder(&self.folder(ADAPTER), &[(ADAPTER_CONFIG, &config[..]), (ADAPTER_TENSORS, &tensors)])
    }

    /// Writes and prints the outcome.
    fn write(&self, tuned: &Tuned, comparison: &Trained) -> Result<()> {
        let folder = &self.arguments.output.output;
        write_whole(&folder.join(TUNED), format!("{}\n", serde_json::to_string_pretty(tuned)?).as_bytes())?;
        let page = report::of_tuning(tuned, &comparison.experiment, &comparison.summary, &comparison.curves)?;
        write_whole(&folder.join(REPORT), page.as_bytes())?;
        print(format_args!("{}\n{}\n\n{}\n", comparison.summary.table(), tuned.compared, tuned.sentence()))?;
        print(format_args!(
            "The adapter is `{}`, and `{}` says why. It took {} steps of single runs and {:.0} s.",
            folder.join(ADAPTER).display(),
            folder.join(REPORT).display(),
            tuned.run_steps,
            tuned.seconds
        ))?;
        let share = match self.budget {
            Work::Steps(all) => tuned.run_steps as f64 / all as f64,
            Work::Seconds(all) => tuned.seconds / all,
        };
        if share < FULL {
            print(
                "The search was at its end before the budget was: more `--seeds`, in a new folder, would use the rest.",
            )?;
        }
        Ok(())
    }

    /// The error of a stop, which says how to go on.
    fn stopped(&self, error: anyhow::Error) -> anyhow::Error {
        if !error.is::<Stopped>() {
            return error;
        }
        if !self.arguments.output.quiet {
            note(format_args!(
                "`loralab tune --resume {}` goes on.",
                quoted(&self.arguments.output.output.display().to_string())
            ));
        }
        Stopped::by(self.interrupt.by(), true).into()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.arguments.output.output.join(name)
    }
}
