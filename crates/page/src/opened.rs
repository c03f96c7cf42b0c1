//! Results that the native binary wrote, as a sweep.

use loralab_experiment::{Experiment, Record, Summary};

use crate::{File, Sweep};

impl Sweep {
    /// The sweep in a results folder of the binary, or in its log alone.
    ///
    /// # Errors
    /// A sentence about what is missing or can't be read.
    pub fn opened(files: &[File]) -> Result<Self, String> {
        let named = |name: &str| files.iter().find(|file| file.name.rsplit('/').next() == Some(name));
        let log = named("metrics.jsonl").or_else(|| files.iter().find(|file| file.name.ends_with(".jsonl")));
        let log = log.ok_or("There is no `metrics.jsonl` among these files. Choose it, or the whole results folder that `loralab sweep` wrote.")?;
        let experiment = named("experiment.toml")
            .map(|file| Experiment::from_toml(&file.text).map_err(|error| format!("{}: {error}", file.name)))
            .transpose()?;
        let known = experiment.is_some();
        let mut sweep = Self::new(experiment.unwrap_or_default(), None);
        sweep.known = known;
        let found = named("summary.json").and_then(|file| serde_json::from_str::<Summary>(&file.text).ok());
        if let Some(summary) = found {
            sweep.record = Record::new(summary.setting.accuracy);
        }
        for (place, line) in log.text.lines().enumerate() {
            let event = serde_json::from_str(line).map_err(|error| {
                format!("Line {} of {} is no event of a sweep ({error}). Choose the `metrics.jsonl` that `loralab sweep` wrote.", place + 1, log.name)
            })?;
            sweep.hear(&event);
        }
        if sweep.record.has_news() {
            Ok(sweep)
        } else {
            Err(format!("{} has no evaluation of any run, so there is nothing to show yet.", log.name))
        }
    }
}
