//! Settings one by one, as short texts: what links, command lines and form fields hold.
//!
//! A list is its entries with commas between, seeds from 0 on are their number, and everything else is as TOML has it without quotes.
//! A single seed that is not a count ends in a comma: `7,` is the seed 7, `7` is seven seeds.

use crate::config::error::ExperimentError;
use crate::config::experiment::Seeds;
use crate::config::keys::key;
use crate::config::table::{Experiment, KEYS};

impl Experiment {
    /// The settings that are given, by name, each as its text, in the order of the fields.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let table = toml::Table::try_from(self).expect("a flat table of numbers, strings and lists of them is TOML");
        let text = |name: &str| match name {
            "seeds" => self.seeds.as_ref().map(seeds_text),
            _ => table.get(name).map(value_text),
        };
        KEYS.iter().filter_map(|key| Some((key.name, text(key.name)?))).collect()
    }

    /// The text of one setting, if it is given.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings().into_iter().find(|(known, _)| *known == name).map(|(_, text)| text)
    }

    /// Reads an experiment from pairs of a setting's name and the text of its value.
    ///
    /// # Errors
    /// An unknown name, or a text that is no value of its setting. The error names no line.
    pub fn from_settings<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ExperimentError> {
        let mut experiment = Self::default();
        for (name, text) in settings {
            let Some(key) = key(name) else {
                return Err(ExperimentError::UnknownKey {
                    key: name.to_owned(),
                    line: None,
                    nearest: crate::config::keys::nearest_key(name),
                });
            };
            let line = toml::Table::from_iter([(key.name.to_owned(), value(key.name, text))]).to_string();
            let given = Self::from_toml(&line).map_err(|error| match error {
                ExperimentError::Value { key, .. } => {
                    ExperimentError::Value { key, line: None, found: format!("\"{text}\"") }
                }
                other => other,
            })?;
            experiment = experiment.over(given);
        }
        Ok(experiment)
    }

    /// This experiment without the settings whose value is the default anyway: what a link or a command needs to say.
    #[must_use]
    pub fn without_defaults(&self, known_schemes: &[&str]) -> Self {
        // The defaults depend on the optimiser alone, and nothing else given here can be wrong.
        let bare = Self { optimizer: self.optimizer.clone(), ..Self::default() };
        let Ok(defaults) = bare.resolve(known_schemes).map(|resolved| resolved.to_experiment()) else {
            return self.clone();
        };
        let defaults = Self { optimizer: Some("adamw".to_owned()), ..defaults }.settings();
        let differs = |(name, text): &(&'static str, String)| !defaults.contains(&(name, text.clone()));
        let kept: Vec<_> = self.settings().into_iter().filter(differs).collect();
        Self::from_settings(kept.iter().map(|(name, text)| (*name, text.as_str()))).unwrap_or_else(|_| self.clone())
    }
}

/// Seeds from 0 on are their number.
fn seeds_text(seeds: &Seeds) -> String {
    match seeds {
        Seeds::Count(count) => count.to_string(),
        Seeds::List(list) if !list.is_empty() && list.iter().copied().eq(0..list.len() as u64) => {
            list.len().to_string()
        }
        Seeds::List(list) if list.len() == 1 => format!("{},", list[0]),
        Seeds::List(list) => list.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
    }
}

