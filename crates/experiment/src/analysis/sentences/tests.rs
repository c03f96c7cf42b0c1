use crate::analysis::summary::Summary;
use crate::analysis::summary::tests::{run, setting};

/// Runs of one scheme at 1e-3 · 2ᵏ, two seeds that differ by `spread`.
fn runs(scheme: &str, losses: &[f64], spread: f64) -> Vec<crate::RunResult> {
    let mut runs = Vec::new();
    for (k, loss) in losses.iter().enumerate() {
        let rate = 1e-3 * f64::from(1 << k);
        runs.push(run(scheme, rate, 0, loss - spread / 2.0));
        runs.push(run(scheme, rate, 1, loss + spread / 2.0));
    }
    runs
}

const A: [f64; 7] = [0.347, 0.187, 0.110, 0.084, 0.111, 2.07, 2.80];
const B: [f64; 7] = [0.237, 0.143, 0.106, 0.183, 1.23, 1.98, 2.41];

fn sentence(runs: &[crate::RunResult]) -> String {
    Summary::from_runs(setting(), runs).sentence()
}

#[test]
fn what_was_stopped_or_not_written_is_said() {
    let mut summary = Summary::from_runs(setting(), &runs("init-a", &A, 0.006));
    assert!(!summary.sentence().contains("stopped") && !summary.sentence().contains("could not be written"));
    summary.planned = Some(28);
    summary.unwritten = vec!["init-a_lr1e-3_seed0".to_owned()];
    let said = summary.sentence();
    assert!(said.contains("The sweep was stopped: 14 of 28 runs had ended, and this is theirs."), "{said}");
    assert!(said.ends_with("The adapter of init-a_lr1e-3_seed0 could not be written."), "{said}");
    summary.unwritten = (0..7).map(|seed| format!("init-a_lr1e-3_seed{seed}")).collect();
    let said = summary.sentence();
    assert!(said.contains("The adapters of init-a_lr1e-3_seed0, "), "{said}");
    assert!(said.ends_with("and 3 others could not be written."), "{said}");
    let json = serde_json::to_string(&summary).expect("a summary is JSON");
    let read: Summary = serde_json::from_str(&json).expect("what was written is read");
    assert_eq!((read.planned, read.unwritten), (summary.planned, summary.unwritten));
}

#[test]
fn equal_losses_are_no_difference_by_chance() {
    let said = sentence(&[runs("init-a", &A, 0.006), runs("init-b", &A, 0.006)].concat());
    assert!(said.contains("init-a and init-b have the same losses."), "{said}");
    assert!(!said.contains("chance"), "{said}");
}

#[test]
fn a_bound_above_one_is_written_as_one() {
    let texts = [1.5, 1.04, 1.004, 1.000_000_1, 34.2].map(super::above_one_text);
    assert_eq!(texts, ["1.5", "1.04", "1.004", "1.0", "34"]);
}

#[test]
fn the_headline_in_words() {
    let runs = [runs("init-a", &A, 0.006), runs("init-b", &B, 0.008)].concat();
    assert_eq!(
        sentence(&runs),
        "init-a is best at 8e-3 (loss 0.084 ± 0.038, exact match 0.92), init-b at 4e-3 (0.106 ± 0.051, 0.89). init-a's \
         optimum is at 2.2 times (0.85 to 3.5) the learning rate of init-b's: the difference is not significant. Each at its best rate tried, init-a's \
         loss is lower than init-b's by 0.022 (0.009 to 0.035). At small learning rates, up to 2e-3, init-b leads."
    );
}

#[test]
fn a_difference_within_the_seeds_is_called_that() {
    let runs = [runs("init-a", &A, 0.03), runs("init-b", &B, 0.04)].concat();
    let said = sentence(&runs);
    assert!(
        said.contains(
            "Each at its best rate tried, the losses of init-a and init-b do not differ significantly: init-b's is higher by 0.022 (-0.0"
        ),
        "{said}"
    );
}

