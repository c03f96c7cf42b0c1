//! The intervals of a summary on sweeps whose optimum is known: each 95 % interval must hold the truth in at least 93 % of 1000 sweeps, also where the
//! curve has a cliff, the grid a gap, the optimum no rate beyond it, and the seeds are few. That they are not merely wide is shown, too.

use loralab_experiment::{
    Accuracy, Cell, CrossingFound, Diverged, Experiment, FEWEST_EXAMPLES, RunResult, Setting, Summary,
};
use loralab_linalg::Draws;

const SWEEPS: usize = 1000;
/// The share that must hold the truth. Of 1000 intervals of 95 %, fewer do once in 500 times by chance.
const LEAST: f64 = 0.93;
/// Standard deviations: of a seed's optimum in doublings, of the logarithm of a seed's losses and of that of each loss.
const SHIFT: f64 = 0.2;
const LUCK: f64 = 0.05;
const NOISE: f64 = 0.01;

/// The logarithm of the loss against the rate in doublings: a valley that may bend more on its right, and may end at a cliff.
struct Curve {
    depth: f64,
    best: f64,
    left: f64,
    right: f64,
    cliff: f64,
    /// True if runs diverge beyond the cliff; else their loss is that of a model that has learnt nothing.
    diverges: bool,
}

/// A sweep: the grid of learning rates, in doublings of 1e-3, the number of seeds, and the curves that losses are drawn from.
#[derive(Clone, Copy)]
struct Scenario {
    grid: &'static [f64],
    seeds: u64,
    /// The range that the best learning rates are drawn from, in doublings.
    best: [f64; 2],
    cliff: Option<Cliff>,
}

#[derive(Clone, Copy)]
struct Cliff {
    diverges: bool,
}

/// The shares of intervals that held the truth: of the optimal rate, of the ratio of two, and of the difference of two losses.
struct Found {
    rate: f64,
    ratio: f64,
    difference: f64,
    /// The median width of the intervals of the optimal rate, in doublings; those that nothing bounds are infinite.
    width: f64,
    /// The share of pairs whose rates were said to differ.
    differ: f64,
}

const DOUBLINGS: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
const HALVES: &[f64] = &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0];
const GAP: &[f64] = &[0.0, 1.0, 2.0, 3.0, 6.0];
const SMOOTH: Scenario = Scenario { grid: DOUBLINGS, seeds: 3, best: [2.0, 4.0], cliff: None };

impl Curve {
    fn of(scenario: &Scenario, draws: &mut Draws) -> Self {
        let [low, high] = scenario.best;
        let best = low + (high - low) * uniform(draws);
        let left = 0.04 + 0.1 * uniform(draws);
        let right = left * (0.7 + 2.3 * uniform(draws));
        let cliff = scenario.cliff.map_or(f64::INFINITY, |_| best - 1.5 + 3.0 * uniform(draws));
        let diverges = scenario.cliff.is_some_and(|cliff| cliff.diverges);
        Self { depth: -1.0 + 0.2 * uniform(draws), best, left, right, cliff, diverges }
    }

    /// The rate of the lowest loss.
    fn optimum(&self) -> f64 {
        self.best.min(self.cliff)
    }

    /// The logarithm of the loss of a seed whose valley lies this much further to the right.
    fn at(&self, x: f64, shift: f64) -> f64 {
        let off = x - shift - self.best;
        match x > self.cliff {
            true => self.depth + 1.0,
            false => self.depth + if off < 0.0 { self.left } else { self.right } * off * off,
        }
    }

    /// The mean loss of all seeds there could be.
    fn mean(&self, x: f64) -> f64 {
        let shifts = || (-40..=40).map(|k| f64::from(k) / 10.0).map(|z| (z * SHIFT, (-z * z / 2.0).exp()));
        let whole: f64 = shifts().map(|(_, weight)| weight).sum();
        let sum: f64 = shifts().map(|(shift, weight)| weight * self.at(x, shift).exp()).sum();
        // The mean of what is normal in its logarithm.
        sum / whole * ((LUCK * LUCK + NOISE * NOISE) / 2.0).exp()
    }

    /// The lowest of the rates tried.
    fn lowest(&self, grid: &[f64]) -> f64 {
        let tried = grid.iter().filter(|x| !(self.diverges && **x > self.cliff)).map(|x| self.mean(*x));
        tried.fold(f64::INFINITY, f64::min)
    }

