//! The results of `reproduce crossing`: the learning rate above which one start is better than another.
//!
//! Hayou, Ghosh & Yu 2024 (arXiv 2406.08447): of two starts, the one with the larger optimal rate is better once each is tuned, while the other leads at
//! small rates. So their loss curves cross, and a comparison at a single rate depends on which side of the crossing that rate is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use loralab_statistics::{LEVEL, interval, interval_of_mean, interval_of_range, mean, resamples, standard_errors};

use crate::analysis::summary::Summary;
use crate::config::number::{factor_text, fixed_text, rounded_rate_text};
use crate::config::table::Experiment;
use crate::protocol::run::RunResult;

/// A crossing gets an interval only if at least this share of resamples has one.
const CERTAIN: f64 = 0.95;

/// `summary.json` of `reproduce crossing`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossingFound {
    /// The summary of the sweep.
    #[serde(flatten)]
    pub summary: Summary,
    /// The experiment, with every setting.
    pub experiment: Experiment,
    /// Every pair of schemes.
    pub pairs: Vec<Pair>,
}

/// Two schemes at the rates at which both were trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The scheme with the larger optimal rate.
    pub larger: String,
    /// The other scheme.
    pub smaller: String,
    /// The crossing of their curves; none if the first scheme does not lead at its best rate, or leads at all smaller rates too.
    pub crossing: Option<Crossing>,
    /// The ratio of their losses at each rate at which no seed of either diverged, from small to large.
    pub ratios: Vec<LossRatio>,
}

/// The crossing of two curves of loss against learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// Below it the scheme with the smaller optimal rate leads, above it the other. Between two rates, the loss is interpolated linearly in logarithms.
    pub learning_rate: f64,
    /// Its 95 % interval, with two parts: the grid leaves open where the curves cross between two rates, and the seeds between which rates. None with fewer than two
    /// seeds, if fewer than 95 % of resamples have a crossing, or with too few validation examples.
    pub interval: Option<[f64; 2]>,
    /// The share of resamples of the seeds that have a crossing.
    pub share: f64,
    /// The number of rates tried below it, and the number of those at which the scheme with the smaller optimal rate leads.
    pub below: [usize; 2],
}

/// The ratio of two losses at one learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossRatio {
    /// The learning rate.
    pub learning_rate: f64,
    /// The loss of the scheme with the larger optimal rate divided by the other's: geometric mean over the seeds that both share.
    pub ratio: f64,
    /// Its 95 % interval; none with fewer than two seeds.
    pub interval: Option<[f64; 2]>,
}

/// The losses of one pair: logarithms of rates, and of each scheme's losses at each, one row per rate and one column per seed.
struct Table {
    rates: Vec<f64>,
    losses: [Vec<Vec<f64>>; 2],
}

impl CrossingFound {
    /// The crossings in the results of a sweep.
    pub fn new(summary: Summary, experiment: Experiment, runs: &[RunResult]) -> Self {
        let optimum = |scheme: &&crate::analysis::summary::SchemeSummary| {
            Some((scheme.scheme.clone(), scheme.optimum.as_ref()?.learning_rate))
        };
        let optima: Vec<(String, f64)> = summary.schemes.iter().filter_map(|scheme| optimum(&scheme)).collect();
        let mut pairs = Vec::new();
        for (place, one) in optima.iter().enumerate() {
            for other in &optima[place + 1..] {
                let (larger, smaller) = if one.1 >= other.1 { (&one.0, &other.0) } else { (&other.0, &one.0) };
                let mut pair = Pair::new(larger, smaller, runs);
                if summary.setting.has_few_examples() {
                    pair = pair.without_intervals();
                }
                pairs.push(pair);
            }
        }
        Self { summary, experiment, pairs }
    }

    /// The result as plain text.
    pub fn sentence(&self) -> String {
        let mut sentences: Vec<String> = self.pairs.iter().map(Pair::sentence).collect();
        sentences.push(self.summary.sentence());
        for scheme in &self.summary.schemes {
            if let Some([last, first]) = scheme.optimum.as_ref().and_then(|optimum| optimum.divergence_edge) {
                let (last, first) = (rounded_rate_text(last), rounded_rate_text(first));
                sentences.push(format!("{} holds up to {last} and breaks at {first}.", scheme.scheme));
            }
        }
        sentences.join(" ")
    }
}

