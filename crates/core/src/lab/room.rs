//! What the plan of some runs has to have room for.

use loralab_experiment::Cell;

use crate::{
    init::{self, Quantiser, Rule},
    memory::{Data, Tensor},
    model::Base,
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
}

/// What is added to the name of a base.
fn suffix(quantiser: Quantiser) -> String {
    format!(", its adapted weights quantised to {quantiser}")
}

impl Default for Room {
    fn default() -> Room {
        Room { frozen_pairs: false, spread: 1, preheat: 1, quantiser: None }
    }
}

impl Room {
    /// What these cells need. A scheme that does not exist needs nothing.
    pub fn of<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Room {
        let mut room = Room::default();
        for scheme in cells.into_iter().filter_map(|cell| init::find(&cell.scheme).ok()) {
            room.frozen_pairs |= scheme.frozen_pair;
            room.spread = room.spread.max(scheme.rule.spread());
            room.quantiser = room.quantiser.or(scheme.rule.quantiser());
            if let Rule::Preheat { ranks, .. } = scheme.rule {
                room.preheat = room.preheat.max(ranks);
            }
        }
        room
    }

    /// The base that runs with this room train on: its adapted weights at what few bits leave of them, if it is stored so.
    pub fn base(&self, base: &Base, target_modules: &[String]) -> Base {
        let Some(quantiser) = self.quantiser else { return base.clone() };
        let adapted = |name: &str| {
            let module = name.trim_end_matches(".weight").rsplit('.').next();
            target_modules.iter().any(|target| module == Some(target))
        };
        let kept = |tensor: &Tensor| match adapted(&tensor.name) {
            true => {
                Tensor { data: Data::F32(quantiser.apply(&tensor.data.to_f32(), tensor.shape[1])), ..tensor.clone() }
            }
            false => tensor.clone(),
        };
        Base { config: base.config.clone(), tensors: base.tensors.iter().map(kept).collect() }
    }

    /// The name of that base.
    pub fn base_name(&self, base: &str) -> String {
        match self.quantiser {
            Some(quantiser) => format!("{base}{}", suffix(quantiser)),
            None => base.to_owned(),
        }
    }

    /// What the name of an adapter's base says of how it is stored.
    pub fn of_base_name(name: &str) -> Room {
        let quantiser = Quantiser::ALL.into_iter().find(|quantiser| name.ends_with(&suffix(*quantiser)));
        Room { quantiser, ..Room::default() }
    }

    /// Room for the most that is ever there at once, the training that comes before included: what memory is planned by.
    #[must_use]
    pub fn whole(self) -> Room {
        Room { spread: self.spread.max(self.preheat), ..self }
    }
}
