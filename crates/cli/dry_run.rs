//! `--dry-run`: prints the runs that a sweep would train, and the sum of its memory.

use anyhow::Result;
use loralab_core::lab::{PlanNeeds, Prepared, Sweep};
use loralab_experiment::{Bytes, Cell, Resolved};

use crate::{examples, fit, outlook, terminal::print};

/// Examples that are shown.
const EXAMPLES: usize = 5;

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
    outlook::cautions(experiment, &prepared.base).iter().try_for_each(print)?;
    print(format_args!("{}.", outlook::trained(experiment, &prepared.base)))?;
    print(outlook::data(experiment, &prepared.data))?;
    print(format_args!("\n{}\n", examples::in_words(experiment, &prepared.data, &prepared.tokenizer, EXAMPLES)?))?;
    print(outlook::time(experiment, prepared, sweep, cohorts)?)?;
    let mut first = 1;
    let shape = |cells: &Vec<Cell>| {
        let mut schemes: Vec<&str> = cells.iter().map(|cell| cell.scheme.as_str()).collect();
        schemes.dedup();
        (cells.len(), PlanNeeds::of(experiment, cells), schemes.join(","))
    };
    let mut largest = 0;
    for alike in cohorts.chunk_by(|one, other| shape(one) == shape(other)) {
        let runs = alike[0].len();
        let last = first + alike.len() - 1;
        let which = if first == last { format!("Cohort {first}") } else { format!("Cohorts {first} to {last}, each") };
        first = last + 1;
        for phase in sweep.phases(&alike[0], &|plan| prepared.needs(plan))? {
            print(format_args!("\n{which} of {}, {}:", counted(runs, "run"), phase.name))?;
            for cost in phase.needs.terms.iter().filter(|cost| cost.of(runs) > 0) {
                let how = match cost.shared {
                    0 => format!("{} bytes × {}", cost.per_run, counted(runs, "run")),
                    _ => "once".to_owned(),
                };
                print(format_args!("{:>16} bytes  {}; {how}", cost.of(runs), cost.what))?;
            }
            let total = phase.of(runs);
            print(format_args!("{total:>16} bytes  together: {}", Bytes(total)))?;
            largest = largest.max(total);
        }
    }
    print(format_args!(
        "\nAt most {} at once, of {} that may be used, beside the program itself.",
        Bytes(largest),
        Bytes(prepared.available)
    ))?;
    let fit = sweep.fit(&|plan| prepared.needs(plan), prepared.available)?;
    print(fit::in_words(&fit))?;
    print("\nNothing was trained or written.")?;
    Ok(())
}

/// A number with its noun, in the plural unless it is 1.
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
