//! An experiment that has been checked: every setting has a value, and every value is right.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::config::bytes::Bytes;
use crate::config::error::ExperimentError;
use crate::config::experiment::{Experiment, Seeds};
use crate::config::grid::{Cell, first_name};
use crate::config::keys::{Key, key};
use crate::config::names::{OptimizerName, Preconditioner, Scaling, Schedule, Task, unknown_name};
use crate::config::number::learning_rate_text;
use crate::config::scheme_option::SchemeOption;

/// PEFT's word for every linear map.
const ALL_LINEAR: &str = "all-linear";

/// The largest number of runs in a sweep.
pub const LARGEST_GRID: u64 = 100_000;

/// The largest seed, 2⁵³ − 1: every reader of JSON holds it exactly.
pub const LARGEST_SEED: u64 = (1 << 53) - 1;

/// The frozen model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Base {
    /// The shipped one: 4 layers, width 96.
    Tiny,
    /// The shipped one for tests and slow devices: 2 layers, width 32.
    Nano,
    /// One in a file or folder.
    Path(String),
}

/// What is learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Data {
    /// A task over the little world.
    Task(Task),
    /// A text or JSONL file.
    Path(String),
}

/// The optimiser with its options.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the mean gradient.
        beta1: f64,
        /// Decay of the mean squared gradient.
        beta2: f64,
        /// Added to the root of the mean squared gradient.
        epsilon: f64,
    },
    /// Gradient descent.
    Sgd {
        /// Decay of the velocity; 0 for none.
        momentum: f64,
    },
    /// Steps along the gradient's sign.
    SignSgd,
}

impl Optimizer {
    /// Its name.
    pub const fn name(self) -> OptimizerName {
        match self {
            Self::AdamW { .. } => OptimizerName::AdamW,
            Self::Sgd { .. } => OptimizerName::Sgd,
            Self::SignSgd => OptimizerName::SignSgd,
        }
    }
}

/// A checked experiment, made by [`Experiment::resolve`]. The fields are those of [`Experiment`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resolved {
    /// The frozen model.
    pub base: Base,
    /// What is learnt.
    pub data: Data,
    /// The schemes, distinct, at least one.
    pub schemes: Vec<String>,
    /// Numbers of schemes that are not their defaults; no option twice.
    pub scheme_options: Vec<SchemeOption>,
    /// The learning rates, distinct, at least one, each a normal positive f32.
    pub learning_rates: Vec<f64>,
    /// The seeds, distinct, at least one, each at most [`LARGEST_SEED`].
    pub seeds: Vec<u64>,
    /// Inner size r of the adapters, at least 1.
    pub rank: usize,
    /// α, positive.
    pub alpha: f64,
    /// How α and r make the scale.
    pub scaling: Scaling,
    /// Ends of the names of the modules that carry an adapter, distinct, at least one; none for all that the model has. See [`Resolved::targets`].
    pub target_modules: Option<Vec<String>>,
    /// The optimiser and its options.
    pub optimizer: Optimizer,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
    /// Learning rate of B divided by that of A, positive.
    pub learning_rate_ratio: f64,
    /// What gradients are multiplied by.
    pub preconditioner: Preconditioner,
    /// Largest gradient norm of a run; `None` does not clip.
    pub max_grad_norm: Option<f64>,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Steps of warm-up, at most `steps`.
    pub warmup_steps: usize,
    /// Optimiser steps, at least 1.
    pub steps: usize,
    /// Sequences per step and run, at least 1.
    pub batch_size: usize,
    /// Passes whose gradients are added up for one step.
    pub gradient_accumulation: usize,
    /// Tokens per sequence, at least 1.
    pub tokens: usize,
    /// Steps between validations; 0 validates only at the end.
    pub evaluate_every: usize,
    /// Steps between looks inside the adapters; 0 takes none.
    pub diagnose_every: usize,
    /// Examples in a validation, at least 1.
    pub validation_examples: usize,
    /// Largest number of runs in a cohort.
    pub cohort: Option<NonZeroUsize>,
    /// Memory to use at most.
    pub memory: Option<Bytes>,
    /// CPU threads.
    pub threads: Option<NonZeroUsize>,
}

