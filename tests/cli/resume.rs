//! `--resume`: a training that was killed or stopped and is continued ends as one that was not, bit for bit but for times.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use loralab_experiment::{Cell, Event, RunResult};
use serde_json::Value;

use super::{Place, SMALL, send, small, snapshot, until};

/// Several cohorts of some milliseconds each, all validated on the way, with a save every few milliseconds.
const SWEEP: [&str; 15] = [
    "--steps",
    "24",
    "--learning-rates",
    "1e-3,4e-3,50",
    "--seeds",
    "2",
    "--cohort",
    "3",
    "--evaluate-every",
    "5",
    "--keep-best",
    "--save-every",
    "0.0002",
    "--diagnose-every",
    "7",
];

/// Kills of each kind of training; 200 in all were tried by hand.
pub fn kills() -> u64 {
    std::env::var("LORALAB_KILLS").map_or(6, |kills| kills.parse().expect("LORALAB_KILLS is a number"))
}

/// The flags of [`SWEEP`] with those of every small training, without its steps.
pub fn sweep(output: &str) -> Vec<&str> {
    let [base, nano, _, _, rest @ ..] = SMALL;
    [&["sweep", base, nano], &rest[..], &SWEEP, &["--device", "cpu", "--output", output]].concat()
}

/// What a folder's log says of each run, its times left out: the steps, validations and diagnostics in their order, and the result.
fn told(place: &Place, folder: &str) -> BTreeMap<String, Vec<Event>> {
    let mut told: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in place.events(&format!("{folder}/metrics.jsonl")) {
        let event = match event {
            Event::RunFinished { result } => Event::RunFinished { result: RunResult { seconds: 0.0, ..result } },
            other => other,
        };
        if let Some(cell) = event.cell() {
            told.entry(cell.id()).or_default().push(event);
        }
    }
    told
}

/// A summary without times.
pub fn timeless(mut summary: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| !key.contains("seconds"));
                map.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut summary);
    summary
}

/// The adapters and figures of a folder.
fn lasting(folder: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let name = |path: &Path| path.strip_prefix(folder).expect("it is inside").display().to_string();
    let found = snapshot(folder).into_iter().map(|(path, contents)| (name(&path), contents));
    found
        .filter(|(name, _)| name.starts_with("adapters") || name.ends_with(".svg") || name == "experiment.toml")
        .collect()
}

/// Both folders hold the same results.
pub fn assert_same(place: &Place, one: &str, other: &str, what: &str) {
    let names = |folder: &str| lasting(&place.path(folder)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "{what}");
    assert!(lasting(&place.path(one)) == lasting(&place.path(other)), "{what}: a file differs");
    let summary = |folder: &str| timeless(place.json(&format!("{folder}/summary.json")));
    assert_eq!(summary(one), summary(other), "{what}");
    assert_eq!(told(place, one), told(place, other), "{what}");
}

/// Numbers that are spread over 0 to 1.
fn spread(seed: u64) -> f64 {
    (seed as f64 * 0.618_033_988_749_895).fract()
}

