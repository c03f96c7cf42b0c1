//! `tune`: a scheme, a learning rate and an adapter within a budget.

use std::fs;

use loralab_core::lora::peft::Adapter;
use loralab_experiment::{Event, Tuned};

use super::{
    Place, SMALL,
    resume::{assert_same, kill_and_resume, kills, timeless},
};

fn words<'a>(output: &'a str, budget: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let [base, nano, _, _, rest @ ..] = SMALL;
    let own = ["--steps", "60", "--device", "cpu", "--save-every", "0.0002", "--budget", budget, "--output", output];
    [&["tune", base, nano], &rest[..], &own, more].concat()
}

fn tuned(place: &Place, folder: &str) -> Tuned {
    serde_json::from_value(place.json(&format!("{folder}/tuned.json"))).expect("an outcome")
}

/// Steps of all runs in the logs of a folder, by the last step that each run tells.
fn logged_steps(place: &Place, folder: &str) -> usize {
    let of_log = |log: &str| {
        let mut runs = std::collections::BTreeMap::new();
        for event in place.events(&format!("{folder}/{log}/metrics.jsonl")) {
            if let Event::Step { cell, step, .. } = event {
                runs.insert(cell.id(), step);
            }
        }
        runs.values().sum::<usize>()
    };
    let logs = ["comparison", "last"].into_iter().filter(|log| place.path(&format!("{folder}/{log}")).is_dir());
    logs.map(of_log).sum()
}

#[test]
fn a_tuning_keeps_its_budget_and_leaves_the_best_adapter() {
    let place = Place::new();
    // The scouts of two schemes and the last training take 280 steps at the least.
    for (budget, compared) in [(360, 27), (600, 49), (2000, 60)] {
        let (folder, budget_text) = (format!("of-{budget}"), format!("{budget}steps"));
        let outcome = place.succeed(&words(&folder, &budget_text, &[]));
        assert!(outcome.stderr.contains(&format!("are compared at {compared} of 60 steps")), "{}", outcome.stderr);
        let tuned = tuned(&place, &folder);
        assert_eq!((tuned.compared_steps, tuned.steps), (compared, 60));
        assert!(tuned.run_steps <= budget, "{} of {budget}", tuned.run_steps);
        assert_eq!(tuned.run_steps, logged_steps(&place, &folder));
        assert!(
            outcome.stdout.contains("The choice is ") && outcome.stdout.contains(&tuned.cell.scheme),
            "{}",
            outcome.stdout
        );
        let page = place.read(&format!("{folder}/report.html"));
        assert!(page.contains("The choice is ") && page.contains(&budget_text), "the page does not say why");

        // The adapter has the loss that it is said to have.
        let tensors =
            fs::read(place.path(&format!("{folder}/adapter/adapter_model.safetensors"))).expect("the tensors");
        Adapter::from_peft(&place.read(&format!("{folder}/adapter/adapter_config.json")), &tensors)
            .expect("an adapter");
        let from = if compared == 60 { "comparison" } else { "last" };
        let is_told = |event: &Event| match event {
            Event::RunFinished { result } if result.cell == tuned.cell => {
                result.evaluations.iter().any(|told| told.step == tuned.best_step && told.loss == Some(tuned.loss))
            }
            _ => false,
        };
        assert!(place.events(&format!("{folder}/{from}/metrics.jsonl")).iter().any(is_told), "{tuned:?}");
    }
}

#[test]
fn a_tuning_that_was_killed_ends_as_one_that_was_not() {
    let place = Place::new();
    place.succeed(&words("whole", "600steps", &[]));
    kill_and_resume(
        &place,
        &words("killed", "600steps", &[]),
        &["tune", "--resume", "killed"],
        "killed/command.json",
        kills(),
    );
    for part in ["comparison", "last"] {
        assert_same(&place, &format!("whole/{part}"), &format!("killed/{part}"), "killed");
    }
    let [whole, killed] = ["whole", "killed"].map(|folder| timeless(place.json(&format!("{folder}/tuned.json"))));
    assert_eq!(whole, killed);
    let adapters = ["whole", "killed"].map(|folder| {
        fs::read(place.path(&format!("{folder}/adapter/adapter_model.safetensors"))).expect("an adapter")
    });
    assert!(adapters[0] == adapters[1]);

    // With a larger budget it goes on from what is known.
    let before = tuned(&place, "whole").run_steps;
    let outcome = place.succeed(&["tune", "--resume", "whole", "--budget", "1500steps"]);
    let after = tuned(&place, "whole");
    assert!(before < after.run_steps && after.run_steps <= 1500, "{before} {after:?}: {}", outcome.stderr);
    assert!(
        outcome.stderr.contains("keep their 49 steps") && outcome.stderr.contains("at 60 steps"),
        "{}",
        outcome.stderr
    );
    assert!(place.succeed(&["watch", "whole"]).stdout.contains("init-a"));
}

#[test]
fn time_is_a_budget_too() {
    let place = Place::new();
    let began = std::time::Instant::now();
    place.succeed(&words("timed", "6s", &["--seeds", "40"]));
    let tuned = tuned(&place, "timed");
    // Other tests begin and end meanwhile, so a step may take twice as long as those before. There are seeds for much more than that.
    assert!(2.0 < tuned.seconds && tuned.seconds < 12.0 && began.elapsed().as_secs_f64() < 60.0, "{tuned:?}");
}

#[test]
fn what_cannot_be_tuned_is_a_sentence() {
    let place = Place::new();
    place.refuse(&words("few", "250steps", &[]), 2, &["a budget of 250steps", "too few", "give 288steps or more"]);
    place.refuse(&words("none", "soon", &[]), 2, &["90min", "20000steps"]);
    place.refuse(&words("rates", "600steps", &["--learning-rates", "1e-3"]), 2, &["searches for the learning rates"]);
    fs::create_dir(place.path("full")).expect("a folder");
    place.write("full/file", "");
    place.refuse(&words("full", "600steps", &[]), 2, &["`full` exists and is not empty"]);
    place.refuse(&["tune", "--resume", "nowhere"], 2, &["is not there"]);
    place.succeed(&words("done", "400steps", &["--quiet"]));
    place.refuse(&["tune", "--resume", "done", "--budget", "300steps"], 2, &["budget of 400steps", "larger"]);
    place.refuse(&["tune", "--resume", "done", "--budget", "1h"], 2, &["budget of 400steps", "same unit"]);
    place.refuse(&["tune", "--resume", "done", "--rank", "4"], 2, &["`--rank` may change the results"]);
    place.refuse(&["sweep", "--resume", "done"], 2, &["was begun by `loralab tune`"]);
}
