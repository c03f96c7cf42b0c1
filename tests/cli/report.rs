//! `loralab report` on results that are whole, cut off or damaged: it ends soon, in little memory, with a report or a sentence.

#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use loralab_linalg::Draws;
use serde_json::{Value, json};

use super::{Outcome, Place, mutate::mutate, small};

/// Small results, each of another kind.
const SUMMARIES: [(&str, &str); 6] = [
    ("sweep", include_str!("../fixtures/results/sweep.json")),
    ("crossing", include_str!("../fixtures/results/crossing.json")),
    ("curvature", include_str!("../fixtures/results/curvature.json")),
    ("exponents", include_str!("../fixtures/results/exponents.json")),
    ("toy", include_str!("../fixtures/results/toy.json")),
    ("transformer", include_str!("../fixtures/results/transformer.json")),
];
const METRICS: &str = include_str!("../fixtures/results/metrics.jsonl");
const EXPERIMENT: &str = include_str!("../fixtures/results/experiment.toml");
const SEARCH: &str = include_str!("../fixtures/results/search.json");

/// Longest that a report of these results may take, many times what it does on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most memory that it may take, in KiB: 1 GB.
const MEMORY: u32 = 1_000_000;

/// A results folder with these files.
fn results(files: &[(&str, &[u8])]) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("results")).expect("a folder");
    for (name, contents) in files {
        place.write(&format!("results/{name}"), contents);
    }
    place
}

/// The results folder of a sweep with this summary and log.
fn sweep(summary: &str, metrics: &[u8]) -> Place {
    let files = [("summary.json", summary.as_bytes()), ("metrics.jsonl", metrics)];
    results(&[&files[..], &[("experiment.toml", EXPERIMENT.as_bytes()), ("search.json", SEARCH.as_bytes())]].concat())
}

/// Its report; the error is that it took too long.
fn report(place: &Place) -> Result<Outcome, String> {
    let mut command = place.command(&["report", "results"]);
    if cfg!(target_os = "linux") {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -v {MEMORY} && exec \"$0\" report results")]);
        limited.arg(command.get_program()).current_dir(place.0.path());
        command = limited;
    }
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| place.path(name));
    let file = |path| fs::File::create(path).expect("a temporary file");
    let mut child = command.stdout(file(&stdout)).stderr(file(&stderr)).spawn().expect("the binary runs");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the binary is waited for") {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).expect("the binary is ended");
            return Err(format!("it did not end within {PATIENCE:?}"));
        }
        thread::sleep(Duration::from_millis(1));
    };
    let read = |path| String::from_utf8(fs::read(path).expect("it was written")).expect("the binary writes UTF-8");
    Ok(Outcome { code: status.code().unwrap_or(-1), stdout: read(stdout), stderr: read(stderr) })
}

/// A report was written, or there is a sentence that says why not.
fn ends_well(place: &Place) -> Result<Outcome, String> {
    let outcome = report(place)?;
    let Outcome { code, stdout, stderr } = &outcome;
    let told = match code {
        0 => place.path("results/report.html").is_file() && stdout.contains("The report is"),
        1 => stderr.contains("error: ") && stdout.is_empty(),
        _ => false,
    };
    let calm = !stderr.contains("panicked");
    if told && calm { Ok(outcome) } else { Err(format!("it ended with {code}: {stderr}")) }
}

/// The same that must have written a report.
fn reported(place: &Place) -> String {
    let outcome = ends_well(place).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    outcome.stderr
}

#[test]
fn every_kind_of_results_of_an_older_version_has_a_report() {
    for (kind, summary) in SUMMARIES {
        let place = sweep(summary, METRICS.as_bytes());
        // The log is that of the sweep and of the crossing, which tried the same.
        let is_of_another = reported(&place).contains("does not belong to");
        assert_eq!(is_of_another, kind == "curvature", "{kind}");
        assert!(place.read("results/report.html").contains("<svg"), "{kind}");
    }
}

