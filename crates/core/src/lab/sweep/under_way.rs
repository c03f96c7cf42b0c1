//! A cohort in training: from the starts of its runs to their results.

use std::sync::Arc;

use loralab_data::{Confusion, Correlation};
use loralab_experiment::{
    Cell, ClassScores, Correlations, Diagnosis, Diverged, Evaluation, Event, RunResult, StartCost, stops,
};

use super::{Snapshot, Sweep, SweepError, reporter::Reporter, snapshot::Checkpoint};
use crate::{
    device::MakeDevice,
    graph::{memory::Tensor, plan::Plan},
    lab::{
        PlanNeeds,
        calibrate::RunStart,
        diagnose::{Probes, Seen},
        train::{Cohort, CohortState, Initial, Run, Validation},
        translate::{adapters, export, optimizer},
    },
    lora::peft::Adapter,
};

/// The position of a cohort in a sweep, and the snapshot that it continues from.
#[derive(Clone, Copy)]
pub(super) struct Place<'s> {
    /// The index, from 0.
    pub index: usize,
    /// The number of cohorts of the sweep.
    pub of: usize,
    /// None for a new cohort.
    pub from: Option<&'s Snapshot>,
}

/// A cohort in training, with the results of its runs so far.
pub(super) struct UnderWay<'a, 's> {
    sweep: &'s Sweep<'a>,
    place: Place<'s>,
    plan_needs: PlanNeeds,
    cohort: Cohort<'a>,
    probes: Option<Probes>,
    results: Vec<RunResult>,
    /// The best checkpoint of each run so far, if they are kept.
    best: Vec<Option<Checkpoint>>,
    /// The last step that was reported.
    reported: usize,
    /// The observer's seconds up to which the runs' times are known.
    since: f64,
}

/// Runs that have a start.
#[derive(Default)]
struct Started {
    cells: Vec<Cell>,
    runs: Vec<Run>,
    initials: Vec<Arc<Initial>>,
    results: Vec<RunResult>,
}

impl<'a> Sweep<'a> {
    /// Makes the starts of a cohort's runs, and the devices that train them; none if no run can start. A run that can't is added to `results`.
    pub(super) async fn begin_cohort<'s>(
        &'s self,
        place: Place<'s>,
        cells: &[Cell],
        make_device: MakeDevice<'_>,
        results: &mut Vec<RunResult>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Option<UnderWay<'a, 's>>, SweepError> {
        if place.from.is_none() {
            let (cohort, cohorts) = (place.index, place.of);
            reporter.event(Event::CohortStarted { cohort, cohorts, cells: cells.to_vec() });
        }
        let since = reporter.seconds();
        // A cohort that is continued may have runs that were stopped early, whose results the snapshot has.
        let is_left = |cell: &&Cell| !results.iter().any(|result| result.cell == **cell && result.is_over());
        let left: Vec<Cell> = cells.iter().filter(|cell| place.from.is_none() || is_left(cell)).cloned().collect();
        let cells = &left[..];
        let runs = cells.iter().map(|cell| self.start(cell)).collect::<Result<Vec<_>, SweepError>>()?;
        let plan_needs = PlanNeeds::of(self.experiment, cells);
        let whole = self.plan(runs.len(), plan_needs);
        let starts = self.starts_told(place, &runs, &whole, make_device, reporter).await?;
        let started = self.started(place, cells, runs, starts, results, reporter);
        if started.runs.is_empty() {
            return Ok(None);
        }
        let count = started.runs.len();
        let plan = if count == whole.shape.runs { whole } else { self.plan(count, plan_needs) };
        let (mut cohort, probes) = self.cohort(started.runs, started.initials, plan, plan_needs, make_device).await?;
        let (mut results, mut reported, mut best) = (started.results, 0, vec![None; count]);
        if let Some(from) = place.from {
            from.check(&started.cells)?;
            cohort.restore(&from.state)?;
            (results, reported, best) = (from.running.clone(), from.state.step, from.best.clone());
        }
        Ok(Some(UnderWay { sweep: self, place, plan_needs, cohort, probes, results, best, reported, since }))
    }

