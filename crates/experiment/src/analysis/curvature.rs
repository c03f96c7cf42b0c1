//! The results of `reproduce curvature`: the learning rates that the curvature at each start implies, and those that a sweep finds.

use serde::{Deserialize, Serialize};

use crate::analysis::summary::Summary;
use crate::config::names::OptimizerName;
use crate::config::number::{factor_text, fixed_text, rounded_rate_text};
use crate::config::table::Experiment;

/// The relative error of λ up to which it is reported without a remark.
const PRECISE: f64 = 0.02;

/// `summary.json` of `reproduce curvature`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvatureFound {
    /// The summary of the sweep.
    #[serde(flatten)]
    pub summary: Summary,
    /// The experiment, with every setting.
    pub experiment: Experiment,
    /// The optimiser.
    pub optimizer: OptimizerName,
    /// The number of training batches whose mean loss is differentiated.
    pub batches: usize,
    /// The curvature of every scheme and seed.
    pub starts: Vec<StartCurvature>,
}

/// The curvature at one start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartCurvature {
    /// The scheme.
    pub scheme: String,
    /// The seed.
    pub seed: u64,
    /// The loss at the start, in nats per token.
    pub loss: f64,
    /// The norm of its gradient.
    pub gradient_norm: f64,
    /// The largest eigenvalue λ of the Hessian, as estimated from the products.
    pub sharpness: f64,
    /// An eigenvalue lies within this distance of it, all errors included.
    pub residual: f64,
    /// The smallest eigenvalue, likewise.
    pub smallest: f64,
    /// An eigenvalue lies within this distance of the smallest; none in results of an older version.
    #[serde(default)]
    pub smallest_residual: Option<f64>,
    /// Products with the Hessian that this took.
    pub products: usize,
    /// 2/λ; none if no direction has positive curvature.
    pub descent_rate: Option<f64>,
    /// The learning rate at which a first step along the signs of the gradient lowers the quadratic model most.
    pub sign_rate: Option<f64>,
}

impl StartCurvature {
    /// The implied rate for an optimiser.
    pub fn implied(&self, optimizer: OptimizerName) -> Option<f64> {
        match optimizer {
            OptimizerName::Sgd => self.descent_rate,
            OptimizerName::AdamW | OptimizerName::SignSgd => self.sign_rate,
        }
    }
}

impl CurvatureFound {
    /// The implied rates of a scheme's seeds: geometric mean, lowest and highest.
    pub fn implied(&self, scheme: &str) -> Option<[f64; 3]> {
        let starts = self.starts.iter().filter(|start| start.scheme == scheme);
        let rates: Vec<f64> = starts.map(|start| start.implied(self.optimizer)).collect::<Option<_>>()?;
        let logs: Vec<f64> = rates.iter().map(|rate| rate.ln()).collect();
        (!rates.is_empty()).then(|| {
            let lowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
            [loralab_statistics::mean(&logs).exp(), lowest, rates.iter().copied().fold(0.0, f64::max)]
        })
    }

    /// The largest relative error of λ at a scheme's starts.
    fn imprecision(&self, scheme: &str) -> f64 {
        let starts = self.starts.iter().filter(|start| start.scheme == scheme);
        starts.map(|start| start.residual / start.sharpness.abs()).fold(0.0, f64::max)
    }