#[test]
fn numbers_at_the_ends_of_what_can_be_do_not_hang_a_figure() {
    let summary = |of: usize| -> Value { serde_json::from_str(SUMMARIES[of].1).expect("it is JSON") };
    for extreme in [json!(1e308), json!(f64::MAX), json!(-1e308), json!(5e-324), json!(0.0), json!(-1.0)] {
        let mut found = summary(0);
        found["base_loss"] = extreme.clone();
        reported(&sweep(&found.to_string(), METRICS.as_bytes()));
        let mut found = summary(0);
        found["schemes"][0]["learning_rates"][1]["learning_rate"] = extreme.clone();
        found["schemes"][0]["learning_rates"][1]["losses"][0] = extreme.clone();
        found["schemes"][0]["start"] = json!({"tokens": u64::MAX, "steps": extreme});
        reported(&sweep(&found.to_string(), METRICS.as_bytes()));
        let mut found = summary(4);
        let starts = &mut found["readouts"][0]["widths"][0]["starts"];
        starts[0]["learning_rates"][0]["learning_rate"] = extreme.clone();
        starts[1]["optimum"]["learning_rate"] = extreme;
        reported(&sweep(&found.to_string(), METRICS.as_bytes()));
    }
    let far = METRICS.replacen("\"step\":2", &format!("\"step\":{}", u64::MAX), 1);
    assert_ne!(far, METRICS);
    reported(&sweep(SUMMARIES[0].1, far.as_bytes()));
}

#[test]
fn the_line_that_is_no_event_is_named() {
    let lines: Vec<&str> = METRICS.lines().collect();
    for bad in [0, 7, lines.len() - 1] {
        let mut damaged = lines.clone();
        damaged[bad] = "{\"event\":\"step\",";
        let outcome = ends_well(&sweep(SUMMARIES[0].1, format!("{}\n", damaged.join("\n")).as_bytes()));
        let Outcome { code, stderr, .. } = outcome.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(&format!("line {} of `results", bad + 1)), "{stderr}");
    }
    let latin = [METRICS.as_bytes(), b"\xff\xfe\n"].concat();
    let outcome = ends_well(&sweep(SUMMARIES[0].1, &latin)).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.stderr.contains(&format!("line {} of `results", lines.len() + 1)), "{}", outcome.stderr);
}

#[test]
fn a_last_line_that_was_cut_off_is_left_out_and_told() {
    let (whole, place) = (sweep(SUMMARIES[0].1, METRICS.as_bytes()), |cut: &[u8]| sweep(SUMMARIES[0].1, cut));
    reported(&whole);
    let torn = [METRICS.as_bytes(), b"{\"event\":\"step\",\"cell\":{\"sch\xc3"].concat();
    let torn = place(&torn);
    let number = METRICS.lines().count() + 1;
    assert!(reported(&torn).contains(&format!("line {number}, was cut off; it is left out.")));
    assert_eq!(torn.read("results/report.html"), whole.read("results/report.html"));
    // Only its line break may be missing.
    assert_eq!(reported(&place(METRICS.trim_end().as_bytes())), "");
}

/// Every number under a key, wherever that stands, becomes 1e308.
fn enlarged(value: &Value, key: &str) -> Value {
    match value {
        Value::Array(values) => values.iter().map(|value| enlarged(value, key)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), if name == key { all_large(value) } else { enlarged(value, key) }))
            .collect(),
        other => other.clone(),
    }
}

fn all_large(value: &Value) -> Value {
    match value {
        Value::Number(_) => json!(1e308),
        Value::Array(values) => values.iter().map(all_large).collect(),
        other => other.clone(),
    }
}

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        Value::Object(fields) => {
            found.extend(fields.keys().cloned());
            fields.values().for_each(|value| keys(value, found));
        }
        _ => {}
    }
}

#[test]
fn no_number_is_written_with_hundreds_of_digits() {
    let long = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 25);
    let mut reports = 0;
    for (kind, summary) in SUMMARIES {
        let summary: Value = serde_json::from_str(summary).expect("it is JSON");
        let mut found = BTreeSet::new();
        keys(&summary, &mut found);
        for key in found {
            let large = enlarged(&summary, &key);
            if large == summary {
                continue;
            }
            let place = sweep(&large.to_string(), METRICS.as_bytes());
            let outcome = ends_well(&place).unwrap_or_else(|error| panic!("{kind}, {key}: {error}"));
            assert!(!long(&outcome.stderr), "{kind}, {key}: {}", outcome.stderr);
            if outcome.code == 0 {
                reports += 1;
                let html = place.read("results/report.html");
                let line = html.lines().find(|line| long(line)).map(|line| &line[..line.len().min(600)]);
                assert_eq!(line, None, "{kind}, {key}");
            }
        }
    }
    assert!(reports > 60, "{reports}");
}

