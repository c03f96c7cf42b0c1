//! Early stopping, replayed on the losses of full grids: it must find what the full grid finds, in fewer steps.
//!
//! `stopping.json` has the losses of the default sweep over the base nano with 40 seeds. `LORALAB_LOG` names the log of another sweep, a `metrics.jsonl` that was
//! trained with `--evaluate-every` of a twentieth of its steps; the figures of it are printed, not tested. `docs/stopping.md` has them.

use std::{collections::BTreeSet, fs};

use loralab_experiment::{
    Accuracy, Cell, Choice, Diverged, Evaluation, Event, Experiment, RateSearch, Resolved, RunResult, Seeds, Setting,
    Summary, TextMeasures, stops,
};
use serde::Deserialize;

/// A full grid.
#[derive(Deserialize)]
struct Grid {
    steps: usize,
    base_loss: f64,
    schemes: Vec<String>,
    /// The steps of the validations.
    validated: Vec<usize>,
    /// Scheme, rate, seed, and the loss at each validation.
    runs: Vec<(String, f64, u64, Vec<Option<f64>>)>,
}

/// What replayed sweeps found.
#[derive(Debug, Default)]
struct Found {
    steps: usize,
    steps_of_grid: usize,
    /// Schemes, those with the best rate of the full grid, and those with one in its plateau.
    schemes: [usize; 3],
    /// Pairs of schemes, those of which the same is ahead, and those where also the difference is significant in both or in neither.
    pairs: [usize; 3],
    /// The most that a best loss is above the full grid's, in nats per token.
    worst: f64,
}

impl Grid {
    /// The losses that this repository has.
    fn stored() -> Self {
        serde_json::from_str(include_str!("stopping.json")).expect("a grid")
    }

    /// Those of a log.
    fn of_log(path: &str) -> Self {
        let (mut steps, mut base_loss, mut schemes, mut runs) = (0, f64::NAN, vec![], vec![]);
        for line in fs::read_to_string(path).expect("a log").lines() {
            match serde_json::from_str(line).expect("an event") {
                Event::Started { steps: all, schemes: names, .. } => (steps, schemes) = (all, names),
                Event::Base { loss, .. } => base_loss = loss.expect("it is finite"),
                Event::RunFinished { result } if result.is_over() && result.failed.is_none() => runs.push(result),
                _ => {}
            }
        }
        let validated: BTreeSet<usize> =
            runs.iter().flat_map(|run| run.evaluations.iter().map(|evaluation| evaluation.step)).collect();
        let validated: Vec<usize> = validated.into_iter().collect();
        let row = |run: RunResult| {
            let losses = validated.iter().map(|&step| run.loss_after(step)).collect();
            (run.cell.scheme, run.cell.learning_rate, run.cell.seed, losses)
        };
        let runs = runs.into_iter().map(row).collect();
        Self { steps, base_loss, schemes, validated, runs }
    }

    fn seeds(&self) -> Vec<u64> {
        self.runs.iter().map(|run| run.2).collect::<BTreeSet<u64>>().into_iter().collect()
    }

