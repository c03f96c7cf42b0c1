//! The frozen base: a model's weights in their stored precision, read from and written to safetensors.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use loralab_checkpoint::{Bytes, Checkpoint, CheckpointError, Format, Stored, read_safetensors, write_safetensors};

use super::Model;
use crate::graph::memory::{Data, Quantiser, Tensor};

/// Metadata key of loralab's safetensors files that holds the model's sizes, as the JSON of a `config.json`.
const CONFIG_KEY: &str = "config";

/// A pretrained model. Cloning shares the weights.
#[derive(Clone, Debug)]
pub struct Base {
    /// The model's family and sizes.
    pub model: Model,
    /// Weights, in the order of [`Model::tensors`], then those of [`Model::head`] that the checkpoint has.
    pub tensors: Arc<[Tensor]>,
}

/// Error of reading or writing a base.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The file is not safetensors, or ends too early.
    #[error("it is not a whole safetensors file ({0}); copy it again, or make a base with `loralab pretrain`")]
    File(#[from] CheckpointError),
    /// The file does not hold the model's sizes.
    #[error(
        "it says nothing about the model's sizes: a Hugging Face config.json must lie beside it, or its safetensors metadata have the key `config` with the text of one"
    )]
    NoConfig,
    /// The model's sizes cannot be parsed.
    #[error("its `config` metadata can't be read as a config.json: {0}")]
    Config(#[from] serde_json::Error),
    /// The sizes do not describe a valid decoder.
    #[error("its config can't be a model's: {0}")]
    Sizes(String),
    /// A field of the config is missing or of the wrong kind.
    #[error("its config needs \"{key}\", {needed}, but has {found}")]
    Field {
        /// Key of the field.
        key: &'static str,
        /// Its value, as JSON, or that there is none.
        found: String,
        /// A description of valid values.
        needed: &'static str,
    },
    /// The config describes a model that is not supported.
    #[error(
        "its config has \"{key}\": {found}, with which it computes something that cannot be run here; a config with another value, or of another model, is needed"
    )]
    Unlike {
        /// Key of the setting.
        key: &'static str,
        /// Its value, as JSON.
        found: String,
    },
    /// The model has no tensor of this name.
    #[error(
        "tensor `{0}` has no place in the model that its config describes; it is of another model, or the config is"
    )]
    Unused(String),
    /// A tensor is missing.
    #[error("tensor `{name}` is missing; a base needs it in shape {shape:?}")]
    Missing {
        /// Name of the tensor.
        name: String,
        /// Rows and columns needed.
        shape: [usize; 2],
    },
    /// A tensor's shape differs from the config's.
    #[error("tensor `{name}` has shape {found:?}, but the config needs {needed:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// The file's shape.
        found: Vec<usize>,
        /// Rows and columns needed.
        needed: [usize; 2],
    },
    /// A tensor has an element type that is not supported.
    #[error(
        "tensor `{name}` is stored as {found}; F32, F16 and BF16 are read, and of GGUF's blocks Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K"
    )]
    Type {
        /// Name of the tensor.
        name: String,
        /// The file's type.
        found: Format,
    },
    /// A tensor holds NaN or infinity.
    #[error(
        "tensor `{name}` holds a value that is not finite, the first at element {index}; the checkpoint is damaged"
    )]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Index of the element, row-major.
        index: usize,
    },
}

impl Base {
    /// Reads a base from the bytes of a safetensors file, which its weights share.
    ///
    /// # Errors
    /// If a size or tensor is missing, damaged, of the wrong shape or not supported.
    pub fn from_safetensors(bytes: impl Into<Bytes>) -> Result<Base, BaseError> {
        Base::from_checkpoint(&read_safetensors(&bytes.into())?)
    }

