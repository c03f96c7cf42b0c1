//! LoRA adapters as GGUF files, as llama.cpp's `convert_lora_to_gguf.py` writes them and `llama-adapter.cpp` reads them.
//!
//! A module's factors are `blk.N.attn_q.weight.lora_a`, (R, I), and `….lora_b`, (O, R); llama.cpp adds α/R times their product. Where the converter of the
//! model changes the order of the rows of queries and keys, those of B change alike.

use bytes::Bytes;
use half::f16;
use serde_json::{Map, Value as Json};

use super::{
    GgufError,
    header::{Header, Value},
    tensors::{INSIDE, halves, pairs},
    write,
};
use crate::{CheckpointError, Format, SharedSlice, Stored};

/// A LoRA adapter without the names that a library gives to its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufAdapter {
    /// α: the product of a module's factors counts α/R times.
    pub alpha: f64,
    /// The factors of each module, which has its Hugging Face name.
    pub modules: Vec<GgufModule>,
}

/// The factors of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufModule {
    /// The module's name in Hugging Face's model, such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Rank R, inputs I and outputs O.
    pub shape: [usize; 3],
    /// A, (R, I).
    pub a: Vec<f32>,
    /// B, (O, R).
    pub b: Vec<f32>,
}

/// A family of models, as llama.cpp calls it.
struct Family {
    /// The values of `model_type` in its `config.json`.
    types: &'static [&'static str],
    /// llama.cpp's name of the architecture.
    architecture: &'static str,
    /// True if its rows of queries and keys are in another order there.
    turns_rows: bool,
    /// The beginning of the names of a layer's modules, before its index.
    layers: &'static str,
    /// The modules of a layer that are linear maps: GGUF's name, and Hugging Face's.
    modules: &'static [(&'static str, &'static str)],
}

/// GPT-2's products.
const GPT2: [(&str, &str); 4] =
    [("attn_qkv", "attn.c_attn"), ("attn_output", "attn.c_proj"), ("ffn_up", "mlp.c_fc"), ("ffn_down", "mlp.c_proj")];

/// The families whose adapters llama.cpp can run.
static FAMILIES: [Family; 7] = [
    decoder(&["llama", "mistral"], "llama", true),
    decoder(&["smollm3"], "smollm3", true),
    decoder(&["qwen2"], "qwen2", false),
    decoder(&["qwen3"], "qwen3", false),
    decoder(&["gemma2"], "gemma2", false),
    decoder(&["gemma3", "gemma3_text"], "gemma3", false),
    Family { types: &["gpt2"], architecture: "gpt2", turns_rows: false, layers: "transformer.h", modules: &GPT2 },
];

const fn decoder(types: &'static [&'static str], architecture: &'static str, turns_rows: bool) -> Family {
    Family { types, architecture, turns_rows, layers: "model.layers", modules: &INSIDE }
}

/// A family with the sizes of a model.
struct Model {
    family: &'static Family,
    heads: u64,
    kv_heads: u64,
}

impl Model {
    /// Reads the text of a `config.json`.
    fn of(config: &str) -> Result<Model, GgufError> {
        let said: Map<String, Json> = serde_json::from_str(config).unwrap_or_default();
        let kind = said.get("model_type").and_then(Json::as_str).unwrap_or("llama");
        let family = FAMILIES.iter().find(|family| family.types.contains(&kind));
        let family = family.ok_or_else(|| GgufError::NoAdapters(kind.to_owned()))?;
        let size = |key: &str| said.get(key).and_then(Json::as_u64);
        let heads = size("num_attention_heads").unwrap_or(0);
        // Mistral's and SmolLM3's have defaults of their own.
        let own = match kind {
            "mistral" => 8,
            "smollm3" => 4,
            _ => heads,
        };
        Ok(Model { family, heads, kv_heads: size("num_key_value_heads").unwrap_or(own) })
    }

    /// GGUF's name of a module.
    fn gguf(&self, module: &str) -> Option<String> {
        let (layer, own) = module.strip_prefix(self.family.layers)?.strip_prefix('.')?.split_once('.')?;
        let layer: u32 = layer.parse().ok()?;
        let (name, _) = self.family.modules.iter().find(|(_, name)| *name == own)?;
        Some(format!("blk.{layer}.{name}"))
    }

    /// The module of GGUF's name.
    fn module(&self, gguf: &str) -> Option<String> {
        let (layer, own) = gguf.strip_prefix("blk.")?.split_once('.')?;
        let layer: u32 = layer.parse().ok()?;
        let (_, name) = self.family.modules.iter().find(|(name, _)| *name == own)?;
        Some(format!("{}.{layer}.{name}", self.family.layers))
    }

