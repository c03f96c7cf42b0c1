//! A sweep as the page holds it: its experiment, the record of its events, its adapters. It comes from a worker, from the browser's storage, or from the
//! files of the native binary.

use std::{cell::OnceCell, collections::HashSet, fmt::Write, rc::Rc};

use crate::panel::fate;
use loralab_experiment::{
    Accuracy, AdapterFiles, Cell, Curve, Event, Experiment, Record, SchemeSummary, Summary, learning_rate_text,
    loss_text,
};
use loralab_figure::{
    Figure, FigureError, lora_features, loss_by_learning_rate_when,
    results::{self, METRICS},
    training_curves, training_curves_at,
};

/// A file that a person gives to the page, or takes from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, perhaps with folders before it.
    pub name: String,
    /// Its contents.
    pub text: String,
}

/// A sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The experiment.
    pub experiment: Experiment,
    /// True if the experiment is known; a log alone does not have it.
    pub known: bool,
    /// The text that `experiment.data` names.
    pub data: Option<File>,
    /// The record of its events.
    pub record: Record,
    /// The adapters of the runs that have ended.
    pub adapters: Vec<AdapterFiles>,
    /// Steps of the runs under way after which the worker's state was last kept, to go on from.
    pub snapshot: Option<usize>,
    /// True if it has events.
    pub has_begun: bool,
    /// Lines of `metrics.jsonl` that were not handed on to be kept; those that were are held by whoever keeps them.
    pub(crate) fresh: String,
    /// Adapters that were handed on.
    pub(crate) kept_adapters: usize,
    /// The record's summary, which many ask for, and which takes a while.
    summary: OnceCell<Rc<Summary>>,
}

impl Sweep {
    /// One that has not begun.
    pub fn new(experiment: Experiment, data: Option<File>) -> Self {
        let mut record = Record::new(accuracy(&experiment));
        record.validated_on(experiment.validation_examples);
        Self {
            experiment,
            known: true,
            data,
            record,
            adapters: vec![],
            snapshot: None,
            has_begun: false,
            fresh: String::new(),
            kept_adapters: 0,
            summary: OnceCell::new(),
        }
    }

    /// Takes in what happened next.
    pub fn apply(&mut self, event: &Event) {
        self.note(event);
        self.fresh.push_str(&serde_json::to_string(event).expect("an event is JSON"));
        self.fresh.push('\n');
    }

    pub(crate) fn note(&mut self, event: &Event) {
        self.has_begun = true;
        self.record.apply(event);
        if !matches!(event, Event::Step { .. } | Event::Diagnosis { .. }) {
            self.summary = OnceCell::new();
        }
        if matches!(event, Event::Finished { .. }) {
            self.snapshot = None;
        }
    }

    /// The results of the schemes so far.
    pub fn summary(&self) -> Rc<Summary> {
        self.summary.get_or_init(|| Rc::new(self.record.summary())).clone()
    }

    /// The adapter of a run, once it has ended.
    pub fn adapter(&self, cell: &Cell) -> Option<&AdapterFiles> {
        self.adapters.iter().find(|files| files.cell == *cell)
    }

    /// The adapter that is taken away and writes: the chosen run's, or the best run's where none is chosen.
    ///
    /// # Errors
    /// A sentence why that run has none; another's is never given for it.
    pub fn shown_adapter(&self, chosen: Option<&Cell>) -> Result<&AdapterFiles, String> {
        let Some(cell) = chosen else {
            let best = self.best().and_then(|cell| self.adapter(cell));
            return best.ok_or_else(|| "No run has come to an end with an adapter yet.".to_owned());
        };
        self.adapter(cell).ok_or_else(|| {
            let run = self.record.results().iter().find(|run| run.cell == *cell);
            let why = match run {
                Some(run) if run.diverged.is_some() || run.failed.is_some() || run.stopped.is_some() => fate(run),
                _ if self.record.complete.is_none() => "has not come to its end yet".to_owned(),
                _ => "has none here: results that are opened bring no adapters, and a run that was stopped has none"
                    .to_owned(),
            };
            format!(
                "No adapter: {} at {}, seed {}, {why}.",
                cell.scheme,
                learning_rate_text(cell.learning_rate),
                cell.seed
            )
        })
    }

