//! The README.md beside a start: its description, and instructions for training it with PEFT.

use anyhow::Result;
use loralab_checkpoint::{Bytes, read_safetensors};
use loralab_core::lora::{
    init::{Scheme, Trains},
    peft::{Adapter, PeftFiles},
};

use crate::results::BASE;

/// The ways to make PEFT train what a run here trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// PEFT's default, on the unchanged base.
    Plain,
    /// PEFT's default, on the base beside the adapter.
    OwnBase,
    /// A alone, by MiCA in the configuration; a PEFT without MiCA needs [`FREEZE_B`].
    AOnly,
    /// With [`FREEZE`], which keeps the second half of every pair from training.
    FrozenHalf,
}

impl Form {
    /// The form in which a start of this scheme is written.
    pub fn of(scheme: &Scheme, adapter: &Adapter, has_base: bool) -> Form {
        match scheme.trains {
            _ if has_base => Form::OwnBase,
            Trains::AOnly => Form::AOnly,
            Trains::Both if adapter.modules.iter().any(|module| module.frozen.is_some()) => Form::FrozenHalf,
            Trains::Both => Form::Plain,
        }
    }
}

/// Lines of Python that keep the second half of every pair at its start, with any optimiser, weight decay and clipping.
pub const FREEZE: &str = "\
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

def freeze_half(p, dim):
    kept = p.detach().chunk(2, dim)[1].clone()
    p.register_hook(lambda g: torch.cat([g.chunk(2, dim)[0], torch.zeros_like(g.chunk(2, dim)[1])], dim))
    register_optimizer_step_post_hook(lambda *_: p.data.chunk(2, dim)[1].copy_(kept))

for name, p in model.named_parameters():
    if \"lora_\" in name:
        freeze_half(p, 1 if \"lora_B\" in name else 0)
";

/// Lines of Python that freeze B, for a PEFT without MiCA.
pub const FREEZE_B: &str = "\
for name, p in model.named_parameters():
    if \"lora_B\" in name:
        p.requires_grad_(False)
";

/// The text of the file.
///
/// # Errors
/// If the adapter's tensors are no safetensors.
pub fn text(form: Form, scheme: &Scheme, adapter: &Adapter, files: &PeftFiles) -> Result<String> {
    let base = &adapter.base;
    let training = match form {
        Form::Plain => format!("PEFT trains it on `{base}` as it is.\n"),
        Form::OwnBase => {
            format!("PEFT trains it as it is, on the base beside it, `{BASE}`: {base}. It belongs to no other.\n")
        }
        Form::AOnly => format!(
            "Only A is trained, on `{base}`; B stays at its start. `adapter_config.json` says so by `\"init_lora_weights\": \"mica\"`, which PEFT 0.20 and \
             later understand. For an earlier one, write `true` there, and run this before training:\n\n```python\n{FREEZE_B}```\n"
        ),
        Form::FrozenHalf => format!(
            "It is for `{base}`. It begins there because the second half of every pair takes the first half's product out again, so **that half must not be \
             trained**. PEFT by itself trains both, which is another method with other losses. Load the adapter with `is_trainable=True` and run this before training:\n\n\
             ```python\n{FREEZE}```\n\nThe start as a plain adapter of half the rank, on a base of its own, is written by `loralab init {} --residual-base`.\n\n\
             These are not to be trained:\n\n{}",
            scheme.name,
            frozen(files)?
        ),
    };
    let whole = adapter.quantised_base.as_ref().filter(|own| own.whole);
    let bits = whole.map_or_else(String::new, |own| {
        format!(
            "\nIt was computed for a base whose linear maps are quantised to {}: quantise the model's, too, as bitsandbytes does.\n",
            own.quantiser
        )
    });
    let title = format!("{}, rank {}, before its first step", scheme.name, adapter.rank);
    let source = format!("{}. {}.", scheme.about, scheme.source);
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "---\nlibrary_name: peft\ntags:\n- lora\n---\n\n# {title}\n\nWritten by loralab {version}: {source}\n\n\
         `loralab.load_start(model, folder)`, from loralab's wheel, loads it so that it trains as in loralab. Without the wheel:\n\n{training}{bits}"
    ))
}

/// Lists the frozen part of each tensor, one per line.
fn frozen(files: &PeftFiles) -> Result<String> {
    let checkpoint = read_safetensors(&Bytes::copy_from_slice(&files.safetensors))?;
    let factors = checkpoint.tensors.iter().filter(|tensor| tensor.name.contains(".lora_"));
    let mut lines: Vec<String> = factors
        .map(|tensor| {
            let name = &tensor.name;
            let (what, rank) = match &*tensor.shape {
                [_, rank] if name.contains("lora_B") => ("columns", *rank),
                shape => ("rows", shape.first().copied().unwrap_or(0)),
            };
            format!("- `{name}`: {what} {} to {} of {rank}\n", rank / 2, rank.saturating_sub(1))
        })
        .collect();
    lines.sort_unstable();
    Ok(lines.concat())
}
