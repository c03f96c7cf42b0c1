//! `docs/metrics.md` describes the log as it is: every event, every field, and an example of each event.

use std::collections::BTreeSet;

use loralab_experiment::{
    Cell, ClassScores, Correlations, Diagnosis, Diverged, Evaluation, Event, Logged, RunResult, StartCost, StopReason,
    Stopped, TextMeasures,
};
use serde_json::Value;

const PAGE: &str = include_str!("../docs/metrics.md");

/// One event of each kind, with every field that may be absent.
fn one_of_each() -> Vec<Event> {
    let cell = || Cell { scheme: "eva".to_owned(), learning_rate: 2e-3, seed: 1 };
    let text = TextMeasures::of(Some(3.0), Some(4.0));
    let numbers = Diagnosis {
        module: "q_proj".to_owned(),
        z_a: 1.0,
        z_b: 1.0,
        z_a_length: 1.0,
        z_b_length: 1.0,
        delta_1: 1.0,
        delta_2: 1.0,
        delta_3: 1.0,
        a: 1.0,
        b: 1.0,
        product: 1.0,
        stable_rank: Some(1.0),
        largest_singular_value: 1.0,
        gradient_a: 1.0,
        gradient_b: 1.0,
        update_a: Some(1.0),
        update_b: Some(1.0),
        alignment: Some(1.0),
        below_epsilon_a: Some(1.0),
        below_epsilon_b: Some(1.0),
    };
    let result = RunResult {
        cell: cell(),
        final_loss: Some(0.5),
        accuracy: Some(0.5),
        classes: Some(ClassScores { f1: 0.5, mcc: 0.5 }),
        correlations: Some(Correlations { pearson: Some(0.5), spearman: Some(0.5) }),
        diverged: Some(Diverged { step: 4, tensor: "logits".to_owned() }),
        stopped: Some(Stopped { step: 4, why: StopReason::Behind, best: 1e-3, behind: 0.5 }),
        failed: Some("there is no gradient".to_owned()),
        start: StartCost::of(64, 32),
        evaluations: vec![Evaluation { step: 2, loss: Some(3.0), accuracy: Some(0.5), text }],
        seconds: 1.5,
    };
    vec![
        Event::Started {
            version: "1".to_owned(),
            device: "CPU".to_owned(),
            runs: 1,
            steps: 4,
            schemes: vec!["eva".to_owned()],
        },
        Event::Base { loss: Some(3.0), accuracy: Some(0.0), text },
        Event::CohortStarted { cohort: 0, cohorts: 1, cells: vec![cell()] },
        Event::Calibrated { schemes: vec!["eva".to_owned()], tokens: 64, seconds: 0.5 },
        Event::Step { cell: cell(), step: 1, loss: Some(3.0), learning_rate: 2e-3, gradient_norm: Some(1.0) },
        Event::Evaluation { cell: cell(), step: 2, loss: Some(3.0), accuracy: Some(0.5), text },
        Event::Diagnosis { cell: cell(), step: 3, kl_from_base: Some(0.25), adapters: vec![numbers] },
        Event::Diverged { cell: cell(), step: 4, tensor: "logits".to_owned() },
        Event::RunFinished { result },
        Event::CohortFinished { cohort: 0, seconds: 2.0 },
        Event::Finished { complete: true, seconds: 4.0, unwritten: vec![cell().id()] },
    ]
}

/// The name of an event in the log. A new kind does not compile here: it needs an example above and a section on the page.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Started { .. } => "started",
        Event::Base { .. } => "base",
        Event::CohortStarted { .. } => "cohort_started",
        Event::Calibrated { .. } => "calibrated",
        Event::Step { .. } => "step",
        Event::Evaluation { .. } => "evaluation",
        Event::Diagnosis { .. } => "diagnosis",
        Event::Diverged { .. } => "diverged",
        Event::RunFinished { .. } => "run_finished",
        Event::CohortFinished { .. } => "cohort_finished",
        Event::Finished { .. } => "finished",
    }
}

/// The sections of a part of the page, by the name in their heading.
fn sections(part: &str) -> Vec<(&'static str, &'static str)> {
    let section = |section: &'static str| section.split_once("`\n").expect("a heading is a name");
    let start = PAGE.find(part).expect("a part of the page");
    PAGE[start..].split("\n### `").skip(1).map(section).collect()
}

/// The fields in the tables of a section.
fn fields(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once("` |")?.0.to_owned())).collect()
}

/// The faults in the description of an object: its fields must be those of the section of its name, and likewise for the objects within.
fn problems(name: &str, object: &Value, sections: &[(&str, &str)], within: &[(&str, &str)]) -> Vec<String> {
    let Some((_, section)) = sections.iter().find(|(heading, _)| *heading == name) else {
        return vec![format!("there is no section on {name}")];
    };
    let found = object.as_object().expect("it is an object");
    let own = found.keys().filter(|key| !["event", "time"].contains(&key.as_str()));
    let (own, described): (BTreeSet<String>, _) = (own.cloned().collect(), fields(section));
    let mut problems: Vec<String> =
        own.symmetric_difference(&described).map(|field| format!("{name}: {field} is only on one side")).collect();
    for (key, value) in found {
        let value = value.as_array().and_then(|values| values.first()).unwrap_or(value);
        if value.is_object() {
            let name = if key == "cells" { "cell" } else { key };
            problems.extend(self::problems(name, value, within, within));
        }
    }
    problems
}

#[test]
fn the_page_names_every_event_and_every_field() {
    let (head, rest) = PAGE.split_once("\n## Events").expect("a part of the page");
    assert_eq!(fields(head), BTreeSet::from(["event", "time"].map(str::to_owned)));
    let (events, _) = rest.split_once("\n## Objects within").expect("a part of the page");
    let within = sections("\n## Objects within");
    let events = &sections("\n## Events")[..events.matches("\n### `").count()];
    let all = one_of_each();
    let known: BTreeSet<&str> = all.iter().map(name).collect();
    assert_eq!(events.iter().map(|(heading, _)| *heading).collect::<BTreeSet<_>>(), known);
    for event in all {
        let name = name(&event);
        let logged = serde_json::to_value(Logged { event, time: Some(1.0) }).expect("an event is JSON");
        assert_eq!(logged["event"], name);
        assert_eq!(problems(name, &logged, events, &within), [""; 0]);
    }
}

#[test]
fn the_examples_on_the_page_are_events() {
    let lines: Vec<&str> = PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(lines.len(), one_of_each().len());
    let headings = sections("\n## Events");
    for (line, (heading, section)) in lines.iter().zip(headings) {
        assert!(section.contains(line), "{heading} has no example");
        let logged: Logged = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!((name(&logged.event), logged.time.is_some()), (heading, true));
        // Nothing stands there that is no field.
        let value: Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!(serde_json::to_value(&logged).expect("an event is JSON"), value);
    }
}