fn value_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        // The shortest text that is read as the same number.
        toml::Value::Float(number) if number.abs() < 0.1 && *number != 0.0 => format!("{number:e}"),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Array(values) => values.iter().map(value_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The TOML value that a text is for a setting; what kind that is, its example tells.
fn value(name: &str, text: &str) -> toml::Value {
    let example = key(name).and_then(|key| key.example.parse::<toml::Table>().ok());
    let example = example.and_then(|table| table.get(name).cloned());
    let text = text.trim();
    match example {
        Some(toml::Value::Array(examples)) if name != "seeds" || text.contains([',', '[']) => {
            let texts = examples.first().is_some_and(toml::Value::is_str);
            // As TOML has them, too.
            let list = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            let entries = list.split(',').map(|entry| entry.trim().trim_matches('"')).filter(|entry| !entry.is_empty());
            entries.map(|entry| if texts { entry.into() } else { number(entry) }).collect::<Vec<_>>().into()
        }
        Some(toml::Value::String(_)) => text.into(),
        Some(toml::Value::Boolean(_)) => text.parse::<bool>().map_or_else(|_| text.into(), toml::Value::Boolean),
        _ => number(text),
    }
}

/// A number, or the text itself where it is none, to be refused by its setting.
fn number(text: &str) -> toml::Value {
    let whole = text.parse::<i64>().ok().map(toml::Value::Integer);
    let real = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(toml::Value::Float);
    whole.or_else(real).unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["init-a", "init-b"];

    #[test]
    fn settings_as_texts_and_back() {
        let toml = "base = 'a b/ü.x'\nschemes = ['init-a', 'init-b']\nlearning_rates = [1e-3, 0.002, 1]\nalpha = 16.5\nepsilon = 1e-30\n\
                    seeds = [7]\nmemory = '1.5GiB'\nrank = 4\nmax_grad_norm = 0";
        let experiment = Experiment::from_toml(toml).expect("it is right");
        let texts = experiment.settings();
        let text = |name: &str| texts.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
        assert_eq!(text("learning_rates"), Some("1e-3,2e-3,1"));
        assert_eq!((text("seeds"), text("alpha"), text("rank")), (Some("7,"), Some("16.5"), Some("4")));
        let read = Experiment::from_settings(texts.iter().map(|(name, text)| (*name, text.as_str())));
        assert_eq!(read, Ok(experiment));
        for key in KEYS {
            let one = Experiment::from_toml(key.example).expect("examples are right");
            let texts = one.settings();
            assert_eq!(texts.len(), 1, "{}", key.name);
            let read = Experiment::from_settings([(key.name, texts[0].1.as_str())]).expect("what was written is read");
            assert_eq!(read.setting(key.name), Some(texts[0].1.clone()), "{}", key.name);
        }
    }

    #[test]
    fn seeds_are_counted_where_they_can_be() {
        let text = |seeds| Experiment { seeds: Some(seeds), ..Experiment::default() }.setting("seeds");
        assert_eq!(text(Seeds::List(vec![0, 1, 2])).as_deref(), Some("3"));
        assert_eq!(text(Seeds::List(vec![0, 2])).as_deref(), Some("0,2"));
        let read = |text| Experiment::from_settings([("seeds", text)]).map(|read| read.seeds);
        assert_eq!(read("3"), Ok(Some(Seeds::Count(3))));
        assert_eq!(read("7,"), Ok(Some(Seeds::List(vec![7]))));
        assert_eq!(read(" 4, 2 "), Ok(Some(Seeds::List(vec![4, 2]))));
        assert_eq!((read("[4, 2]"), read("[7]")), (read("4,2"), read("7,")));
        let options = |text| Experiment::from_settings([("scheme_options", text)]).map(|read| read.scheme_options);
        assert_eq!(options("[\"eva.rho=1\"]"), options("eva.rho=1"));
    }

    #[test]
    fn what_is_no_value_is_refused_without_a_line() {
        let refused = |name, text| Experiment::from_settings([(name, text)]).expect_err(text).to_string();
        assert_eq!(
            refused("rank", "eight"),
            "`rank` is \"eight\", but it must be a whole number of at least 1; for example `rank = 8`."
        );
        assert_eq!(refused("lora_alpha", "8"), "there is no setting `lora_alpha`. Did you mean `alpha`?");
        for (name, text) in [("rank", "8\nsteps = 5"), ("steps", ""), ("learning_rates", "1e-3,fast"), ("alpha", "inf")]
        {
            assert!(refused(name, text).contains("but it must be"), "{name}");
        }
    }

    #[test]
    fn only_what_differs_from_the_default_is_left() {
        let left = |toml: &str| {
            let full = Experiment::from_toml(toml).expect(toml).resolve(SCHEMES).expect(toml);
            let left = full.to_experiment().without_defaults(SCHEMES);
            assert_eq!(left.resolve(SCHEMES), Ok(full), "{toml}");
            left.settings().into_iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join("&")
        };
        assert_eq!(left(""), "");
        assert_eq!(left("seeds = 2\nsteps = 200\noptimizer = 'adamw'"), "");
        assert_eq!(left("base = 'nano'\nseeds = 1"), "base=nano&seeds=1");
        assert_eq!(left("optimizer = 'sgd'\nmomentum = 0.5"), "optimizer=sgd&momentum=0.5");
        assert_eq!(left("data = 'a.txt'"), "data=a.txt");
    }
}
