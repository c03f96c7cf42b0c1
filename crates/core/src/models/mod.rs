//! Models and their frozen weights. Each family has a file that defines the fields of a `config.json` it accepts, its tensors' names, the modules that can
//! carry adapters, and the ops of its forward pass. Families of the Llama kind describe themselves to `decoder`, which records all of them, those of the
//! BERT kind to `encoder`.
//!
//! This module records on tapes of `graph` and knows no device and no scheme. [`teacher_student`] is the toy network of arXiv 2406.08447, which has
//! no checkpoint.

mod base;
mod bert;
mod decoder;
mod encoder;
mod fields;
mod gemma;
mod gpt2;
pub mod llama;
mod qwen;
mod recorder;
mod roberta;
pub mod rotary;
mod targets;
pub mod teacher_student;

use std::{fmt, sync::Arc};

pub use base::{Base, BaseError};
use fields::Fields;
use recorder::Recorder;
pub use recorder::{Adapters, Training};
use serde_json::{Map, Value as Json};
pub use targets::{TargetError, TargetRules, Targets, covers, pattern_name, patterned};

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

/// The kind of answer that a model gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Logits of the next token, for each token.
    Tokens,
    /// Logits of so many classes, for each sequence: those of its first token's row.
    Classes(usize),
    /// A number for each sequence: that of its first token's row.
    Score,
}

impl Output {
    /// True if it says something about a text as a whole, which it cannot continue.
    pub fn is_of_texts(self) -> bool {
        self != Output::Tokens
    }
}

/// The interface of a network, which a family makes from a `config.json`.
trait Network: fmt::Debug + Send + Sync {
    /// Vocabulary size V.
    fn vocabulary(&self) -> usize;

    /// Longest sequence that the model was trained on, in tokens.
    fn longest(&self) -> usize;

    /// True if positions have a table, so that no sequence can be longer.
    fn has_position_table(&self) -> bool {
        false
    }

    /// Number of layers L.
    fn layers(&self) -> usize;

    /// Columns of the position tables, per token.
    fn position_columns(&self) -> usize;

    /// The modules that can carry adapters, in the order of the forward pass.
    fn linears(&self) -> Vec<Linear>;

    /// Every tensor with its rows and columns, in file order; a vector is (1, columns).
    fn tensors(&self) -> Vec<(String, [usize; 2])>;

    /// The kind of its answers.
    fn output(&self) -> Output {
        Output::Tokens
    }

    /// Names of the classes that a text may belong to.
    fn labels(&self) -> &[String] {
        &[]
    }

    /// The tensors that are trained whole beside adapters, with their rows and columns; a checkpoint may lack them.
    fn head(&self) -> Vec<(String, [usize; 2])> {
        vec![]
    }

    /// The module that these tensors belong to.
    fn head_module(&self) -> Option<&'static str> {
        None
    }

    /// Kinds of tokens that it tells apart.
    fn types(&self) -> usize {
        1
    }

    /// True if a tensor of one row is a matrix in a checkpoint all the same.
    fn is_matrix(&self, _tensor: &str) -> bool {
        false
    }

    /// Other names that a checkpoint may have for a tensor, such as that of the network without its head.
    fn aliases(&self, tensor: &str) -> Vec<String>;

    /// True if a checkpoint holds the transpose of this tensor, (I, O).
    fn is_transposed(&self, _tensor: &str) -> bool {
        false
    }

    /// True if a file may hold a tensor of this name that the model does not use, because it repeats other tensors or is a part that is not run.
    fn repeats(&self, tensor: &str) -> bool;

    /// Records the forward pass and its loss.
    fn record(&self, recorder: &mut Recorder<'_>);
}

/// A family of models.
struct Family {
    /// The values of `model_type` that select it.
    types: &'static [&'static str],
    /// Reads a config. An unsupported field that would change results is an error that names it.
    read: fn(&Fields) -> Result<Arc<dyn Network>, BaseError>,
}

/// All families; a config without a `model_type` belongs to the first.
static FAMILIES: [Family; 6] =
    [llama::FAMILY, qwen::FAMILY, gemma::FAMILY, gpt2::FAMILY, bert::FAMILY, roberta::FAMILY];

/// A model: what its `config.json` says, and the network that this describes.
#[derive(Clone, Debug)]
pub struct Model {
    said: Map<String, Json>,
    network: Arc<dyn Network>,
}

impl PartialEq for Model {
    fn eq(&self, other: &Model) -> bool {
        self.said == other.said
    }
}

/// The class of transformers that classifies texts with a model of this type.
fn classifier(model_type: &str) -> Option<&'static str> {
    Some(match model_type {
        "bert" => "BertForSequenceClassification",
        "roberta" => "RobertaForSequenceClassification",
        "xlm-roberta" => "XLMRobertaForSequenceClassification",
        _ => return None,
    })
}

