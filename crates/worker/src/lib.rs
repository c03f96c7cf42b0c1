//! The page's worker: trains a sweep, on the visitor's GPU or on the CPU, and tells the page about it as it goes.
//!
//! The page asks with the JSON of an [`Experiment`] and is answered in [`Message`]s. A sweep keeps its thread to itself until it is done, so
//! the page stops one by ending the worker, and keeps what it was told.
//!
//! Nothing here knows a browser: `main.rs` brings the messages to and fro, so the same sweep can be run and tested natively.

use std::{fmt::Display, ops::ControlFlow};

use loralab_core::{
    adapter::Adapter,
    device::Machine,
    init,
    lab::{Observer, Sweep},
    model::Base,
};
use loralab_data::{Dataset, HELD_OUT, Task};
use loralab_experiment::{self as experiment, Accuracy, Cell, Event, Experiment, Message, RunResult, Setting, Summary};

/// The base in the page: small enough to be sent with it.
const NANO: &[u8] = include_bytes!("../../core/bases/nano.safetensors");

/// Examples of a task, those held out included.
const EXAMPLES: usize = 4096;

/// Bytes that a cohort may take. A tab may have up to 4 GiB, but a phone's browser ends a tab that takes so much.
const MEMORY: u64 = 512 << 20;

/// Where a sweep runs.
pub trait Host {
    /// Seconds since some moment of its own.
    fn seconds(&self) -> f64;

    /// Hands a message on.
    fn post(&mut self, message: Message);
}

/// Trains the experiment that `request` is the JSON of, and posts everything that happens.
pub async fn answer(request: &str, machine: &Machine, host: &mut dyn Host) {
    if let Err(reason) = sweep(request, machine, host).await {
        host.post(Message::Refused { reason });
    }
}

async fn sweep(request: &str, machine: &Machine, host: &mut dyn Host) -> Result<(), String> {
    let asked: Experiment = serde_json::from_str(request).map_err(words)?;
    let schemes: Vec<_> = init::ALL.iter().map(|scheme| scheme.name).collect();
    let experiment = asked.resolve(&schemes).map_err(words)?;
    if experiment.base != experiment::Base::Nano {
        return Err(
            "the page has the base `nano` only; set `base` to that, or run the sweep with the binary".to_owned()
        );
    }
    let experiment::Data::Task(task) = &experiment.data else {
        return Err("the page can't read files yet; name a `task` instead of `data`".to_owned());
    };
    let base = Base::from_safetensors(NANO).map_err(words)?;
    let examples = Task::find(task.name()).map_err(words)?.examples(0, EXAMPLES);
    let data = Dataset::Examples(examples).split(0, HELD_OUT, experiment.tokens).map_err(words)?;
    let sweep = Sweep::new(&base, "nano", &experiment, &data).map_err(words)?;
    let available = experiment.memory.map_or(MEMORY, |memory| memory.0);
    let cohorts = sweep.cohorts(|plan| machine.needs(plan, &base.tensors), available).map_err(words)?;

    let device = machine.describe();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let runs = cohorts.iter().map(Vec::len).sum();
    let mut reporter = Reporter::new(host, &device, experiment.steps);
    reporter.tell(Event::Started { version, device: device.clone(), runs, steps: experiment.steps });
    let make_device = |plan, base| machine.make(plan, base);
    if let Some(validation) = sweep.base(&make_device).await.map_err(words)? {
        let loss = Event::finite(validation.loss);
        (reporter.setting.base_loss, reporter.setting.base_accuracy) = (loss, validation.accuracy);
        reporter.tell(Event::Base { loss, accuracy: validation.accuracy });
    }
    sweep.run(&cohorts, &make_device, &mut reporter).await.map_err(words)?;
    reporter.stand();
    let seconds = reporter.elapsed();
    reporter.tell(Event::Finished { complete: true, seconds });
    Ok(())
}

fn words(error: impl Display) -> String {
    error.to_string()
}

/// Hands the events of a sweep on, and says after each evaluation how the schemes stand.
struct Reporter<'a> {
    host: &'a mut dyn Host,
    setting: Setting,
    runs: Vec<RunResult>,
    started: f64,
    step: usize,
    steps: usize,
    /// Whether runs were evaluated or diverged since the page was last told how they stand.
    news: bool,
}

impl<'a> Reporter<'a> {
    fn new(host: &'a mut dyn Host, device: &str, steps: usize) -> Self {
        let setting = Setting {
            device: device.to_owned(),
            wall_seconds: 0.0,
            base_loss: None,
            base_accuracy: None,
            accuracy: Accuracy::ExactMatch,
        };
        let started = host.seconds();
        Self { host, setting, runs: vec![], started, step: 0, steps, news: false }
    }

    fn elapsed(&self) -> f64 {
        self.host.seconds() - self.started
    }

    fn tell(&mut self, event: Event) {
        self.host.post(Message::Event { event });
    }

    fn stand(&mut self) {
        let setting = Setting { wall_seconds: self.elapsed(), ..self.setting.clone() };
        let summary = Summary::from_runs(setting, &self.runs);
        let figure = if self.step < self.steps {
            loralab_figure::loss_by_learning_rate_so_far(&summary, self.step, self.steps)
        } else {
            loralab_figure::loss_by_learning_rate(&summary)
        };
        self.host.post(Message::Standing { step: self.step, summary, figure: figure.ok() });
        self.news = false;
    }

