//! What a person asks the page for; in its address too, so that a link says the same experiment.

use loralab_experiment::{Experiment, Seeds, nearest};

/// Most seeds that the page trains.
pub const LARGEST_SEEDS: u64 = 8;
/// Most steps that the page trains.
pub const LARGEST_STEPS: usize = 2000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Seeds of each scheme and learning rate.
    pub seeds: u64,
    /// Optimiser steps of each run.
    pub steps: usize,
    /// Whether to train without being told to by the button: `?run`.
    pub run: bool,
    /// What to train on.
    pub device: Device,
}

/// What to train on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A real GPU if the browser shows one, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU, be it software.
    Gpu,
}

impl Device {
    /// The query that says so to the worker, and in an address after other keys.
    pub fn query(self) -> &'static str {
        match self {
            Device::Auto => "",
            Device::Cpu => "&device=cpu",
            Device::Gpu => "&device=gpu",
        }
    }
}

impl Default for Request {
    fn default() -> Self {
        Self { seeds: 1, steps: 200, run: false, device: Device::Auto }
    }
}

impl Request {
    /// Reads the query of an address, such as `?seeds=2&steps=100&run`; what it doesn't say takes its default.
    ///
    /// # Errors
    /// A sentence about a key that is unknown, or a number that is none or out of range.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut request = Self::default();
        for part in query.trim_start_matches('?').split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key {
                "seeds" => request.seeds = number(key, value, LARGEST_SEEDS)?,
                "steps" => request.steps = number(key, value, LARGEST_STEPS as u64)? as usize,
                "run" => request.run = true,
                "device" => request.device = device(value)?,
                _ => {
                    let meant = nearest(key, ["seeds", "steps", "run", "device"])
                        .map(|known| format!(" Did you mean `{known}`?"));
                    let meant = meant.unwrap_or_else(|| " It knows `seeds`, `steps`, `device` and `run`.".to_owned());
                    return Err(format!("The address has `{key}`, which this page doesn't know.{meant}"));
                }
            }
        }
        Ok(request)
    }

    /// The query that [`from_query`](Self::from_query) reads this from, to be opened without training at once.
    pub fn query(&self) -> String {
        format!("?seeds={}&steps={}{}", self.seeds, self.steps, self.device.query())
    }

    /// The experiment to ask the worker for. Ten evaluations show how the losses come down.
    pub fn experiment(&self) -> Experiment {
        Experiment {
            base: Some("nano".to_owned()),
            seeds: Some(Seeds::Count(self.seeds)),
            steps: Some(self.steps),
            evaluate_every: Some(self.steps.div_ceil(10)),
            ..Experiment::default()
        }
    }
}

fn device(value: &str) -> Result<Device, String> {
    match value {
        "auto" => Ok(Device::Auto),
        "cpu" => Ok(Device::Cpu),
        "gpu" => Ok(Device::Gpu),
        _ => Err(format!("The address has `device={value}`; it needs auto, cpu or gpu there.")),
    }
}

fn number(key: &str, value: &str, largest: u64) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|number| (1..=largest).contains(number))
        .ok_or_else(|| format!("The address has `{key}={value}`; it needs a whole number from 1 to {largest} there."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_asked() {
        assert_eq!(Request::from_query(""), Ok(Request::default()));
        assert_eq!(Request::from_query("?run&steps=3"), Ok(Request { steps: 3, run: true, ..Request::default() }));
        for device in [Device::Auto, Device::Cpu, Device::Gpu] {
            let request = Request { seeds: 8, steps: 2000, run: false, device };
            assert_eq!(Request::from_query(&request.query()), Ok(request));
        }
    }

    #[test]
    fn an_address_that_says_nothing_sensible_is_answered_in_a_sentence() {
        for (query, said) in [
            ("?sedes=2", "has `sedes`, which this page doesn't know. Did you mean `seeds`?"),
            ("?utm_source=x", "It knows `seeds`, `steps`, `device` and `run`."),
            ("?seeds=0", "has `seeds=0`; it needs a whole number from 1 to 8 there."),
            ("?seeds=9", "1 to 8"),
            ("?steps=", "has `steps=`"),
            ("?steps=2.5", "1 to 2000"),
            ("?device=cuda", "it needs auto, cpu or gpu there"),
        ] {
            let error = Request::from_query(query).expect_err("it says nothing sensible");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn an_experiment_is_evaluated_ten_times_at_most() {
        let evaluated = |steps| Request { steps, ..Request::default() }.experiment().evaluate_every;
        assert_eq!([1, 10, 15, 200].map(evaluated), [Some(1), Some(1), Some(2), Some(20)]);
    }
}
