//! `loralab sweep` and `loralab train`.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use loralab_core::{
    lab::Prepared,
    lora::{
        init::{GIVEN, find},
        peft::Adapter,
    },
};
use loralab_data::Split;
use loralab_experiment::{Data, Experiment, Resolved, RunResult, Scaling, Seeds, Summary, symptoms_in_words};

use crate::{
    args::{DeviceArguments, Length, Output, SweepArguments, TrainArguments},
    dry_run,
    failure::usage,
    fit::refused_cohorts,
    grid::{Cells, train_grid},
    interrupt::Interrupt,
    prepare::{self, refused},
    results::{OVERWRITE, Results},
    resume::{self, Begun},
    search::{self, Search},
    source,
    terminal::{note, print, quoted},
    trained::Trained,
};

/// Trains a grid.
pub fn sweep(arguments: &SweepArguments, begun: &Begun) -> Result<()> {
    search::is_wanted(arguments.grid.learning_rates.as_deref())?;
    let flags = arguments.grid.over(arguments.settings.experiment());
    let mut settings = source::settings(Experiment::default(), arguments.settings.config.as_deref(), flags)?;
    let searches = std::mem::take(&mut settings.searches);
    if searches {
        settings.stop_early.get_or_insert(true);
    }
    let (experiment, data) = of_length(settings, arguments.length)?;
    let (mut output, mut begun) = (arguments.output.clone(), begun.clone());
    let cells = match arguments.shard {
        Some(_) if searches => {
            return Err(usage(
                "`--shard` trains a part of a grid, but `--learning-rates auto` chooses its rates by what all parts have found; list the rates",
            ));
        }
        Some(shard) => {
            // A folder that is continued is that of the part already.
            if output.resume.is_none() {
                output.output.push(shard.folder());
            }
            begun.typed.flags.insert("shard".to_owned(), Some(shard.to_string()));
            Cells::Part(shard)
        }
        None if searches => Cells::Searched,
        None => Cells::All,
    };
    run(&experiment, data, None, cells, &arguments.device, &output, &begun)
}

/// The settings, checked; with the data if the length is in epochs, since that needs them.
pub fn of_length(settings: Experiment, length: Length) -> Result<(Resolved, Option<Split>)> {
    let settings = &source::fitted(settings)?;
    Ok(match length.epochs {
        Some(epochs) => {
            let (experiment, data) = source::with_epochs(settings, epochs)?;
            (experiment, Some(data))
        }
        None => (source::resolve(settings)?, None),
    })
}

/// Trains one cell.
pub fn train(arguments: &TrainArguments, begun: &Begun) -> Result<()> {
    let defaults = Experiment {
        schemes: Some(vec!["init-a".to_owned()]),
        learning_rates: Some(vec![4e-3]),
        seeds: Some(Seeds::List(vec![0])),
        ..Experiment::default()
    };
    let flags = arguments.over(arguments.settings.experiment());
    let mut settings = source::settings(defaults, arguments.settings.config.as_deref(), flags)?;
    let adapter = arguments.adapter.as_deref().map(|folder| continued(folder, &mut settings)).transpose()?;
    let (experiment, data) = of_length(settings, arguments.length)?;
    let lists = [
        ("schemes", experiment.schemes.len(), "--scheme"),
        ("learning_rates", experiment.learning_rates.len(), "--learning-rate"),
        ("seeds", experiment.seeds.len(), "--seed"),
    ];
    if let Some((name, count, flag)) = lists.into_iter().find(|(_, count, _)| *count > 1) {
        let typed = if name == "schemes" { arguments.scheme.as_deref() } else { None };
        let has = typed.map_or_else(|| "the config file has".to_owned(), |typed| format!("`--scheme {typed}` names"));
        return Err(usage(format_args!(
            "`train` makes one run, but {has} {count} {name}; choose one with `{flag}`, or use `loralab sweep`"
        )));
    }
    run(&experiment, data, adapter, Cells::All, &arguments.device, &arguments.output, begun)
}

