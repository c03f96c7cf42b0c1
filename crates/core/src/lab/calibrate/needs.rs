//! The memory that starts take while they are made: the devices' plans, and what the host holds beside them.
//!
//! One run's start is made after the other, so what is counted is that of one run; a training that comes before is one of all its runs.

use std::collections::BTreeSet;

use super::{
    BATCHES,
    gradients::{columns, probing},
    incremental::finding,
    observed,
    preheat::heating,
};
use crate::{
    device::{Cost, Needs},
    graph::{
        plan::{Optimizer, Plan, Preconditioner, Shape},
        tape::Purpose,
    },
    lab::train::{Run, layers},
    lora::init::{Layer, Rule},
    models::{Adapters, Base},
};

/// The base, adapters and training that starts are made for.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// The base.
    pub base: &'a Base,
    /// The modules with adapters, and the rank that a scheme is asked for.
    pub adapters: &'a Adapters,
    /// B of a run.
    pub sequences: usize,
    /// T.
    pub tokens: usize,
    /// What trains where a start is a training.
    pub optimizer: Optimizer,
    /// What its gradients are multiplied by before it sees them.
    pub preconditioner: Option<Preconditioner>,
}

/// The memory that is taken together at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The time: the training, or the making of a start.
    pub name: String,
    /// The memory, term by term, and the most runs for another reason.
    pub needs: Needs,
}

impl Phase {
    /// The bytes that so many runs take then.
    pub fn of(&self, runs: usize) -> u64 {
        self.needs.of(runs)
    }
}

