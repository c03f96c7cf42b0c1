use super::*;
use crate::analysis::summary::Summary;
use crate::analysis::summary::tests::{run, setting};

/// Five seeds of a scheme whose loss is lowest, `depth`, at `best`, on a grid of 1e-3 · 2ᵏ; seeds shift the best rate by up
/// to `shift` doublings and the loss by up to `noise` of it.
fn runs(scheme: &str, best: f64, depth: f64, shift: f64, noise: f64) -> Vec<RunResult> {
    let mut runs = Vec::new();
    for seed in 0..5 {
        let tilt = (seed as f64 - 2.0) / 2.0;
        for k in 0..8 {
            let rate = 1e-3 * f64::from(1 << k);
            let off = (rate / best).log2() - shift * tilt;
            runs.push(run(scheme, rate, seed, depth * (1.0 + noise * tilt) * (0.3 * off * off).exp()));
        }
    }
    runs
}

fn summary(runs: &[RunResult]) -> Summary {
    Summary::from_runs(setting(), runs)
}

fn optimum(runs: &[RunResult]) -> Optimum {
    summary(runs).schemes[0].optimum.clone().expect("it has one")
}

#[test]
fn the_optimum_lies_between_the_rates_and_inside_its_interval() {
    let found = optimum(&runs("x", 11e-3, 0.1, 0.2, 0.05));
    assert!((found.learning_rate / 11e-3 - 1.0).abs() < 0.05, "{found:?}");
    let [low, high] = found.interval.expect("five seeds");
    // Optima are off by -0.2, -0.1, 0, 0.1 and 0.2 doublings: a standard error of 0.0707, t(4) = 2.776.
    let reach = 2f64.powf(0.0707 * 2.776);
    assert!((low * reach / found.learning_rate - 1.0).abs() < 0.03, "{found:?}");
    assert!((high / reach / found.learning_rate - 1.0).abs() < 0.03, "{found:?}");
    assert!(!found.at_edge);
    // Eight times eleven thousandths is 3.5 doublings off, where the loss is above the base's 3.
    assert_eq!(found.divergence_edge, Some([64e-3, 128e-3]));
    let [low, high] = found.loss_interval.expect("five seeds");
    let best = summary(&runs("x", 11e-3, 0.1, 0.2, 0.05)).schemes[0].best_loss.expect("it has one");
    assert!(low < best && best < high);
}

