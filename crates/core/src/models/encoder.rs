//! An encoder of the BERT kind with a head that says which class a text belongs to, or gives it a score.
//!
//! Every token sees all others of its sequence, padding left out. Each block's output is normed after the residual connection. The head reads the first
//! token's row only; it is trained whole. BERT and RoBERTa differ in what an [`Encoder`] says; it records the forward pass for both, after transformers'
//! `modeling_bert.py` and `modeling_roberta.py`. Dropout of the base is off, in training too.

use serde_json::Value as Json;

use super::{BaseError, Fields, Linear, Network, Output, Recorder, fields::Accepted};
use crate::graph::{
    memory::{Group, InputName, Value},
    ops::{Attend, gelu},
};

/// A layer's linear maps, in the order of the forward pass.
const MODULES: [&str; 6] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
];

/// The module between the first token's row and the classifier of BERT.
const POOLER: &str = "pooler.dense";

/// Config fields that change what a model computes, and the values that are computed here.
const PLAIN: [Accepted; 5] = [
    ("position_embedding_type", &["\"absolute\""]),
    ("is_decoder", &["false"]),
    ("add_cross_attention", &["false"]),
    ("pruned_heads", &["{}"]),
    ("quantization_config", &[]),
];

/// The maps between the first token's row and the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A frozen pooler, a linear map and tanh, then the trained `classifier`.
    Pooled,
    /// The trained `classifier.dense`, tanh, and the trained `classifier.out_proj`.
    Dense,
}

/// An encoder's sizes and the choices in which families differ.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Encoder {
    /// The name of the network around which a head is put, e.g. `bert`.
    pub name: &'static str,
    pub vocabulary: usize,
    pub width: usize,
    pub heads: usize,
    pub layers: usize,
    pub feed_forward: usize,
    /// Rows of the position table, and the row of the first token.
    pub positions: [usize; 2],
    /// Kinds of tokens.
    pub types: usize,
    pub epsilon: f64,
    pub activation: gelu::Form,
    pub head: Head,
    /// Names of the classes; one for a score.
    pub labels: Vec<String>,
    /// Standard deviation of a new head's weights.
    pub range: f64,
}

/// Values that transformers has for missing fields, and the family's choices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub name: &'static str,
    pub vocabulary: usize,
    pub head: Head,
    /// Index of the first token's row in the position table.
    pub first_position: usize,
}

impl Encoder {
    /// Reads a config.
    ///
    /// # Errors
    /// If a size is no size, sizes do not fit each other, or a field asks for what is not computed here.
    pub fn read(fields: &Fields, defaults: Defaults) -> Result<Encoder, BaseError> {
        fields.plain(&PLAIN)?;
        let (width, heads) = (fields.size("hidden_size", Some(768))?, fields.size("num_attention_heads", Some(12))?);
        if !width.is_multiple_of(heads) {
            return Err(BaseError::Sizes(format!("width {width} does not split into {heads} heads")));
        }
        let positions = fields.size("max_position_embeddings", Some(512))?;
        let first = defaults.first_position;
        if positions <= first {
            return Err(BaseError::Sizes(format!("{positions} positions have none left after the first {first}")));
        }
        Ok(Encoder {
            name: defaults.name,
            vocabulary: fields.size("vocab_size", Some(defaults.vocabulary))?,
            width,
            heads,
            layers: fields.size("num_hidden_layers", Some(12))?,
            feed_forward: fields.size("intermediate_size", Some(3072))?,
            positions: [positions, first],
            types: fields.size("type_vocab_size", Some(2))?,
            epsilon: fields.number("layer_norm_eps", 1e-12)?,
            activation: fields.gelu("hidden_act", "gelu")?,
            head: defaults.head,
            labels: labels(fields)?,
            range: fields.number("initializer_range", 0.02)?,
        })
    }

    /// Input and output columns of a module, (I, O).
    fn shape(&self, module: &str) -> [usize; 2] {
        match module {
            "intermediate.dense" => [self.width, self.feed_forward],
            "output.dense" => [self.feed_forward, self.width],
            _ => [self.width, self.width],
        }
    }

    /// The full name of a layer's module.
    fn module(&self, layer: usize, module: &str) -> String {
        format!("{}.encoder.layer.{layer}.{module}", self.name)
    }

    fn project(&self, recorder: &mut Recorder<'_>, layer: usize, module: &str, x: Value) -> Value {
        recorder.linear(x, &self.module(layer, module), self.shape(module), true)
    }

