//! How well the best learning rate of a scheme is known, and whether schemes differ.
//!
//! A scheme's *optimum* lies between the rates that were tried: where a parabola through the logarithms of the lowest mean
//! loss and its neighbours is lowest. Its interval, and that of the loss there, come from a bootstrap over seeds in which
//! the best rate is looked for again every time, and are Student's, so that two seeds give wide ones. Seeds are shared by
//! schemes and rates, and every resample takes the same ones for all of them. A rate at which a seed diverged takes no part.

use std::collections::BTreeSet;

use loralab_statistics::{LEVEL, interval, mean, standard_error, standard_errors, valley};
use serde::{Deserialize, Serialize};

use crate::run::RunResult;
use crate::summary::SchemeSummary;

/// Where a scheme is best, with what is not known about it. Pairs are lower and upper end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimum {
    /// The learning rate of the lowest loss, between those that were tried.
    pub learning_rate: f64,
    /// Its 95 % interval, cut off at the rates that were tried; `None` with fewer than two seeds or rates.
    pub interval: Option<[f64; 2]>,
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
    /// Whether nothing says that the optimum lies among the rates tried: the best is an end of the grid, in every resample of the seeds if there are several, so
    /// that the interval is a point that says nothing.
    pub fn is_beyond_grid(&self) -> bool {
        self.at_edge && self.interval.is_none_or(|[low, high]| high / low < 1.0 + 1e-9)
    }

    /// What stands in the place of the interval where nothing says that the optimum lies among the rates tried.
    pub fn edge_in_words(&self) -> Option<&'static str> {
        let words = if self.interval.is_some() { "beyond the grid" } else { "at the edge" };
        self.is_beyond_grid().then_some(words)
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
    /// Its interval at `level`; `None` with fewer than two seeds in common.
    pub rate_ratio_interval: Option<[f64; 2]>,
    /// 0.95, or more where several pairs are compared: Bonferroni's, so that all intervals hold together in 95 % of sweeps.
    pub level: f64,
}

impl Comparison {
    /// Whether the losses differ by more than chance; `None` when the seeds cannot tell.
    pub fn losses_differ(&self) -> Option<bool> {
        self.loss_difference_interval.map(|[low, high]| low > 0.0 || high < 0.0)
    }

    /// Whether the optimal rates differ by more than chance; `None` when the seeds cannot tell.
    pub fn rates_differ(&self) -> Option<bool> {
        self.rate_ratio_interval.map(|[low, high]| low > 1.0 || high < 1.0)
    }
}

/// The losses of a scheme at the rates at which no seed diverged.
pub(crate) struct Trials {
    /// Logarithms of the rates, rising.
    rates: Vec<f64>,
    /// (seed, final loss) at each rate.
    losses: Vec<Vec<(u64, f64)>>,
    /// Smallest and largest logarithm of the rates tried, those where a seed diverged among them.
    tried: [f64; 2],
    /// (logarithm of the rate, losses) at every rate, those among them that have fewer seeds than the ones the optimum is fitted to.
    all: Vec<(f64, Vec<f64>)>,
}

/// Where a choice of seeds has its optimum.
#[derive(Clone, Copy)]
struct Found {
    /// Logarithm of the learning rate.
    rate: f64,
    loss: f64,
    /// Of the best rate among those tried.
    place: usize,
}

impl Trials {
    /// Out of the runs of one scheme that came to their end, by rising rate and seed.
    pub(crate) fn new(runs: &[&RunResult]) -> Self {
        let (mut rates, mut losses) = (Vec::new(), Vec::new());
        for of_rate in runs.chunk_by(|a, b| a.cell.learning_rate == b.cell.learning_rate) {
            let finished: Option<Vec<(u64, f64)>> =
                of_rate.iter().map(|run| Some((run.cell.seed, run.finished_loss()?))).collect();
            if let Some(finished) = finished {
                rates.push(of_rate[0].cell.learning_rate.ln());
                losses.push(finished);
            }
        }
        let end = |run: Option<&&RunResult>| run.map_or(f64::NAN, |run| run.cell.learning_rate.ln());
        let values = |losses: &Vec<(u64, f64)>| losses.iter().map(|(_, loss)| *loss).collect::<Vec<_>>();
        let all = rates.iter().copied().zip(losses.iter().map(values)).collect();
        let trials = Self { rates, losses, tried: [end(runs.first()), end(runs.last())], all };
        trials.without_scouts()
    }

