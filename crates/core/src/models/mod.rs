//! Models and their frozen weights. Each family has a file that defines the fields of a `config.json` it accepts, its tensors' names, the modules that can
//! carry adapters, and the ops of its forward pass.
//!
//! This module records on tapes of `graph` and knows no device and no scheme. [`teacher_student`] is the paper's toy network, which has no checkpoint.

mod base;
pub mod llama;
mod recorder;
mod targets;
pub mod teacher_student;

pub use base::{Base, BaseError};
use recorder::Recorder;
pub use recorder::{Adapters, Training};
use serde_json::{Map, Value as Json};
pub use targets::{TargetError, TargetRules, Targets, covers};

use crate::graph::tape::Tape;

/// A linear map of a model that can carry an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Full name of the module, e.g. `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Input columns I.
    pub inputs: usize,
    /// Output columns O.
    pub outputs: usize,
}

/// The interface of a family, implemented by the sizes of one of its models.
trait Family: Sized {
    /// The values of `model_type` in a `config.json` that select this family.
    const TYPES: &'static [&'static str];

    /// Reads a `config.json`. An unsupported field that would change results is an error that names it.
    fn read(said: Map<String, Json>) -> Result<Self, BaseError>;

    /// A `config.json` that Hugging Face's transformers can read too.
    fn write(&self) -> Json;

    /// Vocabulary size V.
    fn vocabulary(&self) -> usize;

    /// Longest sequence that the model was trained on, in tokens.
    fn longest(&self) -> usize;

    /// Number of layers L.
    fn layers(&self) -> usize;

    /// Columns of the position tables, per token.
    fn position_columns(&self) -> usize;

    /// The modules that can carry adapters, in the order of the forward pass.
    fn linears(&self) -> Vec<Linear>;

    /// Every tensor with its rows and columns, in file order; a vector is (1, columns).
    fn tensors(&self) -> Vec<(String, [usize; 2])>;

    /// True if a file may hold a tensor of this name that the model does not use, because it repeats other tensors.
    fn repeats(&self, tensor: &str) -> bool;

    /// Records the forward pass and its loss.
    fn record(&self, recorder: &mut Recorder<'_>);
}

macro_rules! families {
    ($($family:ident($config:ty)),*) => {
        /// A model: its family and its sizes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Model {
            $(#[allow(missing_docs, reason = "each family's own page says what it is")] $family($config)),*
        }

        $(impl From<$config> for Model {
            fn from(config: $config) -> Model {
                Model::$family(config)
            }
        })*

        impl Model {
            /// Reads the text of a Hugging Face `config.json`. A config without a `model_type` belongs to the first family.
            ///
            /// # Errors
            /// If a size is missing, or no supported family computes what the config describes.
            pub fn from_json(text: &str) -> Result<Model, BaseError> {
                let said: Map<String, Json> = serde_json::from_str(text)?;
                let kind = said.get("model_type").and_then(Json::as_str).map(str::to_owned);
                $(if kind.as_deref().is_none_or(|kind| <$config>::TYPES.contains(&kind)) {
                    return <$config>::read(said).map(Model::$family);
                })*
                Err(BaseError::Unlike { key: "model_type", found: format!("{:?}", kind.unwrap_or_default()) })
            }

            /// The text of a `config.json`.
            pub fn to_json(&self) -> String {
                match self { $(Model::$family(config) => config.write().to_string()),* }
            }

            /// Vocabulary size V.
            pub fn vocabulary(&self) -> usize {
                match self { $(Model::$family(config) => config.vocabulary()),* }
            }

            /// Longest sequence that the model was trained on, in tokens.
            pub fn longest(&self) -> usize {
                match self { $(Model::$family(config) => config.longest()),* }
            }

            /// Number of layers L.
            pub fn layers(&self) -> usize {
                match self { $(Model::$family(config) => config.layers()),* }
            }

            /// Columns of the position tables, per token.
            pub fn position_columns(&self) -> usize {
                match self { $(Model::$family(config) => config.position_columns()),* }
            }

            /// The modules that can carry adapters, in the order of the forward pass.
            pub fn linears(&self) -> Vec<Linear> {
                match self { $(Model::$family(config) => config.linears()),* }
            }

            /// Every tensor with its rows and columns, in file order; a vector is (1, columns).
            pub fn tensors(&self) -> Vec<(String, [usize; 2])> {
                match self { $(Model::$family(config) => config.tensors()),* }
            }

            /// Records the forward pass and its loss.
            pub fn record(&self, tape: &mut Tape, training: Training<'_>) {
                let recorder = &mut Recorder::new(tape, training);
                match self { $(Model::$family(config) => config.record(recorder)),* }
            }

            /// True if a file may hold a tensor of this name that the model does not use.
            fn repeats(&self, tensor: &str) -> bool {
                match self { $(Model::$family(config) => config.repeats(tensor)),* }
            }
        }
    };
}

families!(Llama(llama::Config));

impl Model {
    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape[0] * shape[1]).sum()
    }

    /// Last components of the names of the modules that can carry adapters, each once, in the order of the forward pass: valid values for `target_modules`.
    pub fn targets(&self) -> Vec<String> {
        targets::ends(&self.linears())
    }
}
