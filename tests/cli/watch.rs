//! `watch`: a sweep as its log tells it, in training, ended, cut off, copied.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    process::Stdio,
};

use super::{Place, SMALL, send, small, until};

const LOG: &str = include_str!("../fixtures/results/metrics.jsonl");

fn with_log(log: &str) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("results")).expect("a folder");
    place.write("results/metrics.jsonl", log);
    place
}

/// The row of a scheme in the table, without its letter.
fn row(screen: &str, scheme: &str) -> Vec<String> {
    let row = screen.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let mut of_scheme = row.filter(|row| row.get(1).is_some_and(|word| word == scheme));
    of_scheme.next().unwrap_or_else(|| panic!("no row of {scheme} in {screen}")).split_off(2)
}

#[test]
fn a_sweep_that_has_ended_is_shown_with_its_best_rates() {
    let place = Place::new();
    let flags = ["--learning-rates", "1e-3,4e-3,1e30", "--seeds", "2", "--cohort", "5"];
    place.succeed(&small("sweep", &flags));
    let screen = place.succeed(&["watch", "results"]).stdout;
    assert!(screen.starts_with(&format!("loralab {} on ", env!("CARGO_PKG_VERSION"))), "{screen}");
    assert!(screen.contains(": 12 runs of 3 steps\nFinished: 12 of 12 runs have ended, after "), "{screen}");
    let summary = place.json("results/summary.json");
    for scheme in summary["schemes"].as_array().expect("a list") {
        let [name, rate, loss] = ["scheme", "best_learning_rate", "best_loss"].map(|name| &scheme[name]);
        let rate = format!("{:e}", rate.as_f64().expect("a rate"));
        let loss = format!("{:.2}", loss.as_f64().expect("a loss"));
        let wanted = ["6", "2", "0", "0", "-", &rate, &loss];
        assert_eq!(row(&screen, name.as_str().expect("a name")), wanted, "{screen}");
    }
    assert!(screen.contains("\nValidation loss by learning rate, the last of each run, mean over seeds\n"), "{screen}");
    assert!(screen.lines().any(|line| line.trim_start().starts_with("diverged ") && line.ends_with('*')), "{screen}");
    assert!(screen.lines().any(|line| line.trim_start().starts_with("base 2.")), "{screen}");
    assert!(screen.contains("1e-3") && screen.contains("1e30"), "{screen}");
    assert!(!screen.contains('\x1b'), "{screen:?}");
    let narrow = place.command(&["watch", "results", "--once"]).env("COLUMNS", "40").output().expect("the binary runs");
    let narrow = String::from_utf8_lossy(&narrow.stdout).into_owned();
    assert!(narrow.lines().all(|line| line.chars().count() <= 40) && narrow.contains("│"), "{narrow}");
}

#[test]
fn parts_of_a_sweep_are_shown_as_one() {
    let place = Place::new();
    let words = |shard| small("sweep", &["--learning-rates", "1e-3,4e-3", "--seeds", "2", "--shard", shard]);
    for shard in ["1/2", "2/2"] {
        place.succeed(&words(shard));
    }
    fs::create_dir(place.path("results/none")).expect("a folder");
    let parts = ["results/shard-1-of-2", "results/shard-2-of-2", "results/none"];
    let screen = place.succeed(&[&["watch"], &parts[..2]].concat()).stdout;
    assert!(screen.contains("Finished: 8 of 8 runs have ended"), "{screen}");
    assert_eq!(row(&screen, "init-a")[0], "4");
    let screen = place.succeed(&[&["watch"], &parts[..]].concat()).stdout;
    assert!(screen.starts_with("Waiting: `results/none` has no event in `metrics.jsonl`\n"), "{screen}");
    assert!(screen.contains("8 of 8 runs have ended"), "{screen}");
}

#[test]
fn one_run_is_shown_by_its_steps() {
    let place = Place::new();
    place.succeed(&["train", "--base", "nano", "--steps", "30", "--batch-size", "2", "--validation-examples", "4"]);
    let screen = place.succeed(&["watch", "results"]).stdout;
    assert!(screen.contains("Finished: 1 of 1 run has ended"), "{screen}");
    assert!(screen.contains("\nTraining loss by step, mean over runs\n"), "{screen}");
    let marks: usize =
        screen.lines().filter_map(|line| line.split_once('│')).map(|(_, row)| row.matches('A').count()).sum();
    assert!(marks > 20, "{screen}");
}

