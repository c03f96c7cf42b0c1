//! Diagnostics of an adapter: norms, features, and the parts of a step's effect, with symptoms as text.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::grid::Cell;
use crate::config::number::{learning_rate_text, loss_text};
use crate::protocol::curve::{AdapterSnapshot, Curve};

/// The diagnosis of one adapter at one step, on a probe batch whose rows stay the same. Norms of matrices are Frobenius norms; those of features are the root of the
/// mean square over all rows and columns, so that they do not grow with a layer's width by themselves. The scale s is included in every quantity with B.
///
/// Features are those of Hayou, Ghosh & Yu 2024 (arXiv 2406.08447, §3): Z_A = A x and Z_B = s B Z_A, and a step's change of Z_B has three parts, exactly:
/// ΔZ_B = s B ΔZ_A + s ΔB Z_A + s ΔB ΔZ_A, with B and Z_A from before the step. In a network x is the output of the layers below on the probe, and
/// changes with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The module's name in the model, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Z_A after the step.
    pub z_a: f64,
    /// Z_B after the step.
    pub z_b: f64,
    /// The mean over the rows of the norm of Z_A, the paper's ‖Z_A‖.
    pub z_a_length: f64,
    /// The same for Z_B.
    pub z_b_length: f64,
    /// s B ΔZ_A: the effect of training A alone.
    pub delta_1: f64,
    /// s ΔB Z_A: the effect of training B alone.
    pub delta_2: f64,
    /// s ΔB ΔZ_A: the joint effect of both.
    pub delta_3: f64,
    /// ‖A‖.
    pub a: f64,
    /// ‖B‖.
    pub b: f64,
    /// ‖s B A‖, with the frozen pair subtracted if there is one: the distance that the weights have moved.
    pub product: f64,
    /// ‖s B A‖² / σ₁², of the same matrix: the number of directions over which the change is spread, from 1 to twice the rank. None while the change is zero.
    pub stable_rank: Option<f64>,
    /// σ₁ of the same matrix.
    pub largest_singular_value: f64,
    /// ‖∂loss/∂A‖ on the probe, after the step.
    pub gradient_a: f64,
    /// ‖∂loss/∂B‖ on the probe, after the step.
    pub gradient_b: f64,
    /// ‖ΔA‖ / ‖A‖ of the step; none while A is zero.
    pub update_a: Option<f64>,
    /// ‖ΔB‖ / ‖B‖ of the step; none while B is zero.
    pub update_b: Option<f64>,
    /// The cosine between s B A, as in `product`, and −G, where G is the gradient of the base's loss on the probe with respect to the frozen weight: 1 is the
    /// direction of steepest descent, in which LoRA-One starts (Zhang et al. 2025, arXiv 2502.01235). None while the change is zero. For a layer with more than
    /// 256 inputs ‖G‖ is estimated from 256 directions, with a standard error of at most 4 %, which the cosine shares.
    pub alignment: Option<f64>,
    /// The share of A's elements whose √v̂ is less than Adam's ε, though they have had a gradient: they move as under plain gradient descent with momentum,
    /// by less than a learning rate. None for an optimiser without ε.
    pub below_epsilon_a: Option<f64>,
    /// The same for B.
    pub below_epsilon_b: Option<f64>,
}

impl Diagnosis {
    /// True if every number is finite.
    pub fn is_finite(&self) -> bool {
        let Diagnosis { module: _, z_a, z_b, z_a_length, z_b_length, delta_1, delta_2, delta_3, a, b, .. } = self;
        let Diagnosis { product, stable_rank, largest_singular_value, gradient_a, gradient_b, alignment, .. } = self;
        let all = [z_a, z_b, z_a_length, z_b_length, delta_1, delta_2, delta_3, a, b, product, largest_singular_value];
        let some = [stable_rank, &self.update_a, &self.update_b, alignment].into_iter().flatten();
        all.into_iter().chain([gradient_a, gradient_b]).chain(some).all(|number| number.is_finite())
    }
}

/// Signs of unhealthy training of an adapter. The thresholds are ours: the paper gives exponents, which a single width does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Symptom {
    /// Z_A is more than ten times its value for a random A of variance 1/n on normalised rows, which is 1: the efficient regime of Init\[A\] at large
    /// widths (§4.1 of the paper), where low precision becomes dangerous.
    InternallyUnstable,
    /// Both parts of a step that come from B are less than a twentieth of A's part: the regime of Init\[B\] (§4.2 of the paper).
    BUndertrained,
    /// A step changes both factors by less than a millionth.
    NotLearning,
    /// More than half of a factor's elements have had a gradient and a √v̂ below Adam's ε.
    EpsilonFrozen,
}

impl Symptom {
    /// The symptoms of an adapter.
    pub fn of(diagnosis: &Diagnosis) -> Vec<Symptom> {
        let Diagnosis { z_a, delta_1, delta_2, delta_3, update_a, update_b, .. } = diagnosis;
        let still = |update: &Option<f64>| update.is_none_or(|update| update < 1e-6);
        let mut symptoms = Vec::new();
        if *z_a > 10.0 {
            symptoms.push(Symptom::InternallyUnstable);
        }
        if *delta_1 > 0.0 && delta_2.max(*delta_3) < delta_1 / 20.0 {
            symptoms.push(Symptom::BUndertrained);
        }
        if still(update_a) && still(update_b) {
            symptoms.push(Symptom::NotLearning);
        }
        if [diagnosis.below_epsilon_a, diagnosis.below_epsilon_b].into_iter().flatten().any(|share| share > 0.5) {
            symptoms.push(Symptom::EpsilonFrozen);
        }
        symptoms
    }
}

