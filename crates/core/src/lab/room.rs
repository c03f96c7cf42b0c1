//! What the plan of some runs has to have room for.

use loralab_experiment::{Cell, Resolved};

use super::translate::options;
use crate::{
    graph::memory::{Data, Tensor},
    lora::init::{self, Quantiser, Rule},
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

/// What the name of a base goes on with before its quantiser.
const QUANTISED: &str = ", its adapted weights quantised to ";
/// What follows that where one round is not all; the rounds stand before the second and the rank after it.
const ROUNDS: [&str; 2] = [" in ", " rounds of rank "];

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

    /// The name of that base.
    pub fn base_name(&self, base: &str) -> String {
        match (self.quantiser, self.rounds) {
            (Some(quantiser), (1, _)) => format!("{base}{QUANTISED}{quantiser}"),
            (Some(quantiser), (rounds, rank)) => {
                format!("{base}{QUANTISED}{quantiser}{}{rounds}{}{rank}", ROUNDS[0], ROUNDS[1])
            }
            (None, _) => base.to_owned(),
        }
    }

    /// What the name of an adapter's base says of how it is stored.
    pub fn of_base_name(name: &str) -> Room {
        let Some((_, stored)) = name.rsplit_once(QUANTISED) else { return Room::default() };
        let rounds = |text: &str| {
            let (rounds, rank) = text.split_once(ROUNDS[1])?;
            Some((rounds.parse().ok()?, rank.parse().ok()?))
        };
        let (quantiser, rounds) = match stored.split_once(ROUNDS[0]) {
            Some((quantiser, text)) => (quantiser, rounds(text)),
            None => (stored, Some((1, 0))),
        };
        let quantiser = Quantiser::ALL.into_iter().find(|known| known.to_string() == quantiser);
        match (quantiser, rounds) {
            (Some(_), Some(rounds)) => Room { quantiser, rounds, ..Room::default() },
            _ => Room::default(),
        }
    }

    /// The name of an adapter's base without what it says of how it is stored.
    pub fn bare_name(name: &str) -> &str {
        let quantised = Room::of_base_name(name).quantiser.is_some();
        name.rsplit_once(QUANTISED).filter(|_| quantised).map_or(name, |(bare, _)| bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_base_says_how_it_is_stored() {
        for quantiser in Quantiser::ALL {
            for rounds in [(1, 0), (5, 8)] {
                let room = Room { quantiser: Some(quantiser), rounds, ..Room::default() };
                let name = room.base_name("my in base");
                assert_eq!((Room::of_base_name(&name), Room::bare_name(&name)), (room, "my in base"));
            }
        }
        assert_eq!(Room::default().base_name("tiny"), "tiny");
        for name in
            ["tiny", "tiny, its adapted weights quantised to nf5", "x, its adapted weights quantised to nf4 in 5"]
        {
            assert_eq!((Room::of_base_name(name), Room::bare_name(name)), (Room::default(), name));
        }
    }
}
