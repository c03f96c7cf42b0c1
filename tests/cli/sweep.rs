//! Sweeps and single runs to their end.

use std::fs;

use loralab_core::lora::peft::Adapter;
use loralab_experiment::{Event, Experiment, Seeds};

use super::{Place, small, snapshot};

#[test]
fn adapters_are_looked_into_without_touching_what_is_trained() {
    let place = Place::new();
    let flags = ["--schemes", "init-a,init-b,init-ab-subtract", "--learning-rates", "4e-3", "--seeds", "1"];
    let looked = |output: &str, more: &[&str]| {
        let said = place.succeed(&small("sweep", &[&flags[..], &["--output", output], more].concat())).stdout;
        (said, place.json(&format!("{output}/summary.json"))["schemes"].clone())
    };
    let (silent, plain) = looked("plain", &[]);
    let (said, same) = looked("looked", &["--diagnose-every", "1"]);
    assert_eq!(plain, same, "a look changes the training");
    assert!(
        !silent.contains("seed 0, step") && said.contains("In init-b at 4e-3, seed 0, step 3, of 14 adapters: "),
        "{said}"
    );
    let mut snapshots = 0;
    for event in place.events("looked/metrics.jsonl") {
        let Event::Diagnosis { cell, step, kl_from_base, adapters } = event else { continue };
        assert!(kl_from_base.is_some_and(|kl| kl > 0.0), "{kl_from_base:?}");
        snapshots += 1;
        assert_eq!(adapters.len(), 14);
        for adapter in &adapters {
            assert!(adapter.is_finite() && adapter.z_a > 0.0 && adapter.product > 0.0, "{adapter:?}");
            // A product of rank 8, less a frozen one of as much.
            assert!(adapter.stable_rank.is_some_and(|rank| (1.0..=16.0).contains(&rank)), "{adapter:?}");
            match (cell.scheme.as_str(), step) {
                // One factor is zero before the first step, and the other has no gradient in it (methods of the paper, §4).
                ("init-a", 1) => {
                    assert!(adapter.delta_1 == 0.0 && adapter.delta_2 > 0.0 && adapter.update_a == Some(0.0));
                }
                ("init-b", 1) => {
                    assert!(adapter.delta_1 > 0.0 && [adapter.delta_2, adapter.delta_3] == [0.0; 2]);
                    assert_eq!((adapter.update_a, adapter.update_b), (Some(1.0), Some(0.0)));
                }
                _ => assert!(adapter.delta_1 > 0.0 && adapter.delta_2 > 0.0 && adapter.delta_3 > 0.0, "{adapter:?}"),
            }
        }
    }
    assert_eq!(snapshots, 3 * 3);
}

#[test]
fn a_sweep_fills_its_folder() {
    let place = Place::new();
    let outcome =
        place.succeed(&small("sweep", &["--learning-rates", "1e-3,8e-3", "--seeds", "2", "--evaluate-every", "2"]));
    for words in ["scheme", "init-a", "init-b", "(base)", "Results are in `results`", "loralab generate --adapter"] {
        assert!(outcome.stdout.contains(words), "{}", outcome.stdout);
    }
    assert!(outcome.stderr.contains("8 runs: 3 of 3 steps"), "{}", outcome.stderr);

    let summary = place.json("results/summary.json");
    assert!(summary["device"].as_str().is_some_and(|device| device.starts_with("CPU")));
    assert_eq!(summary["accuracy"], "exact_match");
    for name in ["wall_seconds", "base_loss", "base_accuracy"] {
        assert!(summary[name].is_f64(), "{name}: {}", summary[name]);
    }
    let schemes = summary["schemes"].as_array().expect("a list of schemes");
    assert_eq!(schemes.len(), 2);
    for (scheme, name) in schemes.iter().zip(["init-a", "init-b"]) {
        assert_eq!((scheme["scheme"].as_str(), scheme["runs"].as_u64()), (Some(name), Some(4)));
        for field in
            ["best_learning_rate", "best_loss", "best_loss_spread", "best_accuracy", "largest_stable_learning_rate"]
        {
            assert!(scheme[field].is_number(), "{field}: {}", scheme[field]);
        }
    }

    let events = place.events("results/metrics.jsonl");
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
    assert!(matches!(events[0], Event::Started { runs: 8, steps: 3, .. }));
    assert!(matches!(events.last(), Some(Event::Finished { complete: true, .. })));
    assert_eq!(count(|event| matches!(event, Event::Step { loss: Some(_), .. })), 8 * 3);
    // After step 2 and after the last.
    assert_eq!(count(|event| matches!(event, Event::Evaluation { loss: Some(_), .. })), 8 * 2);
    assert_eq!(count(|event| matches!(event, Event::RunFinished { .. })), 8);

    for name in ["loss_by_learning_rate.svg", "training_curves.svg"] {
        let svg = place.read(&format!("results/{name}"));
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("init-b"), "{name}");
    }
    let mut adapters = 0;
    for entry in fs::read_dir(place.path("results/adapters")).expect("a folder of adapters") {
        let folder = entry.expect("an entry").path();
        let config = fs::read_to_string(folder.join("adapter_config.json")).expect("a configuration");
        let tensors = fs::read(folder.join("adapter_model.safetensors")).expect("tensors");
        let adapter = Adapter::from_peft(&config, &tensors).expect("an adapter in PEFT's layout");
        assert_eq!((adapter.base.as_str(), adapter.rank, adapter.modules.len()), ("nano", 8, 14));
        adapters += 1;
    }
    assert_eq!(adapters, 8);
    let leftovers = snapshot(&place.path("results"));
    assert!(leftovers.iter().all(|(path, _)| !path.to_string_lossy().contains("partial")));
}

