//! The results of `reproduce transformer`: the best learning rate of each start for decoders of several widths, and on a shipped base.
//!
//! The decoders are narrow, and each is pretrained briefly on the same text, so they differ in more than width: the results are
//! reported with intervals, not as an exponent.

use serde::{Deserialize, Serialize};

use crate::analysis::crossing::CrossingFound;
use crate::analysis::optimum::Comparison;
use crate::analysis::summary::{SchemeSummary, Summary};
use crate::config::number::{factor_text, range_text, rounded_rate_text};

/// `summary.json` of `reproduce transformer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transformer {
    /// Version of loralab.
    pub version: String,
    /// The device.
    pub device: String,
    /// Wall time, in seconds.
    pub wall_seconds: f64,
    /// The number of decoder layers at each width.
    pub layers: usize,
    /// The number of columns of a head.
    pub head_size: usize,
    /// The steps of each pretraining.
    pub pretraining_steps: usize,
    /// The sequences and tokens of each of these steps.
    pub pretraining_batch: [usize; 2],
    /// The results at each width, rising.
    pub widths: Vec<DecoderWidth>,
    /// The results on the shipped base.
    pub shipped: CrossingFound,
}

/// The results for decoders of one width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderWidth {
    /// The width n: columns of the residual stream.
    pub width: usize,
    /// The number of frozen weights.
    pub parameters: usize,
    /// Loss of the pretrained decoder on held-out text of its pretraining, in nats per byte.
    pub pretraining_loss: f64,
    /// The summary of the sweep over this decoder.
    pub summary: Summary,
}

impl DecoderWidth {
    /// The summary of a scheme.
    pub fn scheme(&self, name: &str) -> Option<&SchemeSummary> {
        self.summary.schemes.iter().find(|scheme| scheme.scheme == name)
    }

    /// The comparison of the first two schemes.
    fn comparison(&self) -> Option<&Comparison> {
        match &self.summary.comparisons[..] {
            [pair] => Some(pair),
            _ => None,
        }
    }
}

impl Transformer {
    /// The schemes, in the order of the shipped base's sweep.
    pub fn schemes(&self) -> Vec<String> {
        self.shipped.summary.schemes.iter().map(|scheme| scheme.scheme.clone()).collect()
    }

    /// The result as plain text.
    pub fn sentence(&self) -> String {
        let mut sentences = vec![format!("On the shipped base: {}", self.shipped.sentence())];
        sentences.extend(self.width_sentences());
        sentences.join(" ")
    }

    /// The results at the widths as plain text.
    pub fn width_sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let (Some(narrowest), Some(widest)) = (self.widths.first(), self.widths.last()) else { return sentences };
        for scheme in self.schemes() {
            let optimum = |width: &DecoderWidth| width.scheme(&scheme).and_then(|scheme| scheme.optimum.clone());
            let (Some(from), Some(to)) = (optimum(narrowest), optimum(widest)) else { continue };
            let range =
                |bounds: Option<[f64; 2]>| bounds.map_or_else(String::new, |ends| range_text(ends, rounded_rate_text));
            let apart = from.bounds().zip(to.bounds()).map(|(one, other)| one[1] < other[0] || other[1] < one[0]);
            let judged = match apart {
                Some(true) => "these intervals do not overlap",
                Some(false) => "these intervals overlap",
                None => "without intervals, which says nothing of a change",
            };
            sentences.push(format!(
                "From width {} to {}, {scheme}'s best learning rate goes from {}{} to {}{}: {judged}.",
                narrowest.width,
                widest.width,
                rounded_rate_text(from.learning_rate),
                range(from.bounds()),
                rounded_rate_text(to.learning_rate),
                range(to.bounds())
            ));
        }
        sentences.extend(self.ratios_in_words());
        sentences.push(
            "These decoders are narrow and pretrained apart, each for a short while: their widths give no exponent."
                .to_owned(),
        );
        sentences
    }

    fn ratios_in_words(&self) -> Option<String> {
        let [first, second] = &self.schemes()[..] else { return None };
        let ratio = |width: &DecoderWidth| {
            let pair = width.comparison()?;
            let turned = |ratio: f64| if pair.first == *first { ratio } else { 1.0 / ratio };
            let mut ends = pair.bounds().map(|ends| ends.map(turned));
            if let Some(ends) = &mut ends {
                ends.sort_by(f64::total_cmp);
            }
            let range = ends.map(|ends| range_text(ends, factor_text)).unwrap_or_default();
            Some(format!("{}{range} at {}", factor_text(turned(pair.rate_ratio)), width.width))
        };
        let ratios: Vec<String> = self.widths.iter().filter_map(ratio).collect();
        (!ratios.is_empty())
            .then(|| format!("{first}'s best learning rate is, times that of {second}: {}.", ratios.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::reproduction::Reproduction;
    use crate::analysis::summary::tests::{run, setting};
    use crate::config::table::Experiment;
    use crate::protocol::run::RunResult;

    fn summary(best: [f64; 2]) -> (Summary, Vec<RunResult>) {
        let mut runs = Vec::new();
        for (scheme, best) in ["init-a", "init-b"].iter().zip(best) {
            for seed in 0..3 {
                for k in 0..8 {
                    let rate = 1e-3 * f64::from(1 << k);
                    let off = (rate / best).log2() - 0.1 * (seed as f64 - 1.0);
                    runs.push(run(scheme, rate, seed, 0.3 * (0.1 * off * off).exp()));
                }
            }
        }
        (Summary::from_runs(setting(), &runs), runs)
    }

    fn found() -> Transformer {
        let width = |width: usize, best: [f64; 2]| DecoderWidth {
            width,
            parameters: 12 * width * width,
            pretraining_loss: 1.5,
            summary: summary(best).0,
        };
        let (of_shipped, runs) = summary([16e-3, 8e-3]);
        Transformer {
            version: "0".to_owned(),
            device: "cpu".to_owned(),
            wall_seconds: 1.0,
            layers: 2,
            head_size: 16,
            pretraining_steps: 9,
            pretraining_batch: [2, 8],
            widths: vec![width(32, [32e-3, 16e-3]), width(64, [30e-3, 8e-3])],
            shipped: CrossingFound::new(of_shipped, Experiment::default(), &runs),
        }
    }

    #[test]
    fn widths_are_told_with_their_intervals_and_never_as_an_exponent() {
        let words = found().width_sentences().join(" ");
        for part in [
            "From width 32 to 64, init-a's best learning rate goes from 3.2e-2 (",
            "): these intervals overlap.",
            "init-b's best learning rate goes from 1.6e-2 (",
            "): these intervals do not overlap.",
            "init-a's best learning rate is, times that of init-b: 2.0 (",
            "their widths give no exponent",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert!(found().sentence().starts_with("On the shipped base: "));
    }

    #[test]
    fn json_is_read_again() {
        let found = Reproduction::Transformer(found());
        let json = serde_json::to_string(&found).expect("it is JSON");
        assert!(json.starts_with("{\"kind\":\"transformer\""));
        let again: Reproduction = serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(again.sentence(), found.sentence());
    }
}
