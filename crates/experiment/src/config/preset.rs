//! Experiments that tell a story each.

use crate::config::table::Experiment;

/// An experiment with a name and what it shows.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// A word for links and commands.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The point of the experiment, in a sentence or two.
    pub story: &'static str,
    toml: &'static str,
}

impl Preset {
    /// Its settings; what it does not say has its default.
    pub fn experiment(&self) -> Experiment {
        Experiment::from_toml(self.toml).expect("the presets are right, as a test shows")
    }
}

/// The presets, the page's start first.
pub const PRESETS: [Preset; 5] = [
    Preset {
        name: "two-starts",
        title: "The two starts",
        story: "A random with B zero, or A zero with B random: on paper equal. Train both at seven learning rates and see which rate each \
                wants.",
        toml: "base = 'nano'\nseeds = 1\nevaluate_every = 10\ndiagnose_every = 10",
    },
    Preset {
        name: "crossing",
        title: "The crossing",
        story: "Who is ahead depends on the rate: init-b leads at small ones, init-a at large ones. Compared at one rate, either could win.",
        toml: "base = 'nano'\nsteps = 100\nevaluate_every = 10\ndiagnose_every = 20\nlearning_rates = [5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]",
    },
    Preset {
        name: "too-hot",
        title: "Too hot",
        story: "Rates from good to absurd, without clipping or decay. A run that meets a value that is not finite is marked where it fell; \
                the others go on.",
        toml: "base = 'nano'\nseeds = 1\nsteps = 60\nevaluate_every = 6\ndiagnose_every = 6\nmax_grad_norm = 0\nschedule = 'constant'\noptimizer = 'sgd'\n\
               learning_rates = [0.02, 0.1, 1, 10, 100, 1000, 10000]",
    },
    Preset {
        name: "width",
        title: "Wider",
        story: "The same two starts on a base three times as wide. Theory says that init-b's best rate falls faster with width; see how far \
                apart they are now. Takes a GPU, or patience.",
        toml: "seeds = 1\nsteps = 60\nevaluate_every = 10\ndiagnose_every = 10",
    },
    Preset {
        name: "everything",
        title: "Everything at its best",
        story: "Eight starts out of seven papers, each at the rate it likes. Tuned like this, do they still differ by more than their seeds?",
        toml: "base = 'nano'\nsteps = 100\nevaluate_every = 20\nlearning_rates = [2e-3, 4e-3, 8e-3]\n\
               schemes = ['init-a', 'init-b', 'init-ab', 'pissa', 'eva', 'lora-ga', 'lora-one', 'hrp']",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::experiment::Seeds;

    #[test]
    fn every_preset_is_an_experiment_of_its_own() {
        let known = ["init-a", "init-b", "init-ab", "pissa", "eva", "lora-ga", "lora-one", "hrp"];
        for (place, preset) in PRESETS.iter().enumerate() {
            let resolved =
                preset.experiment().resolve(&known).unwrap_or_else(|error| panic!("{}: {error}", preset.name));
            assert!(resolved.cells().len() <= 48, "{} is too much for a tab", preset.name);
            assert!(preset.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert!(PRESETS[..place].iter().all(|other| other.name != preset.name && other.toml != preset.toml));
        }
        assert!(matches!(PRESETS[0].experiment().seeds, Some(Seeds::Count(1))));
    }
}
