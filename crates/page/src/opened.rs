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
                Ok(event) => sweep.apply(&event),
                // A sweep that was killed may leave its last line without an end; a file of one such line is another.
                Err(_) if place > 0 && !line.ends_with('\n') => {}
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

#[cfg(test)]
mod tests {
    use loralab_experiment::{Cell, Event, Summary, TextMeasures};
    use loralab_figure::Figure;

    use super::*;
    use crate::panel::schemes;

    /// Everything that is shown of a sweep, and taken from it.
    fn shown(sweep: &Sweep) -> Vec<String> {
        let summary: &Summary = &sweep.summary();
        let figures = [sweep.headline(), sweep.curves(None), sweep.curves(Some(1e-3))];
        let figures = figures.into_iter().flatten().map(|figure: Figure| figure.svg);
        let texts = [sweep.sentence(), schemes(summary), sweep.csv()];
        assert!(!sweep.folder(None, vec![]).is_empty());
        figures.chain(texts).collect()
    }

    #[test]
    fn any_number_that_a_log_can_hold_is_shown() {
        for odd in [1e308, f64::MAX, -f64::MAX, -1e308, 5e-324, 0.0, 1e-300] {
            for place in 0..4 {
                let mut log = String::new();
                let mut tell = |event: Event| log += &(serde_json::to_string(&event).expect("an event is JSON") + "\n");
                let text = TextMeasures { perplexity: Some(odd), bits_per_byte: Some(odd) };
                tell(Event::Base { loss: Some(if place == 0 { odd } else { 2.0 }), accuracy: Some(odd), text });
                for (scheme, seed) in [("init-a", 0), ("init-a", u64::MAX), ("init-b", 0), ("init-b", u64::MAX)] {
                    for learning_rate in [1e-3, if place == 1 { odd.abs() } else { 2e-3 }] {
                        let cell = Cell { scheme: scheme.to_owned(), learning_rate, seed };
                        let loss = Some(if place == 2 && scheme == "init-a" { odd } else { 0.5 });
                        let step = if place == 3 { usize::MAX } else { 4 };
                        tell(Event::Step { cell: cell.clone(), step, loss, learning_rate, gradient_norm: loss });
                        tell(Event::Evaluation { cell, step, loss, accuracy: Some(odd), text });
                    }
                }
                tell(Event::Finished { complete: true, seconds: odd, unwritten: vec![] });
                let file = File { name: "metrics.jsonl".to_owned(), text: log };
                let opened = Sweep::opened(&[file]).expect("every line is an event");
                for text in shown(&opened) {
                    assert!(text.len() < 200_000 && !text.contains("NaN"), "{odd:e} at {place}: {text}");
                }
            }
        }
    }
}
