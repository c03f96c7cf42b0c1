//! Modules of different ranks.
//!
//! In memory all modules have the rank of the adapter, some with zeros at the end. In a file each has its own, a module of rank 0 is not there, and every α is
//! the scale times the rank, so that all modules keep one scale.

use serde_json::{Map, Value, json};

use super::{Adapter, AdapterError, Module};

/// How many times as large as in its file an adapter may become where all its modules get the highest rank.
const MOST_FILLED: u128 = 64;

/// The settings of the ranks of some modules.
#[derive(Debug, PartialEq)]
pub(super) struct Ranks {
    /// The rank of most.
    pub rank: usize,
    /// Ranks of the others, by name.
    pub rank_pattern: Map<String, Value>,
    /// Their α.
    pub alpha_pattern: Map<String, Value>,
}

impl Ranks {
    /// Of modules with these names and ranks, at one scale.
    pub fn of(modules: &[(&str, usize)], scale: f64) -> Ranks {
        let count = |rank: usize| modules.iter().filter(|(_, other)| *other == rank).count();
        let most = modules.iter().map(|(_, rank)| *rank).max_by_key(|&rank| (count(rank), rank)).unwrap_or(0);
        let others = || modules.iter().filter(|(_, rank)| *rank != most);
        Ranks {
            rank: most,
            rank_pattern: others().map(|(name, rank)| ((*name).to_owned(), json!(rank))).collect(),
            alpha_pattern: others().map(|(name, rank)| ((*name).to_owned(), json!(scale * *rank as f64))).collect(),
        }
    }
}

impl Module {
    /// The rank without zeros at the end: what the rest of both factors, of the frozen pair too, contributes nothing to.
    pub(super) fn own_rank(&self, rank: usize) -> usize {
        let frozen = self.frozen.as_ref().map(|(a, b)| (a, b));
        let pairs = [Some((&self.a, &self.b)), frozen];
        let used = |k: usize| {
            pairs.iter().flatten().any(|(a, b)| {
                a[k * self.inputs..(k + 1) * self.inputs].iter().any(|x| *x != 0.0)
                    || b.chunks_exact(rank).any(|row| row[k] != 0.0)
            })
        };
        (0..rank).rev().find(|&k| used(k)).map_or(0, |last| last + 1)
    }

    /// The module at another rank: cut where it is lower, filled with zeros where it is higher.
    #[must_use]
    pub(super) fn of_rank(&self, from: usize, to: usize) -> Module {
        let a = |a: &[f32]| {
            let mut a = a[..from.min(to) * self.inputs].to_vec();
            a.resize(to * self.inputs, 0.0);
            a
        };
        let b = |b: &[f32]| {
            let row = |row: usize, k: usize| if k < from { b[row * from + k] } else { 0.0 };
            (0..self.outputs).flat_map(|out| (0..to).map(move |k| row(out, k))).collect()
        };
        Module {
            a: a(&self.a),
            b: b(&self.b),
            frozen: self.frozen.as_ref().map(|(a_0, b_0)| (a(a_0), b(b_0))),
            ..self.clone()
        }
    }
}

impl Adapter {
    /// The same adapter with each module at its own rank, and what ranks they are; modules of rank 0 are left out, and those that remain are named in full
    /// where any was.
    pub(super) fn trimmed(&self) -> (Vec<(Module, usize)>, Vec<String>) {
        let ranks = self.modules.iter().map(|module| module.own_rank(self.rank));
        let kept: Vec<(Module, usize)> = self
            .modules
            .iter()
            .zip(ranks)
            .filter(|(_, rank)| *rank > 0)
            .map(|(module, rank)| (module.of_rank(self.rank, rank), rank))
            .collect();
        let targets = if kept.len() == self.modules.len() {
            self.target_modules.clone()
        } else {
            kept.iter().map(|(module, _)| module.name.clone()).collect()
        };
        (kept, targets)
    }

    /// Brings modules that were read at their own ranks and scales to one of each: the highest rank, and the scale of the largest magnitude, which B makes up for
    /// elsewhere. So no value of B grows, and a scale of 0 is no obstacle.
    ///
    /// # Errors
    /// [`AdapterError::Ranks`] if that would take much more memory than the file.
    pub(super) fn level(
        &mut self,
        of_module: impl Fn(&str, usize) -> f64,
        ranks: &[usize],
    ) -> Result<(), AdapterError> {
        let (scale, highest) = (self.scale(), ranks.iter().copied().max().unwrap_or(self.rank));
        let own: Vec<f64> =
            self.modules.iter().zip(ranks).map(|(module, rank)| of_module(&module.name, *rank)).collect();
        if own.iter().zip(ranks).all(|(own, rank)| *rank == self.rank && *own == scale) {
            return Ok(());
        }
        let size = |module: &Module, rank: usize| (module.inputs as u128 + module.outputs as u128) * rank as u128;
        let read: u128 = self.modules.iter().zip(ranks).map(|(module, rank)| size(module, *rank)).sum();
        let filled: u128 = self.modules.iter().map(|module| size(module, highest)).sum();
        if filled > MOST_FILLED * read {
            return Err(AdapterError::Ranks { lowest: ranks.iter().copied().min().unwrap_or(0), highest });
        }
        let largest = own.iter().copied().reduce(|most, own| if own.abs() > most.abs() { own } else { most });
        let largest = largest.unwrap_or(scale);
        for ((module, &rank), own) in self.modules.iter_mut().zip(ranks).zip(own) {
            *module = module.of_rank(rank, highest);
            if own != largest {
                let factor = (own / largest) as f32;
                module.b.iter_mut().for_each(|x| *x *= factor);
            }
        }
        (self.rank, self.alpha, self.use_rslora) = (highest, largest * highest as f64, false);
        Ok(())
    }
}
