//! The results of a sweep, scheme by scheme.
//!
//! *Best* is the learning rate with the lowest mean, over seeds, of the final validation loss; a rate at which any seed
//! diverged cannot be best. *Stable* is a rate at which no seed diverged and that mean is at most twice the scheme's
//! best. The *spread* of a loss is its highest value over seeds less its lowest. The uncertainty of a best rate is in
//! [`Optimum`], the differences between schemes in [`Comparison`].

use serde::{Deserialize, Serialize};

use crate::analysis::checkpoint::BestCheckpoint;
use crate::analysis::optimum::{self, Comparison, FEWEST_EXAMPLES, Optimum, Trials};
use crate::config::names::Accuracy;
use crate::protocol::run::{ClassScores, Correlations, RunResult, StartCost, TextMeasures};

/// The properties that all runs of a sweep share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The device.
    pub device: String,
    /// Wall time of the sweep, in seconds.
    pub wall_seconds: f64,
    /// Validation loss of the base alone, in nats per token.
    pub base_loss: Option<f64>,
    /// The accuracy of the base alone, the share of correct answers, 0 to 1.
    pub base_accuracy: Option<f64>,
    /// The accuracy measure.
    pub accuracy: Accuracy,
    /// Examples that all runs were validated on; none in summaries of older versions.
    #[serde(default)]
    pub validation_examples: Option<usize>,
    /// Bytes of validation text per token that counts; none if the model reads no text, and in summaries of older versions.
    #[serde(default)]
    pub bytes_per_token: Option<f64>,
    /// The schemes in the order of the experiment, which tables and colours follow; others come after them, in the order of their first run.
    #[serde(skip)]
    pub order: Vec<String>,
}

/// `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of loralab.
    pub version: String,
    /// The properties that all runs share; its fields stand beside `version` in JSON.
    #[serde(flatten)]
    pub setting: Setting,
    /// Perplexity of the base alone; see [`TextMeasures`].
    #[serde(default)]
    pub base_perplexity: Option<f64>,
    /// Loss of the base alone, in bits per byte.
    #[serde(default)]
    pub base_bits_per_byte: Option<f64>,
    /// The schemes, in the order of [`Setting::order`].
    pub schemes: Vec<SchemeSummary>,
    /// Every pair of schemes, each at its own best rate.
    pub comparisons: Vec<Comparison>,
    /// The runs that could not start, by scheme and reason.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// The planned number of runs, if the sweep was stopped before they had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<usize>,
    /// The runs whose adapters could not be written, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwritten: Vec<String>,
    /// The best checkpoint of each run that keeps one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub best_checkpoints: Vec<BestCheckpoint>,
}

/// Runs of a scheme that could not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The scheme.
    pub scheme: String,
    /// The reason, as the clause of a sentence.
    pub reason: String,
    /// The number of runs.
    pub runs: usize,
}

/// The results of one scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeSummary {
    /// The scheme's name.
    pub scheme: String,
    /// The best learning rate; `None` when every rate had a diverged seed.
    pub best_learning_rate: Option<f64>,
    /// The mean final validation loss at that rate, in nats per token.
    pub best_loss: Option<f64>,
    /// Spread of that loss over seeds; `None` with fewer than two seeds.
    pub best_loss_spread: Option<f64>,
    /// The exponential of that mean loss, if the base is a language model.
    #[serde(default)]
    pub best_perplexity: Option<f64>,
    /// That mean loss in bits per byte, if the base is a language model.
    #[serde(default)]
    pub best_bits_per_byte: Option<f64>,
    /// The mean accuracy at that rate, 0 to 1.
    pub best_accuracy: Option<f64>,
    /// The largest stable learning rate.
    pub largest_stable_learning_rate: Option<f64>,
    /// The optimum and its uncertainty; `None` when every rate had a diverged seed.
    pub optimum: Option<Optimum>,
    /// The training data that the starts of runs read, the most of all runs; none if they read nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartCost>,
    /// The number of runs that ended, diverged ones included.
    pub runs: usize,
    /// The results at each learning rate, from small to large.
    pub learning_rates: Vec<RateSummary>,
}

