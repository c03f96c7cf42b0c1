//! A link that says an experiment: the query of the page's address.
//!
//! `?v=1&base=nano&seeds=1&learning_rates=1e-3,2e-3`: `v` is the version of the format, and every other key is a setting as
//! [`Experiment::settings`] writes it, left out where it has its default. `run` trains at once. A link without `v` is laid over the first preset, the
//! page's own start. The device is for whoever opens the link to choose: no link names one, though `device`, which links once had, is still read.
//!
//! A link passes through mail and messengers, which add keys of their own, and through hands: what it says that can't be meant is told, and the rest is read.

use crate::config::command::Device;
use crate::config::error::ExperimentError;
use crate::config::nearest::nearest;
use crate::config::preset::PRESETS;
use crate::config::table::{Experiment, KEYS};

/// The version that is written; every one up to it is read.
pub const LINK_VERSION: u32 = 1;

/// Keys by which advertisers, mailers and messengers follow who opens a link, and beginnings of such keys: no experiment's business.
const FOLLOWERS: [&str; 17] = [
    "fbclid",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "msclkid",
    "twclid",
    "ttclid",
    "yclid",
    "igsh",
    "igshid",
    "li_fat_id",
    "mkt_tok",
    "srsltid",
    "_ga",
    "_gl",
];
const FOLLOWERS_BEGIN: [&str; 5] = ["utm_", "mc_", "hsa_", "_hs", "mtm_"];

/// The contents of a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// The experiment; what is not said takes its default.
    pub experiment: Experiment,
    /// The device that an old link names; links are written without one now.
    pub device: Option<Device>,
    /// True if training starts without a button.
    pub run: bool,
    /// The parts of the link that are invalid, and so not among the above.
    pub faults: Vec<LinkFault>,
}

/// Something that a link can't mean.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LinkFault {
    /// A key that is neither a setting nor the page's own.
    #[error("The link has `{key}`, which is no setting.{}", meant(*.nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// The name that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The same key with two values, of which the first is taken.
    #[error("The link has `{0}` twice; the first is taken.")]
    Twice(String),
    /// A version that is newer, or none; nothing else of the link is read.
    #[error(
        "The link is of version \"{0}\", but this page reads versions up to {LINK_VERSION}. Reload the page to get its newest version."
    )]
    Version(String),
    /// A device there is not.
    #[error("The link has `device={0}`, but it must be auto, cpu or gpu.")]
    Device(String),
    /// Neither yes nor no.
    #[error("The link has `run={0}`, but it must be 1 or 0, or `run` alone.")]
    Run(String),
    /// A setting with a text that is none of its values.
    #[error("In the link, {why}")]
    Value {
        /// The setting.
        name: &'static str,
        /// The text.
        text: String,
        /// The error.
        why: ExperimentError,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" Did you mean `{name}`?"))
}

fn follows(key: &str) -> bool {
    FOLLOWERS.contains(&key) || FOLLOWERS_BEGIN.iter().any(|beginning| key.starts_with(beginning))
}

