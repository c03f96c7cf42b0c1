//! A summary as text: a sentence and a table.

use loralab_statistics::{LEVEL, interval_of_mean};

use crate::analysis::checkpoint::BestCheckpoint;
use crate::analysis::optimum::{Comparison, FEWEST_EXAMPLES, Optimum};
use crate::analysis::summary::{Failure, RateSummary, SchemeSummary, Summary};
use crate::config::number::{decimals, factor_text, fixed_text, learning_rate_text, loss_text, rounded_rate_text};

/// The most schemes that a sentence names, unless only one more would be left out: the table has them all.
const NAMED: usize = 4;

/// The rates at which schemes are compared. Between the rates and beyond them, a loss may be lower.
const BEST: &str = "Each at its best rate tried";

impl Summary {
    /// The results as plain text, including negative ones: schemes without a significant difference, and a
    /// best rate at the edge of the grid.
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
        sentences.extend(self.undefined_in_words());
        sentences.extend(edges_in_words(&ranked));
        sentences.extend(self.worse_than_base(&ranked));
        for scheme in self.schemes.iter().filter(|scheme| scheme.best().is_none()) {
            let stopped = if scheme.stopped() > 0 { " or was stopped" } else { "" };
            sentences.push(format!("{} diverged{stopped} at every learning rate.", scheme.scheme));
        }
        sentences.extend(self.stopped_in_words());
        for Failure { scheme, reason, runs } in &self.failures {
            let runs = if *runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
            sentences.push(format!("{runs} of {scheme} could not start: {reason}."));
        }
        if sentences.is_empty() {
            sentences.push("No run has come to its end.".to_owned());
        }
        sentences.extend(BestCheckpoint::in_words(&self.best_checkpoints));
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

    /// The schemes that end above the loss of the base alone, at every rate.
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

