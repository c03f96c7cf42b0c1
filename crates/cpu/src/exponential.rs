//! The exponential function of `f32`.

/// eˣ within 2 units in the last place, down to the subnormals: 0 at −∞, ∞ above ln(f32::MAX), NaN at NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, and eˣ = 2ⁿ·eʳ. ln 2 is split in two so that n·ln 2 is subtracted exactly; the
/// polynomial is that of Moshier's Cephes library (`expf.c`). There are no branches or calls, so loops over it are vectorised.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5·2²³: adding it leaves the nearest integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Beyond these bounds the result is 0 or ∞. The comparisons let NaN pass.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };

    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;

    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;

    // 2ⁿ is split into two factors, since f32 cannot represent 2¹²⁸ and 2⁻¹⁵⁰.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scalar;

    /// The distance from f32 `x` to its upper neighbour.
    fn unit_in_the_last_place(x: f64) -> f64 {
        let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
        f64::from(x.next_up()) - f64::from(x)
    }

    #[test]
    fn exp_is_within_two_units_everywhere() {
        let (mut worst, mut at) = (0.0, 0.0);
        // Every 97th of all f32 between −110 and ln(f32::MAX).
        for sign in [0, 1 << 31] {
            for bits in (0..110.0_f32.to_bits()).step_by(97) {
                let x = f32::from_bits(bits | sign);
                let exact = f64::from(x).exp();
                if exact > f64::from(f32::MAX) {
                    break;
                }
                let error = (f64::from(exp(x)) - exact).abs() / unit_in_the_last_place(exact);
                if error > worst {
                    (worst, at) = (error, x);
                }
            }
        }
        println!("exp: at most {worst:.3} units in the last place, at {at}");
        assert!(worst <= 2.0);
    }

    #[test]
    fn exp_has_its_limits() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan());
    }

    #[test]
    fn a_slice_has_the_same_exp_as_its_elements() {
        let mut x: Vec<f32> = (0..1003).map(|i| i as f32 * 0.21 - 105.0).collect();
        x.extend([f32::NAN, f32::NEG_INFINITY, f32::INFINITY]);
        let expected: Vec<u32> = x.iter().map(|x| exp(*x).to_bits()).collect();
        f32::exp_in_place(&mut x);
        for (x, expected) in x.iter().zip(expected) {
            assert!(x.to_bits() == expected || x.is_nan() && f32::from_bits(expected).is_nan());
        }
    }
}
