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
            sweep.record.validated_on(summary.setting.validation_examples);
        }
        for (place, line) in log.text.split_inclusive('\n').enumerate() {
            match serde_json::from_str(line) {
                Ok(event) => sweep.hear(&event),
                // A sweep that was killed may leave a line without its end.
                Err(_) if !line.ends_with('\n') => {}
                Err(error) => {
                    return Err(format!(
                        "Line {} of {} is no event of a sweep ({error}). Choose the `metrics.jsonl` that `loralab sweep` wrote.",
                        place + 1,
                        log.name
                    ));
                }
            }
        }
        if sweep.record.has_news() {
            Ok(sweep)
        } else {
            Err(format!("{} has no evaluation of any run, so there is nothing to show yet.", log.name))
        }
    }
}
