//! The quantile function of the normal distribution in integers, so that normal numbers have the same bits everywhere.
//!
//! Box–Muller and similar methods need logarithms and cosines, whose rounding differs between machines. Here 32 random
//! bits become a sign and a tail probability P, and the quantile z(P), which a standard normal exceeds with probability
//! P, is a piecewise cubic with fixed-point coefficients. Each octave of P (a halving) has [`SEGMENTS`] pieces, so the
//! pieces get finer towards P = 0, where the slope of z(P) diverges. z falls with P and its derivatives alternate in
//! sign; measured backwards from a piece's upper end all coefficients are positive, and unsigned arithmetic suffices.
//!
//! - Range: the sign takes one bit and P the others, P = (2t + 1)·2⁻³³ for t in 0..2³¹. So |z| is at most
//!   z(2⁻³³) ≈ 6.338; one exact normal number in 4·10⁹ would be beyond.
//! - Accuracy: within 2⁻²¹ of the exact z(P) (tested), half of it from the last rounding.
//! - Symmetry: flipping the first bit flips only the sign, so all odd moments are exactly 0.

use crate::normal_table::COEFFICIENTS;
use crate::philox::multiply_wide;

/// Pieces of the cubic in each octave of P; a power of two, 2⁴.
pub(crate) const SEGMENTS: usize = 16;
/// Fractional bits of the coefficients: z < 8 needs three bits before the point.
pub(crate) const COEFFICIENT_BITS: u32 = 29;
/// Fractional bits of the result. With three bits before the point it has 24, which f32 holds exactly.
pub(crate) const RESULT_BITS: u32 = 21;
/// The standard normal number for these random bits, in units of 2⁻²¹.
pub(crate) fn from_bits(word: u32) -> i32 {
    let magnitude = quantile((word << 1) | 1) as i32;
    if word >> 31 == 0 { magnitude } else { -magnitude }
}