#[test]
fn rates_that_the_seeds_do_not_tell_apart_are_called_that() {
    // Each seed has its own best rate, and they are apart in opposite directions.
    let luck = |scheme: &str, first: [f64; 4], second: [f64; 4]| {
        let of_seed = move |seed: u64, losses: [f64; 4]| {
            (0..4).zip(losses).map(move |(k, loss)| run("", 1e-3 * f64::from(1 << k), seed, loss)).collect::<Vec<_>>()
        };
        let mut runs = [of_seed(0, first), of_seed(1, second)].concat();
        runs.iter_mut().for_each(|run| run.cell.scheme = scheme.to_owned());
        runs
    };
    let (low, high) = ([0.5, 0.2, 0.4, 0.9], [0.9, 0.5, 0.2, 0.3]);
    let said = sentence(&[luck("x", low, high), luck("y", high, low)].concat());
    // The grid reaches far enough; the seeds are the reason.
    let words = "With these seeds, the optimum of x and y has no bound within the grid, so the ratio of the best rates";
    assert!(said.contains(words) && said.contains("is not known: use more seeds."), "{said}");
}

#[test]
fn edges_are_told_together() {
    let two = [run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("y", 1e-3, 0, 0.9), run("y", 2e-3, 0, 0.8)];
    let said = sentence(&two);
    let words = "x and y are best at the largest learning rate tried, so their optima may lie beyond.";
    assert!(said.ends_with(words), "{said}");
}

#[test]
fn few_seeds_edges_and_divergence_are_said() {
    let one = [run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("y", 1e-3, 0, 0.7), run("y", 2e-3, 0, 0.8)];
    assert_eq!(
        sentence(&one),
        "x is best at 2e-3 (loss 0.400, exact match 0.60), y at 1e-3 (0.700, 0.30). Beyond the grid may lie the optimum of \
         x and y, so the ratio of the best rates is not known. With one seed each, the difference between x and y may be chance: use more \
         seeds. x's best is the largest learning rate tried, so its optimum may lie beyond. y's best is the smallest \
         learning rate tried, so its optimum may lie beyond."
    );
    let same = [run("x", 1e-3, 0, 0.5), run("y", 1e-3, 0, 0.7), run("z", 1e-3, 0, f64::NAN)];
    let same = sentence(&same);
    assert!(same.contains("One learning rate was tried, which says") && !same.contains("times"), "{same}");
    assert!(same.ends_with("z diverged at every learning rate."), "{same}");
    assert_eq!(sentence(&[]), "No run has come to its end.");
    assert_eq!(sentence(&[run("x", 1e-3, 0, 0.5)]), "x is best at 1e-3 (loss 0.500, exact match 0.50).");
}

#[test]
fn correlations_of_scores_stand_in_the_table() {
    let with = |seed: u64, pearson: Option<f64>| crate::RunResult {
        accuracy: None,
        correlations: Some(crate::Correlations { pearson, spearman: Some(0.5 + 0.25 * seed as f64) }),
        ..run("x", 1e-3, seed, 0.5)
    };
    let defined = Summary::from_runs(setting(), &[with(0, Some(0.25)), with(1, Some(-0.75))]);
    let table = defined.table();
    let [header, row] =
        [0, 2].map(|line| table.lines().nth(line).map(|line| line.split_whitespace().collect::<Vec<_>>()));
    assert!(
        header.is_some_and(|words| words.ends_with(&["Pearson", "Spearman", "stable", "to", "runs", "diverged"])),
        "{table}"
    );
    assert!(row.is_some_and(|words| words.ends_with(&["-0.250", "0.625", "1e-3", "2", "0"])), "{table}");
    assert!(!defined.sentence().contains("NaN") && !table.contains("F1"), "{table}");
    let undefined = Summary::from_runs(setting(), &[with(0, Some(0.25)), with(1, None)]);
    assert!(undefined.table().contains("  NaN     0.625"), "{}", undefined.table());
    assert!(
        undefined.sentence().contains("The correlation of x is not defined (NaN): a seed gives all texts the same")
    );
    let json = serde_json::to_value(&undefined).expect("a summary is JSON");
    assert!(json["schemes"][0]["learning_rates"][0]["mean_correlations"]["pearson"].is_null());
}