impl Experiment {
    /// Fills in the defaults and checks every value. `known_schemes` are the schemes there are, which `schemes = "all"` names together, but for second
    /// names of the same.
    ///
    /// # Errors
    /// The first value that is wrong, as a sentence that names the setting, the value, what was needed and what to do.
    pub fn resolve(&self, known_schemes: &[&str]) -> Result<Resolved, ExperimentError> {
        let mut schemes = self.schemes.clone().unwrap_or_else(|| ["init-a", "init-b"].map(str::to_owned).to_vec());
        if schemes.iter().any(|scheme| scheme == "all") {
            let once = known_schemes.iter().filter(|&&scheme| first_name(scheme).is_none());
            let mut all: Vec<String> = once.map(|&scheme| scheme.to_owned()).collect();
            let others = schemes.into_iter().filter(|scheme| scheme != "all" && !all.contains(scheme));
            let others: Vec<String> = others.collect();
            all.extend(others);
            schemes = all;
        }
        for scheme in &schemes {
            if !known_schemes.contains(&scheme.as_str()) {
                return Err(unknown_name("schemes", scheme, known_schemes));
            }
        }
        if self.searches {
            return Err(refused("learning_rates", "\"auto\""));
        }
        let learning_rates =
            self.learning_rates.clone().unwrap_or_else(|| (0..7).map(|k| 1e-3 * f64::from(1 << k)).collect());
        for &rate in &learning_rates {
            number("learning_rates", rate, fits_f32(rate))?;
        }
        let seeds = self.resolve_seeds(schemes.len(), learning_rates.len())?;
        distinct("schemes", &schemes, Clone::clone)?;
        distinct("learning_rates", &learning_rates, |&rate| learning_rate_text(rate))?;
        distinct("seeds", &seeds, u64::to_string)?;

        let steps = count("steps", self.steps, 200)?;
        let warmup_steps = self.warmup_steps.unwrap_or(0);
        if warmup_steps > steps {
            return Err(ExperimentError::Clash {
                first: format!("`warmup_steps` is {warmup_steps}"),
                second: format!("`steps` is {steps}"),
                why: "the warm-up cannot be longer than the training",
                remedy: format!("Set `warmup_steps` to at most {steps}, or raise `steps`."),
            });
        }
        let max_grad_norm = real("max_grad_norm", self.max_grad_norm, 1.0, zero_or_fits_f32)?;

        let optimizer = self.resolve_optimizer()?;

        Ok(Resolved {
            base: self.resolve_base()?,
            data: self.resolve_data()?,
            schemes,
            scheme_options: self.resolve_scheme_options(known_schemes)?,
            learning_rates,
            seeds,
            rank: count("rank", self.rank, 8)?,
            alpha: real("alpha", self.alpha, 16.0, fits_f32)?,
            scaling: self.scaling.as_deref().map_or(Ok(Scaling::Classic), Scaling::named)?,
            target_modules: self.resolve_modules()?,
            optimizer,
            weight_decay: real("weight_decay", self.weight_decay, 0.0, zero_or_fits_f32)?,
            learning_rate_ratio: real("learning_rate_ratio", self.learning_rate_ratio, 1.0, fits_f32)?,
            preconditioner: self.resolve_preconditioner(optimizer)?,
            max_grad_norm: (max_grad_norm > 0.0).then_some(max_grad_norm),
            schedule: self.schedule.as_deref().map_or(Ok(Schedule::Linear), Schedule::named)?,
            warmup_steps,
            steps,
            batch_size: count("batch_size", self.batch_size, 8)?,
            gradient_accumulation: count("gradient_accumulation", self.gradient_accumulation, 1)?,
            tokens: count("tokens", self.tokens, 64)?,
            evaluate_every: self.evaluate_every.unwrap_or(50),
            diagnose_every: self.diagnose_every.unwrap_or(0),
            validation_examples: count("validation_examples", self.validation_examples, 128)?,
            cohort: limit("cohort", self.cohort)?,
            memory: match self.memory {
                Some(Bytes(0)) => return Err(refused("memory", "0")),
                memory => memory,
            },
            threads: limit("threads", self.threads)?,
        })
    }

    fn resolve_base(&self) -> Result<Base, ExperimentError> {
        match self.base.as_deref() {
            None | Some("tiny") => Ok(Base::Tiny),
            Some("nano") => Ok(Base::Nano),
            Some("") => Err(refused("base", "\"\"")),
            Some(path) => Ok(Base::Path(path.to_owned())),
        }
    }

