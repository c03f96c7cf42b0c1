//! Student's t distribution and confidence intervals.

use std::f64::consts::FRAC_2_PI;

use crate::line::{mean, standard_error};

/// P(|T| ≤ t) with ν degrees of freedom: Abramowitz & Stegun 1964, 26.7.3 and 26.7.4, which are finite sums.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2;
    // Powers of the cosine from `odd` on, each with the product of the fractions before it.
    let (mut term, mut sum) = (if odd == 1 { cosine } else { 1.0 }, 0.0);
    let mut power = odd;
    while power + 2 <= freedom {
        sum += term;
        power += 2;
        term *= cosine * cosine * (power - 1) as f64 / power as f64;
    }
    if odd == 1 { FRAC_2_PI * (angle + sine * sum) } else { sine * sum }
}

/// The two-sided quantile t with P(|T| ≤ t) = `level`, for `freedom` degrees of freedom.
///
/// # Panics
/// If `freedom` is 0, or `level` is not between 0 and 1.
pub fn quantile(level: f64, freedom: usize) -> f64 {
    assert!(freedom > 0, "Student's t needs a degree of freedom");
    assert!(level > 0.0 && level < 1.0, "a level lies between 0 and 1, not at {level}");
    let mut high = 1.0;
    while within(high, freedom) < level && high < 1e12 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if within(middle, freedom) < level { low = middle } else { high = middle }
    }
    high
}

/// Student's confidence interval of an estimate from `seeds` seeds, lower end first; `None` with fewer than two.
pub fn interval(estimate: f64, standard_error: f64, seeds: usize, level: f64) -> Option<[f64; 2]> {
    if seeds < 2 {
        return None;
    }
    let reach = quantile(level, seeds - 1) * standard_error;
    let ends = [estimate - reach, estimate + reach];
    ends.iter().all(|end| end.is_finite()).then_some(ends)
}

/// Student's confidence interval of a quantity that lies anywhere between two estimates, each with its standard error. If the range is wide compared with
/// its errors, the quantity can be beyond one end only, so each end moves out by less than for a single estimate (Imbens & Manski 2004, "Confidence
/// intervals for partially identified parameters", equation 6, with Student's distribution for the normal one). `None` with fewer than two seeds.
pub fn interval_of_range(range: [f64; 2], standard_errors: [f64; 2], seeds: usize, level: f64) -> Option<[f64; 2]> {
    let [low, high] = range;
    let freedom = seeds.checked_sub(1).filter(|freedom| *freedom > 0)?;
    let error = standard_errors[0].max(standard_errors[1]);
    let wide = if error > 0.0 { (high - low) / error } else { 0.0 };
    let (mut least, mut most) = (0.0, quantile(level, freedom));
    for _ in 0..100 {
        let middle = 0.5 * (least + most);
        // P(−t ≤ T ≤ t + wide), the coverage if the quantity is at an end.
        let held = 0.5 * (within(middle, freedom) + within(middle + wide, freedom));
        if held < level { least = middle } else { most = middle }
    }
    let ends = [low - most * standard_errors[0], high + most * standard_errors[1]];
    ends.iter().all(|end| end.is_finite()).then_some(ends)
}

/// Student's confidence interval of the mean of independent values; `None` with fewer than two.
pub fn interval_of_mean(values: &[f64], level: f64) -> Option<[f64; 2]> {
    interval(mean(values), standard_error(values)?, values.len(), level)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed tables of the two-sided 95 % and 99 % points.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, at_95, at_99) in [
            (1, 12.706, 63.657),
            (2, 4.303, 9.925),
            (3, 3.182, 5.841),
            (4, 2.776, 4.604),
            (9, 2.262, 3.250),
            (10, 2.228, 3.169),
            (30, 2.042, 2.750),
            (120, 1.980, 2.617),
        ] {
            assert!((quantile(0.95, freedom) - at_95).abs() < 6e-4, "{freedom}: {}", quantile(0.95, freedom));
            assert!((quantile(0.99, freedom) - at_99).abs() < 6e-4, "{freedom}: {}", quantile(0.99, freedom));
        }
    }

    #[test]
    fn intervals_by_hand() {
        // Mean 2, standard deviation 1, three values: 2 ± 4.303/√3.
        let [low, high] = interval_of_mean(&[1.0, 2.0, 3.0], 0.95).expect("three values");
        assert!((low - (2.0 - 2.4841)).abs() < 1e-3 && (high - 4.4841).abs() < 1e-3, "{low} {high}");
        assert_eq!(interval_of_mean(&[1.0], 0.95), None);
        assert_eq!(interval(1.0, f64::NAN, 3, 0.95), None);
        assert_eq!(interval(1.0, 0.0, 3, 0.95), Some([1.0, 1.0]));
        // A range without width is a single estimate; each end of a wide one is that of a one-sided interval, 2.920 for two degrees of freedom.
        let [low, high] = interval_of_range([2.0, 2.0], [1.0, 0.5], 3, 0.95).expect("three seeds");
        assert!((low - (2.0 - 4.303)).abs() < 1e-3 && (high - (2.0 + 0.5 * 4.303)).abs() < 1e-3, "{low} {high}");
        let [low, high] = interval_of_range([0.0, 1e6], [1.0, 0.5], 3, 0.95).expect("three seeds");
        assert!((low + 2.920).abs() < 1e-3 && (high - 1e6 - 0.5 * 2.920).abs() < 1e-3, "{low} {high}");
        assert_eq!(interval_of_range([0.0, 1.0], [0.0; 2], 2, 0.95), Some([0.0, 1.0]));
        assert_eq!(interval_of_range([0.0, 1.0], [0.0; 2], 1, 0.95), None);
        assert_eq!(interval_of_range([0.0, 1.0], [f64::NAN, 1.0], 3, 0.95), None);
    }
}
