//! `cluster`: the jobs that it prints. Slurm's is run, with `sbatch` and `scontrol` that only write down what they are asked; `tests/slurm/run` runs it on a
//! real Slurm, and `tests/ray/run` the driver on a real Ray. `tests/fixtures/check_cluster.py` holds the other two to the schemas of their engines.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use super::{Place, resume::assert_same, send, small, until};

const GRID: [&str; 8] = ["--learning-rates", "1e-3,4e-3", "--seeds", "2", "--device", "cpu", "--save-every", "0.0002"];

const ENGINES: [&str; 4] = ["slurm", "ray", "kubernetes", "skypilot"];

/// The job that an engine gets for a small sweep.
fn job(place: &Place, engine: &str, flags: &[&str]) -> String {
    place.succeed(&small("cluster", &[&[engine, "--parts", "2"], &GRID[..], flags].concat())).stdout
}

/// Writes a program that an engine would have: it adds its arguments to a file, and prints a word.
fn pretend(place: &Place, name: &str, says: &str) {
    let file = place.path("bin").join(name);
    fs::create_dir_all(place.path("bin")).expect("a folder");
    fs::write(&file, format!("#!/bin/sh\necho \"$@\" >> {name}.log\necho {says}\n")).expect("a program");
    let status = Command::new("chmod").arg("+x").arg(&file).status();
    assert!(status.expect("chmod runs").success());
}

/// The job in a shell, with such programs.
fn shell(place: &Place, arguments: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new("bash");
    command.arg("job.sh").arg(arguments).current_dir(place.0.path());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", place.path("bin").display())).envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A task of the array.
fn task<'a>(number: &'a str, restarts: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("SLURM_ARRAY_JOB_ID", "7"),
        ("SLURM_ARRAY_TASK_ID", number),
        ("SLURM_ARRAY_TASK_MIN", "1"),
        ("SLURM_RESTART_COUNT", restarts),
    ]
}

fn ended(mut command: Command, code: i32) -> String {
    told(command.output().expect("bash runs"), code)
}