    fn resolve_data(&self) -> Result<Data, ExperimentError> {
        match (self.task.as_deref(), self.data.as_deref()) {
            (Some(task), Some(data)) => Err(ExperimentError::Clash {
                first: format!("`task` is \"{task}\""),
                second: format!("`data` is \"{data}\""),
                why: "a run learns either a task or a file",
                remedy: "Remove one of the two.".to_owned(),
            }),
            (None, Some("")) => Err(refused("data", "\"\"")),
            (None, Some(path)) => Ok(Data::Path(path.to_owned())),
            (task, None) => task.map_or(Ok(Task::Translation), Task::named).map(Data::Task),
        }
    }

    /// The seeds, counted before they are listed: a count of 10¹² must not take the memory of 10¹² seeds.
    fn resolve_seeds(&self, schemes: usize, learning_rates: usize) -> Result<Vec<u64>, ExperimentError> {
        let seeds = self.seeds.as_ref().unwrap_or(&Seeds::Count(2));
        let number = match seeds {
            Seeds::Count(number) => *number,
            Seeds::List(list) => list.len() as u64,
        };
        let cells = schemes as u128 * learning_rates as u128 * u128::from(number);
        // An empty list of schemes or rates is told by its own sentence, however many seeds there are.
        if cells > u128::from(LARGEST_GRID) || number > LARGEST_GRID {
            let limit = LARGEST_GRID;
            return Err(ExperimentError::GridTooLarge { cells, schemes, learning_rates, seeds: number, limit });
        }
        match seeds {
            Seeds::Count(number) => Ok((0..*number).collect()),
            Seeds::List(list) => match list.iter().find(|&&seed| seed > LARGEST_SEED) {
                Some(seed) => Err(refused("seeds", seed)),
                None => Ok(list.clone()),
            },
        }
    }

    fn resolve_modules(&self) -> Result<Option<Vec<String>>, ExperimentError> {
        let Some(names) = &self.target_modules else { return Ok(None) };
        if names.len() == 1 && names[0] == ALL_LINEAR {
            return Ok(None);
        }
        distinct("target_modules", names, Clone::clone)?;
        Ok(Some(names.clone()))
    }

    fn resolve_scheme_options(&self, known_schemes: &[&str]) -> Result<Vec<SchemeOption>, ExperimentError> {
        let texts = self.scheme_options.as_deref().unwrap_or_default();
        let read = |text: &String| text.parse().map_err(|()| refused("scheme_options", format!("\"{text}\"")));
        let options = texts.iter().map(read).collect::<Result<Vec<SchemeOption>, _>>()?;
        for (index, SchemeOption { scheme, option, .. }) in options.iter().enumerate() {
            if !known_schemes.contains(&scheme.as_str()) {
                return Err(unknown_name("scheme_options", scheme, known_schemes));
            }
            if options[..index].iter().any(|other| other.scheme == *scheme && other.option == *option) {
                return Err(ExperimentError::Twice { key: "scheme_options", found: format!("{scheme}.{option}") });
            }
        }
        Ok(options)
    }

    fn resolve_preconditioner(&self, optimizer: Optimizer) -> Result<Preconditioner, ExperimentError> {
        let preconditioner = self.preconditioner.as_deref().map_or(Ok(Preconditioner::None), Preconditioner::named)?;
        if preconditioner != Preconditioner::None && optimizer == Optimizer::SignSgd {
            return Err(ExperimentError::Clash {
                first: format!("`preconditioner` is \"{preconditioner}\""),
                second: format!("`optimizer` is \"{}\"", optimizer.name()),
                why: "a preconditioner is defined for gradient descent and Adam only",
                remedy: "Remove `preconditioner`, or set `optimizer = \"adamw\"`.".to_owned(),
            });
        }
        Ok(preconditioner)
    }