impl Setup<'_> {
    /// What making the starts of `runs` runs takes that are to train by `plan`, for each of their schemes, given what a device says that a plan
    /// needs. Schemes that only draw their numbers have none.
    pub fn phases(&self, schemes: &[Run], runs: usize, plan: &Plan, needs: &dyn Fn(&Plan) -> Needs) -> Vec<Phase> {
        let mut phases: Vec<Phase> = vec![];
        for run in schemes {
            let mut of_start = self.needs(run, runs, plan, needs);
            if of_start.terms.is_empty() {
                continue;
            }
            let factors = 4 * plan.trained_len() as u64 * if plan.frozen_pairs { 2 } else { 1 };
            of_start.terms.push(Cost::shared(format!("its factors, three times: 3 × {factors} bytes"), 3 * factors));
            phases.push(Phase { name: format!("the start of {}", run.scheme.name), needs: of_start });
        }
        phases
    }

    fn shape(&self) -> Shape {
        Shape { runs: 1, sequences: self.sequences, tokens: self.tokens }
    }

    /// What the start of a run takes, or of all `runs` runs where it is a training of them together.
    fn needs(&self, run: &Run, runs: usize, plan: &Plan, needs: &dyn Fn(&Plan) -> Needs) -> Needs {
        let rows = self.sequences as u64 * self.tokens as u64;
        let of_run: Vec<Layer<'_>> = layers(plan, self.adapters.rank, run).collect();
        let widest = of_run.iter().map(|layer| layer.inputs as u64).max().unwrap_or(0);
        // Of the largest layer, in f64.
        let weight = 8 * of_run.iter().map(|layer| layer.inputs as u64 * layer.outputs as u64).max().unwrap_or(0);
        let square = 8 * widest * widest;
        let of_plan = |name: &str, plan: &Plan| {
            let terms = once(needs(plan).terms).into_iter();
            let terms = terms.map(|cost| Cost { what: format!("{name}: {}", cost.what), ..cost });
            terms.chain([probed(name, plan)]).collect::<Vec<Cost>>()
        };
        let decomposed = |copies: u64, bytes: u64, what: &str| {
            Cost::shared(format!("{what} in 64 bits: {copies} × {bytes} bytes"), copies * bytes)
        };
        let mut most_runs = None;
        let terms = match run.scheme.rule_with(&run.chosen) {
            Rule::Fill(_) | Rule::Draw(_) => vec![],
            Rule::Weights(_) | Rule::Quantised(..) => vec![decomposed(6, weight, "the largest weight and its parts")],
            Rule::Product { .. } | Rule::Triplets { .. } => {
                // Layer follows on layer, and a device holds one weight and a few rows.
                let base = self.base.bytes() as u64;
                vec![
                    Cost::shared("frozen base as stored", base),
                    decomposed(3, weight, "the largest weight and its parts"),
                ]
            }
            Rule::Activations { labels, spread, .. } => {
                let plan = observed(self.base, self.shape(), &of_run).0.compile(Purpose::Moments);
                let mut terms = of_plan("moments of inputs", &plan);
                let moments = 4 * plan.trained_len() as u64;
                terms.push(Cost::shared(format!("moments so far, and of a batch: 2 × {moments} bytes"), 2 * moments));
                terms.push(Cost::shared(
                    format!("rows that they are held to: {rows} × {widest} × 4 bytes"),
                    4 * rows * widest,
                ));
                if labels {
                    // The device of the moments stands beside one for each width of inputs, one after the other.
                    let beside = of_plan("labels", &plan).iter().map(|cost| cost.shared).sum::<u64>();
                    terms.push(Cost::shared("the same again, for the labels", beside));
                    terms.push(Cost::shared(
                        format!("codes of the labels: 2 × {rows} rows × {widest} × 4 bytes, and {BATCHES} batches"),
                        8 * rows * widest + 12 * rows * BATCHES,
                    ));
                }
                if spread > 1 {
                    let kept = |layer: &Layer<'_>| {
                        8 * (layer.inputs + layer.outputs) as u64 * layer.inputs.min(layer.outputs) as u64
                    };
                    let kept = of_run.iter().map(kept).sum();
                    terms.push(Cost::shared(format!("decompositions of all weights: {kept} bytes"), kept));
                }
                terms.push(decomposed(8, square.max(weight), "a layer's moments, weight and their parts"));
                terms
            }
            Rule::Components { spread, .. } => {
                let plan = observed(self.base, self.shape(), &of_run).0.compile(Purpose::Observe);
                let mut terms = of_plan("inputs of layers", &plan);
                let widths: BTreeSet<usize> = plan.observed.iter().map(|(_, width)| *width).collect();
                let asked = spread * self.adapters.rank;
                for &width in &widths {
                    let finder = finding(width, self.shape().rows_per_run(), asked);
                    let (elements, name) = (finder.trained_len() as u64, format!("components of {width} columns"));
                    terms.extend(of_plan(&name, &finder));
                    terms.push(Cost::shared(
                        format!("{name}: what is decomposed, {elements} elements × 4 bytes"),
                        4 * elements,
                    ));
                }
                let sought = |width: usize| finding(width, 0, asked).shape.tokens;
                let carried = plan.observed.iter().map(|(_, width)| 8 * (sought(*width) * width) as u64).sum();
                terms.push(Cost::shared(format!("directions that are carried: {carried} bytes"), carried));
                terms.push(Cost::shared(
                    format!("rows that count: {rows} × {widest} columns × 4 bytes"),
                    4 * rows * widest,
                ));
                terms
            }
            Rule::Gradients { sketch, .. } => {
                let columns = columns(&of_run, self.adapters.rank, sketch);
                let plan = probing(self.base, self.adapters, self.shape(), columns);
                let elements = plan.trained_len() as u64;
                let mut terms = of_plan("gradients", &plan);
                terms.push(Cost::shared(format!("vectors and sums: 2 × {elements} elements × 4 bytes"), 8 * elements));
                terms.push(Cost::shared(
                    format!("sketches and triplets: 5 × {elements} elements × 8 bytes"),
                    40 * elements,
                ));
                terms
                    .push(Cost::shared(format!("{BATCHES} batches: {rows} rows × 12 bytes each"), 12 * rows * BATCHES));
                terms
            }
            Rule::Preheat { ranks, .. } => {
                let plan = heating(self, runs, ranks);
                let elements = plan.trained_len() as u64;
                let of_all = needs(&plan);
                most_runs = of_all.most_runs;
                let named = |cost: Cost| Cost { what: format!("training before: {}", cost.what), ..cost };
                let mut terms: Vec<Cost> = of_all.terms.into_iter().map(named).collect();
                terms.push(Cost::per_run(format!("what it learnt: {elements} elements × 4 bytes"), 4 * elements));
                terms.push(Cost::shared(format!("a start of it: {elements} elements × 4 bytes"), 4 * elements));
                terms.push(decomposed(6, weight, "the largest product and its parts"));
                terms
            }
        };
        Needs { terms, most_runs }
    }
}

/// Counts the numbers that a probe of a plan's one run reads back: in the parts of which it is put together, and whole.
pub fn probed(name: &str, plan: &Plan) -> Cost {
    let rows = plan.shape.rows_per_run() as u64;
    let predicted = plan.predicted_columns();
    let columns = (predicted + plan.observed.iter().map(|(_, columns)| columns).sum::<usize>()) as u64;
    let gradient = if plan.backward.is_empty() { 0 } else { plan.trained_len() as u64 };
    Cost::shared(
        format!(
            "{name}: read back, 2 × {rows} rows × {columns} columns × 4 bytes, and a gradient of {gradient} elements × 4 bytes"
        ),
        8 * rows * columns + 4 * gradient,
    )
}

/// What is there once for one run, however many follow.
pub fn once(terms: Vec<Cost>) -> Vec<Cost> {
    terms.into_iter().map(|cost| Cost::shared(cost.what, cost.per_run + cost.shared)).collect()
}
