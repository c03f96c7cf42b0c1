//! `--learning-rates auto`: few runs that bracket each scheme's best learning rate and its divergence edge.
//!
//! Rates lie on a lattice of doublings. A round's runs are trained together, and their results determine the next round:
//!
//! 1. *Scouts*, a factor of four apart and with one seed, are added outwards until the best of them has one on each side and one above it is *broken*:
//!    it diverged, or ended above the base's loss.
//! 2. The best rate and both its neighbours on the lattice get every seed, or, if a precision is asked for, more and more of them until the interval of the
//!    best loss is as narrow. If another rate then turns out better, it becomes the best. If some
//!    resamples of the seeds have the best at an end of the rates with every seed, the next rate gets every seed too, so that the bootstrap of the
//!    optimum finds its neighbours.
//! 3. The rates two doublings from the best get one seed, if they have none: they show between which rates the optimum lies.
//! 4. Between the last rate that held and the first that broke, the middle is tried with one seed, until they are neighbours.
//!
//! A rate at which a run was stopped early can't be the best, and gets no further seeds. It held if its loss was not above the base's when it was stopped.
//!
//! The search ends when no rule adds a rate, so the same runs always lead to the same rates, and a rate with fewer seeds than the others is never the best.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;
use crate::config::names::OptimizerName;
use crate::config::number::learning_rate_text;
use crate::config::table::Resolved;
use crate::protocol::run::RunResult;

/// The lattice is this times powers of two; with exponents from [`LOWEST`] to [`HIGHEST`], 6e-11 to 1.7e4.
const ORIGIN: f64 = 1e-3;
const LOWEST: i32 = -24;
const HIGHEST: i32 = 24;
/// Doublings between scouts; below, the number of scouts at first and further out.
const STRIDE: i32 = 2;
const SCOUTS: i32 = 5;
const FURTHER: i32 = 2;
/// The largest share of resamples that may have the best at an end.
const AT_END: f64 = 0.01;
/// The fewest seeds whose interval is compared with the precision asked for: Student's t of two is 12.7, of three 4.3.
const FEWEST_SEEDS: usize = 3;

/// The reason that a rate is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// To find the best rate roughly.
    Scout,
    /// The best so far is the smallest rate tried.
    Lower,
    /// The best so far is the largest rate tried, or none above it is broken.
    Higher,
    /// It is the best so far.
    Best,
    /// It is next to the best so far.
    Neighbour,
    /// It is next to a rate that is the best in some resamples of the seeds.
    Plausible,
    /// It is two doublings from the best, and shows the curve's shape there.
    Bend,
    /// It lies between the last rate that held and the first that broke.
    Edge,
}

impl Why {
    /// The reason as text.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Scout => "to see roughly where its best is",
            Self::Lower => "because its best so far is the smallest tried",
            Self::Higher => "because none tried above its best has broken",
            Self::Best => "the best so far, with more seeds",
            Self::Neighbour => "beside the best so far",
            Self::Plausible => "beside what may be the best by chance",
            Self::Bend => "to see how the curve bends beside its best",
            Self::Edge => "between the last that held and the first that broke",
        }
    }
}

/// A rate that a round tries for a scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The round, from 1.
    pub round: usize,
    /// The scheme.
    pub scheme: String,
    /// The learning rate.
    pub learning_rate: f64,
    /// The seeds that are new at this rate.
    pub seeds: Vec<u64>,
    /// The reason.
    pub why: Why,
}

/// The search for each scheme's rates.
#[derive(Clone, Debug)]
pub struct RateSearch {
    schemes: Vec<String>,
    seeds: Vec<u64>,
    /// Half the width that the interval of the best loss is to have, in nats per token; 0 for every seed.
    precision: f64,
    /// The exponent of the first scout.
    start: i32,
    /// True if rules 3 and 4, which tell more of the curve than where it is lowest, are followed.
    shape: bool,
    choices: Vec<Choice>,
}

/// The outcomes at the rates tried, by exponent and seed.
type Tried = BTreeMap<i32, BTreeMap<u64, Outcome>>;

