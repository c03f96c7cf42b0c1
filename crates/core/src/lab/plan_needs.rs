//! The sizes and options of the plan that some runs share.

use loralab_experiment::{Cell, Resolved};

use super::translate::options;
use crate::{
    graph::memory::{Data, Dtype, Quantiser, Tensor},
    lora::{
        init::{self, Rule},
        peft::QuantisedBase,
    },
    models::{Adapters, Base},
};

/// The properties of a plan beyond adapters of the experiment's rank. Runs with different needs are trained in different cohorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanNeeds {
    /// True if the adapters have frozen second pairs.
    pub frozen_pairs: bool,
    /// The rank of the plan's adapters, as a multiple of the experiment's.
    pub spread: usize,
    /// The rank of the preheat that precedes the training, as a multiple of the experiment's.
    pub preheat: usize,
    /// The quantiser of the weights that carry adapters; none if the base is used as it is.
    pub quantiser: Option<Quantiser>,
    /// Rounds of quantisation, and the rank of the low-rank fit between them; (1, 0) for a single round.
    pub rounds: (usize, usize),
}

impl Default for PlanNeeds {
    fn default() -> PlanNeeds {
        PlanNeeds { frozen_pairs: false, spread: 1, preheat: 1, quantiser: None, rounds: (1, 0) }
    }
}

impl PlanNeeds {
    /// The needs of these cells of an experiment. Unknown schemes are ignored.
    pub fn of<'a>(experiment: &Resolved, cells: impl IntoIterator<Item = &'a Cell>) -> PlanNeeds {
        let mut plan_needs = PlanNeeds::default();
        for scheme in cells.into_iter().filter_map(|cell| init::find(&cell.scheme).ok()) {
            let chosen = scheme.chosen(options(experiment)).unwrap_or_default();
            let rule = scheme.rule_with(&chosen);
            plan_needs.frozen_pairs |= scheme.frozen_pair;
            plan_needs.spread = plan_needs.spread.max(rule.spread());
            if let (None, Some(quantiser)) = (plan_needs.quantiser, rule.quantiser()) {
                plan_needs.quantiser = Some(quantiser);
                let rounds = init::rounds(&chosen);
                plan_needs.rounds = if rounds > 1 { (rounds, experiment.rank) } else { (1, 0) };
            }
            if let Rule::Preheat { ranks, .. } = rule {
                plan_needs.preheat = plan_needs.preheat.max(ranks);
            }
        }
        plan_needs
    }

    /// The base that runs with these needs train on: its adapted weights are quantised if there is a quantiser.
    pub fn base(&self, base: &Base, adapters: &Adapters) -> Base {
        let Some(quantiser) = self.quantiser else { return base.clone() };
        let kept = |tensor: &Tensor| match is_adapted(tensor, adapters) {
            true => {
                let (rounds, rank) = self.rounds;
                let left = init::quantised(quantiser, &tensor.data.to_f32(), tensor.shape[1], rank, rounds);
                Tensor { data: Data::Quantised(left), ..tensor.clone() }
            }
            false => tensor.clone(),
        };
        Base { model: base.model.clone(), tensors: base.tensors.iter().map(kept).collect() }
    }

    /// Bytes of that base beside the one that it is made from, and of one weight in 32 bits while it is quantised; 0 without a quantiser.
    pub fn quantised_bytes(&self, base: &Base, adapters: &Adapters) -> u64 {
        let Some(quantiser) = self.quantiser else { return 0 };
        let adapted = || base.tensors.iter().filter(|tensor| is_adapted(tensor, adapters));
        let packed: usize = adapted().map(|tensor| quantiser.dtype().bytes(tensor.shape)).sum();
        (packed + adapted().map(|tensor| Dtype::F32.bytes(tensor.shape)).max().unwrap_or(0)) as u64
    }

    /// The name of that base, for people.
    pub fn base_name(&self, base: &str) -> String {
        match (self.quantiser, self.rounds) {
            (Some(quantiser), (1, _)) => format!("{base}, its adapted weights quantised to {quantiser}"),
            (Some(quantiser), (rounds, rank)) => {
                format!("{base}, its adapted weights quantised to {quantiser} in {rounds} rounds of rank {rank}")
            }
            (None, _) => base.to_owned(),
        }
    }

    /// The record of that base in an adapter's metadata.
    pub fn quantised_base(&self, base: &str) -> Option<QuantisedBase> {
        let (rounds, rank) = self.rounds;
        self.quantiser.map(|quantiser| QuantisedBase { base: base.to_owned(), quantiser, rounds, rank, whole: false })
    }

    /// The needs of an adapter of such a base, of which the weights that carry adapters are quantised.
    pub fn of_quantised(base: &QuantisedBase) -> PlanNeeds {
        let QuantisedBase { quantiser, rounds, rank, .. } = *base;
        PlanNeeds { quantiser: Some(quantiser), rounds: (rounds, rank), ..PlanNeeds::default() }
    }
}

/// True if the tensor is the weight of a module that carries an adapter.
fn is_adapted(tensor: &Tensor, adapters: &Adapters) -> bool {
    tensor.name.strip_suffix(".weight").is_some_and(|module| adapters.target(module))
}
