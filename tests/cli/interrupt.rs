//! Being asked to end: Ctrl-C, SIGTERM, SIGHUP.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use loralab_experiment::Event;

use super::{Place, send, small, snapshot, until};

/// So many short cohorts that a signal comes between the end of the first and that of the last.
const LONG: [&str; 6] = ["--seeds", "2000", "--cohort", "4", "--learning-rates", "1e-3,2e-3"];

/// Begins a command, and waits for this text in this file.
fn begin(place: &Place, mut command: Command, file: &str, text: &str) -> Child {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let file = place.path(file);
    until(text, || std::fs::read_to_string(&file).is_ok_and(|found| found.contains(text)));
    child
}

/// Sends a signal to a command, and waits for its end: exit code, stdout, stderr.
fn end(child: Child, signal: &str) -> (Option<i32>, String, String) {
    send(&child, signal);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the binary ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_first_one_leaves_valid_partial_results() {
    let place = Place::new();
    let command = place.command(&small("sweep", &LONG));
    let child = begin(&place, command, "results/metrics.jsonl", "cohort_finished");
    let (code, stdout, stderr) = end(child, "INT");
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("Stopping after this step") && stderr.contains("Stopped by Ctrl-C"), "{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("error:"), "{stderr}");
    assert!(stdout.contains("init-a") && stdout.contains("Results are in"), "{stdout}");

    let events = place.events("results/metrics.jsonl");
    assert!(matches!(events.last(), Some(Event::Finished { complete: false, .. })));
    let ended = |event: &&Event| matches!(event, Event::RunFinished { result } if result.final_loss.is_some());
    let ended: Vec<&Event> = events.iter().filter(ended).collect();
    let summary = place.json("results/summary.json");
    let runs: u64 =
        summary["schemes"].as_array().expect("schemes").iter().filter_map(|scheme| scheme["runs"].as_u64()).sum();
    assert!((4..8000).contains(&runs), "{runs}");
    assert_eq!(summary["planned"], 8000);
    let said = format!("The sweep was stopped: {runs} of 8000 runs had ended");
    assert!(stdout.replace('\n', " ").contains(&said), "{stdout}");
    place.succeed(&["report", "results"]);
    assert!(place.read("results/report.html").contains(&said));
    assert_eq!(runs, ended.len() as u64);
    for cell in ended.iter().filter_map(|event| event.cell()) {
        assert!(place.path("results/adapters").join(cell.id()).join("adapter_model.safetensors").is_file());
    }
    assert!(place.read("results/loss_by_learning_rate.svg").trim_end().ends_with("</svg>"));

    // The runs of a cohort are stopped at the same step.
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    for event in events.iter().filter(|event| matches!(event, Event::Step { .. })) {
        *steps.entry(event.cell().expect("a step has a cell").id()).or_default() += 1;
    }
    for event in &events {
        if let Event::CohortStarted { cells, .. } = event {
            let of_cohort: Vec<_> = cells.iter().map(|cell| steps.get(&cell.id())).collect();
            assert!(of_cohort.windows(2).all(|pair| pair[0] == pair[1]), "{of_cohort:?}");
        }
    }
}

/// Schedulers send SIGTERM, terminals that are closed SIGHUP; nobody reads what is printed after the latter.
#[test]
fn signals_to_end_are_treated_as_ctrl_c() {
    for signal in ["TERM", "HUP"] {
        let place = Place::new();
        let command = place.command(&small("sweep", &LONG));
        let mut child = begin(&place, command, "results/metrics.jsonl", "cohort_finished");
        if signal == "HUP" {
            drop(child.stdout.take());
        }
        let (code, _, stderr) = end(child, signal);
        assert_eq!(code, Some(if signal == "TERM" { 143 } else { 130 }), "{signal}: {stderr}");
        assert!(stderr.contains(&format!("Stopped by SIG{signal}: ")), "{stderr}");
        assert!(place.json("results/summary.json")["schemes"][0]["runs"].as_u64().is_some_and(|runs| runs > 0));
    }
}

/// A scheduler may stop a sweep that it has only just begun; it goes on then, too.
#[test]
fn a_request_in_the_first_moments_leaves_a_state() {
    for moment in 0..12 {
        let place = Place::new();
        let child = place.command(&small("sweep", &LONG)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let child = child.expect("the binary runs");
        until("it has begun", || place.path("results/command.json").exists());
        std::thread::sleep(std::time::Duration::from_millis(moment));
        let (code, _, stderr) = end(child, "TERM");
        assert_eq!(code, Some(143), "{stderr}");
        assert!(place.path("results/state.0.bin").exists(), "{stderr}");
    }
}

/// Neither where the work ends at once nor where it is asked for twice.
#[test]
fn no_lock_is_left_by_a_command_that_was_stopped() {
    let place = Place::new();
    let init = ["init", "pissa", "--rank", "90", "--output", "new/start"];
    let child = place.command(&init).stderr(Stdio::piped()).spawn().expect("the binary runs");
    until("it is locked", || place.path("new/.start.lock").exists());
    send(&child, "TERM");
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(snapshot(place.0.path()), []);
}

#[test]
fn a_command_that_outlives_its_terminal_goes_on() {
    let place = Place::new();
    let (binary, flags) = (
        env!("CARGO_BIN_EXE_loralab"),
        ["--base", "nano", "--batch-size", "2", "--steps", "600", "--learning-rates", "1e-3"],
    );
    let mut command = Command::new("sh");
    // As `nohup` does it, and a script for what it runs in the background.
    command.args(["-c", "trap '' HUP INT TERM; exec \"$0\" \"$@\"", binary]).arg("sweep").args(flags);
    command.current_dir(place.0.path()).stdin(Stdio::null());
    let child = begin(&place, command, "results/metrics.jsonl", "\"step\":1");
    for signal in ["INT", "TERM"] {
        send(&child, signal);
    }
    let (code, stdout, stderr) = end(child, "HUP");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Results are in"), "{stdout}");
}

#[test]
fn text_that_is_cut_off_is_said_to_be() {
    let place = Place::new();
    let mut command = place.command(&["generate", "--base", "nano", "--prompt", "Emma ", "--count", "100000000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut byte = [0];
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut byte).expect("text");
    let (code, _, stderr) = end(child, "TERM");
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("Stopped by SIGTERM"), "{stderr}");
}

/// The summary of a reproduction that is stopped when this word comes up in its progress.
fn stopped_at(place: &Place, flags: &[&str], word: &str) -> serde_json::Value {
    let mut command = place.command(&[&["reproduce"], flags, &["--output", "found"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with(word)), "{word} does not come up");
    send(&child, "INT");
    let rest: String = lines.collect();
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(output.status.code(), Some(130), "{rest}");
    assert!(rest.contains("Stopped by Ctrl-C: the results in `found` are what was measured to its end"), "{rest}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = place.json("found/summary.json");
    let stopped = summary["stopped"].as_str().expect("it is said that it was stopped");
    assert!(stdout.contains(stopped) && place.read("found/report.html").contains(stopped), "{stdout}");
    place.succeed(&["report", "found"]);
    summary
}

#[test]
fn a_reproduction_that_is_stopped_tells_what_is_whole() {
    let place = Place::new();
    let exponents = stopped_at(&place, &["exponents", "--widest", "8192", "--seeds", "6"], "layers: ");
    let cells = exponents["cells"].as_array().map_or(0, Vec::len);
    // Those of a start, an optimiser and a rate are whole together.
    assert!(
        (6..72).contains(&cells) && cells.is_multiple_of(6) && exponents["rate_laws"] == serde_json::json!([]),
        "{cells}"
    );

    let place = Place::new();
    let flags = ["toy", "--device", "cpu", "--widest", "65536", "--seeds", "1", "--steps", "20"];
    let toy = stopped_at(&place, &flags, "standard, width 512,");
    let widths = toy["readouts"][0]["widths"].as_array().expect("widths");
    assert_eq!(widths.iter().map(|width| width["width"].as_u64()).collect::<Vec<_>>(), [Some(128), Some(256)]);
    assert_eq!(toy["readouts"].as_array().map(Vec::len), Some(1));
}