    /// The rates that have every seed, where the best and, if there are any, a rate on each side of it are among them; else all rates. A search tries rates far from the
    /// best with one seed, which must not take the seeds of the others out of the fit.
    fn without_scouts(self) -> Self {
        let seeds = self.losses.iter().flatten().map(|(seed, _)| *seed).collect::<BTreeSet<_>>().len();
        let whole = |place: &usize| self.losses[*place].len() == seeds;
        let kept: Vec<usize> = (0..self.rates.len()).filter(whole).collect();
        let best = self.found().map_or(0, |found| found.place);
        let beside = |at: usize| {
            let (first, last) = (best == 0, best + 1 == self.rates.len());
            (first || at > 0) && (last || at + 1 < kept.len())
        };
        if !kept.iter().position(|&place| place == best).is_some_and(beside) {
            return self;
        }
        let rates = kept.iter().map(|&place| self.rates[place]).collect();
        let losses = kept.iter().map(|&place| self.losses[place].clone()).collect();
        Self { rates, losses, ..self }
    }

    /// The optimum of mean losses, one for each rate.
    fn find(&self, means: &[f64]) -> Option<Found> {
        // A loss of 0 has no logarithm.
        let log = |loss: f64| loss.max(f64::MIN_POSITIVE).ln();
        let points: Vec<_> = self.rates.iter().zip(means).map(|(&rate, &loss)| (rate, log(loss))).collect();
        let valley = valley(&points)?;
        Some(Found { rate: valley.x, loss: means[valley.place], place: valley.place })
    }

    fn found(&self) -> Option<Found> {
        let of_rate = |losses: &Vec<(u64, f64)>| mean(&losses.iter().map(|(_, loss)| *loss).collect::<Vec<_>>());
        self.find(&self.losses.iter().map(of_rate).collect::<Vec<_>>())
    }

    /// Seeds with a loss at every rate.
    fn seeds(&self) -> BTreeSet<u64> {
        let of_rate = |losses: &Vec<(u64, f64)>| losses.iter().map(|(seed, _)| *seed).collect::<BTreeSet<_>>();
        let common = self.losses.iter().map(of_rate).reduce(|common, seeds| &common & &seeds);
        common.unwrap_or_default()
    }

    /// The losses of these seeds alone, which all have one: a row for each rate, a column for each seed.
    fn table(&self, seeds: &BTreeSet<u64>) -> Vec<Vec<f64>> {
        let of_rate = |losses: &Vec<(u64, f64)>| {
            losses.iter().filter(|(seed, _)| seeds.contains(seed)).map(|(_, loss)| *loss).collect()
        };
        self.losses.iter().map(of_rate).collect()
    }

    /// The optimum of the chosen columns of a table.
    fn of_resample(&self, table: &[Vec<f64>], chosen: &[usize]) -> Option<Found> {
        let of_rate = |losses: &Vec<f64>| mean(&chosen.iter().map(|&seed| losses[seed]).collect::<Vec<_>>());
        self.find(&table.iter().map(of_rate).collect::<Vec<_>>())
    }

    /// The logarithm of the optimal rate of these seeds, by their places among those that all rates have.
    pub(crate) fn rate_of(&self, chosen: &[usize]) -> Option<f64> {
        let seeds = self.seeds();
        let fits = chosen.iter().all(|&seed| seed < seeds.len());
        fits.then(|| self.of_resample(&self.table(&seeds), chosen))?.map(|found| found.rate)
    }

