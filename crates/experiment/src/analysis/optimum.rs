//! The uncertainty of a scheme's best learning rate, and tests of differences between schemes.
//!
//! A scheme's *optimum* lies between the rates that were tried: at the minimum of a parabola through the logarithms of the lowest mean loss and its neighbours.
//! Intervals follow these rules, which `tests/coverage.rs` checks on sweeps with a known optimum:
//!
//! 1. *The grid* determines the optimum only up to a range: between the minima of three parabolas, or up to the next rate tried
//!    ([`valley()`](loralab_statistics::valley())). A rate at which a seed diverged ends the range.
//! 2. *The seeds* widen it: each end of the range moves outwards by Student's t times its standard error
//!    ([`interval_of_range()`]), from a bootstrap over seeds in which best rate and range are found anew every time. Two seeds give a wide
//!    interval, one seed none. Seeds are shared by schemes and rates, and every
//!    resample takes the same ones for all of them.
//! 3. An end beyond the smallest or largest rate tried is *open*: the optimum may be anywhere beyond.
//! 4. A ratio of optima gets its interval in the same way, from the quotients of the ends of their ranges. It is open if one of them is. Optima are reported to
//!    differ if the interval does not include 1; if the other end is open, the difference is a lower bound.
//! 5. Losses are those at the best rate tried; lower losses between and beyond the rates are not part of their intervals.
//! 6. All runs are validated on the same examples, so intervals describe other seeds on these examples. The effect of the examples themselves can't be
//!    estimated from mean losses, and fewer than [`FEWEST_EXAMPLES`] of them are no evidence about others.

use std::collections::{BTreeMap, BTreeSet};

use loralab_statistics::{LEVEL, Valley, interval_of_range, mean, standard_error, standard_errors, valley};
use serde::{Deserialize, Serialize};

use crate::analysis::summary::{RateSummary, SchemeSummary};
use crate::protocol::run::RunResult;

/// With fewer validation examples no difference is significant at 95 %, even if all agree: by chance n of them do so in 2 of 2ⁿ cases (the sign test, two-sided).
pub const FEWEST_EXAMPLES: usize = 6;

/// The optimum of a scheme, with its uncertainty. Pairs are lower and upper end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimum {
    /// The learning rate of the lowest loss, interpolated between the rates tried.
    pub learning_rate: f64,
    /// Its 95 % interval, cut off at the rates tried; `None` with fewer than two seeds or rates, or [`FEWEST_EXAMPLES`] validation examples.
    pub interval: Option<[f64; 2]>,
    /// True if the optimum may lie below the smallest, or above the largest rate tried, so that the interval is open at that end.
    #[serde(default)]
    pub open: [bool; 2],
    /// The 95 % interval of the scheme's best loss, in nats per token; `None` with fewer than two seeds.
    pub loss_interval: Option<[f64; 2]>,
    /// The rates around the best whose mean loss is within one standard error of the best's; `None` with fewer than two seeds.
    pub plateau: Option<[f64; 2]>,
    /// True if the best is the smallest, largest or only rate tried, so that the optimum may lie beyond.
    pub at_edge: bool,
    /// The divergence edge: the first rate above the best at which a seed diverged or the loss ended (or stood, if the run was stopped early) above the
    /// base's, and the rate before it; `None` if no such rate was tried.
    pub divergence_edge: Option<[f64; 2]>,
}

impl Optimum {
    /// True if the optimum may lie beyond an end of the grid.
    pub fn is_open(&self) -> bool {
        // Summaries of older versions have no `open`.
        self.at_edge || self.open != [false; 2]
    }

    /// The interval, with 0 and infinity for open ends.
    pub fn bounds(&self) -> Option<[f64; 2]> {
        let [low, high] = self.interval?;
        Some([if self.open[0] { 0.0 } else { low }, if self.open[1] { f64::INFINITY } else { high }])
    }
}

/// A comparison of two schemes, each at its own best rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The scheme with the lower best loss.
    pub first: String,
    /// The other scheme.
    pub second: String,
    /// The best loss of the second less that of the first, in nats per token.
    pub loss_difference: f64,
    /// Its interval at `level`; `None` with fewer than two seeds in common.
    pub loss_difference_interval: Option<[f64; 2]>,
    /// The optimal learning rate of the first divided by that of the second.
    pub rate_ratio: f64,
    /// Its interval at `level`, cut off at the ratios of rates tried; `None` with fewer than two seeds in common.
    pub rate_ratio_interval: Option<[f64; 2]>,
    /// True if the ratio's interval is open below and above, because an optimum may lie beyond the rates tried.
    #[serde(default)]
    pub rate_ratio_open: [bool; 2],
    /// 0.95, or more if several pairs are compared: Bonferroni's correction, with which all intervals hold together in 95 % of sweeps.
    pub level: f64,
}