    fn norm(&self, recorder: &mut Recorder<'_>, name: &str, x: Value) -> Value {
        recorder.layer_norm(x, &format!("{}.{name}", self.name), self.width, self.epsilon)
    }

    /// The sum of the three embeddings, normed.
    fn embeddings(&self, recorder: &mut Recorder<'_>) -> Value {
        let tables = [("word", self.vocabulary), ("token_type", self.types), ("position", self.positions[0])];
        let [words, types, positions] = tables.map(|(table, rows)| {
            let name = format!("{}.embeddings.{table}_embeddings.weight", self.name);
            recorder.weight(&name, [rows, self.width], Group::Matrix)
        });
        recorder.tape.label("embeddings");
        let tokens = recorder.tape.embedding(words, self.width);
        let types = recorder.tape.embedding_of(InputName::TokenTypes, types, self.width, 1.0);
        let places = recorder.tape.position_embedding(positions, self.positions[1], self.width);
        let sum = recorder.tape.add(tokens, types);
        let sum = recorder.tape.add(sum, places);
        self.norm(recorder, "embeddings.LayerNorm", sum)
    }

    /// Records a layer on x.
    fn layer(&self, recorder: &mut Recorder<'_>, layer: usize, x: Value) -> Value {
        let [q, k, v] = [MODULES[0], MODULES[1], MODULES[2]].map(|module| self.project(recorder, layer, module, x));
        recorder.tape.label(format!("encoder.layer.{layer}.attention.self"));
        let mixed = recorder.tape.attention(q, k, v, Attend::full(self.width / self.heads));
        let out = self.project(recorder, layer, MODULES[3], mixed);
        let sum = recorder.tape.add(out, x);
        let x = self.norm(recorder, &format!("encoder.layer.{layer}.attention.output.LayerNorm"), sum);
        let h = self.project(recorder, layer, MODULES[4], x);
        recorder.tape.label(format!("encoder.layer.{layer}.intermediate"));
        let h = recorder.tape.gelu(h, self.activation);
        let out = self.project(recorder, layer, MODULES[5], h);
        let sum = recorder.tape.add(out, x);
        self.norm(recorder, &format!("encoder.layer.{layer}.output.LayerNorm"), sum)
    }

    /// The head's linear maps, each with its input and output columns.
    fn head_maps(&self) -> Vec<(&'static str, [usize; 2])> {
        let (width, labels) = (self.width, self.labels.len());
        match self.head {
            Head::Pooled => vec![("classifier", [width, labels])],
            Head::Dense => vec![("classifier.dense", [width, width]), ("classifier.out_proj", [width, labels])],
        }
    }
}

/// The names of the classes: those of `id2label`, else `LABEL_0` to the number that `num_labels` says, else two of them. One is a score.
fn labels(fields: &Fields) -> Result<Vec<String>, BaseError> {
    let said = fields.some_size("num_labels")?;
    let needed = "a name for each class, by its number from \"0\" on";
    let names = match fields.value("id2label") {
        None => (0..said.unwrap_or(2)).map(|index| format!("LABEL_{index}")).collect(),
        Some(value) => {
            let name = |map: &serde_json::Map<String, Json>, index: usize| {
                map.get(&index.to_string()).and_then(Json::as_str).map(str::to_owned)
            };
            let map = value.as_object().filter(|map| !map.is_empty());
            let names: Option<Vec<String>> = map.and_then(|map| (0..map.len()).map(|index| name(map, index)).collect());
            names.ok_or_else(|| BaseError::Field { key: "id2label", found: value.to_string(), needed })?
        }
    };
    if let Some(said) = said.filter(|said| *said != names.len()) {
        return Err(BaseError::Sizes(format!("num_labels is {said}, but id2label names {} classes", names.len())));
    }
    // A field of another value would have another loss.
    let only: &[&str] = if names.len() == 1 { &["\"regression\""] } else { &["\"single_label_classification\""] };
    fields.plain(&[("problem_type", only)])?;
    Ok(names)
}

impl Network for Encoder {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn longest(&self) -> usize {
        self.positions[0] - self.positions[1]
    }