    /// A cohort of these runs on a device of its own, and the device of its diagnostics, if there are any.
    async fn cohort(
        &self,
        runs: Vec<Run>,
        initials: Vec<Arc<Initial>>,
        plan: Plan,
        plan_needs: PlanNeeds,
        make_device: MakeDevice<'_>,
    ) -> Result<(Cohort<'a>, Option<Probes>), SweepError> {
        let (count, plan) = (runs.len(), Arc::new(plan));
        let base = plan_needs.base(self.base, &adapters(self.base, self.experiment)).tensors;
        let device = make_device(plan.clone(), base.clone()).await?;
        let passes = self.experiment.gradient_accumulation;
        let cohort = Cohort::begin(runs, initials, plan, device, &self.data.train, passes)?;
        let probes = match self.probe_plan(count, plan_needs) {
            None => None,
            Some(plan) => Some(self.probes(plan, base, make_device).await?),
        };
        Ok((cohort, probes))
    }

    /// The starts of a cohort's runs; reports an event if data were read for them.
    async fn starts_told(
        &self,
        place: Place<'_>,
        runs: &[Run],
        plan: &Plan,
        make_device: MakeDevice<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Vec<RunStart>, SweepError> {
        let began = reporter.seconds();
        let starts = self.starts(runs, plan, make_device).await?;
        let tokens = starts.iter().flatten().map(|start| start.tokens).max().unwrap_or(0);
        if tokens > 0 && place.from.is_none() {
            let mut schemes: Vec<String> = vec![];
            for run in runs.iter().filter(|run| run.scheme.rule.reads_data()) {
                if !schemes.iter().any(|name| name == run.scheme.name) {
                    schemes.push(run.scheme.name.to_owned());
                }
            }
            let seconds = reporter.seconds() - began;
            reporter.event(Event::Calibrated { schemes, tokens, seconds });
        }
        Ok(starts)
    }

    /// The runs that have a start. A run that can't start gets its result here, and the others train without it.
    fn started(
        &self,
        place: Place<'_>,
        cells: &[Cell],
        runs: Vec<Run>,
        starts: Vec<RunStart>,
        failed: &mut Vec<RunResult>,
        reporter: &mut Reporter<'_>,
    ) -> Started {
        let mut started = Started::default();
        let tokens = self.experiment.sequences_per_step() * self.experiment.tokens;
        for ((cell, run), start) in cells.iter().zip(runs).zip(starts) {
            match start {
                Ok(start) => {
                    let result = RunResult { start: StartCost::of(start.tokens, tokens), ..unfinished(cell) };
                    started.cells.push(cell.clone());
                    started.runs.push(run);
                    started.initials.push(start.initial.clone());
                    started.results.push(result);
                }
                Err(_) if place.from.is_some() => {}
                Err(reason) => {
                    let result = RunResult { failed: Some(reason.to_string()), ..unfinished(cell) };
                    failed.push(result.clone());
                    reporter.event(Event::RunFinished { result });
                }
            }
        }
        started
    }

    /// The adapter of a run with these trained tensors.
    fn adapter(&self, cohort: &Cohort<'_>, plan_needs: PlanNeeds, run: usize, trained: &[f32]) -> Adapter {
        let frozen_pairs = cohort.initial(run).frozen_pairs();
        let scheme = cohort.runs()[run].scheme;
        let Sweep { base, base_name, experiment, .. } = self;
        export(cohort.plan(), base, plan_needs, base_name, experiment, scheme, trained, frozen_pairs)
    }

    /// A small device beside a cohort's, for its diagnostics.
    async fn probes(&self, plan: Plan, base: Arc<[Tensor]>, make_device: MakeDevice<'_>) -> Result<Probes, SweepError> {
        let plan = Arc::new(plan);
        let device = make_device(plan.clone(), base).await?;
        let threads = self.experiment.threads.map(Into::into);
        Ok(Probes::new(device, plan, self.probe.clone(), optimizer(self.experiment), threads))
    }
}

impl UnderWay<'_, '_> {
    /// Trains to the last step, or until the observer asks to stop; `ended` are the results of earlier cohorts, to which those of runs that are stopped early
    /// are added.
    pub async fn train(
        mut self,
        base_loss: Option<f64>,
        make_device: MakeDevice<'_>,
        reporter: &mut Reporter<'_>,
        ended: &mut Vec<RunResult>,
    ) -> Result<Self, SweepError> {
        let steps = self.sweep.experiment.steps;
        for step in self.reported..steps {
            if reporter.listen().await {
                self.snapshot(reporter, ended).await?;
            }
            if !reporter.turn().await {
                break;
            }
            let experiment = self.sweep.experiment;
            let diagnoses = self.probes.is_some() && experiment.diagnoses(step + 1);
            if let (true, Some(probes)) = (diagnoses, &mut self.probes) {
                probes.before(&mut self.cohort).await?;
            }
            self.cohort.step_each(|run| {
                let left = run.scheme.rule_with(&run.chosen).steps_left(steps);
                experiment.schedule_factor(step, left)
            });
            let evaluates = experiment.evaluates_after(step + 1);
            if !(self.cohort.is_busy() || evaluates || diagnoses || step + 1 == steps) {
                continue;
            }
            self.tell_steps(reporter).await?;
            if diagnoses && !reporter.is_over() {
                self.diagnose(reporter).await?;
            }
            if evaluates && !reporter.is_over() {
                self.evaluate(reporter).await?;
                if experiment.is_rung(step + 1) && !reporter.is_over() {
                    self = self.stop_early(base_loss, make_device, reporter, ended).await?;
                    if self.results.iter().all(RunResult::is_over) {
                        break;
                    }
                }
            }
        }
        Ok(self)
    }

