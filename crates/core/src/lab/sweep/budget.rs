//! The memory of a sweep: what is allocated together in each phase, and the number of runs that fit into one pass.

use loralab_data::{Dataset, Examples};
use loralab_experiment::{Budget, Cell, PackError, Resolved, pack};

use super::{Sweep, SweepError};
use crate::{
    device::{Cost, Needs},
    graph::{
        plan::{Plan, Shape},
        tape::Purpose,
    },
    lab::{
        PlanNeeds,
        calibrate::{Phase, once, probed},
        train::Run,
        translate::{adapters, check_scheme, optimizer, options, record, run_of, setup},
    },
    lora::init::{self, Rule},
    models::Base,
};

/// The most logits of all runs on the probe, 256 MiB, that a diagnostics snapshot reads back.
const MOST_LOGITS: u64 = 1 << 26;
/// Elements read back for a diagnostics snapshot of a run, per trained element: adapters, gradients and moments, before and after the step.
const READ_BACK: u64 = 8;

impl Sweep<'_> {
    /// The plan of `runs` cells with these needs.
    pub fn plan(&self, runs: usize, plan_needs: PlanNeeds) -> Plan {
        self.compile(self.shape(runs), plan_needs, Purpose::Train(optimizer(self.experiment)))
    }

    /// The plan of the small device beside such a cohort's that runs its diagnostics; none without diagnostics.
    pub(super) fn probe_plan(&self, runs: usize, plan_needs: PlanNeeds) -> Option<Plan> {
        let shape = Shape { sequences: 1, ..self.shape(runs) };
        let logits =
            [runs, shape.tokens, self.base.model.output_columns()].map(|size| size as u64).iter().product::<u64>();
        let training = Purpose::Train(optimizer(self.experiment));
        let purpose = if logits <= MOST_LOGITS { Purpose::Probe } else { training };
        (self.experiment.diagnose_every > 0).then(|| self.compile(shape, plan_needs, purpose))
    }

    fn shape(&self, runs: usize) -> Shape {
        Shape { runs, sequences: self.experiment.batch_size, tokens: self.experiment.tokens }
    }

    fn compile(&self, shape: Shape, plan_needs: PlanNeeds, purpose: Purpose) -> Plan {
        record(self.base, self.experiment, shape, plan_needs).compile(purpose)
    }

    /// The memory of a cohort of these cells in each phase, the training first; `needs` is a device's estimate for a plan. The cells must
    /// have the same [`PlanNeeds`]. The needs of each phase are those of the cohort's number of runs.
    ///
    /// # Errors
    /// If a scheme is unknown.
    pub fn phases(&self, cells: &[Cell], needs: &dyn Fn(&Plan) -> Needs) -> Result<Vec<Phase>, SweepError> {
        let schemes = self.schemes(cells)?;
        Ok(self.phases_of(cells.len(), PlanNeeds::of(self.experiment, cells), &schemes, needs))
    }

    /// One run of each scheme among the cells.
    fn schemes(&self, cells: &[Cell]) -> Result<Vec<Run>, SweepError> {
        let mut first: Vec<&Cell> = vec![];
        for cell in cells {
            if first.iter().all(|known| known.scheme != cell.scheme) {
                first.push(cell);
            }
        }
        first.into_iter().map(|cell| run_of(self.experiment, cell)).collect()
    }

    pub(super) fn phases_of(
        &self,
        runs: usize,
        plan_needs: PlanNeeds,
        schemes: &[Run],
        needs: &dyn Fn(&Plan) -> Needs,
    ) -> Vec<Phase> {
        let plan = self.plan(runs, plan_needs);
        let Needs { mut terms, mut most_runs } = needs(&plan);
        let (elements, rows) = (plan.trained_len() as u64, plan.shape.rows_per_run() as u64);
        if let Some(probe) = self.probe_plan(runs, plan_needs) {
            let of_probe = needs(&probe);
            most_runs = most_runs.into_iter().chain(of_probe.most_runs).min();
            terms.extend(
                of_probe.terms.into_iter().map(|cost| Cost { what: format!("diagnostics: {}", cost.what), ..cost }),
            );
            let Cost { what, shared, .. } = probed("diagnostics", &probe);
            terms.push(Cost::per_run(what, shared));
            let what = format!("diagnostics: {READ_BACK} numbers for each of {elements} elements × 4 bytes");
            terms.push(Cost::per_run(what, READ_BACK * elements * 4));
        }
        let batches = self.validation.len() as u64;
        let what = format!(
            "adapters at the end: {elements} elements × 4 bytes, and right answers: {batches} batches × {rows} rows × 4 bytes"
        );
        terms.push(Cost::per_run(what, 4 * elements + 4 * batches * rows));
        if self.keeps_best {
            let what =
                format!("best checkpoints, and their adapters as they are read: 2 × {elements} elements × 4 bytes");
            terms.push(Cost::per_run(what, 8 * elements));
        }
        let adapters = adapters(self.base, self.experiment);
        let quantised = plan_needs.quantised_bytes(self.base, &adapters);
        if quantised > 0 {
            terms.push(Cost::shared(format!("the scheme's quantised weights: {quantised} bytes"), quantised));
        }

        // Allocated in every phase.
        let drawn = schemes.iter().all(|run| matches!(run.scheme.rule, Rule::Fill(_)));
        let factors = elements * (u64::from(!drawn) + u64::from(plan_needs.frozen_pairs));
        let held = [self.data(), Cost::per_run(format!("starts: {factors} elements × 4 bytes"), 4 * factors)];
        terms.extend(held.clone());
        let mut phases = vec![Phase { name: "the training".to_owned(), needs: Needs { terms, most_runs } }];

        let alone = self.compile(self.shape(1), PlanNeeds::default(), Purpose::Evaluate);
        let mut terms = once(needs(&alone).terms);
        terms.push(probed("what it says", &alone));
        phases.push(Phase { name: "the validation of the base".to_owned(), needs: Needs { terms, most_runs: None } });
        phases.extend(setup(self.base, self.experiment, &adapters).phases(schemes, runs, &plan, needs));
        for phase in &mut phases[1..] {
            phase.needs.terms.extend(held.clone());
        }
        phases
    }

    /// The training data, and the batches of a validation.
    fn data(&self) -> Cost {
        // An epoch has an order, an entry for each sequence.
        let entries = |dataset: &Dataset| match dataset.labelled() {
            Some(texts) => texts.len(),
            None => dataset.examples().map_or(0, Examples::len),
        };
        let size = |dataset: &Dataset| dataset.bytes() as u64 + 8 * entries(dataset) as u64;
        let bytes = size(&self.data.train) + size(&self.data.validation);
        let rows = self.shape(1).rows_per_run() as u64;
        let batches = self.validation.len() as u64;
        // Labelled texts have token types, and perhaps scores.
        let of_row = if self.data.validation.labelled().is_some() { 28 } else { 20 };
        let what = format!("data: {bytes} bytes; their validation: {batches} batches × {rows} rows × {of_row} bytes");
        Cost::shared(what, bytes + of_row * rows * batches)
    }

    /// The grid of cells split into cohorts that fit into `available` bytes; `needs` is a device's estimate for a plan.
    ///
    /// # Errors
    /// If a scheme is unknown or not even one run fits, in its training or in an earlier phase.
    pub fn cohorts(&self, needs: impl Fn(&Plan) -> Needs, available: u64) -> Result<Vec<Vec<Cell>>, SweepError> {
        self.cohorts_of(&self.experiment.cells(), needs, available)
    }

    /// Any cells of the experiment's schemes split into cohorts that fit into `available` bytes.
    ///
    /// # Errors
    /// As [`cohorts`](Self::cohorts).
    pub fn cohorts_of(
        &self,
        cells: &[Cell],
        needs: impl Fn(&Plan) -> Needs,
        available: u64,
    ) -> Result<Vec<Vec<Cell>>, SweepError> {
        init::check_options(&self.experiment.schemes, options(self.experiment))?;
        let adapters = adapters(self.base, self.experiment);
        for scheme in &self.experiment.schemes {
            // Checked before anything is trained or written.
            check_scheme(init::find(scheme)?, &adapters, self.experiment)?;
        }
        let mut all_needs: Vec<PlanNeeds> = Vec::new();
        for plan_needs in cells.iter().map(|cell| PlanNeeds::of(self.experiment, [cell])) {
            if !all_needs.contains(&plan_needs) {
                all_needs.push(plan_needs);
            }
        }
        let mut cohorts = Vec::new();
        for plan_needs in all_needs {
            let alike: Vec<Cell> =
                cells.iter().filter(|cell| PlanNeeds::of(self.experiment, [*cell]) == plan_needs).cloned().collect();
            let schemes = self.schemes(&alike)?;
            let phases = |runs: usize| self.phases_of(runs, plan_needs, &schemes, &needs);
            let of_one = phases(1);
            refuse(&of_one, available)?;
            let fits = |runs: usize| phases(runs).iter().all(|phase| phase.of(runs) <= available);
            let limits = of_one.iter().filter_map(|phase| phase.needs.most_runs).chain(self.experiment.cohort);
            let most = limits.map(Into::into).fold(alike.len(), usize::min);
            let budget =
                Budget { bytes_per_run: 0, shared_bytes: 0, available, limit: largest(most, fits).try_into().ok() };
            cohorts.extend(pack(&alike, |_| (), &budget)?);
        }
        Ok(cohorts)
    }
}

