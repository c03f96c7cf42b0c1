//! Ctrl-C.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use loralab_experiment::Event;

use super::{Place, small};

#[test]
fn the_first_one_leaves_valid_partial_results() {
    let place = Place::new();
    // So many short cohorts that the signal comes between the end of the first and that of the last.
    let flags = ["--seeds", "2000", "--cohort", "4", "--learning-rates", "1e-3,2e-3"];
    let child = place
        .command(&small("sweep", &flags))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let log = place.path("results/metrics.jsonl");
    let patience = Instant::now() + Duration::from_secs(60);
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("cohort_finished")) {
        assert!(Instant::now() < patience, "no cohort has ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().expect("the binary ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(130), "{stderr}");
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
