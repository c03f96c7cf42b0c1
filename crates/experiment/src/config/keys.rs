//! The description of a setting, and settings by name.

use crate::config::nearest::nearest;
use crate::config::table::KEYS;

/// One setting of an [`Experiment`](crate::Experiment).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in TOML.
    pub name: &'static str,
    /// The allowed values, worded to follow "it must be".
    pub needs: &'static str,
    /// A line of TOML that sets it.
    pub example: &'static str,
    /// The default, as its text or in words; empty if there is none.
    pub default: &'static str,
    /// Its effect, in a sentence.
    pub about: &'static str,
    /// Its source: a paper or a library; empty if there is none.
    pub source: &'static str,
    /// The group of the page's form that it is in; empty where the form has no field for it.
    pub form: &'static str,
}

/// The flag of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The setting's name; the flag is called the same, with `-` for `_`.
    pub setting: &'static str,
    /// The placeholder of its value in a help text, such as `FILE`.
    pub value: &'static str,
    /// Other names of the flag.
    pub names: &'static [&'static str],
    /// The section of the help text that it is in.
    pub heading: &'static str,
    /// Its effect in one line of help; [`Key::default`] follows it.
    pub help: &'static str,
}

/// Names other tools give to our settings, so that a habit leads to the right one.
const FAMILIAR: [(&str, &str); 28] = [
    ("model", "base"),
    ("load_in_4bit", "quantize"),
    ("load_in_8bit", "quantize"),
    ("dataset", "data"),
    ("validation_split", "validation"),
    ("eval_dataset", "validation"),
    ("truncation", "truncate"),
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
