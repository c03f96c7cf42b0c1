//! The values of a start, before any step, as `loralab init` and the page's inspector show them.

use serde::{Deserialize, Deserializer, Serialize};

use crate::protocol::curve::spread;

/// The start of one layer's adapter. Norms are Frobenius norms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerStart {
    /// The module's name in the model, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// The rank of the adapter.
    pub rank: usize,
    /// ‖A‖.
    pub a: f64,
    /// ‖B‖.
    pub b: f64,
    /// ‖s B A‖ / ‖W‖; infinite if W is zero and the product is not.
    #[serde(deserialize_with = "finite_or_infinite")]
    pub product: f64,
    /// The share of ‖W‖² that lies in the row space of A or, if A is zero, in the column space of B.
    pub energy: f64,
    /// ‖Q + s (B A − B₀ A₀) − W‖ / ‖W‖ with Q the weight that the adapter is added to: the layer's distance from the base's. Exactly 0 if they are equal, infinite if
    /// W is zero.
    #[serde(deserialize_with = "finite_or_infinite")]
    pub moved: f64,
    /// The singular values of s B A, falling, as many as the rank; or, if that is zero, those of the nonzero factor.
    pub spectrum: Vec<f64>,
}

/// JSON has no infinity; serde_json writes it as `null`.
fn finite_or_infinite<'de, D: Deserializer<'de>>(found: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(found)?.unwrap_or(f64::INFINITY))
}

/// The start of a run of a scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeStart {
    /// The scheme.
    pub scheme: String,
    /// The scale s.
    pub scale: f64,
    /// The starts of its layers.
    pub layers: Vec<LayerStart>,
    /// Tokens of data that went through the model to compute the start.
    pub tokens: usize,
    /// Wall time, in seconds.
    pub seconds: f64,
}

impl SchemeStart {
    /// The [`spread`] of a quantity over the layers.
    pub fn spread(&self, of: impl Fn(&LayerStart) -> f64) -> Option<[f64; 3]> {
        spread(self.layers.iter().map(of))
    }

    /// True if the model with the adapter is exactly the base before the first step.
    pub fn is_base(&self) -> bool {
        self.layers.iter().all(|layer| layer.moved == 0.0)
    }

    /// The matrix whose singular values the spectra are: `s·BA`, or `A` or `B` if that is zero.
    pub fn drawn(&self) -> &'static str {
        let some = |of: fn(&LayerStart) -> f64| self.layers.iter().any(|layer| of(layer) > 0.0);
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
        let layer = |a: f64, product: f64, moved: f64| LayerStart {
            module: "model.layers.0.mlp.up_proj".to_owned(),
            rank: 1,
            a,
            b: 0.0,
            product,
            energy: 0.5,
            moved,
            spectrum: vec![a],
        };
        let start = |layers| SchemeStart { scheme: "init-a".to_owned(), scale: 2.0, layers, tokens: 0, seconds: 0.0 };
        let one = start(vec![layer(3.0, 0.0, 0.0), layer(1.0, 0.0, 0.0), layer(2.0, 0.0, 0.0)]);
        assert_eq!(one.spread(|layer| layer.a), Some([1.0, 2.0, 3.0]));
        assert_eq!((one.is_base(), one.drawn()), (true, "A"));
        let other = start(vec![layer(0.0, 0.0, 0.0), layer(1.0, 0.5, 1e-9)]);
        assert_eq!((other.is_base(), other.drawn()), (false, "s·BA"));
        let zero = start(vec![layer(1.0, f64::INFINITY, f64::INFINITY)]);
        let json = serde_json::to_string(&zero).expect("a start is JSON");
        assert_eq!(serde_json::from_str::<SchemeStart>(&json).expect("what was written is read"), zero);
        assert_eq!((start(vec![layer(0.0, 0.0, 0.0)]).drawn(), start(vec![]).spread(|layer| layer.a)), ("B", None));
    }
}
