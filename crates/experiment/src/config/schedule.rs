//! The learning rate's schedule over the steps of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::error::ExperimentError;
use crate::config::names::{names, unknown_name};

names! {
    /// The change of the learning rate over the steps.
    Schedule for "schedule" {
        /// Straight down to 0 at the end.
        Linear = "linear",
        /// The same throughout.
        Constant = "constant",
        /// Half a cosine wave down to 0 at the end.
        Cosine = "cosine",
    }
}

impl Schedule {
    /// The factor of the peak learning rate at a step counted from 0: after a warm-up that rises in a straight line
    /// from 0 at step 0 to 1 at step `warmup`, the schedule falls to 0 at step `steps`. The same numbers as
    /// `get_scheduler` of Hugging Face Transformers.
    pub fn factor(self, step: usize, steps: usize, warmup: usize) -> f64 {
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let length = steps.saturating_sub(warmup).max(1);
        let progress = ((step - warmup) as f64 / length as f64).min(1.0);
        match self {
            Self::Linear => 1.0 - progress,
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_by_hand() {
        let linear: Vec<f64> = (0..=4).map(|step| Schedule::Linear.factor(step, 4, 0)).collect();
        assert_eq!(linear, [1.0, 0.75, 0.5, 0.25, 0.0]);
        let warmed: Vec<f64> = (0..=6).map(|step| Schedule::Linear.factor(step, 6, 2)).collect();
        assert_eq!(warmed, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
        let constant: Vec<f64> = (0..=3).map(|step| Schedule::Constant.factor(step, 3, 2)).collect();
        assert_eq!(constant, [0.0, 0.5, 1.0, 1.0]);
        for (step, expected) in [(0, 1.0), (1, 0.75), (2, 0.25), (3, 0.0)] {
            assert!((Schedule::Cosine.factor(step, 3, 0) - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn schedules_stay_within_0_and_1_for_any_lengths() {
        for &schedule in Schedule::ALL {
            for steps in 0..6 {
                for warmup in 0..8 {
                    for step in 0..10 {
                        let factor = schedule.factor(step, steps, warmup);
                        assert!((0.0..=1.0).contains(&factor), "{schedule} {step}/{steps} after {warmup}: {factor}");
                    }
                }
            }
        }
    }
}
