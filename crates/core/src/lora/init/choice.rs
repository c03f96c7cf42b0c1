//! The options of a scheme: values that the user may set, each of a type of its own. Users write them as numbers, a switch as 0 or 1.

use std::{fmt, sync::Arc};

use super::{Layer, Rule, Scheme, UnknownScheme, find};

/// An option of a scheme, besides rank and scale.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T = Value> {
    /// The option's name on the command line and in files, such as `gamma`.
    pub name: &'static str,
    /// A short description.
    pub about: &'static str,
    /// The default value.
    pub default: T,
    /// The allowed values.
    pub domain: Domain,
    /// Sets a value in the scheme's rule, if the rule has it.
    set: fn(&mut Rule, T),
}

/// A value of an option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A real number.
    Number(f64),
    /// An integer.
    Count(usize),
    /// On or off.
    Switch(bool),
}

/// An option of any type, as schemes list them.
#[derive(Clone, Copy, Debug)]
pub enum AnyChoice {
    /// Of real numbers.
    Number(&'static Choice<f64>),
    /// Of integers.
    Count(&'static Choice<usize>),
    /// On or off.
    Switch(&'static Choice<bool>),
}

/// A type of options.
pub trait Typed: Copy {
    /// The value, if it is of this type.
    fn of(value: Value) -> Option<Self>;
}

impl Typed for f64 {
    fn of(value: Value) -> Option<f64> {
        if let Value::Number(value) = value { Some(value) } else { None }
    }
}

impl Typed for usize {
    fn of(value: Value) -> Option<usize> {
        if let Value::Count(value) = value { Some(value) } else { None }
    }
}

impl Typed for bool {
    fn of(value: Value) -> Option<bool> {
        if let Value::Switch(value) = value { Some(value) } else { None }
    }
}

impl Choice<f64> {
    /// An option of real numbers.
    pub(super) const fn number(name: &'static str, about: &'static str, default: f64, domain: Domain) -> Self {
        Choice { name, about, default, domain, set: |_, _| () }
    }
}

impl Choice<usize> {
    /// An option of integers from `least` to `most`.
    pub(super) const fn count(
        name: &'static str,
        about: &'static str,
        default: usize,
        [least, most]: [u32; 2],
    ) -> Self {
        Choice { name, about, default, domain: Domain::Whole(least, most), set: |_, _| () }
    }
}

impl Choice<bool> {
    /// An option that is off by default.
    pub(super) const fn switch(name: &'static str, about: &'static str) -> Self {
        Choice { name, about, default: false, domain: Domain::Whole(0, 1), set: |_, _| () }
    }
}

impl<T: Typed> Choice<T> {
    /// The same option with a function that sets its value in the scheme's rule.
    pub(super) const fn sets(mut self, set: fn(&mut Rule, T)) -> Self {
        self.set = set;
        self
    }

    /// The chosen value, or the default.
    pub(super) fn among(&self, chosen: &[(&'static str, Value)]) -> T {
        let own = chosen.iter().find(|(name, _)| *name == self.name);
        own.and_then(|(_, value)| T::of(*value)).unwrap_or(self.default)
    }

    fn apply(&self, rule: &mut Rule, chosen: &[(&'static str, Value)]) {
        (self.set)(rule, self.among(chosen));
    }
}

impl AnyChoice {
    /// The option with its default as a [`Value`].
    pub fn described(self) -> Choice {
        fn of<T: Copy>(choice: &Choice<T>, default: impl Fn(T) -> Value) -> Choice {
            let Choice { name, about, domain, .. } = *choice;
            Choice { name, about, default: default(choice.default), domain, set: |_, _| () }
        }
        match self {
            AnyChoice::Number(choice) => of(choice, Value::Number),
            AnyChoice::Count(choice) => of(choice, Value::Count),
            AnyChoice::Switch(choice) => of(choice, Value::Switch),
        }
    }

    /// The value that a number stands for; `None` if it is not allowed.
    fn value(self, number: f64) -> Option<Value> {
        if !self.described().domain.holds(number) {
            return None;
        }
        Some(match self {
            AnyChoice::Number(_) => Value::Number(number),
            AnyChoice::Count(_) => Value::Count(number as usize),
            AnyChoice::Switch(_) => Value::Switch(number == 1.0),
        })
    }

    fn apply(self, rule: &mut Rule, chosen: &[(&'static str, Value)]) {
        match self {
            AnyChoice::Number(choice) => choice.apply(rule, chosen),
            AnyChoice::Count(choice) => choice.apply(rule, chosen),
            AnyChoice::Switch(choice) => choice.apply(rule, chosen),
        }
    }
}

impl Value {
    /// The number that stands for it.
    pub fn number(self) -> f64 {
        match self {
            Value::Number(number) => number,
            Value::Count(count) => count as f64,
            Value::Switch(on) => f64::from(u8::from(on)),
        }
    }
}

/// The allowed values of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Above 0 and within the range of 32-bit floats.
    Positive,
    /// Above 0 and at most 1.
    Share,
    /// An integer between the two bounds, both included.
    Whole(u32, u32),
}

impl Domain {
    /// True if the value is allowed.
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

/// The option values set for a scheme, by option name; options that are absent have their defaults.
pub type Chosen = Arc<[(&'static str, Value)]>;

/// The reasons that an option can't be set.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChoiceError {
    /// The scheme does not exist.
    #[error(transparent)]
    Scheme(#[from] UnknownScheme),
    /// The scheme has no such option.
    #[error("the scheme {scheme} has no option \"{found}\"; {known}")]
    Option {
        /// The scheme.
        scheme: &'static str,
        /// The name that was given.
        found: String,
        /// The options that the scheme has, for the message.
        known: String,
    },
    /// The value is out of range.
    #[error("the option {option} of the scheme {scheme} is {found}, but it must be {needed}")]
    Value {
        /// The scheme.
        scheme: &'static str,
        /// The option.
        option: &'static str,
        /// The value that was given.
        found: f64,
        /// The allowed values.
        needed: Domain,
    },
    /// The option belongs to a scheme that the experiment does not use.
    #[error(
        "an option of the scheme {0} is chosen, but it is not among the schemes that are trained; remove the option, or add the scheme"
    )]
    Idle(&'static str),
}

impl Scheme {
    /// The values set for this scheme, from options of any scheme as (scheme, option, value).
    ///
    /// # Errors
    /// If the scheme has no such option, or the value is not allowed.
    pub fn chosen<'a>(
        &'static self,
        options: impl IntoIterator<Item = (&'a str, &'a str, f64)>,
    ) -> Result<Chosen, ChoiceError> {
        let own = options.into_iter().filter(|(scheme, ..)| *scheme == self.name);
        own.map(|(_, name, number)| {
            let mut options = self.options.iter().map(|option| (option, option.described()));
            let (option, choice) = options.find(|(_, choice)| choice.name == name).ok_or_else(|| {
                ChoiceError::Option { scheme: self.name, found: name.to_owned(), known: self.options_in_words() }
            })?;
            let refused =
                || ChoiceError::Value { scheme: self.name, option: choice.name, found: number, needed: choice.domain };
            Ok((choice.name, option.value(number).ok_or_else(refused)?))
        })
        .collect()
    }

    fn options_in_words(&self) -> String {
        let names: Vec<&str> = self.options.iter().map(|option| option.described().name).collect();
        if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) }
    }

    /// The rule with the values set for its options.
    pub fn rule_with(&self, chosen: &[(&'static str, Value)]) -> Rule {
        let mut rule = self.rule;
        self.options.iter().for_each(|option| option.apply(&mut rule, chosen));
        rule
    }
}

/// Checks that every option belongs to one of `schemes` and has an allowed value.
///
/// # Errors
/// The first option that is wrong.
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
    /// The chosen value, or the default.
    pub(super) fn value<T: Typed>(&self, choice: &Choice<T>) -> T {
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
            let choices: Vec<Choice> = scheme.options.iter().map(|option| option.described()).collect();
            let defaults: Vec<_> = choices.iter().map(|choice| (choice.name, choice.default)).collect();
            for choice in choices {
                assert!(choice.domain.holds(choice.default.number()), "{}.{}", scheme.name, choice.name);
            }
            assert_eq!(format!("{:?}", scheme.rule_with(&defaults)), format!("{:?}", scheme.rule), "{}", scheme.name);
        }
        let hrp = find("hrp").expect("listed");
        let Rule::Preheat { ranks, share, .. } =
            hrp.rule_with(&[("ranks", Value::Count(2)), ("share", Value::Number(0.5))])
        else {
            panic!("hrp preheats");
        };
        assert_eq!((ranks, share), (2, 0.5));
        let steps = |chosen: &[(&'static str, Value)]| {
            let rule = hrp.rule_with(chosen);
            (rule.steps_before(101), rule.steps_left(101))
        };
        assert_eq!((steps(&[]), steps(&[("counted", Value::Switch(true))])), ((6, 101), (6, 95)));
        assert_eq!(steps(&[("counted", Value::Switch(true)), ("share", Value::Number(1.0))]), (101, 0));
    }
}
