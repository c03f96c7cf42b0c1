//! Optuna's journal: the sweep as a study, each run as a trial. A line is an operation of `optuna/storages/journal/_storage.py`, which `JournalStorage` with a
//! `JournalFileBackend` replays (Optuna 5).

use std::{collections::HashMap, path::Path};

use loralab_experiment::{Cell, Event, Logged, RateSearch, Resolved, RunResult};
use serde_json::{Value, json};

use super::files::Files;

/// The journal.
pub const JOURNAL: &str = "optuna.journal";

/// The numbers of operations, `JournalOperation`.
const CREATE_STUDY: u8 = 0;
const CREATE_TRIAL: u8 = 4;
const SET_TRIAL_STATE_VALUES: u8 = 6;
const SET_TRIAL_INTERMEDIATE_VALUE: u8 = 7;
const SET_TRIAL_USER_ATTR: u8 = 8;

/// The numbers of states, `TrialState`.
const RUNNING: u8 = 0;
const COMPLETE: u8 = 1;
const PRUNED: u8 = 2;
const FAIL: u8 = 3;

/// `StudyDirection.MINIMIZE`.
const MINIMIZE: u8 = 1;

/// A study, as far as it is written.
#[derive(Debug)]
pub struct Optuna {
    study: String,
    schemes: Vec<String>,
    /// The distributions of the parameters, the same for every trial: only then do Optuna's plots compare them.
    distributions: Value,
    /// The number of each run's trial, by the run's name.
    trials: HashMap<String, usize>,
}

impl Optuna {
    /// The study of an experiment, named like the results folder; `searches` if its learning rates are searched for.
    pub fn new(experiment: &Resolved, searches: bool, results: &Path) -> Self {
        let folder = std::path::absolute(results).unwrap_or_default();
        let study = folder.file_name().map_or_else(|| "loralab".to_owned(), |name| name.to_string_lossy().into_owned());
        let Resolved { schemes, learning_rates, seeds, .. } = experiment;
        let rates = || learning_rates.iter().copied();
        let [low, high] = match searches {
            true => RateSearch::bounds(),
            false => [rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max)],
        };
        let seeds = [seeds.iter().min(), seeds.iter().max()].map(|seed| seed.copied().unwrap_or_default());
        let distribution =
            |name: &str, attributes: Value| json!({ "name": name, "attributes": attributes }).to_string();
        let distributions = json!({
            "scheme": distribution("CategoricalDistribution", json!({ "choices": schemes })),
            "learning_rate": distribution("FloatDistribution", json!({ "step": null, "low": low, "high": high, "log": true })),
            "seed": distribution("IntDistribution", json!({ "log": false, "step": 1, "low": seeds[0], "high": seeds[1] })),
        });
        Self { study, schemes: schemes.clone(), distributions, trials: HashMap::new() }
    }

    /// Adds the operations of an event.
    pub fn translate(&mut self, logged: &Logged, files: &mut Files) {
        let when = iso(logged.time.unwrap_or_default());
        if files.is_new(JOURNAL) {
            add(files, CREATE_STUDY, json!({ "study_name": self.study, "directions": [MINIMIZE] }));
        }
        match &logged.event {
            Event::CohortStarted { cells, .. } => {
                for cell in cells {
                    self.trial(cell, &when, files);
                }
            }
            Event::Evaluation { cell, step, loss: Some(loss), .. } => {
                let trial = self.trial(cell, &when, files);
                let value = json!({ "trial_id": trial, "step": step, "intermediate_value": loss });
                add(files, SET_TRIAL_INTERMEDIATE_VALUE, value);
            }
            Event::RunFinished { result } if result.is_over() => {
                let trial = self.trial(&result.cell, &when, files);
                let (state, value, reason) = end(result);
                if let Some(reason) = reason {
                    add(files, SET_TRIAL_USER_ATTR, json!({ "trial_id": trial, "user_attr": { "reason": reason } }));
                }
                let values = value.map(|value| [value]);
                let ends = json!({ "trial_id": trial, "state": state, "values": values, "datetime_complete": when });
                add(files, SET_TRIAL_STATE_VALUES, ends);
            }
            _ => {}
        }
    }

    /// The number of a run's trial, which is created if there is none.
    fn trial(&mut self, cell: &Cell, when: &str, files: &mut Files) -> usize {
        let number = self.trials.len();
        let Cell { scheme, learning_rate, seed } = cell;
        *self.trials.entry(cell.id()).or_insert_with(|| {
            // A value of a list is stored as its place there.
            let place = self.schemes.iter().position(|known| known == scheme);
            let created = json!({
                "study_id": 0,
                "datetime_start": when,
                "state": RUNNING,
                "distributions": self.distributions,
                "params": { "scheme": place, "learning_rate": learning_rate, "seed": seed },
            });
            add(files, CREATE_TRIAL, created);
            number
        })
    }
}

/// The state of a run that has ended, its value, and the reason of a state that is not complete.
fn end(result: &RunResult) -> (u8, Option<f64>, Option<String>) {
    if let Some(stopped) = &result.stopped {
        // As `Study.tell` has it, the value of a pruned trial is its last.
        return (PRUNED, result.last_loss(), Some(format!("it {}", stopped.in_words())));
    }
    match (&result.diverged, &result.failed, result.finished_loss()) {
        (Some(diverged), ..) => {
            (FAIL, None, Some(format!("{} was not finite in step {}", diverged.tensor, diverged.step)))
        }
        (_, Some(reason), _) => (FAIL, None, Some(reason.clone())),
        (.., Some(loss)) => (COMPLETE, Some(loss), None),
        (.., None) => (FAIL, None, Some("its loss is not finite".to_owned())),
    }
}

fn add(files: &mut Files, operation: u8, fields: Value) {
    let mut line = json!({ "op_code": operation, "worker_id": "loralab" });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
    }
    files.add(JOURNAL, format!("{line}\n").as_bytes());
}

/// A time in seconds since 1970 as a date in UTC, ISO 8601: `2026-12-01T16:16:55.250+00:00`. The date is computed as in Howard Hinnant's *chrono-Compatible Low-Level
/// Date Algorithms*, `civil_from_days`: years begin in March, so that a leap day is the last of its year.
fn iso(time: f64) -> String {
    let milliseconds = (time * 1e3).round() as i64;
    let (days, of_day) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let [hour, minute, second, rest] = [of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000];
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (time, wanted) in [
            (0.0, "1970-01-01T00:00:00.000+00:00"),
            (951_782_400.0, "2000-02-29T00:00:00.000+00:00"),
            (1_709_251_199.999, "2024-02-29T23:59:59.999+00:00"),
            (1_796_141_815.25, "2026-12-01T16:16:55.250+00:00"),
            (4_107_542_400.0, "2100-03-01T00:00:00.000+00:00"),
        ] {
            assert_eq!(iso(time), wanted);
        }
    }
}
