//! A figure that was measured several times.

use std::fmt;

/// The median of several measurements, and how far they lie apart.
#[derive(Clone, Copy)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub greatest: f64,
}

impl Spread {
    /// Of at least one measurement.
    pub fn of(mut measured: Vec<f64>) -> Spread {
        measured.sort_by(f64::total_cmp);
        let last = measured.len() - 1;
        let median = (measured[last / 2] + measured[last.div_ceil(2)]) / 2.0;
        Spread { least: measured[0], median, greatest: measured[last] }
    }

    /// In another unit.
    pub fn scaled(self, factor: f64) -> Spread {
        Spread { least: factor * self.least, median: factor * self.median, greatest: factor * self.greatest }
    }
}

impl fmt::Display for Spread {
    /// With as many decimals as the format asks for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(0);
        let Spread { least, median, greatest } = self;
        write!(f, "{median:.decimals$} ({least:.decimals$}–{greatest:.decimals$})")
    }
}
