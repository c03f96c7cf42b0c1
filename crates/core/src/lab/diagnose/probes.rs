//! The diagnostics of a sweep: a second, small device beside a cohort's, which runs a probe batch before and after the steps that are diagnosed.
//!
//! The probe is one sequence, where a step has a batch of them, so a diagnostics snapshot costs a fraction of a step. It does not affect the training.

use std::{collections::BTreeMap, sync::Arc};

use loralab_data::Batch;
use loralab_experiment::Diagnosis;
use loralab_linalg::{Mat, Stream, normal_matrix, thin_qr};

use super::{BaseGradient, Lens, Moment, diagnose, kl_from_base};
use crate::{
    device::{Device, DeviceError, Inputs, Probe, RunSettings, RunState, Workers},
    graph::plan::{Optimizer, Plan},
    lab::train::Cohort,
};

/// The number of directions that estimate the norm of a gradient, if its layer has more inputs than that. The standard error is then at most 1/√(2 · 256),
/// or 4 %, reached by a matrix of rank one.
const DIRECTIONS: usize = 256;

/// Takes diagnostics snapshots of the runs of one cohort.
pub struct Probes {
    device: Box<dyn Device>,
    plan: Arc<Plan>,
    batch: Batch,
    optimizer: Optimizer,
    /// The rows of the probe up to the last that counts, or of a labelled text; the rest is padding.
    rows: usize,
    /// Threads that each diagnose one run at a time.
    workers: Workers,
    /// Every run before the step that is diagnosed.
    before: Vec<Moment>,
    /// The base's values on the probe, once computed.
    base: Option<Base>,
}

/// The base's values on the probe. A model with a head has a base for each run, which has the head that the run began with; else all runs share one.
struct Base {
    /// The logits of each base; empty if the plan does not keep them.
    predictions: Vec<Vec<f32>>,
    /// ‖G‖ of every adapter's layer, for each base.
    norms: Vec<Vec<f64>>,
    /// G A₀ᵀ of each run, flat; empty without frozen pairs.
    by_frozen_a: Vec<Vec<f32>>,
}

/// The diagnostics snapshot of a run.
pub struct Seen {
    /// See [`kl_from_base`]; none if the plan does not keep the logits.
    pub kl_from_base: Option<f64>,
    /// The diagnosis of each of its adapters.
    pub adapters: Vec<Diagnosis>,
}

impl Probes {
    /// Diagnostics on a device that was made for `plan`, of as many runs as the cohort and one sequence each; `batch` is that sequence, `optimizer` the
    /// cohort's, and `threads` the number of threads on the host.
    pub fn new(
        device: Box<dyn Device>,
        plan: Arc<Plan>,
        batch: Batch,
        optimizer: Optimizer,
        threads: Option<usize>,
    ) -> Probes {
        let last = match batch.types.is_empty() {
            true => batch.weights.iter().rposition(|weight| *weight != 0.0),
            // Of a labelled text the first row only counts, but each of its tokens is a row that the layers read.
            false => batch.segments.iter().rposition(|segment| *segment != 0),
        };
        let rows = last.map_or(0, |last| last + 1);
        Probes { device, plan, batch, optimizer, rows, workers: Workers::new(threads), before: vec![], base: None }
    }

    /// Records the runs before a step.
    ///
    /// # Errors
    /// If a device fails.
    pub async fn before(&mut self, cohort: &mut Cohort<'_>) -> Result<(), DeviceError> {
        let trained = cohort.device().trained().await?;
        self.before = self.measure(cohort, trained).await?;
        Ok(())
    }

    /// Records the runs after the step, and returns the effect of the step in each.
    ///
    /// # Errors
    /// If a device fails.
    pub async fn after(&mut self, cohort: &mut Cohort<'_>) -> Result<Vec<Seen>, DeviceError> {
        let states = cohort.device().states().await?;
        let (trained, second_moments): (Vec<_>, Vec<_>) =
            states.into_iter().map(|state| self.second_moment(state)).unzip();
        let after = self.measure(cohort, trained).await?;
        let base = match self.base.take() {
            Some(base) => base,
            None => self.measure_base(cohort).await?,
        };
        let by_a = self.base_gradient(cohort, after.iter().map(|moment| &moment.trained[..])).await?;
        let epsilon = match self.optimizer {
            Optimizer::AdamW { epsilon, .. } => Some(epsilon),
            Optimizer::Sgd { .. } | Optimizer::SignSgd => None,
        };
        let runs = cohort.runs().iter().map(|run| run.settings.scale).zip(cohort.initials());
        let (plan, rows, weights) = (&*self.plan, self.rows, &self.batch.weights[..]);
        let moments = std::mem::take(&mut self.before).into_iter().zip(after).zip(second_moments);
        let mut snapshots: Vec<_> = moments.zip(runs).map(|(moments, run)| (moments, run, None)).collect();
        self.workers.for_each(&mut snapshots, |run, (((before, after), second_moment), (scale, initial), seen)| {
            let lens = Lens {
                rows,
                scale: *scale,
                epsilon,
                second_moment,
                frozen_pairs: initial.frozen_pairs(),
                base: BaseGradient {
                    norms: base.norms.get(run).unwrap_or(&base.norms[0]),
                    by_a: &by_a[run].gradient,
                    by_frozen_a: base.by_frozen_a.get(run).map_or(&[], |gradient| &gradient[..]),
                },
            };
            // A score has no distribution.
            let of_base =
                base.predictions.get(run).or(base.predictions.first()).filter(|_| plan.predicted_columns() > 1);
            let kl_from_base = of_base.map(|of_base| kl_from_base(of_base, &after.probe.prediction, weights));
            *seen = Some(Seen { kl_from_base, adapters: diagnose(plan, lens, before, after) });
        });
        let seen = snapshots.into_iter().filter_map(|(.., seen)| seen).collect();
        self.base = Some(base);
        Ok(seen)
    }

