//! The results of `reproduce toy`: the best learning rate of a student against its width, start by start.

use serde::{Deserialize, Serialize};

use loralab_statistics::{LEVEL, interval, mean, slope, standard_errors};

use crate::analysis::exponents::ExponentFit;
use crate::analysis::optimum::{Comparison, Trials};
use crate::analysis::summary::{SchemeSummary, Setting, Summary};
use crate::config::names::{Accuracy, Form, Readout};
use crate::config::number::{factor_text, fixed_text, loss_text, rounded_rate_text};
use crate::protocol::run::RunResult;

/// `summary.json` of `reproduce toy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toy {
    /// Version of loralab.
    pub version: String,
    /// The device.
    pub device: String,
    /// Wall time, in seconds.
    pub wall_seconds: f64,
    /// The progress, if the reproduction was stopped early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The network.
    pub form: Form,
    /// The number of columns of x.
    pub inputs: usize,
    /// The rank R of the student.
    pub rank: usize,
    /// The width n and rank R of the teacher.
    pub teacher: [usize; 2],
    /// The numbers of training and test examples.
    pub examples: [usize; 2],
    /// Full-batch steps of Adam (β 0.9 and 0.999, ε 1e-8, no weight decay) at a constant rate.
    pub steps: usize,
    /// The number of seeds, from 0; each fixes a student's frozen weights and start.
    pub seeds: u64,
    /// The results of each readout.
    pub readouts: Vec<ToyReadout>,
}

/// The results of students with one readout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToyReadout {
    /// The readout.
    pub readout: Readout,
    /// The results at each width, rising.
    pub widths: Vec<ToyWidth>,
    /// The exponent of the optimal rate in the width, start by start.
    pub slopes: Vec<ToySlope>,
    /// The exponent of the first start's optimal rate divided by the second's.
    pub ratio: Option<ExponentFit>,
    /// The training histories at each start's best rate, at the narrowest and the widest.
    pub traces: Vec<ToyTrace>,
}

/// The results of students of one width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToyWidth {
    /// The width n.
    pub width: usize,
    /// The summary of each start; its loss is the mean squared error on the training examples after the last step.
    pub starts: Vec<SchemeSummary>,
    /// The comparison of the starts, each at its own best rate.
    pub comparison: Option<Comparison>,
    /// The mean squared error on the test examples at each start's best rate, mean over seeds.
    pub test_losses: Vec<Option<f64>>,
}

/// The exponent of a start's optimal rate in the width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToySlope {
    /// The start.
    pub scheme: String,
    /// The fit over all widths, with its interval.
    pub fit: ExponentFit,
}

/// The training history at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToyTrace {
    /// The width n.
    pub width: usize,
    /// The start.
    pub scheme: String,
    /// Its best rate at this width.
    pub learning_rate: f64,
    /// The steps done at each record.
    pub steps: Vec<usize>,
    /// Mean over the training examples of the norm of Z_A = A h, for each seed at each record.
    pub z_a: Vec<Vec<f64>>,
    /// The same for Z_B = B A h.
    pub z_b: Vec<Vec<f64>>,
    /// Mean squared error on the training examples, for each seed at each record.
    pub train: Vec<Vec<f64>>,
    /// Mean squared error on the test examples, for each seed at each record.
    pub test: Vec<Vec<f64>>,
}

/// The runs of one width: width, results with the error on the training examples as validation loss, and the error on the test examples.
pub type ToyRuns = (usize, Vec<(RunResult, Option<f64>)>);

