//! A lower bound on the memory that an experiment takes.

use loralab_data::Dataset;
use loralab_experiment::Resolved;

use super::translate::adapters;
use crate::models::Base;

/// A lower bound on the bytes that training takes on any device: the adapters of one run with their gradients, its batches, the tables of positions, and the
/// batches of a validation on `validation`. It uses the settings alone, so that an experiment that can't fit is refused before anything of that size is
/// allocated or, where a `usize` has 32 bits, overflows one.
pub fn least_bytes(base: &Base, experiment: &Resolved, validation: &Dataset) -> u64 {
    let Resolved { rank, batch_size, gradient_accumulation, tokens, validation_examples, .. } = *experiment;
    let adapters = adapters(base, experiment);
    let linears = base.model.linears();
    let sides: usize = linears
        .iter()
        .filter(|linear| adapters.target(&linear.name))
        .map(|linear| linear.inputs + linear.outputs)
        .sum();
    let examples = match validation {
        Dataset::Text(text) => text.len() / tokens,
        examples => examples.sequences(tokens),
    };
    let batches = gradient_accumulation as f64 + examples.min(validation_examples).div_ceil(batch_size) as f64;
    // Floating point, since no integer type holds every product: exact up to 2⁵³ bytes, and it saturates when cast to u64.
    let product = |factors: &[usize]| factors.iter().map(|&factor| factor as f64).product::<f64>();
    let adapters = product(&[8, sides, rank]);
    let rows = batches * product(&[20, batch_size, tokens]);
    (adapters + rows + product(&[4, tokens, base.model.position_columns()])) as u64
}
