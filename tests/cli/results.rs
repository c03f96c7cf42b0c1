//! Results are neither lost nor mixed: folders that hold something, two processes, disks that are full, readers that leave.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use loralab_experiment::Event;

use super::{Outcome, Place, resume::assert_same, send, small, snapshot, until};

/// A sweep that goes on for a minute or more, if it is not stopped.
const ENDLESS: [&str; 10] =
    ["--base", "nano", "--batch-size", "2", "--seeds", "1", "--learning-rates", "1e-3", "--steps", "100000"];

/// Every file in a folder, by its path from there.
fn files(place: &Place, folder: &str) -> BTreeSet<String> {
    let root = place.path(folder);
    let named = |path: std::path::PathBuf| path.strip_prefix(&root).expect("in it").to_string_lossy().into_owned();
    snapshot(&root).into_iter().filter(|(_, bytes)| bytes.is_some()).map(|(path, _)| named(path)).collect()
}

/// Begins a sweep that does not end, and waits until it trains.
fn endless(place: &Place, more: &[&str]) -> Child {
    let mut command = place.command(&[&["sweep"], &ENDLESS[..], more].concat());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    // If it replaces earlier results, which have a log and a summary, it begins beside them.
    let [log, new, summary] =
        ["metrics.jsonl", ".new.partial/metrics.jsonl", "summary.json"].map(|name| place.path("results").join(name));
    let trains = |log| fs::read_to_string(log).is_ok_and(|text: String| text.contains("\"seed\":0},\"step\":2,"));
    until("it trains", || trains(&new) || (trains(&log) && !summary.exists()));
    child
}

fn run(mut command: Command) -> Outcome {
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn overwriting_removes_what_loralab_wrote_and_nothing_else() {
    let place = Place::new();
    place.succeed(&small("sweep", &["--learning-rates", "auto", "--schemes", "init-a", "--seeds", "2", "--quiet"]));
    place.succeed(&["report", "results"]);
    let own = files(&place, "results");
    for name in
        ["search.json", "search.csv", "rates.csv", "report.html", "adapters/init-a_lr4e-3_seed0/adapter_config.json"]
    {
        assert!(own.contains(name), "{own:?}");
    }
    // A file of an older version's sweep on a GPU, and what a process leaves that is killed.
    place.write("results/tiles.txt", "");
    place.write("results/.summary.json.partial", "{");
    // Notes, a folder beside ours, a file in one of ours, an adapter of another sweep.
    let foreign = [
        "notes.txt",
        "adapters/notes.txt",
        "adapters/mine/adapter_config.json",
        "adapters/init-a_lr4e-3_seed0/notes.txt",
        "adapters/init-a_lr1e-3_seed7/adapter_model.safetensors",
        "shipped/notes.txt",
    ];
    for name in foreign {
        fs::create_dir_all(place.path("results").join(name).parent().expect("a folder")).expect("a folder");
        place.write(&format!("results/{name}"), "mine");
    }
    place.succeed(&small("train", &["--seed", "3", "--quiet", "--overwrite"]));
    let mut expected: BTreeSet<String> = foreign.map(str::to_owned).into();
    let figures = ["loss_by_learning_rate.svg", "training_curves.svg"];
    for name in ["command.json", "metrics.jsonl", "experiment.toml", "summary.json"].iter().chain(&figures) {
        expected.insert((*name).to_owned());
    }
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        expected.insert(format!("adapters/init-a_lr4e-3_seed3/{name}"));
    }
    assert_eq!(files(&place, "results"), expected);
    assert!(foreign.iter().all(|name| place.read(&format!("results/{name}")) == "mine"));

    // Without its log the results are known by their experiment, and the same run's adapter goes where a note is.
    fs::remove_file(place.path("results/metrics.jsonl")).expect("a log");
    place.write("results/adapters/init-a_lr4e-3_seed3/notes.txt", "mine");
    place.succeed(&small("train", &["--seed", "3", "--alpha", "8", "--quiet", "--overwrite"]));
    expected.insert("adapters/init-a_lr4e-3_seed3/notes.txt".to_owned());
    assert_eq!(files(&place, "results"), expected);
}

