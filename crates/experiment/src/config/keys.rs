//! The settings of an experiment by name: what each must be, an example, what it does and who says so. One table for every error message and
//! for the page's form.

use crate::config::nearest::nearest;

/// One setting of an [`Experiment`](crate::Experiment).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in TOML.
    pub name: &'static str,
    /// What its value must be, worded to follow "it must be".
    pub needs: &'static str,
    /// A line of TOML that sets it.
    pub example: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Where that comes from: a paper or a library; empty where it is only a matter of this program.
    pub source: &'static str,
}

macro_rules! keys {
    ($($name:literal: $needs:literal, $example:literal, $about:literal, $source:literal;)+) => {
        /// Every setting, in the order of [`Experiment`](crate::Experiment)'s fields.
        pub const KEYS: [Key; [$($name),+].len()] = [$(Key {
            name: $name,
            needs: $needs,
            example: concat!($name, " = ", $example),
            about: $about,
            source: $source,
        }),+];
    };
}

keys! {
    "base": "\"tiny\", \"nano\" or a path, in quotes", "\"tiny\"",
        "The frozen model that every adapter sits on: nano has 32 thousand weights, tiny has 0.5 million.", "";
    "task": "the name of a task, in quotes", "\"translation\"",
        "What is learnt: a dialect, answers about a very short story, or sums.", "";
    "data": "a path, in quotes", "\"stories.jsonl\"",
        "A text of your own to learn instead of a task, or lines of {\"prompt\": …, \"completion\": …}.", "";
    "schemes": "a list of names, in quotes", "[\"init-a\", \"init-b\"]",
        "How an adapter starts: which of its two matrices is random, how large, and which is zero.",
        "Hayou, Ghosh, Yu 2024, arXiv 2406.08447";
    "scheme_options": "a list of SCHEME.OPTION=NUMBER, in quotes, each option once", "[\"eva.rho=1\"]",
        "Numbers that a scheme has beside its rank, where they are not to be the source's; `loralab schemes` lists them.", "";
    "learning_rates": "a list of numbers above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", "[1e-3, 2e-3]",
        "Each scheme is trained at each of these; the rate it wants is what sets the starts apart.",
        "Hayou, Ghosh, Yu 2024, arXiv 2406.08447";
    "seeds": "a list of whole numbers from 0 to 9007199254740991, or how many seeds to use", "[0, 1]",
        "Each run is repeated with each seed, which draws the adapter and orders the data; their spread tells a difference from chance.", "";
    "rank": "a whole number of at least 1", "8",
        "The inner size r of an adapter: how many directions it can change in each weight.", "Hu et al. 2021, arXiv 2106.09685 §4.1";
    "alpha": "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", "16",
        "The numerator of the scale that the adapter's product is multiplied by.", "Hu et al. 2021, arXiv 2106.09685 §4.1";
    "scaling": "\"classic\" or \"rslora\"", "\"classic\"",
        "classic scales by α/r; rslora by α/√r, which keeps large ranks from learning less.", "Kalajdzievski 2023, arXiv 2312.03732";
    "target_modules": "a list of names, in quotes", "[\"q_proj\", \"v_proj\"]",
        "Which weights of every layer carry an adapter, named as in Llama.", "Hugging Face PEFT, LoraConfig.target_modules";
    "optimizer": "\"adamw\", \"sgd\" or \"sign_sgd\"", "\"adamw\"",
        "The rule that turns gradients into steps: AdamW, plain gradient descent, or the sign of the gradient alone.",
        "Loshchilov, Hutter 2017, arXiv 1711.05101; Bernstein et al. 2018, arXiv 1802.04434";
    "beta1": "a number from 0 to below 1 that is still below 1 as a 32-bit float", "0.9",
        "AdamW's memory of the gradient: 0.9 is about the last ten steps.", "Kingma, Ba 2014, arXiv 1412.6980 §2";
    "beta2": "a number from 0 to below 1 that is still below 1 as a 32-bit float", "0.999",
        "AdamW's memory of the gradient's square, by which steps are divided.", "Kingma, Ba 2014, arXiv 1412.6980 §2";
    "epsilon": "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", "1e-8",
        "Added to what AdamW divides by, so that a tiny gradient makes no huge step.", "Kingma, Ba 2014, arXiv 1412.6980 §2";
    "momentum": "a number from 0 to below 1 that is still below 1 as a 32-bit float", "0.9",
        "How much of the last step gradient descent keeps.", "Sutskever et al. 2013, ICML";
    "weight_decay": "0, or a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", "0.01",
        "Pulls the adapter towards zero a little at every step.", "Loshchilov, Hutter 2017, arXiv 1711.05101";
    "learning_rate_ratio": "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", "16",
        "How many times faster B learns than A.", "LoRA+: Hayou, Ghosh, Yu 2024, arXiv 2402.12354";
    "preconditioner": "\"none\", \"riemannian\" or \"nora_plus\"", "\"none\"",
        "Whether each factor's gradient is first divided by the other factor's own product, so that a step does not depend on how the two share their size.",
        "Zhang, Pilanci 2024, arXiv 2402.02347; NoRA+: Li et al. 2024, arXiv 2410.18965";
    "max_grad_norm": "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38), or 0 for no clipping", "1.0",
        "A run's gradient that is longer than this is cut to it; 0 lets it be.", "Pascanu, Mikolov, Bengio 2012, arXiv 1211.5063";
    "schedule": "\"linear\", \"constant\" or \"cosine\"", "\"linear\"",
        "How the learning rate comes down over the steps.", "Hugging Face Transformers, get_scheduler";
    "warmup_steps": "a whole number of at least 0", "10",
        "Steps in which the learning rate first rises from zero.", "Goyal et al. 2017, arXiv 1706.02677 §2.2";
    "steps": "a whole number of at least 1", "200",
        "Optimiser steps of every run.", "";
    "batch_size": "a whole number of at least 1", "8",
        "Sequences that a run sees in a pass; a step is one pass unless gradients are accumulated.", "";
    "gradient_accumulation": "a whole number of at least 1", "4",
        "Passes whose gradients are added up for one step: a batch so many times as large, in the memory of one.", "";
    "tokens": "a whole number of at least 1", "64",
        "Length of a sequence, in bytes.", "";
    "evaluate_every": "a whole number of steps, or 0 for once at the end", "50",
        "Steps between looks at the held-out data; more looks, more lively charts, more time.", "";
    "diagnose_every": "a whole number of steps, or 0 for never", "10",
        "Steps between looks inside the adapters: LoRA features, norms, what the parts of a step do.",
        "Hayou, Ghosh, Yu 2024, arXiv 2406.08447 §3";
    "validation_examples": "a whole number of at least 1", "128",
        "Held-out examples in such a look.", "";
    "cohort": "a whole number of at least 1", "16",
        "Most runs that are trained in one pass.", "";
    "memory": "a number of bytes of at least 1, with or without a unit (B, KiB, MiB, GiB, KB, MB, GB)", "\"2GiB\"",
        "Most memory that a pass may take.", "";
    "threads": "a whole number of at least 1", "4",
        "Threads of the processor; a page has one.", "";
}