    /// The run that stands for a cell: the first seed that has an adapter, else the first.
    pub fn run_of(&self, scheme: &str, rate: f64) -> Option<&Cell> {
        let runs = self.record.results().iter().map(|run| &run.cell);
        let of_cell = runs.filter(|cell| cell.scheme == scheme && cell.learning_rate == rate);
        of_cell.min_by_key(|cell| (self.adapter(cell).is_none(), cell.seed))
    }

    /// The run with the lowest validation loss so far that has an adapter.
    pub fn best(&self) -> Option<&Cell> {
        // Looked up by key, since there may be thousands of both.
        let key = |cell: &Cell| (cell.scheme.clone(), cell.learning_rate.to_bits(), cell.seed);
        let with_adapter: HashSet<_> = self.adapters.iter().map(|files| key(&files.cell)).collect();
        let runs = self.record.results().iter().filter(|run| with_adapter.contains(&key(&run.cell)));
        let ended = runs.filter_map(|run| Some((run.finished_loss()?, &run.cell)));
        ended.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, cell)| cell)
    }

    /// The headline figure as things stand.
    ///
    /// # Errors
    /// When nothing has been evaluated.
    pub fn headline(&self) -> Result<Figure, FigureError> {
        loss_by_learning_rate_when(&self.summary(), &self.record.when())
    }

    /// Loss over steps, each scheme at its best rate or at the one that is asked for.
    ///
    /// # Errors
    /// When there are no losses to draw.
    pub fn curves(&self, rate: Option<f64>) -> Result<Figure, FigureError> {
        let (summary, curves) = (self.summary(), self.record.curves());
        rate.map_or_else(|| training_curves(&summary, curves), |rate| training_curves_at(rate, &summary, curves))
    }

    /// The runs with diagnostics snapshots: the first seed of each scheme, at its best learning rate so far or at `rate`.
    pub fn diagnosed(&self, rate: Option<f64>) -> Vec<&Curve> {
        let run = |scheme: &SchemeSummary| {
            let rate = rate.or(scheme.best_learning_rate)?;
            let of_run = |curve: &&Curve| {
                let Cell { scheme: name, learning_rate, .. } = &curve.cell;
                *name == scheme.scheme && *learning_rate == rate && !curve.snapshots.is_empty()
            };
            self.record.curves().iter().filter(of_run).min_by_key(|curve| curve.cell.seed)
        };
        self.summary().schemes.iter().filter_map(run).collect()
    }

    /// The LoRA features of these runs over steps: of all adapters, or of the one that is named.
    ///
    /// # Errors
    /// When none of them was looked into.
    pub fn features(&self, rate: Option<f64>, module: Option<&str>) -> Result<Figure, FigureError> {
        lora_features(&self.diagnosed(rate), module)
    }

    /// The headline figure in words, as things stand.
    pub fn sentence(&self) -> String {
        let summary = self.summary();
        match self.record.complete {
            _ if !self.record.has_news() => String::new(),
            Some(true) => summary.sentence(),
            Some(false) => format!(
                "Stopped {}: the learning rates had not yet come down to where they end. As far as it went: {}",
                lower(&self.record.when()),
                summary.sentence()
            ),
            None => format!("{}: {}", self.record.when(), so_far(&summary)),
        }
    }

    /// The losses over steps as a table with commas: `metrics.csv`.
    pub fn csv(&self) -> String {
        let mut csv = "scheme,learning_rate,seed,step,training_loss,validation_loss,accuracy,diverged\n".to_owned();
        for (run, curve) in self.record.results().iter().zip(self.record.curves()) {
            let Cell { scheme, learning_rate, seed } = &run.cell;
            let mut steps: Vec<usize> = curve.training.iter().map(|point| point.step).collect();
            steps.extend(run.evaluations.iter().map(|evaluation| evaluation.step));
            steps.extend(run.diverged.iter().map(|diverged| diverged.step));
            steps.sort_unstable();
            steps.dedup();
            for step in steps {
                let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                let training = curve.training.iter().find(|point| point.step == step).map(|point| point.loss);
                let evaluation = run.evaluations.iter().find(|evaluation| evaluation.step == step);
                let (loss, share) = evaluation.map_or((None, None), |found| (found.loss, found.accuracy));
                let diverged = run.diverged.as_ref().filter(|diverged| diverged.step == step);
                let tensor = diverged.map_or("", |diverged| &diverged.tensor);
                let (training, loss, share) = (number(training), number(loss), number(share));
                // Writing to a String can't fail. No name of a scheme or a tensor has a comma.
                let _ = writeln!(csv, "{scheme},{learning_rate:e},{seed},{step},{training},{loss},{share},{tensor}");
            }
        }
        csv
    }

    /// The results folder as the binary would write it, to be packed, with its settings in `full` where they are known; `log` is all of `metrics.jsonl`.
    pub fn folder(&self, full: Option<&Experiment>, log: Vec<u8>) -> Vec<results::File> {
        let mut files: Vec<results::File> = full.map(results::settings).into_iter().collect();
        files.extend([(METRICS.to_owned(), log), ("metrics.csv".to_owned(), self.csv().into_bytes())]);
        let summary = self.summary();
        files.push(results::summary(&summary));
        files.extend(results::figures(&summary, &self.record.when(), self.record.curves()).unwrap_or_default());
        for AdapterFiles { cell, config, tensors } in &self.adapters {
            files.extend(results::adapter(&results::adapter_folder(cell), config, &tensors.0));
        }
        files.extend(self.data.iter().map(|data| (data.name.clone(), data.text.clone().into_bytes())));
        files
    }
}