/// In a terminal, which `script` of util-linux makes, the screen is drawn again and again until the sweep has ended.
#[cfg(target_os = "linux")]
#[test]
fn a_sweep_in_training_is_followed_to_its_end() {
    let place = Place::new();
    let [base, nano, _, _, rest @ ..] = SMALL;
    let long = ["--steps", "600", "--learning-rates", "1e-3,4e-3", "--evaluate-every", "100", "--seeds", "1"];
    let words = [&["sweep", base, nano], &rest[..], &long].concat();
    fs::create_dir(place.path("results")).expect("a folder");
    let mut sweep = place.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let watch = format!("{} watch results --every 0.05", env!("CARGO_BIN_EXE_loralab"));
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qefc", &watch, "shown"]).current_dir(place.0.path()).stdin(Stdio::null());
    let mut watched = terminal.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("script runs");
    let log = place.path("results/metrics.jsonl");
    until("some steps", || fs::read_to_string(&log).is_ok_and(|log| log.contains("\"step\":20,")));
    let screen = place.succeed(&["watch", "results"]).stdout;
    assert!(sweep.wait().expect("it ends").success());
    let mut ended = None;
    until("it ends with the sweep", || {
        ended = watched.try_wait().expect("it is asked");
        ended.is_some()
    });
    assert!(screen.contains("\n0 of 4 runs have ended, 4 runs at step "), "{screen}");
    assert!(screen.contains(" so far, about ") && screen.contains(" left; the last event is "), "{screen}");
    assert!(screen.contains("Training loss by learning rate"), "{screen}");
    let of_scheme = row(&screen, "init-a");
    assert_eq!((&of_scheme[..4], of_scheme.len()), (&["0", "0", "0", "2"].map(str::to_owned)[..], 7));
    let shown = place.read("shown");
    assert!(ended.is_some_and(|status| status.success()), "{shown}");
    assert!(shown.contains("Waiting: `results` has no event") && shown.contains("\x1b["), "{shown}");
    assert!(shown.matches("runs at step").count() > 2 && shown.contains("Finished: 4 of 4 runs have ended"), "{shown}");
}

#[test]
fn a_sweep_that_was_stopped_is_shown_as_stopped() {
    let place = Place::new();
    let words = ["sweep", "--base", "nano", "--steps", "100000", "--batch-size", "2", "--seeds", "1"];
    let mut sweep = place.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    until("some steps", || {
        fs::read_to_string(place.path("results/metrics.jsonl")).is_ok_and(|log| log.contains("\"step\":3,"))
    });
    send(&sweep, "TERM");
    sweep.wait().expect("it ends");
    let screen = place.succeed(&["watch", "results"]).stdout;
    assert!(screen.contains("\nStopped: 0 of 14 runs have ended, after "), "{screen}");
}

#[test]
fn a_log_is_read_as_far_as_it_is_whole() {
    let whole = with_log(LOG).succeed(&["watch", "results"]).stdout;
    assert!(whole.contains("Finished: 12 of 12 runs have ended"), "{whole}");
    // Without its end.
    let place = with_log(LOG.trim_end());
    let screen = place.succeed(&["watch", "results"]).stdout;
    assert!(screen.contains("\n12 of 12 runs have ended.\n"), "{screen}");
    for cut in (0..LOG.len()).step_by(LOG.len() / 40).filter(|cut| LOG.is_char_boundary(*cut)) {
        place.write("results/metrics.jsonl", &LOG[..cut]);
        let screen = place.succeed(&["watch", "results"]).stdout;
        assert_eq!(screen.starts_with("Waiting: "), cut < LOG.find('\n').expect("a line"), "{cut}: {screen}");
    }
    // New results that are to replace earlier ones.
    let place = with_log(LOG);
    fs::create_dir(place.path("results/.new.partial")).expect("a folder");
    place.write("results/.new.partial/metrics.jsonl", LOG.replace("\"init-b\"", "\"pissa\""));
    let screen = place.succeed(&["watch", "results"]).stdout;
    assert_eq!(row(&screen, "pissa").len(), 7);
}

#[test]
fn what_is_no_sweep_is_refused() {
    let place = with_log(LOG);
    let damaged = |line: usize, by: &str| {
        let mut lines: Vec<&str> = LOG.lines().collect();
        lines[line - 1] = by;
        place.write("results/metrics.jsonl", lines.join("\n") + "\n");
        let words = format!("line {line} of `results/metrics.jsonl` is no event of a sweep");
        place.refuse(&["watch", "results"], 1, &[&words]);
    };
    for nonsense in ["", "nonsense", "{}", "{\"event\":\"coffee\"}", "[1]", "\u{0}"] {
        damaged(1, nonsense);
        damaged(5, nonsense);
    }
    place.refuse(&["watch", "nowhere"], 2, &["there is no folder `nowhere`; name the results folder of a sweep"]);
    place.refuse(&["watch", "results/metrics.jsonl"], 2, &["there is no folder"]);
    place.refuse(&["watch", "results", "nowhere"], 2, &["there is no folder `nowhere`"]);
    place.refuse(&["watch"], 2, &["<FOLDERS>"]);
    for every in ["0", "-1", "x"] {
        place.refuse(&["watch", "results", "--every", every], 2, &["number above 0"]);
    }
    fs::create_dir(place.path("empty")).expect("a folder");
    place.refuse(&["watch", "empty"], 2, &["`empty` has no event in `metrics.jsonl`, so no sweep has begun there"]);
    place.refuse(&["watch", "empty", "--once"], 2, &["no sweep has begun"]);
    fs::create_dir_all(place.path("folder/metrics.jsonl")).expect("a folder");
    place.refuse(&["watch", "folder"], 1, &["`folder/metrics.jsonl` is a folder, a pipe or a device"]);
    // A line without end.
    place.write("results/metrics.jsonl", "");
    let long = OpenOptions::new().write(true).open(place.path("results/metrics.jsonl")).expect("a file");
    long.set_len(65 << 20).and_then(|()| (&long).write_all(b"{")).expect("a file with a hole");
    place.refuse(&["watch", "results"], 1, &["is longer than 64 MiB"]);
}