/// Names other tools give to our settings, so that a habit leads to the right one.
const FAMILIAR: [(&str, &str); 23] = [
    ("model", "base"),
    ("dataset", "data"),
    ("scheme", "schemes"),
    ("init_lora_weights", "schemes"),
    ("lr", "learning_rates"),
    ("seed", "seeds"),
    ("r", "rank"),
    ("lora_r", "rank"),
    ("lora_rank", "rank"),
    ("lora_alpha", "alpha"),
    ("optim", "optimizer"),
    ("lr_scheduler_type", "schedule"),
    ("max_steps", "steps"),
    ("iters", "steps"),
    ("epochs", "steps"),
    ("num_train_epochs", "steps"),
    ("lora_target_modules", "target_modules"),
    ("per_device_train_batch_size", "batch_size"),
    ("gradient_accumulation_steps", "gradient_accumulation"),
    ("eval_steps", "evaluate_every"),
    ("max_length", "tokens"),
    ("adam_epsilon", "epsilon"),
    ("loraplus_lr_ratio", "learning_rate_ratio"),
];

/// The other name under which `tokens` is accepted, since that is what people already type.
pub(crate) const TOKENS_ALIAS: &str = "max_seq_length";

/// The setting of that name.
pub(crate) fn key(name: &str) -> Option<&'static Key> {
    let name = if name == TOKENS_ALIAS { "tokens" } else { name };
    KEYS.iter().find(|key| key.name == name)
}

/// The setting that was probably meant by an unknown name.
pub fn nearest_key(written: &str) -> Option<&'static str> {
    let familiar = FAMILIAR.iter().find(|(theirs, _)| *theirs == written).map(|&(_, ours)| ours);
    familiar.or_else(|| nearest(written, KEYS.iter().map(|key| key.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_lead_to_settings_that_exist() {
        for (theirs, ours) in FAMILIAR {
            assert!(key(theirs).is_none(), "{theirs} is a setting itself");
            assert!(key(ours).is_some(), "{ours} is no setting");
            assert_eq!(nearest_key(theirs), Some(ours));
        }
    }
}