    async fn measure(&mut self, cohort: &Cohort<'_>, trained: Vec<Vec<f32>>) -> Result<Vec<Moment>, DeviceError> {
        for (run, trained) in trained.iter().enumerate() {
            self.device.load(run, trained, cohort.initial(run).frozen_pairs(), cohort.runs()[run].settings);
        }
        let probes = self.probe().await?;
        Ok(trained.into_iter().zip(probes).map(|(trained, probe)| Moment { trained, probe }).collect())
    }

    /// The trained tensors of a run, and their v̂; empty without Adam.
    fn second_moment(&self, state: RunState) -> (Vec<f32>, Vec<f64>) {
        let second_moment = match self.optimizer {
            Optimizer::AdamW { beta2, .. } => {
                let bias = 1.0 - beta2.powf(state.steps as f64);
                state.moments[state.trained.len()..].iter().map(|&v| f64::from(v) / bias).collect()
            }
            Optimizer::Sgd { .. } | Optimizer::SignSgd => vec![],
        };
        (state.trained, second_moment)
    }

    /// Runs the base on the probe. Its gradients are never formed: their norms are summed over products with orthonormal directions, as many at once as all
    /// runs' adapters of the lowest rank have rows.
    async fn measure_base(&mut self, cohort: &Cohort<'_>) -> Result<Base, DeviceError> {
        let plan = self.plan.clone();
        let directions: BTreeMap<usize, Mat<f64>> = inputs(&plan).map(|inputs| (inputs, orthonormal(inputs))).collect();
        let most = directions.values().map(Mat::ncols).max().unwrap_or(0);
        // Runs with heads of their own have bases of their own; without heads all runs work on one.
        let bases = if plan.head.is_empty() { 1 } else { plan.shape.runs };
        let (mut norms, mut predictions) = (vec![vec![0.0; plan.sites.len()]; bases], vec![]);
        // As many directions at once as the adapter of the lowest rank has rows.
        let rank = plan.sites.iter().map(|site| site.rank).min().unwrap_or(1).max(1);
        for first in (0..most).step_by(rank * plan.shape.runs / bases) {
            let starts: Vec<Vec<f32>> = (0..plan.shape.runs)
                .map(|run| {
                    let mut flat = vec![0.0; plan.trained_len()];
                    for site in &plan.sites {
                        let directions = &directions[&site.inputs];
                        for (row, line) in flat[site.a.range()].chunks_exact_mut(site.inputs).take(rank).enumerate() {
                            let place = first + run / bases * rank + row;
                            if place < directions.ncols() {
                                line.iter_mut().enumerate().for_each(|(i, x)| *x = directions[(i, place)] as f32);
                            }
                        }
                    }
                    flat
                })
                .collect();
            let probes = self.base_gradient(cohort, starts.iter().map(|start| &start[..])).await?;
            for (run, probe) in probes.into_iter().enumerate() {
                let own = run % bases;
                for (norm, site) in norms[own].iter_mut().zip(&plan.sites) {
                    let b = &probe.gradient[site.b.range()];
                    *norm += b.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
                }
                if predictions.len() <= own {
                    predictions.push(probe.prediction);
                }
            }
        }
        for norms in &mut norms {
            for (norm, inputs) in norms.iter_mut().zip(inputs(&plan)) {
                *norm = (*norm * inputs as f64 / directions[&inputs].ncols() as f64).sqrt();
            }
        }
        let by_frozen_a = if plan.frozen_pairs {
            let pairs = (0..plan.shape.runs).map(|run| cohort.initial(run).frozen_pairs());
            self.base_gradient(cohort, pairs).await?.into_iter().map(|probe| probe.gradient).collect()
        } else {
            vec![]
        };
        Ok(Base { predictions, norms, by_frozen_a })
    }

    /// Passes over the base with these As, one flat buffer per run, Bs of zeros and the head that the run began with: the gradient of B is then G Aᵀ.
    async fn base_gradient<'a>(
        &mut self,
        cohort: &Cohort<'_>,
        flats: impl Iterator<Item = &'a [f32]>,
    ) -> Result<Vec<Probe>, DeviceError> {
        let none = if self.plan.frozen_pairs { vec![0.0; self.plan.trained_len()] } else { vec![] };
        for (run, flat) in flats.enumerate() {
            let mut start = flat.to_vec();
            for site in &self.plan.sites {
                start[site.b.range()].fill(0.0);
            }
            for tensor in &self.plan.head {
                let place = tensor.span.range();
                start[place.clone()].copy_from_slice(&cohort.initial(run).trained()[place]);
            }
            self.device.load(run, &start, &none, RunSettings::PLAIN);
        }
        self.probe().await
    }

    async fn probe(&mut self) -> Result<Vec<Probe>, DeviceError> {
        self.device.probe(&vec![Inputs::from(&self.batch); self.plan.shape.runs]).await
    }
}

/// The input width I of every adapter's layer.
fn inputs(plan: &Plan) -> impl Iterator<Item = usize> {
    plan.sites.iter().map(|site| site.inputs)
}

/// [`DIRECTIONS`] orthonormal columns of `inputs` elements, or a full basis if the inputs are fewer.
fn orthonormal(inputs: usize) -> Mat<f64> {
    let drawn = normal_matrix(&Stream::new(0, "directions"), inputs, inputs.min(DIRECTIONS));
    thin_qr(drawn.as_ref()).q
}
