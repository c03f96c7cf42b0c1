//! A summary for people: a sentence and a table.

use crate::number::{decimals, learning_rate_text, loss_text};
use crate::summary::{RateSummary, SchemeSummary, Summary};

impl Summary {
    /// What was found, in plain words; also what was *not* found: a difference within the spread over seeds is called
    /// that, and so is a best rate at the edge of the grid.
    ///
    /// A loss is written `mean ± half the spread over seeds`.
    pub fn sentence(&self) -> String {
        let mut ranked: Vec<_> = self.schemes.iter().filter_map(|scheme| Some((scheme, scheme.best()?))).collect();
        ranked.sort_by(|(_, a), (_, b)| {
            a.mean_loss.unwrap_or(f64::INFINITY).total_cmp(&b.mean_loss.unwrap_or(f64::INFINITY))
        });
        let mut sentences: Vec<String> = Vec::new();
        if !ranked.is_empty() {
            let bests: Vec<_> = ranked
                .iter()
                .enumerate()
                .map(|(place, (scheme, best))| self.best_in_words(scheme, best, place == 0))
                .collect();
            let rates = match ranked[..] {
                [(first, at_first), (second, at_second)] => rates_in_words(first, at_first, second, at_second),
                _ => String::new(),
            };
            sentences.push(format!("{}{rates}.", bests.join(", ")));
        }
        if let [(first, at_first), (second, at_second), ..] = ranked[..] {
            sentences.push(difference_in_words(first, at_first, second, at_second));
            if ranked.len() == 2 {
                sentences.extend(crossing_in_words(first, second));
            }
        }
        sentences.extend(ranked.iter().filter_map(|(scheme, best)| edge_in_words(scheme, best)));
        for scheme in self.schemes.iter().filter(|scheme| scheme.best().is_none()) {
            sentences.push(format!("{} diverged at every learning rate.", scheme.scheme));
        }
        if sentences.is_empty() {
            sentences.push("No run has come to its end.".to_owned());
        }
        sentences.join(" ")
    }

    fn best_in_words(&self, scheme: &SchemeSummary, best: &RateSummary, first: bool) -> String {
        let loss = with_spread(best);
        let accuracy = best.mean_accuracy.map(|share| format!("{share:.2}"));
        let rate = learning_rate_text(best.learning_rate);
        if first {
            let measure = self.setting.accuracy.words();
            let accuracy = accuracy.map_or_else(String::new, |share| format!(", {measure} {share}"));
            format!("{} is best at {rate} (loss {loss}{accuracy})", scheme.scheme)
        } else {
            let accuracy = accuracy.map_or_else(String::new, |share| format!(", {share}"));
            format!("{} at {rate} ({loss}{accuracy})", scheme.scheme)
        }
    }

