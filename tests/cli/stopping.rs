//! `--stop-early`: runs that can no longer be their scheme's best end, and the others are what they are without it.

use loralab_experiment::{Cell, Event, RunResult};

use super::{Place, SMALL};

const RATES: [&str; 8] = ["--steps", "40", "--learning-rates", "1e-4,4e-3,1.6e-2,1", "--seeds", "2", "--device", "cpu"];

fn results(events: &[Event]) -> Vec<&RunResult> {
    let mut results = vec![];
    for event in events {
        if let Event::RunFinished { result } = event {
            results.push(result);
        }
    }
    results
}

/// The training losses of a run.
fn losses(events: &[Event], wanted: &Cell) -> Vec<Option<f64>> {
    let loss = |event: &Event| match event {
        Event::Step { cell, loss, .. } if cell == wanted => Some(*loss),
        _ => None,
    };
    events.iter().filter_map(loss).collect()
}

#[test]
fn hopeless_runs_end_early_and_the_others_keep_their_bits() {
    let place = Place::new();
    let [base, nano, _, _, rest @ ..] = SMALL;
    let sweep = |more: &[&str]| place.succeed(&[&["sweep", base, nano], &rest[..], &RATES, more].concat());
    sweep(&["--output", "whole"]);
    let outcome = sweep(&["--output", "early", "--stop-early", "--keep-best"]);
    let [whole, early] = ["whole", "early"].map(|folder| place.events(&format!("{folder}/metrics.jsonl")));
    let found = results(&early);
    assert_eq!(found.len(), 16);
    let mut stops = 0;
    for result in results(&whole) {
        let same = found.iter().find(|other| other.cell == result.cell).expect("every run has a result");
        let [trained, before] = [&early, &whole].map(|events| losses(events, &result.cell));
        assert!(before.starts_with(&trained), "{}", result.cell.id());
        match same.stopped {
            Some(stopped) => {
                stops += 1;
                assert_eq!((trained.len(), same.final_loss, &same.diverged), (stopped.step, None, &None));
                assert!([2, 4, 8, 16, 32].contains(&stopped.step), "{stopped:?}");
            }
            None if same.final_loss.is_some() => {
                assert_eq!((same.final_loss, same.accuracy), (result.final_loss, result.accuracy));
                let adapter = |folder| {
                    std::fs::read(
                        place.path(&format!("{folder}/adapters/{}/adapter_model.safetensors", same.cell.id())),
                    )
                };
                assert!(adapter("whole").expect("it is there") == adapter("early").expect("it is there"));
            }
            None => assert!(same.diverged.is_some(), "{same:?}"),
        }
    }
    assert!((6..16).contains(&stops), "{stops}");
    assert!(outcome.stdout.contains(&format!("{stops} of 16 runs were stopped early")), "{}", outcome.stdout);
    let summary = place.json("early/summary.json");
    let rates = |scheme: usize| summary["schemes"][scheme]["learning_rates"].as_array().expect("a list").clone();
    let counted: u64 =
        [0, 1].iter().flat_map(|&scheme| rates(scheme)).filter_map(|rate| rate["stopped"].as_u64()).sum();
    assert_eq!(counted, stops);
    assert_eq!(summary["schemes"][0]["diverged"], place.json("whole/summary.json")["schemes"][0]["diverged"]);
    place.succeed(&["report", "early"]);
    assert!(place.read("early/report.html").contains("stopped early"));
    // In cohorts of one rate nothing is known of others, but for those that ended.
    sweep(&["--output", "alone", "--stop-early", "--cohort", "1"]);
    let alone = place.events("alone/metrics.jsonl");
    assert!(results(&alone).iter().any(|result| result.stopped.is_some()));
}

#[test]
fn commands_that_need_every_rate_refuse_it() {
    let place = Place::new();
    for command in ["crossing", "curvature", "transformer"] {
        place.refuse(
            &["reproduce", command, "--stop-early"],
            2,
            &["`stop_early` ends runs before they have a final loss", "leave `--stop-early` away"],
        );
    }
}
