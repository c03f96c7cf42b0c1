//! Trains a grid: every cell, or those that a search chooses; writes the results folder meanwhile.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Error, Result, anyhow, bail};
use loralab_core::{
    device::wait,
    lab::{Observer, Prepared, Snapshot, Sweep, questions},
    lora::{init::find, peft::Adapter},
};
use loralab_data::{Dataset, Examples, answer, spread};
use loralab_experiment::{Accuracy, Allowance, BestCheckpoint, Cell, Event, Resolved, RunResult, Setting, Summary};
use loralab_figure::results as files;

use crate::{
    answers::{LONGEST_ANSWER, Respondent},
    args::{DeviceArguments, Output, Shard},
    dry_run::counted,
    examples,
    failure::{Stopped, usage},
    fit::refused_cohorts,
    interrupt::Interrupt,
    log::{Past, timed},
    outlook,
    prepare::refused,
    progress::Progress,
    recorder::{Clock, Interim, Recorder},
    results::{ADAPTERS, METRICS, Results},
    resume,
    search::Search,
    source,
    state::State,
    terminal::{Stream, note},
    trackers::Trackers,
    trained::{self, Trained, ended},
};

/// The cells to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cells {
    /// The whole grid.
    All,
    /// One of several parts of it.
    Part(Shard),
    /// Those that a search for learning rates chooses.
    Searched,
    /// Those that a search for the best rates chooses within an allowance.
    Tuned(Allowance),
}

impl Cells {
    /// The cells of an experiment's grid that are trained; those of a search are others.
    pub fn of(self, experiment: &Resolved) -> Vec<Cell> {
        match self {
            Cells::Part(shard) => shard.take(&experiment.cells()),
            Cells::All | Cells::Searched | Cells::Tuned(_) => experiment.cells(),
        }
    }
}

/// A grid in training.
struct Grid<'a> {
    experiment: &'a Resolved,
    prepared: &'a Prepared,
    sweep: &'a Sweep<'a>,
    output: &'a Output,
    interrupt: &'a Interrupt,
    results: Results,
    trackers: Trackers,
    stream: Stream,
    clock: Clock,
    search: Option<Search>,
    /// The cells planned so far.
    planned: Vec<Cell>,
    /// The cohort that was in training when the state was saved, to be continued.
    under_way: Option<(Vec<Cell>, Snapshot)>,
    runs: Vec<RunResult>,
    base_loss: Option<f64>,
    base_accuracy: Option<f64>,
    failure: Option<Error>,
}

