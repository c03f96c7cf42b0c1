//! `--dry-run`: what a sweep would train, and the arithmetic of its memory.

use anyhow::Result;
use loralab_core::{init, lab::Sweep};
use loralab_experiment::{Bytes, Cell, Resolved};

use crate::{sweep::Prepared, terminal::print};

/// Prints the grid, the memory term by term, and the cohorts.
pub fn print_costs(experiment: &Resolved, prepared: &Prepared, sweep: &Sweep<'_>, cohorts: &[Vec<Cell>]) -> Result<()> {
    let Resolved { schemes, learning_rates, seeds, steps, .. } = experiment;
    let (schemes, rates, seeds) = (schemes.len(), learning_rates.len(), seeds.len());
    print(format_args!(
        "{} runs of {steps} steps: {schemes} schemes × {rates} learning rates × {seeds} seeds",
        schemes * rates * seeds
    ))?;
    print(format_args!("{} cohorts; {} may be used\n", cohorts.len(), Bytes(prepared.available)))?;
    for (index, cells) in cohorts.iter().enumerate() {
        let runs = cells.len() as u64;
        let frozen_pairs = cells.iter().any(|cell| init::find(&cell.scheme).is_ok_and(init::Scheme::has_frozen_pair));
        print(format_args!("cohort {} of {}: {runs} runs", index + 1, cohorts.len()))?;
        let mut total = 0;
        for cost in prepared.cost(&sweep.plan(cells.len(), frozen_pairs)) {
            let bytes = cost.per_run * runs + cost.shared;
            total += bytes;
            let how = match cost.shared {
                0 => format!("{runs} runs × {} bytes", cost.per_run),
                _ => "once".to_owned(),
            };
            print(format_args!("  {bytes:>15} bytes  {}, {how}", cost.what))?;
        }
        print(format_args!("  {total:>15} bytes  together: {} of {}\n", Bytes(total), Bytes(prepared.available)))?;
    }
    print("Nothing was trained or written.")?;
    Ok(())
}
