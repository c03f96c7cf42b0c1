//! The memory that making starts takes: that of the devices' plans, and that of the host beside them.
//!
//! Starts are made one run after another, so the memory counted is that of one run; a training that precedes them is counted with all its runs.

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
    lora::init::{Layer, Rule, Sketch},
    models::{Adapters, Base},
};

/// The base, adapters and training that starts are made for.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// The base.
    pub base: &'a Base,
    /// The modules with adapters, and the rank that a scheme is asked for.
    pub adapters: &'a Adapters,
    /// The number of sequences of a run's batch, B.
    pub sequences: usize,
    /// The number of tokens of a sequence, T.
    pub tokens: usize,
    /// The optimiser of starts that are trained.
    pub optimizer: Optimizer,
    /// The preconditioner of gradients, applied before the optimiser.
    pub preconditioner: Option<Preconditioner>,
}

/// The memory that is in use at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The phase: the training, or the making of a start.
    pub name: String,
    /// The memory, term by term, and the largest number of runs if something other than memory limits it.
    pub needs: Needs,
}

impl Phase {
    /// The bytes that `runs` runs take in this phase.
    pub fn of(&self, runs: usize) -> u64 {
        self.needs.of(runs)
    }
}

impl Setup<'_> {
    /// The memory for making the starts of `runs` runs that are to train by `plan`, one phase for each of their schemes; `needs` is a device's estimate for a
    /// plan. Schemes that only draw random numbers have no phase.
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

    /// The layers of a plan's adapters, in its order, as input of a run's scheme.
    pub(super) fn layers<'p>(&self, plan: &'p Plan, run: &'p Run) -> impl Iterator<Item = Layer<'p>> {
        layers(plan, |site| self.adapters.of(&site.module).rank, run)
    }

    pub(super) fn shape(&self) -> Shape {
        Shape { runs: 1, sequences: self.sequences, tokens: self.tokens }
    }

    /// The memory for the start of one run, or for all `runs` runs if the start is a training of them together.
    fn needs(&self, run: &Run, runs: usize, plan: &Plan, needs: &dyn Fn(&Plan) -> Needs) -> Needs {
        let layers: Vec<Layer<'_>> = self.layers(plan, run).collect();
        let costs = Costs::new(self, &layers, needs);
        let mut most_runs = None;
        let terms = match run.scheme.rule_with(&run.chosen) {
            Rule::Fill(_) | Rule::Draw(_) => vec![],
            Rule::Weights(_) | Rule::Quantised(..) => {
                vec![decomposed(6, costs.weight, "the largest weight and its parts")]
            }
            Rule::Product { .. } | Rule::Triplets { .. } => {
                // Layers are handled one after another: a device holds one weight and a few rows.
                let base = self.base.bytes() as u64;
                vec![
                    Cost::shared("frozen base as stored", base),
                    decomposed(3, costs.weight, "the largest weight and its parts"),
                ]
            }
            Rule::Activations { labels, spread, .. } => costs.activations(labels, spread),
            Rule::Components { spread, .. } => costs.components(spread),
            Rule::Gradients { sketch, .. } => costs.gradients(sketch),
            Rule::Preheat { ranks, .. } => {
                let plan = heating(self, runs, ranks);
                most_runs = needs(&plan).most_runs;
                costs.preheat(&plan)
            }
        };
        Needs { terms, most_runs }
    }
}

/// The sizes that the memory of a run's start follows from.
struct Costs<'a> {
    setup: &'a Setup<'a>,
    layers: &'a [Layer<'a>],
    needs: &'a dyn Fn(&Plan) -> Needs,
    /// Rows of a batch.
    rows: u64,
    /// I of the widest layer.
    widest: u64,
    /// Bytes of the largest weight in f64.
    weight: u64,
}