#[test]
fn a_reproduction_replaces_the_results_of_another() {
    let place = Place::new();
    let transformer = [
        &["reproduce", "transformer", "--widths", "16", "--layers", "1", "--pretraining-steps", "3"][..],
        &["--base", "nano", "--steps", "3", "--batch-size", "2", "--validation-examples", "4", "--seeds", "1"],
        &["--learning-rates", "1e-3,4e-3", "--device", "cpu", "--quiet"],
    ]
    .concat();
    place.succeed(&transformer);
    assert!(place.path("results/width-16.safetensors").exists() && place.path("results/width-16/adapters").is_dir());
    place.write("results/width-16/notes.txt", "mine");
    let exponents = ["reproduce", "exponents", "--widest", "256", "--seeds", "2", "--quiet", "--overwrite"];
    place.succeed(&exponents);
    let ours = ["exponents_adam", "exponents_sign", "stable_rates"];
    let mut expected: BTreeSet<String> =
        ours.iter().flat_map(|name| [format!("{name}.csv"), format!("{name}.svg")]).collect();
    expected
        .extend(["command.json", "parts.json", "summary.json", "report.html", "width-16/notes.txt"].map(str::to_owned));
    assert_eq!(files(&place, "results"), expected);
    assert!(!place.path("results/shipped").exists() && !place.path("results/width-16/adapters").exists());
    // And back.
    place.succeed(&[&transformer[..], &["--overwrite"]].concat());
    assert!(!place.path("results/stable_rates.csv").exists());
    assert_eq!(place.json("results/summary.json")["kind"], "transformer");
    assert!(place.path("results/width-16/summary.json").exists() && place.path("results/width-16/notes.txt").exists());
}

