//! A sweep in tables.

use loralab_experiment::{SchemeSummary, Summary, learning_rate_text, loss_text};

/// A table of texts; the first cell of a row names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Names of its columns.
    pub head: Vec<String>,
    /// Its rows, each as long as `head`.
    pub rows: Vec<Vec<String>>,
}

/// The loss of every scheme at every learning rate, `step` of `steps` steps done.
pub fn of_losses(summary: &Summary, step: usize, steps: usize) -> Table {
    let rows = summary.schemes.iter().flat_map(|scheme| &scheme.learning_rates);
    let mut rates: Vec<f64> = rows.map(|row| row.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let head = summary.schemes.iter().map(|scheme| scheme.scheme.clone());
    let row = |rate: f64| {
        let losses = summary.schemes.iter().map(move |scheme| loss(scheme, rate));
        [learning_rate_text(rate)].into_iter().chain(losses).collect()
    };
    Table {
        caption: format!("Validation loss after {step} of {steps} steps, nats per token"),
        head: ["learning rate".to_owned()].into_iter().chain(head).collect(),
        rows: rates.into_iter().map(row).collect(),
    }
}

/// Each scheme at its best learning rate, and the base.
pub fn of_schemes(summary: &Summary) -> Table {
    let setting = &summary.setting;
    let head = ["start", "best rate", "loss", "spread", setting.accuracy.words(), "stable to", "diverged"];
    let scheme = |scheme: &SchemeSummary| {
        vec![
            scheme.scheme.clone(),
            known(scheme.best_learning_rate, learning_rate_text),
            known(scheme.best_loss, loss_text),
            known(scheme.best_loss_spread, loss_text),
            known(scheme.best_accuracy, percent),
            known(scheme.largest_stable_learning_rate, learning_rate_text),
            format!("{} of {}", scheme.diverged(), scheme.runs),
        ]
    };
    let none = || known(None, loss_text);
    let base = vec![
        "the base alone".to_owned(),
        none(),
        known(setting.base_loss, loss_text),
        none(),
        known(setting.base_accuracy, percent),
        none(),
        none(),
    ];
    Table {
        caption: "Each start at its best rate".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: summary.schemes.iter().map(scheme).chain([base]).collect(),
    }
}

fn loss(scheme: &SchemeSummary, rate: f64) -> String {
    let Some(row) = scheme.learning_rates.iter().find(|row| row.learning_rate == rate) else { return String::new() };
    match row.diverged {
        0 if scheme.best_learning_rate == Some(rate) => format!("best {}", known(row.mean_loss, loss_text)),
        0 => known(row.mean_loss, loss_text),
        _ if row.losses.len() == 1 => "diverged".to_owned(),
        diverged => format!("{diverged} of {} diverged", row.losses.len()),
    }
}

fn known(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use loralab_experiment::{Accuracy, Cell, Diverged, RunResult, Setting};

    use super::*;

    fn summary(runs: &[(&str, f64, u64, Option<f64>)]) -> Summary {
        let setting = Setting {
            device: "cpu".to_owned(),
            wall_seconds: 1.0,
            base_loss: Some(2.25),
            base_accuracy: Some(0.0),
            accuracy: Accuracy::ExactMatch,
        };
        let run = |&(scheme, learning_rate, seed, final_loss): &(&str, f64, u64, Option<f64>)| RunResult {
            cell: Cell { scheme: scheme.to_owned(), learning_rate, seed },
            final_loss,
            accuracy: final_loss.map(|loss| 1.0 - loss),
            diverged: final_loss.is_none().then(|| Diverged { step: 1, tensor: "logits".to_owned() }),
            evaluations: vec![],
            seconds: 1.0,
        };
        Summary::from_runs(setting, &runs.iter().map(run).collect::<Vec<_>>())
    }

    #[test]
    fn tables_by_hand() {
        let summary = summary(&[
            ("init-a", 1e-3, 0, Some(0.5)),
            ("init-a", 2e-3, 0, Some(0.25)),
            ("init-b", 2e-3, 0, None),
            ("init-b", 1e-3, 0, Some(0.125)),
        ]);
        let table = of_losses(&summary, 20, 200);
        assert_eq!(table.caption, "Validation loss after 20 of 200 steps, nats per token");
        assert_eq!(table.head, ["learning rate", "init-a", "init-b"]);
        assert_eq!(table.rows, [["1e-3", "0.500", "best 0.125"], ["2e-3", "best 0.250", "diverged"]]);
        let rows = of_schemes(&summary).rows;
        assert_eq!(rows[0], ["init-a", "2e-3", "0.250", "–", "75 %", "2e-3", "0 of 2"]);
        assert_eq!(rows[1], ["init-b", "1e-3", "0.125", "–", "88 %", "1e-3", "1 of 2"]);
        assert_eq!(rows[2], ["the base alone", "–", "2.25", "–", "0 %", "–", "–"]);
    }

    #[test]
    fn of_many_seeds_it_is_said_how_many_diverged() {
        let table = of_losses(&summary(&[("init-a", 1e-3, 0, Some(0.5)), ("init-a", 1e-3, 1, None)]), 1, 2);
        assert_eq!(table.rows, [["1e-3", "1 of 2 diverged"]]);
    }
}
