//! Means and least-squares lines.

/// The arithmetic mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard error of the mean of independent values; `None` with fewer than two.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    let middle = mean(values);
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    let count = values.len() as f64;
    (values.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt())
}

/// The slope of the least-squares line through points (x, y); `None` with fewer than two different x.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let middle = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - middle).powi(2)).sum();
    let together: f64 = points.iter().map(|(x, y)| (x - middle) * y).sum();
    (spread > 0.0).then(|| together / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), Some(2.0));
        // Least squares of (0, 0), (1, 1), (2, 0), (3, 1): 0.2.
        let zigzag = slope(&[(0.0, 0.0), (1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]).expect("four points");
        assert!((zigzag - 0.2).abs() < 1e-15);
        assert_eq!((slope(&[(1.0, 2.0)]), slope(&[]), slope(&[(1.0, 0.0), (1.0, 1.0)])), (None, None, None));
        assert_eq!((standard_error(&[1.0, 3.0]), standard_error(&[1.0])), (Some(1.0), None));
    }
}
