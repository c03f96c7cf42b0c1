//! The cost of diagnostics snapshots, on all threads: the same sweep with snapshots and without, in turns.

use std::{ops::ControlFlow, time::Instant};

use anyhow::{Result, ensure};
use loralab_core::{
    device::{Machine, wait},
    lab::{Observer, Sweep},
    lora::peft::Adapter,
};
use loralab_data::{Dataset, HELD_OUT, Task};
use loralab_experiment::{Cell, Event, Experiment, Resolved, Seeds};
use loralab_tokenizer::Tokenizer;

use crate::{spread::Spread, workload::Workload};

const ROUNDS: usize = 5;
const STEPS: usize = 60;
const EXAMPLES: usize = 4096;
/// One of so many steps is looked at: what the command's help suggests, and each.
const EVERY: [usize; 2] = [10, 1];

/// Sees that every run ended, and how often one was looked into.
struct Watch {
    started: Instant,
    snapshots: usize,
}

impl Observer for Watch {
    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn event(&mut self, event: Event) -> ControlFlow<()> {
        self.snapshots += usize::from(matches!(event, Event::Diagnosis { .. }));
        ControlFlow::Continue(())
    }

    fn adapter(&mut self, _: &Cell, _: Adapter) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Prints the table.
pub fn print(workload: &Workload) -> Result<()> {
    let experiment = |every: usize| {
        Experiment {
            learning_rates: Some(vec![1e-3, 2e-3, 4e-3, 8e-3]),
            seeds: Some(Seeds::Count(2)),
            steps: Some(STEPS),
            diagnose_every: Some(every),
            ..Experiment::default()
        }
        .resolve(&["init-a", "init-b"])
    };
    let plain = experiment(0)?;
    let seconds = EVERY.iter().map(|&every| measure(workload, &plain, &experiment(every)?));
    let seconds = seconds.collect::<Result<Vec<_>>>()?;
    let (runs, steps) = (plain.cells().len(), plain.steps);
    println!(
        "\n## Diagnostics\n\nA sweep of {runs} runs of {steps} steps as one cohort, with snapshots and without in turns; median (least–greatest) of {ROUNDS} rounds.\n"
    );
    println!("| snapshots | a sweep without, s | a sweep with, s | more time, % |\n|---|---:|---:|---:|");
    for (every, pairs) in EVERY.iter().zip(seconds) {
        let column = |which: usize| Spread::of(pairs.iter().map(|pair| pair[which]).collect());
        let more = Spread::of(pairs.iter().map(|[plain, looked]| 100.0 * (looked / plain - 1.0)).collect());
        let name = if *every == 1 { "at every step".to_owned() } else { format!("at every {every}th step") };
        println!("| {name} | {:.1} | {:.1} | {more:.1} |", column(0), column(1));
    }
    Ok(())
}

/// Seconds of both sweeps, round by round.
fn measure(workload: &Workload, plain: &Resolved, looked: &Resolved) -> Result<Vec<[f64; 2]>> {
    (0..ROUNDS).map(|_| Ok([train(workload, plain)?, train(workload, looked)?])).collect()
}

fn train(workload: &Workload, experiment: &Resolved) -> Result<f64> {
    let examples = Dataset::Examples(Task::Translation.examples(&Tokenizer::Bytes, 0, EXAMPLES).into());
    let data = examples.split(0, HELD_OUT, experiment.tokens)?;
    let sweep = Sweep::new(&workload.base, "tiny", experiment, &data)?;
    let machine = Machine::Cpu(None);
    let make_device = |plan, base| machine.make(plan, base);
    let cohorts = [experiment.cells()];
    let mut watch = Watch { started: Instant::now(), snapshots: 0 };
    let results = wait(sweep.run(&cohorts, &make_device, &mut watch))?;
    let seconds = watch.seconds();
    let ended = results.iter().all(|run| run.final_loss.is_some());
    ensure!(ended, "a run diverged, and one that stands still costs no time");
    let expected = results.len() * experiment.steps.checked_div(experiment.diagnose_every).unwrap_or(0);
    ensure!(watch.snapshots == expected, "runs were diagnosed {} times and not {expected}", watch.snapshots);
    Ok(seconds)
}