    /// The heads of queries or keys whose rows have another order in GGUF; none for other modules.
    fn turned(&self, gguf: &str) -> Option<u64> {
        match gguf.rsplit_once('.') {
            Some((_, "attn_q")) if self.family.turns_rows => Some(self.heads),
            Some((_, "attn_k")) if self.family.turns_rows => Some(self.kv_heads),
            _ => None,
        }
    }
}

/// The bytes of an adapter's file for the model that the text of a `config.json` describes, with the factors in F32 or F16.
///
/// # Errors
/// If llama.cpp has no such model or module, the rows of queries or keys are no whole heads, or a number leaves the range of F16.
pub fn write_gguf_adapter(config: &str, adapter: &GgufAdapter, format: &Format) -> Result<Vec<u8>, CheckpointError> {
    let model = Model::of(config)?;
    let metadata = [
        ("general.architecture", Value::Text(model.family.architecture.to_owned())),
        ("general.type", Value::Text("adapter".to_owned())),
        ("adapter.type", Value::Text("lora".to_owned())),
        ("adapter.lora.alpha", Value::Float(adapter.alpha)),
    ];
    let mut tensors = Vec::new();
    for GgufModule { name, shape: [rank, inputs, outputs], a, b } in &adapter.modules {
        let gguf = model.gguf(name).ok_or_else(|| GgufError::NoModule(name.clone()))?;
        let mut b = Stored::of_f32(format!("{gguf}.weight.lora_b"), vec![*outputs, *rank], b);
        if let Some(heads) = model.turned(&gguf) {
            b.bytes = pairs(&b, heads)?;
        }
        for tensor in [Stored::of_f32(format!("{gguf}.weight.lora_a"), vec![*rank, *inputs], a), b] {
            tensors.push(stored_as(tensor, format)?);
        }
    }
    write::bytes(&metadata, &tensors)
}

/// A tensor of F32 in another format.
fn stored_as(tensor: Stored, format: &Format) -> Result<Stored, CheckpointError> {
    match format {
        Format::F32 => Ok(tensor),
        Format::F16 => {
            let halves: Vec<f16> = tensor.elements::<f32>().iter().map(|&x| f16::from_f32(x)).collect();
            if halves.iter().any(|x| !x.is_finite()) {
                return Err(GgufError::Beyond(tensor.name).into());
            }
            Ok(Stored { format: Format::F16, bytes: SharedSlice::from(halves).to_le_bytes(), ..tensor })
        }
        other => Err(CheckpointError::Format { tensor: tensor.name, format: other.clone() }),
    }
}

