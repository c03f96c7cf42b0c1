//! `loralab rate`: from a learning rate that is good at one width and rank, one to try at another.

use std::str::FromStr;

use anyhow::Result;
use clap::Args;
use loralab_core::lora::{
    init::{ALL, find},
    theory::{At, law},
};
use loralab_experiment::{Scaling, factor_text, learning_rate_text, rounded_rate_text};

use crate::{failure::usage, terminal::print, values::positive};

/// `loralab rate`.
#[derive(Debug, Args)]
pub struct RateArguments {
    /// The initialisation scheme: init-a or init-b, or one of their kind
    #[arg(value_name = "SCHEME")]
    scheme: String,
    /// A learning rate that is good, with the width and the rank at which it is: 2e-4@1024x8
    #[arg(long, value_name = "RATE@WIDTHxRANK")]
    known: Known,
    /// The width, that is the inputs of a layer, and the rank at which one is wanted: 4096x32
    #[arg(long = "for", value_name = "WIDTHxRANK")]
    wanted: Sizes,
    /// α, at both
    #[arg(long, value_name = "X", default_value = "16", value_parser = positive)]
    alpha: f64,
    /// How the adapter's product is scaled, at both: classic (alpha / rank) or rslora (alpha / √rank)
    #[arg(long, value_name = "NAME", default_value = "classic")]
    scaling: String,
}

/// `WIDTHxRANK`.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    width: usize,
    rank: usize,
}

/// `RATE@WIDTHxRANK`.
#[derive(Clone, Copy, Debug)]
struct Known {
    rate: f64,
    at: Sizes,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |text: &str| text.trim().parse().ok().filter(|&size: &usize| size > 0);
        let sizes =
            text.split_once('x').and_then(|(width, rank)| Some(Self { width: read(width)?, rank: read(rank)? }));
        sizes.ok_or_else(|| "it must be two whole numbers above 0 with an x between, such as 4096x32".to_owned())
    }
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, at) =
            text.split_once('@').ok_or("it must be a rate, an @, a width, an x and a rank: 2e-4@1024x8")?;
        let rate = positive(rate.trim()).map_err(|needed| format!("of the rate, {needed}"))?;
        Ok(Self { rate, at: at.parse()? })
    }
}

/// Prints the rate, how it comes about, and on what grounds.
///
/// # Errors
/// If there is no such scheme, or no rule for it.
pub fn rate(arguments: &RateArguments) -> Result<()> {
    let RateArguments { scheme, known, wanted, alpha, scaling } = arguments;
    let scheme = find(scheme).map_err(usage)?;
    let scaling = Scaling::named(scaling).map_err(usage)?;
    let Some(law) = law(scheme) else {
        let with: Vec<_> = ALL.iter().filter(|scheme| law(scheme).is_some()).map(|scheme| scheme.name).collect();
        return Err(usage(format_args!(
            "nobody has said how the best rate of {} goes with width and rank; there is a rule for {}. Try `loralab sweep --learning-rates auto`",
            scheme.name,
            with.join(", ")
        )));
    };
    let at = |sizes: &Sizes| {
        let Sizes { width, rank } = *sizes;
        At { width, rank, scale: scaling.scale(*alpha, rank) }
    };
    let (from, to) = (at(&known.at), at(wanted));
    let found = known.rate * law.factor(from, to);
    let kind = if law.width == -1.0 { "1/(width · s)" } else { "1/√(width · rank · s)" };
    print(format_args!(
        "{}\n\nThat is {} times {} at width {}, rank {}, s {}: here width {}, rank {}, s {}.\n\
         On the grounds of muA (Chen, Villar, Hayou 2026, arXiv 2602.06204): as the model grows, and with Adam, the best rate of {} goes as {kind}.\n\
         A rule of exponents: it knows no constants, and nothing of steps, batch or data. Sweep around it: --learning-rates {}",
        rounded_rate_text(found),
        factor_text(law.factor(from, to)),
        learning_rate_text(known.rate),
        from.width,
        from.rank,
        from.scale,
        to.width,
        to.rank,
        to.scale,
        scheme.name,
        [0.5, 1.0, 2.0].map(|times| rounded_rate_text(times * found)).join(","),
    ))?;
    Ok(())
}