    /// A table of the schemes with aligned columns, and the base below it. Ends in a line break.
    pub fn table(&self) -> String {
        let header =
            ["scheme", "best rate", "loss", "spread", self.setting.accuracy.words(), "stable to", "runs", "diverged"];
        let mut rows = vec![header.map(str::to_owned)];
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        for scheme in &self.schemes {
            rows.push([
                scheme.scheme.clone(),
                text(scheme.best_learning_rate.map(learning_rate_text)),
                text(scheme.best_loss.map(loss_text)),
                text(scheme.best_loss.zip(scheme.best_loss_spread).map(|(loss, spread)| beside(loss, spread))),
                text(scheme.best_accuracy.map(|share| format!("{share:.3}"))),
                text(scheme.largest_stable_learning_rate.map(learning_rate_text)),
                scheme.runs.to_string(),
                scheme.diverged().to_string(),
            ]);
        }
        let base = &self.setting;
        rows.push([
            "(base)".to_owned(),
            "-".to_owned(),
            text(base.base_loss.map(loss_text)),
            "-".to_owned(),
            text(base.base_accuracy.map(|share| format!("{share:.3}"))),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
        ]);
        let widths: Vec<_> = (0..header.len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut table = String::new();
        for (place, row) in rows.iter().enumerate() {
            let cells: Vec<_> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(
                    |(column, (cell, &width))| {
                        if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                    },
                )
                .collect();
            table.push_str(cells.join("  ").trim_end());
            table.push('\n');
            if place == 0 {
                let rules: Vec<_> = widths.iter().map(|&width| "─".repeat(width)).collect();
                table.push_str(&rules.join("  "));
                table.push('\n');
            }
        }
        table
    }
}

/// `0.084 ± 0.003`; the mean alone where no spread is known.
fn with_spread(rate: &RateSummary) -> String {
    let mean = rate.mean_loss.unwrap_or(f64::NAN);
    match rate.loss_spread {
        Some(spread) => format!("{} ± {}", loss_text(mean), beside(mean, spread / 2.0)),
        None => loss_text(mean),
    }
}

/// A spread with the decimals of the mean it belongs to.
fn beside(mean: f64, spread: f64) -> String {
    if loss_text(mean).contains('e') {
        return format!("{spread:.1e}");
    }
    format!("{spread:.0$}", decimals(mean))
}

fn rates_in_words(
    first: &SchemeSummary,
    at_first: &RateSummary,
    second: &SchemeSummary,
    at_second: &RateSummary,
) -> String {
    let ratio = at_first.learning_rate / at_second.learning_rate;
    let (more, ratio, less) = match ratio {
        1.0 => return ": both want the same learning rate".to_owned(),
        ratio if ratio > 1.0 => (first, ratio, second),
        ratio => (second, 1.0 / ratio, first),
    };
    let rounded = (ratio * 10.0).round() / 10.0;
    format!(": {} wants {rounded} times the learning rate of {}", more.scheme, less.scheme)
}

/// Whether the two best schemes differ by more than their seeds do: the ranges around their means do not meet.
fn difference_in_words(
    first: &SchemeSummary,
    at_first: &RateSummary,
    second: &SchemeSummary,
    at_second: &RateSummary,
) -> String {
    let (first, second) = (&first.scheme, &second.scheme);
    let (Some(spread), Some(other)) = (at_first.loss_spread, at_second.loss_spread) else {
        return format!(
            "With one seed each, nothing tells whether the difference between {first} and {second} is more than chance: \
             use more seeds."
        );
    };
    let difference = at_second.mean_loss.unwrap_or(f64::NAN) - at_first.mean_loss.unwrap_or(f64::NAN);
    if difference > (spread + other) / 2.0 {
        format!("The difference between {first} and {second}, each at its best, is larger than the spread over seeds.")
    } else {
        format!(
            "The difference between {first} and {second}, each at its best, is within the spread over seeds: this sweep \
             does not tell them apart."
        )
    }
}

/// Whether the scheme that ends second leads at the smallest rates both tried, and up to which.
fn crossing_in_words(first: &SchemeSummary, second: &SchemeSummary) -> Option<String> {
    let loss_of_first =
        |rate: f64| first.learning_rates.iter().find(|row| row.learning_rate == rate).and_then(|row| row.mean_loss);
    let led = second
        .learning_rates
        .iter()
        .filter_map(|row| Some((row.learning_rate, row.mean_loss?, loss_of_first(row.learning_rate)?)))
        .take_while(|(_, second, first)| second < first)
        .last()?;
    Some(format!("At small learning rates, up to {}, {} leads.", learning_rate_text(led.0), second.scheme))
}

fn edge_in_words(scheme: &SchemeSummary, best: &RateSummary) -> Option<String> {
    let rates = &scheme.learning_rates;
    let edge = match rates.iter().position(|rate| rate == best)? {
        _ if rates.len() < 2 => return None,
        0 => "smallest",
        last if last + 1 == rates.len() => "largest",
        _ => return None,
    };
    Some(format!("{}'s best is the {edge} learning rate tried, so its optimum may lie beyond.", scheme.scheme))
}

#[cfg(test)]
mod tests {
    use crate::summary::Summary;
    use crate::summary::tests::{run, setting};

