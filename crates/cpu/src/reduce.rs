//! Sums and maxima of rows, in an order that the compiler can vectorise.
//!
//! Floating-point addition is not associative, so a plain running sum is not vectorised. Here element `i` goes to partial
//! result `i % LANES`, and the partial results are combined as a tree: a fixed order that depends on the length only.

use crate::Scalar;

/// The number of partial results: enough to fill the widest vectors, or to hide the latency of narrower ones.
const LANES: usize = 16;

/// Σᵢ term(xᵢ, yᵢ, …) over operands of equal length; zero if they are empty.
#[inline(always)]
pub(crate) fn sum<S: Scalar, const COUNT: usize>(operands: [&[S]; COUNT], term: impl Fn([S; COUNT]) -> S) -> S {
    let split = operands.map(|operand| operand.as_chunks::<LANES>());
    let mut lanes = [S::ZERO; LANES];
    for block in 0..split[0].0.len() {
        let blocks = split.map(|(blocks, _)| &blocks[block]);
        for (lane, partial) in lanes.iter_mut().enumerate() {
            *partial += term(blocks.map(|block| block[lane]));
        }
    }
    for (lane, partial) in lanes.iter_mut().enumerate().take(split[0].1.len()) {
        *partial += term(split.map(|(_, rest)| rest[lane]));
    }
    combine(lanes, |a, b| a + b)
}

/// The largest element.
///
/// # Panics
/// If `x` is empty.
#[inline(always)]
pub(crate) fn maximum<S: Scalar>(x: &[S]) -> S {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [x[0]; LANES];
    for block in blocks {
        for (partial, &x) in lanes.iter_mut().zip(block) {
            *partial = partial.max(x);
        }
    }
    for (partial, &x) in lanes.iter_mut().zip(rest) {
        *partial = partial.max(x);
    }
    combine(lanes, S::max)
}

#[inline(always)]
fn combine<S: Scalar>(mut lanes: [S; LANES], operation: impl Fn(S, S) -> S) -> S {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] = operation(lanes[lane], lanes[lane + width]);
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts_once_at_every_length() {
        for length in 0..70 {
            let x: Vec<f64> = (1..=length).map(f64::from).collect();
            let n = f64::from(length);
            assert_eq!(sum([&x], |[x]| x), n * (n + 1.0) / 2.0, "{length} elements");
            assert_eq!(sum([&x, &x], |[x, y]| x * y), n * (n + 1.0) * (2.0 * n + 1.0) / 6.0, "{length} squares");
        }
    }

    #[test]
    fn the_maximum_is_found_at_every_place() {
        for length in 1..70 {
            for place in 0..length {
                let mut x = vec![-3.0_f32; length];
                x[place] = -1.0;
                assert_eq!(maximum(&x), -1.0, "element {place} of {length}");
            }
        }
    }
}
