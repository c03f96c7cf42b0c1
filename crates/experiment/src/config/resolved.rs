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
        done == self.steps || (done > 0 && self.evaluate_every > 0 && done.is_multiple_of(self.evaluate_every))
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
mod tests {
    use super::*;
    use crate::config::table::KEYS;

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
    fn the_defaults_that_are_told_are_those_that_are_taken() {
        let in_words = ["learning_rates", "cohort", "memory", "threads"];
        for optimizer in ["adamw", "sgd"] {
            let taken = resolve(&format!("optimizer = '{optimizer}'")).expect("a name").to_experiment();
            for (name, text) in taken.settings().into_iter().filter(|(name, _)| !in_words.contains(name)) {
                let key = KEYS.iter().find(|key| key.name == name).expect("it is a setting");
                assert_eq!(text, if name == "optimizer" { optimizer } else { key.default }, "{name}");
            }
        }
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
            let with = match key.name {
                "momentum" => "optimizer = 'sgd'\n",
                "fields" => "data = 'a.jsonl'\n",
                _ => "",
            };
            resolve(&format!("{with}{}", key.example)).unwrap_or_else(|error| panic!("{error}"));
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