/// The meaning of accuracy in this experiment, as the binary decides.
fn accuracy(experiment: &Experiment) -> Accuracy {
    match &experiment.data {
        Some(name) if !name.to_ascii_lowercase().ends_with(".jsonl") => Accuracy::Token,
        _ => Accuracy::ExactMatch,
    }
}

/// The scheme that leads, and the significance of its lead; learning rates that still fall forbid a stronger statement.
fn so_far(summary: &Summary) -> String {
    let mut best: Vec<_> = summary.schemes.iter().filter_map(|scheme| Some((scheme, scheme.best()?))).collect();
    best.sort_by(|(_, one), (_, other)| {
        one.mean_loss.partial_cmp(&other.mean_loss).unwrap_or(std::cmp::Ordering::Equal)
    });
    let Some((first, at)) = best.first() else { return "no run has a finite loss.".to_owned() };
    let text = |loss: Option<f64>| loss.map(loss_text).unwrap_or_default();
    let rate = |rate: f64| format!("{rate:e}");
    let mut said =
        format!("{} is ahead, at {} with a loss of {}", first.scheme, rate(at.learning_rate), text(at.mean_loss));
    if let Some((second, beside)) = best.get(1) {
        // Writing to a String can't fail.
        let _ = write!(said, "; {} has {} at {}", second.scheme, text(beside.mean_loss), rate(beside.learning_rate));
        let noise = at.loss_spread.zip(beside.loss_spread).map(|(one, other)| (one + other) / 2.0);
        let difference = beside.mean_loss.unwrap_or(f64::NAN) - at.mean_loss.unwrap_or(f64::NAN);
        said.push_str(match noise {
            Some(noise) if difference > noise => ", which is more than their seeds differ",
            Some(_) => ", a difference within the spread over seeds",
            None => "; with one seed, that may be chance",
        });
    }
    said + "."
}

fn lower(text: &str) -> String {
    text.replacen("After", "after", 1)
}

#[cfg(test)]
pub(crate) mod tests {
    use loralab_experiment::{Blob, Diagnosis, RunResult, TextMeasures};

    use super::*;

    pub(crate) fn cell(scheme: &str, learning_rate: f64, seed: u64) -> Cell {
        Cell { scheme: scheme.to_owned(), learning_rate, seed }
    }