    /// The schemes whose scores have no correlation at their best rate.
    fn undefined_in_words(&self) -> Option<String> {
        let is_undefined = |scheme: &&SchemeSummary| {
            let known = scheme.best().and_then(|best| best.mean_correlations);
            known.is_some_and(|both| both.pearson.is_none() || both.spearman.is_none())
        };
        let names: Vec<&str> = self.schemes.iter().filter(is_undefined).map(|scheme| &*scheme.scheme).collect();
        (!names.is_empty()).then(|| {
            let what = "is not defined (NaN): a seed gives all texts the same score, or all texts have the same label";
            format!("The correlation of {} {what}.", listed(&names))
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

    /// A table of the schemes with aligned columns, and the base below it. Ends with a line break.
    pub fn table(&self) -> String {
        let of_labels = self.label_measures();
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let measures = |[perplexity, bits]: [Option<f64>; 2]| match self.setting.has_tokens() {
            true => vec![text(perplexity.map(loss_text)), text(bits.map(loss_text))],
            false => vec![],
        };
        let has_stopped = self.schemes.iter().any(|scheme| scheme.stopped() > 0);
        let header = [
            &["scheme", "best rate", "optimum (95 %)", "plateau", "loss", "± 95 %"][..],
            if self.setting.has_tokens() { &["perplexity", "bits/byte"] } else { &[] },
            &[self.setting.accuracy.words()],
            of_labels.as_ref().map_or(&[], |names| &names[..]),
            &["stable to", "runs", "diverged"],
            if has_stopped { &["stopped"] } else { &[] },
        ]
        .concat();
        let mut rows = vec![header.iter().map(ToString::to_string).collect::<Vec<_>>()];
        for scheme in &self.schemes {
            let optimum = scheme.optimum.as_ref();
            let mut row = vec![
                scheme.scheme.clone(),
                text(scheme.best_learning_rate.map(learning_rate_text)),
                text(optimum.map(|optimum| {
                    let rate = rounded_rate_text(optimum.learning_rate);
                    let edge = optimum.at_edge.then(|| "at the edge".to_owned());
                    let beside = optimum.interval.map(|ends| rates_text(ends, optimum.open)).or(edge);
                    beside.map_or_else(|| rate.clone(), |beside| format!("{rate} ({beside})"))
                })),
                text(optimum.and_then(|optimum| optimum.plateau).map(|ends| rates_text(ends, [false; 2]))),
                text(scheme.best_loss.map(loss_text)),
                text(scheme.best_loss.zip(half_interval(scheme)).map(|(loss, half)| beside(loss, half))),
            ];
            row.extend(measures([scheme.best_perplexity, scheme.best_bits_per_byte]));
            row.push(text(scheme.best_accuracy.map(|share| fixed_text(share, 3))));
            if of_labels.is_some() {
                let number = |value: Option<f64>| value.map_or_else(|| "NaN".to_owned(), |value| fixed_text(value, 3));
                let values = scheme.label_measures().map(|(_, values)| values.map(number));
                row.extend(values.unwrap_or_else(|| ["-"; 2].map(str::to_owned)));
            }
            row.extend([
                text(scheme.largest_stable_learning_rate.map(learning_rate_text)),
                scheme.runs.to_string(),
                scheme.diverged().to_string(),
            ]);
            row.extend(has_stopped.then(|| scheme.stopped().to_string()));
            rows.push(row);
        }
        let base = &self.setting;
        let mut row = vec!["(base)".to_owned()];
        row.extend([None, None, None, base.base_loss.map(loss_text), None].map(text));
        row.extend(measures([self.base_perplexity, self.base_bits_per_byte]));
        row.push(text(base.base_accuracy.map(|share| fixed_text(share, 3))));
        row.resize(header.len(), "-".to_owned());
        rows.push(row);
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

/// `0.084 ± 0.003`; the mean alone if there is no interval.
fn with_interval(scheme: &SchemeSummary, best: &RateSummary) -> String {
    let mean = best.mean_loss.unwrap_or(f64::NAN);
    match half_interval(scheme) {
        Some(half) => format!("{} ± {}", loss_text(mean), beside(mean, half)),
        None => loss_text(mean),
    }
}

/// The rates and losses of the schemes that are not named, from the better to the worse.
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

/// `5.1e-3–9.0e-3`, `from 5.1e-3` or `up to 9.0e-3` if the other end is open.
fn rates_text(ends: [f64; 2], open: [bool; 2]) -> String {
    let [low, high] = ends.map(rounded_rate_text);
    match open {
        [false, false] => format!("{low}–{high}"),
        [false, true] => format!("from {low}"),
        [true, false] => format!("up to {high}"),
        [true, true] => "not bounded".to_owned(),
    }
}

/// A factor above 1 with enough digits to be distinguished from 1.
fn above_one_text(factor: f64) -> String {
    let digits = (2..6).map(|decimals| fixed_text(factor, decimals));
    match factor_text(factor) {
        text if text == "1.0" => digits.into_iter().find(|text| text.trim_end_matches('0') != "1.").unwrap_or(text),
        text => text,
    }
}

/// A difference with the decimals of the loss it belongs to.
fn beside(mean: f64, spread: f64) -> String {
    if loss_text(mean).contains('e') {
        return format!("{spread:.1e}");
    }
    fixed_text(spread, decimals(mean))
}

impl Summary {
    /// The reason that significance can't be tested, and a remedy.
    fn nothing_tells(&self) -> (String, String) {
        match self.setting.validation_examples {
            Some(1) => ("With 1 validation example".to_owned(), format!("use at least {FEWEST_EXAMPLES}")),
            Some(few) if self.setting.has_few_examples() => {
                (format!("With {few} validation examples"), format!("use at least {FEWEST_EXAMPLES}"))
            }
            _ => ("With one seed each".to_owned(), "use more seeds".to_owned()),
        }
    }

    /// The ratio of two schemes' optimal learning rates, with its interval if it is significant.
    fn rates_in_words(&self, pair: &Comparison) -> String {
        let inverted = pair.rate_ratio < 1.0;
        let turned = |ratio: f64| if inverted { 1.0 / ratio } else { ratio };
        let (more, less) = if inverted { (&pair.second, &pair.first) } else { (&pair.first, &pair.second) };
        let ratio = factor_text(turned(pair.rate_ratio));
        let optima = self.schemes.iter().filter_map(|scheme| Some((&*scheme.scheme, scheme.optimum.as_ref()?)));
        let (open, of_open): (Vec<&str>, Vec<&Optimum>) = optima.filter(|(_, optimum)| optimum.is_open()).unzip();
        // A summary of an older version does not record which end of the ratio is open at an edge.
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
                    "{with}, the optimum of {} has no bound within the grid, so the ratio of the best rates is not known: {remedy}.",
                    listed(&open)
                )
            }
            _ if !open.is_empty() => format!(
                "Beyond the grid may lie the optimum of {}, so the ratio of the best rates is not known.",
                listed(&open)
            ),
            Some([low, high]) => format!(
                "{more}'s optimum is at {ratio} times ({} to {}) the learning rate of {less}'s: the difference is not significant.",
                factor_text(low),
                factor_text(high)
            ),
            None => {
                let (with, _) = self.nothing_tells();
                let with = with.replacen('W', "w", 1);
                format!(
                    "{more}'s optimum is at {ratio} times the learning rate of {less}'s: {with}, the difference is not significant."
                )
            }
        }
    }

    /// A sentence on the difference of two schemes' losses and its significance; `at` names the rates of the comparison.
    fn difference_in_words(&self, pair: &Comparison, at: &str) -> String {
        let Comparison { first, second, loss_difference, loss_difference_interval, .. } = pair;
        let Some([low, high]) = *loss_difference_interval else {
            let (with, remedy) = self.nothing_tells();
            return format!("{with}, the difference between {first} and {second} may be chance: {remedy}.");
        };
        if [*loss_difference, low, high] == [0.0; 3] {
            return format!("{at}, {first} and {second} have the same losses.");
        }
        let [size, low, high] = [*loss_difference, low, high].map(|value| beside(*loss_difference, value));
        if pair.losses_differ() == Some(true) {
            format!("{at}, {first}'s loss is lower than {second}'s by {size} ({low} to {high}).")
        } else {
            format!(
                "{at}, the losses of {first} and {second} do not differ significantly: {second}'s is higher by {size} ({low} to {high}), \
                 which may be chance."
            )
        }
    }

    /// The schemes that differ significantly from the leader, and the effect of several comparisons on the intervals.
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
            sentences.push(format!("{at}, the difference between {leader} and {} is not significant.", listed(&alike)));
        }
        if worse.is_empty() && alike.is_empty() {
            let (with, remedy) = self.nothing_tells();
            sentences.push(format!("{with}, any difference may be chance: {remedy}."));
        } else {
            let level = 100.0 * pairs[0].level;
            // As many digits as distinguish it from 100.
            let digits = (1.0 - (100.0 - level).log10().floor()).clamp(1.0, 9.0) as usize;
            sentences.push(format!(
                "{} pairs were compared, so each interval is one of {} %, for 95 % together (Bonferroni).",
                pairs.len(),
                fixed_text(level, digits)
            ));
        }
        sentences
    }

    /// The rate up to which the second-best scheme leads significantly: from the smallest on, at each of these by an interval over seeds. The rates are tested in
    /// order until the first that is not significant, so all of them together hold at the level of each (Maurer, Hothorn & Lehmacher 1995).
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

/// The schemes whose best rate is at the end of the rates tried.
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
mod tests;