#[test]
fn earlier_results_stay_until_the_first_of_the_new_ones_is_whole() {
    let place = Place::new();
    place.succeed(&small("train", &["--quiet"]));
    let earlier = snapshot(&place.path("results"));
    let stay = || {
        let now = snapshot(&place.path("results"));
        earlier.iter().all(|file| now.contains(file))
    };
    // Stopped before a run has ended: what `--resume` takes on is beside them.
    let child = endless(&place, &["--overwrite"]);
    assert!(stay(), "the earlier results are gone");
    send(&child, "TERM");
    let output = child.wait_with_output().expect("the binary ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(143), "{stderr}");
    assert!(stderr.contains("before a run had ended: the earlier results in `results` stay"), "{stderr}");
    assert!(stderr.contains("`loralab sweep --resume results` goes on"), "{stderr}");
    assert!(stay() && place.path("results/.new.partial/state.0.bin").exists());
    // Nothing can start: so it is then.
    place.write("alike.txt", "a".repeat(3000));
    let nothing = ["--schemes", "sylvester-labels", "--data", "alike.txt", "--seeds", "1", "--overwrite", "--quiet"];
    let outcome = place.run(&small("sweep", &nothing));
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the earlier results in `results` stay"), "{}", outcome.stderr);
    assert_eq!(snapshot(&place.path("results")), earlier);
    // Killed, it leaves what the next one takes away.
    let mut child = endless(&place, &["--overwrite"]);
    send(&child, "KILL");
    child.wait().expect("the binary ends");
    assert!(stay());
    place.succeed(&["report", "results"]);
    place.succeed(&small("train", &["--seed", "1", "--overwrite", "--quiet"]));
    assert!(!files(&place, "results").iter().any(|name| name.contains("partial") || name.contains("seed0")));
    assert!(!place.path("results/report.html").exists() && !place.path("results/.new.partial").exists());
}

#[test]
fn two_processes_do_not_write_to_one_folder() {
    let place = Place::new();
    let mut child = endless(&place, &[]);
    for command in [&small("train", &["--overwrite"])[..], &["reproduce", "toy", "--overwrite"], &["report", "results"]]
    {
        let outcome = place.run(command);
        assert_eq!(outcome.code, 1, "{command:?}: {}", outcome.stderr);
        assert!(
            outcome.stderr.starts_with("error: another process of loralab writes to `results`"),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.stdout, "");
    }
    assert!(child.try_wait().expect("it can be asked").is_none());
    // The lock does not outlive the one who held it.
    send(&child, "KILL");
    child.wait().expect("the binary ends");
    assert!(place.path("results/.lock").exists());
    place.succeed(&small("train", &["--overwrite", "--quiet"]));
    assert!(!place.path("results/.lock").exists());

    let pretrain = ["pretrain", "--size", "nano", "--batch-size", "2", "--output", "new.safetensors", "--steps"];
    let mut command = place.command(&[&pretrain[..], &["100000", "--quiet"]].concat());
    let mut child = command.stdout(Stdio::null()).spawn().expect("the binary runs");
    until("it is locked", || place.path(".new.safetensors.lock").exists());
    let outcome = place.run(&[&pretrain[..], &["3"]].concat());
    assert!(outcome.code == 1 && outcome.stderr.contains("writes to `new.safetensors`"), "{}", outcome.stderr);
    send(&child, "TERM");
    child.wait().expect("the binary ends");
    assert!(place.path("new.safetensors.state.0.bin").exists() && !place.path(".new.safetensors.lock").exists());
}

#[test]
fn nothing_is_measured_that_could_not_be_written() {
    let place = Place::new();
    place.write("file", "mine");
    let few = ["--base", "nano", "--steps", "3", "--learning-rates", "1e-3", "--seeds", "1"];
    for command in [
        &["exponents", "--widest", "256", "--seeds", "1"][..],
        &["toy", "--widest", "128", "--seeds", "1", "--steps", "1", "--device", "cpu"],
        &[&["crossing"], &few[..]].concat(),
        &[&["curvature"], &few[..]].concat(),
        &[&["transformer", "--widths", "16", "--pretraining-steps", "1"], &few[..]].concat(),
    ] {
        // Progress would be told before the error.
        let command = [&["reproduce"], command, &["--output", "file/below"]].concat();
        place.refuse(&command, 1, &["`file/below` cannot be written"]);
    }
}

/// A command whose files can't grow beyond so many blocks of 512 or 1024 bytes, as on a disk that is full.
fn on_a_small_disk(place: &Place, blocks: u32, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("sh");
    let script = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_loralab")]).args(arguments);
    command.current_dir(place.0.path()).stdin(Stdio::null());
    run(command)
}

#[test]
fn a_full_disk_loses_no_run_that_had_ended() {
    let place = Place::new();
    let flags =
        ["sweep", "--base", "nano", "--batch-size", "2", "--validation-examples", "4", "--steps", "30", "--rank"];
    let grid = ["1", "--cohort", "2", "--seeds", "20", "--learning-rates", "1e-3", "--quiet"];
    let outcome = on_a_small_disk(&place, 32, &[&flags[..], &grid].concat());
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    for words in
        ["of 40 runs had ended, and the results in `results` are theirs", "`results/metrics.jsonl` cannot be written"]
    {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    assert!(outcome.stdout.contains("init-a") && outcome.stdout.contains("Results are in"), "{}", outcome.stdout);
    let runs = place.json("results/summary.json")["schemes"][0]["runs"].as_u64();
    assert!(runs.is_some_and(|runs| (1..20).contains(&runs)), "{runs:?}");
    // The log ends with a whole line.
    assert!(place.events("results/metrics.jsonl").iter().any(|event| matches!(event, Event::RunFinished { .. })));
}

/// Runs the binary on a disk of so many KiB, and copies its `results` to the folder `kept`; `None` if no disk can be mounted.
#[cfg(target_os = "linux")]
fn on_a_disk_of(place: &Place, kib: usize, before: &str, arguments: &[&str]) -> Option<Outcome> {
    let mount = "rm -rf disk kept && mkdir disk && mount -t tmpfs -o size=\"$0\"k tmpfs disk && cd disk";
    let script = format!("{mount} || exit 99; {before} \"$@\"; code=$?; cp -r results ../kept; exit $code");
    let mut command = Command::new("unshare");
    command.args(["-mr", "sh", "-c", &script, &kib.to_string(), env!("CARGO_BIN_EXE_loralab")]).args(arguments);
    command.current_dir(place.0.path()).stdin(Stdio::null());
    let outcome = run(command);
    let is_refused = outcome.code == 99 || outcome.stderr.starts_with("unshare: ");
    (!is_refused).then_some(outcome)
}

/// Four adapters of 300 KiB each.
const LARGE: [&str; 7] = ["--rank", "64", "--learning-rates", "1e-3,2e-3", "--seeds", "1", "--quiet"];

/// Asserts that the results are whole but for adapters, and that they agree on which of these are missing; returns the number of those.
fn missing(place: &Place, folder: &str, outcome: &Outcome) -> usize {
    let Outcome { code, stdout, stderr } = outcome;
    let events = place.events(&format!("{folder}/metrics.jsonl"));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::RunFinished { .. })).count(), 4, "{stderr}");
    let Some(Event::Finished { complete: true, unwritten, .. }) = events.last() else { panic!("{events:?}") };
    let summary = place.json(&format!("{folder}/summary.json"));
    let runs = |scheme| summary["schemes"][scheme]["runs"].as_u64();
    assert_eq!([runs(0), runs(1)], [Some(2); 2]);
    let listed = summary["unwritten"].as_array().map_or(0, Vec::len);
    let adapters = fs::read_dir(place.path(folder).join("adapters")).expect("a folder").flatten();
    let adapters: Vec<String> = adapters.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(unwritten.iter().all(|run| !adapters.contains(run) && stdout.contains(run)), "{adapters:?}: {stdout}");
    assert_eq!((adapters.len(), listed), (4 - unwritten.len(), unwritten.len()), "{adapters:?}");
    if let Some((_, tried)) = stdout.split_once("--adapter ") {
        assert!(adapters.iter().any(|run| tried.contains(run)), "{adapters:?}: {tried}");
    }
    if let [first, ..] = &unwritten[..] {
        assert!(
            [1, 75].contains(code) && stderr.contains("4 of 4 runs had ended, and the results in `results` are theirs")
        );
        assert!(stderr.contains("error: 4 of 4") && stderr.contains(first), "{stderr}");
    }
    unwritten.len()
}