/// The results of one scheme at one learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateSummary {
    /// The learning rate.
    pub learning_rate: f64,
    /// Mean final validation loss over seeds, in nats per token; `None` when a seed diverged or was stopped early.
    pub mean_loss: Option<f64>,
    /// Spread of that loss; `None` when a seed diverged or there are fewer than two.
    pub loss_spread: Option<f64>,
    /// Mean accuracy over seeds, 0 to 1; `None` when a seed diverged.
    pub mean_accuracy: Option<f64>,
    /// Means over seeds of the measures of two classes; `None` when a seed diverged, or there are not two classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_classes: Option<ClassScores>,
    /// Means over seeds of the correlations of scores, each none if it is not defined for a seed; `None` when a seed diverged, or there are no scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_correlations: Option<Correlations>,
    /// Final validation loss of each seed, by rising seed; `None` for one that diverged or was stopped early.
    pub losses: Vec<Option<f64>>,
    /// Seeds that diverged.
    pub diverged: usize,
    /// Seeds that were stopped early, since the rate could no longer be the scheme's best.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stopped: usize,
    /// The mean over those seeds of their last validation loss, in nats per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_at_stop: Option<f64>,
    /// True if the rate is stable.
    pub stable: bool,
}

impl Setting {
    /// True if tokens differ from bytes, so that a loss per token has another meaning for each tokenizer.
    pub fn has_tokens(&self) -> bool {
        self.bytes_per_token.is_some_and(|bytes| bytes != 1.0)
    }

    /// True if the validation examples are too few to be evidence about others.
    pub(crate) fn has_few_examples(&self) -> bool {
        self.validation_examples.is_some_and(|examples| examples < FEWEST_EXAMPLES)
    }
}

impl Summary {
    /// The names of the two measures that stand beside the accuracy where texts have classes or scores; none where they have neither.
    pub fn label_measures(&self) -> Option<[&'static str; 2]> {
        self.schemes.iter().find_map(SchemeSummary::label_measures).map(|(names, _)| names)
    }

    /// The unit of the losses.
    pub fn loss_unit(&self) -> &'static str {
        let mut rates = self.schemes.iter().flat_map(|scheme| &scheme.learning_rates);
        match self.setting.accuracy {
            Accuracy::Class if rates.any(|rate| rate.mean_correlations.is_some()) => "squared error",
            Accuracy::Class => "nats per text",
            Accuracy::Token | Accuracy::ExactMatch => "nats per token",
        }
    }

    /// Summarises the runs. Runs that were interrupted are left out; those that could not start are counted in `failures` only. A rate at which a seed was
    /// stopped early has no mean loss, and can't be the best.
    pub fn from_runs(setting: Setting, runs: &[RunResult]) -> Self {
        let ended: Vec<_> = runs.iter().filter(|run| run.is_over() && run.failed.is_none()).collect();
        let mut schemes: Vec<&str> = Vec::new();
        for run in &ended {
            if !schemes.contains(&run.cell.scheme.as_str()) {
                schemes.push(&run.cell.scheme);
            }
        }
        schemes.sort_by_key(|scheme| setting.order.iter().position(|asked| asked == scheme).unwrap_or(usize::MAX));
        let mut trials = Vec::with_capacity(schemes.len());
        let summaries = schemes
            .into_iter()
            .map(|scheme| {
                let mut of_scheme: Vec<_> = ended.iter().copied().filter(|run| run.cell.scheme == scheme).collect();
                of_scheme.sort_by(|a, b| {
                    a.cell.learning_rate.total_cmp(&b.cell.learning_rate).then(a.cell.seed.cmp(&b.cell.seed))
                });
                let tried = Trials::new(&of_scheme);
                let mut summary = SchemeSummary::from_runs(scheme, &of_scheme);
                let TextMeasures { perplexity, bits_per_byte } =
                    TextMeasures::of(summary.best_loss, setting.bytes_per_token);
                (summary.best_perplexity, summary.best_bits_per_byte) = (perplexity, bits_per_byte);
                summary.optimum = tried.optimum(&summary, setting.base_loss);
                if setting.has_few_examples() {
                    let unknown = |optimum| Optimum { interval: None, loss_interval: None, plateau: None, ..optimum };
                    summary.optimum = summary.optimum.map(unknown);
                }
                trials.push((scheme, tried));
                summary
            })
            .collect();
        let mut comparisons = optimum::comparisons(&trials);
        if setting.has_few_examples() {
            comparisons = comparisons.into_iter().map(Comparison::without_intervals).collect();
        }
        let mut failures: Vec<Failure> = Vec::new();
        for (run, reason) in runs.iter().filter_map(|run| Some((run, run.failed.as_ref()?))) {
            let scheme = &run.cell.scheme;
            match failures.iter_mut().find(|failure| failure.scheme == *scheme && failure.reason == *reason) {
                Some(failure) => failure.runs += 1,
                None => failures.push(Failure { scheme: scheme.clone(), reason: reason.clone(), runs: 1 }),
            }
        }
        let TextMeasures { perplexity, bits_per_byte } = TextMeasures::of(setting.base_loss, setting.bytes_per_token);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            setting,
            base_perplexity: perplexity,
            base_bits_per_byte: bits_per_byte,
            schemes: summaries,
            comparisons,
            failures,
            planned: None,
            unwritten: vec![],
            best_checkpoints: vec![],
        }
    }
}

