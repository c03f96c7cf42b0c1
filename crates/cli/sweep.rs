//! `loralab sweep` and `loralab train`.

use std::{sync::Arc, time::Instant};

use anyhow::{Error, Result, anyhow, bail};
use loralab_core::{
    device::{Machine, Needs, wait},
    graph::{memory::Tensor, plan::Plan},
    lab::{self, Begun, Observer, Room, Sweep, SweepError, begin, check_memory},
    lora::init::find,
    models::Base,
};
use loralab_data::{Dataset, Split};
use loralab_experiment::{
    Accuracy, Cell, Data, Event, Experiment, Resolved, RunResult, SECOND_NAMES, Seeds, Setting, Summary,
    symptoms_in_words,
};

use crate::{
    args::{DeviceArguments, Length, Output, SweepArguments, TrainArguments},
    device, dry_run,
    failure::{Stopped, usage},
    interrupt::Interrupt,
    memory, outlook,
    progress::Progress,
    results::{EXPERIMENT, Results},
    search::{self, Search},
    source,
    terminal::{Stream, note, print},
    trained::{self, Trained, ended},
    watch::Watch,
};

/// Trains a grid.
pub fn sweep(arguments: &SweepArguments) -> Result<()> {
    search::is_wanted(arguments.grid.learning_rates.as_deref())?;
    let flags = arguments.grid.over(arguments.settings.experiment());
    let mut settings = source::settings(Experiment::default(), arguments.settings.config.as_deref(), flags)?;
    let searches = std::mem::take(&mut settings.searches);
    let (experiment, data) = of_length(&settings, arguments.length)?;
    run(&experiment, data, searches, &arguments.device, &arguments.output)
}

/// The settings checked; where they are to train for some epochs with the data, which that takes to know.
fn of_length(settings: &Experiment, length: Length) -> Result<(Resolved, Option<Split>)> {
    Ok(match length.epochs {
        Some(epochs) => {
            let (experiment, data) = source::with_epochs(settings, epochs)?;
            (experiment, Some(data))
        }
        None => (source::resolve(settings)?, None),
    })
}

/// Trains one cell.
pub fn train(arguments: &TrainArguments) -> Result<()> {
    let defaults = Experiment {
        schemes: Some(vec!["init-a".to_owned()]),
        learning_rates: Some(vec![4e-3]),
        seeds: Some(Seeds::List(vec![0])),
        ..Experiment::default()
    };
    let flags = arguments.over(arguments.settings.experiment());
    let settings = source::settings(defaults, arguments.settings.config.as_deref(), flags)?;
    let (experiment, data) = of_length(&settings, arguments.length)?;
    let lists = [
        ("schemes", experiment.schemes.len(), "--scheme"),
        ("learning_rates", experiment.learning_rates.len(), "--learning-rate"),
        ("seeds", experiment.seeds.len(), "--seed"),
    ];
    if let Some((name, count, flag)) = lists.into_iter().find(|(_, count, _)| *count > 1) {
        return Err(usage(format_args!(
            "`train` makes one run, but the config file has {count} {name}; choose one with `{flag}`, or use `loralab sweep`"
        )));
    }
    run(&experiment, data, false, &arguments.device, &arguments.output)
}

/// Everything that an experiment needs, read and checked.
pub struct Prepared {
    /// The frozen model.
    pub base: Base,
    /// What adapters call it.
    base_name: String,
    /// What is trained on and validated with.
    pub data: Split,
    /// Bytes that may be used.
    pub available: u64,
    /// Where the work is done.
    pub machine: Machine,
}

impl Prepared {
    /// Reads what the experiment names, and opens the device; unless quiet, it shows how far that is.
    pub fn new(experiment: &Resolved, device: &DeviceArguments, quiet: bool) -> Result<Self> {
        Self::with_data(experiment, None, device, quiet)
    }

    /// The same where the data may have been read before.
    fn with_data(experiment: &Resolved, data: Option<Split>, device: &DeviceArguments, quiet: bool) -> Result<Self> {
        let (base, base_name) = source::base(&experiment.base)?;
        experiment.targets(&base.model.targets()).map_err(usage)?;
        let threads = source::threads(experiment.threads.map(Into::into))?;
        // What is wrong with the settings is said before a device is looked for.
        let free = memory::available(experiment.memory);
        memory::check(experiment, &base, free)?;
        let data = data.map_or_else(|| source::data(experiment), Ok)?;
        memory::check_data(experiment, &base, &data, free)?;
        let machine = device::open(device, threads, quiet)?;
        let available = device::available(&machine, experiment.memory);
        Ok(Self { base, base_name, data, available, machine })
    }