#[test]
fn a_best_at_the_end_of_the_grid_bounds_no_ratio() {
    let falling = [runs("x", &[0.5, 0.4, 0.3], 0.002), runs("y", &[0.4, 0.35, 0.5], 0.002)].concat();
    let summary = Summary::from_runs(setting(), &falling);
    let words = summary.sentence();
    assert!(words.contains("Beyond the grid may lie the optimum of x, so the ratio of the best rates"), "{words}");
    assert!(!words.contains("times ("), "{words}");
    assert!(summary.table().contains("4.0e-3 (from 2.0e-3)"), "{}", summary.table());
    assert!(!sentence(&runs("y", &[0.4, 0.35, 0.5], 0.002)).contains("Beyond"));
}

/// "wants 18 times the learning rate (5.1 to 64)", with intervals that overlapped wholly, one optimum at the edge and one validation example.
#[test]
fn a_ratio_is_claimed_only_where_its_interval_and_the_grid_show_it() {
    let x = runs("x", &[0.90, 0.80, 0.72, 0.66, 0.61, 0.57, 0.54], 0.02);
    let y = runs("y", &[0.80, 0.70, 0.75, 0.80, 0.90, 1.20, 1.40], 0.2);
    let words = sentence(&[x.clone(), y.clone()].concat());
    assert!(!words.contains("times ("), "{words}");
    let one = crate::analysis::summary::Setting { validation_examples: Some(1), ..setting() };
    let words = Summary::from_runs(one, &[x, y].concat()).sentence();
    assert!(words.contains("With 1 validation example, the difference"), "{words}");
    assert!(!words.contains("times (") && !words.contains("wants at least"), "{words}");
}

/// Summaries of older versions say neither which ends are open nor how many examples there were.
#[test]
fn older_summaries_are_read_and_their_edges_bound_nothing() {
    let found = Summary::from_runs(
        setting(),
        &[runs("x", &[0.5, 0.4, 0.3], 0.002), runs("y", &[0.4, 0.35, 0.5], 0.002)].concat(),
    );
    let mut json = serde_json::to_value(&found).expect("a summary is JSON");
    json.as_object_mut().and_then(|fields| fields.remove("validation_examples")).expect("it is written");
    json["comparisons"][0].as_object_mut().and_then(|fields| fields.remove("rate_ratio_open")).expect("it is written");
    json["comparisons"][0]["rate_ratio_interval"] = serde_json::json!([1.7, 2.3]);
    for place in 0..2 {
        json["schemes"][place]["optimum"]
            .as_object_mut()
            .and_then(|fields| fields.remove("open"))
            .expect("it is written");
    }
    let words = serde_json::from_value::<Summary>(json).expect("it is read").sentence();
    assert!(words.contains("so the ratio of the best rates is not known"), "{words}");
}

#[test]
fn one_rate_is_no_comparison_of_starts() {
    let one = Summary::from_runs(setting(), &[runs("x", &[0.5], 0.002), runs("y", &[0.4], 0.002)].concat());
    let words = one.sentence();
    assert!(words.contains("One learning rate was tried") && !words.contains("optimum"), "{words}");
    assert!(words.contains("At this rate, y's loss is lower than x's by 0.100 ("), "{words}");
    assert!(one.table().contains("1.0e-3 (at the edge)"), "{}", one.table());
    assert!(one.comparisons[0].rate_ratio_interval.is_none());
    let seed = Summary::from_runs(setting(), &[run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4)]).table();
    assert!(seed.contains("2.0e-3 (at the edge)"), "{seed}");
}

