//! The arguments that give an experiment: its grid, its settings, its length.

use std::path::PathBuf;

use clap::Args;
use loralab_experiment::{Bytes, Experiment, Seeds};

use super::values::{Rate, listed, positive, rate, seeds, setting};

/// What a sweep varies.
#[derive(Debug, Args)]
#[command(next_help_heading = "The grid")]
pub struct Grid {
    /// The schemes to compare, separated by commas, or all; `loralab schemes` lists them [default: init-a,init-b]
    #[arg(long, visible_alias = "scheme", value_name = "NAMES", value_delimiter = ',')]
    schemes: Option<Vec<String>>,
    /// Numbers of schemes that are not to be their defaults, separated by commas: eva.rho=1,hrp.share=0.1; `loralab schemes` lists them
    #[arg(long, visible_alias = "scheme-option", value_name = "OPTIONS", value_delimiter = ',')]
    scheme_options: Option<Vec<String>>,
    /// The learning rates of each scheme, separated by commas; or auto, which searches in a few rounds for each scheme's best and for where it
    /// breaks [default: 1e-3 to 6.4e-2, doubling]
    #[arg(long, visible_alias = "learning-rate", value_name = "RATES", value_delimiter = ',', value_parser = rate)]
    pub learning_rates: Option<Vec<Rate>>,
    /// How many seeds, or which: 3 means 0, 1 and 2; 4,7 means these two [default: 2]
    #[arg(long, value_name = "N", value_parser = seeds)]
    seeds: Option<Seeds>,
    /// The one seed to use, or those separated by commas
    #[arg(long, value_name = "N", conflicts_with = "seeds", value_delimiter = ',', value_parser = setting::<u64>("seeds"))]
    seed: Option<Vec<u64>>,
}

impl Grid {
    /// The grid as settings, laid over `rest`.
    pub fn over(&self, rest: Experiment) -> Experiment {
        Experiment {
            schemes: self.schemes.clone(),
            scheme_options: self.scheme_options.clone(),
            learning_rates: self.learning_rates.as_deref().and_then(listed),
            searches: self.learning_rates.as_deref() == Some(&[Rate::Auto]),
            seeds: self.seeds.clone().or_else(|| self.seed.clone().map(Seeds::List)),
            ..rest
        }
    }
}

/// Everything else that an experiment has.
#[derive(Debug, Args)]
pub struct Settings {
    /// A TOML file with settings of the experiment, such as base, rank or learning_rates, named as their flags are with `_` for `-`; flags hold over it
    #[arg(long, value_name = "FILE", help_heading = "What is trained")]
    pub config: Option<PathBuf>,
    /// The frozen model: tiny, nano, or a safetensors file that `loralab pretrain` made [default: tiny]
    #[arg(long, visible_alias = "model", value_name = "BASE", help_heading = "What is trained")]
    base: Option<String>,
    /// What is learnt, a task over the little world: translation, questions or arithmetic [default: translation]
    #[arg(long, value_name = "TASK", help_heading = "What is trained")]
    task: Option<String>,
    /// What is learnt, from a file: UTF-8 text, or lines {"prompt": "...", "completion": "..."} in a .jsonl; - reads either from stdin
    #[arg(long, value_name = "FILE", conflicts_with = "task", help_heading = "What is trained")]
    data: Option<String>,

    /// Inner size r of the adapters [default: 8]
    #[arg(long, value_name = "R", help_heading = "Adapters", value_parser = setting::<usize>("rank"))]
    rank: Option<usize>,
    /// Numerator of the adapters' scale [default: 16]
    #[arg(long, value_name = "ALPHA", help_heading = "Adapters", value_parser = setting::<f64>("alpha"))]
    alpha: Option<f64>,
    /// classic divides alpha by r, rslora by the root of r [default: classic]
    #[arg(long, value_name = "NAME", help_heading = "Adapters")]
    scaling: Option<String>,
    /// The linear maps that carry an adapter, separated by commas: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj,
    /// down_proj, or all-linear [default: all-linear]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Adapters")]
    target_modules: Option<Vec<String>>,