    fn resolve_optimizer(&self) -> Result<Optimizer, ExperimentError> {
        let name = self.optimizer.as_deref().map_or(Ok(OptimizerName::AdamW), OptimizerName::named)?;
        let options = [
            ("beta1", self.beta1, OptimizerName::AdamW),
            ("beta2", self.beta2, OptimizerName::AdamW),
            ("epsilon", self.epsilon, OptimizerName::AdamW),
            ("momentum", self.momentum, OptimizerName::Sgd),
        ];
        for (option, value, owner) in options {
            if let Some(value) = value.filter(|_| owner != name) {
                return Err(ExperimentError::Clash {
                    first: format!("`{option}` is {}", number_text(value)),
                    second: format!("`optimizer` is \"{name}\""),
                    why: "that optimizer has no such option",
                    remedy: format!("Remove `{option}`, or set `optimizer = \"{owner}\"`."),
                });
            }
        }
        // The kernels multiply by it in f32, where what rounds to 1 forgets nothing, ever.
        let decay = |decay: f64| (0.0..1.0).contains(&decay) && (decay as f32) < 1.0;
        Ok(match name {
            OptimizerName::AdamW => Optimizer::AdamW {
                beta1: real("beta1", self.beta1, 0.9, decay)?,
                beta2: real("beta2", self.beta2, 0.999, decay)?,
                epsilon: real("epsilon", self.epsilon, 1e-8, fits_f32)?,
            },
            OptimizerName::Sgd => Optimizer::Sgd { momentum: real("momentum", self.momentum, 0.0, decay)? },
            OptimizerName::SignSgd => Optimizer::SignSgd,
        })
    }
}

impl Resolved {
    /// The factor s of `y = x Wᵀ + s (x Aᵀ) Bᵀ`.
    pub fn scale(&self) -> f64 {
        self.scaling.scale(self.alpha, self.rank)
    }

    /// The grid, in the order of [`Cell::grid`].
    pub fn cells(&self) -> Vec<Cell> {
        Cell::grid(&self.schemes, &self.learning_rates, &self.seeds)
    }

    /// The modules that carry an adapter, of those that a model has, in the model's order.
    ///
    /// # Errors
    /// If one is named that the model does not have.
    pub fn targets(&self, known: &[String]) -> Result<Vec<String>, ExperimentError> {
        let Some(named) = &self.target_modules else { return Ok(known.to_vec()) };
        if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(unknown_name("target_modules", unknown, &known));
        }
        Ok(known.iter().filter(|module| named.contains(module)).cloned().collect())
    }

    /// Sequences of a step: those of all its passes.
    pub fn sequences_per_step(&self) -> usize {
        self.batch_size.saturating_mul(self.gradient_accumulation)
    }

    /// What the peak learning rate of a run of so many steps is multiplied by at a step counted from 0; nothing is left of it after the last.
    pub fn schedule_factor(&self, step: usize, steps: usize) -> f64 {
        if step < steps { self.schedule.factor(step, steps, self.warmup_steps) } else { 0.0 }
    }

    /// Whether the runs are validated once `done` steps are done.
    pub fn evaluates_after(&self, done: usize) -> bool {
        done == self.steps || (done > 0 && self.evaluate_every > 0 && done.is_multiple_of(self.evaluate_every))
    }

    /// Whether step number `step`, counted from 1, is looked at from inside the adapters.
    pub fn diagnoses(&self, step: usize) -> bool {
        self.diagnose_every > 0 && step.is_multiple_of(self.diagnose_every)
    }

    /// The experiment with every setting written out, for the results folder; resolving it gives this again.
    pub fn to_experiment(&self) -> Experiment {
        let (task, data) = match &self.data {
            Data::Task(task) => (Some(task.to_string()), None),
            Data::Path(path) => (None, Some(path.clone())),
        };
        let mut experiment = Experiment {
            base: Some(match &self.base {
                Base::Tiny => "tiny".to_owned(),
                Base::Nano => "nano".to_owned(),
                Base::Path(path) => path.clone(),
            }),
            task,
            data,
            schemes: Some(self.schemes.clone()),
            scheme_options: Some(self.scheme_options.iter().map(SchemeOption::to_string).collect()),
            learning_rates: Some(self.learning_rates.clone()),
            searches: false,
            seeds: Some(Seeds::List(self.seeds.clone())),
            rank: Some(self.rank),
            alpha: Some(self.alpha),
            scaling: Some(self.scaling.to_string()),
            target_modules: Some(self.target_modules.clone().unwrap_or_else(|| vec![ALL_LINEAR.to_owned()])),
            optimizer: Some(self.optimizer.name().to_string()),
            beta1: None,
            beta2: None,
            epsilon: None,
            momentum: None,
            weight_decay: Some(self.weight_decay),
            learning_rate_ratio: Some(self.learning_rate_ratio),
            preconditioner: Some(self.preconditioner.to_string()),
            max_grad_norm: Some(self.max_grad_norm.unwrap_or(0.0)),
            schedule: Some(self.schedule.to_string()),
            warmup_steps: Some(self.warmup_steps),
            steps: Some(self.steps),
            batch_size: Some(self.batch_size),
            gradient_accumulation: Some(self.gradient_accumulation),
            tokens: Some(self.tokens),
            evaluate_every: Some(self.evaluate_every),
            diagnose_every: Some(self.diagnose_every),
            validation_examples: Some(self.validation_examples),
            cohort: self.cohort.map(NonZeroUsize::get),
            memory: self.memory,
            threads: self.threads.map(NonZeroUsize::get),
        };
        match self.optimizer {
            Optimizer::AdamW { beta1, beta2, epsilon } => {
                experiment.beta1 = Some(beta1);
                experiment.beta2 = Some(beta2);
                experiment.epsilon = Some(epsilon);
            }
            Optimizer::Sgd { momentum } => experiment.momentum = Some(momentum),
            Optimizer::SignSgd => {}
        }
        experiment
    }
}