impl Pair {
    fn new(larger: &str, smaller: &str, runs: &[RunResult]) -> Self {
        let table = Table::new([larger, smaller], runs);
        let seeds = table.losses[0].first().map_or(0, Vec::len);
        let all: Vec<usize> = (0..seeds).collect();
        let crossing = table.crossing(&all).map(|[lower, at, upper]| {
            let errors = standard_errors(seeds, |chosen| table.crossing(chosen).map_or(vec![f64::NAN; 3], Into::into));
            let resamples = resamples(seeds.max(1));
            let with = resamples.iter().filter(|chosen| table.crossing(chosen).is_some()).count();
            let share = with as f64 / resamples.len() as f64;
            // Near one of these rates, all of a few seeds may have the crossing on its wrong side, so the interval of the estimate itself is included.
            let ends = errors.filter(|_| share >= CERTAIN).and_then(|errors| {
                let [low, high] = interval_of_range([lower, upper], [errors[0], errors[2]], seeds, LEVEL)?;
                let [least, most] = interval(at, errors[1], seeds, LEVEL)?;
                Some([low.min(least), high.max(most)])
            });
            let (first, last) = (table.rates[0], table.rates[table.rates.len() - 1]);
            let below: Vec<usize> = (0..table.rates.len()).filter(|&place| table.rates[place] < at).collect();
            let leads = below.iter().filter(|&&place| table.difference(place, &all) > 0.0).count();
            Crossing {
                learning_rate: at.exp(),
                interval: ends.map(|ends| ends.map(|end| end.clamp(first, last).exp())),
                share,
                below: [below.len(), leads],
            }
        });
        let ratio = |place: usize| {
            let logs: Vec<f64> = (0..seeds).map(|seed| table.difference(place, &[seed])).collect();
            LossRatio {
                learning_rate: table.rates[place].exp(),
                ratio: mean(&logs).exp(),
                interval: interval_of_mean(&logs, LEVEL).map(|ends| ends.map(f64::exp)),
            }
        };
        let ratios = (0..table.rates.len()).map(ratio).collect();
        Self { larger: larger.to_owned(), smaller: smaller.to_owned(), crossing, ratios }
    }

    /// The same pair without intervals, for validations on too few examples.
    fn without_intervals(mut self) -> Self {
        self.crossing.iter_mut().for_each(|crossing| crossing.interval = None);
        self.ratios.iter_mut().for_each(|ratio| ratio.interval = None);
        self
    }

    /// The crossing of the curves as plain text.
    pub fn sentence(&self) -> String {
        let Self { larger, smaller, .. } = self;
        let Some(Crossing { learning_rate, interval, share, below: [below, leads] }) = &self.crossing else {
            return match self.ratios.first() {
                None => {
                    format!("{larger} and {smaller} have no learning rate in common at which every seed came through.")
                }
                Some(_) => format!("The curves of {larger} and {smaller} do not cross at the learning rates tried."),
            };
        };
        let at = rounded_rate_text(*learning_rate);
        let known = match interval {
            Some([low, high]) => format!("{at} ({} to {})", rounded_rate_text(*low), rounded_rate_text(*high)),
            None if *share < CERTAIN => {
                format!("{at}, which is not certain: {} % of resamples cross", fixed_text(100.0 * share, 0))
            }
            None => format!("{at}, which has no interval"),
        };
        let most = self.ratios.iter().map(|ratio| ratio.ratio).fold(1.0, f64::max);
        let least = self.ratios.iter().map(|ratio| ratio.ratio).fold(f64::INFINITY, f64::min);
        format!(
            "The curves of {smaller} and {larger} cross at {known}: below, {smaller} has the lower loss at {leads} of the {below} learning rates tried, \
             {larger}'s being up to {} times as high; above, {larger} has, down to {} times.",
            factor_text_of_ratio(most),
            factor_text_of_ratio(least)
        )
    }
}

/// A ratio near 1 with two decimals; a large one as a factor.
fn factor_text_of_ratio(ratio: f64) -> String {
    if ratio < 9.95 { fixed_text(ratio, 2) } else { factor_text(ratio) }
}

