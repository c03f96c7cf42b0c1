//! The normal distribution by a formula that the shaders share (`shaders/lib/gelu.wgsl`), since WGSL has none.
//!
//! With t = 1/(1 + 0.34 |x|), Φ(−|x|) = e^(−x²/2) · (c₁ t + c₂ t² + … + c₉ t⁹) within 1.5·10⁻⁷ of its value. The form is that of Abramowitz and Stegun 1964,
//! 7.1.26; the coefficients are the minimax fit to mpmath's erfc on 0 ≤ |x| ≤ 14.

use crate::Scalar;

/// Numbers beyond this are treated as this one, whose tail is below every normal `f32`.
const LARGEST: f32 = 14.0;
const SLOPE: f32 = 0.34;
const TAIL: [f32; 9] = [
    0.135_620_5,
    0.136_112_21,
    0.115_197_46,
    0.115_360_06,
    -0.044_720_9,
    0.202_186_76,
    -0.273_136_8,
    0.139_501_7,
    -0.026_120_98,
];

/// Φ(x) and φ(x): the standard normal's distribution function and density. Φ's tails keep their relative precision; φ is the derivative of Φ.
#[inline(always)]
pub(crate) fn normal<S: Scalar>(x: S) -> (S, S) {
    let (size, largest) = (x.abs(), S::from_f32(LARGEST));
    // The comparison lets NaN pass.
    let a = if size > largest { largest } else { size };
    let bell = (-(a * a * S::from_f32(0.5))).exp();
    let t = S::ONE / (S::ONE + a * S::from_f32(SLOPE));
    let mut p = S::from_f32(TAIL[8]);
    for &c in TAIL[..8].iter().rev() {
        p = p * t + S::from_f32(c);
    }
    let tail = bell * (p * t);
    let share = if x > S::ZERO { S::ONE - tail } else { tail };
    (share, bell * S::from_f32(0.398_942_3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tracked;

    /// Every so manieth f32 between −30 and 30.
    fn numbers() -> impl Iterator<Item = f32> {
        let sizes = (0..30.0_f32.to_bits()).step_by(4999);
        sizes.flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
    }

    #[test]
    fn the_normal_distribution_is_within_its_bound() {
        let mut worst = 0.0_f64;
        for x in numbers() {
            let (share, bell) = normal(x);
            let (exact, density) = f64::from(x).normal();
            if exact > 1e-37 {
                // The tail's exponent loses as many units as it is large.
                worst = worst.max((f64::from(share) - exact).abs() / exact / (1.0 + f64::from(x * x) / 8.0));
            }
            let (tracked, of_density) = Tracked::from_f32(x).normal();
            assert!((f64::from(share) - tracked.value).abs() <= tracked.error, "{x}: {share}, {tracked:?}");
            assert!((f64::from(bell) - of_density.value).abs() <= of_density.error, "{x}: {bell}, {of_density:?}");
            assert!(tracked.value == exact && of_density.value == density);
            assert!(tracked.error <= 3e-6 && of_density.error <= 3e-6, "{x}: {tracked:?} bounds little");
        }
        println!("normal: at most {worst:.1e} of the value");
        assert!(worst <= 1e-6, "{worst:e}");
    }

    #[test]
    fn limits_and_nan_pass() {
        assert_eq!(normal(f32::INFINITY).0, 1.0);
        assert!(normal(f32::NEG_INFINITY).0 < 1e-40 && normal(f32::NEG_INFINITY).1 < 1e-40);
        assert!(normal(f32::NAN).0.is_nan() && normal(f32::NAN).1.is_nan());
        assert!((normal(0.0_f32).0 - 0.5).abs() < 2e-7);
    }
}
