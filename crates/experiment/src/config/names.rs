//! The closed lists of names a setting can take.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::error::ExperimentError;
use crate::config::nearest::nearest;

/// The schemes whose first output is not the base's, by definition.
pub const BEGIN_ELSEWHERE: [&str; 5] = ["init-ab", "peft-false", "loftq-nf4", "loftq-int8", "lora-one"];

macro_rules! names {
    ($(#[$meta:meta])* $kind:ident for $key:literal { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $kind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl $kind {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as it is written in an experiment.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one of that name.
            ///
            /// # Errors
            /// [`ExperimentError::UnknownName`] with the nearest name.
            pub fn named(name: &str) -> Result<Self, ExperimentError> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(unknown_name($key, name, &[$($name),+])),
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

pub(crate) use names;

/// The error for a name that is not in its list.
pub(crate) fn unknown_name(key: &'static str, found: &str, known: &[&str]) -> ExperimentError {
    ExperimentError::UnknownName {
        key,
        found: found.to_owned(),
        nearest: nearest(found, known.iter().copied()).map(str::to_owned),
        known: known.iter().map(|&name| name.to_owned()).collect(),
    }
}

names! {
    /// A task over the synthetic little world.
    Task for "task" {
        /// Rewrite a sentence in a changed dialect. It separates the starts most cleanly, so it is the default.
        Translation = "translation",
        /// Answer a question about a story.
        Questions = "questions",
        /// Small sums.
        Arithmetic = "arithmetic",
    }
}

names! {
    /// The scale of the adapter's product.
    Scaling for "scaling" {
        /// α / r (LoRA, arXiv 2106.09685 §4.1).
        Classic = "classic",
        /// α / √r (rsLoRA, arXiv 2312.03732).
        RsLora = "rslora",
    }
}

impl Scaling {
    /// The factor s of `y = x Wᵀ + s (x Aᵀ) Bᵀ`.
    pub fn scale(self, alpha: f64, rank: usize) -> f64 {
        match self {
            Self::Classic => alpha / rank as f64,
            Self::RsLora => alpha / (rank as f64).sqrt(),
        }
    }
}

names! {
    /// The rule that turns gradients into steps; its options are in [`Optimizer`](crate::Optimizer).
    OptimizerName for "optimizer" {
        /// Adam with decoupled weight decay (arXiv 1711.05101).
        AdamW = "adamw",
        /// Gradient descent with optional momentum.
        Sgd = "sgd",
        /// A step of the learning rate along the gradient's sign (arXiv 1802.04434), the optimiser of the theory.
        SignSgd = "sign_sgd",
    }
}

names! {
    /// The factor of both gradients of an adapter, applied before the optimiser.
    Preconditioner for "preconditioner" {
        /// Nothing.
        None = "none",
        /// (BᵀB + 10⁻² I)⁻¹ dA and dB (AAᵀ + 10⁻² I)⁻¹ (arXiv 2402.02347, as PEFT has it).
        Riemannian = "riemannian",
        /// The same with 10⁻⁶ for 10⁻², each inverse over its Frobenius norm (NoRA+, arXiv 2410.18965).
        NoraPlus = "nora_plus",
    }
}

names! {
    /// The bits that the frozen weights of linear maps are kept in.
    Quantize for "quantize" {
        /// As they are stored.
        None = "none",
        /// Integers of 8 bits, with a scale for each row.
        Int8 = "int8",
        /// 4-bit NormalFloat, with a scale for each 64 weights (QLoRA, arXiv 2305.14314).
        Nf4 = "nf4",
    }
}

names! {
    /// The meaning of a run's accuracy.
    Accuracy for "accuracy" {
        /// Completions written right from the first to the last token.
        ExactMatch = "exact_match",
        /// Single tokens predicted right.
        Token = "token",
        /// Texts put into their right class.
        Class = "class",
    }
}

impl Accuracy {
    /// The measure in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ExactMatch => "exact match",
            Self::Token => "token accuracy",
            Self::Class => "accuracy",
        }
    }
}

names! {
    /// The network of the toy experiment; u = W_in x, φ = ReLU, and the zero matrix W_h is left out.
    Form for "form" {
        /// W_out φ(u + B A φ(u)).
        Residual = "residual",
        /// W_out φ(B A φ(u)): with BA = 0 at the start, every gradient is 0 for ever.
        Plain = "plain",
    }
}

impl Form {
    /// The form as a formula.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Residual => "residual: W_out φ(u + B A φ(u)) with u = W_in x and φ = ReLU",
            Self::Plain => "plain: W_out φ(B A φ(u)) with u = W_in x and φ = ReLU",
        }
    }
}

names! {
    /// The distribution of the toy experiment's readout W_out.
    Readout for "readouts" {
        /// Of variance 1/n.
        Standard = "standard",
        /// Of variance 1/n².
        MeanField = "mean-field",
    }
}

impl Readout {
    /// The readout in words that follow "a readout of".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Standard => "variance 1/n",
            Self::MeanField => "variance 1/n²",
        }
    }

    /// The standard deviation of an entry at width n.
    pub fn deviation(self, width: usize) -> f64 {
        match self {
            Self::Standard => (width as f64).sqrt().recip(),
            Self::MeanField => (width as f64).recip(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_variant() {
        for &task in Task::ALL {
            assert_eq!(Task::named(task.name()), Ok(task));
            let json = serde_json::to_string(&task).expect("a name is JSON");
            assert_eq!(json, format!("\"{task}\""));
        }
        assert_eq!(Task::ALL.len(), 3);
    }

    #[test]
    fn an_unknown_name_is_a_sentence() {
        let error = OptimizerName::named("adam").expect_err("adam is not in the list");
        assert_eq!(
            error.to_string(),
            "`optimizer` has \"adam\", which is unknown. Did you mean \"adamw\"? The known names are adamw, sgd, sign_sgd."
        );
        let error = Task::named("chess").expect_err("chess is not in the list");
        assert_eq!(
            error.to_string(),
            "`task` has \"chess\", which is unknown. The known names are translation, questions, arithmetic."
        );
    }

    #[test]
    fn scaling_by_hand() {
        assert_eq!(Scaling::Classic.scale(16.0, 8), 2.0);
        assert_eq!(Scaling::RsLora.scale(16.0, 4), 8.0);
    }
}
