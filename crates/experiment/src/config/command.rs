//! The command line that trains an experiment with the native binary.

use crate::config::table::Experiment;

/// The device that a page or a command trains on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A real GPU if there is one, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU, be it software.
    Gpu,
}

impl Device {
    /// Its name in links and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Auto, Self::Cpu, Self::Gpu].into_iter().find(|device| device.name() == name)
    }
}

/// The command for a POSIX shell; a flag for every setting that is given, so take the defaults away first.
pub fn command(experiment: &Experiment, device: Device) -> String {
    let mut command = "loralab sweep".to_owned();
    for (name, text) in experiment.settings() {
        // One seed that is no count has a flag of its own.
        let (name, text) = match text.strip_suffix(',') {
            Some(seed) if name == "seeds" => ("seed", seed),
            _ => (name, text.as_str()),
        };
        command.push_str(&format!(" --{}", name.replace('_', "-")));
        // A switch that is on needs no value.
        if text != "true" {
            command.push_str(&format!(" {}", quoted(text)));
        }
    }
    if device != Device::Auto {
        command.push_str(&format!(" --device {}", device.name()));
    }
    command
}

/// A word that a shell takes as it is, quoted where it would not.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_has_no_value() {
        let experiment = Experiment::from_toml("data = 'a.jsonl'\ntruncate = true").expect("settings");
        assert_eq!(command(&experiment, Device::Auto), "loralab sweep --data a.jsonl --truncate");
    }

    #[test]
    fn commands_by_hand() {
        let command = |toml: &str, device| command(&Experiment::from_toml(toml).expect(toml), device);
        assert_eq!(command("", Device::Auto), "loralab sweep");
        assert_eq!(
            command("base = 'nano'\nlearning_rates = [1e-3, 0.5]\nseeds = [7]\nbatch_size = 4", Device::Gpu),
            "loralab sweep --base nano --learning-rates 1e-3,0.5 --seed 7 --batch-size 4 --device gpu"
        );
        assert_eq!(
            command("seeds = 3\ndata = \"it's mine.txt\"", Device::Auto),
            r"loralab sweep --data 'it'\''s mine.txt' --seeds 3"
        );
    }
}