impl Summary {
    /// The number of runs that were completed, diverged, were stopped early, or could not start.
    pub fn ended(&self) -> usize {
        let trained = self.schemes.iter().map(|scheme| scheme.runs);
        trained.chain(self.failures.iter().map(|failure| failure.runs)).fold(0, usize::saturating_add)
    }

    /// The reason that there is nothing to compare, if no run that ended could start.
    pub fn why_nothing_started(&self) -> Option<String> {
        let [first, ..] = &self.failures[..] else { return None };
        self.schemes.is_empty().then(|| format!("no run could start: {}", first.reason))
    }
}

impl SchemeSummary {
    /// The names and values, at the best rate, of the measures that stand beside the accuracy where texts have two classes or scores. A correlation that is
    /// not defined has no value.
    pub fn label_measures(&self) -> Option<([&'static str; 2], [Option<f64>; 2])> {
        let best = self.best()?;
        match (best.mean_classes, best.mean_correlations) {
            (Some(classes), _) => Some((["F1", "MCC"], [Some(classes.f1), Some(classes.mcc)])),
            (None, Some(scores)) => Some((["Pearson", "Spearman"], [scores.pearson, scores.spearman])),
            (None, None) => None,
        }
    }

    /// Summarises runs sorted by rising rate and seed. `optimum` and the measures of a language model are filled in later.
    fn from_runs(scheme: &str, runs: &[&RunResult]) -> Self {
        let mut learning_rates: Vec<_> =
            runs.chunk_by(|a, b| a.cell.learning_rate == b.cell.learning_rate).map(RateSummary::from_runs).collect();
        let best = learning_rates
            .iter()
            .filter_map(|rate| Some((rate.mean_loss?, rate)))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, rate)| rate.clone());
        if let Some(lowest) = best.as_ref().and_then(|best| best.mean_loss) {
            for rate in &mut learning_rates {
                rate.stable = rate.mean_loss.is_some_and(|mean| mean <= 2.0 * lowest);
            }
        }
        Self {
            scheme: scheme.to_owned(),
            best_learning_rate: best.as_ref().map(|best| best.learning_rate),
            best_loss: best.as_ref().and_then(|best| best.mean_loss),
            best_loss_spread: best.as_ref().and_then(|best| best.loss_spread),
            best_perplexity: None,
            best_bits_per_byte: None,
            best_accuracy: best.as_ref().and_then(|best| best.mean_accuracy),
            largest_stable_learning_rate: learning_rates
                .iter()
                .rev()
                .find(|rate| rate.stable)
                .map(|rate| rate.learning_rate),
            optimum: None,
            start: runs.iter().filter_map(|run| run.start).max_by_key(|start| start.tokens),
            runs: runs.len(),
            learning_rates,
        }
    }

    /// The results at the best learning rate.
    pub fn best(&self) -> Option<&RateSummary> {
        let best = self.best_learning_rate?;
        self.learning_rates.iter().find(|rate| rate.learning_rate == best)
    }

    /// The number of runs that were stopped early.
    pub fn stopped(&self) -> usize {
        self.learning_rates.iter().map(|rate| rate.stopped).sum()
    }

    /// The number of runs that diverged.
    pub fn diverged(&self) -> usize {
        self.learning_rates.iter().map(|rate| rate.diverged).sum()
    }
}

