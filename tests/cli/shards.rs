//! `--shard` and `collect`: the parts of a sweep, trained apart, make the sweep.

use std::{fs, path::Path, process::Stdio};

use super::{
    Place,
    resume::{assert_same, timeless},
    send, small, until,
};

const GRID: [&str; 9] =
    ["--learning-rates", "1e-3,4e-3,50", "--seeds", "3", "--evaluate-every", "2", "--keep-best", "--device", "cpu"];

fn words<'a>(output: &'a str, shard: &[&'a str]) -> Vec<&'a str> {
    [&small("sweep", &GRID)[..], &["--output", output], shard].concat()
}

#[test]
fn the_parts_of_a_sweep_make_the_sweep() {
    let place = Place::new();
    place.succeed(&words("whole", &[]));
    for shard in ["1/3", "2/3", "3/3"] {
        place.succeed(&words("parts", &["--shard", shard]));
    }
    let parts = ["parts/shard-1-of-3", "parts/shard-2-of-3", "parts/shard-3-of-3"];
    let collected = place.succeed(&[&["collect"], &parts[..], &["--output", "collected"]].concat());
    assert!(!collected.stderr.contains("missing"), "{}", collected.stderr);
    assert_same(&place, "whole", "collected", "collected");
    let report = place.succeed(&["report", "collected"]);
    assert!(report.stdout.contains("collected/report.html"), "{}", report.stdout);
    // A part that every engine numbers in its way.
    let mut command = place.command(&words("slurm", &["--shard", "auto"]));
    command.envs([("SLURM_ARRAY_TASK_ID", "4"), ("SLURM_ARRAY_TASK_MIN", "3"), ("SLURM_ARRAY_TASK_COUNT", "3")]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the binary runs").success());
    assert_same(&place, "parts/shard-2-of-3", "slurm/shard-2-of-3", "numbered by Slurm");
    // An adapter that a part could not write is not there in the whole, and is said to be missing.
    let mut summary = place.json("parts/shard-2-of-3/summary.json");
    summary["unwritten"] = serde_json::json!(["init-b_lr1e-3_seed0", "init-b_lr1e-3_seed0/best"]);
    place.write("parts/shard-2-of-3/summary.json", summary.to_string());
    place.succeed(&[&["collect"], &parts[..], &["--output", "lacking"]].concat());
    assert_eq!(place.json("lacking/summary.json")["unwritten"], summary["unwritten"]);
    assert!(
        place
            .read("lacking/metrics.jsonl")
            .ends_with(",\"unwritten\":[\"init-b_lr1e-3_seed0\",\"init-b_lr1e-3_seed0/best\"]}\n")
    );
}

#[test]
fn collect_prints_the_commands_that_train_what_is_missing() {
    let place = Place::new();
    place.succeed(&words("whole", &[]));
    place.succeed(&words("parts", &["--shard", "1/3"]));
    // The second part is stopped, the third was never begun.
    let slow = place
        .command(&words("parts", &["--shard", "2/3", "--cohort", "1"]))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut slow = slow.expect("the binary runs");
    let log = place.path("parts/shard-2-of-3/metrics.jsonl");
    until("a run ends", || fs::read_to_string(&log).is_ok_and(|text| text.contains("cohort_finished")));
    send(&slow, "TERM");
    // Preempted, with its state saved; or it had ended before the signal came.
    let code = slow.wait().expect("it ends").code();
    assert!([Some(143), Some(0)].contains(&code), "{code:?}");
    let collect = |output| {
        let parts = fs::read_dir(place.path("parts")).expect("a folder").flatten().map(|entry| entry.path());
        let parts: Vec<String> = parts.map(|path| path.display().to_string()).collect();
        let parts = parts.iter().map(String::as_str);
        place.succeed(&["collect"].into_iter().chain(parts).chain(["--output", output]).collect::<Vec<_>>())
    };
    let first = collect("first");
    assert!(first.stderr.contains("of 18 are missing"), "{}", first.stderr);
    let commands: Vec<&str> = first.stderr.lines().filter_map(|line| line.strip_prefix("  loralab ")).collect();
    assert!(commands.iter().any(|command| command.contains("--shard=3/3")), "{commands:?}");
    assert_eq!(
        commands.iter().any(|command| command.starts_with("sweep --resume ")),
        code == Some(143),
        "{commands:?}"
    );
    assert_eq!(place.json("first/summary.json")["planned"], 18);
    for command in commands {
        place.succeed(&command.split(' ').collect::<Vec<_>>());
    }
    collect("second");
    assert_same(&place, "whole", "second", "collected after all");
    assert!(timeless(place.json("second/summary.json"))["planned"].is_null());
}

#[test]
fn what_is_no_part_of_one_sweep_is_refused() {
    let place = Place::new();
    place.succeed(&small("train", &["--output", "one"]));
    place.succeed(&small("train", &["--output", "other", "--rank", "4"]));
    place.refuse(
        &["collect", "one", "other", "--output", "all"],
        1,
        &["`one` has `rank = 8`", "`other` has `rank = 4`"],
    );
    place.refuse(&["collect", "nowhere", "--output", "all"], 2, &["`nowhere` holds no `experiment.toml`"]);
    place.refuse(&["collect", "one", "--output", "other"], 2, &["not empty"]);
    for shard in ["0/3", "4/3", "auto"] {
        let outcome = place.run(&words("parts", &["--shard", shard]));
        assert_eq!(outcome.code, 2, "{shard}: {}", outcome.stderr);
    }
    let searched = [&small("sweep", &["--learning-rates", "auto"])[..], &["--shard", "1/2"]].concat();
    place.refuse(&searched, 2, &["`--shard`", "list the rates"]);
    assert!(!Path::new(&place.path("all")).exists());
}
