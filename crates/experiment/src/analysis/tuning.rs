//! `loralab tune`: the comparison of schemes and learning rates that a budget allows, and the adapter that is trained with the best setting.
//!
//! The comparison is a search for rates with early stopping ([`RateSearch`](crate::RateSearch)). If the budget suffices, its runs have the full length, and
//! the best of them is the result. Else they are shorter, the best setting is trained once more at full length, and the budget is divided between both
//! ([`comparison_steps`]). Each round of the search trains as many runs as what is left pays, first seeds first ([`Allowance`]).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    analysis::summary::Summary,
    config::{
        grid::Cell,
        number::{learning_rate_text, loss_text},
    },
    protocol::run::RunResult,
};

/// Runs of full length that a search costs for each scheme: five scouts, of which early stopping leaves about half, both neighbours of the best, and a second
/// seed for one of the three. With less, the comparison is made shorter.
const RUNS_PER_SCHEME: f64 = 5.5;
/// The fewest steps of a comparison: early stopping decides at a twentieth of them at first.
const FEWEST_STEPS: usize = 20;

/// Times by which a step may take longer than those before, where the budget is a time.
const RESERVE: f64 = 1.05;

/// The work that a tuning may take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Work {
    /// Seconds of work.
    Seconds(f64),
    /// Steps of single runs: ten runs of a hundred steps are a thousand.
    Steps(usize),
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, f64); 5] = [("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("m", 60.0), ("s", 1.0)];
        let needed = || {
            "it must be a time, such as 90min, 1.5h or 2d, or a number of steps of single runs, such as 20000steps"
                .to_owned()
        };
        let text = text.trim();
        if let Some(steps) = text.strip_suffix("steps").or(text.strip_suffix("step")) {
            return steps.trim().parse().ok().filter(|steps| *steps > 0).map(Self::Steps).ok_or_else(needed);
        }
        let of_unit =
            |(unit, seconds): (&str, f64)| Some(text.strip_suffix(unit)?.trim().parse::<f64>().ok()? * seconds);
        let seconds = UNITS.into_iter().find_map(of_unit);
        seconds.filter(|seconds| seconds.is_finite() && *seconds >= 1.0).map(Self::Seconds).ok_or_else(needed)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Steps(steps) => write!(f, "{steps}steps"),
            Self::Seconds(seconds) if seconds % 3600.0 == 0.0 => write!(f, "{}h", seconds / 3600.0),
            Self::Seconds(seconds) if seconds % 60.0 == 0.0 => write!(f, "{}min", seconds / 60.0),
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
        }
    }
}

impl From<Work> for String {
    fn from(budget: Work) -> Self {
        budget.to_string()
    }
}

impl TryFrom<String> for Work {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Steps of the runs of a comparison of so many schemes, if `run_steps` pay it and a training of `steps` with its winner, which costs `last`; none if they do
/// not. A comparison of full length needs no further training.
pub fn comparison_steps(run_steps: f64, last: f64, schemes: usize, steps: usize) -> Option<usize> {
    let runs = RUNS_PER_SCHEME * schemes as f64;
    if run_steps >= runs * steps as f64 {
        return Some(steps);
    }
    let found = ((run_steps - last) / runs).max(0.0) as usize;
    (found >= FEWEST_STEPS.min(steps)).then_some(found.min(steps))
}

/// The work that a comparison may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The part of the budget for it.
    pub budget: Work,
    /// Steps of its runs.
    pub steps: usize,
}

impl Allowance {
    /// The most runs that are begun next, after these runs and so many seconds of work.
    pub fn runs(&self, runs: &[RunResult], seconds: f64) -> usize {
        let done = run_steps(runs, self.steps) as f64;
        let left = match self.budget {
            Work::Steps(steps) => steps as f64 - done,
            Work::Seconds(all) if done > 0.0 => (all - seconds) / (RESERVE * seconds.max(1e-9)) * done,
            // The length was chosen so that the first round fits.
            Work::Seconds(_) => f64::INFINITY,
        };
        (left / self.steps as f64).max(0.0) as usize
    }
}