impl Table {
    /// The losses at the rates at which no seed of either scheme diverged, for the seeds present at all of these rates.
    fn new(schemes: [&str; 2], runs: &[RunResult]) -> Self {
        let of_scheme = |scheme: &str| {
            let mut of_scheme: Vec<&RunResult> = runs.iter().filter(|run| run.cell.scheme == scheme).collect();
            of_scheme.sort_by(|a, b| {
                a.cell.learning_rate.total_cmp(&b.cell.learning_rate).then(a.cell.seed.cmp(&b.cell.seed))
            });
            let rows = of_scheme.chunk_by(|a, b| a.cell.learning_rate == b.cell.learning_rate).filter_map(|row| {
                let losses: Vec<(u64, f64)> =
                    row.iter().map(|run| Some((run.cell.seed, run.finished_loss()?))).collect::<Option<_>>()?;
                Some((row[0].cell.learning_rate, losses))
            });
            rows.collect::<Vec<_>>()
        };
        let rows = schemes.map(of_scheme);
        // A search tries some rates with one seed; they are left out if others have more.
        let most = rows.iter().flatten().map(|(_, losses)| losses.len()).max().unwrap_or(0);
        let mut common = Vec::new();
        for (rate, one) in rows[0].iter().filter(|(_, losses)| losses.len() == most) {
            let other = rows[1].iter().find(|(other, losses)| other == rate && losses.len() == most);
            common.extend(other.map(|(_, other)| (*rate, one, other)));
        }
        let seeds_of = |losses: &Vec<(u64, f64)>| losses.iter().map(|(seed, _)| *seed).collect::<BTreeSet<u64>>();
        let seeds = common.iter().map(|(_, one, other)| &seeds_of(one) & &seeds_of(other));
        let seeds = seeds.reduce(|one, other| &one & &other).unwrap_or_default();
        let row = |losses: &Vec<(u64, f64)>| {
            losses.iter().filter(|(seed, _)| seeds.contains(seed)).map(|(_, loss)| *loss).collect::<Vec<f64>>()
        };
        Self {
            rates: common.iter().map(|(rate, ..)| rate.ln()).collect(),
            losses: [
                common.iter().map(|(_, one, _)| row(one)).collect(),
                common.iter().map(|(.., other)| row(other)).collect(),
            ],
        }
    }

    /// The mean loss of the chosen seeds.
    fn mean(&self, scheme: usize, place: usize, chosen: &[usize]) -> f64 {
        mean(&chosen.iter().map(|&seed| self.losses[scheme][place][seed]).collect::<Vec<_>>()).max(f64::MIN_POSITIVE)
    }

    /// The logarithm of the first scheme's mean loss less that of the second's.
    fn difference(&self, place: usize, chosen: &[usize]) -> f64 {
        (self.mean(0, place, chosen) / self.mean(1, place, chosen)).ln()
    }

