//! Tests of summaries.

use super::*;
use crate::config::grid::Cell;
use crate::protocol::run::Diverged;

pub(crate) fn setting() -> Setting {
    Setting {
        device: "cpu".to_owned(),
        wall_seconds: 60.0,
        base_loss: Some(3.0),
        base_accuracy: Some(0.0),
        accuracy: Accuracy::ExactMatch,
        validation_examples: None,
        bytes_per_token: Some(1.0),
        order: vec![],
    }
}

/// A run with this final loss; infinity for one that diverged.
pub(crate) fn run(scheme: &str, learning_rate: f64, seed: u64, loss: f64) -> RunResult {
    let finished = loss.is_finite();
    RunResult {
        cell: Cell { scheme: scheme.to_owned(), learning_rate, seed },
        final_loss: finished.then_some(loss),
        accuracy: finished.then_some(1.0 - loss),
        classes: None,
        correlations: None,
        diverged: (!finished).then(|| Diverged { step: 9, tensor: "logits".to_owned() }),
        stopped: None,
        failed: None,
        start: None,
        evaluations: vec![],
        seconds: 1.0,
    }
}

#[test]
fn a_summary_by_hand() {
    let runs = [
        run("init-a", 1e-3, 0, 0.4),
        run("init-a", 4e-3, 1, 0.3),
        run("init-a", 4e-3, 0, 0.1),
        run("init-a", 1e-3, 1, 0.5),
        // Lower than any other, but a rate with a diverged seed can't be best.
        run("init-a", 2e-3, 0, 0.01),
        run("init-a", 2e-3, 1, f64::INFINITY),
        // Exactly twice the best is still stable.
        run("init-a", 8e-3, 0, 0.4),
        run("init-a", 8e-3, 1, 0.4),
        run("init-a", 1.6e-2, 0, 0.5),
        run("init-a", 1.6e-2, 1, 0.5),
    ];
    let summary = Summary::from_runs(setting(), &runs);
    let [scheme] = &summary.schemes[..] else { panic!("one scheme") };
    assert_eq!(scheme.best_learning_rate, Some(4e-3));
    assert_eq!(scheme.best_loss, Some(0.2));
    assert!((scheme.best_loss_spread.expect("two seeds") - 0.2).abs() < 1e-15);
    assert!((scheme.best_accuracy.expect("known") - 0.8).abs() < 1e-15);
    assert_eq!(scheme.largest_stable_learning_rate, Some(8e-3));
    assert_eq!((scheme.runs, scheme.diverged()), (10, 1));
    let stable: Vec<_> = scheme.learning_rates.iter().map(|rate| rate.stable).collect();
    assert_eq!(stable, [false, false, true, true, false]);
    let blown = &scheme.learning_rates[1];
    assert_eq!((blown.mean_loss, blown.mean_accuracy, blown.diverged), (None, None, 1));
    assert_eq!(blown.losses, [Some(0.01), None]);
    assert_eq!(blown.range(), Some((0.01, 0.01)));
    assert_eq!(scheme.best().expect("there is one").losses, [Some(0.1), Some(0.3)]);
}

#[test]
fn the_mean_of_numbers_is_a_number() {
    assert_eq!([mean(&[1.0, 2.0]), mean(&[1e308, 1e308]), mean(&[-1e308; 4])], [1.5, 1e308, -1e308]);
}

#[test]
fn one_seed_has_no_spread_and_stopped_runs_do_not_count() {
    let mut stopped = run("init-b", 1e-3, 0, 0.1);
    stopped.final_loss = None;
    let summary = Summary::from_runs(setting(), &[run("init-a", 1e-3, 0, 0.1), stopped]);
    assert_eq!(summary.schemes.len(), 1);
    assert_eq!(summary.schemes[0].best_loss_spread, None);
    assert_eq!(Summary::from_runs(setting(), &[]).schemes, []);
}

#[test]
fn schemes_stand_in_the_order_that_was_asked_for_however_they_ended() {
    let runs = [run("pissa", 1e-3, 0, 0.1), run("other", 1e-3, 0, 0.1), run("init-a", 1e-3, 0, 0.1)];
    let order = ["init-a", "init-b", "pissa"].map(str::to_owned).to_vec();
    let names = |order| {
        let summary = Summary::from_runs(Setting { order, ..setting() }, &runs);
        summary.schemes.into_iter().map(|scheme| scheme.scheme).collect::<Vec<_>>()
    };
    assert_eq!(names(order), ["init-a", "pissa", "other"]);
    assert_eq!(names(vec![]), ["pissa", "other", "init-a"]);
}

