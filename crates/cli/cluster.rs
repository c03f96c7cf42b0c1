//! `loralab cluster`: prints a sweep as a job of Slurm, Ray, Kubernetes or SkyPilot.
//!
//! The jobs are the files in `cluster/`, with what a sweep needs in place of each `{{name}}`. The engine places the parts and starts them again; every part is
//! `loralab sweep --shard I/N --auto-resume`, and its exit code says whether another try is of use.

use std::{collections::BTreeMap, env};

use anyhow::Result;
use loralab_experiment::{Experiment, Resolved};

use crate::{
    args::{ClusterArguments, Device, Engine, Typed},
    dry_run::counted,
    failure::usage,
    search, source,
    terminal::{print, quoted},
};

/// Flags of a sweep that the job gives itself, or that start the folder anew.
const REFUSED: [&str; 4] = ["auto-resume", "dry-run", "overwrite", "shard"];

/// Processors that a part takes if `--threads` does not say.
const THREADS: usize = 4;

/// A line of a job that is there for parts on a GPU only begins with this.
const GPU: &str = "{{gpu}}";

/// Checks the sweep, and prints its job.
pub fn cluster(arguments: &ClusterArguments, typed: &Typed) -> Result<()> {
    if let Some(flag) = REFUSED.into_iter().find(|flag| typed.flags.contains_key(*flag)) {
        return Err(usage(format_args!(
            "`--{flag}` is not for a job, which trains each part in a folder of its own, and goes on where it was stopped; leave it away"
        )));
    }
    if typed.flags.get("data").cloned().flatten().as_deref() == Some("-") {
        return Err(usage("the parts of a job have no stdin to read `--data -` from; give a file that all nodes see"));
    }
    let sweep = &arguments.sweep;
    let searches = search::is_wanted(sweep.grid.learning_rates.as_deref())?;
    let flags = sweep.grid.over(sweep.settings.experiment());
    let mut settings = source::settings(Experiment::default(), sweep.settings.config.as_deref(), flags)?;
    if std::mem::take(&mut settings.searches) || searches {
        return Err(usage(
            "`--learning-rates auto` chooses its rates by what all parts have found, but the parts of a job know nothing of each other; list the rates",
        ));
    }
    let experiment = source::resolve(&settings)?;
    let cells = experiment.cells().len();
    if arguments.parts > cells {
        return Err(usage(format_args!(
            "`--parts {}` are more than the {} of the grid; give at most as many",
            arguments.parts,
            counted(cells, "run")
        )));
    }
    let template = match arguments.engine {
        Engine::Slurm => include_str!("cluster/slurm.sh"),
        Engine::Ray => include_str!("cluster/ray.py"),
        Engine::Kubernetes => include_str!("cluster/kubernetes.yaml"),
        Engine::Skypilot => include_str!("cluster/skypilot.yaml"),
    };
    let on_gpu = matches!(sweep.device.device, Device::Gpu(_));
    let values = values(arguments, typed, &experiment, on_gpu)?;
    print(fill(template, on_gpu, &values).trim_end())?;
    Ok(())
}

/// The values that stand in the places of a job.
fn values(
    arguments: &ClusterArguments,
    typed: &Typed,
    experiment: &Resolved,
    on_gpu: bool,
) -> Result<BTreeMap<&'static str, String>> {
    let threads = experiment.threads.map_or(THREADS, Into::into);
    let mut sweep = Typed { command: vec!["sweep".to_owned()], flags: typed.flags.clone() };
    sweep.flags.remove("parts");
    sweep.flags.insert("auto-resume".to_owned(), None);
    sweep.flags.insert("threads".to_owned(), Some(threads.to_string()));
    let words: Vec<String> = sweep.words().into_iter().skip(1).collect();
    if let Some(word) = words.iter().find(|word| word.contains(char::is_control)) {
        return Err(usage(format_args!(
            "{word:?} has a line break or another control character, which has no place in the file of a job; leave it away"
        )));
    }
    let parts = arguments.parts;
    let mut kubernetes = words.clone();
    kubernetes.push(format!("--shard=auto/{parts}"));
    let output = arguments.sweep.output.output.display().to_string();
    let program = env::current_exe()?.display().to_string();
    let shell: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    // A whole result is made anew where it was made before: it is of these parts only.
    let collect =
        format!("collect {0}/shard-*-of-{parts} --output {0}/whole --overwrite", quoted(output.trim_end_matches('/')));
    // Kubernetes puts variables in place of `$(NAME)`, and a dollar in place of two.
    let of_kubernetes = |words: &[String]| Ok::<_, serde_json::Error>(serde_json::to_string(words)?.replace('$', "$$"));
    let collect_kubernetes = of_kubernetes(&[format!("loralab {collect}")])?;
    Ok(BTreeMap::from([
        ("collect", collect),
        ("collect_kubernetes", collect_kubernetes),
        ("gpus", usize::from(on_gpu).to_string()),
        ("output", serde_json::to_string(&output)?),
        ("parts", parts.to_string()),
        ("program", quoted(&program)),
        ("program_text", serde_json::to_string(&program)?),
        ("shell", shell.join(" ")),
        ("threads", threads.to_string()),
        ("words", serde_json::to_string(&words)?),
        ("words_kubernetes", of_kubernetes(&kubernetes)?),
    ]))
}

/// A job with its values in their places, and without the lines for a GPU if it takes none.
fn fill(template: &str, on_gpu: bool, values: &BTreeMap<&str, String>) -> String {
    let lines = template.lines().filter(|line| on_gpu || !line.starts_with(GPU));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(GPU).unwrap_or(line)).collect();
    let template = lines.join("\n");
    let (first, rest) = template.split_once("{{").unwrap_or((&template, ""));
    let places = rest.split("{{").map(|place| {
        let (name, after) = place.split_once("}}").unwrap_or((place, ""));
        format!("{}{after}", values[name])
    });
    first.to_owned() + &places.collect::<String>()
}