#[test]
fn flags_hold_over_the_config_file_and_the_written_experiment_gives_the_same_runs() {
    let place = Place::new();
    place.write(
        "mine.toml",
        "base = \"nano\"\nrank = 2\nsteps = 9\nlearning_rates = [2e-3, 4e-3]\nschemes = \"init-b\"\n",
    );
    let flags = ["--steps", "2", "--batch-size", "2", "--validation-examples", "4", "--seed", "5"];
    place.succeed(&[&["sweep", "--config", "mine.toml", "--quiet"], &flags[..]].concat());
    let written = Experiment::from_toml(&place.read("results/experiment.toml")).expect("an experiment");
    assert_eq!((written.rank, written.steps, written.alpha), (Some(2), Some(2), Some(16.0)));
    assert_eq!((written.schemes, written.seeds), (Some(vec!["init-b".to_owned()]), Some(Seeds::List(vec![5]))));

    // Other cohorts and threads change no bit.
    let again =
        ["sweep", "--config", "results/experiment.toml", "--cohort", "1", "--threads", "1", "--output", "again"];
    place.succeed(&again);
    let runs = |name: &str| {
        let mut runs: Vec<String> = Vec::new();
        for event in place.events(name) {
            if matches!(event, Event::Step { .. } | Event::Evaluation { .. }) {
                runs.push(serde_json::to_string(&event).expect("an event is JSON"));
            }
        }
        runs.sort();
        runs
    };
    let first = runs("results/metrics.jsonl");
    assert_eq!(first.len(), 2 * (2 + 1));
    assert_eq!(runs("again/metrics.jsonl"), first);
}

#[test]
fn train_is_a_sweep_of_one_run_and_json_is_the_log() {
    let place = Place::new();
    let flags = ["--scheme", "init-b", "--learning-rate", "2e-3", "--seed", "7", "--output", "one", "--json"];
    let outcome = place.succeed(&small("train", &flags));
    assert_eq!(outcome.stdout, place.read("one/metrics.jsonl"));
    assert_eq!(outcome.stderr, "");
    assert!(place.path("one/adapters/init-b_lr2e-3_seed7/adapter_model.safetensors").is_file());

    place.write("grid.toml", "seeds = 3");
    place.refuse(&["train", "--config", "grid.toml"], 2, &["one run", "3 seeds", "`--seed`", "loralab sweep"]);
}

#[test]
fn data_of_ones_own() {
    let place = Place::new();
    place.write("rhyme.txt", "Rose is a rose is a rose is a rose.\n".repeat(40));
    let line = |i| format!("{{\"prompt\": \"{i}+1=\", \"completion\": \"{}\"}}\n", i + 1);
    place.write("sums.jsonl", (0..20).map(line).collect::<String>());
    for (data, accuracy) in [("rhyme.txt", "token"), ("sums.jsonl", "exact_match")] {
        place.succeed(&small("train", &["--data", data, "--tokens", "16", "--output", accuracy, "--quiet"]));
        assert_eq!(place.json(&format!("{accuracy}/summary.json"))["accuracy"], accuracy);
    }
}

#[test]
fn a_run_that_diverges_is_a_result() {
    let place = Place::new();
    let flags = ["--learning-rates", "1e-3,1e30", "--schemes", "init-b", "--seeds", "1", "--max-grad-norm", "0"];
    place.succeed(&small("sweep", &[&flags[..], &["--quiet"]].concat()));
    let scheme = &place.json("results/summary.json")["schemes"][0];
    assert_eq!((scheme["runs"].as_u64(), scheme["best_learning_rate"].as_f64()), (Some(2), Some(1e-3)));
    assert_eq!(scheme["learning_rates"][1]["diverged"], 1);
    let diverged = |event: &Event| matches!(event, Event::Diverged { tensor, .. } if !tensor.is_empty());
    assert!(place.events("results/metrics.jsonl").iter().any(diverged));
    assert!(place.path("results/adapters/init-b_lr1e-3_seed0").is_dir());
    assert!(!place.path("results/adapters/init-b_lr1e30_seed0").exists());
}