impl RateSummary {
    /// Summarises the runs of one rate, by rising seed. `stable` needs the scheme's best, so it is filled in later.
    fn from_runs(runs: &[&RunResult]) -> Self {
        let losses: Vec<_> = runs.iter().map(|run| run.finished_loss()).collect();
        let accuracies: Option<Vec<_>> =
            runs.iter().map(|run| run.accuracy.filter(|share| share.is_finite())).collect();
        let finished: Option<Vec<_>> = losses.iter().copied().collect();
        let at_stop: Vec<Option<f64>> =
            runs.iter().filter(|run| run.stopped.is_some()).map(|run| run.last_loss()).collect();
        let classes: Option<Vec<ClassScores>> = runs.iter().map(|run| run.classes).collect();
        let mean_of =
            |of: fn(&ClassScores) -> f64| move |all: &[ClassScores]| mean(&all.iter().map(of).collect::<Vec<_>>());
        let [f1, mcc]: [fn(&ClassScores) -> f64; 2] = [|scores| scores.f1, |scores| scores.mcc];
        let correlations: Option<Vec<Correlations>> = runs.iter().map(|run| run.correlations).collect();
        let mean_correlation = |all: &[Correlations], of: fn(&Correlations) -> Option<f64>| {
            all.iter().map(of).collect::<Option<Vec<f64>>>().as_deref().map(mean)
        };
        let range = finished.as_deref().filter(|losses| losses.len() > 1).map(|losses| {
            let highest = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            highest - losses.iter().copied().fold(f64::INFINITY, f64::min)
        });
        Self {
            learning_rate: runs[0].cell.learning_rate,
            mean_loss: finished.as_deref().map(mean),
            loss_spread: range,
            mean_classes: classes
                .filter(|_| finished.is_some())
                .map(|all| ClassScores { f1: mean_of(f1)(&all), mcc: mean_of(mcc)(&all) }),
            mean_correlations: correlations.filter(|_| finished.is_some()).map(|all| Correlations {
                pearson: mean_correlation(&all, |one| one.pearson),
                spearman: mean_correlation(&all, |one| one.spearman),
            }),
            mean_accuracy: accuracies.filter(|_| finished.is_some()).as_deref().map(mean),
            diverged: runs.iter().filter(|run| run.is_diverged()).count(),
            stopped: at_stop.len(),
            loss_at_stop: at_stop
                .iter()
                .copied()
                .collect::<Option<Vec<f64>>>()
                .filter(|all| !all.is_empty())
                .as_deref()
                .map(mean),
            losses,
            stable: false,
        }
    }

    /// The lowest and highest final loss of the seeds that did not diverge.
    pub fn range(&self) -> Option<(f64, f64)> {
        let finished = || self.losses.iter().copied().flatten();
        let lowest = finished().min_by(f64::total_cmp)?;
        let highest = finished().max_by(f64::total_cmp)?;
        Some((lowest, highest))
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn mean(values: &[f64]) -> f64 {
    let (sum, count) = (values.iter().sum::<f64>(), values.len() as f64);
    // In a damaged log the sum of losses may overflow although their mean does not.
    if sum.is_finite() { sum / count } else { values.iter().map(|value| value / count).sum() }
}

#[cfg(test)]
pub(crate) mod tests;