    /// Runs of one scheme at 1e-3 · 2ᵏ, two seeds that differ by `spread`.
    fn runs(scheme: &str, losses: &[f64], spread: f64) -> Vec<crate::RunResult> {
        let mut runs = Vec::new();
        for (k, loss) in losses.iter().enumerate() {
            let rate = 1e-3 * f64::from(1 << k);
            runs.push(run(scheme, rate, 0, loss - spread / 2.0));
            runs.push(run(scheme, rate, 1, loss + spread / 2.0));
        }
        runs
    }

    const A: [f64; 7] = [0.347, 0.187, 0.110, 0.084, 0.111, 2.07, 2.80];
    const B: [f64; 7] = [0.237, 0.143, 0.106, 0.183, 1.23, 1.98, 2.41];

    fn sentence(runs: &[crate::RunResult]) -> String {
        Summary::from_runs(setting(), runs).sentence()
    }

    #[test]
    fn the_headline_in_words() {
        let runs = [runs("init-a", &A, 0.006), runs("init-b", &B, 0.008)].concat();
        assert_eq!(
            sentence(&runs),
            "init-a is best at 8e-3 (loss 0.084 ± 0.003, exact match 0.92), init-b at 4e-3 (0.106 ± 0.004, 0.89): init-a \
             wants 2 times the learning rate of init-b. The difference between init-a and init-b, each at its best, is \
             larger than the spread over seeds. At small learning rates, up to 4e-3, init-b leads."
        );
    }

    #[test]
    fn a_difference_within_the_seeds_is_called_that() {
        let runs = [runs("init-a", &A, 0.03), runs("init-b", &B, 0.03)].concat();
        assert!(sentence(&runs).contains("within the spread over seeds: this sweep does not tell them apart."));
    }

    #[test]
    fn few_seeds_edges_and_divergence_are_said() {
        let one = [run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("y", 1e-3, 0, 0.7), run("y", 2e-3, 0, 0.8)];
        assert_eq!(
            sentence(&one),
            "x is best at 2e-3 (loss 0.400, exact match 0.60), y at 1e-3 (0.700, 0.30): x wants 2 times the learning rate \
             of y. With one seed each, nothing tells whether the difference between x and y is more than chance: use more \
             seeds. x's best is the largest learning rate tried, so its optimum may lie beyond. y's best is the smallest \
             learning rate tried, so its optimum may lie beyond."
        );
        let same = [run("x", 1e-3, 0, 0.5), run("y", 1e-3, 0, 0.7), run("z", 1e-3, 0, f64::NAN)];
        let same = sentence(&same);
        assert!(same.contains("both want the same learning rate."), "{same}");
        assert!(same.ends_with("z diverged at every learning rate."), "{same}");
        assert_eq!(sentence(&[]), "No run has come to its end.");
        assert_eq!(sentence(&[run("x", 1e-3, 0, 0.5)]), "x is best at 1e-3 (loss 0.500, exact match 0.50).");
    }

    #[test]
    fn three_schemes_are_ranked() {
        let runs = [runs("a", &B, 0.002), runs("b", &A, 0.002), runs("c", &[0.5, 0.4, 0.6], 0.002)].concat();
        assert_eq!(
            sentence(&runs),
            "b is best at 8e-3 (loss 0.084 ± 0.001, exact match 0.92), a at 4e-3 (0.106 ± 0.001, 0.89), c at 2e-3 (0.400 ± \
             0.001, 0.60). The difference between b and a, each at its best, is larger than the spread over seeds."
        );
    }

    #[test]
    fn the_table_is_aligned() {
        let mut runs = [runs("init-a", &A, 0.006), runs("init-b-kaiming", &B, 0.008)].concat();
        runs.push(run("x", 1e-3, 0, f64::NAN));
        assert_eq!(
            Summary::from_runs(setting(), &runs).table(),
            "\
scheme          best rate   loss  spread  exact match  stable to  runs  diverged
──────────────  ─────────  ─────  ──────  ───────────  ─────────  ────  ────────
init-a               8e-3  0.084   0.006        0.916     1.6e-2    14         0
init-b-kaiming       4e-3  0.106   0.008        0.894       8e-3    14         0
x                       -      -       -            -          -     1         1
(base)                  -   3.00       -        0.000          -     -         -
"
        );
    }
}
