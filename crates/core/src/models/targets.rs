//! PEFT's rules for the modules that carry adapters: `target_modules`, `exclude_modules`, `layers_to_transform` and `layers_pattern`.
//!
//! The rules and their precedence are those of `check_target_module_exists` in `peft/tuners/tuners_utils.py` (PEFT 0.21): exclusion first, then the target,
//! then the layer. A name is a module's full name or its end after a dot; a regular expression matches full names from beginning to end.

use regex_lite::Regex;

use super::Linear;

/// The rules of an adapter. An empty list is a rule that is not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetRules<'a> {
    /// Names, or one regular expression; none for every linear map that can carry an adapter.
    pub target_modules: Option<&'a [String]>,
    /// Names, or one regular expression, of modules that carry none.
    pub exclude_modules: &'a [String],
    /// Indices of the layers whose modules carry adapters.
    pub layers_to_transform: &'a [usize],
    /// Regular expressions for the name before a layer's index, such as `layers`; empty for any.
    pub layers_pattern: &'a [String],
}

/// The reasons that rules give no adapters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// An expression cannot be read, or has a feature that is not supported.
    #[error(
        "`{key}` has the regular expression \"{found}\", which cannot be run: {reason}; expressions that look ahead or back or refer to a group are \
         not supported, so name the modules instead"
    )]
    Expression {
        /// The setting.
        key: &'static str,
        /// The expression.
        found: String,
        /// The reader's message.
        reason: String,
    },
    /// A name or an expression matches no module.
    #[error("`{key}` has \"{found}\", which matches no module of this model. {}{}", self.meant(), known_in_words(.known))]
    NoMatch {
        /// The setting.
        key: &'static str,
        /// The name or expression.
        found: String,
        /// The most similar name, if one is similar.
        nearest: Option<String>,
        /// Ends of the names that exist.
        known: Vec<String>,
    },
    /// A name or an expression of a pattern matches no module with an adapter.
    #[error("`{key}` has \"{found}\", which matches no module that carries an adapter. Their names end in {}.", .known.join(", "))]
    NoAdapter {
        /// The setting.
        key: &'static str,
        /// The name or expression.
        found: String,
        /// Ends of the names that exist.
        known: Vec<String>,
    },
    /// No module satisfies all rules.
    #[error(
        "no module of this model is left by the rules for adapters: {targeted} match `target_modules`, {excluded} of them are excluded, and the others are \
         outside the chosen layers; the model has layers 0 to {last}"
    )]
    Nothing {
        /// Modules that match the target.
        targeted: usize,
        /// Those of them that are excluded.
        excluded: usize,
        /// The index of the last layer.
        last: usize,
    },
}

impl TargetError {
    fn meant(&self) -> String {
        match self {
            TargetError::NoMatch { nearest: Some(nearest), .. } => format!("Did you mean \"{nearest}\"? "),
            _ => String::new(),
        }
    }
}

fn known_in_words(known: &[String]) -> String {
    format!("Its modules end in {}.", known.join(", "))
}

/// Rules, ready to be applied to modules' names.
#[derive(Clone, Debug)]
pub struct Targets {
    target: Option<Rule>,
    excluded: Option<Rule>,
    layers: Vec<usize>,
    /// The name before a layer's index, then the index as the first group.
    layer: Vec<Regex>,
}

/// Names, or an expression.
#[derive(Clone, Debug)]
enum Rule {
    Names(Vec<String>),
    Expression(Regex),
}

impl Rule {
    fn new(key: &'static str, names: &[String]) -> Result<Rule, TargetError> {
        match expression(names) {
            Some(text) => regex(key, &text, format!("^(?:{text})$")).map(Rule::Expression),
            None => Ok(Rule::Names(names.to_vec())),
        }
    }

    fn matches(&self, module: &str) -> bool {
        match self {
            Rule::Names(names) => names.iter().any(|name| covers(name, module)),
            Rule::Expression(expression) => expression.is_match(module),
        }
    }
}

