//! `loralab reproduce toy`.

use std::{ops::ControlFlow, sync::Arc};

use anyhow::{Result, anyhow};
use loralab_core::{
    device::{Machine, wait},
    graph::memory::Tensor,
    lab::toy::{Course, EXAMPLES, INPUTS, Lesson, RANK, Student, TEACHER, Trial, train},
    lora::init,
    models::teacher_student::weights,
};
use loralab_experiment::{Budget, Cell, Diverged, Form, Readout, Reproduction, RunResult, Toy, ToyReadout, ToyTrace};

use super::{Watch, finish, parts::Parts};
use crate::{
    args::{ReproduceOutput, ToyArguments},
    device,
    failure::{Stopped, usage},
    interrupt::Interrupt,
    results::Results,
    resume::Begun,
    source,
};

const STARTS: [&str; 2] = ["init-a", "init-b"];
/// The paper's narrowest student, as a power of two.
const NARROWEST: u32 = 7;
/// Number of rates on each side of the expected best rate, and the least number on each side of the best rate found.
const REACH: i32 = 3;
const BESIDE: i32 = 2;
/// Rates are powers of two with exponents in this range.
const EXPONENTS: std::ops::RangeInclusive<i32> = -30..=10;
/// Records of a traced run.
const RECORDS: usize = 25;

/// Trains the students and writes down what came of them.
pub fn reproduce(arguments: &ToyArguments, begun: &Begun) -> Result<()> {
    let ToyArguments { widest, seeds, steps, form, ref readouts, ref output, .. } = *arguments;
    refuse(arguments)?;
    let interrupt = Interrupt::listen(output.quiet);
    let results = output.claim(begun)?;
    let mut parts = Parts::of(&results)?;
    let machine = device::open(&arguments.device, source::threads(arguments.threads)?, output.quiet)?;
    let available = device::available(&machine, arguments.memory);
    let school = School { machine, available, lesson: Lesson::new(form), steps, seeds, output, interrupt };
    let widths: Vec<usize> = (NARROWEST..=widest.ilog2()).map(|k| 1 << k).collect();
    let mut found = Vec::with_capacity(readouts.len());
    // Widths that are complete at a failure or a stop are still written.
    let mut ended = Ok(());
    for &readout in readouts {
        let of_readout;
        (of_readout, ended) = school.readout(form, readout, &widths, &results, &mut parts);
        found.extend(of_readout);
        if ended.is_err() {
            break;
        }
    }
    if found.is_empty() && ended.as_ref().is_err_and(|error| error.is::<Stopped>()) {
        return Err(output.stopped_early(&school.interrupt, &results));
    } else if found.is_empty() {
        return ended;
    }
    let found = Toy {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: school.machine.describe(),
        wall_seconds: parts.seconds(),
        stopped: ended.is_err().then(|| how_far(readouts, &found, widths.len())),
        form,
        inputs: INPUTS,
        rank: RANK,
        teacher: TEACHER,
        examples: EXAMPLES,
        steps,
        seeds,
        readouts: found,
    };
    finish(output, results, &Reproduction::Toy(found))?;
    ended.map_err(|error| match error.is::<Stopped>() {
        true => output.stopped_with_part(&school.interrupt),
        false => error,
    })
}

/// A sentence with the number of widths whose sweep is complete.
fn how_far(readouts: &[Readout], found: &[ToyReadout], widths: usize) -> String {
    let of = |readout: &Readout| {
        let whole = found.iter().find(|found| found.readout == *readout).map_or(0, |found| found.widths.len());
        format!("{whole} of {widths} with a readout of {}", readout.words())
    };
    let of: Vec<String> = readouts.iter().map(of).collect();
    format!("Stopped before its end; so many widths were swept: {}.", of.join(", "))
}

fn refuse(arguments: &ToyArguments) -> Result<()> {
    const WIDEST: usize = 1 << 16;
    let ToyArguments { widest, seeds, steps, ref readouts, .. } = *arguments;
    if !(1 << NARROWEST..=WIDEST).contains(&widest) || !widest.is_power_of_two() {
        return Err(usage(format_args!(
            "`--widest` is {widest}, but it must be a power of two from {} to {WIDEST}; for example `--widest 2048`",
            1 << NARROWEST
        )));
    }
    if seeds == 0 || seeds > 1000 {
        return Err(usage(format_args!(
            "`--seeds` is {seeds}, but it must be from 1 to 1000; for example `--seeds 4`"
        )));
    }
    if steps == 0 || steps > 1_000_000 {
        return Err(usage(format_args!(
            "`--steps` is {steps}, but it must be from 1 to 1000000; for example `--steps 100`"
        )));
    }
    if readouts.len() > 1 && readouts[1..].contains(&readouts[0]) {
        return Err(usage("`--readouts` names one twice, which would be the same students twice; remove one of them"));
    }
    Ok(())
}

