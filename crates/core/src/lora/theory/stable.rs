//! The largest stable learning rate of a layer as a function of width and rank (Chen, Villar and Hayou, arXiv 2602.06204, table of
//! optimal learning rates; restated without the text at hand, exponents confirmed numerically).

use std::ops::ControlFlow;

use loralab_experiment::{RateLaw, RateLawOf};

use super::exponents::{Grid, fit, root_mean_square};
use super::layer::{Layer, Optimizer, trace};
use crate::lora::init;

/// Name, start, whether a = 1/R, and the exponents of width and rank.
const CONFIGURATIONS: [(&str, &str, bool, f64, f64); 3] = [
    ("Init[A], a = 1", "init-a", false, -0.5, -0.5),
    ("Init[A], a = 1/r", "init-a", true, -0.5, 0.0),
    ("Init[B], a = 1", "init-b", false, -1.0, 0.0),
];

/// The most trainings of a layer to find a rate, and the tolerance on the logarithm of its Z_B.
const TRIALS: usize = 40;
const NEAR: f64 = 1e-6;

/// The ranks, and the width at which they are measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranks {
    /// The ranks R, rising.
    pub ranks: Vec<usize>,
    /// The width n.
    pub width: usize,
}

/// The learning rate at which Z_B has a root mean square of 1 after `steps` steps of sign descent: above it the layer is not stable in the paper's
/// sense. Found by the Illinois method (Dowell and Jarratt 1971) in logarithms, where Z_B is nearly linear.
fn largest_stable_rate(layer: Layer, steps: usize) -> f64 {
    let z_b = |log: f64| {
        let last = trace(&Layer { learning_rate: log.exp(), ..layer }, steps).pop();
        last.map_or(0.0, |step| step.z_b).max(f64::MIN_POSITIVE).ln()
    };
    let ends = [1e-8_f64.ln(), 10_f64.ln()];
    let (mut low, mut high) = ((ends[0], z_b(ends[0])), (ends[1], z_b(ends[1])));
    let (mut middle, mut kept) = (low.0, 0.0);
    for _ in 0..TRIALS {
        middle = low.0 - low.1 * (high.0 - low.0) / (high.1 - low.1);
        let value = z_b(middle);
        if value.abs() < NEAR {
            break;
        }
        // An end kept twice in a row has its value halved, so that it is sure to move.
        let again = if kept == value.signum() { 0.5 } else { 1.0 };
        kept = value.signum();
        if value < 0.0 {
            low = (middle, value);
            high.1 *= again;
        } else {
            high = (middle, value);
            low.1 *= again;
        }
    }
    middle.exp()
}

/// The largest stable rate of three configurations against width, at the grid's rank, and against rank; `progress` is called after each rate with the number done.
/// If it breaks, only the laws whose rates were all measured are returned, and the flag is false; it is true if nothing is missing.
pub fn stable_rates(
    grid: &Grid,
    ranks: &Ranks,
    mut progress: impl FnMut(usize) -> ControlFlow<()>,
) -> (Vec<RateLaw>, bool) {
    let mut done = 0;
    let mut laws = Vec::new();
    for (name, start, divided, of_width, of_rank) in CONFIGURATIONS {
        let scheme = init::find(start).expect("the starts of the theory are schemes");
        let against =
            [(RateLawOf::Width, of_width, grid.widths.clone()), (RateLawOf::Rank, of_rank, ranks.ranks.clone())];
        for (of, theory, sizes) in against {
            let mut rates = Vec::new();
            for &size in &sizes {
                let (width, rank) = if of == RateLawOf::Width { (size, grid.rank) } else { (ranks.width, size) };
                let multiplier = if divided { 1.0 / rank as f64 } else { 1.0 };
                let optimizer = Optimizer::Sign;
                let mut of_size = Vec::new();
                for seed in 0..grid.seeds {
                    let layer = Layer { scheme, width, rank, multiplier, learning_rate: 0.0, optimizer, seed };
                    of_size.push(largest_stable_rate(layer, grid.steps));
                    done += 1;
                    if progress(done).is_break() {
                        return (laws, false);
                    }
                }
                rates.push(of_size);
            }
            let everything = [0, usize::MAX];
            let ends = if of == RateLawOf::Width { Grid::FITS[0] } else { everything };
            // A law needs more than one size.
            let Some(fit) = fit(&sizes, &rates, ends).or_else(|| fit(&sizes, &rates, everything)) else { continue };
            laws.push(RateLaw {
                configuration: name.to_owned(),
                of,
                theory,
                fit,
                sizes,
                rates: rates.iter().map(|rates| root_mean_square(rates)).collect(),
            });
        }
    }
    (laws, true)
}

/// The number of rates to find.
pub fn count(grid: &Grid, ranks: &Ranks) -> usize {
    CONFIGURATIONS.len() * (grid.widths.len() + ranks.ranks.len()) * grid.seeds as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_stable_rate_is_where_the_output_reaches_one() {
        let scheme = init::find("init-b").expect("a scheme");
        let layer = Layer {
            scheme,
            width: 256,
            rank: 4,
            multiplier: 1.0,
            learning_rate: 0.0,
            optimizer: Optimizer::Sign,
            seed: 0,
        };
        let rate = largest_stable_rate(layer, 4);
        let z_b = trace(&Layer { learning_rate: rate, ..layer }, 4)[3].z_b;
        assert!((z_b - 1.0).abs() < 1e-4, "{z_b} at {rate}");
    }

    #[test]
    fn rates_owe_to_width_and_rank_what_the_theory_says() {
        let grid = Grid { widths: vec![1 << 10, 1 << 12, 1 << 13], seeds: 4, rank: 4, steps: 5, constant: 0.1 };
        let ranks = Ranks { ranks: vec![4, 8, 16, 32], width: 1 << 12 };
        let (laws, complete) = stable_rates(&grid, &ranks, |_| ControlFlow::Continue(()));
        assert!(complete && laws.len() == 6);
        for law in &laws {
            assert!((law.fit.slope - law.theory).abs() < 0.05, "{law:?}");
        }
    }
}
