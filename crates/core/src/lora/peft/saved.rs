//! Tensors that are trained whole beside an adapter's factors: those of PEFT's `modules_to_save`.

use loralab_checkpoint::Stored;
use serde_json::Value;

use super::{AdapterError, PREFIX, check_finite};
use crate::graph::memory::HeadTensor;

/// The modules that may be saved whole: those that PEFT saves for classifiers of texts.
const MODULES: [&str; 2] = ["classifier", "score"];

/// A tensor that was trained whole, such as a classifier's weight.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTensor {
    /// Its name in the base model, such as `classifier.weight`.
    pub name: String,
    /// Its shape; a bias has one axis.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

impl SavedTensor {
    /// A tensor of a plan's head with the values that it has among a run's trained tensors.
    pub fn of_head(tensor: &HeadTensor, trained: &[f32]) -> Self {
        let [rows, columns] = tensor.shape;
        let shape = if tensor.name.ends_with(".bias") { vec![columns] } else { vec![rows, columns] };
        Self { name: tensor.name.clone(), shape, values: trained[tensor.span.range()].to_vec() }
    }

    /// The module that it belongs to: the first part of its name.
    pub fn module(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    pub(super) fn stored(&self) -> Stored {
        Stored::of_f32(format!("{PREFIX}{}", self.name), self.shape.clone(), &self.values)
    }

    /// Reads a tensor of one of these modules; none if it belongs to none of them.
    pub(super) fn read(stored: &Stored, modules: &[String]) -> Result<Option<Self>, AdapterError> {
        let tensor = stored.name.clone();
        let Some(name) = tensor.strip_prefix(PREFIX).filter(|name| is_of(name, modules)) else { return Ok(None) };
        let Some(values) = stored.to_f32() else {
            return Err(AdapterError::Type { tensor, found: stored.format.clone() });
        };
        check_finite(&values, || format!("the tensor \"{tensor}\""))?;
        Ok(Some(Self { name: name.to_owned(), shape: stored.shape.clone(), values }))
    }
}

fn is_of(name: &str, modules: &[String]) -> bool {
    modules.iter().any(|module| name.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

/// The modules that a configuration's `modules_to_save` names; none if one of them cannot be trained whole here.
pub(super) fn modules(setting: &Value) -> Option<Vec<String>> {
    let names: Option<Vec<&str>> = setting.as_array()?.iter().map(Value::as_str).collect();
    names?.into_iter().map(|name| MODULES.contains(&name).then(|| name.to_owned())).collect()
}
