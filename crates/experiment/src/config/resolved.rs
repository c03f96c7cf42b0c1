//! Checks that need more than a range, and what a checked experiment says of its training.

use serde::Serialize;

use crate::config::check::{ALL_LINEAR, Given, decay, distinct, fits_f32, number, number_text, positive, refused};
use crate::config::error::ExperimentError;
use crate::config::experiment::Seeds;
use crate::config::grid::{Cell, first_name};
use crate::config::names::{OptimizerName, Preconditioner, Task, unknown_name};
use crate::config::number::learning_rate_text;
use crate::config::scheme_option::SchemeOption;
use crate::config::table::{Experiment, Resolved};

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

/// The data of an experiment.
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

impl Experiment {
    /// Fills in the defaults and checks every value. `known_schemes` are the schemes there are, which `schemes = "all"` names together, but for second
    /// names of the same.
    ///
    /// # Errors
    /// The first value that is wrong, as a sentence that names the setting, the value, what was needed and what to do.
    pub fn resolve(&self, known_schemes: &[&str]) -> Result<Resolved, ExperimentError> {
        let resolved = self.checked(known_schemes)?;
        let Resolved { steps, warmup_steps, preconditioner, optimizer, truncate, skip_long, .. } = resolved;
        if warmup_steps > steps {
            return Err(ExperimentError::Clash {
                first: format!("`warmup_steps` is {warmup_steps}"),
                second: format!("`steps` is {steps}"),
                why: "the warm-up cannot be longer than the training",
                remedy: format!("Set `warmup_steps` to at most {steps}, or raise `steps`."),
            });
        }
        if truncate && skip_long {
            return Err(ExperimentError::Clash {
                first: "`truncate` is true".to_owned(),
                second: "`skip_long` is true".to_owned(),
                why: "an example that is too long is either cut or left out",
                remedy: "Remove one of the two.".to_owned(),
            });
        }
        if preconditioner != Preconditioner::None && optimizer == Optimizer::SignSgd {
            return Err(ExperimentError::Clash {
                first: format!("`preconditioner` is \"{preconditioner}\""),
                second: format!("`optimizer` is \"{}\"", optimizer.name()),
                why: "a preconditioner is defined for gradient descent and Adam only",
                remedy: "Remove `preconditioner`, or set `optimizer = \"adamw\"`.".to_owned(),
            });
        }
        Ok(resolved)
    }

    pub(crate) fn resolve_schemes(&self, known_schemes: &[&str]) -> Result<Vec<String>, ExperimentError> {
        let mut schemes = self.schemes.clone().unwrap_or_else(|| ["init-a", "init-b"].map(str::to_owned).to_vec());
        if schemes.iter().any(|scheme| scheme == "all") {
            let once = known_schemes.iter().filter(|&&scheme| first_name(scheme).is_none());
            let mut all: Vec<String> = once.map(|&scheme| scheme.to_owned()).collect();
            let others: Vec<String> =
                schemes.into_iter().filter(|scheme| scheme != "all" && !all.contains(scheme)).collect();
            all.extend(others);
            schemes = all;
        }
        if let Some(unknown) = schemes.iter().find(|scheme| !known_schemes.contains(&scheme.as_str())) {
            return Err(unknown_name("schemes", unknown, known_schemes));
        }
        distinct("schemes", &schemes, Clone::clone)?;
        Ok(schemes)
    }

    pub(crate) fn resolve_learning_rates(&self) -> Result<Vec<f64>, ExperimentError> {
        if self.searches {
            return Err(refused("learning_rates", "\"auto\""));
        }
        let rates = self.learning_rates.clone();
        let rates = rates.unwrap_or_else(|| (0..7).map(|k| 1e-3 * f64::from(1 << k)).collect());
        for &rate in &rates {
            number("learning_rates", rate, fits_f32(rate))?;
        }
        distinct("learning_rates", &rates, |&rate| learning_rate_text(rate))?;
        Ok(rates)
    }

    pub(crate) fn resolve_base(&self) -> Result<Base, ExperimentError> {
        match self.base.as_deref() {
            None | Some("tiny") => Ok(Base::Tiny),
            Some("nano") => Ok(Base::Nano),
            Some("") => Err(refused("base", "\"\"")),
            Some(path) => Ok(Base::Path(path.to_owned())),
        }
    }