    fn runs(&self, scheme: &str, scenario: &Scenario, draws: &mut Draws) -> Vec<RunResult> {
        let mut runs = Vec::new();
        for seed in 0..scenario.seeds {
            let (shift, luck) = (SHIFT * normal(draws), LUCK * normal(draws));
            for &x in scenario.grid {
                let loss = (self.at(x, shift) + luck + NOISE * normal(draws)).exp();
                let diverged = self.diverges && x > self.cliff;
                runs.push(RunResult {
                    cell: Cell { scheme: scheme.to_owned(), learning_rate: rate(x), seed },
                    final_loss: (!diverged).then_some(loss),
                    accuracy: None,
                    classes: None,
                    correlations: None,
                    diverged: diverged.then(|| Diverged { step: 1, tensor: "logits".to_owned() }),
                    stopped: None,
                    failed: None,
                    start: None,
                    evaluations: vec![],
                    seconds: 0.0,
                });
            }
        }
        runs
    }
}

fn rate(doublings: f64) -> f64 {
    1e-3 * doublings.exp2()
}

fn uniform(draws: &mut Draws) -> f64 {
    f64::from(draws.next_u32()) / 2f64.powi(32)
}

/// The sum of twelve has a variance of 1.
fn normal(draws: &mut Draws) -> f64 {
    (0..12).map(|_| uniform(draws)).sum::<f64>() - 6.0
}

fn setting(validation_examples: usize) -> Setting {
    Setting {
        device: String::new(),
        wall_seconds: 0.0,
        base_loss: None,
        base_accuracy: None,
        accuracy: Accuracy::Token,
        bytes_per_token: None,
        validation_examples: Some(validation_examples),
        order: vec![],
    }
}

/// True if a value lies within, but for rounding.
fn holds([low, high]: [f64; 2], truth: f64) -> bool {
    let rounding = 1e-9 * truth.abs();
    (low - rounding..=high + rounding).contains(&truth)
}

fn sweeps(name: &str, scenario: &Scenario) -> Found {
    let mut draws = Draws::new(0, name);
    let (mut rates, mut ratios, mut differences, mut differ) = (0, 0, 0, 0);
    let mut widths = Vec::new();
    for _ in 0..SWEEPS {
        let curves = [Curve::of(scenario, &mut draws), Curve::of(scenario, &mut draws)];
        let runs = ["a", "b"].iter().zip(&curves).flat_map(|(name, curve)| curve.runs(name, scenario, &mut draws));
        let summary = Summary::from_runs(setting(128), &runs.collect::<Vec<_>>());
        for (scheme, curve) in summary.schemes.iter().zip(&curves) {
            let optimum = scheme.optimum.as_ref().expect("a rate at which no seed diverged");
            let [low, high] = optimum.bounds().expect("two seeds or more");
            assert!(holds([low, high], optimum.learning_rate), "{optimum:?}");
            rates += usize::from(holds([low, high], rate(curve.optimum())));
            widths.push((high / low).log2());
        }
        let [pair] = &summary.comparisons[..] else { panic!("one pair") };
        let (first, second) = if pair.first == "a" { (&curves[0], &curves[1]) } else { (&curves[1], &curves[0]) };
        let bounds = pair.bounds().expect("two seeds or more");
        ratios += usize::from(holds(bounds, (first.optimum() - second.optimum()).exp2()));
        differ += usize::from(pair.rates_differ() == Some(true));
        let difference = second.lowest(scenario.grid) - first.lowest(scenario.grid);
        differences += usize::from(holds(pair.loss_difference_interval.expect("two seeds or more"), difference));
    }
    widths.sort_by(f64::total_cmp);
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let found = Found {
        rate: share(rates, 2 * SWEEPS),
        ratio: share(ratios, SWEEPS),
        difference: share(differences, SWEEPS),
        width: widths[SWEEPS],
        differ: share(differ, SWEEPS),
    };
    let Found { rate, ratio, difference, width, differ } = found;
    println!(
        "{name}: the optimal rate {rate}, the ratio {ratio}, the difference {difference}; {width:.2} doublings; {differ} differ"
    );
    found
}

/// The scenario's intervals hold the truth as often as they must.
fn covered(name: &str, scenario: Scenario) -> Found {
    let found = sweeps(name, &scenario);
    for (what, share) in [("rate", found.rate), ("ratio", found.ratio), ("difference", found.difference)] {
        assert!(share >= LEAST, "{name}: the interval of the {what} holds the truth in {share} of the sweeps");
    }
    found
}

#[test]
fn smooth_curves() {
    let found = covered("smooth", SMOOTH);
    // The valleys of two schemes are drawn independently, two thirds of a doubling apart on average.
    assert!(found.width < 1.5 && found.differ > 0.25, "{} doublings, {} differ", found.width, found.differ);
    let found = covered("smooth, five seeds", Scenario { seeds: 5, ..SMOOTH });
    assert!(found.width < 1.0 && found.differ > 0.4, "{} doublings, {} differ", found.width, found.differ);
    covered("smooth, a fine grid", Scenario { grid: HALVES, ..SMOOTH });
}