fn known(name: &'static str) -> &'static Key {
    key(name).expect("resolve names settings of the key table only")
}

fn refused(name: &'static str, found: impl ToString) -> ExperimentError {
    ExperimentError::Value { key: known(name), line: None, found: found.to_string() }
}

fn number(name: &'static str, value: f64, right: bool) -> Result<f64, ExperimentError> {
    // Infinity as f32 is refused everywhere: the training computes in f32.
    if right && (value as f32).is_finite() { Ok(value) } else { Err(refused(name, number_text(value))) }
}

/// As one would write it: `1e-60` rather than sixty zeros.
fn number_text(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && (size < 1e-4 || (1e15..f64::INFINITY).contains(&size)) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

fn real(name: &'static str, value: Option<f64>, default: f64, right: fn(f64) -> bool) -> Result<f64, ExperimentError> {
    let value = value.unwrap_or(default);
    number(name, value, right(value))
}

/// Positive, and neither zero nor infinite nor subnormal as f32.
fn fits_f32(value: f64) -> bool {
    value > 0.0 && (value as f32).is_normal()
}

/// Zero, or not taken for zero as f32.
fn zero_or_fits_f32(value: f64) -> bool {
    value == 0.0 || fits_f32(value)
}

fn count(name: &'static str, value: Option<usize>, default: usize) -> Result<usize, ExperimentError> {
    match value.unwrap_or(default) {
        0 => Err(refused(name, 0)),
        value => Ok(value),
    }
}

fn limit(name: &'static str, value: Option<usize>) -> Result<Option<NonZeroUsize>, ExperimentError> {
    value.map(|value| NonZeroUsize::new(value).ok_or_else(|| refused(name, 0))).transpose()
}

fn distinct<T>(name: &'static str, values: &[T], text: fn(&T) -> String) -> Result<(), ExperimentError> {
    if values.is_empty() {
        return Err(ExperimentError::Empty { key: known(name) });
    }
    let mut texts: Vec<_> = values.iter().map(text).collect();
    texts.sort();
    match texts.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ExperimentError::Twice { key: name, found: pair[0].clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KEYS;

    const SCHEMES: &[&str] = &["init-a", "init-b", "init-ab", "eva"];

    fn resolve(text: &str) -> Result<Resolved, ExperimentError> {
        Experiment::from_toml(text).expect(text).resolve(SCHEMES)
    }

    fn refusal(text: &str) -> String {
        resolve(text).expect_err(text).to_string()
    }

    #[test]
    fn the_default_is_the_headline_sweep() {
        let resolved = resolve("").expect("the default is right");
        assert_eq!(resolved.base, Base::Tiny);
        assert_eq!(resolved.data, Data::Task(Task::Translation));
        assert_eq!(resolved.learning_rates, [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2]);
        assert_eq!(resolved.cells().len(), 28);
        assert_eq!(resolved.scale(), 2.0);
        assert_eq!(resolved.target_modules, None);
        assert_eq!(resolved.optimizer, Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
        assert_eq!(resolved.max_grad_norm, Some(1.0));
        assert_eq!((resolved.steps, resolved.batch_size, resolved.tokens), (200, 8, 64));
        let factors =
            [(0, 200), (100, 200), (50, 100), (100, 100)].map(|(step, of)| resolved.schedule_factor(step, of));
        assert_eq!(factors, [1.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn a_resolved_experiment_written_out_is_itself() {
        let texts = [
            "",
            "base = 'nano'\ntask = 'arithmetic'\noptimizer = 'sgd'\nmomentum = 0.5\nmax_grad_norm = 0",
            "base = 'some/model'\ndata = 'x.jsonl'\noptimizer = 'sign_sgd'\ncohort = 3\nmemory = '1.5GiB'\nthreads = 2",
            "seeds = 5\nlearning_rates = [3e-4, 1]\nscaling = 'rslora'\nschedule = 'cosine'\nwarmup_steps = 20",
            "scheme_options = ['eva.rho=1', 'eva.tau=0.001']\npreconditioner = 'nora_plus'",
            "schemes = 'init-ab'\ntarget_modules = ['v_proj', 'q_proj']\nepsilon = 1e-30\nseeds = [9007199254740991]",
        ];
        for text in texts {
            let resolved = resolve(text).expect(text);
            let written = resolved.to_experiment().to_toml();
            assert_eq!(resolve(&written).as_ref(), Ok(&resolved), "{written}");
        }
    }

    #[test]
    fn every_example_in_the_error_messages_is_right() {
        for key in KEYS {
            let optimizer = if key.name == "momentum" { "optimizer = 'sgd'\n" } else { "" };
            resolve(&format!("{optimizer}{}", key.example)).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn values_out_of_range_are_sentences() {
        assert_eq!(
            refusal("rank = 0"),
            "`rank` is 0, but it must be a whole number of at least 1; for example `rank = 8`."
        );
        for (text, found) in [
            ("learning_rates = -1", "-1"),
            ("learning_rates = [1e-3, nan]", "NaN"),
            ("learning_rates = inf", "inf"),
            ("learning_rates = 0", "0"),
            ("learning_rates = 1e-60", "1e-60"),
            ("alpha = 0", "0"),
            ("alpha = nan", "NaN"),
            ("beta1 = 1", "1"),
            ("beta1 = 0.99999999", "0.99999999"),
            ("beta2 = -0.1", "-0.1"),
            ("beta2 = 0.99999999", "0.99999999"),
            ("epsilon = 0", "0"),
            ("optimizer = 'sgd'\nmomentum = 1.5", "1.5"),
            ("optimizer = 'sgd'\nmomentum = 0.99999998", "0.99999998"),
            ("weight_decay = -1", "-1"),
            ("weight_decay = inf", "inf"),
            ("weight_decay = 1e39", "1e39"),
            ("weight_decay = 1e-50", "1e-50"),
            ("learning_rate_ratio = 0", "0"),
            ("max_grad_norm = -1", "-1"),
            ("max_grad_norm = nan", "NaN"),
            ("max_grad_norm = 1e-50", "1e-50"),
            ("steps = 0", "0"),
            ("batch_size = 0", "0"),
            ("gradient_accumulation = 0", "0"),
            ("tokens = 0", "0"),
            ("validation_examples = 0", "0"),
            ("cohort = 0", "0"),
            ("threads = 0", "0"),
            ("memory = 0", "0"),
            ("base = ''", "\"\""),
            ("data = ''", "\"\""),
            ("seeds = [9007199254740992]", "9007199254740992"),
        ] {
            let name = text.lines().last().and_then(|line| line.split(' ').next()).expect("a setting is named");
            let error = refusal(text);
            assert!(error.starts_with(&format!("`{name}` is {found}, but it must be ")), "{text}: {error}");
            assert!(error.contains(&format!("; for example `{name} = ")), "{text}: {error}");
        }
    }

    #[test]
    fn unknown_names_give_the_nearest() {
        for (text, meant) in [
            ("schemes = ['init-a', 'initb']", "init-b"),
            ("optimizer = 'adam'", "adamw"),
            ("schedule = 'cosin'", "cosine"),
            ("task = 'question'", "questions"),
            ("scaling = 'rs-lora'", "rslora"),
            ("scheme_options = ['evaa.rho=1']", "eva"),
            ("preconditioner = 'riemanian'", "riemannian"),
        ] {
            let error = refusal(text);
            assert!(error.contains(&format!("Did you mean \"{meant}\"?")), "{error}");
        }
        assert_eq!(
            refusal("schemes = 'magic'"),
            "`schemes` has \"magic\", which is unknown. The known names are init-a, init-b, init-ab, eva."
        );
    }

    #[test]
    fn an_empty_doubled_or_huge_grid_is_refused() {
        assert_eq!(
            refusal("schemes = []"),
            "`schemes` is empty, so there is nothing to run. Give at least one; for example `schemes = [\"init-a\", \"init-b\"]`."
        );
        for text in ["learning_rates = []", "seeds = []", "seeds = 0", "target_modules = []"] {
            assert!(refusal(text).contains("is empty"), "{text}");
        }
        assert_eq!(
            refusal("learning_rates = [1e-3, 0.001]"),
            "`learning_rates` has 1e-3 twice, which would be the same run twice. Remove one of them."
        );
        for text in ["schemes = ['init-a', 'init-a']", "seeds = [3, 1, 3]", "target_modules = ['q_proj', 'q_proj']"] {
            assert!(refusal(text).contains(" twice"), "{text}");
        }
        let huge = refusal("seeds = 1000000000000");
        assert!(huge.starts_with("the grid has 14000000000000 runs (2 schemes × 7 learning rates × "), "{huge}");
    }

    #[test]
    fn settings_that_exclude_each_other_are_refused() {
        assert_eq!(
            refusal("task = 'questions'\ndata = 'a.txt'"),
            "`task` is \"questions\" and `data` is \"a.txt\", but a run learns either a task or a file. Remove one of the two."
        );
        assert_eq!(
            refusal("momentum = 0.9"),
            "`momentum` is 0.9 and `optimizer` is \"adamw\", but that optimizer has no such option. Remove `momentum`, or \
             set `optimizer = \"sgd\"`."
        );
        assert_eq!(
            refusal("steps = 5\nwarmup_steps = 6"),
            "`warmup_steps` is 6 and `steps` is 5, but the warm-up cannot be longer than the training. Set \
             `warmup_steps` to at most 5, or raise `steps`."
        );
        assert!(resolve("steps = 5\nwarmup_steps = 5").is_ok());
        assert!(refusal("optimizer = 'sign_sgd'\npreconditioner = 'riemannian'").contains("gradient descent and Adam"));
        assert!(resolve("optimizer = 'sgd'\npreconditioner = 'riemannian'").is_ok());
        assert!(refusal("scheme_options = ['eva.rho=1', 'eva.rho=2']").contains("eva.rho twice"));
        assert!(
            refusal("scheme_options = 'eva.rho'").starts_with("`scheme_options` is \"eva.rho\", but it must be a list")
        );
    }

    #[test]
    fn modules_are_put_in_order_and_all_linear_is_all() {
        let resolved = resolve("target_modules = ['up_proj', 'q_proj']").expect("both are known");
        let known = ["q_proj", "v_proj", "up_proj"].map(str::to_owned);
        assert_eq!(resolved.targets(&known), Ok(vec!["q_proj".to_owned(), "up_proj".to_owned()]));
        let all = resolve("target_modules = 'all-linear'").expect("PEFT's word");
        assert_eq!((&all.target_modules, all.targets(&known)), (&None, Ok(known.to_vec())));
        let unknown = resolve("target_modules = ['q_prj']").expect("a model decides").targets(&known);
        let sentence = unknown.expect_err("no such module").to_string();
        assert!(sentence.contains("q_prj") && sentence.contains("\"q_proj\""), "{sentence}");
    }

    #[test]
    fn validation_falls_on_its_steps_and_on_the_last() {
        let at = |text: &str| -> Vec<usize> {
            let resolved = resolve(text).expect(text);
            (0..=resolved.steps).filter(|&done| resolved.evaluates_after(done)).collect()
        };
        assert_eq!(at("steps = 120"), [50, 100, 120]);
        assert_eq!(at("steps = 7\nevaluate_every = 0"), [7]);
        assert_eq!(at("steps = 2\nevaluate_every = 1"), [1, 2]);
    }
}