/// Reads an adapter's file for the model that the text of a `config.json` describes. Modules come in the order of the file.
///
/// # Errors
/// If the file is damaged, or is no adapter, or one of another architecture.
pub fn read_gguf_adapter(bytes: &Bytes, config: &str) -> Result<GgufAdapter, CheckpointError> {
    let model = Model::of(config)?;
    if !bytes.starts_with(super::MAGIC) {
        return Err(GgufError::NoMagic.into());
    }
    let Header { metadata, tensors } = Header::read(bytes)?;
    for (key, needed) in
        [("general.type", "adapter"), ("adapter.type", "lora"), ("general.architecture", model.family.architecture)]
    {
        match metadata.get(key) {
            Some(Value::Text(found)) if found == needed => {}
            other => {
                let found = other.map_or_else(|| "missing".to_owned(), |value| format!("{value:?}"));
                return Err(GgufError::Value { key: key.to_owned(), found, needed }.into());
            }
        }
    }
    let alpha = match metadata.get("adapter.lora.alpha") {
        Some(Value::Float(alpha)) => *alpha,
        other => {
            let (key, found) = ("adapter.lora.alpha".to_owned(), format!("{other:?}"));
            return Err(GgufError::Value { key, found, needed: "a number" }.into());
        }
    };
    let mut modules = Vec::new();
    for entry in tensors.iter().filter(|entry| entry.name.ends_with(".lora_a")) {
        let unknown = || GgufError::Tensor(entry.name.clone());
        let gguf = entry.name.strip_suffix(".weight.lora_a").ok_or_else(unknown)?;
        let name = model.module(gguf).ok_or_else(unknown)?;
        let b = format!("{gguf}.weight.lora_b");
        let b = tensors.iter().find(|entry| entry.name == b).ok_or(GgufError::Tensor(b))?;
        let stored = |entry: &super::header::Entry| Stored {
            name: entry.name.clone(),
            shape: entry.shape.clone(),
            format: entry.format.clone(),
            bytes: entry.bytes.clone(),
        };
        let (a, mut b) = (stored(entry), stored(b));
        let (&[rank, inputs], &[outputs, columns]) = (&a.shape[..], &b.shape[..]) else { return Err(unknown().into()) };
        if rank != columns {
            return Err(unknown().into());
        }
        if let Some(heads) = model.turned(gguf) {
            b.bytes = halves(&b, heads)?;
        }
        let values = |stored: &Stored| stored.to_f32().ok_or_else(|| GgufError::Tensor(stored.name.clone()));
        modules.push(GgufModule { name, shape: [rank, inputs, outputs], a: values(&a)?, b: values(&b)? });
    }
    Ok(GgufAdapter { alpha, modules })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"model_type":"llama","num_attention_heads":4,"num_key_value_heads":2}"#;

    fn module(name: &str, [rank, inputs, outputs]: [usize; 3]) -> GgufModule {
        let numbers = |count: usize| (0..count).map(|x| x as f32 - 3.0).collect();
        let name = format!("model.layers.1.{name}");
        GgufModule { name, shape: [rank, inputs, outputs], a: numbers(rank * inputs), b: numbers(outputs * rank) }
    }

    fn adapter() -> GgufAdapter {
        let modules = vec![
            module("self_attn.q_proj", [2, 3, 16]),
            module("self_attn.k_proj", [2, 3, 8]),
            module("self_attn.v_proj", [2, 3, 8]),
            module("mlp.down_proj", [2, 5, 3]),
        ];
        GgufAdapter { alpha: 16.0, modules }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for format in [Format::F32, Format::F16] {
            let bytes = Bytes::from(write_gguf_adapter(CONFIG, &adapter(), &format).expect("a Llama"));
            assert_eq!(read_gguf_adapter(&bytes, CONFIG).expect("a whole file"), adapter());
            for length in 0..bytes.len() - 32 {
                assert!(read_gguf_adapter(&bytes.slice(..length), CONFIG).is_err(), "{length} bytes");
            }
        }
    }

    /// The order is that of `permute` in llama.cpp's `convert_hf_to_gguf.py`: (H, 2, D/2) becomes (H, D/2, 2).
    #[test]
    fn rows_of_queries_and_keys_are_turned_as_those_of_the_model() {
        let bytes = Bytes::from(write_gguf_adapter(CONFIG, &adapter(), &Format::F32).expect("a Llama"));
        let header = Header::read(&bytes).expect("a whole file");
        let rows = |name: &str| {
            let entry = header.tensors.iter().find(|entry| entry.name == name).expect("it was written");
            let values = SharedSlice::<f32>::from_le_bytes(entry.bytes.clone());
            values.chunks(2).map(|row| (row[0] + 3.0) as usize / 2).collect::<Vec<_>>()
        };
        assert_eq!(rows("blk.1.attn_q.weight.lora_b"), [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15]);
        assert_eq!(rows("blk.1.attn_k.weight.lora_b"), [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(rows("blk.1.attn_v.weight.lora_b"), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(rows("blk.1.ffn_down.weight.lora_b"), [0, 1, 2]);
        let qwen = CONFIG.replace("llama", "qwen2");
        let bytes = Bytes::from(write_gguf_adapter(&qwen, &adapter(), &Format::F32).expect("a Qwen"));
        assert_eq!(read_gguf_adapter(&bytes, &qwen).expect("a whole file"), adapter());
        assert!(
            read_gguf_adapter(&bytes, CONFIG).is_err_and(|error| error.to_string().contains("general.architecture"))
        );
    }

    #[test]
    fn what_llama_cpp_cannot_run_is_refused() {
        let refusal = |config: &str, adapter: &GgufAdapter, format: &Format| {
            write_gguf_adapter(config, adapter, format).map(drop).expect_err("refused").to_string()
        };
        let bert = refusal(r#"{"model_type":"bert"}"#, &adapter(), &Format::F32);
        assert!(bert.contains("\"bert\""), "{bert}");
        let mut other = adapter();
        other.modules[0].name = "model.layers.1.self_attn.qkv_proj".to_owned();
        assert!(refusal(CONFIG, &other, &Format::F32).contains("`model.layers.1.self_attn.qkv_proj`"));
        let heads = CONFIG.replace(":4,", ":5,");
        assert!(refusal(&heads, &adapter(), &Format::F32).contains("no whole heads"));
        other = adapter();
        other.modules[2].b[0] = 1e6;
        assert!(refusal(CONFIG, &other, &Format::F16).contains("`blk.1.attn_v.weight.lora_b`"));
        assert!(refusal(CONFIG, &adapter(), &Format::Bf16).contains("BF16"));
    }

    #[test]
    fn gpt2s_products_have_the_names_of_llama_cpp() {
        let config = r#"{"model_type":"gpt2","n_head":2}"#;
        let mut gpt2 = adapter();
        for (module, name) in gpt2.modules.iter_mut().zip(["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]) {
            module.name = format!("transformer.h.1.{name}");
        }
        let bytes = Bytes::from(write_gguf_adapter(config, &gpt2, &Format::F32).expect("a GPT-2"));
        assert_eq!(read_gguf_adapter(&bytes, config).expect("a whole file"), gpt2);
    }
}
