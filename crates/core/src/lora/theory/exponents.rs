//! Exponents of width: those of the theory, and those measured on a layer.

use std::ops::ControlFlow;

use loralab_experiment::{ExponentCell, ExponentFit, OptimizerName};
use loralab_statistics::{LEVEL, interval, slope, standard_errors};

use super::layer::{Layer, Optimizer, Step, trace};
use crate::lora::init;

/// The γ of a quantity that grows as n^γ.
#[derive(Clone, Copy, Debug)]
pub struct Exponent {
    /// The paper's name for the quantity.
    pub quantity: &'static str,
    /// The theory's γ.
    pub theory: f64,
    of: fn(&Step) -> f64,
}

/// The starts that are measured: name, exponents of Z_A(0) = A₀x and of the entries of B₀, −∞ if they are 0.
const STARTS: [(&str, f64, f64); 3] =
    [("init-a", 0.0, f64::NEG_INFINITY), ("init-b", f64::NEG_INFINITY, 0.0), ("init-ab", 0.0, -0.5)];

/// The theory's exponent of each quantity from step 3 on, for η ∝ n^`rate` and a start whose Z_A(0) and B₀ have these exponents
/// (paper, §3.2–4; with A₀ and B₀ both random, Li et al. 2025, arXiv 2505.23194): the exponent of a product is the sum of its factors', that of a sum the
/// largest of its terms', and a step along n entries that are aligned with the input adds 1.
pub fn predicted(rate: f64, z_a: f64, b: f64) -> [Exponent; 6] {
    let moved = rate + 1.0;
    let (z_a, b) = (z_a.max(moved), b.max(rate));
    [
        Exponent { quantity: "Z_A", theory: z_a, of: |step| step.z_a },
        Exponent { quantity: "Z_B", theory: b + z_a, of: |step| step.z_b },
        Exponent { quantity: "δ1", theory: b + moved, of: |step| step.delta1 },
        Exponent { quantity: "δ2", theory: rate + z_a, of: |step| step.delta2 },
        Exponent { quantity: "δ3", theory: rate + moved, of: |step| step.delta3 },
        Exponent { quantity: "B", theory: b, of: |step| step.b },
    ]
}

/// The widths, seeds and training of a measurement of exponents.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The widths n, rising.
    pub widths: Vec<usize>,
    /// The number of seeds; each is a layer of its own.
    pub seeds: u64,
    /// The rank R.
    pub rank: usize,
    /// Steps after which the quantities are measured; 3 or more.
    pub steps: usize,
    /// The constant c in η = c n^γ.
    pub constant: f64,
}

impl Grid {
    /// The smallest and largest width of the two fits: the range in which the leading term dominates, and the paper's own widths.
    pub const FITS: [[usize; 2]; 2] = [[1 << 10, 1 << 15], [1 << 7, 1 << 13]];

    /// The number of layers that are trained.
    pub fn layers(&self) -> usize {
        self.widths.len() * self.seeds as usize * STARTS.len() * 2 * 2
    }
}

/// The result of a measurement of exponents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Every quantity of every start, optimiser and rate whose layers were all measured.
    pub cells: Vec<ExponentCell>,
    /// The largest error of the identity ΔZ_B = δ₁ + δ₂ + δ₃, as a share of its largest term.
    pub identity_error: f64,
    /// True if nothing is missing.
    pub complete: bool,
}

/// Measures every start with sign descent and Adam at η ∝ n^-1/2 and n^-1, and fits the exponent of each quantity; `progress` is called after each layer with the
/// number of layers done. If it breaks, cells that were not measured at every width with every seed are left out.
pub fn exponents(grid: &Grid, mut progress: impl FnMut(usize) -> ControlFlow<()>) -> Measured {
    let (mut cells, mut done, mut identity_error) = (Vec::new(), 0, 0.0_f64);
    for (optimizer, optimizer_name) in
        [(Optimizer::Sign, OptimizerName::SignSgd), (Optimizer::Adam, OptimizerName::AdamW)]
    {
        for (start, z_a, b) in STARTS {
            let scheme = init::find(start).expect("the starts of the theory are schemes");
            for rate in [-0.5, -1.0] {
                // The last step of each seed's layer, width by width.
                let mut last: Vec<Vec<Step>> = Vec::new();
                for &width in &grid.widths {
                    let mut of_width = Vec::new();
                    for seed in 0..grid.seeds {
                        let learning_rate = grid.constant * (width as f64).powf(rate);
                        let layer =
                            Layer { scheme, width, rank: grid.rank, multiplier: 1.0, learning_rate, optimizer, seed };
                        let steps = trace(&layer, grid.steps);
                        identity_error = steps.iter().map(|step| step.identity_error).fold(identity_error, f64::max);
                        of_width.extend(steps.last());
                        done += 1;
                        if progress(done).is_break() {
                            return Measured { cells, identity_error, complete: false };
                        }
                    }
                    last.push(of_width);
                }
                for Exponent { quantity, theory, of } in predicted(rate, z_a, b) {
                    let values: Vec<Vec<f64>> = last.iter().map(|seeds| seeds.iter().map(of).collect()).collect();
                    cells.push(ExponentCell {
                        scheme: start.to_owned(),
                        optimizer: optimizer_name,
                        rate_exponent: rate,
                        quantity: quantity.to_owned(),
                        theory,
                        fits: Grid::FITS.iter().filter_map(|&ends| fit(&grid.widths, &values, ends)).collect(),
                        magnitudes: values.iter().map(|values| root_mean_square(values)).collect(),
                    });
                }
            }
        }
    }
    Measured { cells, identity_error, complete: true }
}

