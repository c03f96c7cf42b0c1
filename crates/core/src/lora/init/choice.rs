//! Numbers of a scheme that a person may choose: its options.

use std::{fmt, sync::Arc};

use super::{Layer, Rule, Scheme, UnknownScheme, find};

/// A number that a scheme has beside rank and scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The name a person types, such as `gamma`.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// What it is where nobody says otherwise.
    pub default: f64,
    /// What it may be.
    pub domain: Domain,
}

impl Choice {
    /// The number that was chosen, or the default.
    pub(super) fn among(&self, chosen: &[(&'static str, f64)]) -> f64 {
        chosen.iter().find(|(name, _)| *name == self.name).map_or(self.default, |(_, value)| *value)
    }
}

/// What a chosen number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Above 0 and within the range of 32-bit floats.
    Positive,
    /// Above 0 and at most 1.
    Share,
    /// Whole, and not outside of these.
    Whole(u32, u32),
}

impl Domain {
    /// Whether a number is one of them.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Domain::Positive => value > 0.0 && (value as f32).is_normal(),
            Domain::Share => value > 0.0 && value <= 1.0,
            Domain::Whole(least, most) => value.fract() == 0.0 && (f64::from(least)..=f64::from(most)).contains(&value),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Positive => f.write_str("a number above 0 and within the range of 32-bit floats"),
            Domain::Share => f.write_str("a number above 0 and at most 1"),
            Domain::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
        }
    }
}

/// The numbers that were chosen for a scheme, by the names of its options; for the others the defaults hold.
pub type Chosen = Arc<[(&'static str, f64)]>;

/// An option that can't be chosen so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChoiceError {
    /// No such scheme.
    #[error(transparent)]
    Scheme(#[from] UnknownScheme),
    /// No such option.
    #[error("the scheme {scheme} has no option \"{found}\"; {known}")]
    Option {
        /// The scheme.
        scheme: &'static str,
        /// What was asked for.
        found: String,
        /// What there is, in words.
        known: String,
    },
    /// A number out of range.
    #[error("the option {option} of the scheme {scheme} is {found}, but it must be {needed}")]
    Value {
        /// The scheme.
        scheme: &'static str,
        /// The option.
        option: &'static str,
        /// What was asked for.
        found: f64,
        /// What it may be.
        needed: Domain,
    },
    /// An option of a scheme that takes no part.
    #[error(
        "an option of the scheme {0} is chosen, but it is not among the schemes that are trained; remove the option, or add the scheme"
    )]
    Idle(&'static str),
}

impl Scheme {
    /// The numbers that are chosen for this scheme among options of any, each a scheme's name, an option's and a number.
    ///
    /// # Errors
    /// If one of its own is none of its options, or beyond what that may be.
    pub fn chosen<'a>(
        &'static self,
        options: impl IntoIterator<Item = (&'a str, &'a str, f64)>,
    ) -> Result<Chosen, ChoiceError> {
        let own = options.into_iter().filter(|(scheme, ..)| *scheme == self.name);
        own.map(|(_, name, value)| {
            let choice = self.options.iter().find(|choice| choice.name == name).ok_or_else(|| ChoiceError::Option {
                scheme: self.name,
                found: name.to_owned(),
                known: self.options_in_words(),
            })?;
            if choice.domain.holds(value) {
                return Ok((choice.name, value));
            }
            Err(ChoiceError::Value { scheme: self.name, option: choice.name, found: value, needed: choice.domain })
        })
        .collect()
    }

    fn options_in_words(&self) -> String {
        let names: Vec<&str> = self.options.iter().map(|choice| choice.name).collect();
        if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) }
    }

    /// The rule with the numbers of it that were chosen.
    pub fn rule_with(&self, chosen: &[(&'static str, f64)]) -> Rule {
        let value = |name: &str| chosen.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let mut rule = self.rule;
        match &mut rule {
            Rule::Components { spread, settle, .. } => {
                *spread = value("rho").map_or(*spread, |rho| rho as usize);
                *settle = value("tau").unwrap_or(*settle);
            }
            Rule::Triplets { sketch, .. } => {
                sketch.iterations = value("niter").map_or(sketch.iterations, |niter| niter as usize);
            }
            Rule::Preheat { ranks, share, counted, .. } => {
                *ranks = value("ranks").map_or(*ranks, |ranks| ranks as usize);
                *share = value("share").unwrap_or(*share);
                *counted = value("counted").map_or(*counted, |counted| counted == 1.0);
            }
            Rule::Fill(_)
            | Rule::Draw(_)
            | Rule::Weights(_)
            | Rule::Product { .. }
            | Rule::Quantised(..)
            | Rule::Activations { .. }
            | Rule::Gradients { .. } => {}
        }
        rule
    }
}

/// Sees that every option belongs to a scheme among `schemes`, and can be chosen so.
///
/// # Errors
/// The first that is wrong.
pub fn check_options<'a>(
    schemes: &[String],
    options: impl IntoIterator<Item = (&'a str, &'a str, f64)>,
) -> Result<(), ChoiceError> {
    for option in options {
        let scheme = find(option.0)?;
        scheme.chosen([option])?;
        if !schemes.iter().any(|name| name == scheme.name) {
            return Err(ChoiceError::Idle(scheme.name));
        }
    }
    Ok(())
}

