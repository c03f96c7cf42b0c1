//! The memory of a sweep: what is there together at each time, and how many runs can be trained in one pass.

use loralab_data::Dataset;
use loralab_experiment::{Budget, Cell, PackError, Resolved, pack};

use super::{
    Sweep, SweepError,
    room::Room,
    translate::{adapters, optimizer, options, record, run_of, setup},
};
use crate::{
    device::{Cost, Needs},
    graph::{
        plan::{Plan, Shape},
        tape::Purpose,
    },
    lab::{
        calibrate::{Phase, once, probed},
        train::Run,
    },
    lora::init::{self, Rule},
    models::Base,
};

/// Logits of all runs on the probe, 256 MiB of them, up to which a look reads them back.
const MOST_LOGITS: u64 = 1 << 26;
/// What is read back for a look into a run, in numbers for each that is trained: before and after the step the adapters, gradients and moments.
const LOOKED_AT: u64 = 8;

impl Sweep<'_> {
    /// The plan that `runs` cells share which need this room.
    pub fn plan(&self, runs: usize, room: Room) -> Plan {
        self.compile(self.shape(runs), room, Purpose::Train(optimizer(self.experiment)))
    }

    /// The plan of the small device beside such a cohort's, on which its diagnostics run; none where no run is looked into.
    pub(super) fn probe_plan(&self, runs: usize, room: Room) -> Option<Plan> {
        let shape = Shape { sequences: 1, ..self.shape(runs) };
        let logits = [runs, shape.tokens, self.base.model.vocabulary()].map(|size| size as u64).iter().product::<u64>();
        let training = Purpose::Train(optimizer(self.experiment));
        let purpose = if logits <= MOST_LOGITS { Purpose::Probe } else { training };
        (self.experiment.diagnose_every > 0).then(|| self.compile(shape, room, purpose))
    }

    fn shape(&self, runs: usize) -> Shape {
        Shape { runs, sequences: self.experiment.batch_size, tokens: self.experiment.tokens }
    }

    fn compile(&self, shape: Shape, room: Room, purpose: Purpose) -> Plan {
        record(self.base, self.experiment, shape, room).compile(purpose)
    }

    /// What a cohort of these cells has in memory at each time, the training first, given what a device says that a plan needs; the cells must
    /// need the same room. Each time's needs are of the cohort's number of runs.
    ///
    /// # Errors
    /// If a scheme is unknown.
    pub fn phases(&self, cells: &[Cell], needs: &dyn Fn(&Plan) -> Needs) -> Result<Vec<Phase>, SweepError> {
        let schemes = self.schemes(cells)?;
        Ok(self.phases_of(cells.len(), Room::of(self.experiment, cells), &schemes, needs))
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

    fn phases_of(&self, runs: usize, room: Room, schemes: &[Run], needs: &dyn Fn(&Plan) -> Needs) -> Vec<Phase> {
        let plan = self.plan(runs, room);
        let Needs { mut terms, mut most_runs } = needs(&plan);
        let (elements, rows) = (plan.trained_len() as u64, plan.shape.rows_per_run() as u64);
        if let Some(probe) = self.probe_plan(runs, room) {
            let of_probe = needs(&probe);
            most_runs = most_runs.into_iter().chain(of_probe.most_runs).min();
            terms.extend(of_probe.terms.into_iter().map(|cost| Cost { what: format!("looks: {}", cost.what), ..cost }));
            let Cost { what, shared, .. } = probed("looks", &probe);
            terms.push(Cost::per_run(what, shared));
            let what = format!("looks: {LOOKED_AT} numbers for each of {elements} elements × 4 bytes");
            terms.push(Cost::per_run(what, LOOKED_AT * elements * 4));
        }
        let batches = self.validation.len() as u64;
        let what = format!(
            "adapters at the end: {elements} elements × 4 bytes, and right answers: {batches} batches × {rows} rows × 4 bytes"
        );
        terms.push(Cost::per_run(what, 4 * elements + 4 * batches * rows));
        if room.quantiser.is_some() {
            // All tensors are copied, and those that carry adapters become 32 bits wide.
            let stored = 4 * self.base.model.parameters() as u64;
            terms.push(Cost::shared(format!("the quantised base: at most {stored} bytes"), stored));
        }

        // What there is at all times.
        let drawn = schemes.iter().all(|run| matches!(run.scheme.rule, Rule::Fill(_)));
        let factors = elements * (u64::from(!drawn) + u64::from(room.frozen_pairs));
        let held = [self.data(), Cost::per_run(format!("starts: {factors} elements × 4 bytes"), 4 * factors)];
        terms.extend(held.clone());
        let mut phases = vec![Phase { name: "the training".to_owned(), needs: Needs { terms, most_runs } }];

        let alone = self.compile(self.shape(1), Room::default(), Purpose::Predict);
        let mut terms = once(needs(&alone).terms);
        terms.push(probed("what it says", &alone));
        phases.push(Phase { name: "the validation of the base".to_owned(), needs: Needs { terms, most_runs: None } });
        let adapters = adapters(self.base, self.experiment);
        phases.extend(setup(self.base, self.experiment, &adapters).phases(schemes, runs, &plan, needs));
        for phase in &mut phases[1..] {
            phase.needs.terms.extend(held.clone());
        }
        phases
    }

    /// The data, and the batches of a validation.
    fn data(&self) -> Cost {
        let size = |dataset: &Dataset| match dataset {
            Dataset::Text(text) => 4 * text.len() as u64,
            // Two lists and their tokens, and its place in the order of an epoch.
            Dataset::Examples(examples) => examples.iter().map(|example| 4 * example.length() as u64 + 64).sum(),
        };
        let bytes = size(&self.data.train) + size(&self.data.validation);
        let rows = self.shape(1).rows_per_run() as u64;
        let batches = self.validation.len() as u64;
        let what = format!("data: {bytes} bytes; their validation: {batches} batches × {rows} rows × 12 bytes");
        Cost::shared(what, bytes + 12 * rows * batches)
    }

    /// The grid cut into cohorts that fit `available` bytes, given what a device says that a plan needs.
    ///
    /// # Errors
    /// If a scheme is unknown or not even one run fits, in its training or in what comes before.
    pub fn cohorts(&self, needs: impl Fn(&Plan) -> Needs, available: u64) -> Result<Vec<Vec<Cell>>, SweepError> {
        self.cohorts_of(&self.experiment.cells(), needs, available)
    }

    /// The same of any cells of the experiment's schemes.
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
        for scheme in &self.experiment.schemes {
            // Said before anything is trained or written.
            init::find(scheme)?.check(self.experiment.rank, self.experiment.scale())?;
        }
        let mut rooms: Vec<Room> = Vec::new();
        for room in cells.iter().map(|cell| Room::of(self.experiment, [cell])) {
            if !rooms.contains(&room) {
                rooms.push(room);
            }
        }
        let mut cohorts = Vec::new();
        for room in rooms {
            let alike: Vec<Cell> =
                cells.iter().filter(|cell| Room::of(self.experiment, [*cell]) == room).cloned().collect();
            let schemes = self.schemes(&alike)?;
            let phases = |runs: usize| self.phases_of(runs, room, &schemes, &needs);
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

/// Columns of all the buffers that a row of a training step goes through, whatever the sizes of a batch.
pub fn columns(base: &Base, experiment: &Resolved) -> usize {
    let shape = Shape { runs: 1, sequences: 1, tokens: 1 };
    let tape = record(base, experiment, shape, Room::default());
    tape.compile(Purpose::Train(optimizer(experiment))).columns()
}

/// Refuses phases of one run of which the largest does not fit, the training with its own words.
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

/// The largest number up to `most` that fits, given that 1 does and that no more fits where less does not.
fn largest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
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
