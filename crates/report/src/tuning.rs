//! The page of a tuning.

use loralab_experiment::Tuned;

use crate::{Report, seconds};

/// The report on a tuning, from that on its comparison.
pub fn of_tuning(tuned: &Tuned, mut comparison: Report) -> Report {
    comparison.title = "A tuning of a LoRA adapter".to_owned();
    comparison.found = format!("{} {}", tuned.sentence(), tuned.compared);
    let of_all = [
        ("budget", tuned.budget.to_string()),
        ("steps compared", tuned.compared_steps.to_string()),
        ("steps of the adapter's run", tuned.steps.to_string()),
        ("steps of all runs", tuned.run_steps.to_string()),
        ("wall time of all", seconds(tuned.seconds)),
    ];
    comparison.facts.splice(0..0, of_all.map(|(name, value)| (name.to_owned(), value)));
    comparison
}
