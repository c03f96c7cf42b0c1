//! The two halves of clipping a gradient to a global norm: measure, then scale. Pascanu, Mikolov and Bengio 2012,
//! arXiv 1211.5063, algorithm 1. The caller computes the factor, since it knows which tensors share one norm.

use crate::Scalar;
use crate::reduce::sum;
use crate::simd::vectorize;

/// Slices longer than this are split in halves, whose sums are added.
const BLOCK: usize = 1024;

/// Σ g², summed pairwise, so that the rounding error grows with the logarithm of the length only. The order depends on
/// the length only.
pub fn squared_norm<S: Scalar>(g: &[S]) -> S {
    if g.len() <= BLOCK {
        return vectorize(
            #[inline(always)]
            || sum([g], |[g]| g * g),
        );
    }
    let (left, right) = g.split_at((g.len() / 2).next_multiple_of(BLOCK));
    squared_norm(left) + squared_norm(right)
}

/// g ← factor · g.
pub fn scale<S: Scalar>(g: &mut [S], factor: S) {
    vectorize(
        #[inline(always)]
        || {
            for g in g {
                *g *= factor;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_counts_every_element_once() {
        assert_eq!(squared_norm(&[3.0_f32, -4.0]), 25.0);
        assert_eq!(squared_norm::<f32>(&[]), 0.0);
        for length in [1023, 1024, 1025, 2047, 2049, 5000] {
            let g: Vec<f64> = (1..=length).map(f64::from).collect();
            let n = f64::from(length);
            assert_eq!(squared_norm(&g), n * (n + 1.0) * (2.0 * n + 1.0) / 6.0, "{length} elements");
        }
    }

    #[test]
    fn a_long_norm_stays_accurate() {
        let g = vec![0.1_f32; 3_000_001];
        let exact = 3_000_001.0 * f64::from(0.1_f32).powi(2);
        assert!((f64::from(squared_norm(&g)) / exact - 1.0).abs() < 1e-6);
    }

    #[test]
    fn scaling_multiplies() {
        let mut g = [1.0_f32, -2.0, 0.0];
        scale(&mut g, 0.5);
        assert_eq!(g, [0.5, -1.0, 0.0]);
    }
}