/// The learning rates of a scheme whose best is followed by a cliff behind a gap: once an interval of no width, which the optimum was not in.
#[test]
fn a_cliff_behind_a_gap_leaves_the_optimum_open_up_to_it() {
    let at = |rate: f64, loss: f64| [run("x", rate, 0, 0.99 * loss), run("x", rate, 1, 1.01 * loss)];
    let falling = [at(1e-3, 0.9), at(2e-3, 0.8), at(4e-3, 0.7), at(8e-3, 0.6)].concat();
    for beyond in [at(64e-3, 2.5), at(64e-3, f64::INFINITY)] {
        let found = optimum(&[&falling[..], &beyond[..]].concat());
        let [low, high] = found.interval.expect("two seeds");
        assert!(low <= found.learning_rate && found.learning_rate <= high, "{found:?}");
        assert!(low <= 8e-3 && (high / 64e-3 - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.open, [false; 2]);
    }
}

#[test]
fn numbers_of_a_damaged_log_are_summed_up_without_a_panic() {
    for extreme in [0.0, -1.0, f64::INFINITY, 1e308, f64::MAX, 5e-324] {
        let mut odd = runs("x", 11e-3, 0.1, 0.2, 0.05);
        odd[9].cell.learning_rate = extreme;
        odd[17].final_loss = Some(extreme);
        let found = summary(&[odd, runs("y", 4e-3, 0.15, 0.1, 0.05)].concat());
        assert!(found.schemes[0].optimum.is_some() && !found.sentence().is_empty(), "{extreme}");
        let json = serde_json::to_string(&found).expect("a summary is JSON");
        assert!(serde_json::from_str::<Summary>(&json).is_ok() || !extreme.is_finite(), "{extreme}: {json}");
    }
    assert_eq!(summary(&[run("x", 0.0, 0, 0.5), run("x", -1.0, 0, 0.4)]).schemes[0].optimum, None);
}

#[test]
fn where_the_best_is_an_end_of_the_grid_nothing_bounds_it_there() {
    let falling = optimum(&runs("x", 1.0, 0.1, 0.0, 0.05));
    assert!(falling.at_edge && falling.open == [false, true], "{falling:?}");
    assert!(falling.bounds().is_some_and(|[low, high]| low > 32e-3 && high == f64::INFINITY), "{falling:?}");
    let rising = optimum(&runs("x", 1e-6, 0.1, 0.0, 0.05));
    assert!(rising.open == [true, false] && rising.bounds().is_some_and(|[low, _]| low == 0.0), "{rising:?}");
    // The seeds alone may carry it there: their optima are 4 doublings apart.
    let unsure = optimum(&runs("x", 16e-3, 0.1, 4.0, 0.05));
    assert!(!unsure.at_edge && unsure.is_open(), "{unsure:?}");
    // Of two schemes the one with the larger optimum is at the edge: only the other end of the ratio is known.
    let found = summary(&[runs("a", 1.0, 0.1, 0.0, 0.05), runs("b", 4e-3, 0.15, 0.0, 0.05)].concat());
    let pair = &found.comparisons[0];
    let open = if pair.first == "a" { [false, true] } else { [true, false] };
    assert_eq!((pair.rate_ratio_open, pair.rates_differ()), (open, Some(true)), "{pair:?}");
    let said = found.sentence();
    assert!(said.contains("a wants at least ") && !said.contains(" to 32) the learning rate"), "{said}");
}

#[test]
fn without_spread_the_interval_is_a_point_and_one_seed_has_none() {
    let still = optimum(&runs("x", 16e-3, 0.1, 0.0, 0.0));
    let [low, high] = still.interval.expect("five seeds");
    assert!((low / 16e-3 - 1.0).abs() < 1e-9 && (high / 16e-3 - 1.0).abs() < 1e-9);
    assert_eq!(still.plateau.map(|ends| ends.map(|end| (end * 1e3).round())), Some([16.0, 16.0]));
    let one = optimum(&[run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("x", 4e-3, 0, 0.6)]);
    assert_eq!((one.interval, one.loss_interval, one.plateau), (None, None, None));
    assert!(one.learning_rate > 1e-3 && one.learning_rate < 4e-3);
}

#[test]
fn the_plateau_reaches_to_where_the_loss_is_a_standard_error_higher() {
    // Best loss 1 at 2e-3 with a standard error of 0.5, 1.25 at 4e-3 and 2.25 at 8e-3: the limit of 1.5 is met a quarter
    // of the way from 4e-3; below, it lies half-way to 2 at 1e-3.
    let mut runs = Vec::new();
    for (rate, loss) in [(1e-3, 2.0), (2e-3, 1.0), (4e-3, 1.25), (8e-3, 2.25)] {
        runs.extend([run("x", rate, 0, loss - 0.5), run("x", rate, 1, loss + 0.5)]);
    }
    let [low, high] = optimum(&runs).plateau.expect("two seeds");
    assert!((low / 1e-3 - 2f64.sqrt()).abs() < 1e-12, "{low}");
    assert!((high / 4e-3 - 2f64.powf(0.25)).abs() < 1e-12, "{high}");
}

#[test]
fn the_divergence_edge_is_between_the_last_that_holds_and_the_first_that_breaks() {
    let mut of_base = vec![run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("x", 4e-3, 0, 0.6)];
    assert_eq!(optimum(&of_base).divergence_edge, None);
    // The base's loss is 3.
    of_base.push(run("x", 8e-3, 0, 3.5));
    assert_eq!(optimum(&of_base).divergence_edge, Some([4e-3, 8e-3]));
    let diverged = [run("x", 1e-3, 0, f64::NAN), run("x", 2e-3, 0, 0.4), run("x", 4e-3, 0, f64::INFINITY)];
    let found = optimum(&diverged);
    assert_eq!(found.divergence_edge, Some([2e-3, 4e-3]));
    assert!(!found.at_edge);
    assert!(optimum(&diverged[1..2]).divergence_edge.is_none() && optimum(&diverged[1..2]).at_edge);
    assert!(optimum(&of_base[1..]).at_edge);
    assert_eq!(summary(&diverged[..1]).schemes[0].optimum, None);
}

#[test]
fn schemes_that_differ_are_told_apart_and_those_that_do_not_are_not() {
    let (clear, other) = (runs("a", 16e-3, 0.1, 0.1, 0.05), runs("b", 4e-3, 0.15, 0.1, 0.05));
    let found = summary(&[other, clear].concat()).comparisons;
    let [pair] = &found[..] else { panic!("one pair") };
    assert_eq!((pair.first.as_str(), pair.second.as_str(), pair.level), ("a", "b", 0.95));
    assert_eq!((pair.losses_differ(), pair.rates_differ()), (Some(true), Some(true)));
    // The seeds shift both schemes alike, so the ratio is known better than either rate.
    let [low, high] = pair.rate_ratio_interval.expect("five seeds");
    assert!((pair.rate_ratio / 4.0 - 1.0).abs() < 1e-6 && low > 3.99 && high < 4.01, "{pair:?}");

    let mut same = runs("b", 16e-3, 0.101, 0.1, 0.05);
    for run in &mut same {
        // Not paired: the seeds' luck is turned round.
        run.cell.seed = 4 - run.cell.seed;
    }
    let found = summary(&[runs("a", 16e-3, 0.1, 0.1, 0.05), same].concat()).comparisons;
    assert_eq!((found[0].losses_differ(), found[0].rates_differ()), (Some(false), Some(false)));
}

#[test]
fn three_schemes_make_three_pairs_with_wider_intervals() {
    let all = [runs("a", 4e-3, 0.1, 0.1, 0.05), runs("b", 4e-3, 0.2, 0.1, 0.05), runs("c", 4e-3, 0.3, 0.1, 0.05)];
    let found = summary(&all.concat()).comparisons;
    let names: Vec<_> = found.iter().map(|pair| (pair.first.as_str(), pair.second.as_str())).collect();
    assert_eq!(names, [("a", "b"), ("a", "c"), ("b", "c")]);
    assert!(found.iter().all(|pair| (pair.level - (1.0 - 0.05 / 3.0)).abs() < 1e-15));
    let alone = summary(&all[..2].concat()).comparisons;
    let width = |pair: &Comparison| pair.loss_difference_interval.map(|[low, high]| high - low);
    assert!(width(&found[0]) > width(&alone[0]));
}

#[test]
fn rates_far_from_the_best_may_have_fewer_seeds() {
    let whole = runs("x", 11e-3, 0.1, 0.2, 0.05);
    let best = optimum(&whole);
    // Those beside the rates at which some choice of seeds is best, 8e-3 and 16e-3, have all seeds; the rest have one.
    let near = |run: &&RunResult| run.cell.seed == 0 || (3e-3..40e-3).contains(&run.cell.learning_rate);
    let scouted: Vec<RunResult> = whole.iter().filter(near).cloned().collect();
    assert_eq!(scouted.len(), 4 * 5 + 4);
    let found = optimum(&scouted);
    assert_eq!((found.learning_rate, found.loss_interval), (best.learning_rate, best.loss_interval));
    // The seeds that are missing count as going with the one that is there, whose valley is a fifth of a doubling off.
    let apart = |end: usize| found.interval.expect("five seeds")[end] / best.interval.expect("five seeds")[end];
    assert!((apart(0) - 1.0).abs() < 0.1 && (0.9..1.5).contains(&apart(1)), "{found:?} {best:?}");
    assert!(!found.at_edge);
}

#[test]
fn seeds_that_only_some_rates_have_give_no_interval_but_an_optimum() {
    let stopped = [run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("x", 2e-3, 1, 0.4), run("x", 4e-3, 0, 0.6)];
    let found = optimum(&stopped);
    assert_eq!(found.interval, None);
    assert!(found.learning_rate > 1.5e-3 && found.learning_rate < 3e-3);
}