    /// Ends the runs that can no longer be the best of their scheme, and those that have diverged, and goes on with the others on a smaller device.
    async fn stop_early(
        self,
        base_loss: Option<f64>,
        make_device: MakeDevice<'_>,
        reporter: &mut Reporter<'_>,
        ended: &mut Vec<RunResult>,
    ) -> Result<Self, SweepError> {
        let Self { sweep, place, plan_needs, mut cohort, probes, mut results, mut best, reported, since } = self;
        let known = [&sweep.ended, &ended[..]].concat();
        let stops = stops(sweep.experiment, base_loss, reported, &known, &results);
        let leaves = |run: usize| stops[run].is_some() || results[run].is_over();
        let (leaving, staying): (Vec<usize>, Vec<usize>) = (0..results.len()).partition(|&run| leaves(run));
        let least = (cohort.device().share_to_leave() * results.len() as f64).max(1.0);
        if staying.is_empty() {
            // The cohort ends with them.
            results.iter_mut().zip(&stops).for_each(|(result, stop)| result.stopped = *stop);
        }
        if staying.is_empty() || (leaving.len() as f64) < least {
            return Ok(Self { sweep, place, plan_needs, cohort, probes, results, best, reported, since });
        }
        let since = share_time(&mut results, since, reporter);
        for &run in &leaving {
            results[run].stopped = stops[run];
            reporter.event(Event::RunFinished { result: results[run].clone() });
            if let Some(Checkpoint { trained, .. }) = &best[run] {
                let adapter = sweep.adapter(&cohort, plan_needs, run, trained);
                reporter.best_adapter(&results[run].cell, adapter);
            }
        }
        let CohortState { step, runs: mut states } = cohort.state().await?;
        // Their memory is free before that of the smaller ones is taken.
        drop(probes);
        let (mut runs, mut initials) = cohort.into_runs();
        ended.extend(leaving.iter().map(|&run| results[run].clone()));
        keep(&mut runs, &staying);
        keep(&mut initials, &staying);
        keep(&mut states, &staying);
        keep(&mut results, &staying);
        keep(&mut best, &staying);
        let plan = sweep.plan(staying.len(), plan_needs);
        let (mut cohort, probes) = sweep.cohort(runs, initials, plan, plan_needs, make_device).await?;
        cohort.restore(&CohortState { step, runs: states })?;
        Ok(Self { sweep, place, plan_needs, cohort, probes, results, best, reported, since })
    }

    /// The result of every run; passes the adapters of complete runs to the observer.
    pub async fn end(mut self, reporter: &mut Reporter<'_>) -> Result<Vec<RunResult>, SweepError> {
        let finished = self.results.iter().any(|result| result.final_loss.is_some());
        let trained = if finished { self.cohort.device().trained().await? } else { vec![] };
        share_time(&mut self.results, self.since, reporter);
        for result in &self.results {
            reporter.event(Event::RunFinished { result: result.clone() });
        }
        for (run, result) in self.results.iter().enumerate().filter(|(_, result)| result.final_loss.is_some()) {
            let adapter = self.sweep.adapter(&self.cohort, self.plan_needs, run, &trained[run]);
            reporter.adapter(&result.cell, adapter);
        }
        for (run, result) in self.results.iter().enumerate() {
            if let Some(Checkpoint { trained, .. }) = &self.best[run] {
                let adapter = self.sweep.adapter(&self.cohort, self.plan_needs, run, trained);
                reporter.best_adapter(&result.cell, adapter);
            }
        }
        Ok(self.results)
    }

