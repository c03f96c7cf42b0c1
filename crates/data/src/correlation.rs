//! Correlations of the scores that a model gives with those that are wanted.

use std::cmp::Ordering;

/// Correlations of given scores with wanted ones, −1 to 1 each; GLUE measures STS-B by both. None where the scores of one side are all equal: the
/// quotient is 0/0 then, NaN in SciPy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Correlation {
    /// Pearson's: that of the scores themselves.
    pub pearson: Option<f64>,
    /// Spearman's: Pearson's of the ranks. Equal scores share the mean of their ranks.
    pub spearman: Option<f64>,
}

impl Correlation {
    /// Those of pairs (given, wanted).
    pub fn of(pairs: &[(f32, f32)]) -> Self {
        let (given, wanted): (Vec<f64>, Vec<f64>) =
            pairs.iter().map(|(given, wanted)| (f64::from(*given), f64::from(*wanted))).unzip();
        Self { pearson: pearson(&given, &wanted), spearman: pearson(&ranks(&given), &ranks(&wanted)) }
    }
}

/// Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² Σ (y − ȳ)²), if it is a number.
fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let centred = |values: &[f64]| -> Vec<f64> {
        // Exact for equal values, since a sum of f32 numbers is in f64.
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let [x, y] = [centred(x), centred(y)];
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let quotient = product(&x, &y) / (product(&x, &x).sqrt() * product(&y, &y).sqrt());
    // Rounding may take it a little beyond.
    quotient.is_finite().then(|| quotient.clamp(-1.0, 1.0))
}

/// The rank of each value, from 1; equal values have the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].partial_cmp(&values[other]).unwrap_or(Ordering::Equal));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&one, &other| values[one] == values[other]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|&index| ranks[index] = rank);
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, wanted: f64) -> bool {
        found.is_some_and(|found| (found - wanted).abs() < 1e-14)
    }

    /// Values of `scipy.stats.pearsonr` and `spearmanr`, SciPy 1.17.1.
    #[test]
    fn measures_are_those_of_scipy() {
        let with_ties = [(0.5, 1.0), (2.5, 2.0), (2.5, 4.5), (-1.0, 0.25), (3.75, 2.0), (8.0, 5.0), (0.5, 2.0)];
        let found = Correlation::of(&with_ties);
        assert!(close(found.pearson, 0.8094608841935446) && close(found.spearman, 0.830336491706037), "{found:?}");
        let cube: Vec<(f32, f32)> = (-3..4).map(|x| (x as f32, (x * x * x) as f32)).collect();
        let found = Correlation::of(&cube);
        assert!(close(found.pearson, 0.9295051634426239) && close(found.spearman, 1.0), "{found:?}");
        let falling: Vec<(f32, f32)> = (0..9).map(|x| (x as f32, 1.0 - 0.1 * x as f32)).collect();
        assert!(close(Correlation::of(&falling).spearman, -1.0));
    }

    #[test]
    fn equal_scores_have_no_correlation() {
        let none = Correlation::default();
        for pairs in [&[(0.1, 1.0), (0.1, 2.0), (0.1, 3.0)][..], &[(1.0, 0.3), (2.0, 0.3)], &[(1.0, 2.0)], &[]] {
            assert_eq!(Correlation::of(pairs), none, "{pairs:?}");
        }
        assert_eq!(Correlation::of(&[(f32::NAN, 1.0), (2.0, 2.0)]).pearson, None);
    }
}
