//! The sizes that fit in memory, and the bytes that each setting would save.

use loralab_experiment::{Cell, Resolved};

use super::{Sweep, SweepError, budget::largest};
use crate::{
    device::Needs,
    graph::{memory::Quantiser, plan::Plan},
    lab::{PlanNeeds, calibrate::Phase, translate::run_of},
    lora::init,
};

/// The largest sizes that are tried, as powers of two.
const MOST: u32 = 12;

/// The memory of one run of a sweep, and what fits beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The scheme whose run takes the most memory.
    pub scheme: String,
    /// The phase of that run that takes the most, term by term.
    pub phase: Phase,
    /// Bytes that are available.
    pub available: u64,
    /// Runs that fit in one pass; 0 if not even one does.
    pub runs: usize,
    /// The largest power of two that fits as `batch_size`, for one run; 0 if none does.
    pub batch_size: usize,
    /// The largest power of two that fits as `tokens`, for one run, of those that the base was trained on; 0 if none does.
    pub tokens: usize,
    /// Settings that lower the memory of one run, the largest saving first.
    pub savings: Vec<Saving>,
}

/// A change of settings, and the bytes that one run then takes less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saving {
    /// The change, as flags of the command.
    pub flags: String,
    /// Bytes saved in the phase that takes the most.
    pub bytes: u64,
}

impl Sweep<'_> {
    /// The sizes that fit into `available` bytes; `needs` is a device's estimate for a plan.
    ///
    /// # Errors
    /// If a scheme is unknown.
    pub fn fit(&self, needs: &dyn Fn(&Plan) -> Needs, available: u64) -> Result<Fit, SweepError> {
        let experiment = self.experiment;
        let mut most: Option<(Cell, Phase)> = None;
        for scheme in &experiment.schemes {
            let cell =
                Cell { scheme: scheme.clone(), learning_rate: experiment.learning_rates[0], seed: experiment.seeds[0] };
            let phase = self.largest_phase(experiment, &cell, 1, needs)?;
            if most.as_ref().is_none_or(|(_, known)| phase.of(1) > known.of(1)) {
                most = Some((cell, phase));
            }
        }
        let (cell, phase) = most.expect("an experiment has a scheme");
        let of = |changed: &Resolved, runs: usize| -> u64 {
            self.largest_phase(changed, &cell, runs, needs).map_or(u64::MAX, |phase| phase.of(runs))
        };
        let limit = phase.needs.most_runs.into_iter().chain(experiment.cohort).map(Into::into).min();
        let fits = |runs: usize| of(experiment, runs) <= available;
        let runs = if fits(1) { largest(limit.unwrap_or(1 << MOST).min(1 << MOST), fits) } else { 0 };
        let power = |most: usize, with: &dyn Fn(usize) -> Resolved| {
            let mut sizes = (0..=MOST).rev().map(|power| 1 << power).filter(|size| *size <= most);
            sizes.find(|&size| of(&with(size), 1) <= available).unwrap_or(0)
        };
        let batch_size = power(usize::MAX, &|batch_size| Resolved { batch_size, ..experiment.clone() });
        let tokens = power(self.base.model.longest(), &|tokens| Resolved { tokens, ..experiment.clone() });
        let now = phase.of(1);
        let saved = |(flags, changed): (String, Resolved)| Saving { flags, bytes: now.saturating_sub(of(&changed, 1)) };
        let savings = changes(experiment).into_iter().map(saved).chain(self.fewer_bits());
        let mut savings: Vec<Saving> = savings.filter(|saving| saving.bytes > 0).collect();
        savings.sort_by_key(|saving| std::cmp::Reverse(saving.bytes));
        Ok(Fit { scheme: cell.scheme, phase, available, runs, batch_size, tokens, savings })
    }

    /// The bytes that each quantiser would save of the base, which every phase holds once; none if a scheme quantises it by itself.
    fn fewer_bits(&self) -> Vec<Saving> {
        let schemes = self.experiment.schemes.iter().filter_map(|scheme| init::find(scheme).ok());
        if schemes.into_iter().any(|scheme| scheme.rule.quantiser().is_some()) {
            return vec![];
        }
        let saving = |quantiser: Quantiser| Saving {
            flags: format!("--quantize {quantiser}"),
            bytes: self.base.bytes().saturating_sub(self.base.quantised_bytes(quantiser)) as u64,
        };
        Quantiser::ALL.map(saving).into()
    }

    /// The phase of `runs` runs like that of `cell` that takes the most memory, if the sweep had these settings.
    fn largest_phase(
        &self,
        experiment: &Resolved,
        cell: &Cell,
        runs: usize,
        needs: &dyn Fn(&Plan) -> Needs,
    ) -> Result<Phase, SweepError> {
        let changed = Sweep { experiment, ..self.clone() };
        let run = run_of(experiment, cell)?;
        let phases = changed.phases_of(runs, PlanNeeds::of(experiment, [cell]), &[run], needs);
        Ok(phases.into_iter().max_by_key(|phase| phase.of(runs)).expect("a training is a phase"))
    }
}

/// Settings that take less memory than `experiment`, each with the flags that give it.
fn changes(experiment: &Resolved) -> Vec<(String, Resolved)> {
    let Resolved { batch_size, gradient_accumulation, tokens, rank, diagnose_every, gradient_checkpointing, .. } =
        *experiment;
    let mut changes = vec![];
    let mut push = |flags: String, changed: Resolved| changes.push((flags, changed));
    if !gradient_checkpointing {
        let changed = Resolved { gradient_checkpointing: true, ..experiment.clone() };
        push("--gradient-checkpointing".to_owned(), changed);
    }
    if batch_size > 1 {
        // The same batch in smaller passes.
        let (batch_size, passes) = (1, gradient_accumulation.saturating_mul(batch_size));
        let changed = Resolved { batch_size, gradient_accumulation: passes, ..experiment.clone() };
        push(format!("--batch-size 1 --gradient-accumulation {passes}"), changed);
    }
    if tokens > 1 {
        push(format!("--tokens {}", tokens / 2), Resolved { tokens: tokens / 2, ..experiment.clone() });
    }
    if rank > 1 {
        push(format!("--rank {}", rank / 2), Resolved { rank: rank / 2, ..experiment.clone() });
    }
    if diagnose_every > 0 {
        push("--diagnose-every 0".to_owned(), Resolved { diagnose_every: 0, ..experiment.clone() });
    }
    changes
}