/// The runs of a width, each with its error on the test examples.
type OfWidth = Vec<(RunResult, Option<f64>)>;

/// The machine, data and settings that all students share.
struct School<'a> {
    machine: Machine,
    available: u64,
    lesson: Lesson,
    steps: usize,
    seeds: u64,
    output: &'a ReproduceOutput,
    interrupt: Interrupt,
}

impl School<'_> {
    /// The widths whose sweep is complete, if any, and an error if these are not all.
    fn readout(
        &self,
        form: Form,
        readout: Readout,
        widths: &[usize],
        results: &Results,
        parts: &mut Parts,
    ) -> (Option<ToyReadout>, Result<()>) {
        let (mut all, mut traces) = (Vec::new(), Vec::new());
        // First guess of the narrowest students' best rates; the sweep continues until it has found them.
        let mut expected = match readout {
            Readout::Standard => [-5, -5],
            Readout::MeanField => [-3, -3],
        };
        let mut ended = Ok(());
        for (place, &width) in widths.iter().enumerate() {
            let traced = place == 0 || place + 1 == widths.len();
            let name = format!("{}, width {width}", readout.name());
            match parts.measured(results, &name, || self.width(form, readout, width, expected, traced)) {
                Ok((runs, of_width, best)) => {
                    all.push((width, runs));
                    traces.extend(of_width);
                    // Twice the width needs half the rate, or slightly more.
                    expected = best.map(|exponent: i32| exponent - 1);
                }
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        let found = (!all.is_empty()).then(|| ToyReadout::from_runs(readout, &all, self.seeds, traces));
        (found, ended)
    }

    /// Sweeps a width around the expected best rates, and traces it if `traced`; gives its runs, its traces and the best rates found.
    fn width(
        &self,
        form: Form,
        readout: Readout,
        width: usize,
        mut expected: [i32; 2],
        traced: bool,
    ) -> Result<(OfWidth, Vec<ToyTrace>, [i32; 2])> {
        let runs = self.sweep(form, readout, width, &mut expected)?;
        let traces = if traced { self.trace(form, readout, width, &expected)? } else { vec![] };
        Ok((runs, traces, expected))
    }

    /// Trains both starts at rates around the expected ones, and further out until each start's best rate has neighbours on both sides; stores the best
    /// rates in `expected`.
    fn sweep(&self, form: Form, readout: Readout, width: usize, expected: &mut [i32; 2]) -> Result<OfWidth> {
        let mut tried: [Vec<i32>; 2] = [vec![], vec![]];
        let mut wanted = expected.map(|middle| (middle - REACH..=middle + REACH).collect::<Vec<_>>());
        let mut runs = OfWidth::new();
        while wanted.iter().any(|exponents| !exponents.is_empty()) {
            let trials: Vec<(usize, i32)> =
                (0..2).flat_map(|start| wanted[start].iter().map(move |&exponent| (start, exponent))).collect();
            runs.extend(self.train_all(form, readout, width, &trials)?);
            for start in 0..2 {
                tried[start].append(&mut wanted[start]);
                tried[start].sort_unstable();
                let (Some(&first), Some(&last)) = (tried[start].first(), tried[start].last()) else { continue };
                let best = best(&runs, STARTS[start], &tried[start]);
                // If every run diverged, the rates were too large.
                let (low, high) = best.map_or((first - REACH, last), |best| (best - BESIDE, best + BESIDE));
                expected[start] = best.unwrap_or(first);
                let further = (low..first).chain(last + 1..=high);
                wanted[start] = further.filter(|exponent| EXPONENTS.contains(exponent)).collect();
                if form == Form::Plain {
                    wanted[start].clear();
                }
            }
        }
        Ok(runs)
    }

    /// Trains every seed at every trial, (start, exponent of the rate).
    fn train_all(&self, form: Form, readout: Readout, width: usize, trials: &[(usize, i32)]) -> Result<OfWidth> {
        let mut watch = self.watch(&format!("{}, width {width}", readout.name()), trials.len());
        let mut runs = Vec::new();
        for seed in 0..self.seeds {
            let student = Student { form, readout, width, seed };
            for (&(start, exponent), course) in trials.iter().zip(self.courses(&student, trials, None, &mut watch)?) {
                runs.push(result(STARTS[start], exponent, seed, &course));
            }
        }
        watch.watch.steps.end();
        Ok(runs)
    }

    /// Trains every seed at each start's best rate, and records its norms.
    fn trace(&self, form: Form, readout: Readout, width: usize, best: &[i32; 2]) -> Result<Vec<ToyTrace>> {
        let trials: Vec<(usize, i32)> = best.iter().copied().enumerate().collect();
        let every = self.steps.div_ceil(RECORDS);
        let mut watch = self.watch(&format!("{}, width {width}, norms", readout.name()), trials.len());
        let mut traces: Vec<ToyTrace> = trials
            .iter()
            .map(|&(start, exponent)| ToyTrace {
                width,
                scheme: STARTS[start].to_owned(),
                learning_rate: rate(exponent),
                steps: vec![],
                z_a: vec![],
                z_b: vec![],
                train: vec![],
                test: vec![],
            })
            .collect();
        for seed in 0..self.seeds {
            let student = Student { form, readout, width, seed };
            for (trace, course) in traces.iter_mut().zip(self.courses(&student, &trials, Some(every), &mut watch)?) {
                let norm = |which: usize| {
                    course.records.iter().map(|record| record.norms.map_or(0.0, |norms| norms[which])).collect()
                };
                trace.steps = course.records.iter().map(|record| record.step).collect();
                trace.z_a.push(norm(0));
                trace.z_b.push(norm(1));
                trace.train.push(course.records.iter().map(|record| record.train).collect());
                trace.test.push(course.records.iter().map(|record| record.test).collect());
            }
        }
        watch.watch.steps.end();
        Ok(traces)
    }

    /// Trains a student's trials, as many at once as memory allows, and returns their histories.
    fn courses(
        &self,
        student: &Student,
        trials: &[(usize, i32)],
        every: Option<usize>,
        watch: &mut Pace,
    ) -> Result<Vec<Course>> {
        let base: Arc<[Tensor]> = weights(student.network(), student.seed, "student").into();
        let needs = self.machine.needs(&student.plan(1), &base);
        let budget = Budget {
            bytes_per_run: needs.terms.iter().map(|term| term.per_run).sum(),
            shared_bytes: needs.terms.iter().map(|term| term.shared).sum(),
            available: self.available,
            limit: needs.most_runs,
        };
        let capacity =
            budget.capacity().map_err(|error| anyhow!("students of width {} are too wide: {error}", student.width))?;
        let cohorts = trials.len().div_ceil(capacity).max(1);
        let mut courses = Vec::with_capacity(trials.len());
        for of_cohort in trials.chunks(trials.len().div_ceil(cohorts).max(1)) {
            let of_cohort = of_cohort
                .iter()
                .map(|&(start, exponent)| {
                    Ok(Trial { scheme: init::find(STARTS[start])?, learning_rate: rate(exponent) })
                })
                .collect::<Result<Vec<Trial>>>()?;
            let trained = wait(async {
                let mut device = self.machine.make(student.plan(of_cohort.len()), base.clone()).await?;
                train(student, &self.lesson, &of_cohort, self.steps, every, &mut *device, || watch.add(of_cohort.len()))
                    .await
            })?;
            courses.extend(trained.ok_or(Stopped { preempted: false })?);
        }
        Ok(courses)
    }

    /// A progress display for `runs` runs per seed.
    fn watch(&self, name: &str, runs: usize) -> Pace {
        let runs = runs * self.seeds as usize;
        let name = format!("{name}, {runs} runs");
        Pace { watch: Watch::new(self.output, &self.interrupt, &name, runs * self.steps), done: 0 }
    }
}

/// Counts the steps of single runs.
struct Pace {
    watch: Watch,
    done: usize,
}

impl Pace {
    fn add(&mut self, steps: usize) -> ControlFlow<()> {
        self.done += steps;
        self.watch.done(self.done)
    }
}

fn rate(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

/// The exponent of the rate with the lowest mean loss over seeds, among rates at which no seed diverged.
fn best(runs: &[(RunResult, Option<f64>)], scheme: &str, tried: &[i32]) -> Option<i32> {
    let mean = |exponent: i32| {
        let of_rate = runs.iter().map(|(run, _)| run);
        let of_rate = of_rate.filter(|run| run.cell.scheme == scheme && run.cell.learning_rate == rate(exponent));
        let losses: Vec<f64> = of_rate.map(RunResult::finished_loss).collect::<Option<_>>()?;
        Some(losses.iter().sum::<f64>() / losses.len() as f64)
    };
    let known = tried.iter().filter_map(|&exponent| Some((exponent, mean(exponent)?)));
    known.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(exponent, _)| exponent)
}

/// A run's result: its error on the training examples, in place of a validation loss, and on the test examples.
fn result(scheme: &str, exponent: i32, seed: u64, course: &Course) -> (RunResult, Option<f64>) {
    let last = course.records.last().filter(|_| course.diverged.is_none());
    let run = RunResult {
        cell: Cell { scheme: scheme.to_owned(), learning_rate: rate(exponent), seed },
        final_loss: last.map(|last| last.train),
        accuracy: None,
        classes: None,
        correlations: None,
        diverged: course.diverged.clone().map(|(step, tensor)| Diverged { step, tensor }),
        stopped: None,
        failed: None,
        start: None,
        evaluations: vec![],
        seconds: 0.0,
    };
    (run, last.map(|last| last.test))
}