impl ToyReadout {
    /// Summarises the runs of every width.
    pub fn from_runs(readout: Readout, runs: &[ToyRuns], seeds: u64, traces: Vec<ToyTrace>) -> Self {
        let mut widths = Vec::with_capacity(runs.len());
        for (width, of_width) in runs {
            let results: Vec<RunResult> = of_width.iter().map(|(run, _)| run.clone()).collect();
            let setting = Setting {
                device: String::new(),
                wall_seconds: 0.0,
                base_loss: None,
                base_accuracy: None,
                accuracy: Accuracy::Token,
                bytes_per_token: None,
                validation_examples: None,
                order: vec![],
            };
            let summary = Summary::from_runs(setting, &results);
            let test = |scheme: &SchemeSummary| {
                let best = of_width.iter().filter(|(run, _)| {
                    run.cell.scheme == scheme.scheme && Some(run.cell.learning_rate) == scheme.best_learning_rate
                });
                let losses: Option<Vec<f64>> = best.map(|(_, test)| *test).collect();
                losses.filter(|losses| !losses.is_empty()).map(|losses| mean(&losses))
            };
            widths.push(ToyWidth {
                width: *width,
                test_losses: summary.schemes.iter().map(test).collect(),
                comparison: summary.comparisons.into_iter().next(),
                starts: summary.schemes,
            });
        }
        let mut schemes: Vec<&str> = Vec::new();
        for (run, _) in runs.iter().flat_map(|(_, runs)| runs) {
            if !schemes.contains(&run.cell.scheme.as_str()) {
                schemes.push(&run.cell.scheme);
            }
        }
        let tables: Vec<Vec<(f64, Trials)>> = schemes.iter().map(|scheme| trials(runs, scheme)).collect();
        let of_scheme = |table: &Vec<(f64, Trials)>| fit(seeds, |chosen| optima(table, chosen));
        let slopes = schemes
            .iter()
            .zip(&tables)
            .filter_map(|(scheme, table)| Some(ToySlope { scheme: (*scheme).to_owned(), fit: of_scheme(table)? }))
            .collect();
        let ratio = match &tables[..] {
            [one, other] => fit(seeds, |chosen| {
                let pairs = optima(one, chosen)?.into_iter().zip(optima(other, chosen)?);
                let apart = |((width, [low, rate, high]), (_, other)): ((f64, [f64; 3]), (f64, [f64; 3]))| {
                    (width, [low - other[2], rate - other[1], high - other[0]])
                };
                Some(pairs.map(apart).collect())
            }),
            _ => None,
        };
        Self { readout, widths, slopes, ratio, traces }
    }
}

/// ln n and the trials of a scheme at each width.
fn trials(runs: &[ToyRuns], scheme: &str) -> Vec<(f64, Trials)> {
    let of_width = |(width, runs): &ToyRuns| {
        let mut of_scheme: Vec<&RunResult> =
            runs.iter().map(|(run, _)| run).filter(|run| run.cell.scheme == scheme).collect();
        of_scheme
            .sort_by(|a, b| a.cell.learning_rate.total_cmp(&b.cell.learning_rate).then(a.cell.seed.cmp(&b.cell.seed)));
        ((*width as f64).ln(), Trials::new(&of_scheme))
    };
    runs.iter().map(of_width).collect()
}

/// ln n and the logarithm of a rate at each width: lower end of the grid's range, estimate and upper end.
type Optima = Vec<(f64, [f64; 3])>;

/// The optimal rate of these seeds at each width.
fn optima(table: &[(f64, Trials)], chosen: &[usize]) -> Option<Optima> {
    table.iter().map(|(width, trials)| Some((*width, trials.rate_of(chosen)?))).collect()
}

/// The slope of the points for all seeds. Its interval is Student's, with two errors whose variances add: that of the seeds, from the bootstrap,
/// and that of the grids. An optimum is taken as uniformly distributed in its bracket, independently at each width, so that the slope
/// Σ wᵢ yᵢ with wᵢ = (xᵢ − x̄) / Σ (x − x̄)² has the variance Σ wᵢ² (highᵢ − lowᵢ)² / 12. Degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2),
/// infinite for the grids' part. None with one seed, or if an optimum lies beyond its grid.
fn fit(seeds: u64, points: impl Fn(&[usize]) -> Option<Optima>) -> Option<ExponentFit> {
    let seeds = usize::try_from(seeds).ok()?;
    let estimate = |points: &Optima| slope(&points.iter().map(|&(x, [_, y, _])| (x, y)).collect::<Vec<_>>());
    let all = points(&(0..seeds).collect::<Vec<_>>())?;
    let found = estimate(&all)?;
    let xs: Vec<f64> = all.iter().map(|(x, _)| *x).collect();
    let spread: f64 = xs.iter().map(|x| (x - mean(&xs)).powi(2)).sum();
    let open = |(x, [low, _, high]): &(f64, [f64; 3])| ((x - mean(&xs)) / spread * (high - low)).powi(2) / 12.0;
    let of_grids: f64 = all.iter().map(open).sum();
    let interval_of = |error: f64| {
        let of_seeds = error * error;
        let whole = of_seeds + of_grids;
        // Beyond this Student's quantile is the normal one to four digits.
        let freedom = (whole * whole * (seeds - 1) as f64 / (of_seeds * of_seeds)).min(10_000.0) as usize;
        interval(found, whole.sqrt(), freedom + 1, LEVEL)
    };
    let errors = standard_errors(seeds, |chosen| vec![points(chosen).and_then(|of| estimate(&of)).unwrap_or(f64::NAN)]);
    let width = |point: Option<&(f64, [f64; 3])>| point.map_or(0, |(log, _)| log.exp().round() as usize);
    Some(ExponentFit {
        from: width(all.first()),
        to: width(all.last()),
        slope: found,
        interval: errors.and_then(|errors| interval_of(errors[0])),
    })
}