#[test]
fn ending_above_the_base_is_said() {
    let words = sentence(&[runs("x", &[5.0, 4.0, 4.5], 0.002), runs("y", &[0.4, 0.35, 0.5], 0.002)].concat());
    assert!(words.ends_with("x ends above the loss of the base alone, 3.00, at every learning rate."), "{words}");
}

#[test]
fn three_schemes_are_ranked() {
    let runs = [runs("a", &B, 0.002), runs("b", &A, 0.002), runs("c", &[0.5, 0.4, 0.6], 0.002)].concat();
    assert_eq!(
        sentence(&runs),
        "b is best at 8e-3 (loss 0.084 ± 0.013, exact match 0.92), a at 4e-3 (0.106 ± 0.013, 0.89), c at 2e-3 (0.400 ± \
         0.013, 0.60). Each at its best rate tried, b's loss is lower than that of a and c. 3 pairs were compared, so each interval \
         is one of 98.3 %, for 95 % together (Bonferroni)."
    );
}

#[test]
fn of_many_schemes_the_first_ones_are_named() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let every = |count: usize| -> Vec<_> {
        let of = |(place, name): (usize, &&str)| runs(name, &[0.4 + 0.01 * place as f64, 0.5], 0.002);
        names[..count].iter().enumerate().flat_map(of).collect()
    };
    let said = sentence(&every(6));
    let begin = "a is best at 1e-3 (loss 0.400 ± 0.013, exact match 0.60), b at 1e-3 (0.410 ± 0.013, 0.59), c at 1e-3 (0.420 ± 0.013, 0.58), \
                 d at 1e-3 (0.430 ± 0.013, 0.57), 2 others at 1e-3 (0.440 to 0.450). ";
    assert!(said.starts_with(begin), "{said}");
    assert!(said.contains("a, b, c, d and 2 others are best at the smallest"), "{said}");
    let said = sentence(&every(5));
    assert!(said.contains("e at 1e-3 (0.440") && said.contains("a, b, c, d and e are best at the smallest"), "{said}");
}

#[test]
fn where_tokens_are_no_bytes_the_table_compares_tokenizers() {
    let of_tokens = crate::analysis::summary::Setting { bytes_per_token: Some(4.0), ..setting() };
    let table = Summary::from_runs(of_tokens, &runs("x", &[2.0, 1.0], 0.5)).table();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(
        table.lines().next().is_some_and(|head| head.contains("± 95 %  perplexity  bits/byte  exact match")),
        "{table}"
    );
    // e and e³, 1 and 3 nats over four bytes.
    assert!(rows[2].contains(&"2.72") && rows[2].contains(&"0.361"), "{table}");
    assert!(rows[3].contains(&"20.1") && rows[3].contains(&"1.08"), "{table}");
}

#[test]
fn the_table_is_aligned() {
    let mut runs = [runs("init-a", &A, 0.006), runs("init-b-kaiming", &B, 0.008)].concat();
    runs.push(run("x", 1e-3, 0, f64::NAN));
    assert_eq!(
        Summary::from_runs(setting(), &runs).table(),
        "\
scheme          best rate          optimum (95 %)        plateau   loss  ± 95 %  exact match  stable to  runs  diverged
──────────────  ─────────  ──────────────────────  ─────────────  ─────  ──────  ───────────  ─────────  ────  ────────
init-a               8e-3  8.0e-3 (8.0e-3–1.3e-2)  7.4e-3–8.6e-3  0.084   0.038        0.916     1.6e-2    14         0
init-b-kaiming       4e-3  3.6e-3 (3.6e-3–9.5e-3)  3.7e-3–4.1e-3  0.106   0.051        0.894       8e-3    14         0
x                       -                       -              -      -       -            -          -     1         1
(base)                  -                       -              -   3.00       -        0.000          -     -         -
"
    );
}