#[test]
fn adapters_that_do_not_fit_are_named_and_the_rest_is_whole() {
    let place = Place::new();
    // The adapters alone are larger than a file may be.
    let outcome = on_a_small_disk(&place, 400, &small("sweep", &LARGE));
    assert_eq!(missing(&place, "results", &outcome), 4);
    assert!(!outcome.stdout.contains("Try the best adapter"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("The adapters of init-a_lr1e-3_seed0, "), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("The work goes on, but the adapter of init-a_lr1e-3_seed0 cannot be written"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_at_the_end_keeps_what_was_found() {
    let place = Place::new();
    let mut found = BTreeSet::new();
    // Whatever is the first thing that does not fit: the third adapter, a figure, the summary or the end of the log.
    for kib in [160, 300, 320, 336, 344, 352, 360, 400, 664, 680, 700, 960, 980, 1000, 1400] {
        let Some(outcome) = on_a_disk_of(&place, kib, "", &small("sweep", &LARGE)) else { return };
        let lacks = missing(&place, "kept", &outcome);
        found.insert(lacks);
        // Where there is room, `--resume` trains the runs again whose adapters were not written.
        if lacks == 2 {
            place.succeed(&["sweep", "--resume", "kept", "--quiet"]);
            place.succeed(&small("sweep", &[&LARGE[..], &["--overwrite", "--output", "whole"]].concat()));
            assert_same(&place, "whole", "kept", "continued where there is room");
        }
    }
    assert_eq!(found, [0, 1, 2, 3, 4].into());
}

#[test]
#[cfg(target_os = "linux")]
fn new_results_that_fit_replace_earlier_ones_on_a_full_disk() {
    let place = Place::new();
    place.succeed(&small("sweep", &[&LARGE[..], &["--schemes", "init-b", "--output", "earlier"]].concat()));
    place.write("earlier/notes.txt", "mine");
    // Room for the earlier results, which are two adapters, and no other adapter beside them.
    for (kib, lacks) in [(780, 2), (1400, 0)] {
        let before = "cp -r ../earlier results && ";
        let arguments = small("sweep", &[&LARGE[..], &["--overwrite"]].concat());
        let Some(outcome) = on_a_disk_of(&place, kib, before, &arguments) else { return };
        assert_eq!(missing(&place, "kept", &outcome), lacks, "{}", outcome.stderr);
        assert_eq!(place.read("kept/notes.txt"), "mine");
    }
}

/// Its base does not fit where its adapter would.
#[test]
fn a_start_is_written_whole_or_not_at_all() {
    let place = Place::new();
    let init = ["init", "loftq-nf4", "--base", "nano", "--rank", "1", "--output", "start"];
    let outcome = on_a_small_disk(&place, 32, &init);
    assert!(outcome.code == 1 && outcome.stderr.contains("`start` cannot be written"), "{}", outcome.stderr);
    assert_eq!(snapshot(place.0.path()), []);
    // Files of a command that was cut off are not mixed into those of the next.
    fs::create_dir(place.path(".start.partial")).expect("a folder");
    place.write(".start.partial/base.safetensors", "of a process that was killed");
    place.succeed(&["init", "init-a", "--base", "nano", "--rank", "1", "--output", "start"]);
    let expected =
        ["README.md", "adapter_config.json", "adapter_model.safetensors"].map(|name| format!("start/{name}"));
    assert_eq!(files(&place, ""), expected.into());
}

#[test]
fn what_cannot_be_written_at_all_is_printed() {
    let place = Place::new();
    let flags = ["--seeds", "2000", "--cohort", "4", "--learning-rates", "1e-3,2e-3", "--quiet"];
    let mut command = place.command(&small("sweep", &flags));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let log = place.path("results/metrics.jsonl");
    until("a cohort ends", || fs::read_to_string(&log).is_ok_and(|text| text.contains("cohort_finished")));
    fs::rename(place.path("results"), place.path("gone")).expect("a folder");
    place.write("results", "no folder");
    let output = child.wait_with_output().expect("the binary ends");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("of 8000 runs had ended, but their summary could not be written to `results`"), "{stderr}");
    assert!(stdout.contains("init-a") && stdout.contains("init-b") && !stdout.contains("Results are in"), "{stdout}");

    let mut command =
        place.command(&["reproduce", "exponents", "--widest", "2048", "--seeds", "8", "--output", "found"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("layers: ")));
    fs::rename(place.path("found"), place.path("lost")).expect("a folder");
    let rest: String = lines.collect();
    let output = child.wait_with_output().expect("the binary ends");
    assert!(output.status.code() == Some(1) && rest.contains("`found/summary.json` cannot be written"), "{rest}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(" of 72 exponents "));
}

#[test]
fn a_reader_that_leaves_does_not_end_the_training() {
    let place = Place::new();
    let leave = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the binary ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = leave(&small("train", &["--json"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("`results/metrics.jsonl` has every event") && stderr.lines().count() == 1, "{stderr}");
    assert!(matches!(place.events("results/metrics.jsonl").last(), Some(Event::Finished { complete: true, .. })));
    assert_eq!(place.json("results/summary.json")["schemes"][0]["runs"], 1);
    // Whoever only reads a list has read enough.
    for command in [&["schemes"][..], &small("plan", &[])[..]] {
        assert_eq!(leave(command), (Some(0), String::new()));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_printed_to_a_full_disk_is_not_lost_in_silence() {
    let place = Place::new();
    let full = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.stdout(fs::File::options().write(true).open("/dev/full").expect("Linux has it")).stderr(Stdio::piped());
        let output = command.spawn().and_then(Child::wait_with_output).expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = full(&["schemes"]);
    assert!(code == Some(75) && stderr.starts_with("error: stdout cannot be written"), "{stderr}");
    let (code, stderr) = full(&small("train", &["--json"]));
    for words in ["The work goes on", "1 of 1 runs had ended, and the results in `results` are theirs: stdout cannot"] {
        assert!(code == Some(75) && stderr.contains(words), "{stderr}");
    }
    assert!(place.path("results/summary.json").exists());
}