    fn has_position_table(&self) -> bool {
        true
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn position_columns(&self) -> usize {
        0
    }

    fn linears(&self) -> Vec<Linear> {
        let of_layer = |layer| {
            MODULES.map(|module| {
                let [inputs, outputs] = self.shape(module);
                Linear { name: self.module(layer, module), inputs, outputs }
            })
        };
        let [inputs, outputs] = self.shape(POOLER);
        let pooler = Linear { name: format!("{}.{POOLER}", self.name), inputs, outputs };
        (0..self.layers).flat_map(of_layer).chain((self.head == Head::Pooled).then_some(pooler)).collect()
    }

    fn tensors(&self) -> Vec<(String, [usize; 2])> {
        let matrix = |name: String, [inputs, outputs]: [usize; 2]| {
            [(format!("{name}.weight"), [outputs, inputs]), (format!("{name}.bias"), [1, outputs])]
        };
        let norm =
            |name: &str| ["weight", "bias"].map(|part| (format!("{}.{name}.{part}", self.name), [1, self.width]));
        let tables = [("word", self.vocabulary), ("position", self.positions[0]), ("token_type", self.types)];
        let table = |(table, rows)| (format!("{}.embeddings.{table}_embeddings.weight", self.name), [rows, self.width]);
        let mut tensors: Vec<_> = tables.map(table).into();
        tensors.extend(norm("embeddings.LayerNorm"));
        for layer in 0..self.layers {
            for module in MODULES {
                tensors.extend(matrix(self.module(layer, module), self.shape(module)));
                if let Some(block) = module.strip_suffix("output.dense") {
                    tensors.extend(norm(&format!("encoder.layer.{layer}.{block}output.LayerNorm")));
                }
            }
        }
        if self.head == Head::Pooled {
            tensors.extend(matrix(format!("{}.{POOLER}", self.name), self.shape(POOLER)));
        }
        tensors
    }

    fn output(&self) -> Output {
        match self.labels.len() {
            1 => Output::Score,
            classes => Output::Classes(classes),
        }
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn head(&self) -> Vec<(String, [usize; 2])> {
        let both = |(name, [inputs, outputs]): (&str, [usize; 2])| {
            [(format!("{name}.weight"), [outputs, inputs]), (format!("{name}.bias"), [1, outputs])]
        };
        self.head_maps().into_iter().flat_map(both).collect()
    }

    fn head_module(&self) -> Option<&'static str> {
        Some("classifier")
    }

    // A table of one kind of token, and the head of a score.
    fn is_matrix(&self, tensor: &str) -> bool {
        tensor.ends_with("_embeddings.weight")
            || tensor.ends_with("classifier.weight")
            || tensor.ends_with("out_proj.weight")
    }

    fn types(&self) -> usize {
        self.types
    }

    // Without its head, and with the names of the norms' tensors that BERT's first checkpoints have.
    fn aliases(&self, tensor: &str) -> Vec<String> {
        let inner = tensor.strip_prefix(self.name).and_then(|inner| inner.strip_prefix('.'));
        let names: Vec<&str> = [tensor].into_iter().chain(inner).collect();
        let older = |name: &&str| {
            let (norm, part) = name.rsplit_once("LayerNorm.")?;
            Some(format!("{norm}LayerNorm.{}", if part == "weight" { "gamma" } else { "beta" }))
        };
        names.iter().skip(1).map(ToString::to_string).chain(names.iter().filter_map(older)).collect()
    }

    // Older files hold the numbers of the positions, and some the heads of the pretraining, or a pooler that the family's classifier does not read.
    fn repeats(&self, tensor: &str) -> bool {
        let inner = tensor.strip_prefix(self.name).and_then(|inner| inner.strip_prefix('.')).unwrap_or(tensor);
        let pooler = self.head == Head::Dense && inner.starts_with("pooler.");
        pooler || inner == "embeddings.position_ids" || ["cls.", "lm_head."].iter().any(|head| tensor.starts_with(head))
    }

    fn record(&self, recorder: &mut Recorder<'_>) {
        let mut x = self.embeddings(recorder);
        for layer in 0..self.layers {
            recorder.tape.layer();
            x = self.layer(recorder, layer, x);
        }
        // The head reads every row, which costs less than a layer's hundredth part; rows but the first of a sequence have no weight in the loss.
        if self.head == Head::Pooled {
            x = recorder.linear(x, &format!("{}.{POOLER}", self.name), self.shape(POOLER), true);
            x = recorder.tape.tanh(x);
        }
        let maps = self.head_maps();
        for (index, (name, shape)) in maps.iter().enumerate() {
            x = recorder.head_linear(x, name, *shape, self.range);
            if index + 1 < maps.len() {
                x = recorder.tape.tanh(x);
            }
        }
        match self.output() {
            Output::Score => recorder.tape.mse(x),
            _ => recorder.tape.cross_entropy(x),
        }
    }
}