fn told(output: Output, code: i32) -> String {
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn the_job_for_slurm_trains_the_parts_and_collects_them() {
    let place = Place::new();
    place.succeed(&small("sweep", &[&GRID[..], &["--threads", "1", "--output", "alone"]].concat()));
    place.write("job.sh", job(&place, "slurm", &["--threads", "1", "--output", "in parts"]));
    for (name, says) in [("sbatch", "7"), ("scontrol", ""), ("squeue", "RUNNING")] {
        pretend(&place, name, says);
    }

    let said = ended(shell(&place, "--account=us", &[]), 0);
    assert!(said.contains("Job 7 trains 2 parts"), "{said}");
    let asked = place.read("sbatch.log");
    let [array, collector] = asked.lines().collect::<Vec<_>>()[..] else { panic!("{asked}") };
    for word in ["--array=1-2 ", "--cpus-per-task=1 ", "--signal=B:TERM@120 ", "--account=us ", " part"] {
        assert!(array.contains(word), "{word}: {array}");
    }
    for word in ["--dependency=afterok:7 ", "--kill-on-invalid-dep=yes ", "--account=us ", " collect"] {
        assert!(collector.contains(word), "{word}: {collector}");
    }
    assert!(!asked.contains("gpu"), "{asked}");

    // What the machine is to blame for is tried again, but not for ever.
    let job = place.read("job.sh");
    let program = job.lines().find(|line| line.starts_with("loralab=")).expect("the program has a name");
    place.write("job.sh", job.replace(program, "loralab=loralab"));
    pretend(&place, "loralab", "; exit 75");
    let failed = ended(shell(&place, "part", &task("1", "3")), 75);
    assert!(failed.contains("Exit code 75, start 3: queued again."), "{failed}");
    assert!(place.read("loralab.log").ends_with("--shard=auto/2\n"));
    ended(shell(&place, "part", &task("1", "10")), 75);
    assert_eq!(place.read("scontrol.log"), "requeue 7_1\n");
    place.write("job.sh", job);
    ended(shell(&place, "part", &task("1", "4")), 0);
    ended(shell(&place, "part", &task("2", "0")), 0);
    assert_eq!(place.read("scontrol.log"), "requeue 7_1\n");
    let collected = ended(shell(&place, "collect", &[]), 0);
    assert!(!collected.contains("missing"), "{collected}");
    assert_same(&place, "alone", "in parts/whole", "collected");
    // Once more: the parts are done, and the whole is made anew.
    ended(shell(&place, "part", &task("2", "0")), 0);
    ended(shell(&place, "collect", &[]), 0);
    assert_same(&place, "alone", "in parts/whole", "collected again");
    // What cannot succeed is not tried again.
    place.write("job.sh", place.read("job.sh").replace("--batch-size=2", "--batch-size=3"));
    let other = ended(shell(&place, "part", &task("2", "0")), 2);
    assert!(other.contains("was begun with `--batch-size 2`, and this command has `--batch-size 3`"), "{other}");
    assert_eq!(place.read("scontrol.log"), "requeue 7_1\n");
}

#[test]
fn a_task_of_slurm_that_is_preempted_is_queued_again_and_goes_on() {
    let place = Place::new();
    let steps = ["--steps", "400", "--threads", "1", "--output"];
    let words = |command: &[&'static str], output| {
        let [base, nano, _, _, rest @ ..] = super::SMALL;
        [command, &[base, nano], &rest, &GRID, &steps, &[output]].concat()
    };
    place.succeed(&words(&["sweep", "--shard", "1/2"], "alone"));
    place.write("job.sh", place.succeed(&words(&["cluster", "slurm", "--parts", "2"], "parts")).stdout);
    for (name, says) in [("sbatch", "7"), ("scontrol", ""), ("squeue", "RUNNING")] {
        pretend(&place, name, says);
    }
    // Before the time limit Slurm signals the script alone; when it ends a job, to preempt or to cancel it, everything in it: two signals to loralab.
    for (state, everything) in [("RUNNING", false), ("COMPLETING", true)] {
        pretend(&place, "squeue", state);
        let child = shell(&place, "part", &task("1", "11")).spawn().expect("bash runs");
        let log = place.path("parts/shard-1-of-2/metrics.jsonl");
        let length = fs::metadata(&log).map_or(0, |file| file.len());
        until("it trains", || fs::metadata(&log).is_ok_and(|file| file.len() > length + 2000));
        if everything {
            let children = Command::new("pkill").args(["-TERM", "-P", &child.id().to_string()]).status();
            assert!(children.expect("pkill runs").success());
        }
        send(&child, "TERM");
        let said = told(child.wait_with_output().expect("it ends"), 143);
        assert_eq!(said.contains("Exit code 143, start 11: queued again."), state == "RUNNING", "{said}");
    }
    assert_eq!(place.read("scontrol.log"), "requeue 7_1\n");
    let said = ended(shell(&place, "part", &task("1", "12")), 0);
    assert!(said.contains("go on after step"), "{said}");
    assert_same(&place, "alone/shard-1-of-2", "parts/shard-1-of-2", "preempted");
}

#[test]
fn a_sweep_that_is_begun_again_waits_for_the_process_that_has_its_folder() {
    let place = Place::new();
    let flags = ["--learning-rates", "1e-3", "--seeds", "1", "--device", "cpu", "--auto-resume", "--output", "one"];
    let [base, nano, _, _, rest @ ..] = super::SMALL;
    let words = [&["sweep", base, nano, "--steps", "300"], &rest[..], &flags].concat();
    let mut first = place.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    until("it has begun", || place.path("one/command.json").exists());
    let second = place.succeed(&words);
    assert!(
        second.stderr.contains("Waiting until another process that writes to `one` has ended"),
        "{}",
        second.stderr
    );
    assert!(second.stderr.contains("2 runs of 2 had ended"), "{}", second.stderr);
    assert!(first.wait().expect("it ends").success());

    // What a killed process leaves before its command is written; and results that are not its own.
    fs::create_dir_all(place.path("killed/adapters")).expect("a folder");
    place.write("killed/metrics.jsonl", "");
    let output =
        |output| small("sweep", &["--learning-rates", "1e-3", "--seeds", "1", "--auto-resume", "--output", output]);
    place.succeed(&output("killed"));
    fs::remove_file(place.path("killed/command.json")).expect("it was there");
    place.refuse(&output("killed"), 2, &["not empty"]);
    place.refuse(
        &[&output("one")[..], &["--rank", "4"]].concat(),
        2,
        &["`one` was begun with", "choose another `--output`"],
    );
    place.refuse(&[&output("one")[..], &["--overwrite"]].concat(), 2, &["--overwrite"]);
}

#[test]
fn every_engine_gets_the_sweep_and_a_gpu_where_one_is_asked_for() {
    let place = Place::new();
    for engine in ENGINES {
        let [cpu, gpu] = [&[][..], &["--device", "gpu"]].map(|device| {
            let flags = [&["--output", "it's mine"], device].concat();
            let words = [&["cluster", engine, "--parts", "3", "--base", "nano", "--seeds", "2"], &flags[..]].concat();
            place.succeed(&words).stdout
        });
        for text in [&cpu, &gpu] {
            assert!(!text.contains("{{") && !text.contains("--parts"), "{engine}: {text}");
            for word in ["--auto-resume", "--base=nano", "--seeds=2", "--threads=4", "whole"] {
                assert!(text.contains(word), "{engine} has no {word}: {text}");
            }
        }
        assert_ne!(cpu.replace("--device=gpu", ""), gpu.replace("--device=gpu", ""), "{engine}");
        assert!(
            !cpu.contains("vulkan") && !cpu.contains("nvidia") && !cpu.contains("--gpus-per-task"),
            "{engine}: {cpu}"
        );
        check_quotes(&place, engine, &cpu);
    }
}

/// A name with a quote in it is one word to the shell, to Python and to YAML.
fn check_quotes(place: &Place, engine: &str, text: &str) {
    let file = place.path(engine);
    fs::write(&file, text).expect("a file");
    let words = |line: &str| {
        let echoed = Command::new("bash").args(["-c", &format!("printf '%s\\n' {line}")]).output();
        let echoed = String::from_utf8(echoed.expect("bash runs").stdout).expect("text");
        echoed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let line = |start: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(start));
        line.unwrap_or_else(|| panic!("{engine} has no line {start}: {text}")).trim_start()[start.len()..].to_owned()
    };
    let found = match engine {
        "slurm" => {
            let parsed = Command::new("bash").arg("-n").arg(&file).status();
            assert!(parsed.expect("bash runs").success());
            words(line("\"$loralab\" sweep ").trim_end_matches('&'))
        }
        "skypilot" => words(&line("loralab sweep ")),
        "ray" => serde_json::from_str(&line("SWEEP = ")).expect("a list"),
        _ => {
            let collect = text.lines().rev().find_map(|line| line.trim_start().strip_prefix("args: "));
            let collect: Vec<String> = serde_json::from_str(collect.expect("a collector")).expect("a list");
            assert!(
                collect[0].starts_with("loralab collect ") && collect[0].ends_with("/whole --overwrite"),
                "{collect:?}"
            );
            serde_json::from_str(&line("args: ")).expect("a list")
        }
    };
    assert!(found.contains(&"--output=it's mine".to_owned()), "{engine}: {found:?}");
}

