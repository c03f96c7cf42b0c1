//! The grid of runs.

use serde::{Deserialize, Serialize};

use crate::config::number::learning_rate_text;

/// Schemes that are others under a second name, each with the first: `schemes = "all"` trains each start once.
pub const SECOND_NAMES: [(&str, &str); 1] = [("peft-default", "init-a-kaiming")];

/// The first name of a scheme, if this is its second.
pub fn first_name(scheme: &str) -> Option<&'static str> {
    SECOND_NAMES.iter().find(|(second, _)| *second == scheme).map(|(_, first)| *first)
}

/// One run of a sweep: what it does not share with the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The initialisation scheme.
    pub scheme: String,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// The seed of the adapter's draw and of the data order.
    pub seed: u64,
}

impl Cell {
    /// A name for files and folders, such as `init-a_lr2e-3_seed0`: ASCII letters, digits, `.`, `-` and `_` only.
    pub fn id(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let scheme: String = self.scheme.chars().map(plain).collect();
        format!("{scheme}_lr{}_seed{}", learning_rate_text(self.learning_rate), self.seed)
    }

    /// All combinations. Schemes change fastest, then learning rates, then seeds: a sweep that is cut short has
    /// compared the schemes at what it has done.
    pub fn grid(schemes: &[String], learning_rates: &[f64], seeds: &[u64]) -> Vec<Self> {
        let mut cells = Vec::with_capacity(schemes.len() * learning_rates.len() * seeds.len());
        for &seed in seeds {
            for &learning_rate in learning_rates {
                cells.extend(schemes.iter().map(|scheme| Self { scheme: scheme.clone(), learning_rate, seed }));
            }
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names() {
        let cell = |scheme: &str, learning_rate| Cell { scheme: scheme.to_owned(), learning_rate, seed: 0 };
        assert_eq!(cell("init-a", 2e-3).id(), "init-a_lr2e-3_seed0");
        assert_eq!(cell("../init b", 0.064).id(), "..-init-b_lr6.4e-2_seed0");
    }

    #[test]
    fn the_grid_holds_every_combination_once() {
        let schemes = ["a", "b"].map(str::to_owned);
        let cells = Cell::grid(&schemes, &[1e-3, 2e-3, 4e-3], &[7, 8]);
        let ids: Vec<_> = cells.iter().map(Cell::id).collect();
        assert_eq!(ids[..3], ["a_lr1e-3_seed7", "b_lr1e-3_seed7", "a_lr2e-3_seed7"]);
        assert_eq!(ids[11], "b_lr4e-3_seed8");
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 12);
    }
}
