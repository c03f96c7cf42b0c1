//! `loralab reproduce exponents`.

use anyhow::Result;
use loralab_core::lora::theory::{Grid, Measured, Ranks, count_of_rates, exponents, stable_rates};
use loralab_experiment::{Exponents, Reproduction};

use super::{Watch, finish, parts::Parts};
use crate::{args::ExponentsArguments, failure::usage, interrupt::Interrupt, resume::Begun};

/// The paper's narrowest layer, as a power of two.
const NARROWEST: u32 = 7;

/// Most seeds for the largest stable rates: each needs many layers to find, and they scatter little.
const RATE_SEEDS: u64 = 8;

/// Measures the exponents and writes them down.
pub fn reproduce(arguments: &ExponentsArguments, begun: &Begun) -> Result<()> {
    let ExponentsArguments { widest, seeds, rank, steps, constant, ref output } = *arguments;
    let grid = grid(widest, seeds, rank, steps, constant)?;
    let interrupt = Interrupt::listen(output.quiet);
    let results = output.claim(begun)?;
    let mut parts = Parts::of(&results)?;
    let (cells, identity_error, mut complete) = match parts.get("cells")? {
        Some((cells, identity_error)) => (cells, identity_error, true),
        None => {
            let mut watch = Watch::new(output, &interrupt, "layers", grid.layers());
            let Measured { cells, identity_error, complete } = exponents(&grid, |done| watch.done(done));
            watch.end();
            if complete {
                parts.put(&results, "cells", &(&cells, identity_error))?;
            }
            (cells, identity_error, complete)
        }
    };
    if cells.is_empty() {
        return Err(output.stopped_early(&interrupt, &results));
    }
    // Ranks stay well below the width, as the theory assumes.
    let rank_width = widest.min(1 << 13);
    let ranks =
        Ranks { ranks: (2..=6).map(|k| 1 << k).filter(|rank| rank * 16 <= rank_width).collect(), width: rank_width };
    let of_rates = Grid { seeds: seeds.min(RATE_SEEDS), ..grid.clone() };
    let mut rate_laws = vec![];
    if complete {
        (rate_laws, complete) = match parts.get("rates")? {
            Some(laws) => (laws, true),
            None => {
                let mut watch = Watch::new(output, &interrupt, "rates", count_of_rates(&of_rates, &ranks));
                let found = stable_rates(&of_rates, &ranks, |done| watch.done(done));
                watch.end();
                found
            }
        };
        if complete {
            parts.put(&results, "rates", &rate_laws)?;
        }
    }
    let missing = "Stopped before its end: starts, optimisers, rates and laws that are missing here were not measured.";
    let found = Exponents {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        wall_seconds: parts.seconds(),
        stopped: (!complete).then(|| missing.to_owned()),
        widths: grid.widths,
        seeds,
        rank,
        steps,
        constant,
        identity_error,
        cells,
        rank_width,
        rate_seeds: of_rates.seeds,
        rate_laws,
    };
    finish(output, results, &Reproduction::Exponents(found))?;
    if complete { Ok(()) } else { Err(output.stopped_with_part(&interrupt)) }
}

fn grid(widest: usize, seeds: u64, rank: usize, steps: usize, constant: f64) -> Result<Grid> {
    const WIDEST: usize = 1 << 18;
    if !(1 << (NARROWEST + 1)..=WIDEST).contains(&widest) || !widest.is_power_of_two() {
        return Err(usage(format_args!(
            "`--widest` is {widest}, but it must be a power of two from {} to {WIDEST}; for example `--widest 32768`",
            1 << (NARROWEST + 1)
        )));
    }
    if seeds == 0 || seeds > 1000 {
        return Err(usage(format_args!(
            "`--seeds` is {seeds}, but it must be from 1 to 1000; for example `--seeds 20`"
        )));
    }
    if rank == 0 || rank > 1 << NARROWEST {
        return Err(usage(format_args!(
            "`--rank` is {rank}, but it must be from 1 to {}, the narrowest width; for example `--rank 4`",
            1 << NARROWEST
        )));
    }
    if !(3..=1000).contains(&steps) {
        return Err(usage(format_args!(
            "`--steps` is {steps}, but it must be from 3 to 1000; for example `--steps 5`"
        )));
    }
    let widths = (NARROWEST..=widest.ilog2()).map(|k| 1 << k).collect();
    Ok(Grid { widths, seeds, rank, steps, constant })
}
