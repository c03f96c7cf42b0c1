//! Tokens per second on all threads: one run, and 16 runs as a cohort and one after another, ours and PyTorch + PEFT's in turns.

use std::{
    cell::RefCell,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use loralab_core::{device::wait, train::Cohort};

use crate::{
    machine,
    peer::Peer,
    spread::Spread,
    workload::{self, Workload},
};

/// Runs of the sweep.
const RUNS: usize = 16;
const ROUNDS: usize = 7;
/// Seconds of a block, about, and of each run within it: enough that going from one run to the next costs nothing that shows.
const BLOCK: f64 = 1.0;
const TURN: f64 = 0.25;
/// Lets the last block's threads fall asleep, so that they don't compete with the next one's.
const PAUSE: Duration = Duration::from_millis(300);

/// One way to train.
struct Contender<'a> {
    name: &'static str,
    runs: usize,
    /// How many of them, or cohorts of them, follow one another.
    turns: usize,
    /// Seconds of so many steps of every run.
    train: Box<dyn FnMut(usize) -> Result<f64> + 'a>,
    /// Steps of a block.
    steps: usize,
    /// Of each round.
    tokens_per_second: Vec<f64>,
}

/// Prints the tables.
pub fn print(workload: &Workload, python: &Path) -> Result<()> {
    println!("## Tokens per second, all {} threads\n", machine::threads());
    let peer = Peer::start(python).map(RefCell::new);
    let runs = workload::runs(RUNS)?;
    let alone = runs.chunks(1).map(|run| workload.cohort(run)).collect::<Result<Vec<_>>>()?;
    let mut contenders = vec![
        Contender::ours("loralab, one run", vec![workload.cohort(&runs[..1])?]),
        Contender::ours("loralab, 16 runs as one cohort", vec![workload.cohort(&runs)?]),
        Contender::ours("loralab, 16 runs one after another", alone),
    ];
    match &peer {
        Ok(peer) => {
            // Next to what they are compared with.
            contenders.insert(1, Contender::theirs("PyTorch + PEFT, one run", 1, peer));
            contenders.insert(3, Contender::theirs("PyTorch + PEFT, 16 runs one after another", RUNS, peer));
            println!("PyTorch + PEFT: {}.\n", peer.borrow().about);
        }
        Err(reason) => {
            println!("No PyTorch + PEFT to compare with ({reason}); `--python PATH` names another Python.\n");
        }
    }
    measure(&mut contenders, workload.plan(1).shape.rows_per_run())?;

    println!("Median (least–greatest) of {ROUNDS} rounds; in each, every line trains for {BLOCK} s or more in turn.\n");
    println!("| | tokens/s | ms a step of one run |");
    println!("|---|---:|---:|");
    let tokens = workload.plan(1).shape.rows_per_run() as f64;
    for Contender { name, tokens_per_second, .. } in &contenders {
        let milliseconds = tokens_per_second.iter().map(|rate| 1e3 * tokens / rate).collect();
        println!("| {name} | {:.0} | {:.2} |", Spread::of(tokens_per_second.clone()), Spread::of(milliseconds));
    }
    println!("\n| compared within each round | times as fast |");
    println!("|---|---:|");
    let cohort = if peer.is_ok() { 2 } else { 1 };
    let last = contenders.len() - 1;
    let pairs = if peer.is_ok() { vec![(0, 1), (cohort, 3), (cohort, last)] } else { vec![(cohort, last)] };
    for (one, other) in pairs {
        let (one, other) = (&contenders[one], &contenders[other]);
        let ratios = one.tokens_per_second.iter().zip(&other.tokens_per_second).map(|(one, other)| one / other);
        println!("| {} / {} | {:.2} |", one.name, other.name, Spread::of(ratios.collect()));
    }
    Ok(())
}

/// Trains all contenders in turns; `tokens` in a step of one run.
fn measure(contenders: &mut [Contender<'_>], tokens: usize) -> Result<()> {
    for contender in &mut *contenders {
        (contender.train)(3)?;
        let step = (contender.train)(3)? / 3.0;
        contender.steps = (BLOCK.max(TURN * contender.turns as f64) / step).ceil() as usize;
    }
    for _ in 0..ROUNDS {
        for Contender { runs, train, steps, tokens_per_second, .. } in &mut *contenders {
            sleep(PAUSE);
            tokens_per_second.push((*steps * *runs * tokens) as f64 / train(*steps)?);
        }
    }
    Ok(())
}

impl<'a> Contender<'a> {
    fn new(
        name: &'static str,
        runs: usize,
        turns: usize,
        train: impl FnMut(usize) -> Result<f64> + 'a,
    ) -> Contender<'a> {
        Contender { name, runs, turns, train: Box::new(train), steps: 0, tokens_per_second: vec![] }
    }

    /// Cohorts, one after the other.
    fn ours(name: &'static str, mut cohorts: Vec<Cohort<'a>>) -> Contender<'a> {
        let runs = cohorts.iter().map(|cohort| cohort.runs().len()).sum();
        Contender::new(name, runs, cohorts.len(), move |steps| {
            let started = Instant::now();
            for cohort in &mut cohorts {
                for _ in 0..steps {
                    cohort.step(1.0);
                    let outcomes = wait(cohort.outcomes())?;
                    let alive =
                        outcomes.into_iter().flatten().flatten().filter(|run| run.report.diverged.is_none()).count();
                    ensure!(alive == cohort.runs().len(), "a run diverged, and one that stands still costs no time");
                }
            }
            Ok(started.elapsed().as_secs_f64())
        })
    }

    fn theirs(name: &'static str, runs: usize, peer: &'a RefCell<Peer>) -> Contender<'a> {
        Contender::new(name, runs, runs, move |steps| peer.borrow_mut().seconds(runs, steps))
    }
}
