//! `--dry-run`: what a sweep would train, and the arithmetic of its memory.

use anyhow::Result;
use loralab_core::lab::{Room, Sweep};
use loralab_experiment::{Bytes, Cell, Resolved};

use crate::{sweep::Prepared, terminal::print};

/// Prints the grid, the cohorts and their memory term by term.
pub fn print_costs(experiment: &Resolved, prepared: &Prepared, sweep: &Sweep<'_>, cohorts: &[Vec<Cell>]) -> Result<()> {
    let (schemes, rates, seeds) = (experiment.schemes.len(), experiment.learning_rates.len(), experiment.seeds.len());
    print(format_args!(
        "{} of {} steps: {} × {} × {}, in {}",
        counted(schemes * rates * seeds, "run"),
        experiment.steps,
        counted(schemes, "scheme"),
        counted(rates, "learning rate"),
        counted(seeds, "seed"),
        counted(cohorts.len(), "cohort"),
    ))?;
    let mut first = 1;
    let shape = |cells: &Vec<Cell>| (cells.len(), Room::of(experiment, cells));
    for alike in cohorts.chunk_by(|one, other| shape(one) == shape(other)) {
        let (runs, room) = shape(&alike[0]);
        let last = first + alike.len() - 1;
        let which = if first == last { format!("Cohort {first}") } else { format!("Cohorts {first} to {last}, each") };
        print(format_args!("\n{which} of {}:", counted(runs, "run")))?;
        first = last + 1;
        let mut total = 0;
        for (plan, whose) in sweep.plans(runs, room.whole()).iter().zip(["", "looks: "]) {
            for cost in prepared.needs(plan).terms {
                let bytes = cost.per_run * runs as u64 + cost.shared;
                total += bytes;
                let how = match cost.shared {
                    0 => format!("{} bytes × {}", cost.per_run, counted(runs, "run")),
                    _ => "once".to_owned(),
                };
                print(format_args!("{bytes:>16} bytes  {whose}{}; {how}", cost.what))?;
            }
        }
        print(format_args!("{total:>16} bytes  together: {} of {}", Bytes(total), Bytes(prepared.available)))?;
    }
    print("\nNothing was trained or written.")?;
    Ok(())
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