    /// The same with another base, on the same device.
    pub fn with_base(&self, experiment: &Resolved) -> Result<Self> {
        let (base, base_name) = source::base(&experiment.base)?;
        experiment.targets(&base.model.targets()).map_err(usage)?;
        memory::check(experiment, &base, self.available)?;
        let (available, machine) = (self.available, self.machine.clone());
        Ok(Self { base, base_name, data: source::data(experiment)?, available, machine })
    }

    /// The sweep of this experiment.
    pub fn sweep<'a>(&'a self, experiment: &'a Resolved) -> Result<Sweep<'a>> {
        Sweep::new(&self.base, &self.base_name, experiment, &self.data).map_err(|error| refused(error, experiment))
    }

    /// The sweep's grid, cut into cohorts.
    pub fn cohorts(&self, sweep: &Sweep<'_>, experiment: &Resolved) -> Result<Vec<Vec<Cell>>> {
        self.cohorts_of(sweep, experiment, &experiment.cells())
    }

    /// Cells of the sweep's schemes, cut into cohorts.
    pub fn cohorts_of(&self, sweep: &Sweep<'_>, experiment: &Resolved, cells: &[Cell]) -> Result<Vec<Vec<Cell>>> {
        let needs = |plan: &Plan| self.needs(plan);
        sweep.cohorts_of(cells, needs, self.available).map_err(|error| refused(error, experiment))
    }

    /// The start of an experiment's first cell.
    pub async fn begin(&self, experiment: &Resolved) -> Result<Begun> {
        let make_device = |plan, base| self.machine.make(plan, base);
        let cell = &experiment.cells()[0];
        let needs = |plan: &Plan| self.needs(plan);
        check_memory(&self.base, experiment, cell, &needs, self.available)
            .map_err(|error| refused(error, experiment))?;
        let begun = begin(&self.base, &self.base_name, experiment, cell, &self.data.train, &make_device).await;
        begun.map_err(|error| refused(error, experiment))
    }

    /// The tensors of the base that runs with this room train on.
    pub fn stored(&self, room: Room, experiment: &Resolved) -> Arc<[Tensor]> {
        room.base(&self.base, &lab::adapters(&self.base, experiment)).tensors
    }

    /// What a plan needs of the device.
    pub fn needs(&self, plan: &Plan) -> Needs {
        self.machine.needs(plan, &self.base.tensors)
    }
}

/// Data of a file that do not fit are a failure; everything else that a sweep refuses is a setting.
fn refused(error: SweepError, experiment: &Resolved) -> Error {
    match (&error, &experiment.data) {
        (SweepError::Data(_), Data::Path(path)) => Error::new(error).context(path.clone()),
        (SweepError::Device(_), _) => Error::new(error),
        _ => usage(error),
    }
}

fn run(
    experiment: &Resolved,
    data: Option<Split>,
    searches: bool,
    device: &DeviceArguments,
    output: &Output,
) -> Result<()> {
    if output.dry_run {
        return dry_run(experiment, searches, &Prepared::with_data(experiment, data, device, output.quiet)?);
    }
    let interrupt = Interrupt::listen(output.quiet);
    let results = Results::claim(&output.output, output.overwrite)?;
    let prepared = Prepared::with_data(experiment, data, device, output.quiet)?;
    let mut trained = train_grid(experiment, searches, &prepared, device, results, output, &interrupt)?;
    let told = if output.json { Ok(()) } else { tell(&trained, experiment, &prepared) };
    trained.complete(output.quiet)?;
    told
}

fn dry_run(experiment: &Resolved, searches: bool, prepared: &Prepared) -> Result<()> {
    let sweep = prepared.sweep(experiment)?;
    if searches {
        let first = Resolved {
            seeds: experiment.seeds[..1].to_vec(),
            ..Search::new(experiment, true).0.experiment(experiment)
        };
        print("What the first round of the search would train; the others depend on what comes of it.")?;
        return dry_run::print_costs(&first, prepared, &sweep, &prepared.cohorts(&sweep, &first)?);
    }
    dry_run::print_costs(experiment, prepared, &sweep, &prepared.cohorts(&sweep, experiment)?)
}

