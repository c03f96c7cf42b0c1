//! How well the best learning rate of a scheme is known, and whether schemes differ.
//!
//! A scheme's *optimum* lies between the rates that were tried: where a parabola through the logarithms of the lowest mean loss and its neighbours is lowest.
//! What is said of it follows from these rules, which `tests/coverage.rs` holds to sweeps whose optimum is known:
//!
//! 1. *What the grid leaves open* is a range, not a point: between the lowest places of three parabolas, or up to the next rate tried
//!    ([`valley()`](loralab_statistics::valley())). A rate at which a seed diverged is an end of it.
//! 2. *What the seeds leave open* comes on top: each end of the range moves out by as many of its standard errors as Student's t asks for
//!    ([`interval_of_range()`]), those of a bootstrap over seeds in which best rate and range are looked for again every time. Two seeds give a wide interval, one seed none. Seeds are shared by schemes and rates, and every
//!    resample takes the same ones for all of them.
//! 3. An end beyond the smallest or largest rate tried is *open*: the optimum may be anywhere beyond.
//! 4. A ratio of optima lies between the quotients of the ends of their ranges, likewise. It is open where one of them is. Optima are said to differ where the
//!    interval does not hold 1, and by how much at least where the other end is open.
//! 5. Losses are those at the best rate tried; what may lie between and beyond the rates is no part of their intervals.
//! 6. All runs are validated on the same examples, so intervals are of what other seeds would give on these. How much the examples themselves make out is not
//!    known from mean losses, and fewer than [`FEWEST_EXAMPLES`] of them say nothing about others.

use std::collections::{BTreeMap, BTreeSet};

use loralab_statistics::{LEVEL, Valley, interval_of_range, mean, standard_error, standard_errors, valley};
use serde::{Deserialize, Serialize};

use crate::analysis::summary::SchemeSummary;
use crate::protocol::run::RunResult;

/// Fewer validation examples show nothing at 95 %, even if all agree: by chance n of them do so in 2 of 2ⁿ cases (the sign test, two-sided).
pub const FEWEST_EXAMPLES: usize = 6;

/// Where a scheme is best, with what is not known about it. Pairs are lower and upper end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimum {
    /// The learning rate of the lowest loss, between those that were tried.
    pub learning_rate: f64,
    /// Its 95 % interval, cut off at the rates that were tried; `None` with fewer than two seeds or rates, or [`FEWEST_EXAMPLES`] validation examples.
    pub interval: Option<[f64; 2]>,
    /// Whether the optimum may lie below the smallest and above the largest rate that was tried, so that nothing bounds it there.
    #[serde(default)]
    pub open: [bool; 2],
    /// The 95 % interval of the scheme's best loss, in nats per token; `None` with fewer than two seeds.
    pub loss_interval: Option<[f64; 2]>,
    /// The rates around the best whose mean loss is within one standard error of its; `None` with fewer than two seeds.
    pub plateau: Option<[f64; 2]>,
    /// Whether the best is the smallest or largest rate that was tried, be it the only one, so that the optimum may lie beyond.
    pub at_edge: bool,
    /// The divergence edge: the last rate before, and the first above the best at which a seed diverged or the loss ended above
    /// the base's; `None` where no such rate was tried.
    pub divergence_edge: Option<[f64; 2]>,
}

impl Optimum {
    /// Whether nothing bounds the optimum on a side of the grid.
    pub fn is_open(&self) -> bool {
        // Summaries of older versions have no `open`.
        self.at_edge || self.open != [false; 2]
    }

    /// The interval, with 0 and infinity for ends that nothing bounds.
    pub fn bounds(&self) -> Option<[f64; 2]> {
        let [low, high] = self.interval?;
        Some([if self.open[0] { 0.0 } else { low }, if self.open[1] { f64::INFINITY } else { high }])
    }
}

/// Two schemes, each at its own best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The scheme with the lower best loss.
    pub first: String,
    /// The other.
    pub second: String,
    /// Best loss of the second less that of the first, in nats per token.
    pub loss_difference: f64,
    /// Its interval at `level`; `None` with fewer than two seeds in common.
    pub loss_difference_interval: Option<[f64; 2]>,
    /// Optimal learning rate of the first divided by that of the second.
    pub rate_ratio: f64,
    /// Its interval at `level`, cut off at the ratios of rates that were tried; `None` with fewer than two seeds in common.
    pub rate_ratio_interval: Option<[f64; 2]>,
    /// Whether nothing bounds the ratio below and above, because an optimum may lie beyond the rates tried.
    #[serde(default)]
    pub rate_ratio_open: [bool; 2],
    /// 0.95, or more where several pairs are compared: Bonferroni's, so that all intervals hold together in 95 % of sweeps.
    pub level: f64,
}

impl Comparison {
    /// Whether the losses differ by more than chance; `None` when that cannot be told.
    pub fn losses_differ(&self) -> Option<bool> {
        self.loss_difference_interval.map(|[low, high]| low > 0.0 || high < 0.0)
    }

