//! The bootstrap over seeds: Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, algorithm 6.1.

use loralab_linalg::Draws;

/// Maximum number of resamples of a standard error.
const RESAMPLES: usize = 1000;
/// Minimum number of resamples: enough to determine a standard error to 5 %.
const LEAST: usize = 200;
/// Maximum indices drawn in all, unless the minimum number of resamples needs more; limits the time for more than a hundred seeds.
const DRAWN: usize = 100_000;

/// Resamples of the seeds' indices, drawn with replacement: 1000 for up to a hundred seeds, 200 or more for more seeds, the same in every call. All
/// estimates that are compared use the same resample, since all schemes and rates share the seeds.
pub fn resamples(seeds: usize) -> Vec<Vec<usize>> {
    let mut draws = Draws::new(0, "bootstrap");
    let bound = u32::try_from(seeds).expect("fewer than 2^32 seeds");
    let count = (DRAWN / seeds.max(1)).clamp(LEAST, RESAMPLES);
    (0..count).map(|_| (0..seeds).map(|_| draws.below(bound) as usize).collect()).collect()
}

/// The bootstrap standard error of each estimate that `estimate` computes from a resample of the seeds; `None` with fewer than two seeds.
///
/// The standard deviation over resamples is multiplied by √(S/(S − 1)), without which it would be too small: for a mean over
/// S seeds the result is the usual standard error. Resamples in which an estimate is not finite are left out for it.
pub fn standard_errors(seeds: usize, estimate: impl Fn(&[usize]) -> Vec<f64>) -> Option<Vec<f64>> {
    if seeds < 2 {
        return None;
    }
    let estimates: Vec<Vec<f64>> = resamples(seeds).iter().map(|chosen| estimate(chosen)).collect();
    let unbiased = (seeds as f64 / (seeds - 1) as f64).sqrt();
    let error = |place: usize| {
        let values: Vec<f64> = estimates.iter().map(|row| row[place]).filter(|value| value.is_finite()).collect();
        let middle = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / values.len() as f64;
        unbiased * variance.sqrt()
    };
    Some((0..estimates[0].len()).map(error).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{mean, standard_error};

    #[test]
    fn of_a_mean_it_is_the_usual_standard_error() {
        for values in [vec![1.0, 2.0], vec![3.0, 1.0, 4.0], vec![3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]] {
            let of_chosen = |chosen: &[usize]| {
                let values: Vec<f64> = chosen.iter().map(|&seed| values[seed]).collect();
                vec![mean(&values), 7.0, -mean(&values)]
            };
            let errors = standard_errors(values.len(), of_chosen).expect("two seeds or more");
            let exact = standard_error(&values).expect("two values or more");
            // 1000 resamples determine a standard deviation to about 2 %.
            assert!((errors[0] / exact - 1.0).abs() < 0.08, "{} against {exact}", errors[0]);
            assert_eq!((errors[1], errors[2]), (0.0, errors[0]));
        }
        assert_eq!(standard_errors(1, |_| vec![1.0]), None);
    }

    #[test]
    fn resamples_are_always_the_same() {
        assert_eq!(resamples(3), resamples(3));
        assert!(resamples(3).iter().all(|chosen| chosen.len() == 3 && chosen.iter().all(|&seed| seed < 3)));
        assert_eq!([1, 100, 250, 100_000].map(|seeds| resamples(seeds).len()), [1000, 1000, 400, 200]);
    }
}