#[test]
fn what_is_no_job_is_refused() {
    let place = Place::new();
    let refuse = |flags: &[&str], words: &[&str]| {
        place.refuse(&small("cluster", &[&["slurm"], flags].concat()), 2, words);
    };
    let parts = ["--parts", "4", "--learning-rates", "1e-3,4e-3", "--seeds", "2"];
    refuse(&[], &["--parts"]);
    refuse(&["--parts", "0"], &["at least 1"]);
    refuse(&[&parts[..], &["--parts", "9"]].concat()[2..], &["`--parts 9` are more than the 8 runs of the grid"]);
    refuse(&[&parts[..], &["--shard", "1/4"]].concat(), &["`--shard` is not for a job"]);
    refuse(&[&parts[..], &["--overwrite"]].concat(), &["`--overwrite` is not for a job"]);
    refuse(&["--parts", "4", "--learning-rates", "auto"], &["`--learning-rates auto`", "list the rates"]);
    refuse(&[&parts[..], &["--rank", "0"]].concat(), &["rank"]);
    refuse(&[&parts[..], &["--data", "a\nb"]].concat(), &["control character"]);
    refuse(&[&parts[..], &["--output", "a\nb"]].concat(), &["control character"]);
    refuse(&[&parts[..], &["--data", "-"]].concat(), &["no stdin"]);
    fs::create_dir(place.path("foreign")).expect("a folder");
    place.write("foreign/letter.txt", "");
    place.refuse(&small("sweep", &["--auto-resume", "--output", "foreign"]), 2, &["`foreign` exists and is not empty"]);
    place.refuse(&["cluster", "condor", "--parts", "2"], 2, &["slurm, ray, kubernetes, skypilot"]);
    place.write("wrong.toml", "rnak = 4");
    refuse(&[&parts[..], &["--config", "wrong.toml"]].concat(), &["wrong.toml", "rnak"]);
}