    /// Two schemes at two rates; init-b has diverged at the larger one.
    pub(crate) fn sweep(complete: Option<bool>) -> Sweep {
        let mut sweep = Sweep::new(Experiment::default(), None);
        let version = "0".to_owned();
        sweep.apply(&Event::Started { version, device: "CPU".to_owned(), runs: 4, steps: 4, schemes: vec![] });
        sweep.apply(&Event::Base { loss: Some(2.25), accuracy: Some(0.0), text: TextMeasures::default() });
        for (scheme, rate, loss) in [("init-a", 1e-3, 0.5), ("init-b", 1e-3, 0.125), ("init-a", 2e-3, 0.25)] {
            let cell = cell(scheme, rate, 0);
            let (learning_rate, gradient_norm) = (rate, None);
            sweep.apply(&Event::Step { cell: cell.clone(), step: 1, loss: Some(2.0), learning_rate, gradient_norm });
            let (loss, accuracy) = (Some(loss), Some(1.0 - loss));
            sweep.apply(&Event::Evaluation {
                cell: cell.clone(),
                step: 2,
                loss,
                accuracy,
                text: TextMeasures::default(),
            });
            sweep.adapters.push(AdapterFiles { cell, config: "{}".to_owned(), tensors: Blob(vec![1, 2]) });
        }
        sweep.apply(&Event::Diverged { cell: cell("init-b", 2e-3, 0), step: 2, tensor: "logits".to_owned() });
        if let Some(complete) = complete {
            sweep.apply(&Event::Finished { complete, seconds: 1.0, unwritten: vec![] });
        }
        sweep
    }

    /// The same with two snapshots of two adapters of every run that did not diverge; in init-b, B hardly trains.
    pub(crate) fn diagnosed() -> Sweep {
        let mut sweep = sweep(None);
        for (scheme, rate) in [("init-a", 1e-3), ("init-b", 1e-3), ("init-a", 2e-3)] {
            for (step, z_a) in [(2, 1.0), (4, 1.5)] {
                let delta_2 = if scheme == "init-a" { 0.03 } else { 0.0 };
                let adapter = |name: &str, times: f64| Diagnosis {
                    module: format!("model.layers.0.self_attn.{name}"),
                    z_a: z_a * times,
                    z_b: 0.25,
                    z_a_length: 3.0,
                    z_b_length: 2.0,
                    delta_1: 0.02,
                    delta_2,
                    delta_3: 0.0,
                    a: 2.8,
                    b: 0.4,
                    product: 0.5,
                    stable_rank: None,
                    largest_singular_value: 0.4,
                    gradient_a: 1e-3,
                    gradient_b: 2e-3,
                    update_a: Some(1e-3),
                    update_b: Some(1e-2),
                    alignment: Some(0.25),
                    below_epsilon_a: None,
                    below_epsilon_b: None,
                };
                let adapters = vec![adapter("q_proj", 1.0), adapter("v_proj", 2.0)];
                let cell = cell(scheme, rate, 0);
                sweep.apply(&Event::Diagnosis { cell, step, kl_from_base: Some(0.125), adapters });
            }
        }
        sweep
    }