/// The exponents that a start's optimal rate is compared with: the theory's for one layer and, if the output sums aligned entries, the corrected one.
fn candidates(scheme: &str) -> &'static [(f64, &'static str)] {
    match scheme {
        "init-a" => &[(-0.5, "-1/2"), (-0.75, "-3/4")],
        "init-b" => &[(-1.0, "-1")],
        _ => &[],
    }
}

impl Toy {
    /// The result as plain text.
    pub fn sentence(&self) -> String {
        let mut sentences =
            vec![format!("Students of the {} form, {} steps, {} seeds.", self.form.name(), self.steps, self.seeds)];
        sentences.extend(self.stopped.clone());
        for readout in &self.readouts {
            sentences.extend(readout.sentences());
        }
        sentences.join(" ")
    }
}

impl ToyReadout {
    /// The results as plain text, including departures from the paper.
    pub fn sentences(&self) -> Vec<String> {
        if self.is_dead() {
            return vec![format!(
                "With a readout of {}, nothing was learnt: no gradient is ever different from 0.",
                self.readout.words()
            )];
        }
        let mut sentences = Vec::new();
        for ToySlope { scheme, fit } in &self.slopes {
            let range = fit.interval.map_or_else(
                || ", its error unknown".to_owned(),
                |[low, high]| format!(" ({} to {})", fixed_text(low, 2), fixed_text(high, 2)),
            );
            let mut sentence = format!(
                "With a readout of {}, the best learning rate from {scheme} goes as n^{}{range} over widths {} to {}",
                self.readout.words(),
                fixed_text(fit.slope, 2),
                fit.from,
                fit.to
            );
            if let Some([low, high]) = fit.interval {
                let judged = |&(exponent, name): &(f64, &str)| {
                    let holds = (low..=high).contains(&exponent);
                    format!("{} {name}", if holds { "agrees with" } else { "departs from" })
                };
                let judged: Vec<String> = candidates(scheme).iter().map(judged).collect();
                sentence.push_str(&format!(", which {}", judged.join(" and ")));
            }
            sentences.push(sentence + ".");
            sentences.extend(self.bend_in_words(scheme, fit));
        }
        sentences.extend(self.order_in_words());
        sentences.extend(self.norms_in_words());
        sentences
    }

    /// The exponents over each half of the widths, if one of them lies outside the interval of the whole: the interval includes the spread of seeds, but not the
    /// distance of the optima from a line.
    fn bend_in_words(&self, scheme: &str, fit: &ExponentFit) -> Option<String> {
        let point = |width: &ToyWidth| {
            let start = width.starts.iter().find(|start| start.scheme == scheme)?;
            Some(((width.width as f64).ln(), start.optimum.as_ref()?.learning_rate.ln()))
        };
        let points: Vec<(f64, f64)> = self.widths.iter().filter_map(point).collect();
        // With an odd number of widths, the middle one belongs to both halves.
        let halves = [&points[..points.len().div_ceil(2)], &points[points.len() / 2..]].map(slope);
        let ([Some(narrow), Some(wide)], [low, high]) = (halves, fit.interval?) else { return None };
        let inside = |exponent: f64| (low..=high).contains(&exponent);
        (points.len() > 2 && !(inside(narrow) && inside(wide))).then(|| {
            format!(
                "That interval takes them to lie on a line, and the optima of {scheme} do not: they go as n^{} over the narrower half of the \
                 widths and as n^{} over the wider.",
                fixed_text(narrow, 2),
                fixed_text(wide, 2)
            )
        })
    }

