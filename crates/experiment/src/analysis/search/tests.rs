use super::*;
use crate::analysis::summary::Summary;
use crate::analysis::summary::tests::{run, setting};
use crate::config::experiment::Seeds;
use crate::config::table::Experiment;

fn experiment(schemes: &[&str], seeds: u64) -> Resolved {
    let schemes = schemes.iter().map(|&scheme| scheme.to_owned()).collect();
    let experiment = Experiment { schemes: Some(schemes), seeds: Some(Seeds::Count(seeds)), ..Experiment::default() };
    experiment.resolve(&["a", "b"]).expect("it is right")
}

/// Searches to the end, with losses from the function `loss`; infinity is a divergence.
fn search(schemes: &[&str], seeds: u64, loss: impl Fn(&Cell) -> f64) -> (RateSearch, Vec<RunResult>) {
    let mut search = RateSearch::new(&experiment(schemes, seeds));
    let mut runs: Vec<RunResult> = Vec::new();
    loop {
        let choices = search.next(Some(3.0), &runs);
        if choices.is_empty() {
            return (search, runs);
        }
        assert!(search.rounds() < 30, "{choices:?}");
        for cell in choices.iter().flat_map(Choice::cells) {
            assert!(runs.iter().all(|run| run.cell != cell), "{cell:?} twice");
            runs.push(run(&cell.scheme, cell.learning_rate, cell.seed, loss(&cell)));
        }
    }
}

/// A loss curve like those of sweeps: gentle below its best, steep above, a cliff at `edge`.
fn valley(best: f64, edge: f64) -> impl Fn(&Cell) -> f64 {
    move |cell| {
        let off = (cell.learning_rate / best).log2();
        let noise = 0.01 * ((cell.seed * 7 % 5) as f64 - 2.0);
        let side = if off < 0.0 { 0.04 } else { 0.12 };
        if cell.learning_rate > edge { f64::INFINITY } else { 0.3 * (side * off * off + noise).exp() }
    }
}

#[test]
fn the_best_has_every_seed_and_neighbours_and_the_edge_is_a_doubling_wide() {
    for (best, edge) in [(8e-3, 6e-2), (1e-6, 1e-3), (3.0, 3.5), (2e-4, 2e-4), (5e-2, 9e3)] {
        let (_, runs) = search(&["a"], 3, valley(best, edge));
        let summary = Summary::from_runs(setting(), &runs);
        let scheme = &summary.schemes[0];
        let optimum = scheme.optimum.as_ref().expect("it has one");
        assert!(!optimum.at_edge, "{best} {edge}: {scheme:?}");
        let rates = &scheme.learning_rates;
        let place = rates.iter().position(|rate| Some(rate.learning_rate) == scheme.best_learning_rate);
        let place = place.expect("the best was tried");
        let near = &rates[place - 1..=place + 1];
        assert!(near.iter().all(|rate| rate.losses.len() == 3), "{best} {edge}: {near:?}");
        assert!((near[2].learning_rate / near[0].learning_rate - 4.0).abs() < 1e-9);
        let [last, first] = optimum.divergence_edge.expect("it was searched for");
        assert!((first / last - 2.0).abs() < 1e-9, "{best} {edge}: {last} {first}");
        // Above the base's loss of 3 counts as broken, too.
        assert!(last <= edge && (first > edge || valley(best, edge)(&runs_cell(first)) > 2.9), "{last} {first} {edge}");
        assert!(
            optimum.interval.is_some_and(|[low, high]| low <= optimum.learning_rate && optimum.learning_rate <= high)
        );
        // A grid of all doublings from the lowest to the highest rate tried would train each with every seed.
        let doublings = (rates[rates.len() - 1].learning_rate / rates[0].learning_rate).log2().round() as usize + 1;
        assert!(runs.len() < 3 * doublings, "{} runs of {doublings} doublings", runs.len());
    }
}

fn runs_cell(learning_rate: f64) -> Cell {
    Cell { scheme: "a".to_owned(), learning_rate, seed: 0 }
}

#[test]
fn it_finds_what_the_fixed_grid_finds_with_fewer_runs() {
    let loss = valley(11e-3, 6e-2);
    let (_, runs) = search(&["a"], 5, &loss);
    let grid: Vec<RunResult> = (-2..=7)
        .flat_map(|exponent| (0..5).map(move |seed| (rate(exponent), seed)))
        .map(|(rate, seed)| run("a", rate, seed, loss(&Cell { scheme: "a".to_owned(), learning_rate: rate, seed })))
        .collect();
    let optimum = |runs: &[RunResult]| Summary::from_runs(setting(), runs).schemes[0].optimum.clone();
    let (found, of_grid) = (optimum(&runs).expect("one"), optimum(&grid).expect("one"));
    assert_eq!(found.learning_rate, of_grid.learning_rate);
    // The seeds that the scouts lack follow theirs, here up to rounding.
    let apart =
        |end: usize| found.interval.expect("five seeds")[end] / of_grid.interval.expect("five seeds")[end] - 1.0;
    assert!(apart(0).abs() < 1e-9 && apart(1).abs() < 1e-9, "{found:?} {of_grid:?}");
    assert_eq!(found.divergence_edge, of_grid.divergence_edge);
    assert!(runs.len() * 2 <= grid.len(), "{} of {}", runs.len(), grid.len());
}

