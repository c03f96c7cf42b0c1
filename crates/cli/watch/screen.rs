//! The lines that show a sweep: a sentence, a table of its schemes, and a plot.

use std::{collections::BTreeMap, time::Duration};

use indicatif::HumanDuration;
use loralab_experiment::{learning_rate_text, loss_text};

use super::{
    plot::Plot,
    standing::{Fate, Run, Standing},
};
use crate::{dry_run::counted, table::aligned};

/// Rows of the plot, at least and at most.
const FEWEST: usize = 6;
const MOST: usize = 14;

/// The losses that are plotted, as multiples of the lowest: as many as a stable rate may have.
const STABLE: f64 = 2.0;

/// Columns of the plot at most.
const WIDEST: usize = 72;

/// The parts of a sweep, shown as one; at least one.
pub struct Screen<'a> {
    parts: &'a [&'a Standing],
    schemes: Vec<&'a str>,
}

/// The runs of a scheme at one learning rate.
struct OfRate<'a> {
    learning_rate: f64,
    runs: Vec<&'a Run>,
}

impl OfRate<'_> {
    fn has(&self, fate: Fate) -> bool {
        self.runs.iter().any(|run| run.fate == fate)
    }

    /// The mean of a loss over the seeds that have it.
    fn mean(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        let losses: Vec<f64> = self.runs.iter().filter_map(|run| of(run)).collect();
        (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
    }

    /// The mean loss if the rate can be the best, as in the summary: no seed diverged, was stopped or failed, and all were validated.
    fn candidate(&self) -> Option<f64> {
        let goes_on = |run: &&Run| [Fate::Training, Fate::Completed].contains(&run.fate) && run.validation.is_some();
        if self.runs.iter().all(goes_on) { self.mean(|run| run.validation) } else { None }
    }
}