    /// Reads a base from a checkpoint whose metadata holds the text of its `config.json`. The weights share the checkpoint's bytes.
    ///
    /// # Errors
    /// If a size or tensor is missing, damaged, of the wrong shape or not supported.
    pub fn from_checkpoint(file: &Checkpoint) -> Result<Base, BaseError> {
        Base::quantised_from(file, None)
    }

    /// Reads a base from a checkpoint, and quantises the weights of the modules that can carry adapters if there is a quantiser: each tensor as soon as it is
    /// read, so that no two lie in memory in a wider format.
    ///
    /// # Errors
    /// As [`Base::from_checkpoint`].
    pub fn quantised_from(file: &Checkpoint, quantiser: Option<Quantiser>) -> Result<Base, BaseError> {
        let model = Model::from_json(file.metadata.get(CONFIG_KEY).ok_or(BaseError::NoConfig)?)?;
        // Checked first, so that an absurd number of layers does not make a list of that many names.
        if model.layers() > file.tensors.len() {
            let (layers, tensors) = (model.layers(), file.tensors.len());
            return Err(BaseError::Sizes(format!("it has {layers} layers, but the file holds {tensors} tensors")));
        }
        let stored: HashMap<&str, &Stored> = file.tensors.iter().map(|stored| (stored.name.as_str(), stored)).collect();
        let mut used = HashSet::new();
        let quantisable = quantisable(&model);
        let tensors = model.tensors().into_iter().map(|(name, shape)| {
            let other = || model.aliases(&name).iter().find_map(|other| stored.get(other.as_str()));
            let Some(stored) = stored.get(name.as_str()).or_else(other) else {
                return Err(BaseError::Missing { name, shape });
            };
            used.insert(stored.name.as_str());
            let is_transposed = model.is_transposed(&name);
            let tensor = tensor(stored, name, shape, is_transposed)?;
            Ok(match quantiser {
                Some(quantiser) if quantisable.contains(&tensor.name) => tensor.quantised(quantiser),
                _ => tensor,
            })
        });
        let mut tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        for (name, shape) in model.head() {
            if let Some(stored) = stored.get(name.as_str()) {
                used.insert(stored.name.as_str());
                tensors.push(tensor(stored, name, shape, false)?);
            }
        }
        let is_used = |name: &str| used.contains(name) || model.repeats(name);
        match file.tensors.iter().find(|stored| !is_used(&stored.name)) {
            Some(stored) => Err(BaseError::Unused(stored.name.clone())),
            None => Ok(Base { tensors: tensors.into(), model }),
        }
    }