/// The outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// Its final loss.
    Loss(f64),
    /// It was stopped early; with its loss then.
    Stopped(Option<f64>),
    Diverged,
}

impl RateSearch {
    /// A search for the schemes and seeds of an experiment; its rates are ignored.
    pub fn new(experiment: &Resolved) -> Self {
        // A step of gradient descent is as long as its gradient, which here is some 1e-2; the entries of the other optimisers' steps are of size 1.
        let start = match experiment.optimizer.name() {
            OptimizerName::AdamW | OptimizerName::SignSgd => -2,
            OptimizerName::Sgd => 4,
        };
        let Resolved { schemes, seeds, precision, .. } = experiment.clone();
        Self { schemes, seeds, precision, start, shape: true, choices: vec![] }
    }

    /// A search for the best rates alone: for neither the edge nor the curve's shape.
    pub fn of_best(experiment: &Resolved) -> Self {
        Self { shape: false, ..Self::new(experiment) }
    }

    /// The next round as it was chosen before.
    pub fn repeat(&mut self, of_round: &[Choice]) {
        self.choices.extend(of_round.iter().cloned());
    }

    /// Reduces the last round to at most so many runs, by whole seeds, the last one first, so that its rates stay comparable. Returns what is left.
    pub fn reduce(&mut self, most: usize) -> Vec<Choice> {
        let round = self.rounds();
        let start = self.choices.iter().position(|choice| choice.round == round).unwrap_or(self.choices.len());
        let mut of_round = self.choices.split_off(start);
        for last in self.seeds.iter().rev() {
            let runs: usize = of_round.iter().map(|choice| choice.seeds.len()).sum();
            if runs > most {
                of_round.iter_mut().for_each(|choice| choice.seeds.retain(|seed| seed != last));
            }
        }
        of_round.retain(|choice| !choice.seeds.is_empty());
        self.choices.extend(of_round.iter().cloned());
        of_round
    }

    /// The lowest and the highest rate that a search may choose.
    pub fn bounds() -> [f64; 2] {
        [LOWEST, HIGHEST].map(rate)
    }

    /// The next round's rates, given every run so far and the loss of the base alone; empty when the search is over.
    pub fn next(&mut self, base_loss: Option<f64>, runs: &[RunResult]) -> Vec<Choice> {
        let round = self.rounds() + 1;
        let mut choices = Vec::new();
        // A scheme that could not start is not tried again.
        let starts = |scheme: &&String| !runs.iter().any(|run| run.failed.is_some() && run.cell.scheme == **scheme);
        for scheme in self.schemes.iter().filter(starts) {
            let tried = tried(runs, scheme);
            for (exponent, seeds, why) in self.wanted(&tried, base_loss) {
                choices.push(Choice { round, scheme: scheme.clone(), learning_rate: rate(exponent), seeds, why });
            }
        }
        self.choices.extend(choices.iter().cloned());
        choices
    }

    /// Everything that was chosen, round by round.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The number of rounds so far.
    pub fn rounds(&self) -> usize {
        self.choices.last().map_or(0, |choice| choice.round)
    }

