//! `loralab rate`: suggests a learning rate for another width and rank, from one that is good at a known width and rank.

use anyhow::Result;
use loralab_core::lora::{
    init::{ALL, find},
    theory::{At, law},
};
use loralab_experiment::{Scaling, factor_text, learning_rate_text, rounded_rate_text};

use crate::{
    args::{RateArguments, Sizes},
    failure::usage,
    terminal::print,
};

/// Prints the rate, its derivation and its source.
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