#[test]
fn schemes_are_searched_apart_in_common_rounds_and_always_alike() {
    let curve = |cell: &Cell| if cell.scheme == "a" { valley(8e-3, 6e-2)(cell) } else { valley(5e-4, 2e-3)(cell) };
    let (found, runs) = search(&["a", "b"], 2, curve);
    let (again, same) = search(&["a", "b"], 2, curve);
    assert_eq!((found.choices(), runs), (again.choices(), same));
    let first: Vec<_> = found.choices().iter().filter(|choice| choice.round == 1).collect();
    assert_eq!(first.len(), 2 * SCOUTS as usize);
    assert!(first.iter().all(|choice| choice.why == Why::Scout && choice.seeds == [0]));
    let words = Choice::in_words(&found.choices()[..2 * SCOUTS as usize]);
    assert_eq!(
        words,
        ["a", "b"]
            .map(|scheme| format!("{scheme} at 2.5e-4, 1e-3, 4e-3, 1.6e-2, 6.4e-2 (to see roughly where its best is)"))
    );
    assert!(found.learning_rates().is_sorted());
}

#[test]
fn a_round_is_reduced_seed_by_seed() {
    let mut search = RateSearch::of_best(&experiment(&["a", "b"], 3));
    let choices = search.next(Some(3.0), &[]);
    let scouts: Vec<RunResult> = choices
        .iter()
        .flat_map(Choice::cells)
        .map(|cell| run(&cell.scheme, cell.learning_rate, cell.seed, valley(4e-3, 6e-2)(&cell)))
        .collect();
    let full = search.next(Some(3.0), &scouts);
    // The best lacks two seeds, each neighbour three.
    assert_eq!(full.iter().map(|choice| choice.seeds.len()).collect::<Vec<_>>(), [3, 2, 3, 3, 2, 3]);
    for (most, runs) in [(20, 16), (16, 16), (15, 10), (9, 4), (4, 4), (3, 0)] {
        let mut reduced = search.clone();
        let left = reduced.reduce(most);
        assert_eq!(left.iter().map(|choice| choice.seeds.len()).sum::<usize>(), runs, "at most {most}");
        let mut repeated = RateSearch::of_best(&experiment(&["a", "b"], 3));
        repeated.repeat(&choices);
        repeated.repeat(&left);
        assert_eq!(repeated.choices(), reduced.choices());
    }
    let (found, runs) = search_best(valley(4e-3, 6e-2));
    assert!(
        runs < search_all(valley(4e-3, 6e-2))
            && found.choices().iter().all(|choice| !matches!(choice.why, Why::Edge | Why::Bend))
    );
}

fn search_all(loss: impl Fn(&Cell) -> f64) -> usize {
    search(&["a"], 3, loss).1.len()
}

fn search_best(loss: impl Fn(&Cell) -> f64) -> (RateSearch, usize) {
    let mut runs: Vec<RunResult> = vec![];
    let mut search = RateSearch::of_best(&experiment(&["a"], 3));
    loop {
        let cells: Vec<Cell> = search.next(Some(3.0), &runs).iter().flat_map(Choice::cells).collect();
        if cells.is_empty() {
            return (search, runs.len());
        }
        runs.extend(cells.iter().map(|cell| run(&cell.scheme, cell.learning_rate, cell.seed, loss(cell))));
    }
}

#[test]
fn curves_without_a_valley_or_an_edge_end_at_the_ends_of_the_lattice() {
    let rates = |loss: fn(&Cell) -> f64| search(&["a"], 2, loss).0.learning_rates();
    let falling = rates(|cell| 1.0 / (2.0 + cell.learning_rate));
    assert!(falling.last().is_some_and(|&last| last == rate(HIGHEST)), "{falling:?}");
    let rising = rates(|cell| 1.0 + cell.learning_rate);
    assert!(rising.first().is_some_and(|&first| first == rate(LOWEST)), "{rising:?}");
    let hopeless = rates(|_| f64::INFINITY);
    assert!(hopeless.first().is_some_and(|&first| first == rate(LOWEST)), "{hopeless:?}");
    let flat = rates(|_| 1.0);
    assert!(!flat.is_empty());
    assert!(rate(LOWEST) as f32 > f32::MIN_POSITIVE);
}