    /// The distinct rates that were chosen, from small to large.
    pub fn learning_rates(&self) -> Vec<f64> {
        let mut rates: Vec<f64> = self.choices.iter().map(|choice| choice.learning_rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    fn wanted(&self, tried: &Tried, base_loss: Option<f64>) -> Vec<(i32, Vec<u64>, Why)> {
        let Some(&scout) = self.seeds.first() else { return vec![] };
        let within = |exponent: &i32| (LOWEST..=HIGHEST).contains(exponent);
        let scouts = |from: i32, stride: i32, count: i32, why: Why| {
            (0..count).map(move |place| from + place * stride).filter(within).map(move |at| (at, vec![scout], why))
        };
        let ends = tried.first_key_value().zip(tried.last_key_value());
        let Some(((&lowest, _), (&highest, _))) = ends else {
            return scouts(self.start, STRIDE, SCOUTS, Why::Scout).collect();
        };
        let lower = || scouts(lowest - STRIDE, -STRIDE, FURTHER, Why::Lower);
        let higher = || scouts(highest + STRIDE, STRIDE, FURTHER, Why::Higher);
        let mean = |at: &i32| tried.get(at).and_then(mean);
        let known = tried.keys().filter_map(|at| Some((*at, mean(at)?)));
        let Some((best, _)) = known.min_by(|(_, one), (_, other)| one.total_cmp(other)) else {
            return lower().collect();
        };
        let held = |at: &i32| tried.get(at).and_then(last_mean);
        let holds = |at: &i32| held(at).is_some_and(|loss| base_loss.is_none_or(|base| loss <= base));
        let seeds = self.seeds_at(tried.get(&best));
        let broken = tried.range(best + 1..).map(|(at, _)| *at).find(|at| !holds(at));
        let further: Vec<_> = match (best == lowest, broken) {
            (true, _) => lower().collect(),
            (false, None) if self.shape || best == highest => higher().collect(),
            (false, _) => vec![],
        };
        // The optimum may still be beyond the rates tried.
        if !further.is_empty() && (best == lowest || best == highest) {
            return further;
        }
        let mut wanted = further;
        for at in (best - 1..=best + 1).filter(within) {
            let missing = missing(seeds, tried, at);
            if !missing.is_empty() {
                wanted.push((at, missing, if at == best { Why::Best } else { Why::Neighbour }));
            }
        }
        if wanted.is_empty() {
            let beyond = beyond(seeds, tried, best).into_iter().filter(within);
            wanted.extend(beyond.map(|at| (at, missing(seeds, tried, at), Why::Plausible)));
        }
        if !self.shape {
            return wanted;
        }
        if wanted.is_empty() {
            let next = [(best - 2, best - 1), (best + 2, best + 1)]
                .into_iter()
                .filter(|(at, beside)| within(at) && !tried.contains_key(at) && mean(beside).is_some());
            wanted.extend(next.map(|(at, _)| (at, vec![scout], Why::Bend)));
        }
        if let Some(broken) = broken {
            let last = tried.range(..broken).next_back().map_or(best, |(at, _)| *at);
            let middle = last + (broken - last) / 2;
            if middle > last && wanted.iter().all(|(at, ..)| *at != middle) {
                wanted.push((middle, vec![scout], Why::Edge));
            }
        }
        wanted
    }

    /// The seeds that the best rate and its neighbours are to have: all, or as many as give the best loss the precision that is asked for.
    fn seeds_at(&self, best: Option<&BTreeMap<u64, Outcome>>) -> &[u64] {
        let mut count = FEWEST_SEEDS;
        while self.precision > 0.0 && count < self.seeds.len() {
            let seeds = &self.seeds[..count];
            let loss = |seed: &u64| best?.get(seed)?.loss();
            let Some(losses) = seeds.iter().map(loss).collect::<Option<Vec<f64>>>() else { return seeds };
            let interval = loralab_statistics::interval_of_mean(&losses, loralab_statistics::LEVEL);
            if interval.is_some_and(|[low, high]| high - low <= 2.0 * self.precision) {
                return seeds;
            }
            count *= 2;
        }
        &self.seeds
    }
}

/// The seeds that a rate lacks; none if it can't be the best, since a run was stopped early there.
fn missing(seeds: &[u64], tried: &Tried, at: i32) -> Vec<u64> {
    let known = tried.get(&at);
    if known.is_some_and(|known| known.values().any(|outcome| matches!(outcome, Outcome::Stopped(_)))) {
        return vec![];
    }
    let has = |seed: &u64| known.is_some_and(|known| known.contains_key(seed));
    seeds.iter().copied().filter(|seed| !has(seed)).collect()
}

/// The rates just beyond those around `best` that have every one of the seeds, on each side where resamples of the seeds have the best at the end.
fn beyond(seeds: &[u64], tried: &Tried, best: i32) -> Vec<i32> {
    // A rate at which a seed diverged or was stopped can't be best, and ends the row.
    let row = |at: i32| seeds.iter().map(|seed| tried.get(&at)?.get(seed)?.loss()).collect::<Option<Vec<f64>>>();
    let low = (LOWEST..best).rev().take_while(|at| row(*at).is_some()).last().unwrap_or(best);
    let rows: Vec<Vec<f64>> = (low..=HIGHEST).map_while(row).collect();
    let (Some(last), true) = (rows.len().checked_sub(1), seeds.len() > 1) else { return vec![] };
    let resamples = loralab_statistics::resamples(seeds.len());
    let at_ends = resamples.iter().fold([0, 0], |[first_count, last_count], chosen| {
        let total = |losses: &Vec<f64>| chosen.iter().map(|&seed| losses[seed]).sum::<f64>();
        let lowest = (0..=last).min_by(|&one, &other| total(&rows[one]).total_cmp(&total(&rows[other])));
        [first_count + usize::from(lowest == Some(0)), last_count + usize::from(lowest == Some(last))]
    });
    let often = |count: usize| count as f64 > AT_END * resamples.len() as f64;
    let ends = [(at_ends[0], low - 1), (at_ends[1], low + last as i32 + 1)];
    let open = |at: i32| !missing(seeds, tried, at).is_empty();
    ends.into_iter().filter(|&(count, at)| often(count) && open(at)).map(|(_, at)| at).collect()
}

impl Outcome {
    /// The final loss.
    fn loss(&self) -> Option<f64> {
        if let Self::Loss(loss) = self { Some(*loss) } else { None }
    }

    /// The final loss, or that at an early stop.
    fn last(&self) -> Option<f64> {
        if let Self::Stopped(loss) = self { *loss } else { self.loss() }
    }
}

impl Choice {
    /// The runs of this choice.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let Self { scheme, learning_rate, seeds, .. } = self;
        seeds.iter().map(|&seed| Cell { scheme: scheme.clone(), learning_rate: *learning_rate, seed })
    }

    /// The choices of one round as text: a sentence for each scheme.
    pub fn in_words(choices: &[Choice]) -> Vec<String> {
        let of_scheme = |choices: &[Choice]| {
            let whys: BTreeSet<Why> = choices.iter().map(|choice| choice.why).collect();
            let parts = whys.into_iter().map(|why| {
                let rates = choices.iter().filter(|choice| choice.why == why);
                let rates: Vec<String> = rates.map(|choice| learning_rate_text(choice.learning_rate)).collect();
                format!("{} ({})", rates.join(", "), why.words())
            });
            format!("{} at {}", choices[0].scheme, parts.collect::<Vec<_>>().join("; "))
        };
        choices.chunk_by(|a, b| a.scheme == b.scheme).map(of_scheme).collect()
    }
}

fn rate(exponent: i32) -> f64 {
    ORIGIN * 2f64.powi(exponent)
}

/// The outcomes of the runs of a scheme that were completed, were stopped early or diverged.
fn tried(runs: &[RunResult], scheme: &str) -> Tried {
    let mut tried = Tried::new();
    let outcome = |run: &RunResult| match run.finished_loss() {
        Some(loss) => Outcome::Loss(loss),
        None if run.is_diverged() => Outcome::Diverged,
        None => Outcome::Stopped(run.last_loss()),
    };
    let ended = runs.iter().filter(|run| run.is_over() && run.failed.is_none());
    for run in ended.filter(|run| run.cell.scheme == scheme) {
        let exponent = (run.cell.learning_rate / ORIGIN).log2().round() as i32;
        tried.entry(exponent).or_default().insert(run.cell.seed, outcome(run));
    }
    tried
}

/// The mean of the final losses over seeds; none if one diverged or was stopped early.
fn mean(outcomes: &BTreeMap<u64, Outcome>) -> Option<f64> {
    mean_of(outcomes, Outcome::loss)
}

/// The mean of the last losses over seeds; none if one diverged.
fn last_mean(outcomes: &BTreeMap<u64, Outcome>) -> Option<f64> {
    mean_of(outcomes, Outcome::last)
}

fn mean_of(outcomes: &BTreeMap<u64, Outcome>, loss: fn(&Outcome) -> Option<f64>) -> Option<f64> {
    let losses: Vec<f64> = outcomes.values().map(loss).collect::<Option<_>>()?;
    (!losses.is_empty()).then(|| loralab_statistics::mean(&losses))
}

#[cfg(test)]
mod tests;