fn spawn(place: &Place, words: &[&str]) -> Child {
    place.command(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

/// Begins a command, kills it `kills` times at various moments, continuing it in between, and lets it end.
pub fn kill_and_resume(place: &Place, begin: &[&str], resume: &[&str], begun: &str, kills: u64) {
    let mut child = spawn(place, begin);
    until("it has begun", || place.path(begun).exists());
    for kill in 0..kills {
        std::thread::sleep(Duration::from_secs_f64(0.3 * spread(kill)));
        send(&child, "KILL");
        child.wait().expect("it ends");
        child = spawn(place, resume);
    }
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_sweep_that_was_killed_ends_as_one_that_was_not() {
    let place = Place::new();
    place.succeed(&sweep("whole"));
    assert!(place.path("whole/adapters/init-a_lr1e-3_seed1/best/adapter_model.safetensors").exists());
    let resume = ["sweep", "--resume", "killed"];
    kill_and_resume(&place, &sweep("killed"), &resume, "killed/command.json", kills());
    assert_same(&place, "whole", "killed", "killed");
    // Once more where nothing is left to do.
    place.succeed(&resume);
    assert_same(&place, "whole", "killed", "continued when complete");

    // Results that are to replace earlier ones.
    let overwrite = [&sweep("killed")[..], &["--overwrite"]].concat();
    kill_and_resume(&place, &overwrite, &resume, "killed/.new.partial/command.json", kills());
    assert_same(&place, "whole", "killed", "replaced");
    let names = |folder: &str| {
        snapshot(&place.path(folder))
            .into_iter()
            .map(|(path, _)| path.file_name().map(|name| name.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names("whole"), names("killed"), "nothing is left of the earlier results or the states");
}

/// Every call by which files change is a moment to be killed at; strace kills there.
#[cfg(target_os = "linux")]
#[test]
fn a_sweep_that_was_killed_at_a_write_goes_on() {
    let place = Place::new();
    let flags =
        ["--learning-rates", "1e-3,50", "--seeds", "1", "--cohort", "2", "--save-every", "0.0000001", "--output"];
    let words = |output| [&small("sweep", &flags)[..], &[output]].concat();
    place.succeed(&words("whole"));
    let mut killed = 0;
    for call in ["rename", "fsync", "fdatasync", "ftruncate", "mkdir", "unlink", "write"] {
        // In CI only some of the calls: all of them take minutes.
        let step = if kills() >= 200 { 1 } else { 9 };
        for when in (1..).step_by(step) {
            let _ = fs::remove_dir_all(place.path("killed"));
            let binary = place.command(&words("killed"));
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:signal=KILL:when={when}")]);
            strace.arg(binary.get_program()).args(binary.get_args()).current_dir(place.0.path());
            let output = strace.stdin(Stdio::null()).output().expect("strace runs; `cargo xtask setup` installs it");
            if output.status.success() {
                break;
            }
            killed += 1;
            if place.path("killed/command.json").exists() {
                place.succeed(&["sweep", "--resume", "killed"]);
                assert_same(&place, "whole", "killed", &format!("{call} {when}"));
            }
        }
    }
    assert!(killed > 12, "{killed}");
}

#[test]
fn a_sweep_that_stops_runs_early_and_was_killed_ends_as_one_that_was_not() {
    let place = Place::new();
    let words = |output| [&sweep(output)[..], &["--stop-early", "--learning-rates", "1e-4,4e-3,1,50"]].concat();
    let words = |output| -> Vec<&str> {
        // The rates above instead of those of the other sweeps.
        let mut words = words(output);
        let rates = words.iter().position(|word| *word == "--learning-rates").expect("they have rates");
        words.drain(rates..rates + 2);
        words
    };
    place.succeed(&words("whole"));
    let stopped = |event: &&Event| matches!(event, Event::RunFinished { result } if result.stopped.is_some());
    let events = place.events("whole/metrics.jsonl");
    assert!(events.iter().filter(stopped).count() >= 4, "{}", place.read("whole/summary.json"));
    let resume = ["sweep", "--resume", "killed"];
    kill_and_resume(&place, &words("killed"), &resume, "killed/command.json", kills());
    assert_same(&place, "whole", "killed", "killed");
    // The runs of a cohort are compared with each other.
    place.refuse(&["sweep", "--resume", "killed", "--cohort", "2"], 1, &["`cohort = 2`", "`cohort = 3`"]);
}

#[test]
fn a_sweep_that_was_stopped_goes_on_from_that_step() {
    let place = Place::new();
    let long = ["--steps", "400", "--evaluate-every", "50", "--save-every", "0"];
    let [base, nano, _, _, rest @ ..] = SMALL;
    let words = |output| {
        [&["sweep", base, nano], &rest[..], &long, &["--seeds", "1", "--device", "cpu", "--output", output]].concat()
    };
    place.succeed(&words("whole"));
    let child = spawn(&place, &words("stopped"));
    until("some steps", || {
        fs::read_to_string(place.path("stopped/metrics.jsonl")).is_ok_and(|log| log.contains("\"step\":20,"))
    });
    send(&child, "TERM");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("`loralab sweep --resume stopped` goes on"), "{stderr}");
    let outcome = place.succeed(&["sweep", "--resume", "stopped"]);
    let step =
        outcome.stderr.split("go on after step ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    assert!(step.is_some_and(|step| step.parse::<usize>().is_ok_and(|step| step >= 20)), "{}", outcome.stderr);
    assert_same(&place, "whole", "stopped", "stopped");
}

#[test]
fn a_search_that_was_killed_ends_as_one_that_was_not() {
    let place = Place::new();
    let words = |output| {
        [
            &small("sweep", &["--learning-rates", "auto", "--seeds", "2", "--cohort", "2"])[..],
            &["--save-every", "0.0002", "--output", output],
        ]
        .concat()
    };
    place.succeed(&words("whole"));
    kill_and_resume(&place, &words("killed"), &["sweep", "--resume", "killed"], "killed/command.json", kills());
    assert_same(&place, "whole", "killed", "killed");
    assert_eq!(place.read("whole/search.json"), place.read("killed/search.json"));
    let listed = ["sweep", "--resume", "whole", "--learning-rates", "1e-3"];
    place.refuse(&listed, 2, &["begun with `--learning-rates auto`", "leave `--learning-rates` away"]);
}

/// Each run of the larger grid is what it is in a sweep of the larger grid.
#[test]
fn more_seeds_and_rates_train_only_what_is_missing() {
    let place = Place::new();
    let words = |output, rates, seeds| {
        small("sweep", &["--learning-rates", rates, "--seeds", seeds, "--output", output])
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let run = |words: &[String]| place.succeed(&words.iter().map(String::as_str).collect::<Vec<_>>());
    run(&words("whole", "1e-3,4e-3", "3"));
    let grow = |folder| ["sweep", "--resume", folder, "--seeds", "3", "--learning-rates", "1e-3"];
    for folder in ["grown", "killed"] {
        run(&words(folder, "4e-3", "1"));
        if folder == "killed" {
            kill_and_resume(&place, &grow(folder), &grow(folder), "killed/command.json", kills());
        } else {
            let outcome = place.succeed(&grow(folder));
            assert!(outcome.stderr.contains("Continued: 2 runs of 12 had ended"), "{}", outcome.stderr);
        }
        assert_eq!(told(&place, "whole"), told(&place, folder));
        assert_eq!(timeless(place.json("whole/summary.json")), timeless(place.json(&format!("{folder}/summary.json"))));
        assert!(lasting(&place.path("whole")) == lasting(&place.path(folder)));
    }
    let searched = ["sweep", "--resume", "whole", "--learning-rates", "auto"];
    place.refuse(&searched, 2, &["begun without `--learning-rates auto`"]);
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() {
    let place = Place::new();
    let words = |output| {
        ["train", "--base", "nano", "--steps", "300", "--batch-size", "2", "--save-every", "0.0002", "--output", output]
    };
    place.succeed(&words("whole"));
    kill_and_resume(&place, &words("killed"), &["train", "--resume", "killed"], "killed/command.json", kills());
    assert_same(&place, "whole", "killed", "killed");
}

#[test]
fn a_pretraining_that_was_killed_or_stopped_ends_as_one_that_was_not() {
    let place = Place::new();
    let words = |output| {
        let sizes =
            ["pretrain", "--size", "nano", "--layers", "1", "--batch-size", "2", "--tokens", "16", "--steps", "400"];
        [&sizes[..], &["--save-every", "0.0002", "--output", output]].concat()
    };
    place.succeed(&words("whole.safetensors"));
    let resume = ["pretrain", "--resume", "killed.safetensors"];
    kill_and_resume(&place, &words("killed.safetensors"), &resume, "killed.safetensors.command.json", kills());
    let bytes = |name: &str| fs::read(place.path(name)).expect("a base");
    assert!(bytes("whole.safetensors") == bytes("killed.safetensors"));
    let names: Vec<_> = snapshot(place.0.path()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["killed.safetensors", "whole.safetensors"].map(|name| place.path(name)), "nothing else is left");

    let child = spawn(&place, &words("stopped.safetensors"));
    until("it has begun", || place.path("stopped.safetensors.state.0.bin").exists());
    send(&child, "INT");
    let stderr = child.wait_with_output().expect("it ends").stderr;
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.contains("`loralab pretrain --resume stopped.safetensors` goes on"), "{stderr}");
    assert!(!place.path("stopped.safetensors").exists());
    place.refuse(&words("stopped.safetensors"), 2, &["was cut off", "--resume stopped.safetensors", "--overwrite"]);
    place.succeed(&["pretrain", "--resume", "stopped.safetensors"]);
    assert!(bytes("whole.safetensors") == bytes("stopped.safetensors"));
}

/// A small reproduction of each kind, with the file that shows that it has begun.
const REPRODUCTIONS: [(&str, &str, &str); 5] = [
    ("toy", "--device cpu --widest 512 --seeds 2 --steps 20 --readouts standard", "killed/parts.json"),
    ("exponents", "--widest 1024 --seeds 3", "killed/parts.json"),
    (
        "crossing",
        "--base nano --steps 8 --batch-size 2 --seeds 2 --cohort 8 --save-every 0.0002",
        "killed/command.json",
    ),
    (
        "curvature",
        "--base nano --steps 4 --batch-size 2 --seeds 1 --products 8 --batches 1 --learning-rates 1e-2,2e-2",
        "killed/command.json",
    ),
    (
        "transformer",
        "--widths 16,32 --layers 1 --pretraining-steps 20 --base nano --steps 4 --batch-size 2 --seeds 1 --validation-examples 4",
        "killed/command.json",
    ),
];

#[test]
fn a_reproduction_that_was_killed_ends_as_one_that_was_not() {
    for (kind, flags, begun) in REPRODUCTIONS {
        let place = Place::new();
        let flags: Vec<&str> = flags.split(' ').collect();
        let words = |output| [&["reproduce", kind], &flags[..], &["--output", output]].concat();
        place.succeed(&words("whole"));
        let resume = ["reproduce", kind, "--resume", "killed"];
        kill_and_resume(&place, &words("killed"), &resume, begun, kills().min(4));
        let summary = |folder: &str| {
            let summary = timeless(place.json(&format!("{folder}/summary.json")));
            // A base is named by its path.
            summary.to_string().replace(folder, "")
        };
        assert_eq!(summary("whole"), summary("killed"), "{kind}");
        assert!(place.path("killed/report.html").exists(), "{kind}");
    }
}

#[test]
fn what_cannot_be_continued_is_refused_in_a_sentence() {
    let place = Place::new();
    place.write("text.txt", "Ana bought a red cup. ".repeat(200));
    let words = small("sweep", &["--learning-rates", "1e-3", "--seeds", "1", "--data", "text.txt", "--tokens", "16"]);
    place.succeed(&words);
    place.refuse(
        &["sweep", "--resume", "nowhere"],
        2,
        &["`--resume nowhere`: `", "command.json`", "is not there; begin anew"],
    );
    place.refuse(&["train", "--resume", "results"], 2, &["was begun by `loralab sweep`"]);
    for flag in [["--rank", "4"], ["--data", "text.txt"], ["--device", "cpu"], ["--output", "other"]] {
        let words = [&["sweep", "--resume", "results"], &flag[..]].concat();
        place.refuse(&words, 2, &[&format!("`{}` may change the results", flag[0])]);
    }
    place.refuse(&words, 2, &["not empty", "`--resume`"]);
    let command = place.read("results/command.json");
    let other = |from: &str, to: &str| {
        assert!(command.contains(from), "{command}");
        place.write("results/command.json", command.replace(from, to));
    };
    other(env!("CARGO_PKG_VERSION"), "0.0.9");
    place.refuse(&["sweep", "--resume", "results"], 1, &["version 0.0.9"]);
    other("\"steps\": \"3\"", "\"steps\": \"4\"");
    place.refuse(&["sweep", "--resume", "results"], 1, &["`steps = 4`", "`steps = 3`", "begin anew"]);
    place.write("results/command.json", &command);
    // Other data, and another base.
    place.write("text.txt", "Ben sold a blue box. ".repeat(200));
    let other = ["sweep", "--resume", "results", "--seeds", "2"];
    place.refuse(&other, 1, &["the base, the held-out data or the device are others"]);
    place.write("results/command.json", "{");
    place.refuse(&["sweep", "--resume", "results"], 1, &["command.json` cannot be read"]);
    let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 1e-3, seed: 0 };
    assert!(place.path("results/adapters").join(cell.id()).exists());
}