impl Comparison {
    /// True if the difference of the losses is significant; `None` if there is no interval.
    pub fn losses_differ(&self) -> Option<bool> {
        self.loss_difference_interval.map(|[low, high]| low > 0.0 || high < 0.0)
    }

    /// True if the difference of the optimal rates is significant; `None` if there is no interval.
    pub fn rates_differ(&self) -> Option<bool> {
        self.bounds().map(|[low, high]| low > 1.0 || high < 1.0)
    }

    /// The interval of the ratio of the optimal rates, with 0 and infinity for open ends.
    pub fn bounds(&self) -> Option<[f64; 2]> {
        let ([low, high], open) = (self.rate_ratio_interval?, self.rate_ratio_open);
        Some([if open[0] { 0.0 } else { low }, if open[1] { f64::INFINITY } else { high }])
    }

    /// The same pair without intervals, for validations on too few examples.
    pub(crate) fn without_intervals(self) -> Self {
        Self { loss_difference_interval: None, rate_ratio_interval: None, ..self }
    }
}

/// The losses of a scheme at the rates tried.
pub(crate) struct Trials {
    /// Logarithms of the rates, rising.
    rates: Vec<f64>,
    /// The losses at each rate by seed; none if a seed diverged or was stopped early.
    losses: Vec<Option<BTreeMap<u64, f64>>>,
    /// The seeds with a loss at every rate at which none diverged, except rates that a search tried with one seed.
    seeds: BTreeSet<u64>,
    /// The smallest and largest logarithm of the rates tried.
    tried: [f64; 2],
    /// (logarithm of the rate, losses) at every rate at which no seed diverged, without values filled in.
    all: Vec<(f64, Vec<f64>)>,
}

/// The optimum of a choice of seeds.
#[derive(Clone, Copy)]
struct Found {
    /// The logarithm of the learning rate; the next field is its range on the grid.
    rate: f64,
    bracket: [f64; 2],
    loss: f64,
    /// The index of the best rate among those tried.
    place: usize,
}

impl Trials {
    /// The trials of the finished runs of one scheme, by rising rate and seed.
    pub(crate) fn new(runs: &[&RunResult]) -> Self {
        let of_rate = |runs: &[&RunResult]| -> Option<BTreeMap<u64, f64>> {
            runs.iter().map(|run| Some((run.cell.seed, run.finished_loss()?))).collect()
        };
        let rates = runs.chunk_by(|a, b| a.cell.learning_rate == b.cell.learning_rate);
        // A log written by another program may have rates without a logarithm.
        let rates = rates.filter(|runs| runs[0].cell.learning_rate > 0.0 && runs[0].cell.learning_rate.is_finite());
        let (rates, losses): (Vec<f64>, Vec<_>) =
            rates.map(|runs| (runs[0].cell.learning_rate.ln(), of_rate(runs))).unzip();
        let values = |losses: &BTreeMap<u64, f64>| losses.values().copied().collect::<Vec<_>>();
        let all = rates.iter().zip(&losses).filter_map(|(rate, losses)| Some((*rate, values(losses.as_ref()?))));
        let all = all.collect();
        let tried = [rates.first(), rates.last()].map(|end| end.copied().unwrap_or(f64::NAN));
        let seeds = losses.iter().flatten().map(|losses| losses.keys().copied().collect::<BTreeSet<u64>>());
        let seeds = seeds.reduce(|common, seeds| &common & &seeds).unwrap_or_default();
        let mut trials = Self { rates, losses, seeds, tried, all };
        trials.complete_scouts();
        trials
    }

    /// Fills in seeds that are missing at some rates, if the best rate and its neighbours have every seed: a search tries rates far from the best with one seed, which must
    /// not remove the other seeds from the fit. A missing seed gets the mean step, from the next rate inwards, of the seeds that are present.
    fn complete_scouts(&mut self) {
        let every = self.losses.iter().flatten().flat_map(BTreeMap::keys).copied().collect::<BTreeSet<u64>>();
        let whole =
            |losses: &Option<BTreeMap<u64, f64>>| losses.as_ref().is_none_or(|losses| losses.len() == every.len());
        let Some(best) = self.found().map(|found| found.place) else { return };
        let near = &self.losses[best.saturating_sub(1)..=(best + 1).min(self.losses.len() - 1)];
        if self.seeds.len() == every.len() || !near.iter().all(whole) {
            return;
        }
        let outwards =
            (0..best).rev().map(|at| (at, at + 1)).chain((best + 1..self.rates.len()).map(|at| (at, at - 1)));
        for (at, inner) in outwards.collect::<Vec<_>>() {
            if whole(&self.losses[at]) {
                continue;
            }
            let filled = self.losses[inner].as_ref().zip(self.losses[at].as_ref()).map(|(inner, scouts)| {
                let steps: Vec<f64> = scouts.iter().map(|(seed, loss)| log(*loss) - log(inner[seed])).collect();
                let step = mean(&steps).exp();
                inner.iter().map(|(seed, loss)| (*seed, scouts.get(seed).copied().unwrap_or(loss * step))).collect()
            });
            // Beyond a rate at which a seed diverged, a single seed is no evidence about the others.
            self.losses[at] = filled;
        }
        self.seeds = every;
    }