impl Link {
    /// Reads the query of an address, with or without its `?`.
    pub fn parse(query: &str) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut faults = Vec::new();
        for part in query.trim_start_matches('?').split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (decoded(key), decoded(value));
            match pairs.iter().find(|(known, _)| *known == key) {
                _ if follows(&key) => {}
                Some((_, first)) if *first != value => faults.push(LinkFault::Twice(key)),
                Some(_) => {}
                None => pairs.push((key, value)),
            }
        }
        let version = pairs.iter().find(|(key, _)| key == "v").map(|(_, written)| written.clone());
        // A newer version may have keys that this one does not know, so its number is looked at first.
        if let Some(written) = &version
            && !written.parse().is_ok_and(|version| (1..=LINK_VERSION).contains(&version))
        {
            let faults = vec![LinkFault::Version(written.clone())];
            return Self { experiment: PRESETS[0].experiment(), faults, ..Self::default() };
        }
        let mut link = Self { faults, ..Self::default() };
        let mut given = Experiment::default();
        for (key, value) in pairs.into_iter().filter(|(key, _)| key != "v") {
            match (key.as_str(), value.as_str()) {
                ("run", "" | "1" | "true") => link.run = true,
                ("run", "0" | "false") => {}
                ("run", _) => link.faults.push(LinkFault::Run(value)),
                ("device", name) => match Device::named(name) {
                    Some(device) => link.device = Some(device),
                    None => link.faults.push(LinkFault::Device(value)),
                },
                (name, text) => {
                    match (KEYS.iter().find(|key| key.name == name), Experiment::from_settings([(name, text)])) {
                        (Some(_), Ok(setting)) => given = given.over(setting),
                        (Some(known), Err(why)) => {
                            link.faults.push(LinkFault::Value { name: known.name, text: value, why });
                        }
                        (None, _) => {
                            let nearest = nearest(name, KEYS.iter().map(|key| key.name).chain(["run"]));
                            link.faults.push(LinkFault::UnknownKey { key, nearest });
                        }
                    }
                }
            }
        }
        link.experiment = if version.is_some() { given } else { PRESETS[0].experiment().merge(given) };
        link
    }

    /// The query that says an experiment, with its `?`: only settings that are given, so take their defaults away first.
    pub fn query(experiment: &Experiment) -> String {
        let mut query = format!("?v={LINK_VERSION}");
        for (name, text) in experiment.settings() {
            query.push_str(&format!("&{name}={}", encoded(&text)));
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
            let experiment = experiment(text);
            let query = Link::query(&experiment);
            assert!(query.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>#".contains(&byte)), "{query}");
            let read = Link::parse(&query);
            assert_eq!((read.device, read.run, &read.faults[..]), (None, false, &[][..]), "{query}");
            // Seeds may be counted or listed.
            assert_eq!(read.experiment.settings(), experiment.settings(), "{query}");
            assert_eq!(read.experiment.resolve(SCHEMES), experiment.resolve(SCHEMES), "{query}");
        }
    }

    #[test]
    fn a_link_is_short_and_readable() {
        let full = experiment("base = 'nano'\nlearning_rates = [1e-3, 2e-3]").resolve(SCHEMES).expect("it is right");
        let query = Link::query(&full.to_experiment().without_defaults(SCHEMES));
        assert_eq!(query, "?v=1&base=nano&learning_rates=1e-3,2e-3");
        assert_eq!(Link::query(&Experiment::default()), "?v=1");
    }

    #[test]
    fn a_link_without_a_version_is_laid_over_the_first_preset() {
        let first = PRESETS[0].experiment();
        assert_eq!(Link::parse("").experiment, first);
        let link = Link::parse("?seeds=2&steps=50&run");
        assert!(link.run);
        assert_eq!(link.experiment, first.merge(experiment("seeds = 2\nsteps = 50")));
        assert_eq!(Link::parse("?v=1").experiment, Experiment::default());
    }

    #[test]
    fn an_old_links_device_is_a_wish() {
        for device in [Device::Auto, Device::Cpu, Device::Gpu] {
            let link = Link::parse(&format!("?v=1&rank=4&device={}", device.name()));
            assert_eq!((link.device, &link.faults[..]), (Some(device), &[][..]));
            assert_eq!(Link::query(&link.experiment), "?v=1&rank=4");
        }
    }

    #[test]
    fn run_is_yes_or_no() {
        let run = |text: &str| (Link::parse(text).run, Link::parse(text).faults.len());
        for yes in ["?v=1&run", "?v=1&run=", "?v=1&run=1", "?run=true"] {
            assert_eq!(run(yes), (true, 0), "{yes}");
        }
        for no in ["?v=1", "?v=1&run=0", "?run=false"] {
            assert_eq!(run(no), (false, 0), "{no}");
        }
        assert_eq!(run("?v=1&run=later"), (false, 1));
    }

    #[test]
    fn who_follows_a_reader_is_no_fault_of_the_link() {
        let plain = Link::parse("?v=1&rank=4&seeds=1");
        for key in
            FOLLOWERS.into_iter().chain(["utm_source", "utm_medium", "mc_cid", "hsa_acc", "_hsenc", "mtm_campaign"])
        {
            assert!(KEYS.iter().all(|setting| !follows(setting.name)));
            assert_eq!(Link::parse(&format!("?{key}=Iw&v=1&rank=4&{key}=Xy&seeds=1&{key}")), plain, "{key}");
        }
        assert_eq!(Link::parse("?fbclid=x").experiment, PRESETS[0].experiment());
    }

    #[test]
    fn what_a_link_cannot_mean_is_a_sentence_and_the_rest_is_read() {
        for (query, said) in [
            ("?v=1&sedes=2&rank=4", "The link has `sedes`, which is no setting. Did you mean `seeds`?"),
            ("?v=1&rank=4&colour=x", "The link has `colour`, which is no setting."),
            ("?v=1&rank=4&device=cuda", "`device=cuda`, but it must be auto, cpu or gpu"),
            ("?v=1&rank=4&run=maybe", "`run=maybe`, but it must be 1 or 0"),
            ("?v=1&rank=4&rank=3", "The link has `rank` twice; the first is taken."),
            ("?v=1&rank=4&seeds=-1", "In the link, `seeds` is \"-1\", but it must be a list of whole numbers"),
            ("?v=1&rank=4&steps=8%0Aseeds=1", "`steps` is \"8\nseeds=1\""),
            ("?v=1&rank=4&steps=", "`steps` is \"\""),
        ] {
            let link = Link::parse(query);
            assert_eq!(link.experiment, experiment("rank = 4"), "{query}");
            let [fault] = &link.faults[..] else { panic!("{query}: {:?}", link.faults) };
            let said_of_it = fault.to_string();
            assert!(said_of_it.starts_with("The link") || said_of_it.starts_with("In the link, "), "{said_of_it}");
            assert!(said_of_it.contains(said), "{said_of_it}");
        }
        assert_eq!(Link::parse("?v=1&rank=4&rank=4").faults, []);
        let all = Link::parse("?v=1&rank=eight&sedes=2&steps=-1");
        assert_eq!((all.faults.len(), all.experiment), (3, Experiment::default()));
    }

    #[test]
    fn a_link_of_another_version_is_not_read() {
        for version in ["2", "one", "0", ""] {
            let link = Link::parse(&format!("?v={version}&new=1&rank=4&run"));
            assert_eq!(link.faults, [LinkFault::Version(version.to_owned())]);
            assert_eq!((link.experiment, link.run), (PRESETS[0].experiment(), false));
        }
        let said = LinkFault::Version("2".to_owned()).to_string();
        assert!(said.contains("version \"2\", but this page reads versions up to 1"), "{said}");
    }

    #[test]
    fn broken_encodings_stand_for_themselves() {
        assert_eq!(decoded("a%2"), "a%2");
        assert_eq!(decoded("%zz%C3%BC+%"), "%zzü %");
        assert_eq!(decoded(&encoded("100 % & \u{1F600}")), "100 % & \u{1F600}");
    }
}
