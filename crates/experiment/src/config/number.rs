//! Learning rates and losses as text.

/// A learning rate in its shortest exact form: `1e-3`, `6.4e-2`. Different rates give different texts.
pub fn learning_rate_text(learning_rate: f64) -> String {
    format!("{learning_rate:e}")
}

/// A learning rate that was worked out, with two digits: `5.1e-3`.
pub fn rounded_rate_text(learning_rate: f64) -> String {
    format!("{learning_rate:.1e}")
}

/// A factor with two digits, or its whole part: `0.52`, `2.1`, `34`.
pub fn factor_text(factor: f64) -> String {
    match factor {
        size if size.abs() >= 1e4 => format!("{size:.0e}"),
        size if size < 0.995 => format!("{size:.2}"),
        size if size < 9.95 => format!("{size:.1}"),
        size => format!("{size:.0}"),
    }
}

/// The bounds of a positive number, after it: ` (1.4 to 4.7)`, ` (at least 1.4)`, ` (at most 4.7)`; 0 and infinity bound nothing.
pub(crate) fn range_text([low, high]: [f64; 2], text: fn(f64) -> String) -> String {
    match (low > 0.0, high.is_finite()) {
        (true, true) => format!(" ({} to {})", text(low), text(high)),
        (true, false) => format!(" (at least {})", text(low)),
        (false, true) => format!(" (at most {})", text(high)),
        (false, false) => " (not bounded)".to_owned(),
    }
}

/// A number with so many decimals; a large one, such as only a damaged file has, by its power of ten: `0.25`, `1.0e308`.
pub fn fixed_text(value: f64, decimals: usize) -> String {
    if value.abs() < 1e7 { format!("{value:.decimals$}") } else { format!("{value:.1e}") }
}

/// Decimals that show at least three digits of an ordinary loss: 3 below 1, 2 below 10, else 1.
pub(crate) fn decimals(loss: f64) -> usize {
    match loss.abs() {
        size if size < 1.0 => 3,
        size if size < 10.0 => 2,
        _ => 1,
    }
}

/// A loss with three digits or three decimals: `0.084`, `2.07`, `12.3`; `4.1e-4` below 0.01.
pub fn loss_text(loss: f64) -> String {
    if loss != 0.0 && (loss.abs() < 0.01 || loss.abs() >= 1e4) {
        return format!("{loss:.1e}");
    }
    format!("{loss:.0$}", decimals(loss))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_hand() {
        let texts = [1e-3, 0.064, 0.128, 1.0].map(learning_rate_text);
        assert_eq!(texts, ["1e-3", "6.4e-2", "1.28e-1", "1e0"]);
        assert_eq!([0.0051, 1.26, 0.01].map(rounded_rate_text), ["5.1e-3", "1.3e0", "1.0e-2"]);
        assert_eq!([0.52, 2.14, 9.96, 34.2, 2e5].map(factor_text), ["0.52", "2.1", "10", "34", "2e5"]);
        assert_eq!([1e308, -1e308].map(factor_text), ["1e308", "-1e308"]);
        assert_eq!([0.256, 86400.0, -1e308].map(|value| fixed_text(value, 2)), ["0.26", "86400.00", "-1.0e308"]);
        let ranges = [[1.4, 4.7], [1.4, f64::INFINITY], [0.0, 4.7], [0.0, f64::INFINITY]];
        let ranges = ranges.map(|ends| range_text(ends, factor_text));
        assert_eq!(ranges, [" (1.4 to 4.7)", " (at least 1.4)", " (at most 4.7)", " (not bounded)"]);
        let texts = [0.0, 0.00041, 0.0841, 0.3, 2.068, 12.34, 123_456.0].map(loss_text);
        assert_eq!(texts, ["0.000", "4.1e-4", "0.084", "0.300", "2.07", "12.3", "1.2e5"]);
    }
}