    /// The bytes of a safetensors file of the base, with the weights in their stored precision; those of few bits as f32.
    ///
    /// # Errors
    /// If the safetensors library refuses the tensors.
    pub fn to_safetensors(&self) -> Result<Bytes, BaseError> {
        let stored = |tensor: &Tensor| {
            let format = match &tensor.data {
                Data::F32(_) | Data::Quantised(_) => Format::F32,
                Data::F16(_) => Format::F16,
                Data::Bf16(_) => Format::Bf16,
            };
            let [rows, columns] = tensor.shape;
            let (shape, data) = match self.model.is_transposed(&tensor.name) {
                true => (vec![columns, rows], transposed(&tensor.data, rows, columns)),
                false if rows == 1 && !self.model.is_matrix(&tensor.name) => (vec![columns], tensor.data.clone()),
                false => (vec![rows, columns], tensor.data.clone()),
            };
            Stored { name: tensor.name.clone(), shape, format, bytes: data.to_le_bytes() }
        };
        let config = (CONFIG_KEY.to_owned(), self.model.to_json());
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned()), config]);
        Ok(write_safetensors(&Checkpoint { metadata, tensors: self.tensors.iter().map(stored).collect() })?.into())
    }

    /// Index of the tensor `name`, which must be in [`Model::tensors`].
    pub(crate) fn index(&self, name: &str) -> usize {
        self.tensors.iter().position(|tensor| tensor.name == name).expect("a base holds every tensor its config lists")
    }

    /// The checkpoint's values of a tensor of the head, if it has them.
    pub(crate) fn head_values(&self, name: &str) -> Option<Arc<[f32]>> {
        let stored = self.tensors.iter().find(|tensor| tensor.name == name)?;
        Some(stored.data.to_f32().into_owned().into())
    }

    /// The same weights for a model of other classes, or for a score if there is one name. A head for another number of them is left out.
    ///
    /// # Errors
    /// If the model says nothing about classes.
    pub fn with_labels(&self, labels: &[String]) -> Result<Base, BaseError> {
        let model = self.model.with_labels(labels)?;
        let head = model.head();
        let fits = head
            .iter()
            .all(|(name, shape)| self.tensors.iter().any(|tensor| tensor.name == *name && tensor.shape == *shape));
        let is_kept = |tensor: &&Tensor| fits || head.iter().all(|(name, _)| tensor.name != *name);
        Ok(Base { tensors: self.tensors.iter().filter(is_kept).cloned().collect(), model })
    }

    /// The same base with the weights of the modules that can carry adapters quantised; embeddings, head, norms and biases stay as they are.
    #[must_use]
    pub fn quantised(&self, quantiser: Quantiser) -> Base {
        let quantisable = quantisable(&self.model);
        let tensor = |tensor: &Tensor| match quantisable.contains(&tensor.name) {
            true => tensor.quantised(quantiser),
            false => tensor.clone(),
        };
        Base { model: self.model.clone(), tensors: self.tensors.iter().map(tensor).collect() }
    }

    /// The quantiser of its weights, if they are quantised.
    pub fn quantiser(&self) -> Option<Quantiser> {
        self.tensors.iter().find_map(|tensor| match &tensor.data {
            Data::Quantised(data) => Some(data.quantiser()),
            _ => None,
        })
    }

    /// Bytes of the weights if those of the modules that can carry adapters were quantised.
    pub fn quantised_bytes(&self, quantiser: Quantiser) -> usize {
        let quantisable = quantisable(&self.model);
        let bytes = |tensor: &Tensor| match quantisable.contains(&tensor.name) {
            true => quantiser.dtype().bytes(tensor.shape),
            false => tensor.bytes(),
        };
        self.tensors.iter().map(bytes).sum()
    }

    /// Bytes of the weights in their stored precision.
    pub fn bytes(&self) -> usize {
        self.tensors.iter().map(Tensor::bytes).sum()
    }
}

/// Names of the weights of the modules that can carry adapters.
fn quantisable(model: &Model) -> HashSet<String> {
    model.linears().into_iter().map(|linear| format!("{}.weight", linear.name)).collect()
}

/// A tensor of `shape` from what a checkpoint holds, which may be its transpose.
fn tensor(stored: &Stored, name: String, shape: [usize; 2], is_transposed: bool) -> Result<Tensor, BaseError> {
    let needed = if is_transposed { [shape[1], shape[0]] } else { shape };
    let vector = needed[0] == 1 && stored.shape == [needed[1]];
    if stored.shape != needed && !vector {
        return Err(BaseError::Shape { name, found: stored.shape.clone(), needed });
    }
    let data = match &stored.format {
        Format::F32 => Data::F32(stored.elements()),
        Format::F16 => Data::F16(stored.elements()),
        Format::Bf16 => Data::Bf16(stored.elements()),
        other => match stored.to_f32() {
            Some(decoded) => Data::F32(decoded.into()),
            None => return Err(BaseError::Type { name, found: other.clone() }),
        },
    };
    if let Some(index) = data.first_not_finite() {
        return Err(BaseError::NotFinite { name, index });
    }
    let data = if is_transposed { transposed(&data, needed[0], needed[1]) } else { data };
    Ok(Tensor { name, shape, data })
}