    fn rates(&self) -> Vec<f64> {
        let mut rates: Vec<f64> = self.runs.iter().map(|run| run.1).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    fn experiment(&self, seeds: &[u64]) -> Resolved {
        let experiment = Experiment {
            schemes: Some(self.schemes.clone()),
            learning_rates: Some(self.rates()),
            seeds: Some(Seeds::List(seeds.to_vec())),
            steps: Some(self.steps),
            stop_early: Some(true),
            ..Experiment::default()
        };
        let known: Vec<&str> = self.schemes.iter().map(String::as_str).collect();
        experiment.resolve(&known).expect("it is right")
    }

    /// A run up to a step, as the sweep would report it; none if the grid does not have it.
    fn run(&self, cell: &Cell, step: usize) -> Option<RunResult> {
        let same = |rate: f64| (rate / cell.learning_rate).ln().abs() < 1e-3;
        let (.., losses) = self.runs.iter().find(|run| run.0 == cell.scheme && same(run.1) && run.2 == cell.seed)?;
        let reached = || self.validated.iter().zip(losses).take_while(|(at, _)| **at <= step);
        let evaluation = |(&step, &loss): (&usize, &Option<f64>)| Evaluation {
            step,
            loss,
            accuracy: None,
            text: TextMeasures::default(),
        };
        let diverged = reached().find(|(_, loss)| loss.is_none());
        let last = losses.last().copied().flatten();
        Some(RunResult {
            cell: cell.clone(),
            final_loss: last.filter(|_| step == self.steps),
            accuracy: None,
            classes: None,
            correlations: None,
            diverged: diverged.map(|(&step, _)| Diverged { step, tensor: "logits".to_owned() }),
            stopped: None,
            failed: None,
            start: None,
            evaluations: reached().filter(|(_, loss)| loss.is_some()).map(evaluation).collect(),
            seconds: 0.0,
        })
    }

    /// Trains a cohort with early stopping after the runs that have `ended`, to which its own are added; returns the steps that its runs did.
    fn train(&self, experiment: &Resolved, cells: &[Cell], ended: &mut Vec<RunResult>) -> Option<usize> {
        let (mut cells, mut steps) = (cells.to_vec(), 0);
        for rung in experiment.rungs() {
            let running = cells.iter().map(|cell| self.run(cell, rung)).collect::<Option<Vec<RunResult>>>()?;
            let found = stops(experiment, Some(self.base_loss), rung, ended, &running);
            cells.clear();
            for (mut run, stop) in running.into_iter().zip(found) {
                run.stopped = stop;
                if run.is_over() {
                    steps += rung;
                    ended.push(run);
                } else {
                    cells.push(run.cell);
                }
            }
        }
        steps += cells.len() * self.steps;
        ended.extend(cells.iter().map(|cell| self.run(cell, self.steps)).collect::<Option<Vec<_>>>()?);
        Some(steps)
    }

    /// Trains what a search chooses; none if it leaves the grid.
    fn search(&self, experiment: &Resolved) -> Option<(Vec<RunResult>, usize)> {
        let (mut search, mut ended, mut steps) = (RateSearch::new(experiment), vec![], 0);
        loop {
            let choices = search.next(Some(self.base_loss), &ended);
            if choices.is_empty() {
                return Some((ended, steps));
            }
            let cells: Vec<Cell> = choices.iter().flat_map(Choice::cells).collect();
            steps += self.train(experiment, &cells, &mut ended)?;
        }
    }

    fn summary(&self, runs: &[RunResult]) -> Summary {
        let setting = Setting {
            device: "cpu".to_owned(),
            wall_seconds: 0.0,
            base_loss: Some(self.base_loss),
            base_accuracy: None,
            accuracy: Accuracy::ExactMatch,
            validation_examples: None,
            bytes_per_token: None,
            order: self.schemes.clone(),
        };
        Summary::from_runs(setting, runs)
    }

    /// Replays sweeps of so many seeds each; the seeds are dealt to them in order.
    fn replay(&self, seeds: usize, searches: bool) -> Found {
        let mut found = Found::default();
        for seeds in self.seeds().chunks_exact(seeds) {
            let experiment = self.experiment(seeds);
            let cells = experiment.cells();
            // A search knows the doublings of 1e-3 only.
            let may_be_tried = |cell: &&Cell| {
                let doublings = (cell.learning_rate / 1e-3).log2();
                !searches || (doublings - doublings.round()).abs() < 0.1
            };
            let whole = cells.iter().filter(may_be_tried).filter_map(|cell| self.run(cell, self.steps));
            let whole: Vec<RunResult> = whole.collect();
            let trained = if searches {
                self.search(&experiment)
            } else {
                let mut ended = vec![];
                let cells: Vec<Cell> = whole.iter().map(|run| run.cell.clone()).collect();
                self.train(&experiment, &cells, &mut ended).map(|steps| (ended, steps))
            };
            let Some((trained, steps)) = trained else { continue };
            found.steps += steps;
            found.steps_of_grid += whole.len() * self.steps;
            found.compare(&self.summary(&whole), &self.summary(&trained));
        }
        found
    }
}

impl Found {
    fn compare(&mut self, whole: &Summary, trained: &Summary) {
        for (whole, trained) in whole.schemes.iter().zip(&trained.schemes) {
            let (Some(best), Some(lowest)) = (whole.best(), whole.best_loss) else { continue };
            let rate = trained.best_learning_rate.expect("a scheme keeps a rate");
            let is_best = rate == best.learning_rate;
            let plateau = whole.optimum.as_ref().and_then(|optimum| optimum.plateau);
            let is_near = is_best || plateau.is_some_and(|[low, high]| low <= rate && rate <= high);
            let of_rate = whole.learning_rates.iter().find(|row| row.learning_rate == rate);
            let loss = of_rate.and_then(|row| row.mean_loss).expect("the full grid has it");
            self.worst = self.worst.max(loss - lowest);
            let counts = [true, is_best, is_near].map(usize::from);
            self.schemes.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let verdict = |summary: &Summary| {
            let named = |pair: &loralab_experiment::Comparison| {
                let mut names = [pair.first.clone(), pair.second.clone()];
                names.sort();
                (names, pair.first.clone(), pair.losses_differ())
            };
            let mut pairs: Vec<([String; 2], String, Option<bool>)> = summary.comparisons.iter().map(named).collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            pairs
        };
        let (one, other) = (verdict(whole), verdict(trained));
        self.pairs[0] += one.len();
        self.pairs[1] += one.iter().zip(&other).filter(|(one, other)| one.1 == other.1).count();
        self.pairs[2] += one.iter().zip(&other).filter(|(one, other)| one == other).count();
    }

    fn share(&self) -> f64 {
        self.steps as f64 / self.steps_of_grid as f64
    }
}

#[test]
fn early_stopping_finds_what_the_full_grid_finds() {
    if let Ok(path) = std::env::var("LORALAB_LOG") {
        let grid = Grid::of_log(&path);
        for seeds in [1, 2, 4, 5, 8, 40].into_iter().filter(|&seeds| seeds <= grid.seeds().len()) {
            for searches in [false, true] {
                let found = grid.replay(seeds, searches);
                println!("{seeds} seeds, search {searches}: {:.3} of the steps, {found:?}", found.share());
            }
        }
        return;
    }
    let grid = Grid::stored();
    for (seeds, least) in [(1, 0.0), (2, 0.95), (5, 0.95), (40, 1.0)] {
        let found = grid.replay(seeds, false);
        let [schemes, _, near] = found.schemes.map(|count| count as f64);
        println!("{seeds} seeds: {:.3} of the steps, {found:?}", found.share());
        assert!(found.share() < 0.45, "{seeds} seeds: {} of the steps", found.share());
        assert!(near >= least * schemes, "{seeds} seeds: {found:?}");
        assert!(found.worst < 0.02, "{seeds} seeds: {found:?}");
        assert_eq!(found.pairs[0], found.pairs[1], "{seeds} seeds: {found:?}");
    }
}