impl<'a> Screen<'a> {
    /// A screen of these parts.
    pub fn new(parts: &'a [&'a Standing]) -> Self {
        let mut schemes: Vec<&str> = Vec::new();
        for scheme in parts.iter().flat_map(|part| &part.schemes) {
            if !schemes.contains(&scheme.as_str()) {
                schemes.push(scheme);
            }
        }
        Self { parts, schemes }
    }

    /// The lines for a terminal of this size; `now` is the time in seconds since 1970. The plot is left out where there is no room.
    pub fn lines(&self, now: f64, rows: usize, columns: usize) -> Vec<String> {
        let mut lines = vec![self.what()];
        lines.extend(self.progress(now));
        lines.push(String::new());
        lines.extend(self.table().lines().map(str::to_owned));
        // The title, the diverged, the axis, its labels, and an empty line.
        let room = rows.saturating_sub(lines.len() + 5).min(MOST);
        if let Some(plot) = self.plot(room, columns.saturating_sub(14).min(WIDEST)).filter(|_| room >= FEWEST) {
            lines.push(String::new());
            lines.extend(plot.lines(loss_text));
        }
        lines.truncate(rows);
        lines.iter().map(|line| line.chars().take(columns).collect()).collect()
    }

    fn runs(&self) -> impl Iterator<Item = &'a Run> {
        self.parts.iter().flat_map(|part| &part.runs)
    }

    /// `loralab 0.1.0 on CPU, 2 threads: 28 runs of 200 steps`
    fn what(&self) -> String {
        let distinct = |of: fn(&'a Standing) -> &'a str| {
            let mut found: Vec<&str> = Vec::new();
            for text in self.parts.iter().map(|part| of(part)).filter(|text| !text.is_empty()) {
                if !found.contains(&text) {
                    found.push(text);
                }
            }
            found.join(" and ")
        };
        let planned = self.parts.iter().map(|part| part.planned).sum();
        let steps = self.parts.iter().map(|part| part.steps).max().unwrap_or(0);
        let (version, device) = (distinct(|part| &part.version), distinct(|part| &part.device));
        format!("loralab {version} on {device}: {} of {}", counted(planned, "run"), counted(steps, "step"))
    }

    /// `12 of 28 runs have ended, 14 runs at step 120, in cohort 2 of 2.` and `3 minutes so far, about 2 minutes left; the last event is 2 seconds old.`
    fn progress(&self, now: f64) -> Vec<String> {
        let ended: usize = self.parts.iter().map(|part| part.ended()).sum();
        let planned: usize = self.parts.iter().map(|part| part.planned).sum();
        let seconds = self.parts.iter().map(|part| part.seconds).fold(0.0, f64::max);
        let ended = format!(
            "{ended} of {} ended",
            if planned == 1 { "1 run has".to_owned() } else { format!("{planned} runs have") }
        );
        if self.parts.iter().all(|part| part.finished.is_some()) {
            let complete = self.parts.iter().all(|part| part.finished == Some(true));
            let how = if complete { "Finished" } else { "Stopped" };
            return vec![format!("{how}: {ended}, after {}.", duration(seconds))];
        }
        let training = self.parts.iter().filter(|part| part.finished.is_none());
        let training: Vec<&Run> =
            training.flat_map(|part| &part.runs).filter(|run| run.fate == Fate::Training).collect();
        let step = training.iter().map(|run| run.step).max();
        let at = step.map_or_else(String::new, |step| format!(", {} at step {step}", counted(training.len(), "run")));
        let cohort = match self.parts {
            [Standing { cohort: Some((cohort, cohorts)), .. }] if *cohorts > 1 => {
                format!(", in cohort {} of {cohorts}", cohort + 1)
            }
            _ => String::new(),
        };
        let left = self
            .parts
            .iter()
            .filter_map(|part| part.left())
            .fold(None, |most: Option<f64>, left| Some(most.map_or(left, |most| most.max(left))));
        let left = left.map_or_else(String::new, |left| format!(", about {} left", duration(left)));
        let last = self.parts.iter().filter_map(|part| part.last).fold(f64::NEG_INFINITY, f64::max);
        // A log of the page has no times.
        let times = last.is_finite().then(|| {
            let age = duration((now - last).max(0.0));
            format!("{} so far{left}; the last event is {age} old.", duration(seconds))
        });
        [Some(format!("{ended}{at}{cohort}.")), times].into_iter().flatten().collect()
    }

    /// A scheme's runs by their rates, from small to large.
    fn by_rate(&self, scheme: &str) -> Vec<OfRate<'a>> {
        let mut rates: BTreeMap<u64, OfRate> = BTreeMap::new();
        for run in self.runs().filter(|run| run.cell.scheme == scheme) {
            let learning_rate = run.cell.learning_rate;
            // The bits of positive numbers are in the order of the numbers.
            let of_rate = rates.entry(learning_rate.to_bits());
            of_rate.or_insert_with(|| OfRate { learning_rate, runs: vec![] }).runs.push(run);
        }
        rates.into_values().collect()
    }

    fn table(&self) -> String {
        let header = ["scheme", "ended", "diverged", "stopped", "training", "training loss", "best rate", "loss"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        for (place, scheme) in self.schemes.iter().enumerate() {
            let rates = self.by_rate(scheme);
            let runs = || rates.iter().flat_map(|of_rate| &of_rate.runs);
            let count = |fate: Fate| runs().filter(|run| run.fate == fate).count();
            let training = || runs().filter(|run| run.fate == Fate::Training);
            let lowest = training().filter_map(|run| run.training).min_by(f64::total_cmp);
            let candidates = rates.iter().filter_map(|of_rate| Some((of_rate.learning_rate, of_rate.candidate()?)));
            let (rate, loss) = candidates.min_by(|(_, one), (_, other)| one.total_cmp(other)).unzip();
            rows.push(vec![
                format!("{} {scheme}", mark(place)),
                (runs().count() - training().count()).to_string(),
                count(Fate::Diverged).to_string(),
                count(Fate::Stopped).to_string(),
                training().count().to_string(),
                text(lowest.map(loss_text)),
                text(rate.map(learning_rate_text)),
                text(loss.map(loss_text)),
            ]);
        }
        aligned(&rows)
    }

    /// The validation losses by learning rate; the training losses if there are no others yet, or by step if there is one rate only. None before any.
    fn plot(&self, rows: usize, columns: usize) -> Option<Plot> {
        let first = self.runs().next()?.cell.learning_rate;
        let base = self.parts.iter().find_map(|part| part.base);
        let plot = match self.runs().all(|run| run.cell.learning_rate == first) {
            true => self.by_step(),
            false => self.by_learning_rate(),
        };
        let line = base.map(|base| (base, "base"));
        (!plot.points.is_empty() && columns > 0).then_some(Plot { line, rows: rows.max(1), columns, ..plot })
    }

    fn by_learning_rate(&self) -> Plot {
        let validated = self.runs().any(|run| run.validation.is_some());
        let of = |run: &Run| if validated { run.validation } else { run.training };
        let (mut points, mut diverged, mut rates) = (vec![], vec![], BTreeMap::new());
        for (place, scheme) in self.schemes.iter().enumerate() {
            for of_rate in self.by_rate(scheme) {
                let x = of_rate.learning_rate.ln();
                rates.insert(of_rate.learning_rate.to_bits(), (x, learning_rate_text(of_rate.learning_rate)));
                match of_rate.mean(of).filter(|_| !of_rate.has(Fate::Diverged)) {
                    Some(loss) => points.push(([x, loss], mark(place))),
                    None if of_rate.has(Fate::Diverged) => diverged.push((x, mark(place))),
                    None => {}
                }
            }
        }
        let what = if validated { "Validation" } else { "Training" };
        let title = format!("{what} loss by learning rate, the last of each run, mean over seeds");
        let labels = rates.into_values().collect();
        Plot { title, points, above: ("diverged", diverged), most: STABLE, line: None, labels, rows: 0, columns: 0 }
    }

    fn by_step(&self) -> Plot {
        let mut points = vec![];
        for (place, scheme) in self.schemes.iter().enumerate() {
            let curves = self.parts.iter().flat_map(|part| part.curve(scheme));
            points.extend(curves.map(|(step, loss)| ([step, loss], mark(place))));
        }
        let steps = self.parts.iter().map(|part| part.steps).max().unwrap_or(0);
        let labels = [0, steps / 2, steps].map(|step| (step as f64, step.to_string())).to_vec();
        let title = "Training loss by step, mean over runs".to_owned();
        Plot { title, points, above: ("", vec![]), most: f64::INFINITY, line: None, labels, rows: 0, columns: 0 }
    }
}

/// The letter of a scheme.
fn mark(place: usize) -> char {
    ('A'..='Z').chain('a'..='z').nth(place).unwrap_or('?')
}

fn duration(seconds: f64) -> HumanDuration {
    HumanDuration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