/// The transpose of a (rows, columns) matrix.
fn transposed(data: &Data, rows: usize, columns: usize) -> Data {
    fn turn<T: Copy>(data: &[T], rows: usize, columns: usize) -> Vec<T> {
        (0..rows * columns).map(|at| data[at % rows * columns + at / rows]).collect()
    }
    match data {
        Data::F32(data) => Data::F32(turn(data, rows, columns).into()),
        Data::F16(data) => Data::F16(turn(data, rows, columns).into()),
        Data::Bf16(data) => Data::Bf16(turn(data, rows, columns).into()),
        Data::Quantised(data) => Data::F32(turn(&data.to_f32(), rows, columns).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llama::Config;

    /// A base of zeros.
    fn small() -> Base {
        let model = Model::from(Config {
            vocabulary: 4,
            width: 2,
            layers: 1,
            heads: 1,
            kv_heads: 1,
            feed_forward: 2,
            rope_theta: 1e4,
            epsilon: 1e-6,
            tied: true,
            tokens: 8,
        });
        Base { tensors: model.tensors().into_iter().map(zeros).collect(), model }
    }

    fn zeros((name, shape): (String, [usize; 2])) -> Tensor {
        Tensor { name, shape, data: Data::F32(vec![0.0; shape[0] * shape[1]].into()) }
    }

    #[test]
    fn a_tensor_without_a_place_is_another_models() {
        let model = small().model;
        let with = |more: &str| {
            let more = more.split_whitespace().map(|name| (name.to_owned(), [1, 2]));
            let tensors = model.tensors().into_iter().chain(more).map(zeros).collect();
            Base::from_safetensors(
                Base { model: model.clone(), tensors }.to_safetensors().expect("tensors of their shapes"),
            )
        };
        assert_eq!(with("lm_head.weight model.layers.0.self_attn.rotary_emb.inv_freq").expect("a base").model, model);
        let bias = with("model.layers.0.self_attn.q_proj.bias").expect_err("biases are not run").to_string();
        assert!(bias.contains("tensor `model.layers.0.self_attn.q_proj.bias` has no place"), "{bias}");
        assert!(matches!(with("model.layers.1.input_layernorm.weight"), Err(BaseError::Unused(_))));
    }

    #[test]
    fn a_transposed_tensor_is_turned_both_ways() {
        let said =
            r#"{"model_type":"gpt2","n_embd":2,"n_head":1,"n_layer":1,"n_inner":3,"n_positions":2,"vocab_size":4}"#;
        let model = Model::from_json(said).expect("a config");
        let counted = |(name, shape): (String, [usize; 2])| {
            let values: Vec<f32> = (0..shape[0] * shape[1]).map(|at| at as f32).collect();
            Tensor { name, shape, data: Data::F32(values.into()) }
        };
        let base = Base { tensors: model.tensors().into_iter().map(counted).collect(), model };
        let bytes = base.to_safetensors().expect("tensors of their shapes");
        let file = read_safetensors(&bytes).expect("a file");
        let name = "transformer.h.0.mlp.c_fc.weight";
        let stored = file.tensors.iter().find(|stored| stored.name == name).expect("a product");
        assert_eq!(stored.shape, [2, 3], "(I, O)");
        assert_eq!(stored.to_f32().expect("floats"), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(Base::from_checkpoint(&file).expect("a base").tensors, base.tensors);
    }

    #[test]
    fn a_checkpoint_of_the_network_without_its_head_has_shorter_names() {
        let base = small();
        let tensors = base.tensors.iter().map(|tensor| {
            let name = tensor.name.strip_prefix("model.").unwrap_or(&tensor.name).to_owned();
            Tensor { name, ..tensor.clone() }
        });
        let bare = Base { tensors: tensors.collect(), model: base.model.clone() };
        let read = Base::from_safetensors(bare.to_safetensors().expect("tensors of their shapes")).expect("a base");
        assert_eq!(read.tensors, base.tensors);
    }
}