impl Model {
    /// Reads the text of a Hugging Face `config.json`.
    ///
    /// # Errors
    /// If a size is missing, or no supported family computes what the config describes.
    pub fn from_json(text: &str) -> Result<Model, BaseError> {
        let fields = Fields { said: serde_json::from_str(text)? };
        let kind = fields.value("model_type").map(|kind| kind.as_str().unwrap_or_default());
        let family = match kind {
            None => FAMILIES.first(),
            Some(kind) => FAMILIES.iter().find(|family| family.types.contains(&kind)),
        };
        let Some(family) = family else {
            return Err(BaseError::Unlike { key: "model_type", found: format!("{:?}", kind.unwrap_or_default()) });
        };
        let network = (family.read)(&fields)?;
        Ok(Model { said: fields.said, network })
    }

    /// The text of the `config.json`, which Hugging Face's transformers can read too.
    pub fn to_json(&self) -> String {
        Json::Object(self.said.clone()).to_string()
    }

    /// Vocabulary size V.
    pub fn vocabulary(&self) -> usize {
        self.network.vocabulary()
    }

    /// Longest sequence that the model was trained on, in tokens.
    pub fn longest(&self) -> usize {
        self.network.longest()
    }

    /// Most tokens of a sequence; none if any number can be run.
    pub fn most_tokens(&self) -> Option<usize> {
        self.network.has_position_table().then(|| self.longest())
    }

    /// The kind of its answers.
    pub fn output(&self) -> Output {
        self.network.output()
    }

    /// Columns of its logits, or of its score.
    pub fn output_columns(&self) -> usize {
        match self.output() {
            Output::Tokens => self.vocabulary(),
            Output::Classes(classes) => classes,
            Output::Score => 1,
        }
    }

    /// Names of the classes that a text may belong to.
    pub fn labels(&self) -> &[String] {
        self.network.labels()
    }

    /// The tensors that are trained whole beside adapters, with their rows and columns; a checkpoint may lack them.
    pub fn head(&self) -> Vec<(String, [usize; 2])> {
        self.network.head()
    }

    /// The module that the head's tensors belong to: PEFT's `modules_to_save`.
    pub fn head_module(&self) -> Option<&'static str> {
        self.network.head_module()
    }

    /// Kinds of tokens that it tells apart.
    pub fn types(&self) -> usize {
        self.network.types()
    }

    /// The same model for other classes; for a score, if there is one name.
    ///
    /// # Errors
    /// If the model says nothing about classes.
    pub fn with_labels(&self, labels: &[String]) -> Result<Model, BaseError> {
        let mut said = self.said.clone();
        said.remove("num_labels");
        let ids = labels.iter().enumerate();
        let id2label: Map<String, Json> =
            ids.clone().map(|(id, label)| (id.to_string(), label.clone().into())).collect();
        let label2id: Map<String, Json> = ids.map(|(id, label)| (label.clone(), id.into())).collect();
        let kind = if labels.len() == 1 { "regression" } else { "single_label_classification" };
        said.insert("id2label".to_owned(), id2label.into());
        said.insert("label2id".to_owned(), label2id.into());
        said.insert("problem_type".to_owned(), kind.into());
        if let Some(class) = said.get("model_type").and_then(Json::as_str).and_then(classifier) {
            said.insert("architectures".to_owned(), vec![class].into());
        }
        Model::from_json(&Json::Object(said).to_string())
    }

    /// Number of layers L.
    pub fn layers(&self) -> usize {
        self.network.layers()
    }

    /// Columns of the position tables, per token.
    pub fn position_columns(&self) -> usize {
        self.network.position_columns()
    }

    /// The modules that can carry adapters, in the order of the forward pass.
    pub fn linears(&self) -> Vec<Linear> {
        self.network.linears()
    }

    /// Every tensor with its rows and columns, in file order; a vector is (1, columns).
    pub fn tensors(&self) -> Vec<(String, [usize; 2])> {
        self.network.tensors()
    }

    /// Other names that a checkpoint may have for a tensor.
    pub(crate) fn aliases(&self, tensor: &str) -> Vec<String> {
        self.network.aliases(tensor)
    }

    /// True if a checkpoint holds the transpose of this tensor.
    pub(crate) fn is_transposed(&self, tensor: &str) -> bool {
        self.network.is_transposed(tensor)
    }

    /// True if a file may hold a tensor of this name that the model does not use.
    fn repeats(&self, tensor: &str) -> bool {
        self.network.repeats(tensor)
    }

    /// True if a tensor of one row is a matrix in a checkpoint all the same.
    fn is_matrix(&self, tensor: &str) -> bool {
        self.network.is_matrix(tensor)
    }

    /// Records the forward pass and its loss.
    pub fn record(&self, tape: &mut Tape, training: Training<'_>) {
        self.network.record(&mut Recorder::new(tape, training));
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape[0] * shape[1]).sum()
    }

    /// Last components of the names of the modules that can carry adapters, each once, in the order of the forward pass: valid values for `target_modules`.
    pub fn targets(&self) -> Vec<String> {
        targets::ends(&self.linears())
    }
}
