//! The arguments of `loralab rate`.

use std::str::FromStr;

use clap::Args;

use super::values::positive;

/// `loralab rate`.
#[derive(Debug, Args)]
pub struct RateArguments {
    /// The initialisation scheme: init-a or init-b, or a variant of either
    #[arg(value_name = "SCHEME")]
    pub scheme: String,
    /// A good learning rate, with its width and rank: 2e-4@1024x8
    #[arg(long, value_name = "RATE@WIDTHxRANK")]
    pub known: Known,
    /// The width (inputs of a layer) and rank to suggest a rate for: 4096x32
    #[arg(long = "for", value_name = "WIDTHxRANK")]
    pub wanted: Sizes,
    /// α, at both widths and ranks
    #[arg(long, value_name = "X", default_value = "16", value_parser = positive)]
    pub alpha: f64,
    /// Scaling of the adapter's product, at both: classic (alpha / rank) or rslora (alpha / √rank)
    #[arg(long, value_name = "NAME", default_value = "classic")]
    pub scaling: String,
}

/// `WIDTHxRANK`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub width: usize,
    pub rank: usize,
}

/// `RATE@WIDTHxRANK`.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub rate: f64,
    pub at: Sizes,
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
