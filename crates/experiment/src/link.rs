//! A link that says an experiment: the query of the page's address.
//!
//! `?v=1&base=nano&seeds=1&learning_rates=1e-3,2e-3`: `v` is the version of the format, and every other key is a setting as
//! [`Experiment::settings`] writes it, left out where it has its default. Two keys are the page's own: `device`, and `run`, which trains at once.
//! A link without `v` is laid over the first preset, the page's own start.

use crate::command::Device;
use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::keys::KEYS;
use crate::nearest::nearest;
use crate::preset::PRESETS;

/// The version that is written; every one up to it is read.
pub const LINK_VERSION: u32 = 1;

/// What a link says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// The experiment; what is not said takes its default.
    pub experiment: Experiment,
    /// What to train on.
    pub device: Device,
    /// Whether to train without being told to by a button.
    pub run: bool,
}

/// Why a link says no experiment.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LinkError {
    /// A key that is neither a setting nor the page's own.
    #[error("The link has `{key}`, which is no setting.{} The rest of it is not read either; remove it, or start from a preset.", meant(*.nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// The same key twice.
    #[error("The link has `{0}` twice. Remove one of them.")]
    Twice(String),
    /// A version that is newer, or none.
    #[error(
        "The link is of version \"{0}\", but this page reads versions up to {LINK_VERSION}. Reload the page to get its newest version."
    )]
    Version(String),
    /// A device there is not.
    #[error("The link has `device={0}`, but it must be auto, cpu or gpu.")]
    Device(String),
    /// A setting with a value that is none of its.
    #[error("In the link, {0}")]
    Setting(#[from] ExperimentError),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" Did you mean `{name}`?"))
}

impl Link {
    /// Reads the query of an address, with or without its `?`.
    ///
    /// # Errors
    /// A sentence about the first thing that is wrong with it.
    pub fn parse(query: &str) -> Result<Self, LinkError> {
        let mut link = Self::default();
        let mut version = None;
        let mut settings: Vec<(String, String)> = Vec::new();
        for part in query.trim_start_matches('?').split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (decoded(key), decoded(value));
            match key.as_str() {
                "v" => version = Some(value),
                "run" => link.run = true,
                "device" => link.device = Device::named(&value).ok_or(LinkError::Device(value))?,
                _ if settings.iter().any(|(known, _)| *known == key) => return Err(LinkError::Twice(key)),
                _ => settings.push((key, value)),
            }
        }
        // A newer version may have keys that this one does not know, so its number is looked at first.
        if let Some(written) = &version
            && !written.parse().is_ok_and(|version| (1..=LINK_VERSION).contains(&version))
        {
            return Err(LinkError::Version(written.clone()));
        }
        if let Some((key, _)) = settings.iter().find(|(key, _)| !KEYS.iter().any(|known| known.name == key)) {
            let known = KEYS.iter().map(|key| key.name).chain(["device", "run"]);
            return Err(LinkError::UnknownKey { key: key.clone(), nearest: nearest(key, known) });
        }
        let given = settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let given = Experiment::from_settings(given)?;
        link.experiment = if version.is_some() { given } else { PRESETS[0].experiment().merge(given) };
        Ok(link)
    }

    /// The query that says this, with its `?`: only settings that are given, so take their defaults away first.
    pub fn query(&self) -> String {
        let mut query = format!("?v={LINK_VERSION}");
        for (name, text) in self.experiment.settings() {
            query.push_str(&format!("&{name}={}", encoded(&text)));
        }
        if self.device != Device::Auto {
            query.push_str(&format!("&device={}", self.device.name()));
        }
        if self.run {
            query.push_str("&run");
        }
        query
    }
}

/// Percent-encoding (RFC 3986 §2.1) of what may not stand in a query as it is.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' | b'/' | b':' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The text of a percent-encoded one; `+` is a space, and what is no encoding stands for itself.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(if bytes[at] == b'+' { b' ' } else { bytes[at] }));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["init-a", "init-b"];

    fn experiment(toml: &str) -> Experiment {
        Experiment::from_toml(toml).expect(toml)
    }

    #[test]
    fn any_experiment_goes_through_a_link() {
        let examples = KEYS.map(|key| key.example);
        let texts = [
            "",
            "base = 'nano'\nseeds = [7]\nlearning_rates = [1e-3, 0.0023, 1]",
            "data = 'mine & yours/50 %+ö.txt'\noptimizer = 'sgd'\nmomentum = 0.5\nmax_grad_norm = 0",
            "target_modules = ['q_proj', 'up_proj']\nmemory = '1.5GiB'\nalpha = 0.1\nepsilon = 1e-30",
        ];
        for text in texts.into_iter().chain(examples) {
            for device in [Device::Auto, Device::Cpu, Device::Gpu] {
                let link = Link { experiment: experiment(text), device, run: text.is_empty() };
                let query = link.query();
                assert!(query.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>#".contains(&byte)), "{query}");
                let read = Link::parse(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
                assert_eq!((read.device, read.run), (link.device, link.run));
                // Seeds may be counted or listed.
                assert_eq!(read.experiment.settings(), link.experiment.settings(), "{query}");
                assert_eq!(read.experiment.resolve(SCHEMES), link.experiment.resolve(SCHEMES), "{query}");
            }
        }
    }

    #[test]
    fn a_link_is_short_and_readable() {
        let full = experiment("base = 'nano'\nlearning_rates = [1e-3, 2e-3]").resolve(SCHEMES).expect("it is right");
        let link = Link { experiment: full.to_experiment().without_defaults(SCHEMES), ..Link::default() };
        assert_eq!(link.query(), "?v=1&base=nano&learning_rates=1e-3,2e-3");
        assert_eq!(Link::default().query(), "?v=1");
    }

    #[test]
    fn a_link_without_a_version_is_laid_over_the_first_preset() {
        let first = PRESETS[0].experiment();
        assert_eq!(Link::parse("").map(|link| link.experiment), Ok(first.clone()));
        let link = Link::parse("?seeds=2&steps=50&run").expect("the page had such links");
        assert!(link.run);
        assert_eq!(link.experiment, first.merge(experiment("seeds = 2\nsteps = 50")));
        assert_eq!(Link::parse("?v=1").map(|link| link.experiment), Ok(Experiment::default()));
    }

    #[test]
    fn what_a_link_cannot_mean_is_a_sentence() {
        for (query, said) in [
            ("?v=1&sedes=2", "The link has `sedes`, which is no setting. Did you mean `seeds`?"),
            ("?utm_source=x", "The link has `utm_source`, which is no setting. The rest"),
            ("?v=2&new=1", "The link is of version \"2\", but this page reads versions up to 1."),
            ("?v=one", "version \"one\""),
            ("?v=0", "version \"0\""),
            ("?v=1&device=cuda", "`device=cuda`, but it must be auto, cpu or gpu"),
            ("?v=1&rank=2&rank=3", "The link has `rank` twice."),
            ("?v=1&rank=eight", "In the link, `rank` is \"eight\", but it must be a whole number"),
            ("?v=1&rank=8%0Asteps=1", "`rank` is \"8\nsteps=1\""),
            ("?v=1&steps=", "`steps` is \"\""),
        ] {
            let error = Link::parse(query).expect_err(query).to_string();
            assert!(error.starts_with("The link") || error.starts_with("In the link, "), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn broken_encodings_stand_for_themselves() {
        assert_eq!(decoded("a%2"), "a%2");
        assert_eq!(decoded("%zz%C3%BC+%"), "%zzü %");
        assert_eq!(decoded(&encoded("100 % & \u{1F600}")), "100 % & \u{1F600}");
    }
}