#[test]
fn runs_that_could_not_start_are_told_apart() {
    let failed = |seed, reason: &str| RunResult {
        final_loss: None,
        accuracy: None,
        classes: None,
        correlations: None,
        failed: Some(reason.to_owned()),
        ..run("lora-ga", 1e-3, seed, 0.1)
    };
    let begun = run("init-a", 1e-3, 0, 0.4);
    let runs = [failed(0, "the gradient is zero"), begun, failed(1, "the gradient is zero"), failed(2, "other")];
    assert!(runs.iter().all(RunResult::is_over));
    let summary = Summary::from_runs(setting(), &runs);
    assert_eq!(summary.schemes.iter().map(|scheme| &*scheme.scheme).collect::<Vec<_>>(), ["init-a"]);
    let counts: Vec<_> = summary.failures.iter().map(|failure| (&*failure.reason, failure.runs)).collect();
    assert_eq!(counts, [("the gradient is zero", 2), ("other", 1)]);
    let sentence = summary.sentence();
    assert!(sentence.contains("2 runs of lora-ga could not start: the gradient is zero."), "{sentence}");
    assert!(sentence.ends_with("1 run of lora-ga could not start: other."), "{sentence}");
    assert_eq!(summary.why_nothing_started(), None);
    let nothing = Summary::from_runs(setting(), &runs[..1]).why_nothing_started();
    assert_eq!(nothing.as_deref(), Some("no run could start: the gradient is zero"));
    let json = serde_json::to_string(&summary).expect("a summary is JSON");
    assert_eq!(serde_json::from_str::<Summary>(&json).expect("what was written is read"), summary);
}

#[test]
fn a_scheme_that_always_diverged_has_no_best() {
    let summary = Summary::from_runs(setting(), &[run("init-a", 1.0, 0, f64::INFINITY)]);
    let scheme = &summary.schemes[0];
    assert_eq!((scheme.best_learning_rate, scheme.largest_stable_learning_rate, scheme.runs), (None, None, 1));
    assert_eq!(scheme.learning_rates[0].range(), None);
}

#[test]
fn json_has_the_promised_fields_no_nan_and_is_read_again() {
    let mut odd = run("init-b", 2e-3, 0, 0.5);
    odd.final_loss = Some(f64::NAN);
    let runs = [run("init-a", 1e-3, 0, 0.4), run("init-a", 1e-3, 1, 0.3), odd];
    let summary = Summary::from_runs(setting(), &runs);
    assert_eq!(summary.schemes[1].diverged(), 1);
    let json = serde_json::to_string_pretty(&summary).expect("a summary is JSON");
    assert!(!json.contains("NaN") && !json.contains("inf"));
    assert_eq!(serde_json::from_str::<Summary>(&json).expect("what was written is read"), summary);
    let value: serde_json::Value = serde_json::from_str(&json).expect("what was written is read");
    let of_base = ["base_loss", "base_accuracy", "base_perplexity", "base_bits_per_byte", "bytes_per_token"];
    for name in ["version", "device", "wall_seconds", "schemes"].into_iter().chain(of_base) {
        assert!(!value[name].is_null(), "{name}");
    }
    for name in [
        "scheme",
        "best_learning_rate",
        "best_loss",
        "best_loss_spread",
        "best_perplexity",
        "best_bits_per_byte",
        "best_accuracy",
        "largest_stable_learning_rate",
        "optimum",
        "runs",
    ] {
        assert!(!value["schemes"][0][name].is_null(), "{name}");
    }
}

#[test]
fn the_order_of_runs_does_not_matter_within_a_scheme() {
    let mut runs: Vec<_> = (0..12)
        .map(|i| run("init-a", f64::from(1 + i % 4) * 1e-3, u64::from(i as u32 / 4), 0.1 + f64::from(i * 7 % 5)))
        .collect();
    let summary = Summary::from_runs(setting(), &runs);
    for _ in 0..runs.len() {
        runs.rotate_left(5);
        runs.swap(0, 3);
        assert_eq!(Summary::from_runs(setting(), &runs), summary);
    }
}
