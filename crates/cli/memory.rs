//! Available memory, and refusal of experiments that cannot fit in it.

use std::path::Path;

use loralab_checkpoint::{Checkpoint, Format, Stored};
use loralab_core::{
    lab::{self, columns},
    models::Base,
};
use loralab_data::Split;
use loralab_experiment::{Bytes, Resolved};

use crate::failure::usage;

/// Bytes assumed to be free on systems that do not report them.
const ASSUMED: u64 = 2 << 30;

/// Bytes that may be used: `asked`, else half of the free memory, so that other programs keep the rest.
pub fn available(asked: Option<Bytes>) -> u64 {
    asked.map_or_else(|| free().map_or(ASSUMED, |free| free / 2), |Bytes(bytes)| bytes)
}

/// Bytes that Linux calls available: free, or freed on demand.
fn free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Refuses a file if `copies` of it exceed the free memory; reading it makes so many.
pub fn check_file(path: &Path, what: &str, copies: u64) -> anyhow::Result<()> {
    let (Ok(file), Some(free)) = (path.metadata(), free()) else { return Ok(()) };
    if file.len().saturating_mul(copies) > free {
        return Err(usage(format_args!(
            "the {what} `{}` has {}, and reading it takes {copies} times as much, but only {} of memory is free; give a smaller one",
            path.display(),
            Bytes(file.len()),
            Bytes(free)
        )));
    }
    Ok(())
}

/// Refuses a base whose quantised blocks, decoded to f32, exceed the free memory. Other weights stay where they are, in the mapped file.
pub fn check_decoded(checkpoint: &Checkpoint) -> anyhow::Result<()> {
    let decoded = |tensor: &Stored| match tensor.format {
        Format::Blocks(blocks) => 4 * (tensor.bytes.len() / blocks.bytes() * blocks.elements()) as u64,
        _ => 0,
    };
    let needed: u64 = checkpoint.tensors.iter().map(decoded).sum();
    match free() {
        Some(free) if needed > free => Err(usage(format_args!(
            "its quantised weights are decoded to 32-bit floats, which take {}, but only {} of memory is free; use a smaller model, or its safetensors, whose \
             weights stay as they are",
            Bytes(needed),
            Bytes(free)
        ))),
        _ => Ok(()),
    }
}

/// Refuses settings whose batch, position tables and adapters alone exceed memory, before anything of that size is
/// allocated. The device computes the exact need of a cohort later.
pub fn check(experiment: &Resolved, base: &Base, available: u64) -> anyhow::Result<()> {
    let Resolved { gradient_accumulation, batch_size, tokens, rank, .. } = *experiment;
    let adapters = lab::adapters(base, experiment);
    let linears = base.model.linears();
    let adapted = linears.iter().filter(|linear| adapters.target(&linear.name));
    let columns: usize = adapted.map(|linear| linear.inputs + linear.outputs).sum();
    refuse(
        &[
            (
                "a batch",
                "`batch_size`, `gradient_accumulation` or `tokens`",
                product(&[20, gradient_accumulation, batch_size, tokens]),
            ),
            ("the tables of positions", "`tokens`", product(&[12, tokens, base.model.position_columns()])),
            ("the adapters of one run", "`rank`", product(&[4, rank, columns])),
        ],
        available,
    )
}

/// Like [`check`], with the parts that depend on the data: the batches of a validation and the activations of at least one sequence.
pub fn check_data(experiment: &Resolved, base: &Base, data: &Split, available: u64) -> anyhow::Result<()> {
    let Resolved { gradient_accumulation, batch_size, tokens, validation_examples, .. } = *experiment;
    let batches = data.validation.sequences(tokens).min(validation_examples).div_ceil(batch_size);
    refuse(
        &[
            (
                "a batch",
                "`batch_size`, `gradient_accumulation` or `tokens`",
                product(&[20, gradient_accumulation, batch_size, tokens]),
            ),
            ("the tables of positions", "`tokens`", product(&[12, tokens, base.model.position_columns()])),
            (
                "the validation",
                "`validation_examples`, `batch_size` or `tokens`",
                product(&[20, batches, batch_size, tokens]),
            ),
            ("the activations of a sequence", "`tokens`", product(&[4, tokens, columns(base, experiment)])),
        ],
        available,
    )
}

fn product(factors: &[usize]) -> u128 {
    factors.iter().fold(1, |product: u128, &factor| product.saturating_mul(factor as u128))
}

/// Refuses terms whose sum exceeds `available`; each has a name, the setting to lower, and its bytes.
fn refuse(terms: &[(&str, &str, u128)], available: u64) -> anyhow::Result<()> {
    let bytes = |bytes: u128| Bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    let Some((what, setting, largest)) = terms.iter().max_by_key(|(.., bytes)| *bytes) else { return Ok(()) };
    let all = terms.iter().fold(0_u128, |sum, (.., bytes)| sum.saturating_add(*bytes));
    let (alone, all) = match (*largest > u128::from(available), all > u128::from(available)) {
        (true, _) => (bytes(*largest), String::new()),
        (false, true) => (bytes(*largest), format!(" of {} for the least that is needed", bytes(all))),
        (false, false) => return Ok(()),
    };
    Err(usage(format_args!(
        "{what} alone would take {alone}{all}, but only {} may be used. Lower {setting}, or raise `memory`.",
        Bytes(available)
    )))
}