    /// What is known of the optimum; none where every rate had a diverged seed.
    pub(crate) fn optimum(&self, scheme: &SchemeSummary, base_loss: Option<f64>) -> Option<Optimum> {
        let found = self.found()?;
        let seeds = self.seeds();
        let table = self.table(&seeds);
        let errors = standard_errors(seeds.len(), |chosen| {
            self.of_resample(&table, chosen).map_or(vec![f64::NAN; 2], |found| vec![found.rate, found.loss])
        });
        let around = |estimate: f64, place: usize| interval(estimate, errors.as_ref()?[place], seeds.len(), LEVEL);
        let [smallest, largest] = self.tried;
        Some(Optimum {
            learning_rate: found.rate.exp(),
            interval: around(found.rate, 0)
                .filter(|_| smallest < largest)
                .map(|ends| ends.map(|end| end.clamp(smallest, largest).exp())),
            loss_interval: around(found.loss, 1).map(|[low, high]| [low.max(0.0), high]),
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
        Some([reach(&mut (0..best).rev()).exp(), reach(&mut (best + 1..self.all.len())).exp()])
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
            let seeds: BTreeSet<u64> = &one.seeds() & &other.seeds();
            let tables = [one.table(&seeds), other.table(&seeds)];
            let errors = standard_errors(seeds.len(), |chosen| {
                let pair = one.of_resample(&tables[0], chosen).zip(other.of_resample(&tables[1], chosen));
                pair.map_or(vec![f64::NAN; 2], |(one, other)| vec![other.loss - one.loss, one.rate - other.rate])
            });
            let around = |estimate: f64, place: usize| interval(estimate, errors.as_ref()?[place], seeds.len(), level);
            let (difference, ratio) = (worse.loss - best.loss, best.rate - worse.rate);
            // No ratio of two rates that were tried lies beyond these.
            let [lowest, highest] = [one.tried[0] - other.tried[1], one.tried[1] - other.tried[0]];
            comparisons.push(Comparison {
                first: first.to_owned(),
                second: second.to_owned(),
                loss_difference: difference,
                loss_difference_interval: around(difference, 0),
                rate_ratio: ratio.exp(),
                rate_ratio_interval: around(ratio, 1)
                    .filter(|_| lowest < highest)
                    .map(|ends| ends.map(|end| end.clamp(lowest, highest).exp())),
                level,
            });
        }
    }
    comparisons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Summary;
    use crate::summary::tests::{run, setting};

    /// Five seeds of a scheme whose loss is lowest, `depth`, at `best`, on a grid of 1e-3 · 2ᵏ; seeds shift the best rate by up
    /// to `shift` doublings and the loss by up to `noise` of it.
    fn runs(scheme: &str, best: f64, depth: f64, shift: f64, noise: f64) -> Vec<RunResult> {
        let mut runs = Vec::new();
        for seed in 0..5 {
            let tilt = (seed as f64 - 2.0) / 2.0;
            for k in 0..8 {
                let rate = 1e-3 * f64::from(1 << k);
                let off = (rate / best).log2() - shift * tilt;
                runs.push(run(scheme, rate, seed, depth * (1.0 + noise * tilt) * (0.3 * off * off).exp()));
            }
        }
        runs
    }

    fn summary(runs: &[RunResult]) -> Summary {
        Summary::from_runs(setting(), runs)
    }

    fn optimum(runs: &[RunResult]) -> Optimum {
        summary(runs).schemes[0].optimum.clone().expect("it has one")
    }

    #[test]
    fn the_optimum_lies_between_the_rates_and_inside_its_interval() {
        let found = optimum(&runs("x", 11e-3, 0.1, 0.2, 0.05));
        assert!((found.learning_rate / 11e-3 - 1.0).abs() < 0.05, "{found:?}");
        let [low, high] = found.interval.expect("five seeds");
        // Optima are off by -0.2, -0.1, 0, 0.1 and 0.2 doublings: a standard error of 0.0707, t(4) = 2.776.
        let reach = 2f64.powf(0.0707 * 2.776);
        assert!((low * reach / found.learning_rate - 1.0).abs() < 0.03, "{found:?}");
        assert!((high / reach / found.learning_rate - 1.0).abs() < 0.03, "{found:?}");
        assert!(!found.at_edge);
        // Eight times eleven thousandths is 3.5 doublings off, where the loss is above the base's 3.
        assert_eq!(found.divergence_edge, Some([64e-3, 128e-3]));
        let [low, high] = found.loss_interval.expect("five seeds");
        let best = summary(&runs("x", 11e-3, 0.1, 0.2, 0.05)).schemes[0].best_loss.expect("it has one");
        assert!(low < best && best < high);
    }

    #[test]
    fn without_spread_the_interval_is_a_point_and_one_seed_has_none() {
        let still = optimum(&runs("x", 16e-3, 0.1, 0.0, 0.0));
        let [low, high] = still.interval.expect("five seeds");
        assert!((low / 16e-3 - 1.0).abs() < 1e-9 && (high / 16e-3 - 1.0).abs() < 1e-9);
        assert_eq!(still.plateau.map(|ends| ends.map(|end| (end * 1e3).round())), Some([16.0, 16.0]));
        let one = optimum(&[run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("x", 4e-3, 0, 0.6)]);
        assert_eq!((one.interval, one.loss_interval, one.plateau), (None, None, None));
        assert!(one.learning_rate > 1e-3 && one.learning_rate < 4e-3);
    }

    #[test]
    fn the_plateau_reaches_to_where_the_loss_is_a_standard_error_higher() {
        // Best loss 1 at 2e-3 with a standard error of 0.5, 1.25 at 4e-3 and 2.25 at 8e-3: the limit of 1.5 is met a quarter
        // of the way from 4e-3; below, it lies half-way to 2 at 1e-3.
        let mut runs = Vec::new();
        for (rate, loss) in [(1e-3, 2.0), (2e-3, 1.0), (4e-3, 1.25), (8e-3, 2.25)] {
            runs.extend([run("x", rate, 0, loss - 0.5), run("x", rate, 1, loss + 0.5)]);
        }
        let [low, high] = optimum(&runs).plateau.expect("two seeds");
        assert!((low / 1e-3 - 2f64.sqrt()).abs() < 1e-12, "{low}");
        assert!((high / 4e-3 - 2f64.powf(0.25)).abs() < 1e-12, "{high}");
    }

    #[test]
    fn the_divergence_edge_is_between_the_last_that_holds_and_the_first_that_breaks() {
        let mut of_base = vec![run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("x", 4e-3, 0, 0.6)];
        assert_eq!(optimum(&of_base).divergence_edge, None);
        // The base's loss is 3.
        of_base.push(run("x", 8e-3, 0, 3.5));
        assert_eq!(optimum(&of_base).divergence_edge, Some([4e-3, 8e-3]));
        let diverged = [run("x", 1e-3, 0, f64::NAN), run("x", 2e-3, 0, 0.4), run("x", 4e-3, 0, f64::INFINITY)];
        let found = optimum(&diverged);
        assert_eq!(found.divergence_edge, Some([2e-3, 4e-3]));
        assert!(!found.at_edge);
        assert!(optimum(&diverged[1..2]).divergence_edge.is_none() && optimum(&diverged[1..2]).at_edge);
        assert!(optimum(&of_base[1..]).at_edge);
        let monotone = runs("x", 1.0, 0.1, 0.0, 0.05);
        assert!(optimum(&monotone).is_beyond_grid() && !optimum(&runs("x", 11e-3, 0.1, 0.2, 0.05)).is_beyond_grid());
        assert_eq!(summary(&diverged[..1]).schemes[0].optimum, None);
    }

    #[test]
    fn schemes_that_differ_are_told_apart_and_those_that_do_not_are_not() {
        let (clear, other) = (runs("a", 16e-3, 0.1, 0.1, 0.05), runs("b", 4e-3, 0.15, 0.1, 0.05));
        let found = summary(&[other, clear].concat()).comparisons;
        let [pair] = &found[..] else { panic!("one pair") };
        assert_eq!((pair.first.as_str(), pair.second.as_str(), pair.level), ("a", "b", 0.95));
        assert_eq!((pair.losses_differ(), pair.rates_differ()), (Some(true), Some(true)));
        // The seeds shift both schemes alike, so the ratio is known better than either rate.
        let [low, high] = pair.rate_ratio_interval.expect("five seeds");
        assert!((pair.rate_ratio / 4.0 - 1.0).abs() < 1e-6 && low > 3.99 && high < 4.01, "{pair:?}");

        let mut same = runs("b", 16e-3, 0.101, 0.1, 0.05);
        for run in &mut same {
            // Not paired: the seeds' luck is turned round.
            run.cell.seed = 4 - run.cell.seed;
        }
        let found = summary(&[runs("a", 16e-3, 0.1, 0.1, 0.05), same].concat()).comparisons;
        assert_eq!((found[0].losses_differ(), found[0].rates_differ()), (Some(false), Some(false)));
    }

    #[test]
    fn three_schemes_make_three_pairs_with_wider_intervals() {
        let all = [runs("a", 4e-3, 0.1, 0.1, 0.05), runs("b", 4e-3, 0.2, 0.1, 0.05), runs("c", 4e-3, 0.3, 0.1, 0.05)];
        let found = summary(&all.concat()).comparisons;
        let names: Vec<_> = found.iter().map(|pair| (pair.first.as_str(), pair.second.as_str())).collect();
        assert_eq!(names, [("a", "b"), ("a", "c"), ("b", "c")]);
        assert!(found.iter().all(|pair| (pair.level - (1.0 - 0.05 / 3.0)).abs() < 1e-15));
        let alone = summary(&all[..2].concat()).comparisons;
        let width = |pair: &Comparison| pair.loss_difference_interval.map(|[low, high]| high - low);
        assert!(width(&found[0]) > width(&alone[0]));
    }

    #[test]
    fn rates_far_from_the_best_may_have_fewer_seeds() {
        let whole = runs("x", 11e-3, 0.1, 0.2, 0.05);
        let best = optimum(&whole);
        // Those beside the rates at which some choice of seeds is best, 8e-3 and 16e-3, have all seeds; the rest have one.
        let near = |run: &&RunResult| run.cell.seed == 0 || (3e-3..40e-3).contains(&run.cell.learning_rate);
        let scouted: Vec<RunResult> = whole.iter().filter(near).cloned().collect();
        assert_eq!(scouted.len(), 4 * 5 + 4);
        let found = optimum(&scouted);
        assert_eq!((found.learning_rate, found.interval), (best.learning_rate, best.interval));
        assert_eq!(found.loss_interval, best.loss_interval);
        assert!(!found.at_edge);
    }

    #[test]
    fn seeds_that_only_some_rates_have_give_no_interval_but_an_optimum() {
        let stopped = [run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("x", 2e-3, 1, 0.4), run("x", 4e-3, 0, 0.6)];
        let found = optimum(&stopped);
        assert_eq!(found.interval, None);
        assert!(found.learning_rate > 1.5e-3 && found.learning_rate < 3e-3);
    }
}