/// Says on stdout what came of it.
fn tell(trained: &Trained, experiment: &Resolved, prepared: &Prepared) -> Result<()> {
    let Trained { summary, runs, results, searched, .. } = trained;
    print(format_args!("{}\n{}\n", summary.table(), summary.sentence()))?;
    let looks: Vec<String> = trained.curves.iter().filter_map(symptoms_in_words).collect();
    if !looks.is_empty() {
        print(format_args!("{}\n", looks.join("\n")))?;
    }
    if let Some(words) = options_in_words(experiment) {
        print(format_args!("{words}\n"))?;
    }
    let trains = |name: &str| experiment.schemes.iter().any(|scheme| scheme == name);
    for (second, first) in SECOND_NAMES.into_iter().filter(|(second, first)| trains(first) && !trains(second)) {
        print(format_args!("{second} is {first} under another name, so it is not trained again.\n"))?;
    }
    for (scheme, command) in quantised(experiment, &prepared.base_name) {
        print(format_args!(
            "The adapters of {scheme} belong to a quantised base of their own, which this writes:\n{command}\n"
        ))?;
    }
    if let Some(words) = searched {
        print(format_args!("{words}\n"))?;
    }
    if !trained.are_kept() {
        return Ok(());
    }
    print(format_args!("Results are in `{}`.", results.folder().display()))?;
    if let (Data::Task(_), Some(command)) = (&experiment.data, trial(results, summary, runs, &prepared.data)) {
        print(format_args!("Try the best adapter: {command}"))?;
    }
    Ok(())
}

/// Which numbers of schemes are not their defaults, if any are.
pub fn options_in_words(experiment: &Resolved) -> Option<String> {
    let options: Vec<String> = experiment.scheme_options.iter().map(ToString::to_string).collect();
    (!options.is_empty()).then(|| format!("Options of schemes that are not their defaults: {}.", options.join(", ")))
}

fn watch<'a>(
    results: &'a mut Results,
    stream: &'a mut Stream,
    experiment: &Resolved,
    output: &Output,
    interrupt: &Interrupt,
    started: Instant,
) -> Watch<'a> {
    let progress = Progress::new(experiment.steps, output.quiet || output.json);
    Watch::new(results, progress, output.json.then_some(stream), interrupt.clone(), started)
}

