//! The divergence test: the search for non-finite values.

use crate::Scalar;
use crate::simd::vectorize;

/// Elements that are tested together, in a vectorised loop.
const BLOCK: usize = 1024;

/// The index of the first element that is infinite or NaN; `None` if all are finite.
pub fn first_non_finite<S: Scalar>(x: &[S]) -> Option<usize> {
    let all_finite = |block: &[S]| {
        vectorize(
            #[inline(always)]
            // No early exit: it would prevent the loop from being vectorised.
            || block.iter().fold(true, |all, x| all & x.is_finite()),
        )
    };
    let (index, block) = x.chunks(BLOCK).enumerate().find(|(_, block)| !all_finite(block))?;
    block.iter().position(|x| !x.is_finite()).map(|place| index * BLOCK + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_found_wherever_it_is() {
        for length in [1, 1023, 1024, 3000] {
            let mut x = vec![f32::MAX; length];
            assert_eq!(first_non_finite(&x), None);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in [0, length / 2, length - 1] {
                    x.fill(-f32::MAX);
                    x[length - 1] = f32::NAN;
                    x[place] = bad;
                    assert_eq!(first_non_finite(&x), Some(place));
                }
            }
        }
        assert_eq!(first_non_finite::<f32>(&[]), None);
    }
}
