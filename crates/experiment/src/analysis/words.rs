//! A summary for people: a sentence and a table.

use loralab_statistics::{LEVEL, interval_of_mean};

use crate::analysis::optimum::{Comparison, FEWEST_EXAMPLES, Optimum};
use crate::analysis::summary::{Failure, RateSummary, SchemeSummary, Summary};
use crate::config::number::{decimals, factor_text, fixed_text, learning_rate_text, loss_text, rounded_rate_text};

/// Most schemes that a sentence names, where there are more than one more: a table tells of all.
const NAMED: usize = 4;

/// Where schemes are compared. Between the rates and beyond them, a loss may be lower.
const BEST: &str = "Each at its best rate tried";

impl Summary {
    /// What was found, in plain words; also what was *not* found: schemes that the seeds do not tell apart are called that, and
    /// so is a best rate at the edge of the grid.
    ///
    /// A loss is written `mean ± half its 95 % interval`.
    pub fn sentence(&self) -> String {
        let mut ranked: Vec<_> = self.schemes.iter().filter_map(|scheme| Some((scheme, scheme.best()?))).collect();
        ranked.sort_by(|(_, a), (_, b)| {
            a.mean_loss.unwrap_or(f64::INFINITY).total_cmp(&b.mean_loss.unwrap_or(f64::INFINITY))
        });
        let mut sentences: Vec<String> = Vec::new();
        if !ranked.is_empty() {
            let named = if ranked.len() > NAMED + 1 { NAMED } else { ranked.len() };
            let bests: Vec<_> = ranked[..named]
                .iter()
                .enumerate()
                .map(|(place, (scheme, best))| self.best_in_words(scheme, best, place == 0))
                .collect();
            sentences.push(format!("{}{}.", bests.join(", "), others_in_words(&ranked[named..])));
        }
        let one_rate = self.schemes.iter().all(|scheme| scheme.learning_rates.len() == 1);
        match &self.comparisons[..] {
            [] => {}
            pairs if one_rate => {
                sentences.push(
                    "One learning rate was tried, which says what it suits and not which start is better, each at its own."
                        .to_owned(),
                );
                sentences.extend(self.differences_in_words(pairs, "At this rate"));
            }
            [pair] => {
                sentences.push(self.rates_in_words(pair));
                sentences.push(self.difference_in_words(pair, BEST));
            }
            pairs => sentences.extend(self.differences_in_words(pairs, BEST)),
        }
        if let Some(examples) = self.setting.validation_examples
            && self.comparisons.iter().any(|pair| pair.loss_difference_interval.is_some())
        {
            sentences.push(format!("Intervals are over seeds, on the same {examples} validation examples."));
        }
        if let [(first, _), (second, _)] = ranked[..] {
            sentences.extend(self.lead_in_words(first, second));
        }
        sentences.extend(edges_in_words(&ranked));
        sentences.extend(self.worse_than_base(&ranked));
        for scheme in self.schemes.iter().filter(|scheme| scheme.best().is_none()) {
            sentences.push(format!("{} diverged at every learning rate.", scheme.scheme));
        }
        for Failure { scheme, reason, runs } in &self.failures {
            let runs = if *runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
            sentences.push(format!("{runs} of {scheme} could not start: {reason}."));
        }
        if sentences.is_empty() {
            sentences.push("No run has come to its end.".to_owned());
        }
        if let Some(planned) = self.planned {
            let ended = self.ended();
            sentences.push(format!("The sweep was stopped: {ended} of {planned} runs had ended, and this is theirs."));
        }
        let unwritten: Vec<&str> = self.unwritten.iter().map(String::as_str).collect();
        match &unwritten[..] {
            [] => {}
            [one] => sentences.push(format!("The adapter of {one} could not be written.")),
            _ => sentences.push(format!("The adapters of {} could not be written.", listed(&unwritten))),
        }
        sentences.join(" ")
    }

    /// Which schemes end above the loss that the base has by itself, whatever the rate.
    fn worse_than_base(&self, ranked: &[(&SchemeSummary, &RateSummary)]) -> Option<String> {
        let base = self.setting.base_loss?;
        let worse: Vec<&str> = ranked
            .iter()
            .filter(|(_, best)| best.mean_loss.is_some_and(|loss| loss > base))
            .map(|(scheme, _)| &*scheme.scheme)
            .collect();
        let (verb, loss) = (if worse.len() == 1 { "ends" } else { "end" }, loss_text(base));
        (!worse.is_empty()).then(|| {
            format!("{} {verb} above the loss of the base alone, {loss}, at every learning rate.", listed(&worse))
        })
    }