/// The regular expression that the entries of a list form together, if one of them has a character that no name has: a command line splits an
/// expression at its commas.
pub fn expression(names: &[String]) -> Option<String> {
    names
        .iter()
        .any(|name| name.contains(['\\', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$']))
        .then(|| names.join(","))
}

/// True if a name is the module's full name or its end after a dot.
pub fn covers(name: &str, module: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn regex(key: &'static str, text: &str, expression: String) -> Result<Regex, TargetError> {
    Regex::new(&expression).map_err(|reason| TargetError::Expression {
        key,
        found: text.to_owned(),
        reason: reason.to_string(),
    })
}

impl Targets {
    /// Reads the rules.
    ///
    /// # Errors
    /// [`TargetError::Expression`].
    pub fn new(rules: TargetRules<'_>) -> Result<Targets, TargetError> {
        let TargetRules { target_modules, exclude_modules, layers_to_transform, layers_pattern } = rules;
        let excluded = (!exclude_modules.is_empty()).then(|| Rule::new("exclude_modules", exclude_modules));
        // The layer's index is the first number between dots that has two names or more before it.
        let any = || Ok(vec![Regex::new(r"^.*?\.[^.]*\.(\d+)\.").expect("it is an expression")]);
        let of_pattern = |text: &String| regex("layers_pattern", text, format!(r"^(?:|.*?\.)(?:{text})\.(\d+)\."));
        Ok(Targets {
            target: target_modules.map(|names| Rule::new("target_modules", names)).transpose()?,
            excluded: excluded.transpose()?,
            layers: layers_to_transform.to_vec(),
            layer: if layers_pattern.is_empty() { any() } else { layers_pattern.iter().map(of_pattern).collect() }?,
        })
    }

    /// True if the module of this full name carries an adapter.
    pub fn cover(&self, module: &str) -> bool {
        !self.excludes(module) && self.targets(module) && self.is_in_layers(module)
    }

    /// True if every linear map in every layer carries an adapter.
    pub fn are_all(&self) -> bool {
        self.target.is_none() && !self.narrow()
    }

    /// True if some modules with a target's name carry none.
    pub fn narrow(&self) -> bool {
        self.excluded.is_some() || !self.layers.is_empty()
    }

    pub(crate) fn targets(&self, module: &str) -> bool {
        self.target.as_ref().is_none_or(|target| target.matches(module))
    }

    pub(crate) fn excludes(&self, module: &str) -> bool {
        self.excluded.as_ref().is_some_and(|excluded| excluded.matches(module))
    }

    pub(crate) fn is_in_layers(&self, module: &str) -> bool {
        if self.layers.is_empty() {
            return true;
        }
        let index = self.layer.iter().find_map(|layer| layer.captures(module)?.get(1)?.as_str().parse().ok());
        index.is_some_and(|index: usize| self.layers.contains(&index))
    }

    /// The modules that carry adapters, of those that can, in the model's order.
    ///
    /// # Errors
    /// [`TargetError::NoMatch`] if a name or expression matches no module, [`TargetError::Nothing`] if no module satisfies all rules.
    pub fn of<'m>(&self, linears: &'m [Linear]) -> Result<Vec<&'m Linear>, TargetError> {
        for (key, rule) in [("target_modules", &self.target), ("exclude_modules", &self.excluded)] {
            let none = |matches: &dyn Fn(&str) -> bool| linears.iter().all(|linear| !matches(&linear.name));
            let unmatched = match rule {
                Some(Rule::Names(names)) => names.iter().find(|name| none(&|module| covers(name, module))).cloned(),
                Some(Rule::Expression(text)) => none(&|module| text.is_match(module))
                    .then(|| text.as_str().trim_start_matches("^(?:").trim_end_matches(")$").to_owned()),
                None => None,
            };
            if let Some(found) = unmatched {
                return Err(no_match(key, found, linears));
            }
        }
        let found: Vec<&Linear> = linears.iter().filter(|linear| self.cover(&linear.name)).collect();
        if found.is_empty() {
            let targeted: Vec<&Linear> = linears.iter().filter(|linear| self.targets(&linear.name)).collect();
            let layer = |linear: &Linear| linear.name.split('.').find_map(|part| part.parse().ok());
            return Err(TargetError::Nothing {
                targeted: targeted.len(),
                excluded: targeted.iter().filter(|linear| self.excludes(&linear.name)).count(),
                last: linears.iter().filter_map(layer).max().unwrap_or(0),
            });
        }
        Ok(found)
    }
}

/// The values that a pattern gives to modules, in their order: each has that of the first name that matches its own, or none. PEFT's `get_pattern_key`: a name is
/// a regular expression that matches a module's name from its beginning or from after a dot, to its end, as [`pattern_name`] writes it.
///
/// # Errors
/// [`TargetError::Expression`], or [`TargetError::NoAdapter`] if a name matches no module.
pub fn patterned<T: Copy>(
    key: &'static str,
    pattern: &[(&str, T)],
    linears: &[Linear],
) -> Result<Vec<Option<T>>, TargetError> {
    let rule = |&(name, value): &(&str, T)| Ok((regex(key, name, pattern_name(name))?, value));
    let rules = pattern.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    for ((rule, _), (name, _)) in rules.iter().zip(pattern) {
        if !linears.iter().any(|linear| rule.is_match(&linear.name)) {
            return Err(TargetError::NoAdapter { key, found: (*name).to_owned(), known: ends(linears) });
        }
    }
    let first = |linear: &Linear| rules.iter().find(|(rule, _)| rule.is_match(&linear.name)).map(|(_, value)| *value);
    Ok(linears.iter().map(first).collect())
}

/// The regular expression of a name in a pattern.
pub fn pattern_name(name: &str) -> String {
    format!(r"^(?:.*\.)?(?:{name})$")
}

fn no_match(key: &'static str, found: String, linears: &[Linear]) -> TargetError {
    let known = ends(linears);
    let likeness = |name: &String| strsim::normalized_damerau_levenshtein(&found, name);
    let nearest = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    let nearest = nearest.filter(|name| likeness(name) >= 0.5).cloned();
    TargetError::NoMatch { key, found, nearest, known }
}

/// Last components of modules' names, each once, in the order of the forward pass.
pub fn ends(linears: &[Linear]) -> Vec<String> {
    let mut ends: Vec<String> = vec![];
    for Linear { name, .. } in linears {
        let end = name.rsplit('.').next().unwrap_or_default();
        if ends.iter().all(|known| known != end) {
            ends.push(end.to_owned());
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linears() -> Vec<Linear> {
        let names = ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj"];
        let layer = |layer| names.map(|name| format!("model.layers.{layer}.{name}"));
        (0..12).flat_map(layer).map(|name| Linear { name, inputs: 4, outputs: 4 }).collect()
    }

    /// The end of each module that is found and its layer, as `q3`.
    fn found(
        targets: &[&str],
        excluded: &[&str],
        layers: &[usize],
        pattern: &[&str],
    ) -> Result<Vec<String>, TargetError> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (target_modules, exclude_modules, layers_pattern) = (owned(targets), owned(excluded), owned(pattern));
        let rules = TargetRules {
            target_modules: (!targets.is_empty()).then_some(&target_modules[..]),
            exclude_modules: &exclude_modules,
            layers_to_transform: layers,
            layers_pattern: &layers_pattern,
        };
        let linears = linears();
        let found = Targets::new(rules)?.of(&linears)?;
        let short = |linear: &&Linear| {
            let parts: Vec<&str> = linear.name.split('.').collect();
            format!("{}{}", &parts[4][..1], parts[2])
        };
        Ok(found.iter().map(short).collect())
    }

    #[test]
    fn modules_are_those_that_peft_adapts() {
        let few =
            |targets: &[&str], excluded: &[&str]| found(targets, excluded, &[1, 10], &[]).expect("some").join(" ");
        assert_eq!(found(&[], &[], &[], &[]).map(|all| all.len()), Ok(36));
        assert_eq!(few(&["q_proj", "up_proj"], &[]), "q1 u1 q10 u10");
        assert_eq!(few(&["self_attn.q_proj"], &[]), "q1 q10");
        assert_eq!(few(&[r".*\.(q|v)_proj"], &[]), "q1 v1 q10 v10");
        assert_eq!(few(&[], &["mlp.up_proj", "q_proj"]), "v1 v10");
        assert_eq!(few(&[], &[r".*layers\.1\..*"]), "q10 v10 u10");
        // An expression matches a whole name, and is put together again where a flag's commas cut it.
        assert_eq!(few(&[r"model\.layers\.\d{1", r"2}\.mlp\.up_proj"], &[]), "u1 u10");
        assert_eq!(found(&["q_proj"], &[], &[3], &["layers"]).as_deref(), Ok(&["q3".to_owned()][..]));
        assert_eq!(found(&["q_proj"], &[], &[3], &["h", "lay.*"]).as_deref(), Ok(&["q3".to_owned()][..]));
        assert!(matches!(found(&["q_proj"], &[], &[3], &["blocks"]), Err(TargetError::Nothing { .. })));
    }

    /// The same cases as those of PEFT's files, in `lora/peft`, decide which names match.
    #[test]
    fn a_pattern_gives_each_module_the_first_value_that_fits() {
        let linears = &linears()[..6];
        let of = |pattern: &[(&str, usize)]| patterned("rank_pattern", pattern, linears);
        assert_eq!(
            of(&[("q_proj", 4), (r".*layers\.1\..*", 5)]),
            Ok(vec![Some(4), None, None, Some(4), Some(5), Some(5)])
        );
        assert_eq!(of(&[]), Ok(vec![None; 6]));
        assert_eq!(
            of(&[("k_proj", 4)]).expect_err("no such module").to_string(),
            "`rank_pattern` has \"k_proj\", which matches no module that carries an adapter. Their names end in q_proj, v_proj, up_proj."
        );
        assert!(of(&[("(?=q)", 4)]).expect_err("looks ahead").to_string().contains("cannot be run"));
    }

    #[test]
    fn rules_that_match_nothing_are_sentences() {
        let words = |targets: &[&str], excluded: &[&str], layers: &[usize]| {
            found(targets, excluded, layers, &[]).expect_err("nothing").to_string()
        };
        assert_eq!(
            words(&["q_proj", "v_prj"], &[], &[]),
            "`target_modules` has \"v_prj\", which matches no module of this model. Did you mean \"v_proj\"? Its modules end in q_proj, v_proj, up_proj."
        );
        assert!(words(&["(q|v)_proj"], &[], &[]).contains("has \"(q|v)_proj\", which matches no module"));
        assert!(words(&[], &["lm_head"], &[]).starts_with("`exclude_modules` has \"lm_head\""));
        assert!(words(&["q_proj"], &[], &[12]).ends_with("the model has layers 0 to 11"));
        assert!(words(&["q_proj"], &["q_proj"], &[]).contains("12 match `target_modules`, 12 of them are excluded"));
        assert!(words(&["(?=q)"], &[], &[]).contains("cannot be run"));
    }
}