/// The steps that runs of `steps` have done together.
pub fn run_steps(runs: &[RunResult], steps: usize) -> usize {
    let of_run = |run: &RunResult| match (&run.stopped, &run.diverged, &run.failed) {
        (Some(stopped), ..) => stopped.step,
        (_, Some(diverged), _) => diverged.step,
        (_, _, Some(_)) => 0,
        _ => steps,
    };
    runs.iter().filter(|run| run.is_over()).map(of_run).sum()
}

/// `tuned.json`: the outcome of a tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The budget.
    pub budget: Work,
    /// Steps of the runs that were compared.
    pub compared_steps: usize,
    /// The run whose adapter is the result.
    #[serde(flatten)]
    pub cell: Cell,
    /// Steps of that run.
    pub steps: usize,
    /// The steps that the adapter has, those with the lowest validation loss.
    pub best_step: usize,
    /// Its validation loss, in nats per token.
    pub loss: f64,
    /// Steps of all runs together.
    pub run_steps: usize,
    /// Seconds of work.
    pub seconds: f64,
    /// A sentence on the comparison.
    pub compared: String,
    /// True if the scheme's loss is significantly lower than that of every other; none if there is no other.
    pub is_significant: Option<bool>,
}

impl Tuned {
    /// A sentence on the choice.
    pub fn sentence(&self) -> String {
        let Self { cell: Cell { scheme, learning_rate, seed }, .. } = self;
        let rate = learning_rate_text(*learning_rate);
        let why = match self.is_significant {
            None => String::new(),
            Some(true) => ", whose loss is significantly lower than that of every other scheme".to_owned(),
            Some(false) => {
                ", which has the lowest loss, though not significantly: another scheme may be as good".to_owned()
            }
        };
        let length = match self.compared_steps == self.steps {
            true => "These runs have the full length, and the adapter is that of the best of them".to_owned(),
            false => format!(
                "Runs of {} steps were compared, and this setting was trained anew for {}: a rate that is best for a short training may be too high for a long one",
                self.compared_steps, self.steps
            ),
        };
        format!(
            "The choice is {scheme} at {rate}{why}. {length}. Its validation loss is {} (seed {seed}, after step {}).",
            loss_text(self.loss),
            self.best_step
        )
    }
}

