//! How learning rates and losses are written for people.

/// A learning rate in its shortest exact form: `1e-3`, `6.4e-2`. Different rates give different texts.
pub fn learning_rate_text(learning_rate: f64) -> String {
    format!("{learning_rate:e}")
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
        let texts = [0.0, 0.00041, 0.0841, 0.3, 2.068, 12.34, 123_456.0].map(loss_text);
        assert_eq!(texts, ["0.000", "4.1e-4", "0.084", "0.300", "2.07", "12.3", "1.2e5"]);
    }
}