/// Trains every cell, or those that a search chooses, and writes the results folder.
///
/// A failure after a run has ended is told by [`Trained::complete`], so that what came of that run can be told first.
///
/// # Errors
/// If the experiment is refused, or a device fails or a file cannot be written before a run has ended.
pub fn train_grid(
    experiment: &Resolved,
    searches: bool,
    prepared: &Prepared,
    device: &DeviceArguments,
    mut results: Results,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<Trained> {
    let sweep = prepared.sweep(experiment)?;
    let (mut search, cells) = match searches {
        true => {
            let (search, cells) = Search::new(experiment, output.quiet || output.json);
            (Some(search), cells)
        }
        false => (None, experiment.cells()),
    };
    let mut cohorts = prepared.cohorts_of(&sweep, experiment, &cells)?;
    let trained_on = prepared.base.model.longest();
    if experiment.tokens > trained_on && !output.quiet {
        note(format_args!(
            "The base was trained on sequences of {trained_on} tokens; it does not know what to do with the rest of {}.",
            experiment.tokens
        ));
    }
    let make_device = |plan, base| prepared.machine.make(plan, base);
    let machine = prepared.machine.describe();
    results.begin()?;
    results.write(EXPERIMENT, experiment.to_experiment().to_toml().as_bytes())?;
    if !(output.quiet || output.json) {
        note(outlook::data(experiment, &prepared.data));
        note(outlook::time(experiment, prepared, &sweep, &cohorts)?);
    }
    let started = Instant::now();

    let mut planned = cells.len();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let begun = Event::Started {
        version,
        device: machine.clone(),
        runs: planned,
        steps: experiment.steps,
        schemes: experiment.schemes.clone(),
    };
    let mut stream = Stream::default();
    let mut told = watch(&mut results, &mut stream, experiment, output, interrupt, started);
    let mut flow = told.event(begun);
    let base = wait(sweep.base(&make_device)).map_err(|error| refused(error, experiment))?;
    let (base_loss, base_accuracy) =
        (base.and_then(|base| Event::finite(base.loss)), base.and_then(|base| base.accuracy));
    if flow.is_continue() {
        flow = told.event(Event::Base { loss: base_loss, accuracy: base_accuracy });
    }
    let (_, mut failure) = told.end();
    let mut runs = Vec::new();
    // Runs that ended before something fails are not lost with it.
    while flow.is_continue() && failure.is_none() {
        failure = search.as_ref().and_then(|search| search.tell(&results, experiment).err());
        if failure.is_some() {
            break;
        }
        let mut told = watch(&mut results, &mut stream, experiment, output, interrupt, started);
        let outcome = wait(sweep.run(&cohorts, &make_device, &mut told));
        let (of_round, unwritten) = told.end();
        runs.extend(of_round);
        failure = unwritten.or(outcome.err().map(|error| refused(error, experiment)));
        let Some(search) = search.as_mut().filter(|_| failure.is_none() && ended(&runs) == planned) else { break };
        let cells = search.next(base_loss, &runs);
        if cells.is_empty() {
            break;
        }
        planned += cells.len();
        match prepared.cohorts_of(&sweep, experiment, &cells) {
            Ok(of_round) => cohorts = of_round,
            Err(error) => failure = Some(error),
        }
    }
    let (complete, seconds) = (ended(&runs) == planned, started.elapsed().as_secs_f64());
    let mut told = watch(&mut results, &mut stream, experiment, output, interrupt, started);
    let _ = told.event(Event::Finished { complete, seconds });
    let (_, unwritten) = told.end();
    failure = failure.or(unwritten).or(stream.end().err().map(Error::new));

    let accuracy = match prepared.data.train {
        Dataset::Examples(_) => Accuracy::ExactMatch,
        Dataset::Text(_) => Accuracy::Token,
    };
    let held_out = match &prepared.data.validation {
        Dataset::Examples(examples) => examples.len(),
        // Windows that do not overlap, each with the token that follows it.
        Dataset::Text(text) => text.len().saturating_sub(1) / experiment.tokens,
    };
    let order = experiment.schemes.clone();
    let setting = Setting {
        device: machine,
        wall_seconds: seconds,
        base_loss,
        base_accuracy,
        accuracy,
        validation_examples: Some(held_out.min(experiment.validation_examples)),
        order,
    };
    let summary = Summary::from_runs(setting, &runs);
    let reason = summary.why_nothing_started().filter(|_| complete);
    if results.keeps_earlier() && !runs.iter().any(|run| run.is_over() && run.failed.is_none()) {
        let stays = format!("the earlier results in `{}` stay", results.folder().display());
        return Err(match (failure, reason) {
            (Some(error), _) => error.context(format!("no run had ended, so {stays}")),
            (_, Some(reason)) => anyhow!("{reason}; {stays}"),
            _ => {
                if !output.quiet {
                    note(format_args!("Stopped by {} before a run had ended: {stays}.", interrupt.by()));
                }
                Stopped.into()
            }
        });
    }
    let written = trained::write_summary(&results, &summary);
    let summed_up = written.is_ok();
    let curves = written.and_then(|()| trained::write_figures(&results, &summary)).unwrap_or_else(|error| {
        failure.get_or_insert(error);
        vec![]
    });
    if let Err(error) = trained::write_tiles(&results, &prepared.machine, device) {
        failure.get_or_insert(error);
    }
    if let (None, Some(reason)) = (&failure, reason) {
        bail!(reason);
    }
    Ok(Trained {
        searched: search.as_ref().map(|search| search.in_words(experiment)),
        experiment: search.map_or_else(|| experiment.clone(), |search| search.experiment(experiment)),
        summary,
        runs,
        curves,
        results,
        planned,
        stopped_by: interrupt.by(),
        failure,
        summed_up,
    })
}

/// The command that lets the best adapter answer one of the held-out prompts.
fn trial(results: &Results, summary: &Summary, runs: &[RunResult], data: &Split) -> Option<String> {
    let loss = |run: &RunResult| run.finished_loss().unwrap_or(f64::INFINITY);
    let is_best = |run: &&RunResult| {
        let of_scheme = summary.schemes.iter().find(|scheme| scheme.scheme == run.cell.scheme);
        of_scheme.and_then(|scheme| scheme.best_learning_rate) == Some(run.cell.learning_rate)
    };
    let best = runs.iter().filter(is_best).min_by(|x, y| loss(x).total_cmp(&loss(y)))?;
    let Dataset::Examples(examples) = &data.validation else { return None };
    let prompt = quoted(&source::TOKENIZER.decode(&examples.first()?.prompt));
    let folder = quoted(&results.adapter_folder(&best.cell).display().to_string());
    Some(format!("loralab generate --adapter {folder} --stop-at-newline --prompt {prompt}"))
}

/// The schemes that train on a quantised base, each with the command that writes it.
fn quantised<'a>(experiment: &'a Resolved, base: &str) -> Vec<(&'a str, String)> {
    let command = |name: &String| {
        let own = experiment.scheme_options.iter().filter(|option| option.scheme == *name);
        let options: Vec<String> = own.map(ToString::to_string).collect();
        let modules = experiment.target_modules.as_ref().map_or("all-linear".to_owned(), |modules| modules.join(","));
        let (base, rank) = (quoted(base), experiment.rank);
        let mut command = format!("loralab init {name} --base {base} --rank {rank} --target-modules {modules}");
        if !options.is_empty() {
            command += &format!(" --scheme-options {}", options.join(","));
        }
        command + &format!(" --output {name}")
    };
    let schemes = experiment.schemes.iter();
    let trained = schemes.filter(|name| find(name).is_ok_and(|scheme| scheme.rule.quantiser().is_some()));
    trained.map(|name| (name.as_str(), command(name))).collect()
}

/// A text as one word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