    /// The entry of a run, made when it is first spoken of.
    fn run(&mut self, cell: &Cell) -> &mut RunResult {
        let place = self.runs.iter().position(|run| run.cell == *cell).unwrap_or_else(|| {
            self.runs.push(RunResult {
                cell: cell.clone(),
                final_loss: None,
                accuracy: None,
                diverged: None,
                evaluations: vec![],
                seconds: 0.0,
            });
            self.runs.len() - 1
        });
        &mut self.runs[place]
    }
}

impl Observer for Reporter<'_> {
    fn seconds(&self) -> f64 {
        self.host.seconds()
    }

    fn event(&mut self, event: Event) -> ControlFlow<()> {
        match &event {
            Event::Evaluation { cell, step, loss, accuracy } => {
                let run = self.run(cell);
                (run.final_loss, run.accuracy) = (*loss, *accuracy);
                (self.step, self.news) = (*step, true);
            }
            Event::Diverged { cell, step, tensor } => {
                let diverged = experiment::Diverged { step: *step, tensor: tensor.clone() };
                self.run(cell).diverged = Some(diverged);
                self.news = true;
            }
            // What follows the evaluation of a cohort's last run.
            Event::Step { .. } if self.news => self.stand(),
            Event::RunFinished { result } => *self.run(&result.cell) = result.clone(),
            _ => {}
        }
        self.tell(event);
        ControlFlow::Continue(())
    }

    fn adapter(&mut self, _: &Cell, _: Adapter) -> ControlFlow<()> {
        // The page offers no downloads yet.
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use loralab_core::device::wait;

    /// Keeps what is posted; its clock gains a second with every message.
    #[derive(Default)]
    struct Page(Vec<Value>);

    impl Host for Page {
        fn seconds(&self) -> f64 {
            self.0.len() as f64
        }

        fn post(&mut self, message: Message) {
            self.0.push(serde_json::to_value(message).expect("a message is JSON"));
        }
    }

    fn answers(request: &Value) -> Vec<Value> {
        let mut page = Page::default();
        wait(answer(&request.to_string(), &Machine::Cpu(None), &mut page));
        page.0
    }

    #[test]
    fn a_sweep_is_told_from_start_to_finish() {
        let request = json!({
            "base": "nano", "learning_rates": [1e-3, 4e-3], "seeds": 1, "steps": 4, "evaluate_every": 2, "validation_examples": 8,
        });
        let messages = answers(&request);
        let told = |kind: &str| messages.iter().filter(|message| message["event"]["event"] == kind).count();
        assert_eq!(
            (told("started"), told("base"), told("step"), told("evaluation"), told("finished")),
            (1, 1, 16, 8, 1)
        );
        let standings: Vec<_> = messages.iter().filter(|message| message["message"] == "standing").collect();
        assert_eq!(standings.iter().map(|standing| &standing["step"]).collect::<Vec<_>>(), [2, 4]);
        let [early, last] = standings[..] else { panic!("two standings") };
        for standing in standings {
            assert!(standing["figure"].as_str().is_some_and(|figure| figure.starts_with("<svg")));
        }
        let drawn = |standing: &Value, when: &str| standing["figure"].as_str().is_some_and(|svg| svg.contains(when));
        assert!(drawn(early, "After 2 of 4 steps") && drawn(last, "After the last step"));
        let best = |standing: &Value| standing["summary"]["schemes"][0]["best_loss"].as_f64().expect("a loss");
        assert!(best(last) < best(early) && best(early) < last["summary"]["base_loss"].as_f64().expect("a loss"));
        assert_eq!(messages.last().expect("there are messages")["event"]["event"], "finished");
    }

    #[test]
    fn a_run_that_diverges_is_shown_as_that() {
        let request = json!({
            "base": "nano", "learning_rates": [1e-3, 1e38], "seeds": 1, "steps": 4, "evaluate_every": 2, "validation_examples": 8,
        });
        let messages = answers(&request);
        let last = messages.iter().rfind(|message| message["message"] == "standing").expect("a standing");
        for scheme in last["summary"]["schemes"].as_array().expect("a list") {
            assert_eq!(
                (&scheme["learning_rates"][0]["diverged"], &scheme["learning_rates"][1]["diverged"]),
                (&json!(0), &json!(1))
            );
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_in_a_sentence() {
        for (request, said) in [
            (json!({ "base": "tiny" }), "base `nano` only"),
            (json!({ "base": "nano", "data": "a.txt" }), "name a `task`"),
            (json!({ "base": "nano", "rank": 0 }), "`rank` is 0"),
            (json!({ "base": "nano", "ranks": 1 }), "unknown field"),
            (json!({ "base": "nano", "memory": 1000 }), "memory"),
        ] {
            let messages = answers(&request);
            let [refusal] = &messages[..] else { panic!("{messages:?}") };
            assert_eq!(refusal["message"], "refused");
            assert!(refusal["reason"].as_str().is_some_and(|reason| reason.contains(said)), "{refusal}");
        }
    }
}