#[test]
fn cliffs() {
    let to = |diverges| Scenario { cliff: Some(Cliff { diverges }), ..SMOOTH };
    let found = covered("a cliff", to(false));
    assert!(found.width < 2.5, "{} doublings", found.width);
    covered("a cliff where runs diverge", to(true));
    covered("a cliff and five seeds", Scenario { seeds: 5, ..to(true) });
    covered("a cliff on a fine grid", Scenario { grid: HALVES, ..to(false) });
}

#[test]
fn gaps_in_the_grid() {
    let gap = Scenario { grid: GAP, best: [2.5, 5.5], ..SMOOTH };
    covered("a gap", gap);
    covered("a gap and a cliff", Scenario { cliff: Some(Cliff { diverges: false }), ..gap });
    covered("a gap and a cliff where runs diverge", Scenario { cliff: Some(Cliff { diverges: true }), ..gap });
}

#[test]
fn an_optimum_at_the_edge_or_beyond() {
    covered("the largest rate", Scenario { best: [5.0, 7.5], ..SMOOTH });
    covered("the smallest rate", Scenario { best: [-1.5, 1.0], ..SMOOTH });
}

#[test]
fn two_seeds() {
    covered("two seeds", Scenario { seeds: 2, ..SMOOTH });
    covered("two seeds and a cliff", Scenario { seeds: 2, cliff: Some(Cliff { diverges: true }), ..SMOOTH });
}

#[test]
fn crossings() {
    let scenario = Scenario { grid: HALVES, ..SMOOTH };
    let mut draws = Draws::new(0, "crossings");
    let (mut found, mut held) = (0, 0);
    for _ in 0..SWEEPS {
        let smaller = Curve::of(&scenario, &mut draws);
        let larger = Curve { best: smaller.best + 1.5, depth: smaller.depth, ..Curve::of(&scenario, &mut draws) };
        let runs = [larger.runs("a", &scenario, &mut draws), smaller.runs("b", &scenario, &mut draws)].concat();
        let crossed = CrossingFound::new(Summary::from_runs(setting(128), &runs), Experiment::default(), &runs);
        let interval = crossed.pairs[0].crossing.as_ref().and_then(|crossing| crossing.interval);
        // Between the two best rates the one leads at first, then the other.
        let (mut low, mut high) = (smaller.best, larger.best);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if larger.mean(middle) > smaller.mean(middle) { low = middle } else { high = middle }
        }
        found += usize::from(interval.is_some());
        held += usize::from(interval.is_some_and(|ends| holds(ends, rate(low))));
    }
    let share = held as f64 / found as f64;
    println!("crossings: {found} have an interval, which holds the truth in {share} of the sweeps");
    assert!(found > SWEEPS * 9 / 10 && share >= LEAST, "{found} {share}");
}

/// A few examples shift the optimum of every run alike, which no seed shows: what others would give is not told.
#[test]
fn a_tiny_validation_set() {
    let mut draws = Draws::new(0, "tiny");
    let curves = [Curve::of(&SMOOTH, &mut draws), Curve::of(&SMOOTH, &mut draws)];
    let runs = ["a", "b"].iter().zip(&curves).flat_map(|(name, curve)| curve.runs(name, &SMOOTH, &mut draws));
    let runs: Vec<RunResult> = runs.collect();
    for examples in 1..FEWEST_EXAMPLES {
        let summary = Summary::from_runs(setting(examples), &runs);
        for optimum in summary.schemes.iter().filter_map(|scheme| scheme.optimum.as_ref()) {
            assert_eq!((optimum.interval, optimum.loss_interval, optimum.plateau), (None, None, None));
        }
        let pair = &summary.comparisons[0];
        assert_eq!((pair.rates_differ(), pair.losses_differ()), (None, None));
        let words = summary.sentence();
        let plural = if examples == 1 { "" } else { "s" };
        assert!(words.contains(&format!("With {examples} validation example{plural}, the difference")), "{words}");
        for claim in ["wants", "loss is lower", "leads", " ± "] {
            assert!(!words.contains(claim), "{claim}: {words}");
        }
    }
    let enough = Summary::from_runs(setting(FEWEST_EXAMPLES), &runs);
    assert!(enough.comparisons[0].loss_difference_interval.is_some());
    assert!(
        enough.sentence().contains("Intervals are over seeds, on the same 6 validation examples."),
        "{}",
        enough.sentence()
    );
}
