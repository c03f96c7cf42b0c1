//! Modules of different ranks.
//!
//! In memory all modules have the rank of the adapter, some with zeros at the end, and a scale that is a multiple of the adapter's. In a file each has its own
//! rank, a module of rank 0 is absent, and every α is the module's scale times its rank.

use serde_json::{Map, Value, json};

use super::{Adapter, AdapterError, Module};

/// The most that an adapter may grow in memory over its file, if all modules get the highest rank.
const MOST_FILLED: u128 = 64;

/// The rank settings of a PEFT configuration.
#[derive(Debug, PartialEq)]
pub(super) struct Ranks {
    /// The rank of most modules.
    pub rank: usize,
    /// The ranks of the others, by name.
    pub rank_pattern: Map<String, Value>,
    /// The α of the others, by name.
    pub alpha_pattern: Map<String, Value>,
}

impl Ranks {
    /// The settings for modules of these ranks in an adapter of this scale.
    pub fn of(modules: &[(&Module, usize)], scale: f64) -> Ranks {
        let count = |rank: usize| modules.iter().filter(|(_, other)| *other == rank).count();
        let most = modules.iter().map(|(_, rank)| *rank).max_by_key(|&rank| (count(rank), rank)).unwrap_or(0);
        let of_rank = modules.iter().filter(|(_, rank)| *rank != most);
        let of_scale = modules.iter().filter(|(module, rank)| *rank != most || module.factor != 1.0);
        let alpha = |module: &Module, rank: usize| json!(scale * module.factor * rank as f64);
        Ranks {
            rank: most,
            rank_pattern: of_rank.map(|(module, rank)| (module.name.clone(), json!(rank))).collect(),
            alpha_pattern: of_scale.map(|(module, rank)| (module.name.clone(), alpha(module, *rank))).collect(),
        }
    }
}

impl Module {
    /// The rank without trailing zeros: the remaining columns of both factors and of the frozen pair contribute nothing.
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

    /// The module at another rank: cut if it is lower, padded with zeros if it is higher.
    #[must_use]
    pub(crate) fn of_rank(&self, from: usize, to: usize) -> Module {
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
    /// The same adapter with each module at its own rank, and those ranks. Modules of rank 0 are left out; if any was, the target modules are the full names of
    /// the others.
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

    /// Brings modules that were read at their own ranks and scales to a common rank, the highest, and to multiples of a common scale, that of the largest
    /// magnitude. So a scale of 0 is no obstacle.
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
                module.factor = own / largest;
            }
        }
        (self.rank, self.alpha, self.use_rslora) = (highest, largest * highest as f64, false);
        Ok(())
    }
}
