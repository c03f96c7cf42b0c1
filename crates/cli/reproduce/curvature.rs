//! `loralab reproduce curvature`.

use std::sync::Arc;

use anyhow::Result;
use loralab_core::{
    device::wait,
    lab::{PlanNeeds, Prepared, Probed, Sweep, curvature, curvature_bytes},
};
use loralab_experiment::{Bytes, Cell, CurvatureFound, Experiment, Reproduction, Resolved, StartCurvature, Summary};

use super::{Watch, crossing::sweep_output, finish, parts::Parts};
use crate::{
    args::CurvatureArguments,
    failure::usage,
    grid::{Cells, train_grid},
    interrupt::Interrupt,
    memory,
    prepare::{prepare, refused},
    resume::Begun,
    search, source,
};

/// Sweeps, probes every start at its best rate, and writes down both.
pub fn reproduce(arguments: &CurvatureArguments, begun: &Begun) -> Result<()> {
    let CurvatureArguments { batches, products, grid, settings, device, output } = arguments;
    for (name, value) in [("batches", *batches), ("products", *products)] {
        if value == 0 || value > 1000 {
            return Err(usage(format_args!(
                "`--{name}` is {value}, but it must be from 1 to 1000; for example `--{name} 20`"
            )));
        }
    }
    let searches = grid.learning_rates.is_none() || search::is_wanted(grid.learning_rates.as_deref())?;
    let flags = grid.over(settings.experiment());
    let mut settings = source::settings(defaults(), settings.config.as_deref(), flags)?;
    settings.searches = false;
    let experiment = source::resolve(&settings)?;
    search::refuse_stops(&experiment, "reproduce curvature")?;
    let interrupt = Interrupt::listen(output.quiet);
    let results = output.claim(begun)?;
    let experiment = output.widened(experiment, &output.output, searches)?;
    let prepared = prepare(&experiment, device, output.quiet || output.json)?;
    let sweep = prepared.sweep(&experiment).map_err(|error| refused(error, &experiment))?;
    check_memory(&experiment, &prepared, &sweep, *products)?;
    let mut trained = train_grid(
        &experiment,
        if searches { Cells::Searched } else { Cells::All },
        &prepared,
        device,
        results,
        &sweep_output(output),
        &interrupt,
    )?;
    trained.complete(output.quiet)?;
    let mut parts = Parts::of(&trained.results)?;
    let mut starts: Vec<StartCurvature> = Vec::new();
    let total = experiment.schemes.len() * experiment.seeds.len();
    let mut watch = Watch::new(output, &interrupt, "starts", total);
    let mut stopped = false;
    for scheme in &experiment.schemes {
        // A start that needs a short training uses the learning rate of its run: here the best rate.
        let Some(learning_rate) = probed_rate(&trained.summary, scheme) else { continue };
        let of_seed = |seed| Cell { scheme: scheme.clone(), learning_rate, seed };
        for &seed in &experiment.seeds {
            if stopped {
                break;
            }
            let name = of_seed(seed).id();
            if let Some(known) = parts.get(&name)? {
                starts.push(known);
                continue;
            }
            let found = start_curvature(&sweep, &prepared, &experiment, &of_seed(seed), *batches, *products)?;
            parts.put(&trained.results, &name, &found)?;
            starts.push(found);
            stopped = watch.done(starts.len()).is_break();
        }
    }
    watch.end();
    if stopped {
        let folder = output.output.display();
        return Err(output.stopped(
            &interrupt,
            format_args!("the results in `{folder}` are those of the sweep, without the curvature of its starts"),
        ));
    }
    let found = CurvatureFound {
        summary: trained.summary,
        experiment: trained.experiment.to_experiment(),
        optimizer: experiment.optimizer.name(),
        batches: *batches,
        starts,
    };
    finish(output, trained.results, &Reproduction::Curvature(found))
}

/// The curvature of the mean loss of some batches at the start of a cell.
fn start_curvature(
    sweep: &Sweep<'_>,
    prepared: &Prepared,
    experiment: &Resolved,
    cell: &Cell,
    batches: usize,
    products: usize,
) -> Result<StartCurvature> {
    let plan_needs = PlanNeeds::of(experiment, [cell]);
    let plan = Arc::new(sweep.plan(1, plan_needs));
    let base = prepared.stored(plan_needs, experiment);
    let run = sweep.start(cell)?;
    let make_device = |plan, base| prepared.machine.make(plan, base);
    let start = wait(sweep.starts(std::slice::from_ref(&run), &plan, &make_device)).map_err(usage)?;
    let start = start.into_iter().next().expect("there is one run").map_err(usage)?;
    let (trained, frozen_pairs) = (start.initial.trained(), start.initial.frozen_pairs());
    let batches = sweep.batches(cell.seed, batches)?;
    let probed = Probed { trained, frozen_pairs, settings: run.settings, batches: &batches };
    let found = curvature(plan, base, threads(experiment), probed, products, cell.seed)?;
    let sharpness = found.largest.value;
    Ok(StartCurvature {
        scheme: cell.scheme.clone(),
        seed: cell.seed,
        loss: found.loss,
        gradient_norm: found.gradient_norm,
        sharpness,
        residual: found.largest.residual,
        smallest: found.smallest.value,
        smallest_residual: Some(found.smallest.residual),
        products: found.products,
        descent_rate: (sharpness > 0.0).then(|| 2.0 / sharpness),
        sign_rate: found.sign_step,
    })
}

/// Refuses probes that exceed memory, before anything is trained.
fn check_memory(experiment: &Resolved, prepared: &Prepared, sweep: &Sweep<'_>, products: usize) -> Result<()> {
    let available = memory::available(experiment.memory);
    for scheme in &experiment.schemes {
        let cell = Cell { scheme: scheme.clone(), learning_rate: experiment.learning_rates[0], seed: 0 };
        let plan = sweep.plan(1, PlanNeeds::of(experiment, [&cell]));
        let needed = curvature_bytes(&plan, &prepared.base.tensors, threads(experiment), products);
        if needed > available {
            return Err(usage(format_args!(
                "the curvature at the starts of {scheme} is computed in 64 bits on the CPU, where {products} products with the Hessian need {}, but only {} \
                 may be used; lower `--products`, `--batch-size`, `--tokens` or `--rank`, or raise `--memory`",
                Bytes(needed),
                Bytes(available)
            )));
        }
    }
    Ok(())
}

/// Threads of the CPU; none for all of them.
fn threads(experiment: &Resolved) -> Option<usize> {
    experiment.threads.map(Into::into)
}

/// The best rate of a scheme; the smallest rate tried if a seed diverged at every rate; none if no run ended.
fn probed_rate(summary: &Summary, scheme: &str) -> Option<f64> {
    let of_scheme = summary.schemes.iter().find(|found| found.scheme == scheme)?;
    of_scheme.best_learning_rate.or_else(|| of_scheme.learning_rates.first().map(|rate| rate.learning_rate))
}

/// The defaults: plain gradient descent, whose stable rate follows from the sharpness, with a constant rate and no clipping.
fn defaults() -> Experiment {
    Experiment {
        optimizer: Some("sgd".to_owned()),
        schedule: Some("constant".to_owned()),
        max_grad_norm: Some(0.0),
        ..Experiment::default()
    }
}