    /// Whether the optimal rates differ by more than chance; `None` when that cannot be told.
    pub fn rates_differ(&self) -> Option<bool> {
        self.bounds().map(|[low, high]| low > 1.0 || high < 1.0)
    }

    /// The interval of the ratio of the optimal rates, with 0 and infinity for ends that nothing bounds.
    pub fn bounds(&self) -> Option<[f64; 2]> {
        let ([low, high], open) = (self.rate_ratio_interval?, self.rate_ratio_open);
        Some([if open[0] { 0.0 } else { low }, if open[1] { f64::INFINITY } else { high }])
    }

    /// The same pair with nothing said of what it does not show of others.
    pub(crate) fn without_intervals(self) -> Self {
        Self { loss_difference_interval: None, rate_ratio_interval: None, ..self }
    }
}

/// The losses of a scheme at the rates tried.
pub(crate) struct Trials {
    /// Logarithms of the rates, rising.
    rates: Vec<f64>,
    /// The losses at each rate by seed; none where a seed diverged.
    losses: Vec<Option<BTreeMap<u64, f64>>>,
    /// The seeds with a loss at every rate at which none diverged, scouted rates aside.
    seeds: BTreeSet<u64>,
    /// Smallest and largest logarithm of the rates tried.
    tried: [f64; 2],
    /// (logarithm of the rate, losses) at every rate at which no seed diverged, as they were trained.
    all: Vec<(f64, Vec<f64>)>,
}

/// Where a choice of seeds has its optimum.
#[derive(Clone, Copy)]
struct Found {
    /// Logarithm of the learning rate, and between which the grid leaves it.
    rate: f64,
    bracket: [f64; 2],
    loss: f64,
    /// Of the best rate among those tried.
    place: usize,
}

impl Trials {
    /// Out of the runs of one scheme that came to their end, by rising rate and seed.
    pub(crate) fn new(runs: &[&RunResult]) -> Self {
        let of_rate = |runs: &[&RunResult]| -> Option<BTreeMap<u64, f64>> {
            runs.iter().map(|run| Some((run.cell.seed, run.finished_loss()?))).collect()
        };
        let rates = runs.chunk_by(|a, b| a.cell.learning_rate == b.cell.learning_rate);
        // A log from elsewhere may have others, which have no logarithm.
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

    /// Where the best and a rate on each side of it, if there is one, have every seed, rates with fewer get the others: a search tries rates far from the best with
    /// one seed, which must not take the seeds of the others out of the fit. A seed that is missing has the step from the next rate inwards that the others have.
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
            // Beyond a rate at which a seed diverged, one scout says nothing of the others.
            self.losses[at] = filled;
        }
        self.seeds = every;
    }

    /// The optimum of mean losses, one for each rate; infinite ones where a seed diverged.
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

    /// The losses of these seeds alone: a row for each rate, a column for each seed.
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

    /// The logarithm of the optimal rate of these seeds, by their places among those that all rates have: the lowest that the grid leaves open, the
    /// estimate and the highest.
    pub(crate) fn rate_of(&self, chosen: &[usize]) -> Option<[f64; 3]> {
        let fits = chosen.iter().all(|&seed| seed < self.seeds.len());
        let found = fits.then(|| self.of_resample(&self.table(&self.seeds), chosen))??;
        Some([found.bracket[0], found.rate, found.bracket[1]])
    }

    /// What is known of the optimum; none where every rate had a diverged seed.
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

    /// The rates around the best up to which the mean loss stays within one standard error of the best's; between two rates, the
    /// loss is taken to change evenly with the logarithm of the rate.
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

/// The first rate above the best at which a seed diverged or the mean loss is above the base's, and the rate before it.
fn divergence_edge(scheme: &SchemeSummary, base_loss: Option<f64>) -> Option<[f64; 2]> {
    let best = scheme.best_learning_rate?;
    let broken = |mean: f64| base_loss.is_some_and(|base| mean > base);
    let above = scheme.learning_rates.windows(2).filter(|pair| pair[0].learning_rate >= best);
    let mut broke = above.skip_while(|pair| pair[1].mean_loss.is_some_and(|mean| !broken(mean)));
    broke.next().map(|pair| [pair[0].learning_rate, pair[1].learning_rate])
}

/// The logarithm of a loss; a loss of 0 has none.
fn log(loss: f64) -> f64 {
    loss.max(f64::MIN_POSITIVE).ln()
}

/// Which ends lie beyond the rates tried, but for rounding.
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
            // No ratio of two rates that were tried lies beyond these.
            let [lowest, highest] = [one.tried[0] - other.tried[1], one.tried[1] - other.tried[0]];
            let ratio = around([1, 2]).filter(|_| lowest < highest);
            // An optimum that may lie beyond its grid leaves that side of the ratio open.
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
