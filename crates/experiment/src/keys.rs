//! The settings of an experiment by name: what each must be, and an example. One table for every error message.

use crate::nearest::nearest;

/// One setting of an [`Experiment`](crate::Experiment).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in TOML.
    pub name: &'static str,
    /// What its value must be, worded to follow "it must be".
    pub needs: &'static str,
    /// A line of TOML that sets it.
    pub example: &'static str,
}

macro_rules! keys {
    ($($name:literal: $needs:literal, $example:literal;)+) => {
        /// Every setting, in the order of [`Experiment`](crate::Experiment)'s fields.
        pub const KEYS: [Key; [$($name),+].len()] =
            [$(Key { name: $name, needs: $needs, example: concat!($name, " = ", $example) }),+];
    };
}

keys! {
    "base": "\"tiny\", \"nano\" or a path, in quotes", "\"tiny\"";
    "task": "the name of a task, in quotes", "\"translation\"";
    "data": "a path, in quotes", "\"stories.jsonl\"";
    "schemes": "a list of names, in quotes", "[\"init-a\", \"init-b\"]";
    "learning_rates": "a list of numbers above 0 and within the range of 32-bit floats", "[1e-3, 2e-3]";
    "seeds": "a list of whole numbers from 0 to 9007199254740991, or how many seeds to use", "[0, 1]";
    "rank": "a whole number of at least 1", "8";
    "alpha": "a number above 0", "16";
    "scaling": "\"classic\" or \"rslora\"", "\"classic\"";
    "target_modules": "a list of names, in quotes", "[\"q_proj\", \"v_proj\"]";
    "optimizer": "\"adamw\", \"sgd\" or \"sign_sgd\"", "\"adamw\"";
    "beta1": "a number from 0 to below 1", "0.9";
    "beta2": "a number from 0 to below 1", "0.999";
    "epsilon": "a number above 0 and within the range of 32-bit floats", "1e-8";
    "momentum": "a number from 0 to below 1", "0.9";
    "weight_decay": "a number of at least 0", "0.01";
    "learning_rate_ratio": "a number above 0", "16";
    "max_grad_norm": "a number above 0, or 0 for no clipping", "1.0";
    "schedule": "\"linear\", \"constant\" or \"cosine\"", "\"linear\"";
    "warmup_steps": "a whole number of at least 0", "10";
    "steps": "a whole number of at least 1", "200";
    "batch_size": "a whole number of at least 1", "8";
    "tokens": "a whole number of at least 1", "64";
    "evaluate_every": "a whole number of steps, or 0 for once at the end", "50";
    "diagnose_every": "a whole number of steps, or 0 for never", "10";
    "validation_examples": "a whole number of at least 1", "128";
    "cohort": "a whole number of at least 1", "16";
    "memory": "a number of bytes of at least 1, with or without a unit (B, KiB, MiB, GiB, KB, MB, GB)", "\"2GiB\"";
    "threads": "a whole number of at least 1", "4";
}

/// Names other tools give to our settings, so that a habit leads to the right one.
const FAMILIAR: [(&str, &str); 14] = [
    ("model", "base"),
    ("dataset", "data"),
    ("scheme", "schemes"),
    ("init_lora_weights", "schemes"),
    ("lr", "learning_rates"),
    ("r", "rank"),
    ("lora_alpha", "alpha"),
    ("optim", "optimizer"),
    ("lr_scheduler_type", "schedule"),
    ("max_steps", "steps"),
    ("per_device_train_batch_size", "batch_size"),
    ("eval_steps", "evaluate_every"),
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
pub(crate) fn nearest_key(written: &str) -> Option<&'static str> {
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
