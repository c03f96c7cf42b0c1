//! Round numbers along an axis.
//!
//! The range may come from a damaged file, so the number of steps is bounded: there are few ticks for any range.

use std::cmp::Ordering;

/// More steps than a linear division of a range has: the step is at least a fifth of the next larger one, so a quarter of the range has at most two and a half.
const MOST: u32 = 12;

/// Round numbers within a range, for a logarithmic axis: powers of ten, or also twice and five times these, and so on,
/// whichever first gives at least four. A range too narrow for that is divided linearly. There are none without a range of positive numbers.
pub fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    const STEPS: [&[&str]; 3] = [&["1"], &["1", "2", "5"], &["1", "1.5", "2", "3", "4", "5", "7"]];
    // Subnormal and infinite ends have no power of ten; they are clamped.
    let [low, high] = [low, high].map(|end| end.clamp(f64::MIN_POSITIVE, f64::MAX));
    if low.partial_cmp(&high) != Some(Ordering::Less) {
        return vec![];
    }
    let decades = low.log10().floor() as i32..=high.log10().floor() as i32;
    for steps in STEPS {
        let ticks: Vec<f64> = decades
            .clone()
            .flat_map(|decade| steps.iter().map(move |step| round_number(step, decade)))
            .filter(|tick| (low..=high).contains(tick))
            .collect();
        if ticks.len() >= 4 {
            // Over very many decades only every second, third … is kept.
            return ticks.iter().copied().step_by(ticks.len().div_ceil(9)).collect();
        }
    }
    linear(low, high)
}

/// Round numbers within a range, at equal distances, four to nine of them; none without a range.
pub fn linear(low: f64, high: f64) -> Vec<f64> {
    let quarter = high / 4.0 - low / 4.0;
    if !(quarter > 0.0 && quarter.is_finite()) {
        return vec![];
    }
    let decade = quarter.log10().floor() as i32;
    let steps = ["5", "2", "1"].map(|step| round_number(step, decade));
    let step = steps.into_iter().find(|step| *step <= quarter && *step > 0.0).unwrap_or(quarter);
    let first = (low / step).ceil();
    let ticks = (0..=MOST).map(|multiple| (first + f64::from(multiple)) * step);
    // Rounding can move a product just beyond an end.
    let mut ticks: Vec<f64> = ticks.filter(|tick| (low..=high).contains(tick)).collect();
    // In a very narrow range neighbouring ticks may be the same number.
    ticks.dedup();
    ticks
}

/// A tick's label: the shortest decimal, with an exponent for the very small and very large.
pub fn label(tick: f64) -> String {
    // Multiples of a step have rounding errors in their last bits, which nine digits drop.
    let rounded: f64 = format!("{tick:.9e}").parse().unwrap_or(tick);
    if rounded != 0.0 && !(1e-3..1e5).contains(&rounded.abs()) { format!("{rounded:e}") } else { rounded.to_string() }
}

/// `step · 10^decade`, rounded correctly from its decimal.
fn round_number(step: &str, decade: i32) -> f64 {
    format!("{step}e{decade}").parse().expect("digits, an e and an integer are a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_by_hand() {
        assert_eq!(logarithmic(0.07, 3.5), [0.1, 0.2, 0.5, 1.0, 2.0]);
        assert_eq!(logarithmic(1e-4, 10.0), [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]);
        assert_eq!(logarithmic(1.0, 4.2), [1.0, 1.5, 2.0, 3.0, 4.0]);
        assert_eq!(linear(0.0, 200.0), [0.0, 50.0, 100.0, 150.0, 200.0]);
        let narrow = logarithmic(0.5, 0.52).iter().map(|&tick| label(tick)).collect::<Vec<_>>();
        assert_eq!(narrow, ["0.5", "0.505", "0.51", "0.515", "0.52"]);
    }

    #[test]
    fn any_range_has_a_fair_number_of_ticks_inside_it() {
        let mut low = 1e-9;
        while low < 1e9 {
            for ratio in [1.001, 1.1, 1.7, 2.0, 5.0, 10.0, 55.0, 1e3, 1e8, 1e20] {
                let high = low * ratio;
                for ticks in [logarithmic(low, high), linear(low, high)] {
                    assert!((3..=16).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
                    assert!(ticks.iter().all(|tick| (low..=high).contains(tick)), "{low} to {high}: {ticks:?}");
                    assert!(ticks.is_sorted(), "{ticks:?}");
                }
            }
            low *= 3.7;
        }
    }

    /// A range from a damaged file.
    #[test]
    fn impossible_ranges_have_few_ticks_and_soon() {
        let ends = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1e308,
            -1.0,
            0.0,
            5e-324,
            f64::MIN_POSITIVE,
            1.0,
            1.0 + f64::EPSILON,
            1e19,
            1e308,
            f64::MAX,
            f64::INFINITY,
            f64::NAN,
        ];
        for low in ends {
            for high in ends {
                for ticks in [logarithmic(low, high), linear(low, high)] {
                    assert!(ticks.len() <= 16, "{low} to {high}: {ticks:?}");
                    assert!(ticks.iter().all(|tick| (low..=high).contains(tick)), "{low} to {high}: {ticks:?}");
                }
            }
        }
        assert!((4..=9).contains(&logarithmic(0.0, 1.0).len()));
        assert_eq!((linear(1.0, 1.0), logarithmic(2.0, 1.0)), (vec![], vec![]));
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([0.1 + 0.2, 0.0, 1.0, 2e-4, 1e6, 50.0].map(label), ["0.3", "0", "1", "2e-4", "1e6", "50"]);
    }
}