    /// True if no run has moved from its start, so that every rate gave the same loss.
    fn is_dead(&self) -> bool {
        let mut starts = self.widths.iter().flat_map(|width| &width.starts).peekable();
        let flat = |scheme: &SchemeSummary| {
            scheme.learning_rates.windows(2).all(|pair| pair[0].losses == pair[1].losses && pair[0].mean_loss.is_some())
        };
        starts.peek().is_some_and(|scheme| scheme.learning_rates.len() > 1) && starts.all(flat)
    }

    /// The optimal rate of the first start divided by that of the second, width by width.
    fn ratios(&self) -> Vec<(usize, f64)> {
        let of_width = |width: &ToyWidth| match &width.starts[..] {
            [one, other] => {
                let rate = |scheme: &SchemeSummary| scheme.optimum.as_ref().map(|optimum| optimum.learning_rate);
                Some((width.width, rate(one)? / rate(other)?))
            }
            _ => None,
        };
        self.widths.iter().filter_map(of_width).collect()
    }

    /// True if the optimal rate of the first start is significantly larger than the second's at a width, false if smaller; none if the difference is not significant.
    fn first_is_larger(&self, width: usize) -> Option<bool> {
        let width = self.widths.iter().find(|at| at.width == width)?;
        let pair = width.comparison.as_ref().filter(|pair| pair.rates_differ() == Some(true))?;
        Some((pair.rate_ratio > 1.0) == (pair.first == width.starts.first()?.scheme))
    }

    fn order_in_words(&self) -> Option<String> {
        let ratios = self.ratios();
        let wide = ratios.iter().map(|(width, _)| *width).filter(|width| *width >= 512);
        let wide: Vec<(usize, Option<bool>)> = wide.map(|width| (width, self.first_is_larger(width))).collect();
        let listed = ratios.iter().map(|(width, ratio)| format!("{} at {width}", factor_text(*ratio)));
        let listed = listed.collect::<Vec<_>>().join(", ");
        let unshown = wide.iter().filter(|(_, larger)| *larger != Some(true)).map(|(width, _)| width.to_string());
        let unshown: Vec<String> = unshown.collect();
        let larger = if wide.is_empty() {
            String::new()
        } else if wide.iter().any(|(_, larger)| *larger == Some(false)) {
            "; Init[A]'s is not the larger at every width from 512 on, unlike in the paper".to_owned()
        } else if unshown.is_empty() {
            "; Init[A]'s is the larger at every width from 512 on".to_owned()
        } else {
            format!("; the difference is not significant at {}", unshown.join(", "))
        };
        let grows = match self.ratio.and_then(|fit| fit.interval) {
            Some([low, _]) if low > 0.0 => ", and the ratio grows with the width",
            Some([_, high]) if high < 0.0 => ", and the ratio falls with the width, unlike in the paper",
            Some(_) => ", and the growth of the ratio with the width is not significant",
            None => "",
        };
        (!ratios.is_empty())
            .then(|| format!("Init[A]'s best learning rate is, times that of Init[B]: {listed}{larger}{grows}."))
    }

    /// The norms and losses after the last step at the widest.
    fn norms_in_words(&self) -> Option<String> {
        let widest = self.traces.iter().map(|trace| trace.width).max()?;
        let last = |of: &[Vec<f64>]| {
            let ends: Option<Vec<f64>> = of.iter().map(|seed| seed.last().copied()).collect();
            ends.map_or(f64::NAN, |ends| mean(&ends))
        };
        let of_trace = |trace: &ToyTrace| {
            format!(
                "{} at {}: ‖Z_A‖ {}, ‖Z_B‖ {}, train loss {}",
                trace.scheme,
                rounded_rate_text(trace.learning_rate),
                factor_text(last(&trace.z_a)),
                factor_text(last(&trace.z_b)),
                loss_text(last(&trace.train))
            )
        };
        let ends: Vec<String> = self.traces.iter().filter(|trace| trace.width == widest).map(of_trace).collect();
        (!ends.is_empty()).then(|| format!("After the last step at width {widest}, {}.", ends.join("; ")))
    }
}

#[cfg(test)]
mod tests;