    /// The logarithm of the largest rate, below the first scheme's best, from which the first scheme leads up to its best, between those of the
    /// nearest rates tried.
    fn crossing(&self, chosen: &[usize]) -> Option<[f64; 3]> {
        if chosen.is_empty() {
            return None;
        }
        let loss = |place: &usize| self.mean(0, *place, chosen);
        let best = (0..self.rates.len()).min_by(|one, other| loss(one).total_cmp(&loss(other)))?;
        let mut above = self.difference(best, chosen);
        if above >= 0.0 {
            return None;
        }
        for place in (0..best).rev() {
            let below = self.difference(place, chosen);
            if below >= 0.0 {
                let share = below / (below - above);
                let [lower, upper] = [self.rates[place], self.rates[place + 1]];
                return Some([lower, lower + share * (upper - lower), upper]);
            }
            above = below;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summary::tests::{run, setting};

    /// Curves that are parabolas in logarithms with their minima at `best`, so that two of them cross at one rate.
    fn valley(scheme: &str, best: f64, depth: f64, luck: f64) -> Vec<RunResult> {
        let mut runs = Vec::new();
        for seed in 0..4 {
            for k in 0..12 {
                let rate = 1e-3 * 2f64.powf(f64::from(k) / 2.0);
                let off = (rate / best).log2();
                // Every seed tilts the curve differently.
                let tilt = luck * (seed as f64 - 1.5) * off;
                runs.push(run(scheme, rate, seed, depth * (0.1 * off * off + tilt).exp()));
            }
        }
        runs
    }

    fn found(runs: &[RunResult]) -> CrossingFound {
        CrossingFound::new(Summary::from_runs(setting(), runs), Experiment::default(), runs)
    }

    #[test]
    fn the_crossing_of_two_parabolas_is_where_algebra_has_it() {
        let runs = [valley("a", 16e-3, 0.3, 0.0), valley("b", 4e-3, 0.32, 0.0)].concat();
        let found = found(&runs);
        let [pair] = &found.pairs[..] else { panic!("one pair") };
        assert_eq!((pair.larger.as_str(), pair.smaller.as_str()), ("a", "b"));
        // 0.1 (x − 2)² + ln 0.3 = 0.1 x² + ln 0.32 with x in doublings from 4e-3; linear between grid points, and this difference is linear.
        let x = (0.4 - (0.32_f64 / 0.3).ln()) / 0.4;
        let crossing = pair.crossing.as_ref().expect("they cross");
        assert!((crossing.learning_rate / (4e-3 * x.exp2()) - 1.0).abs() < 1e-9, "{crossing:?}");
        assert_eq!(crossing.share, 1.0);
        let [low, high] = crossing.interval.expect("four seeds");
        // Equal seeds leave only the grid's uncertainty: the rates tried around the crossing.
        let step = |end: f64, k: i32| (end / (1e-3 * 2f64.powf(f64::from(k) / 2.0)) - 1.0).abs();
        assert!(step(low, 5) < 1e-9 && step(high, 6) < 1e-9, "{low} to {high}");
        // The rates from 1e-3 to 5.66e-3 are below 7.2e-3, and b leads at all of them.
        assert_eq!(crossing.below, [6, 6]);
        assert!(pair.ratios[0].ratio > 1.0 && pair.ratios[11].ratio < 1.0);
        let words = found.sentence();
        assert!(words.starts_with("The curves of b and a cross at 7.2e-3 (5.7e-3 to 8.0e-3): below, b has"), "{words}");
    }

    #[test]
    fn seeds_that_disagree_widen_its_interval() {
        let width = |luck: f64| {
            let runs = [valley("a", 16e-3, 0.3, luck), valley("b", 4e-3, 0.32, 0.0)].concat();
            let crossing = found(&runs).pairs[0].crossing.clone().expect("they cross");
            let [low, high] = crossing.interval.expect("four seeds");
            assert!(low < crossing.learning_rate && crossing.learning_rate < high);
            // Without the step of the grid, which remains even with equal seeds.
            (high / low).ln() - std::f64::consts::LN_2 / 2.0
        };
        let (little, much) = (width(0.002), width(0.1));
        assert!(little > -1e-9 && much > little + 0.1, "{little} {much}");
    }

    #[test]
    fn curves_that_do_not_cross_are_said_not_to() {
        assert!(found(&valley("a", 16e-3, 0.1, 0.0)).pairs.is_empty());
        let runs = [valley("a", 16e-3, 0.1, 0.0), valley("b", 4e-3, 0.9, 0.0)].concat();
        let found = found(&runs);
        assert_eq!(found.pairs[0].crossing, None);
        assert!(found.sentence().starts_with("The curves of a and b do not cross"), "{}", found.sentence());
    }

    #[test]
    fn json_is_that_of_a_sweep_with_the_pairs_and_is_read_again() {
        let runs = [valley("a", 16e-3, 0.3, 0.01), valley("b", 4e-3, 0.32, 0.0)].concat();
        let found = crate::analysis::reproduction::Reproduction::Crossing(found(&runs));
        let json = serde_json::to_string(&found).expect("it is JSON");
        let value: serde_json::Value = serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(value["kind"], "crossing");
        assert!(value["schemes"][0]["optimum"].is_object() && value["device"].is_string());
        assert!(value["pairs"][0]["crossing"]["interval"][0].is_f64());
        let again: crate::analysis::reproduction::Reproduction =
            serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(again.sentence(), found.sentence());
    }
}