/// The exponent of the sizes within `ends`: the slope, in logarithms, of the root mean square over seeds, with Student's interval from a bootstrap
/// over seeds. None with fewer than two sizes.
pub(super) fn fit(sizes: &[usize], values: &[Vec<f64>], ends: [usize; 2]) -> Option<ExponentFit> {
    let inside: Vec<usize> = (0..sizes.len()).filter(|&place| (ends[0]..=ends[1]).contains(&sizes[place])).collect();
    let seeds = values.first()?.len();
    let of_seeds = |chosen: &[usize]| {
        let point = |&place: &usize| {
            let of_size: Vec<f64> = chosen.iter().map(|&seed| values[place][seed]).collect();
            ((sizes[place] as f64).ln(), root_mean_square(&of_size).ln())
        };
        // With few seeds, the equal steps of a sum over the rank may cancel to exactly 0, which has no logarithm.
        let points = inside.iter().map(point).filter(|(_, log)| log.is_finite());
        slope(&points.collect::<Vec<_>>())
    };
    let (first, last) = (inside.first()?, inside.last()?);
    let slope = of_seeds(&(0..seeds).collect::<Vec<_>>())?;
    let errors = standard_errors(seeds, |chosen| vec![of_seeds(chosen).unwrap_or(f64::NAN)]);
    Some(ExponentFit {
        from: sizes[*first],
        to: sizes[*last],
        slope,
        interval: errors.and_then(|errors| interval(slope, errors[0], seeds, LEVEL)),
    })
}

/// The root mean square over seeds. A geometric mean would be dominated by seeds in which the few terms of a sum over the rank cancel.
pub(super) fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of the paper's table, and that of two random factors, by the fit in the range where the leading term dominates.
    #[test]
    fn every_exponent_is_within_a_twentieth_of_the_theory() {
        let grid = Grid { widths: (10..=15).map(|k| 1 << k).collect(), seeds: 16, rank: 4, steps: 5, constant: 1.0 };
        let mut heard = 0;
        let progress = |done| {
            heard = done;
            ControlFlow::Continue(())
        };
        let Measured { cells, identity_error, complete } = exponents(&grid, progress);
        assert_eq!((cells.len(), heard, complete), (72, grid.layers(), true));
        assert!(identity_error < 1e-12, "{identity_error:e}");
        for cell in &cells {
            let slope = cell.fits[0].slope;
            assert!((slope - cell.theory).abs() < 0.05, "{cell:?}");
        }
    }

    /// The table as in the paper's text, at both rates.
    #[test]
    fn the_theory_is_the_papers_table() {
        let none = f64::NEG_INFINITY;
        let table = |rate, z_a, b| predicted(rate, z_a, b).map(|exponent| exponent.theory);
        assert_eq!(table(-0.5, 0.0, none), [0.5, 0.0, 0.0, 0.0, 0.0, -0.5]);
        assert_eq!(table(-1.0, 0.0, none), [0.0, -1.0, -1.0, -1.0, -1.0, -1.0]);
        assert_eq!(table(-0.5, none, 0.0), [0.5, 0.5, 0.5, 0.0, 0.0, 0.0]);
        assert_eq!(table(-1.0, none, 0.0), [0.0, 0.0, 0.0, -1.0, -1.0, 0.0]);
        // At η ∝ 1/n training A still changes the output when both factors are random.
        assert_eq!(table(-1.0, 0.0, -0.5)[2], -0.5);
    }

    #[test]
    fn whoever_stops_early_keeps_what_has_every_layer() {
        let grid = Grid { widths: vec![128, 256], seeds: 2, rank: 4, steps: 3, constant: 1.0 };
        let whole = exponents(&grid, |_| ControlFlow::Continue(()));
        assert!(whole.complete && whole.cells.len() == 72);
        // Of four layers for each start and rate, two sets are complete, and the third lacks one layer.
        let progress = |done| if done < 11 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let part = exponents(&grid, progress);
        assert!(!part.complete);
        assert_eq!(part.cells, whole.cells[..12]);
    }

    #[test]
    fn fits_take_the_widths_between_their_ends() {
        // Root mean squares of √(1/2)·(1, 4, 1000) and an exponent of 2 between the first two.
        let values = [vec![1.0, 0.0], vec![0.0, 4.0], vec![1000.0, 0.0]];
        let found = fit(&[1, 2, 8], &values, [1, 2]).expect("two widths");
        assert_eq!((found.from, found.to), (1, 2));
        assert!((found.slope - 2.0).abs() < 1e-12);
        assert!(fit(&[1, 2, 8], &values, [2, 7]).is_none());
    }
}