    /// The optimum of mean losses, one for each rate; a rate at which a seed diverged is infinite.
    fn find(&self, means: &[f64]) -> Option<Found> {
        let points: Vec<_> = self.rates.iter().zip(means).map(|(&rate, &loss)| (rate, log(loss))).collect();
        let Valley { x, bracket, place } = valley(&points)?;
        Some(Found { rate: x, bracket, loss: means[place], place })
    }

    fn found(&self) -> Option<Found> {
        let of_rate = |losses: &Option<BTreeMap<u64, f64>>| {
            losses.as_ref().map_or(f64::INFINITY, |losses| mean(&losses.values().copied().collect::<Vec<_>>()))
        };
        self.find(&self.losses.iter().map(of_rate).collect::<Vec<_>>())
    }

    /// The losses of these seeds alone: one row per rate, one column per seed.
    fn table(&self, seeds: &BTreeSet<u64>) -> Vec<Vec<f64>> {
        let of_rate = |losses: &Option<BTreeMap<u64, f64>>| {
            let of_seed = |seed| losses.as_ref().map_or(f64::INFINITY, |losses| losses[seed]);
            seeds.iter().map(of_seed).collect()
        };
        self.losses.iter().map(of_rate).collect()
    }

    /// The optimum of the chosen columns of a table.
    fn of_resample(&self, table: &[Vec<f64>], chosen: &[usize]) -> Option<Found> {
        let of_rate = |losses: &Vec<f64>| mean(&chosen.iter().map(|&seed| losses[seed]).collect::<Vec<_>>());
        self.find(&table.iter().map(of_rate).collect::<Vec<_>>())
    }

    /// The logarithm of the optimal rate of the seeds with these indices among those that all rates have: the lower end of the grid's range, the
    /// estimate and the upper end.
    pub(crate) fn rate_of(&self, chosen: &[usize]) -> Option<[f64; 3]> {
        let fits = chosen.iter().all(|&seed| seed < self.seeds.len());
        let found = fits.then(|| self.of_resample(&self.table(&self.seeds), chosen))??;
        Some([found.bracket[0], found.rate, found.bracket[1]])
    }

    /// The scheme's optimum with its intervals; none if a seed diverged at every rate.
    pub(crate) fn optimum(&self, scheme: &SchemeSummary, base_loss: Option<f64>) -> Option<Optimum> {
        let found = self.found()?;
        let seeds = self.seeds.len();
        let table = self.table(&self.seeds);
        let errors = standard_errors(seeds, |chosen| {
            let numbers = |Found { bracket: [low, high], loss, .. }: Found| vec![low, high, loss];
            self.of_resample(&table, chosen).map_or(vec![f64::NAN; 3], numbers)
        });
        let around = |estimates: [f64; 2], places: [usize; 2]| {
            let errors = errors.as_ref()?;
            interval_of_range(estimates, places.map(|place| errors[place]), seeds, LEVEL)
        };
        let [smallest, largest] = self.tried;
        let ends = around(found.bracket, [0, 1]).filter(|_| smallest < largest);
        Some(Optimum {
            learning_rate: found.rate.exp(),
            interval: ends.map(|ends| ends.map(|end| end.clamp(smallest, largest).exp())),
            open: beyond(ends.unwrap_or(found.bracket), self.tried),
            loss_interval: around([found.loss; 2], [2, 2]).map(|[low, high]| [low.max(0.0), high]),
            plateau: self.plateau(self.rates[found.place]),
            at_edge: [smallest, largest].contains(&self.rates[found.place]),
            divergence_edge: divergence_edge(scheme, base_loss),
        })
    }