/// The columns of all buffers that one row of a training step passes through, for any batch size.
pub fn columns(base: &Base, experiment: &Resolved) -> usize {
    let shape = Shape { runs: 1, sequences: 1, tokens: 1 };
    let tape = record(base, experiment, shape, PlanNeeds::default());
    tape.compile(Purpose::Train(optimizer(experiment))).columns()
}

/// Returns an error if the largest phase of one run does not fit. The training has an error of its own.
fn refuse(phases: &[Phase], available: u64) -> Result<(), SweepError> {
    let largest = phases.iter().enumerate().max_by_key(|(_, phase)| phase.of(1));
    let Some((index, phase)) = largest.filter(|(_, phase)| phase.of(1) > available) else { return Ok(()) };
    if index == 0 {
        let sum = |of: fn(&Cost) -> u64| phase.needs.terms.iter().map(of).fold(0, u64::saturating_add);
        let (bytes_per_run, shared_bytes) = (sum(|cost| cost.per_run), sum(|cost| cost.shared));
        return Err(PackError { bytes_per_run, shared_bytes, available }.into());
    }
    Err(SweepError::StartMemory { phase: phase.name.clone(), needed: phase.of(1), available })
}

/// The largest number up to `most` that fits, if 1 fits and fitting is monotone.
pub(super) fn largest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut fitting, mut beyond) = (1, most + 1);
    while fitting + 1 < beyond {
        let middle = fitting + (beyond - fitting) / 2;
        if fits(middle) { fitting = middle } else { beyond = middle }
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_that_fits_is_found() {
        for limit in 1..40 {
            for most in 1..40 {
                assert_eq!(largest(most, |runs| runs <= limit), most.min(limit), "{limit} {most}");
            }
        }
    }
}