    fn best_in_words(&self, scheme: &SchemeSummary, best: &RateSummary, first: bool) -> String {
        let loss = with_interval(scheme, best);
        let accuracy = best.mean_accuracy.map(|share| fixed_text(share, 2));
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
        let header = [
            "scheme",
            "best rate",
            "optimum (95 %)",
            "plateau",
            "loss",
            "± 95 %",
            self.setting.accuracy.words(),
            "stable to",
            "runs",
            "diverged",
        ];
        let mut rows = vec![header.map(str::to_owned)];
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        for scheme in &self.schemes {
            rows.push([
                scheme.scheme.clone(),
                text(scheme.best_learning_rate.map(learning_rate_text)),
                text(scheme.optimum.as_ref().map(|optimum| {
                    let rate = rounded_rate_text(optimum.learning_rate);
                    let edge = optimum.at_edge.then(|| "at the edge".to_owned());
                    let beside = optimum.interval.map(|ends| rates_text(ends, optimum.open)).or(edge);
                    beside.map_or_else(|| rate.clone(), |beside| format!("{rate} ({beside})"))
                })),
                text(
                    scheme
                        .optimum
                        .as_ref()
                        .and_then(|optimum| optimum.plateau)
                        .map(|ends| rates_text(ends, [false; 2])),
                ),
                text(scheme.best_loss.map(loss_text)),
                text(scheme.best_loss.zip(half_interval(scheme)).map(|(loss, half)| beside(loss, half))),
                text(scheme.best_accuracy.map(|share| fixed_text(share, 3))),
                text(scheme.largest_stable_learning_rate.map(learning_rate_text)),
                scheme.runs.to_string(),
                scheme.diverged().to_string(),
            ]);
        }
        let base = &self.setting;
        rows.push([
            "(base)".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            text(base.base_loss.map(loss_text)),
            "-".to_owned(),
            text(base.base_accuracy.map(|share| fixed_text(share, 3))),
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

/// `0.084 ± 0.003`; the mean alone where no interval is known.
fn with_interval(scheme: &SchemeSummary, best: &RateSummary) -> String {
    let mean = best.mean_loss.unwrap_or(f64::NAN);
    match half_interval(scheme) {
        Some(half) => format!("{} ± {}", loss_text(mean), beside(mean, half)),
        None => loss_text(mean),
    }
}

/// What the last of those have that no sentence names, from the better to the worse.
fn others_in_words(others: &[(&SchemeSummary, &RateSummary)]) -> String {
    let [(_, first), .., (_, last)] = others else { return String::new() };
    let rates = others.iter().map(|(_, best)| best.learning_rate);
    let [low, high] = [rates.clone().fold(f64::INFINITY, f64::min), rates.fold(0.0, f64::max)].map(learning_rate_text);
    let at = if low == high { format!("at {low}") } else { format!("at {low} to {high}") };
    let [least, most] = [first, last].map(|best| loss_text(best.mean_loss.unwrap_or(f64::NAN)));
    format!(", {} others {at} ({least} to {most})", others.len())
}

/// Half the 95 % interval of the best loss: its distance to the upper end, since the lower one is cut off at 0.
fn half_interval(scheme: &SchemeSummary) -> Option<f64> {
    let [_, high] = scheme.optimum.as_ref()?.loss_interval?;
    Some(high - scheme.best_loss?)
}

/// `5.1e-3–9.0e-3`, `from 5.1e-3` or `up to 9.0e-3` where nothing bounds the other end.
fn rates_text(ends: [f64; 2], open: [bool; 2]) -> String {
    let [low, high] = ends.map(rounded_rate_text);
    match open {
        [false, false] => format!("{low}–{high}"),
        [false, true] => format!("from {low}"),
        [true, false] => format!("up to {high}"),
        [true, true] => "not bounded".to_owned(),
    }
}

/// A factor above 1 with enough digits to be told from 1.
fn above_one_text(factor: f64) -> String {
    let digits = (2..6).map(|decimals| fixed_text(factor, decimals));
    match factor_text(factor) {
        text if text == "1.0" => digits.into_iter().find(|text| text.trim_end_matches('0') != "1.").unwrap_or(text),
        text => text,
    }
}

/// A distance with the decimals of the loss it belongs to.
fn beside(mean: f64, spread: f64) -> String {
    if loss_text(mean).contains('e') {
        return format!("{spread:.1e}");
    }
    fixed_text(spread, decimals(mean))
}

impl Summary {
    /// Why nothing tells whether a difference is more than chance, with what to do about it.
    fn nothing_tells(&self) -> (String, String) {
        match self.setting.validation_examples {
            Some(1) => ("With 1 validation example".to_owned(), format!("use at least {FEWEST_EXAMPLES}")),
            Some(few) if self.setting.has_few_examples() => {
                (format!("With {few} validation examples"), format!("use at least {FEWEST_EXAMPLES}"))
            }
            _ => ("With one seed each".to_owned(), "use more seeds".to_owned()),
        }
    }

    /// How many times the learning rate of the other a scheme wants, as far as that is shown.
    fn rates_in_words(&self, pair: &Comparison) -> String {
        let inverted = pair.rate_ratio < 1.0;
        let turned = |ratio: f64| if inverted { 1.0 / ratio } else { ratio };
        let (more, less) = if inverted { (&pair.second, &pair.first) } else { (&pair.first, &pair.second) };
        let ratio = factor_text(turned(pair.rate_ratio));
        let optima = self.schemes.iter().filter_map(|scheme| Some((&*scheme.scheme, scheme.optimum.as_ref()?)));
        let (open, of_open): (Vec<&str>, Vec<&Optimum>) = optima.filter(|(_, optimum)| optimum.is_open()).unzip();
        // A summary of an older version does not say which end of the ratio an edge leaves open.
        let unsaid = !open.is_empty() && pair.rate_ratio_open == [false; 2];
        let bounds = pair.bounds().filter(|_| !unsaid).map(|ends| {
            let mut ends = ends.map(turned);
            ends.sort_by(f64::total_cmp);
            ends
        });
        match bounds {
            Some([low, high]) if low > 1.0 && high.is_finite() => {
                format!(
                    "{more} wants {ratio} times ({} to {}) the learning rate of {less}.",
                    above_one_text(low),
                    above_one_text(high)
                )
            }
            Some([low, _]) if low > 1.0 => {
                format!("{more} wants at least {} times the learning rate of {less}.", above_one_text(low))
            }
            _ if !open.is_empty() && !of_open.iter().any(|optimum| optimum.at_edge) => {
                let known = of_open.iter().all(|optimum| optimum.interval.is_some());
                let of_seeds = || ("With these seeds".to_owned(), "use more seeds".to_owned());
                let (with, remedy) = if known { of_seeds() } else { self.nothing_tells() };
                format!(
                    "{with}, nothing bounds the optimum of {} within the grid, so the ratio of the best rates is not known: {remedy}.",
                    listed(&open)
                )
            }
            _ if !open.is_empty() => format!(
                "Beyond the grid may lie the optimum of {}, so the ratio of the best rates is not known.",
                listed(&open)
            ),
            Some([low, high]) => format!(
                "{more}'s optimum is at {ratio} times ({} to {}) the learning rate of {less}'s: that they differ is not shown.",
                factor_text(low),
                factor_text(high)
            ),
            None => {
                let (with, _) = self.nothing_tells();
                let with = with.replacen('W', "w", 1);
                format!(
                    "{more}'s optimum is at {ratio} times the learning rate of {less}'s: {with}, that they differ is not shown."
                )
            }
        }
    }

    /// Whether the losses of two schemes differ by more than chance; `at` says where they are compared.
    fn difference_in_words(&self, pair: &Comparison, at: &str) -> String {
        let Comparison { first, second, loss_difference, loss_difference_interval, .. } = pair;
        let Some([low, high]) = *loss_difference_interval else {
            let (with, remedy) = self.nothing_tells();
            return format!(
                "{with}, nothing tells whether the difference between {first} and {second} is more than chance: {remedy}."
            );
        };
        if [*loss_difference, low, high] == [0.0; 3] {
            return format!("{at}, {first} and {second} have the same losses.");
        }
        let [size, low, high] = [*loss_difference, low, high].map(|value| beside(*loss_difference, value));
        if pair.losses_differ() == Some(true) {
            format!("{at}, {first}'s loss is lower than {second}'s by {size} ({low} to {high}).")
        } else {
            format!(
                "{at}, {first} and {second} are not shown to differ: {second}'s loss is higher by {size} ({low} to {high}), \
                 which may be chance."
            )
        }
    }

    /// Which of several schemes the leader is told apart from, and what comparing many does to the intervals.
    fn differences_in_words(&self, pairs: &[Comparison], at: &str) -> Vec<String> {
        if let [pair] = pairs {
            return vec![self.difference_in_words(pair, at)];
        }
        let leader = &pairs[0].first;
        let of_leader = || pairs.iter().filter(|pair| pair.first == *leader);
        let names = |differ: bool| -> Vec<&str> {
            let alike = of_leader().filter(|pair| pair.losses_differ() == Some(differ));
            alike.map(|pair| pair.second.as_str()).collect()
        };
        let (worse, alike) = (names(true), names(false));
        let mut sentences = Vec::new();
        if !worse.is_empty() {
            sentences.push(format!("{at}, {leader}'s loss is lower than that of {}.", listed(&worse)));
        }
        if !alike.is_empty() {
            sentences.push(format!("{at}, {leader} is not shown to differ from {}.", listed(&alike)));
        }
        if worse.is_empty() && alike.is_empty() {
            let (with, remedy) = self.nothing_tells();
            sentences.push(format!("{with}, nothing tells whether a difference is more than chance: {remedy}."));
        } else {
            let level = 100.0 * pairs[0].level;
            // As many digits as tell it from 100.
            let digits = (1.0 - (100.0 - level).log10().floor()).clamp(1.0, 9.0) as usize;
            sentences.push(format!(
                "{} pairs were compared, so each interval is one of {} %, for 95 % together (Bonferroni).",
                pairs.len(),
                fixed_text(level, digits)
            ));
        }
        sentences
    }

    /// Up to which rate the scheme that ends second is shown to lead: from the smallest on, at each of these by an interval over seeds. Tested one after the other until
    /// the first that is not shown, all of them together hold at the level of each (Maurer, Hothorn & Lehmacher 1995).
    fn lead_in_words(&self, first: &SchemeSummary, second: &SchemeSummary) -> Option<String> {
        let of_first = |rate: f64| first.learning_rates.iter().find(|row| row.learning_rate == rate);
        let leads = |row: &&RateSummary| {
            let other = of_first(row.learning_rate)?;
            let pairs = row.losses.iter().zip(&other.losses).filter(|_| row.losses.len() == other.losses.len());
            let apart: Option<Vec<f64>> = pairs.map(|(loss, other)| Some((*loss)? - (*other)?)).collect();
            Some(interval_of_mean(&apart?, LEVEL)?[1] < 0.0)
        };
        let common = second.learning_rates.iter().filter(|row| of_first(row.learning_rate).is_some());
        let led = common.take_while(|row| leads(row) == Some(true)).last();
        let rate = led.filter(|_| !self.setting.has_few_examples())?.learning_rate;
        Some(format!("At small learning rates, up to {}, {} leads.", learning_rate_text(rate), second.scheme))
    }
}

/// `a, b and c`; of many the first ones: `a, b, c, d and 5 others`.
fn listed(names: &[&str]) -> String {
    match names {
        many if many.len() > NAMED + 1 => {
            format!("{} and {} others", many[..NAMED].join(", "), many.len() - NAMED)
        }
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => names.concat(),
    }
}

/// Which schemes are best at the end of what was tried.
fn edges_in_words(ranked: &[(&SchemeSummary, &RateSummary)]) -> impl Iterator<Item = String> {
    let at = |end: fn(&[RateSummary]) -> Option<&RateSummary>| -> Vec<&str> {
        let is_there = |(scheme, best): &&(&SchemeSummary, &RateSummary)| {
            let rates = &scheme.learning_rates;
            rates.len() > 1 && end(rates) == Some(*best)
        };
        ranked.iter().filter(is_there).map(|(scheme, _)| &*scheme.scheme).collect()
    };
    let ends = [("largest", at(|rates| rates.last())), ("smallest", at(|rates| rates.first()))];
    ends.into_iter().filter_map(|(edge, schemes)| match &schemes[..] {
        [] => None,
        [one] => Some(format!("{one}'s best is the {edge} learning rate tried, so its optimum may lie beyond.")),
        _ => Some(format!(
            "{} are best at the {edge} learning rate tried, so their optima may lie beyond.",
            listed(&schemes)
        )),
    })
}

#[cfg(test)]
mod tests {
    use crate::analysis::summary::Summary;
    use crate::analysis::summary::tests::{run, setting};

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
    fn what_was_stopped_or_not_written_is_said() {
        let mut summary = Summary::from_runs(setting(), &runs("init-a", &A, 0.006));
        assert!(!summary.sentence().contains("stopped") && !summary.sentence().contains("could not be written"));
        summary.planned = Some(28);
        summary.unwritten = vec!["init-a_lr1e-3_seed0".to_owned()];
        let said = summary.sentence();
        assert!(said.contains("The sweep was stopped: 14 of 28 runs had ended, and this is theirs."), "{said}");
        assert!(said.ends_with("The adapter of init-a_lr1e-3_seed0 could not be written."), "{said}");
        summary.unwritten = (0..7).map(|seed| format!("init-a_lr1e-3_seed{seed}")).collect();
        let said = summary.sentence();
        assert!(said.contains("The adapters of init-a_lr1e-3_seed0, "), "{said}");
        assert!(said.ends_with("and 3 others could not be written."), "{said}");
        let json = serde_json::to_string(&summary).expect("a summary is JSON");
        assert_eq!(serde_json::from_str::<Summary>(&json).expect("what was written is read"), summary);
    }

    #[test]
    fn equal_losses_are_no_difference_by_chance() {
        let said = sentence(&[runs("init-a", &A, 0.006), runs("init-b", &A, 0.006)].concat());
        assert!(said.contains("init-a and init-b have the same losses."), "{said}");
        assert!(!said.contains("chance"), "{said}");
    }

    #[test]
    fn a_bound_above_one_is_written_as_one() {
        let texts = [1.5, 1.04, 1.004, 1.000_000_1, 34.2].map(super::above_one_text);
        assert_eq!(texts, ["1.5", "1.04", "1.004", "1.0", "34"]);
    }

    #[test]
    fn the_headline_in_words() {
        let runs = [runs("init-a", &A, 0.006), runs("init-b", &B, 0.008)].concat();
        assert_eq!(
            sentence(&runs),
            "init-a is best at 8e-3 (loss 0.084 ± 0.038, exact match 0.92), init-b at 4e-3 (0.106 ± 0.051, 0.89). init-a's \
             optimum is at 2.2 times (0.85 to 3.5) the learning rate of init-b's: that they differ is not shown. Each at its best rate tried, init-a's \
             loss is lower than init-b's by 0.022 (0.009 to 0.035). At small learning rates, up to 2e-3, init-b leads."
        );
    }

    #[test]
    fn a_difference_within_the_seeds_is_called_that() {
        let runs = [runs("init-a", &A, 0.03), runs("init-b", &B, 0.04)].concat();
        let said = sentence(&runs);
        assert!(
            said.contains(
                "Each at its best rate tried, init-a and init-b are not shown to differ: init-b's loss is higher by 0.022 (-0.0"
            ),
            "{said}"
        );
    }

    #[test]
    fn rates_that_the_seeds_do_not_tell_apart_are_called_that() {
        // Each seed has its own best rate, and they are apart in opposite directions.
        let luck = |scheme: &str, first: [f64; 4], second: [f64; 4]| {
            let of_seed = move |seed: u64, losses: [f64; 4]| {
                (0..4)
                    .zip(losses)
                    .map(move |(k, loss)| run("", 1e-3 * f64::from(1 << k), seed, loss))
                    .collect::<Vec<_>>()
            };
            let mut runs = [of_seed(0, first), of_seed(1, second)].concat();
            runs.iter_mut().for_each(|run| run.cell.scheme = scheme.to_owned());
            runs
        };
        let (low, high) = ([0.5, 0.2, 0.4, 0.9], [0.9, 0.5, 0.2, 0.3]);
        let said = sentence(&[luck("x", low, high), luck("y", high, low)].concat());
        // The grid reaches far enough; the seeds are the reason.
        let words =
            "With these seeds, nothing bounds the optimum of x and y within the grid, so the ratio of the best rates";
        assert!(said.contains(words) && said.contains("is not known: use more seeds."), "{said}");
    }

    #[test]
    fn edges_are_told_together() {
        let two = [run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("y", 1e-3, 0, 0.9), run("y", 2e-3, 0, 0.8)];
        let said = sentence(&two);
        let words = "x and y are best at the largest learning rate tried, so their optima may lie beyond.";
        assert!(said.ends_with(words), "{said}");
    }

    #[test]
    fn few_seeds_edges_and_divergence_are_said() {
        let one = [run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4), run("y", 1e-3, 0, 0.7), run("y", 2e-3, 0, 0.8)];
        assert_eq!(
            sentence(&one),
            "x is best at 2e-3 (loss 0.400, exact match 0.60), y at 1e-3 (0.700, 0.30). Beyond the grid may lie the optimum of \
             x and y, so the ratio of the best rates is not known. With one seed each, nothing tells whether the difference between x and y is more than chance: use more \
             seeds. x's best is the largest learning rate tried, so its optimum may lie beyond. y's best is the smallest \
             learning rate tried, so its optimum may lie beyond."
        );
        let same = [run("x", 1e-3, 0, 0.5), run("y", 1e-3, 0, 0.7), run("z", 1e-3, 0, f64::NAN)];
        let same = sentence(&same);
        assert!(same.contains("One learning rate was tried, which says") && !same.contains("times"), "{same}");
        assert!(same.ends_with("z diverged at every learning rate."), "{same}");
        assert_eq!(sentence(&[]), "No run has come to its end.");
        assert_eq!(sentence(&[run("x", 1e-3, 0, 0.5)]), "x is best at 1e-3 (loss 0.500, exact match 0.50).");
    }

    #[test]
    fn a_best_at_the_end_of_the_grid_bounds_no_ratio() {
        let falling = [runs("x", &[0.5, 0.4, 0.3], 0.002), runs("y", &[0.4, 0.35, 0.5], 0.002)].concat();
        let summary = Summary::from_runs(setting(), &falling);
        let words = summary.sentence();
        assert!(words.contains("Beyond the grid may lie the optimum of x, so the ratio of the best rates"), "{words}");
        assert!(!words.contains("times ("), "{words}");
        assert!(summary.table().contains("4.0e-3 (from 2.0e-3)"), "{}", summary.table());
        assert!(!sentence(&runs("y", &[0.4, 0.35, 0.5], 0.002)).contains("Beyond"));
    }

    /// "wants 18 times the learning rate (5.1 to 64)", with intervals that overlapped wholly, one optimum at the edge and one validation example.
    #[test]
    fn a_ratio_is_claimed_only_where_its_interval_and_the_grid_show_it() {
        let x = runs("x", &[0.90, 0.80, 0.72, 0.66, 0.61, 0.57, 0.54], 0.02);
        let y = runs("y", &[0.80, 0.70, 0.75, 0.80, 0.90, 1.20, 1.40], 0.2);
        let words = sentence(&[x.clone(), y.clone()].concat());
        assert!(!words.contains("times ("), "{words}");
        let one = crate::analysis::summary::Setting { validation_examples: Some(1), ..setting() };
        let words = Summary::from_runs(one, &[x, y].concat()).sentence();
        assert!(words.contains("With 1 validation example, nothing tells whether the difference"), "{words}");
        assert!(!words.contains("times (") && !words.contains("wants at least"), "{words}");
    }

    /// Summaries of older versions say neither which ends are open nor how many examples there were.
    #[test]
    fn older_summaries_are_read_and_their_edges_bound_nothing() {
        let found = Summary::from_runs(
            setting(),
            &[runs("x", &[0.5, 0.4, 0.3], 0.002), runs("y", &[0.4, 0.35, 0.5], 0.002)].concat(),
        );
        let mut json = serde_json::to_value(&found).expect("a summary is JSON");
        json.as_object_mut().and_then(|fields| fields.remove("validation_examples")).expect("it is written");
        json["comparisons"][0]
            .as_object_mut()
            .and_then(|fields| fields.remove("rate_ratio_open"))
            .expect("it is written");
        json["comparisons"][0]["rate_ratio_interval"] = serde_json::json!([1.7, 2.3]);
        for place in 0..2 {
            json["schemes"][place]["optimum"]
                .as_object_mut()
                .and_then(|fields| fields.remove("open"))
                .expect("it is written");
        }
        let words = serde_json::from_value::<Summary>(json).expect("it is read").sentence();
        assert!(words.contains("so the ratio of the best rates is not known"), "{words}");
    }

    #[test]
    fn one_rate_is_no_comparison_of_starts() {
        let one = Summary::from_runs(setting(), &[runs("x", &[0.5], 0.002), runs("y", &[0.4], 0.002)].concat());
        let words = one.sentence();
        assert!(words.contains("One learning rate was tried") && !words.contains("optimum"), "{words}");
        assert!(words.contains("At this rate, y's loss is lower than x's by 0.100 ("), "{words}");
        assert!(one.table().contains("1.0e-3 (at the edge)"), "{}", one.table());
        assert!(one.comparisons[0].rate_ratio_interval.is_none());
        let seed = Summary::from_runs(setting(), &[run("x", 1e-3, 0, 0.5), run("x", 2e-3, 0, 0.4)]).table();
        assert!(seed.contains("2.0e-3 (at the edge)"), "{seed}");
    }

    #[test]
    fn ending_above_the_base_is_said() {
        let words = sentence(&[runs("x", &[5.0, 4.0, 4.5], 0.002), runs("y", &[0.4, 0.35, 0.5], 0.002)].concat());
        assert!(words.ends_with("x ends above the loss of the base alone, 3.00, at every learning rate."), "{words}");
    }

    #[test]
    fn three_schemes_are_ranked() {
        let runs = [runs("a", &B, 0.002), runs("b", &A, 0.002), runs("c", &[0.5, 0.4, 0.6], 0.002)].concat();
        assert_eq!(
            sentence(&runs),
            "b is best at 8e-3 (loss 0.084 ± 0.013, exact match 0.92), a at 4e-3 (0.106 ± 0.013, 0.89), c at 2e-3 (0.400 ± \
             0.013, 0.60). Each at its best rate tried, b's loss is lower than that of a and c. 3 pairs were compared, so each interval \
             is one of 98.3 %, for 95 % together (Bonferroni)."
        );
    }

    #[test]
    fn of_many_schemes_the_first_ones_are_named() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let every = |count: usize| -> Vec<_> {
            let of = |(place, name): (usize, &&str)| runs(name, &[0.4 + 0.01 * place as f64, 0.5], 0.002);
            names[..count].iter().enumerate().flat_map(of).collect()
        };
        let said = sentence(&every(6));
        let begin = "a is best at 1e-3 (loss 0.400 ± 0.013, exact match 0.60), b at 1e-3 (0.410 ± 0.013, 0.59), c at 1e-3 (0.420 ± 0.013, 0.58), \
                     d at 1e-3 (0.430 ± 0.013, 0.57), 2 others at 1e-3 (0.440 to 0.450). ";
        assert!(said.starts_with(begin), "{said}");
        assert!(said.contains("a, b, c, d and 2 others are best at the smallest"), "{said}");
        let said = sentence(&every(5));
        assert!(
            said.contains("e at 1e-3 (0.440") && said.contains("a, b, c, d and e are best at the smallest"),
            "{said}"
        );
    }

    #[test]
    fn the_table_is_aligned() {
        let mut runs = [runs("init-a", &A, 0.006), runs("init-b-kaiming", &B, 0.008)].concat();
        runs.push(run("x", 1e-3, 0, f64::NAN));
        assert_eq!(
            Summary::from_runs(setting(), &runs).table(),
            "\
scheme          best rate          optimum (95 %)        plateau   loss  ± 95 %  exact match  stable to  runs  diverged
──────────────  ─────────  ──────────────────────  ─────────────  ─────  ──────  ───────────  ─────────  ────  ────────
init-a               8e-3  8.0e-3 (8.0e-3–1.3e-2)  7.4e-3–8.6e-3  0.084   0.038        0.916     1.6e-2    14         0
init-b-kaiming       4e-3  3.6e-3 (3.6e-3–9.5e-3)  3.7e-3–4.1e-3  0.106   0.051        0.894       8e-3    14         0
x                       -                       -              -      -       -            -          -     1         1
(base)                  -                       -              -   3.00       -        0.000          -     -         -
"
        );
    }
}