/// z(P) for P = `tail`·2⁻³³, in units of 2⁻²¹; `tail` is not 0.
fn quantile(tail: u32) -> u32 {
    let octave = tail.leading_zeros();
    let normalised = tail << octave; // a one, four bits that choose the piece, 27 bits that place P in it
    let segment = (normalised >> 27) as usize % SEGMENTS;
    let back = !(normalised << 5); // distance from the piece's upper end, as a fraction of 2³²
    let times_back = |coefficient| multiply_wide(back, coefficient).0;
    let [c0, c1, c2, c3] = COEFFICIENTS[octave as usize * SEGMENTS + segment];
    let z = c0 + times_back(c1 + times_back(c2 + times_back(c3)));
    let dropped = COEFFICIENT_BITS - RESULT_BITS;
    (z + (1 << (dropped - 1))) >> dropped
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn density(z: f64) -> f64 {
        (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    /// The probability that a standard normal number exceeds `z` ≥ 0: a power series near 0, Laplace's continued
    /// fraction in the tail. Error below 1e-15 (absolute) and 1e-12 (relative).
    pub(crate) fn exceedance(z: f64) -> f64 {
        if z < 3.0 {
            let (mut term, mut sum) = (z, 0.0);
            for k in 1..100 {
                sum += term;
                term *= z * z / f64::from(2 * k + 1);
            }
            0.5 - density(z) * sum
        } else {
            density(z) / (1..200).rev().fold(z, |below, k| z + f64::from(k) / below)
        }
    }

    /// z(P) by Newton's method; the exceedance is convex, so from 0 it increases to the root without overshooting.
    fn exact_quantile(tail: f64) -> f64 {
        (0..80).fold(0.0, |z, _| z + (exceedance(z) - tail) / density(z))
    }

    /// The cubic through z(P) at the four Chebyshev points of a piece, as coefficients of the backward distance.
    fn fit(octave: i32, segment: usize) -> [f64; 4] {
        let width = 2f64.powi(-2 - octave) / SEGMENTS as f64;
        let top = width * (SEGMENTS + segment + 1) as f64;
        let nodes = [0, 1, 2, 3].map(|k| 0.5 - 0.5 * (std::f64::consts::PI * (f64::from(k) + 0.5) / 4.0).cos());
        let mut difference = nodes.map(|back| exact_quantile(top - width * back));
        for order in 1..4 {
            for k in (order..4).rev() {
                difference[k] = (difference[k] - difference[k - 1]) / (nodes[k] - nodes[k - order]);
            }
        }
        // Newton's form, expanded from the innermost factor.
        let mut coefficients = [0.0; 4];
        for k in (0..4).rev() {
            for power in (1..4).rev() {
                coefficients[power] = coefficients[power - 1] - nodes[k] * coefficients[power];
            }
            coefficients[0] = difference[k] - nodes[k] * coefficients[0];
        }
        coefficients
    }

    /// All pieces in fixed point. The fit may give a tiny negative number for a coefficient that vanishes.
    fn fitted_table() -> Vec<[u32; 4]> {
        let unit = 2f64.powi(COEFFICIENT_BITS as i32);
        (0..32)
            .flat_map(|octave| (0..SEGMENTS).map(move |segment| fit(octave, segment)))
            .map(|row| row.map(|coefficient| (coefficient * unit).round().max(0.0) as u32))
            .collect()
    }

    /// Writes the table: `cargo test -p loralab-linalg print_table -- --ignored --nocapture`.
    #[test]
    #[ignore = "prints the source of normal_table.rs"]
    fn print_table() {
        for [c0, c1, c2, c3] in fitted_table() {
            println!("    [0x{c0:08X}, 0x{c1:08X}, 0x{c2:08X}, 0x{c3:08X}],");
        }
    }

    #[test]
    fn exact_quantile_is_the_published_one() {
        for (tail, z) in [
            (0.5, 0.0),
            (0.25, 0.674_489_750_196_081_7),
            (0.025, 1.959_963_984_540_054),
            (0.001, 3.090_232_306_167_813_6),
            (1e-6, 4.753_424_308_822_899),
            (1e-9, 5.997_807_015_007_687),
        ] {
            assert!((exact_quantile(tail) - z).abs() < 1e-12, "{tail}: {}", exact_quantile(tail));
        }
    }

    #[test]
    fn table_is_the_fit() {
        let fitted = fitted_table();
        assert_eq!(fitted.len(), COEFFICIENTS.len());
        for (place, (row, expected)) in COEFFICIENTS.iter().zip(&fitted).enumerate() {
            for (value, expected) in row.iter().zip(expected) {
                // Chebyshev points are computed by a cosine, whose last bit may differ between machines.
                assert!(value.abs_diff(*expected) <= 1, "piece {place}: {row:?}, fitted {expected:?}");
            }
        }
    }

    #[test]
    fn quantile_is_within_its_stated_accuracy() {
        let unit = 2f64.powi(RESULT_BITS as i32);
        let mut worst: f64 = 0.0;
        let mut check = |tail: u32| {
            let exact = exact_quantile(f64::from(tail) * 2f64.powi(-33));
            worst = worst.max((f64::from(quantile(tail)) - exact * unit).abs());
        };
        (1..2048).for_each(&mut check);
        (0..20_000).for_each(|k| check((k * 214_748) | 1)); // all the way to 2³²
        for octave in 0..20 {
            (0..800).for_each(|k| check((((1 << 31) + k * 2_684_354) >> octave) | 1));
        }
        assert!(worst < 1.0, "{worst} units of 2^-21");
        println!("largest error: {worst} units of 2^-21");
    }

    #[test]
    fn reach_and_symmetry() {
        let reach = 13_291_661; // 6.337957754 · 2²¹
        assert_eq!(from_bits(0), reach);
        assert_eq!(from_bits(1 << 31), -reach);
        assert_eq!(from_bits(u32::MAX >> 1).abs(), 0);
        for word in (0..u32::MAX >> 1).step_by(9_999_991) {
            assert_eq!(from_bits(word), -from_bits(word | 1 << 31));
        }
    }
}