    /// The result as plain text.
    pub fn sentence(&self) -> String {
        let descends = self.optimizer == OptimizerName::Sgd;
        let what = if descends {
            "gradient descent is thrown out, where the loss is as curved as there, above 2/λ ="
        } else {
            "a first step along the signs of the gradient, as Adam's is, is best at"
        };
        let mut sentences: Vec<String> = self
            .summary
            .schemes
            .iter()
            .map(|scheme| {
                let Some([implied, low, high]) = self.implied(&scheme.scheme) else {
                    let along = if descends { "" } else { " along the signs of the gradient" };
                    return format!(
                        "At {}'s start the loss is not curved upwards{along}, so it implies no learning rate.",
                        scheme.scheme
                    );
                };
                let mut sentence = format!(
                    "At {}'s start, {what} {} (seeds: {} to {})",
                    scheme.scheme,
                    rounded_rate_text(implied),
                    rounded_rate_text(low),
                    rounded_rate_text(high)
                );
                if let Some(optimum) = &scheme.optimum {
                    sentence.push_str(&format!(
                        "; the sweep's optimum is {}, {} times that",
                        rounded_rate_text(optimum.learning_rate),
                        factor_text(optimum.learning_rate / implied)
                    ));
                    if let Some([last, first]) = optimum.divergence_edge {
                        let [one, other] = [last, first].map(|rate| factor_text(rate / implied));
                        sentence.push_str(&format!(
                            ", and it breaks between {} and {}, {one} to {other} times",
                            rounded_rate_text(last),
                            rounded_rate_text(first)
                        ));
                    }
                }
                let off = self.imprecision(&scheme.scheme);
                if descends && off > PRECISE {
                    sentence.push_str(&format!(
                        ". λ is known only to {} % of itself there; a larger `--products` tells it better",
                        fixed_text(100.0 * off, 0)
                    ));
                }
                sentence + "."
            })
            .collect();
        if !descends {
            sentences.push(
                "2/λ speaks of gradient descent alone: Adam divides each entry's gradient by its own size, and what its later steps meet is not the \
                 curvature at the start."
                    .to_owned(),
            );
        }
        if self.starts.iter().any(|start| start.smallest_residual.is_none()) {
            sentences.push(
                "These curvatures are of an older version, whose products with the Hessian could be wrong by several times; measure them again."
                    .to_owned(),
            );
        }
        sentences.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summary::tests::{run, setting};

    fn found(optimizer: OptimizerName) -> CurvatureFound {
        let loss = |rate: f64| if rate > 0.5 { f64::INFINITY } else { 0.3 * (0.1 * (rate / 0.1).log2().powi(2)).exp() };
        let runs: Vec<_> = (0..6)
            .flat_map(|k| (0..2).map(move |seed| (0.025 * f64::from(1 << k), seed)))
            .map(|(rate, seed)| run("init-a", rate, seed, loss(rate)))
            .collect();
        let start = |seed, sharpness: f64| StartCurvature {
            scheme: "init-a".to_owned(),
            seed,
            loss: 2.0,
            gradient_norm: 1.0,
            sharpness,
            residual: 1e-3,
            smallest: -1.0,
            smallest_residual: Some(1e-3),
            products: 30,
            descent_rate: Some(2.0 / sharpness),
            sign_rate: Some(0.01),
        };
        CurvatureFound {
            summary: Summary::from_runs(setting(), &runs),
            experiment: Experiment::default(),
            optimizer,
            batches: 4,
            starts: vec![start(0, 5.0), start(1, 20.0)],
        }
    }

    #[test]
    fn what_is_implied_is_set_against_what_was_swept() {
        let sgd = found(OptimizerName::Sgd);
        let [implied, low, high] = sgd.implied("init-a").expect("curved upwards");
        assert!((implied - 0.2).abs() < 1e-12 && (low - 0.1).abs() < 1e-12 && (high - 0.4).abs() < 1e-12);
        let words = sgd.sentence();
        for part in [
            "2/λ = 2.0e-1 (seeds: 1.0e-1 to 4.0e-1)",
            "optimum is 1.0e-1, 0.50 times",
            "4.0e-1 and 8.0e-1, 2.0 to 4.0 times",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        let adam = found(OptimizerName::AdamW);
        assert!(adam.sentence().contains("best at 1.0e-2") && adam.sentence().contains("of gradient descent alone"));
        let json =
            serde_json::to_string(&crate::analysis::reproduction::Reproduction::Curvature(adam.clone())).expect("JSON");
        let again: crate::analysis::reproduction::Reproduction =
            serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(again.sentence(), adam.sentence());
    }

    #[test]
    fn what_is_not_known_well_is_said() {
        let known = found(OptimizerName::Sgd);
        assert!(!known.sentence().contains("is known only"), "{}", known.sentence());
        let mut unsure = known.clone();
        unsure.starts[1].residual = 5.0;
        assert!(unsure.sentence().contains("λ is known only to 25 % of itself there"), "{}", unsure.sentence());
        let json = serde_json::to_string(&known).expect("JSON").replace(r#""smallest_residual":0.001,"#, "");
        let old: CurvatureFound = serde_json::from_str(&json).expect("an older version's results are read");
        assert!(old.sentence().contains("of an older version"), "{}", old.sentence());
    }

    #[test]
    fn a_start_that_is_curved_nowhere_implies_nothing() {
        let mut flat = found(OptimizerName::Sgd);
        flat.starts[1].descent_rate = None;
        assert_eq!(flat.implied("init-a"), None);
        assert!(flat.sentence().contains("implies no learning rate"));
    }
}