    pub(crate) fn resolve_data(&self) -> Result<Data, ExperimentError> {
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
    pub(crate) fn resolve_seeds(&self, known_schemes: &[&str]) -> Result<Vec<u64>, ExperimentError> {
        let schemes = self.resolve_schemes(known_schemes)?.len();
        let learning_rates = self.resolve_learning_rates()?.len();
        let seeds = self.seeds.as_ref().unwrap_or(&Seeds::Count(2));
        let number = match seeds {
            Seeds::Count(number) => *number,
            Seeds::List(list) => list.len() as u64,
        };
        let cells = schemes as u128 * learning_rates as u128 * u128::from(number);
        if cells > u128::from(LARGEST_GRID) || number > LARGEST_GRID {
            let limit = LARGEST_GRID;
            return Err(ExperimentError::GridTooLarge { cells, schemes, learning_rates, seeds: number, limit });
        }
        let seeds = match seeds {
            Seeds::Count(number) => (0..*number).collect(),
            Seeds::List(list) => list.clone(),
        };
        if let Some(seed) = seeds.iter().find(|&&seed| seed > LARGEST_SEED) {
            return Err(refused("seeds", seed));
        }
        distinct("seeds", &seeds, u64::to_string)?;
        Ok(seeds)
    }

    pub(crate) fn resolve_modules(&self) -> Result<Option<Vec<String>>, ExperimentError> {
        let Some(names) = &self.target_modules else { return Ok(None) };
        if names.len() == 1 && names[0] == ALL_LINEAR {
            return Ok(None);
        }
        distinct("target_modules", names, Clone::clone)?;
        Ok(Some(names.clone()))
    }

    pub(crate) fn resolve_scheme_options(&self, known_schemes: &[&str]) -> Result<Vec<SchemeOption>, ExperimentError> {
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

    pub(crate) fn resolve_optimizer(&self) -> Result<Optimizer, ExperimentError> {
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
        let given = |name: &'static str, value| Given { name, value, experiment: self, schemes: &[] };
        Ok(match name {
            OptimizerName::AdamW => Optimizer::AdamW {
                beta1: given("beta1", self.beta1).by(decay)?,
                beta2: given("beta2", self.beta2).by(decay)?,
                epsilon: given("epsilon", self.epsilon).by(positive)?,
            },
            OptimizerName::Sgd => Optimizer::Sgd { momentum: given("momentum", self.momentum).by(decay)? },
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

    /// The modules that carry an adapter, of the ends of names that a model has, in the model's order; other names are left to the model.
    ///
    /// # Errors
    /// If one is named that the model does not have.
    pub fn targets(&self, known: &[String]) -> Result<Vec<String>, ExperimentError> {
        let Some(named) = &self.target_modules else { return Ok(known.to_vec()) };
        let is_end = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if let Some(unknown) = named.iter().find(|name| is_end(name) && !known.contains(name)) {
            return Err(unknown_name("target_modules", unknown, &known.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        Ok(known.iter().filter(|module| named.contains(module)).cloned().collect())
    }

    /// Sequences of a step: those of all its passes.
    pub fn sequences_per_step(&self) -> usize {
        self.batch_size.saturating_mul(self.gradient_accumulation)
    }

    /// The factor of the peak learning rate at `step`, counted from 0, of a run of `steps` steps; 0 after the last.
    pub fn schedule_factor(&self, step: usize, steps: usize) -> f64 {
        if step < steps { self.schedule.factor(step, steps, self.warmup_steps) } else { 0.0 }
    }

    /// True if the runs are validated after `done` steps.
    pub fn evaluates_after(&self, done: usize) -> bool {
        let is_due = done > 0 && self.evaluate_every > 0 && done.is_multiple_of(self.evaluate_every);
        done == self.steps || is_due || self.is_rung(done)
    }

    /// True if the adapters are diagnosed at step `step`, counted from 1.
    pub fn diagnoses(&self, step: usize) -> bool {
        self.diagnose_every > 0 && step.is_multiple_of(self.diagnose_every)
    }

    /// The experiment with every setting written out, for the results folder; resolving it gives this again.
    pub fn to_experiment(&self) -> Experiment {
        let mut experiment = self.written();
        if let Data::Task(task) = &self.data {
            experiment.task = Some(task.to_string());
        }
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

#[cfg(test)]
mod tests;