/// Trains every cell, or those that a search chooses, and writes the results folder.
///
/// A failure after a run has ended is reported by [`Trained::complete`], so that the run's results can be reported first.
///
/// # Errors
/// If the experiment is refused, or a device fails or a file cannot be written before a run has ended.
pub fn train_grid(
    experiment: &Resolved,
    cells: Cells,
    prepared: &Prepared,
    device: &DeviceArguments,
    mut results: Results,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<Trained> {
    let sweep = prepared.sweep(experiment).map_err(|error| refused(error, experiment))?.keeping_best(output.keep_best);
    let quiet = output.quiet || output.json;
    let (search, cells) = match cells {
        Cells::Searched => Some(Search::new(experiment, quiet)),
        Cells::Tuned(allowance) => Some(Search::within(allowance, experiment, quiet, results.place())?),
        Cells::All | Cells::Part(_) => None,
    }
    .map_or_else(|| (None, cells.of(experiment)), |(search, cells)| (Some(search), cells));
    let (State { facts, bytes }, Past { base, runs, .. }) = results.past(&prepared.data.train)?;
    let under_way = resume::under_way(&bytes, &results)?;
    let mut grid = Grid {
        experiment,
        prepared,
        sweep: &sweep,
        output,
        interrupt,
        trackers: Trackers::new(&output.log, experiment, search.is_some(), &results),
        results,
        stream: Stream::default(),
        clock: Clock {
            started: Instant::now(),
            earlier: facts.seconds,
            save_every: Duration::try_from_secs_f64(60.0 * output.save_every).unwrap_or_default(),
        },
        search,
        planned: cells,
        under_way,
        runs,
        base_loss: None,
        base_accuracy: None,
        failure: None,
    };
    let missing = grid.missing();
    let cohorts =
        prepared.cohorts(&sweep, &missing).map_err(|error| refused_cohorts(error, prepared, &sweep, experiment))?;
    let tells = !(output.quiet || output.json);
    if !output.quiet {
        caution(experiment, prepared);
    }
    check_answers(prepared, output)?;
    grid.measure_base(base)?;
    grid.results.begin(&facts)?;
    grid.trackers.catch_up(grid.results.place());
    let (name, contents) = files::settings(&experiment.to_experiment());
    grid.results.write(&name, &contents)?;
    if tells {
        note(format_args!("{}.", outlook::trained(experiment, &prepared.base)));
        note(outlook::data(experiment, &prepared.data));
        note(examples::in_words(experiment, &prepared.data, &prepared.tokenizer, 1)?);
        if !cohorts.is_empty() {
            note(outlook::time(experiment, prepared, &sweep, &cohorts)?);
        }
        if let Some(words) = grid.resumed_in_words() {
            note(words);
        }
    }
    if grid.begin(base.is_none())? {
        grid.rounds(cohorts);
    }
    grid.end(device)
}

/// Checks that answers are to be written where that is the way to compare them; says so if they are not.
fn check_answers(prepared: &Prepared, output: &Output) -> Result<()> {
    let marked = |examples: &Examples| {
        let is_marked = |index| {
            let asked = questions(examples, &[index], &prepared.tokenizer);
            asked.iter().any(|question| answer::has_mark(&question.wanted))
        };
        (0..examples.len()).any(is_marked)
    };
    match (prepared.data.validation.examples().is_some_and(marked), output.exact_match) {
        (false, Some(_)) => Err(usage(
            "`--exact-match` compares answers that end in `#### ` and a number, but these data have none; leave it away, since the accuracy is told anyway",
        )),
        (true, None) if !(output.quiet || output.json) => {
            note(
                "Answers that end in `#### ` and a number are compared only if the runs write them: `--exact-match N` asks for N of them; else whole answers are compared.",
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Prints warnings about settings that may be unintended.
fn caution(experiment: &Resolved, prepared: &Prepared) {
    let trained_on = prepared.base.model.longest();
    if experiment.tokens > trained_on {
        note(format_args!(
            "The base was trained on sequences of {trained_on} tokens; it does not know what to do with the rest of {}.",
            experiment.tokens
        ));
    }
    outlook::cautions(experiment, &prepared.base).iter().for_each(note);
}

impl<'a> Grid<'a> {
    /// The planned cells whose runs have not ended and are not to be continued.
    fn missing(&self) -> Vec<Cell> {
        let done = self.runs.iter().map(|run| &run.cell).chain(self.under_way.iter().flat_map(|(cells, _)| cells));
        let done: HashSet<String> = done.map(Cell::id).collect();
        self.planned.iter().filter(|cell| !done.contains(&cell.id())).cloned().collect()
    }

    /// A sentence on what is continued; none for a sweep that begins.
    fn resumed_in_words(&self) -> Option<String> {
        let ended = self.runs.len();
        let under_way = self.under_way.as_ref().map(|(cells, snapshot)| {
            format!(
                "{} go on after step {} of {}",
                counted(cells.len(), "run"),
                snapshot.state.step,
                self.experiment.steps
            )
        });
        (ended > 0 || under_way.is_some()).then(|| {
            // A search does not know yet how many there will be.
            let of = if self.search.is_some() { String::new() } else { format!(" of {}", self.planned.len()) };
            let ended = format!("{}{of} had ended", counted(ended, "run"));
            format!("Continued: {}.", [Some(ended), under_way].into_iter().flatten().collect::<Vec<_>>().join(", "))
        })
    }

    /// Validates the base alone. Its loss must be that of `earlier`, if it was logged.
    fn measure_base(&mut self, earlier: Option<(Option<f64>, Option<f64>)>) -> Result<()> {
        let make_device = |plan, base| self.prepared.machine.make(plan, base);
        let base = wait(self.sweep.base(&make_device)).map_err(|error| refused(error, self.experiment))?;
        self.base_loss = base.and_then(|base| Event::finite(base.loss));
        self.base_accuracy = base.and_then(|base| base.accuracy);
        match earlier {
            Some((before, _)) if before != self.base_loss => Err(resume::other_base(before, self.base_loss)),
            _ => Ok(()),
        }
    }

    /// Reports the start of the sweep and, if `tells_base`, the base alone; false if the sweep is to stop.
    fn begin(&mut self, tells_base: bool) -> Result<bool> {
        let (loss, accuracy) = (self.base_loss, self.base_accuracy);
        let started = self.prepared.started(self.experiment, env!("CARGO_PKG_VERSION"), self.planned.len());
        let base = Event::Base { loss, accuracy, text: self.sweep.text_measures(loss) };
        let mut recorder = self.recorder(&|_, _| Ok(()));
        let mut flow = recorder.event(started);
        if tells_base && flow.is_continue() {
            flow = recorder.event(base);
        }
        let (_, failure) = recorder.end();
        self.failure = failure;
        Ok(flow.is_continue() && self.failure.is_none())
    }

    /// Trains these cohorts and the further ones of a search. A failure keeps the runs that have ended.
    fn rounds(&mut self, mut cohorts: Vec<Vec<Cell>>) {
        while self.failure.is_none() {
            self.failure = self.search.as_ref().and_then(|search| search.print(&self.results, self.experiment).err());
            if self.failure.is_some() {
                return;
            }
            self.round(&cohorts);
            let all_ended = self.failure.is_none() && self.ended() == self.planned.len();
            let Some(search) = self.search.as_mut().filter(|_| all_ended) else { return };
            // A search that is continued chooses anew from what it knew at the time.
            let planned: HashSet<String> = self.planned.iter().map(Cell::id).collect();
            let known = self.runs.iter().filter(|run| planned.contains(&run.cell.id()));
            let cells = search.next(self.base_loss, &known.cloned().collect::<Vec<_>>(), self.clock.seconds());
            if cells.is_empty() {
                return;
            }
            self.planned.extend(cells);
            match self.prepared.cohorts(self.sweep, &self.missing()) {
                Ok(of_round) => cohorts = of_round,
                Err(error) => self.failure = Some(refused(error, self.experiment)),
            }
        }
    }

    fn round(&mut self, cohorts: &[Vec<Cell>]) {
        let (sweep, prepared, experiment) =
            (self.sweep.knowing(&self.runs, self.base_loss), self.prepared, self.experiment);
        let make_device = |plan, base| prepared.machine.make(plan, base);
        let planned: HashSet<String> = self.planned.iter().map(Cell::id).collect();
        // A search may reach a round whose cells were not planned yet.
        let under_way = self.under_way.take_if(|(cells, _)| cells.iter().all(|cell| planned.contains(&cell.id())));
        let (first, from) = under_way.unzip();
        let cohorts: Vec<Vec<Cell>> = first.iter().chain(cohorts).cloned().collect();
        let (clock, ended, outline) = (self.clock, self.runs.clone(), self.outline());
        let interim = |results: &mut Results, of_round: &[RunResult]| {
            let runs = [&ended[..], of_round].concat();
            let mut summary = outline.summary(clock.seconds(), &runs, results);
            trained::write_summary(results, &mut summary)?;
            trained::write_figures(results, &summary).map(drop)
        };
        let mut recorder = self.recorder(&interim);
        if let Some(cells) = &first {
            recorder.shows(cells);
        }
        let outcome = wait(sweep.go_on(&cohorts, from.as_ref(), &make_device, &mut recorder));
        let (of_round, unwritten) = recorder.end();
        self.runs.extend(of_round);
        self.failure = unwritten.or(outcome.err().map(|error| refused(error, experiment)));
    }

    fn recorder<'w>(&'w mut self, interim: Interim<'w>) -> Recorder<'w> {
        let progress = Progress::new(self.experiment.steps, self.output.quiet || self.output.json);
        let stream = self.output.json.then_some(&mut self.stream);
        let (results, trackers, interrupt) = (&mut self.results, &mut self.trackers, self.interrupt.clone());
        Recorder::new(results, trackers, progress, stream, interrupt, self.clock, interim)
    }

    /// Number of planned runs that have ended.
    fn ended(&self) -> usize {
        let planned: HashSet<String> = self.planned.iter().map(Cell::id).collect();
        self.runs.iter().filter(|run| run.is_over() && planned.contains(&run.cell.id())).count()
    }

    /// True if every planned run has ended.
    fn is_complete(&self) -> bool {
        self.ended() == self.planned.len()
    }

    /// Lets the base and the runs whose adapters are written answer held-out questions; the share of right answers becomes their accuracy.
    fn answer(&mut self, most: usize) -> Result<()> {
        // Adapters that answer in one pass.
        const TOGETHER: usize = 8;
        let Prepared { base, base_name, tokenizer, data, machine, available, .. } = self.prepared;
        let Some(examples) = data.validation.examples() else { return Ok(()) };
        let chosen = spread(examples.len(), most.min(self.experiment.validation_examples));
        let asked = questions(examples, &chosen, tokenizer);
        let (batch_size, count) = (self.experiment.batch_size, LONGEST_ANSWER);
        let respondent =
            Respondent { base, name: base_name, tokenizer, machine, available: *available, batch_size, count };
        let share = |right: usize| Some(right as f64 / asked.len() as f64);
        let quiet = self.output.quiet || self.output.json;
        if !quiet {
            note(format_args!("The base and the runs answer {} held-out questions.", asked.len()));
        }
        self.base_accuracy = share(respondent.right(&[None], &asked, |_| {})?[0]);
        self.runs.iter_mut().for_each(|run| run.accuracy = None);
        let written: Vec<usize> =
            (0..self.runs.len()).filter(|&run| self.results.has_adapter(&self.runs[run].cell)).collect();
        // One of a quantised base has a base of its own.
        let is_quantised = |name: &str| find(name).is_ok_and(|scheme| scheme.rule.quantiser().is_some());
        let together = if self.experiment.schemes.iter().any(|name| is_quantised(name)) { 1 } else { TOGETHER };
        for (done, group) in written.chunks(together).enumerate() {
            if self.interrupt.is_pressed() {
                break;
            }
            let folder = |run: &usize| self.results.place().join(ADAPTERS).join(self.runs[*run].cell.id());
            let adapters = group.iter().map(|run| source::adapter(&folder(run))).collect::<Result<Vec<_>>>()?;
            let given: Vec<Option<&Adapter>> = adapters.iter().map(Some).collect();
            for (run, right) in group.iter().zip(respondent.right(&given, &asked, |_| {})?) {
                self.runs[*run].accuracy = share(right);
            }
            if !quiet {
                note(format_args!("{} of {} runs have answered.", done * together + group.len(), written.len()));
            }
        }
        Ok(())
    }

    /// The properties of the sweep that a summary has beside its runs.
    fn outline(&self) -> Outline<'a> {
        let Grid { experiment, prepared, sweep, ref planned, base_loss, base_accuracy, .. } = *self;
        Outline { experiment, prepared, sweep, planned: planned.len(), base_loss, base_accuracy }
    }

    /// Writes the summary first, since the log does not contain it, and then the last line of the log.
    fn write_down(&mut self, summary: &mut Summary, seconds: f64, has_ended: bool) -> Result<()> {
        let complete = self.is_complete();
        let results = &mut self.results;
        let mut written = Ok(());
        if has_ended || !results.keeps_earlier() {
            written = trained::write_summary(results, summary);
            if written.is_ok() {
                written = results.replace_earlier();
            }
        }
        let unwritten = results.unwritten().len();
        self.trackers.flush(results.place());
        let mut line = String::new();
        let logged = results.insist(|results| {
            let unwritten = results.unwritten().to_vec();
            line = serde_json::to_string(&timed(Event::Finished { complete, seconds, unwritten }))?;
            results.log(&line, false)
        });
        if results.unwritten().len() > unwritten && written.is_ok() {
            written = trained::write_summary(results, summary);
        }
        if self.output.json {
            let log = results.folder().join(METRICS);
            self.stream.line(&line, format_args!("`{}` has every event", log.display()));
        }
        let unwritten = results.take_failure();
        let synced = logged.and_then(|()| results.sync());
        let first = self.failure.take().or(unwritten).or(synced.err());
        self.failure = first.or(std::mem::take(&mut self.stream).end().err().map(Error::new));
        written
    }

    /// Writes all results, and returns the outcome.
    fn end(mut self, device: &DeviceArguments) -> Result<Trained> {
        let is_whole = self.failure.is_none() && !self.interrupt.is_pressed();
        if let Some(most) = self.output.exact_match.filter(|_| is_whole) {
            self.failure = self.answer(most).err();
        }
        let seconds = self.clock.seconds();
        let mut summary = self.outline().summary(seconds, &self.runs, &self.results);
        let reason = summary.why_nothing_started().filter(|_| self.is_complete());
        let has_ended = self.runs.iter().any(|run| run.is_over() && run.failed.is_none());
        let written = self.write_down(&mut summary, seconds, has_ended);
        let summed_up = written.is_ok() && !self.results.keeps_earlier();
        if self.results.keeps_earlier() && !has_ended {
            return Err(self.nothing_ended(reason));
        }
        let curves = written.and_then(|()| trained::write_figures(&self.results, &summary)).unwrap_or_else(|error| {
            self.failure.get_or_insert(error);
            vec![]
        });
        if let Err(error) = trained::write_tiles(&self.results, &self.prepared.machine, device) {
            self.failure.get_or_insert(error);
        }
        if let (None, Some(reason)) = (&self.failure, reason) {
            bail!(reason);
        }
        if self.failure.is_none() && self.is_complete() {
            self.results.remove_states();
        }
        let Grid { experiment, search, results, runs, planned, failure, .. } = self;
        Ok(Trained {
            searched: search.as_ref().map(|search| search.in_words(experiment)),
            experiment: search.map_or_else(|| experiment.clone(), |search| search.experiment(experiment)),
            summary,
            runs,
            curves,
            results,
            planned: planned.len(),
            stopped_by: self.interrupt.by(),
            failure,
            summed_up,
        })
    }

    /// The reason why no run ended; earlier results stay in the folder.
    fn nothing_ended(self, reason: Option<String>) -> Error {
        let stays = format!("the earlier results in `{}` stay", self.results.folder().display());
        match (self.failure, reason) {
            (Some(error), _) => error.context(format!("no run had ended, so {stays}")),
            (_, Some(reason)) => {
                self.results.remove_states();
                anyhow!("{reason}; {stays}")
            }
            _ => {
                if !self.output.quiet {
                    let further = self.results.continuing().map(|command| format!(" `{command}` goes on."));
                    let further = further.unwrap_or_default();
                    note(format_args!("Stopped by {} before a run had ended: {stays}.{further}", self.interrupt.by()));
                }
                Stopped::by(self.interrupt.by(), self.results.continuing().is_some()).into()
            }
        }
    }
}

/// The properties of a sweep that its summary has beside the runs.
struct Outline<'a> {
    experiment: &'a Resolved,
    prepared: &'a Prepared,
    sweep: &'a Sweep<'a>,
    planned: usize,
    base_loss: Option<f64>,
    base_accuracy: Option<f64>,
}

impl Outline<'_> {
    /// The summary of the runs that have ended.
    fn summary(&self, seconds: f64, runs: &[RunResult], results: &Results) -> Summary {
        let data = &self.prepared.data;
        let accuracy = match data.validation {
            Dataset::Text(_) => Accuracy::Token,
            Dataset::Labelled(_) => Accuracy::Class,
            _ => Accuracy::ExactMatch,
        };
        let held_out = data.validation.sequences(self.experiment.tokens);
        let setting = Setting {
            device: self.prepared.machine.describe(),
            wall_seconds: seconds,
            base_loss: self.base_loss,
            base_accuracy: self.base_accuracy,
            accuracy,
            validation_examples: Some(held_out.min(self.experiment.validation_examples)),
            bytes_per_token: self.sweep.bytes_per_token(),
            order: self.experiment.schemes.clone(),
        };
        let mut summary = Summary::from_runs(setting, runs);
        let kept = runs.iter().filter(|run| results.has_best(&run.cell));
        summary.best_checkpoints = kept.filter_map(BestCheckpoint::of).collect();
        summary.planned = (ended(runs) < self.planned).then_some(self.planned);
        summary
    }
}
