//! What a start is, before any step: what `loralab init` and the page's inspector tell.

use serde::{Deserialize, Deserializer, Serialize};

use crate::protocol::curve::spread;

/// What the start of one layer's adapter is. Norms are Frobenius norms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// The module's name in the model, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Its rank.
    pub rank: usize,
    /// ‖A‖.
    pub a: f64,
    /// ‖B‖.
    pub b: f64,
    /// ‖s B A‖ / ‖W‖; infinite where W is zero and the product is not.
    #[serde(deserialize_with = "finite_or_infinite")]
    pub product: f64,
    /// The share of ‖W‖² that lies in the row space of A or, where A is zero, in the column space of B.
    pub energy: f64,
    /// ‖Q + s (B A − B₀ A₀) − W‖ / ‖W‖ with Q what the adapter is added to: by how much the layer is not the base's. Exactly 0 where it is, infinite where
    /// W is zero.
    #[serde(deserialize_with = "finite_or_infinite")]
    pub moved: f64,
    /// The singular values of s B A, falling, as many as the rank; or, where that is zero, those of the factor that is not.
    pub spectrum: Vec<f64>,
}

/// JSON has no infinity; serde_json writes it as `null`.
fn finite_or_infinite<'de, D: Deserializer<'de>>(found: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(found)?.unwrap_or(f64::INFINITY))
}

/// How a run of a scheme begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeBeginning {
    /// The scheme.
    pub scheme: String,
    /// The scale s.
    pub scale: f64,
    /// Its layers.
    pub layers: Vec<Beginning>,
    /// Tokens of data that went through the model to know.
    pub tokens: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

impl SchemeBeginning {
    /// The [`spread`] of a quantity over the layers.
    pub fn spread(&self, of: impl Fn(&Beginning) -> f64) -> Option<[f64; 3]> {
        spread(self.layers.iter().map(of))
    }

    /// Whether the model, adapter and all, is exactly the base before the first step.
    pub fn is_base(&self) -> bool {
        self.layers.iter().all(|layer| layer.moved == 0.0)
    }

    /// Whose singular values the spectra are: `s·BA`, or where that is zero `A` or `B`.
    pub fn drawn(&self) -> &'static str {
        let some = |of: fn(&Beginning) -> f64| self.layers.iter().any(|layer| of(layer) > 0.0);
        match (some(|layer| layer.product), some(|layer| layer.a)) {
            (true, _) => "s·BA",
            (false, true) => "A",
            (false, false) => "B",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_all_layers() {
        let layer = |a: f64, product: f64, moved: f64| Beginning {
            module: "model.layers.0.mlp.up_proj".to_owned(),
            rank: 1,
            a,
            b: 0.0,
            product,
            energy: 0.5,
            moved,
            spectrum: vec![a],
        };
        let start =
            |layers| SchemeBeginning { scheme: "init-a".to_owned(), scale: 2.0, layers, tokens: 0, seconds: 0.0 };
        let one = start(vec![layer(3.0, 0.0, 0.0), layer(1.0, 0.0, 0.0), layer(2.0, 0.0, 0.0)]);
        assert_eq!(one.spread(|layer| layer.a), Some([1.0, 2.0, 3.0]));
        assert_eq!((one.is_base(), one.drawn()), (true, "A"));
        let other = start(vec![layer(0.0, 0.0, 0.0), layer(1.0, 0.5, 1e-9)]);
        assert_eq!((other.is_base(), other.drawn()), (false, "s·BA"));
        let zero = start(vec![layer(1.0, f64::INFINITY, f64::INFINITY)]);
        let json = serde_json::to_string(&zero).expect("a start is JSON");
        assert_eq!(serde_json::from_str::<SchemeBeginning>(&json).expect("what was written is read"), zero);
        assert_eq!((start(vec![layer(0.0, 0.0, 0.0)]).drawn(), start(vec![]).spread(|layer| layer.a)), ("B", None));
    }
}
