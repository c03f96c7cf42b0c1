//! A sweep as it is stored for another visit, piece by piece.

use std::borrow::Cow;

use loralab_experiment::{Event, Experiment, Record};
use serde::{Deserialize, Serialize};

use crate::{File, Sweep};

/// The parts of a sweep that are not stored yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Lines of `metrics.jsonl`, a JSON line for each event.
    pub log: String,
    /// Adapters, each as JSON.
    pub adapters: Vec<String>,
}

/// The experiment of a stored sweep, as JSON.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    experiment: Cow<'a, Experiment>,
    data: Option<Cow<'a, str>>,
}

/// The description of a stored sweep, by which it is offered without being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its schemes that there is news of.
    pub schemes: Vec<String>,
    /// Its runs.
    pub runs: usize,
    /// Steps of each.
    pub steps: usize,
    /// None while it trains; then true if every run completed.
    pub complete: Option<bool>,
    /// As [`Sweep::snapshot`].
    pub snapshot: Option<usize>,
}

impl About {
    /// The offer in words; none where there is nothing to offer. One that was cut short before its first evaluation can be gone on with, too.
    pub fn offer(&self) -> Option<String> {
        if self.schemes.is_empty() && self.snapshot.is_none() {
            return None;
        }
        let when = match (self.complete, self.snapshot) {
            (Some(true), _) => "done".to_owned(),
            (_, Some(step)) => format!("cut short, and kept after step {step} of {}", self.steps),
            _ => "cut short".to_owned(),
        };
        let schemes = self.schemes.join(", ");
        let of = if schemes.is_empty() { schemes } else { schemes + "; " };
        Some(format!("Your last sweep is kept in this browser ({of}{} runs, {when}).", self.runs))
    }
}

impl Sweep {
    /// The parts that are new since the last call.
    pub fn news(&mut self) -> News {
        let new = &self.adapters[self.kept_adapters..];
        let adapters = new.iter().map(|files| serde_json::to_string(files).expect("an adapter is JSON")).collect();
        self.kept_adapters = self.adapters.len();
        News { log: std::mem::take(&mut self.fresh), adapters }
    }

    /// Its experiment, as [`from_head`](Self::from_head) reads it.
    pub fn head(&self) -> String {
        let data = self.data.as_ref().map(|data| Cow::Borrowed(data.name.as_str()));
        let head = Head { experiment: Cow::Borrowed(&self.experiment), data };
        serde_json::to_string(&head).expect("an experiment is JSON")
    }

    /// Its description.
    pub fn about(&self) -> About {
        let mut schemes: Vec<String> = vec![];
        for run in self.record.results().iter().filter(|run| run.is_over()) {
            if !schemes.contains(&run.cell.scheme) {
                schemes.push(run.cell.scheme.clone());
            }
        }
        let Record { runs, steps, complete, .. } = self.record;
        About { schemes, runs, steps, complete, snapshot: self.snapshot }
    }

    /// A sweep that was kept, of its head and the text that it learns: what was told of it is still to be recalled. None if it was kept by a version whose
    /// words have changed.
    pub fn from_head(head: &str, data: Option<String>) -> Option<Self> {
        let Head { experiment, data: name } = serde_json::from_str(head).ok()?;
        let data = name.zip(data).map(|(name, text)| File { name: name.into_owned(), text });
        Some(Self::new(experiment.into_owned(), data))
    }

    /// Takes in lines of its log that are kept, and hands each event on; none as in [`from_head`](Self::from_head).
    pub fn recall(&mut self, log: &str, mut each: impl FnMut(&Event)) -> Option<()> {
        for line in log.lines() {
            let event = serde_json::from_str(line).ok()?;
            self.note(&event);
            each(&event);
        }
        Some(())
    }

    /// Takes in an adapter that is kept; none as in [`from_head`](Self::from_head).
    pub fn recall_adapter(&mut self, adapter: &str) -> Option<()> {
        self.adapters.push(serde_json::from_str(adapter).ok()?);
        self.kept_adapters = self.adapters.len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use loralab_experiment::{AdapterFiles, Blob, TextMeasures};

    use super::*;
    use crate::sweep::tests::{cell, sweep};

    /// The sweep that is made of what was kept.
    fn recalled(head: &str, data: Option<&str>, news: &[News]) -> Option<Sweep> {
        let mut sweep = Sweep::from_head(head, data.map(str::to_owned))?;
        for News { log, adapters } in news {
            sweep.recall(log, |_| ())?;
            adapters.iter().try_for_each(|adapter| sweep.recall_adapter(adapter))?;
        }
        Some(sweep)
    }

    #[test]
    fn a_sweep_is_kept_in_pieces_each_told_once() {
        let mut sweep = sweep(None);
        sweep.data = Some(File { name: "mine.txt".to_owned(), text: "a text".to_owned() });
        let mut news = vec![sweep.news()];
        assert_eq!((news[0].log.lines().count(), news[0].adapters.len()), (9, 3));
        assert_eq!(sweep.news(), News::default());
        let late = cell("init-a", 4e-3, 0);
        let text = TextMeasures::default();
        sweep.apply(&Event::Evaluation { cell: late.clone(), step: 3, loss: Some(0.1), accuracy: None, text });
        sweep.adapters.push(AdapterFiles { cell: late, config: "{}".to_owned(), tensors: Blob(vec![7]) });
        news.push(sweep.news());
        assert_eq!((news[1].log.lines().count(), news[1].adapters.len()), (1, 1));
        let mut again = recalled(&sweep.head(), Some("a text"), &news).expect("it was kept");
        assert_eq!(
            (&again.experiment, &again.data, &again.adapters),
            (&sweep.experiment, &sweep.data, &sweep.adapters)
        );
        assert_eq!(again.record.summary(), sweep.record.summary());
        // A sweep that was read from the store has nothing new to be written.
        assert_eq!(again.news(), News::default());
        for head in ["{}", "", "{\"experiment\": 1}"] {
            assert!(Sweep::from_head(head, None).is_none());
        }
        assert!(again.recall("{}", |_| ()).is_none() && again.recall_adapter("{}").is_none());
    }

    #[test]
    fn a_sweep_that_is_kept_is_offered_in_words() {
        let mut started = Sweep::new(Experiment::default(), None);
        assert_eq!(started.about().offer(), None);
        started.snapshot = Some(2);
        let words = started.about().offer().expect("it can be gone on with");
        assert!(words.contains("(0 runs, cut short, and kept after step 2 of 0)"), "{words}");
        let mut sweep = sweep(None);
        let offer = |sweep: &Sweep| sweep.about().offer().unwrap_or_default();
        assert_eq!(offer(&sweep), "Your last sweep is kept in this browser (init-a, init-b; 4 runs, cut short).");
        sweep.snapshot = Some(3);
        assert!(offer(&sweep).contains("4 runs, cut short, and kept after step 3 of 4)"));
        // One that is over has no state to go on from.
        sweep.apply(&Event::Finished { complete: true, seconds: 1.0, unwritten: vec![] });
        assert!(offer(&sweep).contains("4 runs, done)") && sweep.snapshot.is_none());
        let text = serde_json::to_string(&sweep.about()).expect("it is JSON");
        assert_eq!(serde_json::from_str::<About>(&text).expect("it was just written"), sweep.about());
    }
}