/// The symptoms in the last diagnostics snapshot of a run, as a sentence; none if there was no snapshot.
pub fn symptoms_in_words(curve: &Curve) -> Option<String> {
    let AdapterSnapshot { step, kl_from_base, adapters } = curve.snapshots.last()?;
    let Cell { scheme, learning_rate, seed } = &curve.cell;
    let mut counts = BTreeMap::<Symptom, usize>::new();
    for symptom in adapters.iter().flat_map(Symptom::of) {
        *counts.entry(symptom).or_default() += 1;
    }
    let counts = counts.iter().map(|(symptom, count)| format!("{count} {symptom}")).collect::<Vec<_>>();
    let seen = if counts.is_empty() { "nothing amiss".to_owned() } else { counts.join(", ") };
    let (rate, all) = (learning_rate_text(*learning_rate), adapters.len());
    let change = kl_from_base
        .map(|kl| format!(" What it says on the probe is {} nats a token (KL) from the base's.", loss_text(kl)));
    let change = change.unwrap_or_default();
    Some(format!("In {scheme} at {rate}, seed {seed}, step {step}, of {all} adapters: {seen}.{change}"))
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Symptom::InternallyUnstable => "internally unstable",
            Symptom::BUndertrained => "B undertrained",
            Symptom::NotLearning => "not learning",
            Symptom::EpsilonFrozen => "ε-frozen",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn healthy() -> Diagnosis {
        Diagnosis {
            module: "q_proj".to_owned(),
            z_a: 1.2,
            z_b: 0.3,
            z_a_length: 3.4,
            z_b_length: 2.0,
            delta_1: 0.02,
            delta_2: 0.03,
            delta_3: 0.001,
            a: 2.8,
            b: 0.4,
            product: 0.5,
            stable_rank: Some(1.5),
            largest_singular_value: 0.4,
            gradient_a: 1e-3,
            gradient_b: 2e-3,
            update_a: Some(1e-3),
            update_b: Some(1e-2),
            alignment: Some(0.3),
            below_epsilon_a: Some(0.0),
            below_epsilon_b: None,
        }
    }

    #[test]
    fn a_look_is_told_in_a_sentence() {
        let cell = Cell { scheme: "init-b".to_owned(), learning_rate: 4e-3, seed: 1 };
        let undertrained = Diagnosis { delta_2: 0.0, delta_3: 0.0, ..healthy() };
        let mut curve = Curve { cell, training: vec![], validation: vec![], diverged: None, snapshots: vec![] };
        assert_eq!(symptoms_in_words(&curve), None);
        let adapters = vec![healthy(), undertrained.clone(), undertrained];
        curve.snapshots.push(AdapterSnapshot { step: 20, kl_from_base: Some(0.1234), adapters });
        let said = "In init-b at 4e-3, seed 1, step 20, of 3 adapters: 2 B undertrained. What it says on the probe is 0.123 nats a token (KL) from the base's.";
        assert_eq!(symptoms_in_words(&curve).as_deref(), Some(said));
        curve.snapshots.push(AdapterSnapshot { step: 30, kl_from_base: None, adapters: vec![healthy()] });
        assert!(symptoms_in_words(&curve).is_some_and(|said| said.ends_with("1 adapters: nothing amiss.")));
    }

    #[test]
    fn a_quantity_is_spread_over_adapters() {
        let named = |name: &str, z_a| Diagnosis { module: name.to_owned(), z_a, ..healthy() };
        let snapshot = AdapterSnapshot {
            step: 1,
            kl_from_base: None,
            adapters: vec![named("q", 3.0), named("k", 1.0), named("v", 2.0), named("o", 9.0)],
        };
        assert_eq!(snapshot.spread(None, |adapter| adapter.z_a), Some([1.0, 2.0, 9.0]));
        assert_eq!(snapshot.spread(Some("q"), |adapter| adapter.z_a), Some([3.0; 3]));
        assert_eq!(snapshot.spread(Some("up"), |adapter| adapter.z_a), None);
    }

    #[test]
    fn symptoms_are_told_from_health() {
        assert_eq!(Symptom::of(&healthy()), []);
        assert_eq!(Symptom::of(&Diagnosis { z_a: 11.0, ..healthy() }), [Symptom::InternallyUnstable]);
        assert_eq!(Symptom::of(&Diagnosis { delta_2: 0.0009, delta_3: 0.0, ..healthy() }), [Symptom::BUndertrained]);
        let still = Diagnosis { update_a: Some(0.0), update_b: None, delta_1: 0.0, delta_2: 0.0, ..healthy() };
        assert_eq!(Symptom::of(&still), [Symptom::NotLearning]);
        assert_eq!(Symptom::of(&Diagnosis { below_epsilon_b: Some(0.6), ..healthy() }), [Symptom::EpsilonFrozen]);
    }
}