/// The best run of a comparison's best setting, and if its scheme is significantly better than every other, where there are others; none if no run was completed.
pub fn winner(summary: &Summary, runs: &[RunResult]) -> Option<(Cell, Option<bool>)> {
    let loss = |x: &Option<f64>| x.unwrap_or(f64::INFINITY);
    let best = summary
        .schemes
        .iter()
        .filter(|scheme| scheme.best_loss.is_some())
        .min_by(|x, y| loss(&x.best_loss).total_cmp(&loss(&y.best_loss)))?;
    let of_best =
        |run: &&RunResult| run.cell.scheme == best.scheme && Some(run.cell.learning_rate) == best.best_learning_rate;
    let completed = runs.iter().filter(of_best).filter_map(|run| Some((run.finished_loss()?, run)));
    let (_, run) = completed.min_by(|(x, _), (y, _)| x.total_cmp(y))?;
    let others = summary.schemes.len() - 1;
    let won = summary.comparisons.iter().filter(|pair| pair.first == best.scheme && pair.losses_differ() == Some(true));
    Some((run.cell.clone(), (others > 0).then(|| won.count() == others)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analysis::summary::tests::{run, setting},
        protocol::run::{StopReason, Stopped},
    };

    #[test]
    fn a_budget_is_a_time_or_a_number_of_steps() {
        let read = |text: &str| text.parse::<Work>().ok();
        for (text, budget) in
            [("2h", 7200.0), ("1.5 h", 5400.0), ("90min", 5400.0), ("90m", 5400.0), ("30s", 30.0), ("2d", 172_800.0)]
        {
            assert_eq!(read(text), Some(Work::Seconds(budget)), "{text}");
        }
        assert_eq!(read("20000steps"), Some(Work::Steps(20_000)));
        for budget in [Work::Seconds(7200.0), Work::Seconds(5400.0), Work::Seconds(31.0), Work::Steps(7)] {
            assert_eq!(read(&budget.to_string()), Some(budget));
        }
        for wrong in ["", "2", "h", "-1h", "0steps", "0s", "infh", "1e999s", "nans", "1.5steps"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_comparison_is_as_long_as_the_budget_allows() {
        // 11 runs of 100 steps for two schemes.
        assert_eq!(comparison_steps(1100.0, 100.0, 2, 100), Some(100));
        assert_eq!(comparison_steps(1099.0, 100.0, 2, 100), Some(90));
        assert_eq!(comparison_steps(320.0, 100.0, 2, 100), Some(20));
        assert_eq!(comparison_steps(319.0, 100.0, 2, 100), None);
        assert_eq!(comparison_steps(66.0, 6.0, 2, 6), Some(6), "short trainings are compared as they are");
        for run_steps in [320.0, 500.0, 1099.0] {
            let steps = comparison_steps(run_steps, 100.0, 2, 100).expect("it suffices");
            // Every scout of the first round to its end, and the last training.
            assert!((10 * steps + 100) as f64 <= run_steps, "{run_steps}");
        }
    }

    #[test]
    fn what_is_left_pays_the_next_runs() {
        let mut runs = vec![run("a", 1e-3, 0, 0.5), run("a", 4e-3, 0, f64::INFINITY), run("b", 1e-3, 0, 0.5)];
        let stop = Stopped { step: 10, why: StopReason::Behind, best: 4e-3, behind: 1.0 };
        (runs[0].final_loss, runs[0].stopped) = (None, Some(stop));
        let diverged = runs[1].diverged.as_ref().map_or(100, |diverged| diverged.step);
        assert_eq!(run_steps(&runs, 100), 10 + diverged + 100);
        let steps = |budget| Allowance { budget: Work::Steps(budget), steps: 100 }.runs(&runs, 0.0);
        let done = 110 + diverged;
        assert_eq!([done + 99, done + 100, done + 350, 3].map(steps), [0, 1, 3, 0]);
        // Each step took half a second.
        let seconds = |all| Allowance { budget: Work::Seconds(all), steps: 100 }.runs(&runs, 0.5 * done as f64);
        assert_eq!([0.5 * done as f64 + 52.0, 0.5 * done as f64 + 53.0].map(seconds), [0, 1]);
        assert!(Allowance { budget: Work::Seconds(1.0), steps: 100 }.runs(&[], 9.0) > 1000);
    }

    #[test]
    fn the_winner_is_the_best_run_of_the_best_setting() {
        let seeds = |scheme: &'static str, rate: f64, losses: [f64; 3]| {
            (0..3).map(move |seed| run(scheme, rate, seed, losses[seed as usize]))
        };
        let runs: Vec<RunResult> = seeds("a", 1e-3, [0.30, 0.31, 0.29])
            .chain(seeds("a", 4e-3, [0.9, 0.9, 0.9]))
            .chain(seeds("b", 1e-3, [0.5, 0.51, 0.49]))
            .collect();
        let summary = Summary::from_runs(setting(), &runs);
        let (cell, is_significant) = winner(&summary, &runs).expect("runs were completed");
        assert_eq!((cell, is_significant), (runs[2].cell.clone(), Some(true)));
        let close: Vec<RunResult> =
            seeds("a", 1e-3, [0.3, 0.5, 0.4]).chain(seeds("b", 1e-3, [0.5, 0.3, 0.41])).collect();
        assert_eq!(winner(&Summary::from_runs(setting(), &close), &close).map(|(_, is)| is), Some(Some(false)));
        let alone = &runs[..3];
        assert_eq!(winner(&Summary::from_runs(setting(), alone), alone).map(|(_, is)| is), Some(None));
        assert_eq!(winner(&Summary::from_runs(setting(), &[]), &[]), None);
    }
}