#[test]
fn a_dry_run_shows_its_arithmetic_and_writes_nothing() {
    let place = Place::new();
    let flags = ["--schemes", "init-a,init-ab-subtract", "--cohort", "5", "--dry-run"];
    let outcome = place.succeed(&small("sweep", &flags));
    assert_eq!(snapshot(place.0.path()), []);
    assert!(outcome.stdout.contains("28 runs of 3 steps: 2 schemes × 7 learning rates × 2 seeds, in 6 cohorts"));
    let mut groups = 0;
    for group in outcome.stdout.split("\n\n").filter(|group| group.starts_with("Cohort")) {
        let bytes = |line: &str| line.trim_start().split(' ').next().and_then(|number| number.parse::<u64>().ok());
        let lines: Vec<u64> = group.lines().filter_map(bytes).collect();
        let (total, terms) = lines.split_last().expect("lines of bytes");
        assert_eq!(terms.iter().sum::<u64>(), *total, "{group}");
        groups += 1;
    }
    // Cohorts of 5 and of 4 runs, without and with frozen pairs, each in its training and while the base is validated.
    assert_eq!(groups, 8, "{}", outcome.stdout);
}

#[test]
fn memory_cuts_the_grid_into_cohorts() {
    let place = Place::new();
    let outcome = place.succeed(&small("sweep", &["--threads", "1", "--memory", "3MB", "--dry-run"]));
    assert!(!outcome.stdout.contains("in 1 cohort"), "{}", outcome.stdout);
    place.refuse(
        &small("sweep", &["--threads", "1", "--memory", "600kB"]),
        2,
        &["one run needs", "may be used", "`memory`"],
    );
}

/// The adapter that is kept is that of a training that ends at the step with the lowest loss; the flag changes nothing else.
#[test]
fn the_best_checkpoint_is_kept_beside_the_last() {
    let place = Place::new();
    let train = |output: &str, steps: &str, more: &[&str]| {
        let flags =
            ["train", "--base", "nano", "--batch-size", "2", "--validation-examples", "4", "--scheme", "init-a"];
        let rate = ["--learning-rate", "0.03", "--schedule", "constant", "--warmup-steps", "0"];
        place.succeed(&[&flags[..], &rate, &["--steps", steps, "--output", output], more].concat())
    };
    train("plain", "3", &["--evaluate-every", "1"]);
    let outcome = train("kept", "3", &["--evaluate-every", "1", "--keep-best"]);
    let losses = |output: &str| -> Vec<(usize, f64)> {
        let of = |event| match event {
            Event::Evaluation { step, loss: Some(loss), .. } => Some((step, loss)),
            _ => None,
        };
        place.events(&format!("{output}/metrics.jsonl")).into_iter().filter_map(of).collect()
    };
    let evaluated = losses("kept");
    assert_eq!((evaluated.len(), &evaluated), (3, &losses("plain")));
    let (step, loss) = evaluated.into_iter().min_by(|one, two| one.1.total_cmp(&two.1)).expect("three validations");
    assert!(step < 3, "the test needs a rate at which the loss rises at the end: {step}");
    let best = &place.json("kept/summary.json")["best_checkpoints"];
    assert_eq!((best[0]["step"].as_u64(), best[0]["loss"].as_f64()), (Some(step as u64), Some(loss)), "{best}");
    assert!(place.json("plain/summary.json")["best_checkpoints"].is_null());
    let said = format!("Lowest validation losses: init-a at 3e-2, seed 0, after step {step} (");
    assert!(outcome.stdout.contains(&said), "{}", outcome.stdout);

    let run = "adapters/init-a_lr3e-2_seed0";
    let tensors = |folder: &str| {
        fs::read(place.path(&format!("{folder}/adapter_model.safetensors")))
            .unwrap_or_else(|error| panic!("{folder}: {error}"))
    };
    let last = tensors(&format!("plain/{run}"));
    assert!(last == tensors(&format!("kept/{run}")) && !place.path(&format!("plain/{run}/best")).exists());
    let steps = step.to_string();
    train("short", &steps, &["--evaluate-every", "0"]);
    assert!(tensors(&format!("short/{run}")) == tensors(&format!("kept/{run}/best")), "it is not that of step {step}");
    place.succeed(&["generate", "--adapter", &format!("kept/{run}/best"), "--prompt", "a", "--count", "2"]);

    // Earlier results are replaced as a whole.
    train("kept", "3", &["--overwrite"]);
    assert!(place.path(&format!("kept/{run}")).exists() && !place.path(&format!("kept/{run}/best")).exists());
    for every in ["0", "3"] {
        let words = format!("`evaluate_every` {every} and 3 steps");
        place.refuse(&small("train", &["--keep-best", "--evaluate-every", every]), 2, &["`--keep-best`", &words]);
    }
}