#[cfg(unix)]
fn pipe_at(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("it is there").success());
}

#[test]
#[cfg(unix)]
fn only_files_are_read() {
    let summary = |of: usize| SUMMARIES[of].1;
    for name in ["metrics.jsonl", "summary.json", "experiment.toml", "search.json"] {
        let device: fn(&Path) = |path| symlink("/dev/zero", path).expect("a link");
        let folder: fn(&Path) = |path| fs::create_dir(path).expect("a folder");
        for make in [pipe_at, device, folder] {
            let place = sweep(summary(0), METRICS.as_bytes());
            let path = place.path("results").join(name);
            fs::remove_file(&path).expect("a file");
            make(&path);
            let Outcome { code, stderr, .. } = ends_well(&place).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                code == 1 && stderr.contains(&format!("`results/{name}` is a folder, a pipe or a device")),
                "{stderr}"
            );
        }
    }
    // A hole of 8 TB, where the disk can have one.
    let place = sweep(summary(0), METRICS.as_bytes());
    let hole = fs::OpenOptions::new().append(true).open(place.path("results/metrics.jsonl")).expect("a file");
    if hole.set_len(8 << 40).is_ok() {
        let Outcome { code, stderr, .. } = ends_well(&place).unwrap_or_else(|error| panic!("{error}"));
        assert!(code == 1 && stderr.contains("line 78 of `results/metrics.jsonl` is longer than 64 MiB"), "{stderr}");
    }
    // Neither does a sweep that replaces such results read them.
    let place = sweep(summary(0), METRICS.as_bytes());
    for name in ["metrics.jsonl", "experiment.toml"] {
        fs::remove_file(place.path("results").join(name)).expect("a file");
        pipe_at(&place.path("results").join(name));
    }
    fs::create_dir(place.path("results/adapters")).expect("a folder");
    place.succeed(&small("train", &["--overwrite", "--quiet"]));
    assert_eq!(place.json("results/summary.json")["schemes"][0]["runs"], 1);
}

#[test]
fn a_log_of_another_sweep_is_told() {
    let belongs = "`results/metrics.jsonl` does not belong to `results/summary.json`";
    let none = reported(&sweep(SUMMARIES[0].1, b""));
    assert!(none.contains(belongs) && none.contains("the runs of init-a at 4e-3 do not end there"), "{none}");
    let other = METRICS.replace("\"final_loss\":1.75", "\"final_loss\":1.76");
    assert_ne!(other, METRICS);
    let place = sweep(SUMMARIES[0].1, other.as_bytes());
    assert!(reported(&place).contains(belongs));
    // Neither are its curves shown.
    assert!(!place.read("results/report.html").contains("Each scheme at its best learning rate."));
    let whole = sweep(SUMMARIES[0].1, METRICS.as_bytes());
    assert_eq!(reported(&whole), "");
    assert!(whole.read("results/report.html").contains("Each scheme at its best learning rate."));
}

/// For two seconds, or as many as `LORALAB_FUZZ_SECONDS` says.
#[test]
fn damaged_results_have_a_report_or_a_sentence() {
    let seconds = std::env::var("LORALAB_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let began = Instant::now();
    let mut reports = 0;
    for round in 0.. {
        if began.elapsed().as_secs_f64() > seconds {
            println!("{round} damaged results, {reports} reports");
            break;
        }
        let mut rng = Draws::new(round, "report");
        let (kind, summary) = SUMMARIES[rng.below(6) as usize];
        let mut files = [
            ("summary.json", summary),
            ("metrics.jsonl", METRICS),
            ("experiment.toml", EXPERIMENT),
            ("search.json", SEARCH),
        ]
        .map(|(name, contents)| (name, contents.as_bytes().to_vec()));
        let damaged = if rng.chance(1, 2) { 0 } else { rng.below(4) as usize };
        files[damaged].1 = mutate(&files[damaged].1, &mut rng);
        let place = results(&files.each_ref().map(|(name, contents)| (*name, &contents[..])));
        match ends_well(&place) {
            Ok(outcome) => reports += usize::from(outcome.code == 0),
            Err(error) => {
                panic!("round {round}, {kind}, {}: {error}, in {}", files[damaged].0, place.0.keep().display())
            }
        }
    }
    assert!(reports > 0 || seconds < 1.0, "damage to a digit leaves a report");
}