/// Reads an adapter to train further, and sets what follows from it: the scheme, rank, scale and modules, and the base if none is named.
fn continued(folder: &Path, settings: &mut Experiment) -> Result<Arc<Adapter>> {
    let adapter = source::adapter(folder)?;
    if let Some(own) = adapter.quantised_base.as_ref().filter(|own| own.whole) {
        let own_bits = || own.quantiser.to_string();
        settings.quantize.get_or_insert_with(own_bits);
    } else if let Some(quantised) = &adapter.quantised_base {
        return Err(usage(format_args!(
            "the adapter `{}` belongs to a quantised copy of `{}`, which only its own start trains on; train it anew, or choose another adapter",
            folder.display(),
            quantised.base
        )));
    }
    if settings.base.is_none() && !adapter.base.is_empty() {
        settings.base = Some(adapter.base.clone());
    }
    settings.schemes = Some(vec![GIVEN.name.to_owned()]);
    settings.rank = Some(adapter.rank);
    settings.alpha = Some(adapter.alpha);
    settings.scaling = Some(if adapter.use_rslora { Scaling::RsLora } else { Scaling::Classic }.to_string());
    settings.target_modules = Some(adapter.modules.iter().map(|module| module.name.clone()).collect());
    (settings.exclude_modules, settings.layers_to_transform, settings.layers_pattern) = (None, None, None);
    let own = adapter.modules.iter().filter(|module| module.factor != 1.0);
    let own = own.map(|module| format!("{}={}", module.name, adapter.alpha * module.factor)).collect::<Vec<_>>();
    settings.alpha_pattern = (!own.is_empty()).then_some(own);
    Ok(Arc::new(adapter))
}

fn run(
    experiment: &Resolved,
    data: Option<Split>,
    adapter: Option<Arc<Adapter>>,
    cells: Cells,
    device: &DeviceArguments,
    output: &Output,
    begun: &Begun,
) -> Result<()> {
    if output.keep_best && !(1..experiment.steps).any(|step| experiment.evaluates_after(step)) {
        return Err(usage(format_args!(
            "`--keep-best` chooses among validations during the training, but with `evaluate_every` {} and {} steps there is only the one at the end; give \
             `--evaluate-every` a smaller number of steps",
            experiment.evaluate_every, experiment.steps
        )));
    }
    if output.dry_run {
        let prepared = prepare::with_data(experiment, data, device, output.quiet)?;
        dry_run(experiment, cells, output.keep_best, &Prepared { adapter, ..prepared })?;
        if let (false, Err(error)) = (output.overwrite, Results::check_free(&output.output, OVERWRITE)) {
            note(format_args!("Without `--dry-run` this is refused: {error}."));
        }
        return Ok(());
    }
    let interrupt = Interrupt::listen(output.quiet);
    let resumes = output.resume.is_some();
    let results = Results::open(&output.output, output.overwrite, resumes, Some(begun))?;
    let widened =
        if resumes { Some(resume::widened(experiment, &output.output, cells == Cells::Searched)?) } else { None };
    let experiment = widened.as_ref().unwrap_or(experiment);
    let prepared = Prepared { adapter, ..prepare::with_data(experiment, data, device, output.quiet)? };
    let mut trained = train_grid(experiment, cells, &prepared, device, results, output, &interrupt)?;
    let printed = if output.json { Ok(()) } else { print_results(&trained, experiment, &prepared) };
    trained.complete(output.quiet)?;
    printed
}

