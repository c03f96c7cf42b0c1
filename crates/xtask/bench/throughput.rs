//! Tokens per second on all threads or a GPU: one run, and many as a cohort and one after another, ours and PyTorch + PEFT's in turns.

use std::{
    cell::RefCell,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use loralab_core::{
    device::{wait, webgpu::Accelerator},
    lab::train::Cohort,
};

use crate::{
    peer::Peer,
    spread::Spread,
    workload::{self, Workload},
};

const ROUNDS: usize = 7;
/// Seconds of a block, about, and of each run within it, steps of a millisecond or of tens: enough that going from one run to the next costs nothing that
/// shows.
const BLOCK: f64 = 1.0;
const TURN: f64 = 0.25;
const TURN_ON_GPU: f64 = 0.05;
/// Lets the last block's threads fall asleep, so that they don't compete with the next one's.
const PAUSE: Duration = Duration::from_millis(300);

/// One way to train.
struct Contender<'a> {
    name: String,
    runs: usize,
    /// The number of runs, or of cohorts of them, that are trained one after another.
    turns: usize,
    /// Seconds of so many steps of every run.
    train: Box<dyn FnMut(usize) -> Result<f64> + 'a>,
    /// Steps of a block.
    steps: usize,
    /// Of each round.
    tokens_per_second: Vec<f64>,
}

/// Prints the tables of one run and of `many`, on a GPU or on all threads.
pub fn print(
    workload: &Workload,
    peer: &Result<RefCell<Peer>, String>,
    many: usize,
    gpu: Option<&Arc<Accelerator>>,
) -> Result<()> {
    let runs = workload::runs(many)?;
    let alone = runs.chunks(1).map(|run| workload.cohort(run, gpu)).collect::<Result<Vec<_>>>()?;
    let mut contenders = vec![
        Contender::ours("loralab, one run".to_owned(), vec![workload.cohort(&runs[..1], gpu)?]),
        Contender::ours(format!("loralab, {many} runs as one cohort"), vec![workload.cohort(&runs, gpu)?]),
        Contender::ours(format!("loralab, {many} runs one after another"), alone),
    ];
    match peer {
        Ok(peer) => {
            // Next to what they are compared with.
            contenders.insert(1, Contender::theirs("PyTorch + PEFT, one run".to_owned(), 1, peer));
            contenders
                .insert(3, Contender::theirs(format!("PyTorch + PEFT, {many} runs one after another"), many, peer));
            println!("PyTorch + PEFT: {}.\n", peer.borrow().about);
        }
        Err(reason) => {
            println!("No PyTorch + PEFT to compare with ({reason}); `--python PATH` names another Python.\n");
        }
    }
    measure(&mut contenders, workload.plan(1).shape.rows_per_run(), if gpu.is_some() { TURN_ON_GPU } else { TURN })?;

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

/// Trains all contenders in turns; `tokens` in a step of one run, `turn` seconds of each run.
fn measure(contenders: &mut [Contender<'_>], tokens: usize, turn: f64) -> Result<()> {
    for contender in &mut *contenders {
        (contender.train)(3)?;
        let step = (contender.train)(3)? / 3.0;
        contender.steps = (BLOCK.max(turn * contender.turns as f64) / step).ceil() as usize;
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
    fn new(name: String, runs: usize, turns: usize, train: impl FnMut(usize) -> Result<f64> + 'a) -> Contender<'a> {
        Contender { name, runs, turns, train: Box::new(train), steps: 0, tokens_per_second: vec![] }
    }

    /// Cohorts, one after the other.
    fn ours(name: String, mut cohorts: Vec<Cohort<'a>>) -> Contender<'a> {
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

    fn theirs(name: String, runs: usize, peer: &'a RefCell<Peer>) -> Contender<'a> {
        Contender::new(name, runs, runs, move |steps| peer.borrow_mut().seconds(runs, steps))
    }
}
