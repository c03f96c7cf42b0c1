//! Norms.

/// The Euclidean norm √Σx², summed in f64 and in order, so that it neither overflows nor depends on the machine.
pub fn norm(x: &[f32]) -> f64 {
    x.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_norms() {
        assert_eq!(norm(&[]), 0.0);
        assert_eq!(norm(&[3.0, -4.0]), 5.0);
        let huge = norm(&[f32::MAX; 4]);
        assert_eq!(huge, 2.0 * f64::from(f32::MAX));
        assert!(norm(&[1.0, f32::NAN]).is_nan());
    }
}
