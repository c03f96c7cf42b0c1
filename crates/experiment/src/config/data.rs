//! Options for reading data: the roles of the records' fields, and the part that is held out for validation.

use serde::Serialize;

use crate::config::check::refused;
use crate::config::error::ExperimentError;
use crate::config::table::Experiment;

/// Roles with the fields that have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The mapping as the setting has it.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(role, field)| format!("{role}={field}")).collect()
    }
}

/// The data to validate with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum HeldOut {
    /// A share of the data.
    Share(f64),
    /// A file.
    Path(String),
}

impl HeldOut {
    /// The share that is held out where nothing is said.
    pub const USUAL: f64 = 0.1;
}

impl Experiment {
    pub(crate) fn resolve_fields(&self) -> Result<Fields, ExperimentError> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for text in self.fields.as_deref().unwrap_or_default() {
            let pair = text.split_once('=').map(|(role, field)| (role.trim().to_owned(), field.trim().to_owned()));
            let pair = pair.filter(|(role, field)| !role.is_empty() && !field.is_empty());
            let Some(pair) = pair else { return Err(refused("fields", format!("\"{text}\""))) };
            if fields.iter().any(|(role, _)| *role == pair.0) {
                return Err(ExperimentError::Twice { key: "fields", found: pair.0 });
            }
            fields.push(pair);
        }
        let about_file = [
            ("fields", self.fields.as_ref().filter(|fields| !fields.is_empty()).map(|fields| fields.join(","))),
            ("validation", self.validation.clone().filter(|text| share(text).is_none())),
        ];
        for (name, value) in about_file {
            if let (Some(value), None) = (value, &self.data) {
                return Err(ExperimentError::Clash {
                    first: format!("`{name}` is \"{value}\""),
                    second: "`data` is not set".to_owned(),
                    why: "a task has its own data",
                    remedy: format!("Set `data`, or remove `{name}`."),
                });
            }
        }
        Ok(Fields(fields))
    }

    pub(crate) fn resolve_held_out(&self) -> Result<HeldOut, ExperimentError> {
        let Some(text) = &self.validation else { return Ok(HeldOut::Share(HeldOut::USUAL)) };
        match share(text) {
            Some(share) if share > 0.0 && share < 1.0 => Ok(HeldOut::Share(share)),
            None if !text.is_empty() => Ok(HeldOut::Path(text.clone())),
            _ => Err(refused("validation", format!("\"{text}\""))),
        }
    }
}

/// The share that a text is, which may be in per cent; none if it is no number.
fn share(text: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    match text.trim().strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::Resolved;

    fn resolve(text: &str) -> Result<Resolved, ExperimentError> {
        Experiment::from_toml(text).expect(text).resolve(&["init-a", "init-b"])
    }

    fn refusal(text: &str) -> String {
        resolve(text).expect_err(text).to_string()
    }

    #[test]
    fn a_share_or_a_file_is_held_out() {
        let held_out = |text: &str| resolve(&format!("data = 'a.jsonl'\nvalidation = {text}")).expect(text).validation;
        assert_eq!((held_out("0.05"), held_out("'5%'")), (HeldOut::Share(0.05), HeldOut::Share(0.05)));
        assert_eq!(held_out("'b.jsonl'"), HeldOut::Path("b.jsonl".to_owned()));
        assert_eq!(resolve("").expect("the default").validation, HeldOut::Share(0.1));
        for text in ["0", "1", "'100%'", "'-0.5'", "'nan'", "''"] {
            assert!(refusal(&format!("data = 'a'\nvalidation = {text}")).contains("a share between 0 and 1"), "{text}");
        }
        assert!(refusal("validation = 'b.jsonl'").contains("`data` is not set"));
        assert!(resolve("validation = 0.2").is_ok());
    }

    #[test]
    fn fields_are_pairs() {
        let fields =
            resolve("data = 'a'\nfields = ['prompt=question', 'completion = my=reply']").expect("pairs").fields;
        let pair = |role: &str, field: &str| (role.to_owned(), field.to_owned());
        assert_eq!(fields.0, [pair("prompt", "question"), pair("completion", "my=reply")]);
        assert!(
            refusal("data = 'a'\nfields = 'prompt'").starts_with("`fields` is \"prompt\", but it must be a list of")
        );
        assert!(refusal("data = 'a'\nfields = ['text=a', 'text=b']").contains("text twice"));
        assert!(refusal("fields = 'text=a'").contains("a task has its own data"));
    }

    #[test]
    fn what_is_too_long_is_cut_or_left_out_not_both() {
        assert!(refusal("truncate = true\nskip_long = true").contains("`skip_long`"));
        let resolved = resolve("skip_long = true").expect("one of them");
        assert_eq!((resolved.truncate, resolved.skip_long), (false, true));
        let written = resolved.to_experiment();
        assert_eq!((written.truncate, written.skip_long), (None, Some(true)));
    }
}
