//! The hyperbolic tangent by a formula that the shaders share (`shaders/lib/hyperbolic.wgsl`), since WGSL's own is only within 1e-5.
//!
//! Below 5/8 it is the polynomial of Moshier's Cephes library (`tanhf.c`), above it 1 − 2/(e²ˣ + 1). Both are odd.

use crate::Scalar;

/// The |x| below which tanh x is the polynomial.
const NEAR: f64 = 0.625;
/// Above it, tanh is 1 in `f32`.
const ONE_FROM: f64 = 10.0;

/// tanh x, without branches or calls in `f32`, so that loops over it are vectorised: within 2 units in the last place.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    // The comparison lets NaN pass.
    let size = if size > ONE_FROM as f32 { ONE_FROM as f32 } else { size };
    let value = if size < NEAR as f32 { near(size) } else { far(size) };
    if x < 0.0 { -value } else { value }
}

/// The bound on the error of the formula for the tangent of a number that is `value` up to `error`. `of` makes a scalar whose
/// error is bounded, and `bound` says how far from the given number its value may be on a device.
pub(crate) fn error<S: Scalar>(value: f64, error: f64, of: impl Fn(f64) -> S, bound: impl Fn(S, f64) -> f64) -> f64 {
    let size = value.abs();
    let mut largest = 0.0_f64;
    // A device may take either formula near the place where they meet.
    if size - error < NEAR {
        largest = largest.max(bound(near(of(size)), size.tanh()));
    }
    if size + error >= NEAR {
        largest = largest.max(bound(far(of(size.min(ONE_FROM))), size.tanh()));
    }
    largest
}

#[inline(always)]
fn near<S: Scalar>(x: S) -> S {
    let square = x * x;
    let mut p = S::from_f32(-0.005_704_988_7);
    for coefficient in [0.020_639_088, -0.053_739_715, 0.133_314_42, -0.333_332_8] {
        p = p * square + S::from_f32(coefficient);
    }
    p * square * x + x
}

#[inline(always)]
fn far<S: Scalar>(x: S) -> S {
    S::ONE - S::from_f32(2.0) / ((x + x).exp() + S::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tracked;

    /// Every 97th f32 up to 12, of both signs.
    fn numbers() -> impl Iterator<Item = f32> {
        (0..12.0_f32.to_bits()).step_by(97).flat_map(|bits| [bits, bits | 1 << 31]).map(f32::from_bits)
    }

    #[test]
    fn tanh_is_within_two_units_everywhere() {
        let (mut worst, mut at) = (0.0, 0.0);
        for x in numbers() {
            let exact = f64::from(x).tanh();
            let size = (exact.abs() as f32).max(f32::MIN_POSITIVE);
            let error = (f64::from(tanh(x)) - exact).abs() / (f64::from(size.next_up()) - f64::from(size));
            if error > worst {
                (worst, at) = (error, x);
            }
        }
        println!("tanh: at most {worst:.3} units in the last place, at {at}");
        assert!(worst <= 2.0);
    }

    #[test]
    fn tanh_has_its_limits() {
        assert_eq!([tanh(1e30), tanh(f32::INFINITY), tanh(-20.0), tanh(0.0)], [1.0, 1.0, -1.0, 0.0]);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn the_tracked_bound_holds_and_is_narrow() {
        for x in numbers().step_by(64) {
            for error in [0.0, 1e-6] {
                let tracked = Tracked { value: x.into(), error }.tanh();
                assert_eq!(tracked.value, f64::from(x).tanh());
                for moved in [f64::from(x) - error, f64::from(x) + error].map(|moved| moved as f32) {
                    if (f64::from(moved) - f64::from(x)).abs() > error {
                        continue;
                    }
                    let off = (f64::from(tanh(moved)) - tracked.value).abs();
                    assert!(off <= tracked.error, "tanh {x}: {off:e} off, {:e} allowed", tracked.error);
                }
                assert!(tracked.error <= 1.1 * error + 2e-6 * tracked.value.abs() + 1e-37, "tanh {x}: {tracked:?}");
            }
        }
    }
}