    /// adamw, sgd or sign_sgd [default: adamw]
    #[arg(long, value_name = "NAME", help_heading = "Optimiser")]
    optimizer: Option<String>,
    /// AdamW: decay of the mean gradient [default: 0.9]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("beta1"))]
    beta1: Option<f64>,
    /// AdamW: decay of the mean squared gradient [default: 0.999]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("beta2"))]
    beta2: Option<f64>,
    /// AdamW: added to the root of the mean squared gradient [default: 1e-8]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("epsilon"))]
    epsilon: Option<f64>,
    /// SGD: decay of the velocity [default: 0]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("momentum"))]
    momentum: Option<f64>,
    /// Weight decay [default: 0]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("weight_decay"))]
    weight_decay: Option<f64>,
    /// Learning rate of B divided by that of A, as in LoRA+ [default: 1]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("learning_rate_ratio"))]
    learning_rate_ratio: Option<f64>,
    /// Multiplies each factor's gradient by the inverse of the other factor's product: none, riemannian or nora_plus [default: none]
    #[arg(long, value_name = "NAME", help_heading = "Optimiser")]
    preconditioner: Option<String>,
    /// Gradients of a run with a larger norm are scaled down to it; 0 turns that off [default: 1]
    #[arg(long, value_name = "X", help_heading = "Optimiser", value_parser = setting::<f64>("max_grad_norm"))]
    max_grad_norm: Option<f64>,
    /// How the learning rate changes: linear, constant or cosine [default: linear]
    #[arg(long, value_name = "NAME", help_heading = "Optimiser")]
    schedule: Option<String>,
    /// Steps in which the learning rate rises from 0 [default: 0]
    #[arg(long, value_name = "N", help_heading = "Optimiser", value_parser = setting::<usize>("warmup_steps"))]
    warmup_steps: Option<usize>,

    /// Optimiser steps of each run [default: 200]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("steps"))]
    steps: Option<usize>,
    /// Sequences per step and run [default: 8]
    #[arg(long, value_name = "B", help_heading = "Training", value_parser = setting::<usize>("batch_size"))]
    batch_size: Option<usize>,
    /// Batches whose gradients are added up for one step, the mean taken over the tokens of all [default: 1]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("gradient_accumulation"))]
    gradient_accumulation: Option<usize>,
    /// Tokens (bytes) per sequence [default: 64]
    #[arg(long, visible_alias = "max-seq-length", value_name = "T", help_heading = "Training", value_parser = setting::<usize>("tokens"))]
    tokens: Option<usize>,
    /// Steps between validations; 0 validates only at the end [default: 50]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("evaluate_every"))]
    evaluate_every: Option<usize>,
    /// Steps between looks inside the adapters: norms, LoRA features, what a step's parts do; they go to metrics.jsonl. 0 takes none [default: 0]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("diagnose_every"))]
    diagnose_every: Option<usize>,
    /// Examples in a validation [default: 128]
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = setting::<usize>("validation_examples"))]
    validation_examples: Option<usize>,

    /// Largest number of runs that are trained in one pass [default: as many as memory allows]
    #[arg(long, value_name = "K", help_heading = "Machine", value_parser = setting::<usize>("cohort"))]
    cohort: Option<usize>,
    /// Memory to use at most, such as 2GiB [default: half of what is free]
    #[arg(long, value_name = "BYTES", help_heading = "Machine")]
    memory: Option<Bytes>,
    /// CPU threads; no result depends on them [default: all]
    #[arg(long, value_name = "N", help_heading = "Machine", value_parser = setting::<usize>("threads"))]
    threads: Option<usize>,
}

impl Settings {
    /// The settings that were given as flags.
    pub fn experiment(&self) -> Experiment {
        Experiment {
            base: self.base.clone(),
            task: self.task.clone(),
            data: self.data.clone(),
            schemes: None,
            scheme_options: None,
            learning_rates: None,
            searches: false,
            seeds: None,
            rank: self.rank,
            alpha: self.alpha,
            scaling: self.scaling.clone(),
            target_modules: self.target_modules.clone(),
            optimizer: self.optimizer.clone(),
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            learning_rate_ratio: self.learning_rate_ratio,
            preconditioner: self.preconditioner.clone(),
            max_grad_norm: self.max_grad_norm,
            schedule: self.schedule.clone(),
            warmup_steps: self.warmup_steps,
            steps: self.steps,
            batch_size: self.batch_size,
            gradient_accumulation: self.gradient_accumulation,
            tokens: self.tokens,
            evaluate_every: self.evaluate_every,
            diagnose_every: self.diagnose_every,
            validation_examples: self.validation_examples,
            cohort: self.cohort,
            memory: self.memory,
            threads: self.threads,
        }
    }
}

/// The length of a training, counted in the data.
#[derive(Clone, Copy, Debug, Args)]
pub struct Length {
    /// Passes over the training data, instead of steps: as many steps as they take
    #[arg(long, value_name = "N", conflicts_with = "steps", help_heading = "Training", value_parser = positive)]
    pub epochs: Option<f64>,
}
