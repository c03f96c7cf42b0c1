//! What the plan of some runs has to have room for.

use loralab_experiment::{Cell, Resolved};

use super::translate::options;
use crate::{
    graph::memory::{Data, Tensor},
    lora::{
        init::{self, Quantiser, Rule},
        peft::{Adapter, QuantisedBase},
    },
    models::{Adapters, Base},
};

/// What a plan has room for beside adapters of the experiment's rank. Runs that need different room are trained in different cohorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Frozen second pairs.
    pub frozen_pairs: bool,
    /// The rank of the plan's adapters, in multiples of the experiment's.
    pub spread: usize,
    /// The rank of the training that comes before, in the same multiples.
    pub preheat: usize,
    /// How the base is stored; none for as it came.
    pub quantiser: Option<Quantiser>,
    /// In how many rounds at which rank it is brought there; (1, 0) where one is all.
    pub rounds: (usize, usize),
}

impl Default for Room {
    fn default() -> Room {
        Room { frozen_pairs: false, spread: 1, preheat: 1, quantiser: None, rounds: (1, 0) }
    }
}

impl Room {
    /// What these cells of an experiment need. A scheme that does not exist needs nothing.
    pub fn of<'a>(experiment: &Resolved, cells: impl IntoIterator<Item = &'a Cell>) -> Room {
        let mut room = Room::default();
        for scheme in cells.into_iter().filter_map(|cell| init::find(&cell.scheme).ok()) {
            let chosen = scheme.chosen(options(experiment)).unwrap_or_default();
            let rule = scheme.rule_with(&chosen);
            room.frozen_pairs |= scheme.frozen_pair;
            room.spread = room.spread.max(rule.spread());
            if let (None, Some(quantiser)) = (room.quantiser, rule.quantiser()) {
                room.quantiser = Some(quantiser);
                let rounds = init::rounds(&chosen);
                room.rounds = if rounds > 1 { (rounds, experiment.rank) } else { (1, 0) };
            }
            if let Rule::Preheat { ranks, .. } = rule {
                room.preheat = room.preheat.max(ranks);
            }
        }
        room
    }

    /// The base that runs with this room train on: its adapted weights at what few bits leave of them, if it is stored so.
    pub fn base(&self, base: &Base, adapters: &Adapters) -> Base {
        let Some(quantiser) = self.quantiser else { return base.clone() };
        let adapted = |name: &str| name.strip_suffix(".weight").is_some_and(|module| adapters.target(module));
        let kept = |tensor: &Tensor| match adapted(&tensor.name) {
            true => {
                let (rounds, rank) = self.rounds;
                let left = init::kept(quantiser, &tensor.data.to_f32(), tensor.shape[1], rank, rounds);
                Tensor { data: Data::F32(left), ..tensor.clone() }
            }
            false => tensor.clone(),
        };
        Base { model: base.model.clone(), tensors: base.tensors.iter().map(kept).collect() }
    }

    /// The name of that base, in words.
    pub fn base_name(&self, base: &str) -> String {
        match (self.quantiser, self.rounds) {
            (Some(quantiser), (1, _)) => format!("{base}, its adapted weights quantised to {quantiser}"),
            (Some(quantiser), (rounds, rank)) => {
                format!("{base}, its adapted weights quantised to {quantiser} in {rounds} rounds of rank {rank}")
            }
            (None, _) => base.to_owned(),
        }
    }

    /// The same as an adapter remembers it.
    pub fn quantised_base(&self, base: &str) -> Option<QuantisedBase> {
        let (rounds, rank) = self.rounds;
        self.quantiser.map(|quantiser| QuantisedBase { base: base.to_owned(), quantiser, rounds, rank })
    }

    /// What the base of an adapter needs.
    pub fn of_adapter(adapter: &Adapter) -> Room {
        match adapter.quantised_base {
            None => Room::default(),
            Some(QuantisedBase { quantiser, rounds, rank, .. }) => {
                Room { quantiser: Some(quantiser), rounds: (rounds, rank), ..Room::default() }
            }
        }
    }
}
