//! `loralab reproduce crossing`.

use anyhow::Result;
use loralab_experiment::{CrossingFound, Experiment, Reproduction, Seeds};

use super::finish;
use crate::{
    args::{CrossingArguments, Output, ReproduceOutput},
    grid::{Cells, train_grid},
    interrupt::Interrupt,
    prepare::prepare,
    resume::Begun,
    search, source,
};

/// Rates from 2.5e-4 to 6.4e-2, two per doubling.
const DOUBLINGS: std::ops::RangeInclusive<i32> = -2..=6;

/// `loralab reproduce crossing`: a sweep over a finer grid than `sweep`'s.
pub fn reproduce(arguments: &CrossingArguments, begun: &Begun) -> Result<()> {
    let CrossingArguments { grid, settings, device, output } = arguments;
    search::refuse(grid.learning_rates.as_deref(), "reproduce crossing")?;
    let flags = grid.over(settings.experiment());
    let experiment = source::experiment(defaults(), settings.config.as_deref(), flags)?;
    search::refuse_stops(&experiment, "reproduce crossing")?;
    let interrupt = Interrupt::listen(output.quiet);
    let results = output.claim(begun)?;
    let experiment = output.widened(experiment, &output.output, false)?;
    let quiet = output.quiet || output.json;
    let prepared = prepare(&experiment, device, quiet)?;
    let mut trained =
        train_grid(&experiment, Cells::All, &prepared, device, results, &sweep_output(output), &interrupt)?;
    trained.complete(output.quiet)?;
    let found = CrossingFound::new(trained.summary, trained.experiment.to_experiment(), &trained.runs);
    finish(output, trained.results, &Reproduction::Crossing(found))
}

/// The default grid.
pub fn defaults() -> Experiment {
    let rate = |doublings: f64| {
        let rate = 1e-3 * doublings.exp2();
        // Three digits are readable, and close enough to even steps.
        format!("{rate:.2e}").parse().unwrap_or(rate)
    };
    let between = DOUBLINGS.flat_map(|k| [rate(f64::from(k)), rate(f64::from(k) + 0.5)]);
    Experiment {
        learning_rates: Some(between.take(2 * DOUBLINGS.count() - 1).collect()),
        seeds: Some(Seeds::Count(4)),
        ..Experiment::default()
    }
}

/// The findings of a reproduction's sweep.
pub fn sweep_output(output: &ReproduceOutput) -> Output {
    Output {
        output: output.output.clone(),
        overwrite: output.overwrite,
        resume: output.resume.clone(),
        save_every: output.save_every,
        keep_best: false,
        exact_match: None,
        log: vec![],
        quiet: output.quiet || output.json,
        json: false,
        dry_run: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_two_to_a_doubling() {
        let rates = defaults().learning_rates.expect("they are set");
        assert_eq!((rates.len(), rates[0], rates[16]), (17, 2.5e-4, 6.4e-2));
        assert!(rates.windows(2).all(|pair| (pair[1] / pair[0] / 2f64.sqrt() - 1.0).abs() < 5e-3), "{rates:?}");
        assert!(rates.contains(&1.41e-3));
    }
}