    /// Passes a snapshot of the sweep to the observer, once every step was reported.
    async fn snapshot(&mut self, reporter: &mut Reporter<'_>, ended: &[RunResult]) -> Result<(), SweepError> {
        self.tell_steps(reporter).await?;
        self.since = share_time(&mut self.results, self.since, reporter);
        let (results, running) = (ended.to_vec(), self.results.clone());
        let state = self.cohort.state().await?;
        let best = self.best.clone();
        reporter.snapshot(Snapshot { cohort: self.place.index, results, running, state, best });
        Ok(())
    }

    /// Reports the steps queued since the last call.
    async fn tell_steps(&mut self, reporter: &mut Reporter<'_>) -> Result<(), SweepError> {
        for outcomes in self.cohort.outcomes().await? {
            self.reported += 1;
            reporter.step(self.reported, outcomes, &mut self.results);
        }
        Ok(())
    }

    /// Reports diagnostics of the adapters of every run that is alive.
    async fn diagnose(&mut self, reporter: &mut Reporter<'_>) -> Result<(), SweepError> {
        let Some(probes) = &mut self.probes else { return Ok(()) };
        let seen = probes.after(&mut self.cohort).await?;
        for (result, Seen { kl_from_base, adapters }) in self.results.iter().zip(seen) {
            if result.diverged.is_none() && adapters.iter().all(Diagnosis::is_finite) {
                let (cell, step) = (result.cell.clone(), self.reported);
                let kl_from_base = kl_from_base.and_then(Event::finite);
                reporter.event(Event::Diagnosis { cell, step, kl_from_base, adapters });
            }
        }
        Ok(())
    }

    /// Reports the validation of the runs on the held-out data.
    async fn evaluate(&mut self, reporter: &mut Reporter<'_>) -> Result<(), SweepError> {
        let step = self.reported;
        let validations = self.cohort.validate(&self.sweep.validation).await?;
        for (result, validation) in self.results.iter_mut().zip(validations) {
            let Some(Validation { loss, accuracy, confusion, correlation, .. }) = validation else { continue };
            let (loss, cell) = (Event::finite(loss), result.cell.clone());
            let text = self.sweep.text_measures(loss);
            result.evaluations.push(Evaluation { step, loss, accuracy, text });
            if step == self.sweep.experiment.steps {
                (result.final_loss, result.accuracy) = (loss, accuracy);
                let scores = |table: Confusion| ClassScores { f1: table.f1(), mcc: table.matthews() };
                result.classes = confusion.map(scores);
                let measures = |Correlation { pearson, spearman }: Correlation| Correlations { pearson, spearman };
                result.correlations = correlation.map(measures);
                if loss.is_none() {
                    result.diverged = Some(Diverged { step, tensor: "the validation loss".to_owned() });
                }
            }
            reporter.event(Event::Evaluation { cell, step, loss, accuracy, text });
        }
        if self.sweep.keeps_best { self.keep_best().await } else { Ok(()) }
    }

    /// Keeps the adapters whose loss at the validation just made is the run's lowest.
    async fn keep_best(&mut self) -> Result<(), SweepError> {
        let step = self.reported;
        let loss = |result: &RunResult| result.evaluations.last().filter(|last| last.step == step)?.loss;
        let lower = self.results.iter().zip(&self.best).map(|(result, best)| {
            loss(result).filter(|loss| best.as_ref().is_none_or(|best: &Checkpoint| *loss < best.loss))
        });
        let lower: Vec<Option<f64>> = lower.collect();
        if lower.iter().all(Option::is_none) {
            return Ok(());
        }
        let trained = self.cohort.device().trained().await?;
        for ((best, loss), trained) in self.best.iter_mut().zip(lower).zip(trained) {
            if let Some(loss) = loss {
                *best = Some(Checkpoint { loss, trained });
            }
        }
        Ok(())
    }
}

/// Divides the time since `since` among the runs; returns the time now. Both are the observer's seconds.
fn share_time(results: &mut [RunResult], since: f64, reporter: &Reporter<'_>) -> f64 {
    let now = reporter.seconds();
    let share = (now - since) / results.len() as f64;
    results.iter_mut().for_each(|result| result.seconds += share);
    now
}

/// Keeps the values at these places, which rise.
fn keep<T>(values: &mut Vec<T>, places: &[usize]) {
    let mut at = 0..;
    values.retain(|_| at.next().is_some_and(|at| places.binary_search(&at).is_ok()));
}

fn unfinished(cell: &Cell) -> RunResult {
    RunResult {
        cell: cell.clone(),
        final_loss: None,
        accuracy: None,
        classes: None,
        correlations: None,
        diverged: None,
        stopped: None,
        failed: None,
        start: None,
        evaluations: vec![],
        seconds: 0.0,
    }
}
