//! `--learning-rates auto`: searches for the rates, round by round.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use loralab_experiment::{Allowance, Cell, Choice, RateSearch, Resolved, RunResult};

use crate::{
    args::Rate,
    failure::usage,
    results::{EXPERIMENT, Results, SEARCH},
    terminal::note,
};

/// True if learning rates are to be searched for.
///
/// # Errors
/// If rates are listed beside `auto`.
pub fn is_wanted(rates: Option<&[Rate]>) -> Result<bool> {
    let rates = rates.unwrap_or_default();
    match rates.contains(&Rate::Auto) {
        true if rates.len() > 1 => Err(usage(
            "`--learning-rates` has auto and other rates, but auto chooses all of them itself; give either auto alone or the rates",
        )),
        wanted => Ok(wanted),
    }
}

/// Refuses `auto` for a command that does not train a sweep.
///
/// # Errors
/// If `auto` is given.
pub fn refuse(rates: Option<&[Rate]>, command: &str) -> Result<()> {
    match is_wanted(rates)? {
        true => Err(usage(format_args!(
            "`--learning-rates auto` searches while a sweep is trained, but `{command}` trains none; list the rates, for example `--learning-rates 1e-3,4e-3`"
        ))),
        false => Ok(()),
    }
}

/// Refuses early stopping for a command that compares every rate.
///
/// # Errors
/// If it is asked for.
pub fn refuse_stops(experiment: &Resolved, command: &str) -> Result<()> {
    match experiment.stop_early {
        true => Err(usage(format_args!(
            "`stop_early` ends runs before they have a final loss, but `{command}` compares the losses of every rate; leave `--stop-early` away"
        ))),
        false => Ok(()),
    }
}

/// The header of a search's experiment file; its rates are those of all schemes together.
const SEARCHED: &str = "# The learning rates were searched for; search.json says which scheme got which. `--config` with this file trains every scheme at all of them,
# and `--learning-rates auto` beside it searches again.
";

/// A search for learning rates, and its messages on the terminal.
pub struct Search {
    search: RateSearch,
    quiet: bool,
    /// The work that it may take; none for as much as it needs.
    allowance: Option<Allowance>,
    /// The rounds that were chosen before it was interrupted, where they depend on more than the results.
    before: Vec<Choice>,
}

impl Search {
    /// A search for this experiment, with the cells of its first round.
    pub fn new(experiment: &Resolved, quiet: bool) -> (Self, Vec<Cell>) {
        Self { search: RateSearch::new(experiment), quiet, allowance: None, before: vec![] }.begun()
    }

    /// A search for the best rates alone within an allowance, with the cells of its first round; it follows the choices in a results folder, if there are some.
    ///
    /// # Errors
    /// If those cannot be read.
    pub fn within(allowance: Allowance, experiment: &Resolved, quiet: bool, place: &Path) -> Result<(Self, Vec<Cell>)> {
        let file = place.join(SEARCH);
        let read =
            || format!("`{}` is not a search that loralab wrote; begin anew, without `--resume`", file.display());
        let before = match file.exists() {
            true => serde_json::from_slice(&fs::read(&file).with_context(read)?).with_context(read)?,
            false => vec![],
        };
        let search = RateSearch::of_best(experiment);
        Ok(Self { search, quiet, allowance: Some(allowance), before }.begun())
    }

    fn begun(mut self) -> (Self, Vec<Cell>) {
        let cells = self.next(None, &[], 0.0);
        (self, cells)
    }

    /// The cells of the next round, after so many seconds of work; none when the search is over.
    pub fn next(&mut self, base_loss: Option<f64>, runs: &[RunResult], seconds: f64) -> Vec<Cell> {
        let round = self.search.rounds() + 1;
        let before: Vec<Choice> = self.before.iter().filter(|choice| choice.round == round).cloned().collect();
        if !before.is_empty() {
            self.search.repeat(&before);
            return cells(&before);
        }
        let chosen = self.search.next(base_loss, runs);
        match self.allowance {
            Some(allowance) if !chosen.is_empty() => cells(&self.search.reduce(allowance.runs(runs, seconds))),
            _ => cells(&chosen),
        }
    }

    /// The experiment with the rates that were chosen so far.
    pub fn experiment(&self, experiment: &Resolved) -> Resolved {
        Resolved { learning_rates: self.search.learning_rates(), ..experiment.clone() }
    }

    /// Writes the choices so far, and prints the rates of this round.
    pub fn print(&self, results: &Results, experiment: &Resolved) -> Result<()> {
        let found = self.experiment(experiment).to_experiment().to_toml();
        results.write(EXPERIMENT, format!("{SEARCHED}{found}").as_bytes())?;
        let choices = self.search.choices();
        results.write(SEARCH, format!("{}\n", serde_json::to_string_pretty(choices)?).as_bytes())?;
        if !self.quiet {
            let round = self.search.rounds();
            let of_round: Vec<Choice> = choices.iter().filter(|choice| choice.round == round).cloned().collect();
            for (place, words) in Choice::in_words(&of_round).into_iter().enumerate() {
                note(format_args!(
                    "{} {words}",
                    if place == 0 { format!("Round {round}:") } else { "   and  ".to_owned() }
                ));
            }
        }
        Ok(())
    }

    /// A sentence that compares the number of runs with that of the full grid.
    pub fn in_words(&self, experiment: &Resolved) -> String {
        let rates = self.search.learning_rates();
        let doublings = match &rates[..] {
            [first, .., last] => (last / first).log2().round() as usize + 1,
            _ => rates.len(),
        };
        let runs: usize = self.search.choices().iter().map(|choice| choice.seeds.len()).sum();
        format!(
            "The learning rates were searched for in {} rounds: {runs} runs, where all {doublings} doublings from the smallest to the largest tried would be {}.",
            self.search.rounds(),
            doublings * experiment.schemes.len() * experiment.seeds.len()
        )
    }
}

/// The cells of a round: seeds change slowest, then rates, then schemes, as in a grid.
fn cells(choices: &[Choice]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = choices.iter().flat_map(Choice::cells).collect();
    cells.sort_by(|a, b| a.seed.cmp(&b.seed).then(a.learning_rate.total_cmp(&b.learning_rate)));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_stands_alone_and_where_something_is_trained() {
        assert!(is_wanted(Some(&[Rate::Auto])).is_ok_and(|wanted| wanted));
        assert!(is_wanted(None).is_ok_and(|wanted| !wanted));
        assert!(is_wanted(Some(&[Rate::Auto, Rate::At(1.0)])).is_err());
        assert!(refuse(Some(&[Rate::Auto]), "plan").is_err() && refuse(None, "plan").is_ok());
    }
}
