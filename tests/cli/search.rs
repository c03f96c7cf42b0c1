//! `--learning-rates auto`.

use loralab_experiment::{Choice, Event, Experiment, Why};

use super::{Place, small};

#[test]
fn rates_are_searched_for_until_the_best_is_bracketed_and_the_same_again() {
    let place = Place::new();
    // Without early stopping no choice depends on the size of a cohort.
    let flags = ["--learning-rates", "auto", "--stop-early=false", "--schemes", "init-b", "--seeds", "2", "--output"];
    // The rates of a config file do not hold over the flag.
    place.write("mine.toml", "learning_rates = [1.0]\n");
    let outcome = place.succeed(&small("sweep", &[&flags[..], &["found", "--config", "mine.toml"]].concat()));
    assert!(outcome.stderr.contains("Round 1: init-b at 2.5e-4, 1e-3, "), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("The learning rates were searched for in "), "{}", outcome.stdout);
    let scheme = &place.json("found/summary.json")["schemes"][0];
    assert_eq!(scheme["optimum"]["at_edge"], false, "{scheme}");
    let [last, first] = [0, 1].map(|end| scheme["optimum"]["divergence_edge"][end].as_f64().expect("an edge"));
    assert!((first / last - 2.0).abs() < 1e-9, "{last} {first}");

    let choices: Vec<Choice> = serde_json::from_str(&place.read("found/search.json")).expect("a list of choices");
    assert!(choices.iter().any(|choice| choice.why == Why::Neighbour));
    let runs: usize = choices.iter().map(|choice| choice.seeds.len()).sum();
    assert_eq!(scheme["runs"].as_u64(), Some(runs as u64));
    let ended = |event: &&Event| matches!(event, Event::RunFinished { .. });
    let events = place.events("found/metrics.jsonl");
    assert_eq!(events.iter().filter(ended).count(), runs);
    assert!(matches!(events.last(), Some(Event::Finished { complete: true, .. })));
    // The rates that were tried make an experiment of their own.
    let written = Experiment::from_toml(&place.read("found/experiment.toml")).expect("an experiment");
    let mut rates: Vec<f64> = choices.iter().map(|choice| choice.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    assert_eq!(written.learning_rates, Some(rates));
    place.succeed(&["report", "found"]);
    assert!(place.read("found/report.html").contains("beside the best so far"));

    // As the experiment itself says at its top.
    assert!(place.read("found/experiment.toml").starts_with("# The learning rates were searched for;"));
    let again =
        ["--config", "found/experiment.toml", "--learning-rates", "auto", "--stop-early=false", "--output", "again"];
    place.succeed(&[&["sweep"], &again[..], &["--quiet", "--threads", "1", "--cohort", "2"]].concat());
    assert_eq!(place.read("again/search.json"), place.read("found/search.json"));
    let auto = ["--learning-rates", "auto"];
    let outcome = place.succeed(&small("sweep", &[&auto[..], &["--dry-run"]].concat()));
    assert!(outcome.stdout.contains("2 schemes × 5 learning rates × 1 seed"), "{}", outcome.stdout);
    place.refuse(&small("sweep", &["--learning-rates", "auto,1e-3"]), 2, &["auto alone"]);
    place.refuse(&small("plan", &auto), 2, &["`plan` trains none"]);
}

/// The seeds of each rate of the search that a folder has, by rising rate.
fn seeds(place: &Place, folder: &str) -> Vec<usize> {
    let choices: Vec<Choice> = serde_json::from_str(&place.read(&format!("{folder}/search.json"))).expect("choices");
    let mut rates: Vec<(f64, usize)> =
        choices.iter().map(|choice| (choice.learning_rate, choice.seeds.len())).collect();
    rates.sort_by(|one, other| one.0.total_cmp(&other.0));
    let of_rate = |rates: &[(f64, usize)]| rates.iter().map(|(_, seeds)| seeds).sum();
    rates.chunk_by(|one, other| one.0 == other.0).map(of_rate).collect()
}

#[test]
fn seeds_are_spent_until_the_best_loss_is_as_precise_as_asked() {
    let place = Place::new();
    let flags = ["--learning-rates", "auto", "--schemes", "init-b", "--seeds", "5", "--output"];
    let most = |precision, output| {
        place.succeed(&small("sweep", &[&flags[..], &[output, "--precision", precision]].concat()));
        seeds(&place, output).into_iter().max()
    };
    assert_eq!(most("10", "rough"), Some(3));
    assert_eq!(most("1e-9", "fine"), Some(5));
    assert_eq!(most("0", "all"), Some(5));
}