fn dry_run(experiment: &Resolved, cells: Cells, keeps_best: bool, prepared: &Prepared) -> Result<()> {
    let sweep = prepared.sweep(experiment).map_err(|error| refused(error, experiment))?.keeping_best(keeps_best);
    if cells == Cells::Searched {
        let first = Resolved {
            seeds: experiment.seeds[..1].to_vec(),
            ..Search::new(experiment, true).0.experiment(experiment)
        };
        print("What the first round of the search would train; the others depend on what comes of it.")?;
        return dry_run::print_costs(
            &first,
            prepared,
            &sweep,
            &prepared
                .cohorts(&sweep, &first.cells())
                .map_err(|error| refused_cohorts(error, prepared, &sweep, &first))?,
        );
    }
    dry_run::print_costs(
        experiment,
        prepared,
        &sweep,
        &prepared
            .cohorts(&sweep, &cells.of(experiment))
            .map_err(|error| refused_cohorts(error, prepared, &sweep, experiment))?,
    )
}

/// Prints the results on stdout.
fn print_results(trained: &Trained, experiment: &Resolved, prepared: &Prepared) -> Result<()> {
    let Trained { summary, runs, results, searched, .. } = trained;
    print(format_args!("{}\n{}\n", summary.table(), summary.sentence()))?;
    let looks: Vec<String> = trained.curves.iter().filter_map(symptoms_in_words).collect();
    if !looks.is_empty() {
        print(format_args!("{}\n", looks.join("\n")))?;
    }
    if let Some(words) = options_in_words(experiment) {
        print(format_args!("{words}\n"))?;
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
    if let (Data::Task(_), Some(command)) = (&experiment.data, trial(results, summary, runs, prepared)) {
        print(format_args!("Try the best adapter: {command}"))?;
    }
    Ok(())
}

/// A sentence with the schemes' options that are not their defaults; none if there are none.
pub fn options_in_words(experiment: &Resolved) -> Option<String> {
    let options: Vec<String> = experiment.scheme_options.iter().map(ToString::to_string).collect();
    (!options.is_empty()).then(|| format!("Options of schemes that are not their defaults: {}.", options.join(", ")))
}

/// The command that answers one held-out prompt with the best adapter.
fn trial(results: &Results, summary: &Summary, runs: &[RunResult], prepared: &Prepared) -> Option<String> {
    let loss = |run: &RunResult| run.finished_loss().unwrap_or(f64::INFINITY);
    let is_best = |run: &&RunResult| {
        let of_scheme = summary.schemes.iter().find(|scheme| scheme.scheme == run.cell.scheme);
        of_scheme.and_then(|scheme| scheme.best_learning_rate) == Some(run.cell.learning_rate)
    };
    let best = runs.iter().filter(is_best).min_by(|x, y| loss(x).total_cmp(&loss(y)))?;
    if !results.has_adapter(&best.cell) {
        return None;
    }
    let first = prepared.data.validation.examples()?.iter().next()?;
    let prompt = quoted(&prepared.tokenizer.decode(first.prompt()));
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
        let mut command =
            format!("loralab init {name} --base {base} --rank {rank} --target-modules {}", quoted_list(&modules));
        let layers: Vec<String> = experiment.layers_to_transform.0.iter().map(usize::to_string).collect();
        for (flag, values) in [
            ("exclude-modules", &experiment.exclude_modules.0),
            ("layers-to-transform", &layers),
            ("layers-pattern", &experiment.layers_pattern.0),
            ("rank-pattern", &experiment.rank_pattern.iter().map(ToString::to_string).collect()),
            ("alpha-pattern", &experiment.alpha_pattern.iter().map(ToString::to_string).collect()),
        ] {
            if !values.is_empty() {
                command += &format!(" --{flag} {}", quoted_list(&values.join(",")));
            }
        }
        if !options.is_empty() {
            command += &format!(" --scheme-options {}", options.join(","));
        }
        command + &format!(" --output {name}")
    };
    let schemes = experiment.schemes.iter();
    let trained = schemes.filter(|name| find(name).is_ok_and(|scheme| scheme.rule.quantiser().is_some()));
    trained.map(|name| (name.as_str(), command(name))).collect()
}

/// The same of a list with commas, which a shell takes as they are.
fn quoted_list(text: &str) -> String {
    if text.split(',').all(|entry| quoted(entry) == entry) { text.to_owned() } else { quoted(text) }
}