impl<'a> Costs<'a> {
    fn new(setup: &'a Setup<'a>, layers: &'a [Layer<'a>], needs: &'a dyn Fn(&Plan) -> Needs) -> Self {
        let elements = layers.iter().map(|layer| layer.inputs as u64 * layer.outputs as u64);
        Costs {
            setup,
            layers,
            needs,
            rows: setup.sequences as u64 * setup.tokens as u64,
            widest: layers.iter().map(|layer| layer.inputs as u64).max().unwrap_or(0),
            weight: 8 * elements.max().unwrap_or(0),
        }
    }

    /// A device for a plan, and what a probe of it reads back.
    fn of_plan(&self, name: &str, plan: &Plan) -> Vec<Cost> {
        let terms = once((self.needs)(plan).terms).into_iter();
        let terms = terms.map(|cost| Cost { what: format!("{name}: {}", cost.what), ..cost });
        terms.chain([probed(name, plan)]).collect()
    }

    /// Moments of the layers' inputs, with codes of the labels or decompositions of all weights beside them.
    fn activations(&self, labels: bool, spread: usize) -> Vec<Cost> {
        let (rows, rank) = (self.rows, self.setup.adapters.highest());
        let compile =
            |codes| observed(self.setup.base, self.setup.shape(), self.layers).0.compile(Purpose::Moments(codes));
        let plan = compile(None);
        let mut terms = self.of_plan("moments of inputs", &plan);
        let moments = 4 * plan.trained_len() as u64;
        terms.push(Cost::shared(format!("moments so far, and of a batch: 2 × {moments} bytes"), 2 * moments));
        if labels {
            let coded = compile(Some(rank));
            let cross = 8 * coded.trained_len() as u64;
            terms.extend(self.of_plan("moments of labels", &coded));
            terms.push(Cost::shared(format!("moments of labels so far: {cross} bytes"), cross));
            terms.push(Cost::shared(
                format!("codes of the labels: {rows} rows × {rank} × 4 bytes, and {BATCHES} batches"),
                4 * rows * rank as u64 + 12 * rows * BATCHES,
            ));
        }
        if spread > 1 {
            let kept =
                |layer: &Layer<'_>| 8 * (layer.inputs + layer.outputs) as u64 * layer.inputs.min(layer.outputs) as u64;
            let kept = self.layers.iter().map(kept).sum();
            terms.push(Cost::shared(format!("decompositions of all weights: {kept} bytes"), kept));
        }
        let square = 8 * self.widest * self.widest;
        terms.push(decomposed(8, square.max(self.weight), "a layer's moments, weight and their parts"));
        terms
    }

    /// Principal components of the layers' inputs, batch by batch.
    fn components(&self, spread: usize) -> Vec<Cost> {
        let Costs { rows, widest, .. } = *self;
        let shape = self.setup.shape();
        let plan = observed(self.setup.base, shape, self.layers).0.compile(Purpose::Observe);
        let mut terms = self.of_plan("inputs of layers", &plan);
        let widths: BTreeSet<usize> = plan.observed.iter().map(|(_, width)| *width).collect();
        let asked = spread * self.setup.adapters.highest();
        for &width in &widths {
            let finder = finding(width, shape.rows_per_run(), asked);
            let (elements, name) = (finder.trained_len() as u64, format!("components of {width} columns"));
            terms.extend(self.of_plan(&name, &finder));
            terms
                .push(Cost::shared(format!("{name}: what is decomposed, {elements} elements × 4 bytes"), 4 * elements));
        }
        let sought = |width: usize| finding(width, 0, asked).shape.tokens;
        let carried = plan.observed.iter().map(|(_, width)| 8 * (sought(*width) * width) as u64).sum();
        terms.push(Cost::shared(format!("directions that are carried: {carried} bytes"), carried));
        terms.push(Cost::shared(format!("rows that count: {rows} × {widest} columns × 4 bytes"), 4 * rows * widest));
        terms
    }

    /// The layers' gradients, as adapters that are probes see them.
    fn gradients(&self, sketch: Sketch) -> Vec<Cost> {
        let rows = self.rows;
        let columns = columns(self.layers, sketch);
        let plan = probing(self.setup.base, self.setup.adapters, self.setup.shape(), columns);
        let elements = plan.trained_len() as u64;
        let mut terms = self.of_plan("gradients", &plan);
        terms.push(Cost::shared(format!("vectors and sums: 2 × {elements} elements × 4 bytes"), 8 * elements));
        terms.push(Cost::shared(format!("sketches and triplets: 5 × {elements} elements × 8 bytes"), 40 * elements));
        terms.push(Cost::shared(format!("{BATCHES} batches: {rows} rows × 12 bytes each"), 12 * rows * BATCHES));
        terms
    }

    /// The training before, by `plan`.
    fn preheat(&self, plan: &Plan) -> Vec<Cost> {
        let elements = plan.trained_len() as u64;
        let named = |cost: Cost| Cost { what: format!("training before: {}", cost.what), ..cost };
        let mut terms: Vec<Cost> = (self.needs)(plan).terms.into_iter().map(named).collect();
        terms.push(Cost::per_run(format!("what it learnt: {elements} elements × 4 bytes"), 4 * elements));
        terms.push(Cost::shared(format!("a start of it: {elements} elements × 4 bytes"), 4 * elements));
        terms.push(decomposed(6, self.weight, "the largest product and its parts"));
        terms
    }
}

/// So many copies of a matrix of so many bytes, for its decomposition.
fn decomposed(copies: u64, bytes: u64, what: &str) -> Cost {
    Cost::shared(format!("{what} in 64 bits: {copies} × {bytes} bytes"), copies * bytes)
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

/// Counts the terms of one run as shared, for work that is done one run after another.
pub fn once(terms: Vec<Cost>) -> Vec<Cost> {
    terms.into_iter().map(|cost| Cost::shared(cost.what, cost.per_run + cost.shared)).collect()
}
