//! What `reproduce exponents` found: how quantities of one layer grow with its width, against the theory.

use serde::{Deserialize, Serialize};

use crate::config::names::OptimizerName;

/// `summary.json` of `reproduce exponents`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exponents {
    /// Version of loralab.
    pub version: String,
    /// Wall time, in seconds.
    pub wall_seconds: f64,
    /// How far it came, where it ended before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The n, rising.
    pub widths: Vec<usize>,
    /// Seeds 0 to this less 1, each a layer of its own.
    pub seeds: u64,
    /// R of the layers whose width varies.
    pub rank: usize,
    /// Steps after which the quantities were measured.
    pub steps: usize,
    /// c in η = c n^γ.
    pub constant: f64,
    /// The largest error of δ1 + δ2 + δ3 = ΔZ_B at any step, as a share of the largest term.
    pub identity_error: f64,
    /// Every quantity of every start, optimiser and rate.
    pub cells: Vec<ExponentCell>,
    /// The width at which ranks were varied.
    pub rank_width: usize,
    /// Seeds of the largest stable rates.
    pub rate_seeds: u64,
    /// The largest stable learning rate against width and rank.
    pub rate_laws: Vec<RateLaw>,
}

/// One quantity of one start, optimiser and rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExponentCell {
    /// The start.
    pub scheme: String,
    /// The optimiser.
    pub optimizer: OptimizerName,
    /// γ of the learning rate η = c n^γ.
    pub rate_exponent: f64,
    /// Z_A, Z_B, δ1, δ2, δ3 or B.
    pub quantity: String,
    /// The exponent that the theory gives it.
    pub theory: f64,
    /// The exponents that were measured: over the larger widths, where the leading term rules, and over the paper's.
    pub fits: Vec<ExponentFit>,
    /// The quantity at each width: root mean square over entries and seeds.
    pub magnitudes: Vec<f64>,
}

/// The slope of a line in logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExponentFit {
    /// Smallest width, or rank, of the fit.
    pub from: usize,
    /// Largest.
    pub to: usize,
    /// The exponent.
    pub slope: f64,
    /// Its 95 % interval, over seeds; `None` with fewer than two.
    pub interval: Option<[f64; 2]>,
}

/// What a rate is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLawOf {
    /// n.
    Width,
    /// R.
    Rank,
}

/// The largest stable learning rate of a configuration against width or rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLaw {
    /// Start and multiplier.
    pub configuration: String,
    /// What varies.
    pub of: RateLawOf,
    /// The exponent that the theory gives.
    pub theory: f64,
    /// The exponent that was measured.
    pub fit: ExponentFit,
    /// The widths or ranks.
    pub sizes: Vec<usize>,
    /// The rate at each, root mean square over seeds.
    pub rates: Vec<f64>,
}

impl Exponents {
    /// How far an exponent may be from the theory's and still be called the same.
    pub const TOLERANCE: f64 = 0.05;

    /// The largest distance of a measured exponent from the theory's: by the first fit of every cell, and by every rate.
    pub fn largest_miss(&self) -> f64 {
        let of_cells = self.cells.iter().filter_map(|cell| Some((cell.fits.first()?.slope - cell.theory).abs()));
        of_cells.chain(self.rate_laws.iter().map(|law| (law.fit.slope - law.theory).abs())).fold(0.0, f64::max)
    }

    /// What was found, in plain words.
    pub fn sentence(&self) -> String {
        let near = |miss: f64| miss <= Self::TOLERANCE;
        let cells =
            self.cells.iter().filter(|cell| cell.fits.first().is_some_and(|fit| near((fit.slope - cell.theory).abs())));
        let laws = self.rate_laws.iter().filter(|law| near((law.fit.slope - law.theory).abs()));
        let range = self
            .cells
            .first()
            .and_then(|cell| cell.fits.first())
            .map_or_else(String::new, |fit| format!(" over widths {} to {}", fit.from, fit.to));
        let stopped = self.stopped.as_ref().map_or_else(String::new, |words| format!("{words} "));
        format!(
            "{stopped}{} of {} exponents and {} of {} laws of the largest stable learning rate are within {} of the theory{range}; the \
             largest miss is {:.3}. The parts of ΔZ_B add up to it within {:.0e} of their size.",
            cells.count(),
            self.cells.len(),
            laws.count(),
            self.rate_laws.len(),
            Self::TOLERANCE,
            self.largest_miss(),
            self.identity_error,
        )
    }
}
