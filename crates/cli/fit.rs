//! Sentences about memory: the bytes of a run by term, the largest sizes that fit, and the bytes that each flag would save.

use loralab_core::lab::{Fit, Prepared, Saving, Sweep, SweepError};
use loralab_experiment::{Bytes, Resolved};

use crate::{dry_run::counted, failure::usage, prepare::refused};

/// The error for cohorts that are refused; if they do not fit in memory, with what takes it and what would fit.
pub fn refused_cohorts(
    error: SweepError,
    prepared: &Prepared,
    sweep: &Sweep<'_>,
    experiment: &Resolved,
) -> anyhow::Error {
    if !matches!(error, SweepError::Memory(_) | SweepError::StartMemory { .. }) {
        return refused(error, experiment);
    }
    match sweep.fit(&|plan| prepared.needs(plan), prepared.available) {
        Ok(fit) => usage(format_args!("{error}\n{}\n{}", table(&fit), in_words(&fit))),
        Err(_) => refused(error, experiment),
    }
}

/// The bytes of one run in the phase that takes the most, one term a line.
fn table(fit: &Fit) -> String {
    let mut terms: Vec<_> = fit.phase.needs.terms.iter().filter(|cost| cost.of(1) > 0).collect();
    terms.sort_by_key(|cost| std::cmp::Reverse(cost.of(1)));
    let size = |bytes: u64| Bytes(bytes).to_string();
    let lines = terms.iter().map(|cost| format!("{:>12}  {}\n", size(cost.of(1)), cost.what));
    let lines: String = lines.collect();
    format!("One run of {}, {}:\n{lines}{:>12}  together", fit.scheme, fit.phase.name, size(fit.phase.of(1)))
}

/// Sentences on the sizes that fit, and on what each flag saves.
pub fn in_words(fit: &Fit) -> String {
    let Fit { runs, batch_size, tokens, savings, .. } = fit;
    let sizes = match (runs, batch_size, tokens) {
        (0, 0, 0) => "neither one run, nor one of a batch of 1, nor one of sequences of 1 token".to_owned(),
        (0, 0, _) => format!("not one run, but one with `tokens` = {tokens}"),
        (0, _, 0) => format!("not one run, but one with `batch_size` = {batch_size}"),
        (0, ..) => format!("not one run, but one with `batch_size` = {batch_size}, or with `tokens` = {tokens}"),
        _ => format!(
            "{} at once, or one with `batch_size` = {batch_size}, or with `tokens` = {tokens}",
            counted(*runs, "run")
        ),
    };
    let saving = |saving: &Saving| format!("{} {}", saving.flags, Bytes(saving.bytes));
    let savings = match savings.is_empty() {
        true => "No flag would save memory.".to_owned(),
        false => format!("A run takes less with: {}.", savings.iter().map(saving).collect::<Vec<_>>().join("; ")),
    };
    format!("Into {} fit {sizes}. {savings}", Bytes(fit.available))
}
