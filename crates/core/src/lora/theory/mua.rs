//! muA: how the best learning rate goes with width, rank and scale (Chen, Villar and Hayou 2026, arXiv 2602.06204).
//!
//! Their table, for Adam, A ~ N(0, 1/n) or B ~ N(0, 1/r), and the multiplier s: Init\[A\] wants n^−1/2 r^−1/2 where s = 1 and n^−1/2 where s = 1/r; Init\[B\]
//! wants n^−1 where s = 1, whatever the rank. Between and beyond these, η ∝ (n r s)^−1/2 and η ∝ (n s)^−1 are derived here from the same condition: a step of
//! Adam moves every entry by η, and s·B·A·x is to move by Θ(1). From Init\[A\], B has to grow first: its r entries of size η meet the moved A x of size η·n, which
//! makes s·η²·n·r. From Init\[B\], a step of A moves A x by η·n, which B passes on at size 1: s·η·n.

use crate::lora::init::Scheme;

/// Where a learning rate holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// n, the inputs of a layer.
    pub width: usize,
    /// r.
    pub rank: usize,
    /// s in y = x Wᵀ + s·(x Aᵀ) Bᵀ.
    pub scale: f64,
}

/// The powers with which the best learning rate goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// Of n.
    pub width: f64,
    /// Of r, at the same s.
    pub rank: f64,
    /// Of s.
    pub scale: f64,
}

/// The law of a scheme; none where the source has none for it. Kaiming's laws differ from the source's by a constant factor, which changes no power.
pub fn law(scheme: &Scheme) -> Option<Law> {
    match scheme.name {
        "init-a" | "init-a-kaiming" | "peft-default" => Some(Law { width: -0.5, rank: -0.5, scale: -0.5 }),
        "init-b" | "init-b-kaiming" => Some(Law { width: -1.0, rank: 0.0, scale: -1.0 }),
        _ => None,
    }
}

impl Law {
    /// How many times the rate that is best at `known` is to be taken at `wanted`.
    pub fn factor(self, known: At, wanted: At) -> f64 {
        let ratio = |of: fn(At) -> f64| of(wanted) / of(known);
        ratio(|at| at.width as f64).powf(self.width)
            * ratio(|at| at.rank as f64).powf(self.rank)
            * ratio(|at| at.scale).powf(self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::init::find;

    /// The table of the source: (scheme, s as a power of r, exponent of n, exponent of r).
    const TABLE: [(&str, f64, f64, f64); 4] = [
        ("init-a", 0.0, -0.5, -0.5),
        ("init-a", -1.0, -0.5, 0.0),
        ("init-b", 0.0, -1.0, 0.0),
        // s = r^−γ gives r^(−(1 − γ)/2): rsLoRA.
        ("init-a", -0.5, -0.5, -0.25),
    ];

    #[test]
    fn the_table_of_the_source() {
        for (scheme, power, of_width, of_rank) in TABLE {
            let law = law(find(scheme).expect("listed")).expect("it has a law");
            let at = |width, rank: usize| At { width, rank, scale: 16.0 * (rank as f64).powf(power) };
            let slope = |wanted| law.factor(at(256, 4), wanted).log2() / 4.0;
            assert!((slope(at(16 * 256, 4)) - of_width).abs() < 1e-12, "{scheme}, s = r^{power}");
            assert!((slope(at(256, 16 * 4)) - of_rank).abs() < 1e-12, "{scheme}, s = r^{power}");
        }
        assert_eq!(law(find("pissa").expect("listed")), None);
    }
}
