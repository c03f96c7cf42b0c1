//! Modules of different ranks: PEFT's `rank_pattern` and `alpha_pattern`.
//!
//! In memory all modules have the rank of the adapter, some with zeros at the end. In a file each has its own, a module of rank 0 is not there, and every α is
//! the scale times the rank, so that all modules keep one scale.

use serde_json::{Map, Value, json};

use super::{Adapter, Module, covers};

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

/// What a pattern says of a module: PEFT takes the first entry whose key is its name or the last parts of it.
pub(super) fn said(pattern: &Map<String, Value>, module: &str) -> Option<f64> {
    pattern.iter().find(|(key, _)| covers(key, module)).and_then(|(_, value)| value.as_f64())
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

    /// Brings modules that were read at their own ranks and scales to one of each: the highest rank, and the scale of the adapter, which B makes up for.
    pub(super) fn level(&mut self, of_module: impl Fn(&str, usize) -> f64, ranks: &[usize]) {
        let (scale, highest) = (self.scale(), ranks.iter().copied().max().unwrap_or(self.rank));
        let alike = |(module, rank): (&Module, &usize)| *rank == self.rank && of_module(&module.name, *rank) == scale;
        if self.modules.iter().zip(ranks).all(alike) {
            return;
        }
        for (module, &rank) in self.modules.iter_mut().zip(ranks) {
            let own = of_module(&module.name, rank);
            *module = module.of_rank(rank, highest);
            if own != scale {
                let factor = (own / scale) as f32;
                module.b.iter_mut().for_each(|x| *x *= factor);
            }
        }
        (self.rank, self.alpha, self.use_rslora) = (highest, scale * highest as f64, false);
    }
}