    #[test]
    fn results_of_the_binary_are_a_sweep() {
        let mut sweep = sweep(Some(true));
        let log = sweep.news().log;
        let file = |name: &str, text: &str| File { name: name.to_owned(), text: text.to_owned() };
        let toml = "data = 'a.txt'\nrank = 2\n";
        let files = [file("results/experiment.toml", toml), file("results/metrics.jsonl", &log)];
        let opened = Sweep::opened(&files).expect("the folder is whole");
        assert_eq!(opened.experiment.rank, Some(2));
        assert_eq!(opened.record.summary().setting.accuracy, Accuracy::Token);
        assert_eq!(opened.record.summary().schemes, sweep.record.summary().schemes);
        let torn = [file("metrics.jsonl", &format!("{log}{{\"event\":\"st"))];
        let opened = Sweep::opened(&torn).expect("its last line is left out");
        assert_eq!(opened.record.summary().schemes, sweep.record.summary().schemes);
        for (files, said) in [
            (vec![file("x.toml", "")], "no `metrics.jsonl`"),
            (vec![file("metrics.jsonl", "{\"a\": 1}")], "Line 1 of metrics.jsonl is no event"),
            (vec![file("metrics.jsonl", "")], "nothing to show yet"),
            (vec![file("metrics.jsonl", ""), file("experiment.toml", "ranks = 1")], "experiment.toml: line 1"),
        ] {
            let error = Sweep::opened(&files).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn sentences_say_no_more_than_is_known() {
        assert_eq!(Sweep::new(Experiment::default(), None).sentence(), "");
        assert_eq!(
            sweep(None).sentence(),
            "After 2 of 4 steps: init-b is ahead, at 1e-3 with a loss of 0.125; init-a has 0.250 at 2e-3; with one seed, that may be chance."
        );
        assert!(sweep(Some(false)).sentence().starts_with("Stopped after 2 of 4 steps: the learning rates"));
        assert!(sweep(Some(true)).sentence().starts_with("init-b is best at 1e-3 (loss 0.125"));
        let with_seeds = |losses: [[f64; 2]; 2]| {
            let mut sweep = Sweep::new(Experiment::default(), None);
            for (scheme, losses) in ["init-a", "init-b"].iter().zip(losses) {
                for (seed, loss) in (0..).zip(losses) {
                    let cell = cell(scheme, 1e-3, seed);
                    let text = TextMeasures::default();
                    sweep.apply(&Event::Evaluation { cell, step: 2, loss: Some(loss), accuracy: None, text });
                }
            }
            sweep.sentence()
        };
        assert!(with_seeds([[0.5, 0.6], [0.52, 0.62]]).ends_with("a difference within the spread over seeds."));
        assert!(with_seeds([[0.5, 0.51], [0.6, 0.61]]).ends_with("which is more than their seeds differ."));
    }

    #[test]
    fn the_table_has_a_line_for_every_step() {
        let csv = sweep(None).csv();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[1..3], ["init-a,1e-3,0,1,2,,,", "init-a,1e-3,0,2,,0.5,0.5,"]);
        assert_eq!(lines[7], "init-b,2e-3,0,2,,,,logits");
    }

    #[test]
    fn the_folder_is_that_of_the_binary() {
        let mut sweep = sweep(Some(true));
        let log = sweep.news().log;
        let files = sweep.folder(Some(&sweep.experiment), log.clone().into_bytes());
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..4], ["experiment.toml", "metrics.jsonl", "metrics.csv", "summary.json"]);
        assert!(names.contains(&"loss_by_learning_rate.svg") && names.contains(&"training_curves.svg"));
        assert!(names.contains(&"adapters/init-a_lr1e-3_seed0/adapter_model.safetensors"));
        // A log says nothing of the settings, and nothing is made up for them.
        let log = File { name: "metrics.jsonl".to_owned(), text: log };
        let opened = Sweep::opened(&[log]).expect("a log that was just written");
        assert!(!opened.known && opened.folder(None, vec![])[0].0 == "metrics.jsonl");
    }

    #[test]
    fn a_run_that_diverged_has_no_other_runs_adapter() {
        let sweep = sweep(None);
        let of = |chosen: Option<&Cell>| sweep.shown_adapter(chosen).map(|files| files.cell.clone());
        assert_eq!(of(None), Ok(cell("init-b", 1e-3, 0)));
        assert_eq!(of(Some(&cell("init-a", 2e-3, 0))), Ok(cell("init-a", 2e-3, 0)));
        assert_eq!(
            of(Some(&cell("init-b", 2e-3, 0))),
            Err("No adapter: init-b at 2e-3, seed 0, diverged in step 2: the first value that was not finite was in logits.".to_owned())
        );
        assert!(of(Some(&cell("init-b", 4e-3, 0))).is_err_and(|why| why.contains("has not come to its end yet")));
        // Of the seeds of a cell, one that came through stands for it.
        let mut seeds = sweep.clone();
        let late = cell("init-b", 2e-3, 1);
        let text = TextMeasures::default();
        seeds.apply(&Event::Evaluation { cell: late.clone(), step: 2, loss: Some(1.0), accuracy: None, text });
        assert_eq!(seeds.run_of("init-b", 2e-3), Some(&cell("init-b", 2e-3, 0)));
        seeds.adapters.push(AdapterFiles { cell: late.clone(), config: "{}".to_owned(), tensors: Blob(vec![]) });
        assert_eq!(seeds.run_of("init-b", 2e-3), Some(&late));
    }

    #[test]
    fn the_best_run_is_one_that_has_an_adapter() {
        let mut sweep = sweep(None);
        assert_eq!(sweep.best(), Some(&cell("init-b", 1e-3, 0)));
        sweep.adapters.clear();
        assert_eq!(sweep.best(), None);
        let result = RunResult { final_loss: None, ..sweep.record.results()[0].clone() };
        sweep.apply(&Event::RunFinished { result });
        assert!(sweep.headline().is_ok() && sweep.curves(Some(1e-3)).is_ok() && sweep.curves(Some(9.0)).is_err());
    }
}