    /// The rates around the best between which the mean loss stays within one standard error of the best's; between two rates, the
    /// loss is interpolated linearly in the logarithm of the rate.
    fn plateau(&self, best: f64) -> Option<[f64; 2]> {
        let best = self.all.iter().position(|(rate, _)| *rate == best)?;
        let (rate, losses) = &self.all[best];
        let limit = mean(losses) + standard_error(losses)?;
        let reach = |places: &mut dyn Iterator<Item = usize>| {
            let mut inside = (*rate, mean(losses));
            for place in places {
                let outside = (self.all[place].0, mean(&self.all[place].1));
                if outside.1 > limit {
                    let share = (limit - inside.1) / (outside.1 - inside.1);
                    return inside.0 + share * (outside.0 - inside.0);
                }
                inside = outside;
            }
            inside.0
        };
        let ends = [reach(&mut (0..best).rev()).exp(), reach(&mut (best + 1..self.all.len())).exp()];
        Some(ends).filter(|ends| ends.iter().all(|end| end.is_finite()))
    }
}

/// The rate before the first rate above the best at which a seed diverged or the mean loss is above the base's, and that rate.
fn divergence_edge(scheme: &SchemeSummary, base_loss: Option<f64>) -> Option<[f64; 2]> {
    let best = scheme.best_learning_rate?;
    let broken = |mean: f64| base_loss.is_some_and(|base| mean > base);
    let above = scheme.learning_rates.windows(2).filter(|pair| pair[0].learning_rate >= best);
    // A seed that was stopped early held if its loss was not above the base's then.
    let known = |rate: &RateSummary| rate.mean_loss.or(rate.loss_at_stop).filter(|_| rate.diverged == 0);
    let mut broke = above.skip_while(|pair| known(&pair[1]).is_some_and(|mean| !broken(mean)));
    broke.next().map(|pair| [pair[0].learning_rate, pair[1].learning_rate])
}

/// The logarithm of a loss; a loss of 0 has none.
fn log(loss: f64) -> f64 {
    loss.max(f64::MIN_POSITIVE).ln()
}

/// True for each end that lies beyond the rates tried, up to rounding.
fn beyond([low, high]: [f64; 2], [smallest, largest]: [f64; 2]) -> [bool; 2] {
    [low < smallest - 1e-9, high > largest + 1e-9]
}

/// Every pair of schemes that have an optimum, the one with the lower loss first, in the order of their losses.
pub(crate) fn comparisons(schemes: &[(&str, Trials)]) -> Vec<Comparison> {
    let mut ranked: Vec<(&str, &Trials, Found)> =
        schemes.iter().filter_map(|(scheme, trials)| Some((*scheme, trials, trials.found()?))).collect();
    ranked.sort_by(|(.., one), (.., other)| one.loss.total_cmp(&other.loss));
    let pairs = ranked.len() * ranked.len().saturating_sub(1) / 2;
    let level = 1.0 - (1.0 - LEVEL) / pairs.max(1) as f64;
    let mut comparisons = Vec::with_capacity(pairs);
    for (place, &(first, one, best)) in ranked.iter().enumerate() {
        for &(second, other, worse) in &ranked[place + 1..] {
            let seeds: BTreeSet<u64> = &one.seeds & &other.seeds;
            let tables = [one.table(&seeds), other.table(&seeds)];
            // The difference of the losses, and the ends of the ratio and of each optimum.
            let numbers = |one: Found, other: Found| {
                let [[low, high], [least, most]] = [one.bracket, other.bracket];
                [other.loss - one.loss, low - most, high - least, low, high, least, most]
            };
            let estimates = numbers(best, worse);
            let errors = standard_errors(seeds.len(), |chosen| {
                let pair = one.of_resample(&tables[0], chosen).zip(other.of_resample(&tables[1], chosen));
                pair.map_or(vec![f64::NAN; estimates.len()], |(one, other)| numbers(one, other).into())
            });
            let around = |places: [usize; 2]| {
                let errors = errors.as_ref()?;
                let [estimates, errors] = [&estimates[..], errors].map(|of| places.map(|place| of[place]));
                interval_of_range(estimates, errors, seeds.len(), level)
            };
            // Every ratio of two rates tried is between these.
            let [lowest, highest] = [one.tried[0] - other.tried[1], one.tried[1] - other.tried[0]];
            let ratio = around([1, 2]).filter(|_| lowest < highest);
            // If an optimum may lie beyond its grid, that side of the ratio is open.
            let ends = [around([3, 4]).unwrap_or(best.bracket), around([5, 6]).unwrap_or(worse.bracket)];
            let open = [beyond(ends[0], one.tried), beyond(ends[1], other.tried)];
            comparisons.push(Comparison {
                first: first.to_owned(),
                second: second.to_owned(),
                loss_difference: worse.loss - best.loss,
                loss_difference_interval: around([0, 0]),
                rate_ratio: (best.rate - worse.rate).exp(),
                rate_ratio_interval: ratio.map(|ends| ends.map(|end| end.clamp(lowest, highest).exp())),
                rate_ratio_open: [0, 1].map(|end| open[0][end] || open[1][1 - end]),
                level,
            });
        }
    }
    comparisons
}

#[cfg(test)]
mod tests;
