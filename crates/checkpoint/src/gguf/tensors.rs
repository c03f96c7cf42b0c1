//! The tensors of a GGUF file under their Hugging Face names, as `convert_hf_to_gguf.py` found them.

use bytes::Bytes;

use super::{Architecture, GgufError, config::Settings, header::Entry};
use crate::{Format, SharedSlice, Stored};

/// The tensors outside the layers: GGUF's name, and Hugging Face's.
const OUTSIDE: [(&str, &str); 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// The modules of a layer: GGUF's name, and Hugging Face's.
pub const INSIDE: [(&str, &str); 12] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

/// A tensor under its Hugging Face name; none if the checkpoint does not store it.
///
/// # Errors
/// If the architecture has no such tensor, or it does not fit the metadata.
pub fn stored(entry: &Entry, settings: &Settings) -> Result<Option<Stored>, GgufError> {
    // The rotary factors follow from the config.
    if entry.name == "rope_freqs.weight" {
        return Ok(None);
    }
    let (module, kind) = entry.name.rsplit_once('.').ok_or_else(|| GgufError::Tensor(entry.name.clone()))?;
    let name = hugging_face(module, settings.architecture).filter(|_| matches!(kind, "weight" | "bias"));
    let name = format!("{}.{kind}", name.ok_or_else(|| GgufError::Tensor(entry.name.clone()))?);
    let Entry { shape, format, bytes, .. } = entry.clone();
    let mut stored = Stored { name, shape, format, bytes };
    if settings.architecture == Architecture::Llama {
        let heads = match module.rsplit_once('.') {
            Some((_, "attn_q")) => Some(settings.heads()?),
            Some((_, "attn_k")) => Some(settings.kv_heads()?),
            _ => None,
        };
        if let Some(heads) = heads {
            stored.bytes = halves(&stored, heads)?;
        }
    }
    if settings.architecture.is_gemma() && module.ends_with("_norm") {
        let gain = stored.to_f32().ok_or_else(|| GgufError::Tensor(entry.name.clone()))?;
        stored = Stored::of_f32(stored.name, stored.shape, &gain.iter().map(|x| x - 1.0).collect::<Vec<_>>());
    }
    Ok(Some(stored))
}

/// The Hugging Face name of a module.
fn hugging_face(module: &str, architecture: Architecture) -> Option<String> {
    if let Some((_, name)) = OUTSIDE.iter().find(|(gguf, _)| *gguf == module) {
        return Some((*name).to_owned());
    }
    let (layer, part) = module.strip_prefix("blk.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let name = match part {
        "ffn_norm" if architecture.is_gemma() => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        _ => INSIDE.iter().find(|(gguf, _)| *gguf == part)?.1,
    };
    Some(format!("model.layers.{layer}.{name}"))
}

/// The rows of queries or keys as Hugging Face orders them: llama.cpp's converter (`permute`) puts the two rows of a rotated pair side by side, while there the
/// second ones are half a head away.
///
/// # Errors
/// If the rows are no whole heads.
pub fn halves(stored: &Stored, heads: u64) -> Result<Bytes, GgufError> {
    // From the place of a row in a head: first or second half, then the pair.
    turned(stored, heads, |half, row| 2 * (row % half) + row / half)
}

/// The rows as llama.cpp orders them, the inverse of [`halves`].
///
/// # Errors
/// If the rows are no whole heads.
pub fn pairs(stored: &Stored, heads: u64) -> Result<Bytes, GgufError> {
    turned(stored, heads, |half, row| row % 2 * half + row / 2)
}

/// The rows of each head in another order: `from` returns the row to take, of half the rows of a head and a row.
fn turned(stored: &Stored, heads: u64, from: impl Fn(usize, usize) -> usize) -> Result<Bytes, GgufError> {
    let rows = stored.shape[0];
    let half = usize::try_from(heads).ok().and_then(|heads| rows.checked_div(2 * heads));
    let half =
        half.filter(|half| *half > 0 && rows == 2 * half * heads as usize && stored.bytes.len().is_multiple_of(rows));
    let Some(half) = half else {
        let shape = stored.shape.iter().rev().map(|&size| size as u64).collect();
        return Err(GgufError::Shape { name: stored.name.clone(), shape, why: "whose rows are no whole heads" });
    };
    let size = stored.bytes.len() / rows;
    let mut bytes = Vec::with_capacity(stored.bytes.len());
    for row in 0..rows {
        let head = row / (2 * half) * 2 * half;
        let taken = (head + from(half, row - head)) * size;
        bytes.extend_from_slice(&stored.bytes[taken..taken + size]);
    }
    Ok(match stored.format {
        // Aligned, so that the elements are not copied again.
        Format::F32 => SharedSlice::<f32>::from_le_bytes(bytes.into()).to_le_bytes(),
        _ => bytes.into(),
    })
}