impl Layer<'_> {
    /// The number that was chosen, or its default.
    pub(super) fn value(&self, choice: &Choice) -> f64 {
        choice.among(self.chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ALL;
    use super::*;

    #[test]
    fn what_exists_is_said() {
        let eva = find("eva").expect("listed");
        let wrong = |option, value| eva.chosen([("eva", option, value)]).expect_err(option).to_string();
        assert_eq!(wrong("rh", 1.0), "the scheme eva has no option \"rh\"; it has rho, tau");
        assert_eq!(
            wrong("rho", 1.5),
            "the option rho of the scheme eva is 1.5, but it must be a whole number from 1 to 8"
        );
        let init_a = find("init-a").expect("listed");
        let none = init_a.chosen([("init-a", "x", 1.0)]).expect_err("it has none").to_string();
        assert!(none.ends_with("it has none"), "{none}");
        let schemes = ["eva".to_owned()];
        assert_eq!(check_options(&schemes, [("eva", "rho", 1.0)]), Ok(()));
        assert_eq!(check_options(&schemes, [("hrp", "share", 0.1)]), Err(ChoiceError::Idle("hrp")));
        assert!(matches!(check_options(&schemes, [("evil", "rho", 1.0)]), Err(ChoiceError::Scheme(_))));
    }

    #[test]
    fn defaults_are_what_they_may_be_and_leave_the_rule_as_it_is() {
        for scheme in ALL {
            let defaults: Vec<_> = scheme.options.iter().map(|choice| (choice.name, choice.default)).collect();
            for choice in scheme.options {
                assert!(choice.domain.holds(choice.default), "{}.{}", scheme.name, choice.name);
            }
            assert_eq!(format!("{:?}", scheme.rule_with(&defaults)), format!("{:?}", scheme.rule), "{}", scheme.name);
        }
        let hrp = find("hrp").expect("listed");
        let Rule::Preheat { ranks, share, .. } = hrp.rule_with(&[("ranks", 2.0), ("share", 0.5)]) else {
            panic!("hrp preheats");
        };
        assert_eq!((ranks, share), (2, 0.5));
        let steps = |chosen: &[(&'static str, f64)]| {
            let rule = hrp.rule_with(chosen);
            (rule.steps_before(101), rule.steps_left(101))
        };
        assert_eq!((steps(&[]), steps(&[("counted", 1.0)])), ((6, 101), (6, 95)));
        assert_eq!(steps(&[("counted", 1.0), ("share", 1.0)]), (101, 0));
    }
}
