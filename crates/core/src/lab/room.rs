//! What the plan of some runs has to have room for.

use loralab_experiment::Cell;

use crate::init::{self, Rule};

/// What a plan has room for beside adapters of the experiment's rank. Runs that need different room are trained in different cohorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Frozen second pairs.
    pub frozen_pairs: bool,
    /// The rank of the plan's adapters, in multiples of the experiment's.
    pub spread: usize,
    /// The rank of the training that comes before, in the same multiples.
    pub preheat: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { frozen_pairs: false, spread: 1, preheat: 1 }
    }
}

impl Room {
    /// What these cells need. A scheme that does not exist needs nothing.
    pub fn of<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Room {
        let mut room = Room::default();
        for scheme in cells.into_iter().filter_map(|cell| init::find(&cell.scheme).ok()) {
            room.frozen_pairs |= scheme.frozen_pair;
            room.spread = room.spread.max(scheme.rule.spread());
            if let Rule::Preheat { ranks, .. } = scheme.rule {
                room.preheat = room.preheat.max(ranks);
            }
        }
        room
    }

    /// The highest rank that is ever there at once, in multiples of the experiment's.
    pub fn most(&self) -> usize {
        self.spread.max(self.preheat)
    }
}
