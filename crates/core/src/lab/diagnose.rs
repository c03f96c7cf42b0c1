//! The diagnostics of a sweep: a second, small device beside a cohort's, on which a probe is run before and after the steps that are looked at.
//!
//! The probe is one sequence where a step has a batch of them, so a look costs a fraction of a step, and what is trained takes no notice of it.

use std::sync::Arc;

use loralab_data::Batch;
use loralab_experiment::Diagnosis;

use crate::{
    device::{Device, DeviceError, Input},
    diagnostics::{Moment, diagnose},
    plan::Plan,
    train::Cohort,
};

/// Looks into the runs of one cohort.
pub struct Probes {
    device: Box<dyn Device>,
    plan: Arc<Plan>,
    batch: Batch,
    /// Rows of the probe up to the last that counts; what follows is padding.
    rows: usize,
    /// Every run before the step that is looked at.
    before: Vec<Moment>,
}

impl Probes {
    /// On a device that was made for `plan`, of as many runs as the cohort and one sequence each; `batch` is that sequence.
    pub fn new(device: Box<dyn Device>, plan: Arc<Plan>, batch: Batch) -> Probes {
        let rows = batch.weights.iter().rposition(|weight| *weight != 0.0).map_or(0, |last| last + 1);
        Probes { device, plan, batch, rows, before: vec![] }
    }

    /// Sees the runs as they stand, before a step.
    ///
    /// # Errors
    /// If a device fails.
    pub async fn before(&mut self, cohort: &mut Cohort<'_>) -> Result<(), DeviceError> {
        self.before = self.look(cohort).await?;
        Ok(())
    }

    /// Sees the runs after the step, and says what it did inside each.
    ///
    /// # Errors
    /// If a device fails.
    pub async fn after(&mut self, cohort: &mut Cohort<'_>) -> Result<Vec<Vec<Diagnosis>>, DeviceError> {
        let after = self.look(cohort).await?;
        let moments = std::mem::take(&mut self.before).into_iter().zip(after).enumerate();
        let diagnoses = moments.map(|(run, (before, after))| {
            let scale = cohort.runs()[run].settings.scale;
            diagnose(&self.plan, self.rows, scale, &cohort.initial(run).frozen_pairs, &before, &after)
        });
        Ok(diagnoses.collect())
    }

    async fn look(&mut self, cohort: &mut Cohort<'_>) -> Result<Vec<Moment>, DeviceError> {
        let runs = cohort.runs().len();
        let trained = cohort.device().trained().await?;
        for (run, trained) in trained.iter().enumerate() {
            self.device.load(run, trained, &cohort.initial(run).frozen_pairs, cohort.runs()[run].settings);
        }
        let probes = self.device.probe(&vec![Input::from(&self.batch); runs]).await?;
        Ok(trained.into_iter().zip(probes).map(|(trained, probe)| Moment { trained, probe }).collect())
    }
}
