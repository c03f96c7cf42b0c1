//! The leading singular triplets of the layers' gradients, found without forming the gradients.

use std::sync::Arc;

use loralab_data::Batch;
use loralab_linalg::{Mat, MatRef, Stream, Svd, from_rows, normal_matrix};

use super::{
    BATCHES, Calibrated, Calibration, CalibrationError,
    triplets::{Products, Side, triplets},
};
use crate::{
    device::{Answer, Device, Inputs, RunSettings},
    graph::{
        memory::Site,
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Initial, Run},
    lora::init::{Layer, Sketch, Start, StartError},
    models::{Adapters, Base, Training},
};

/// Adapters as probes: they multiply the mean gradient of their weights over some batches from either side.
struct Probes {
    device: Box<dyn Device>,
    plan: Arc<Plan>,
    batches: Vec<Batch>,
    /// The seed of the head that the gradients pass through, if the model has one.
    seed: u64,
    tokens: usize,
}

impl Calibration<'_, '_> {
    /// The start of a run whose scheme uses the gradients of its layers' weights.
    pub(super) async fn by_gradients(
        &self,
        run: &Run,
        plan: &Plan,
        start: fn(&Layer<'_>, &Svd) -> Result<Start, StartError>,
        sketch: Sketch,
    ) -> Result<Calibrated, CalibrationError> {
        let layers: Vec<Layer<'_>> = self.setup.layers(plan, run).collect();
        let (triplets, tokens) = self.gradients(&layers, run.seed, sketch).await?;
        let starts =
            layers.iter().zip(&triplets).map(|(layer, gradient)| run.scheme.finite(layer, start(layer, gradient)?));
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts.collect::<Result<_, _>>()?, run.seed)), tokens })
    }

    /// The leading triplets of every layer's mean gradient, and the tokens read. With as many columns as a layer's narrower side they are the full
    /// decomposition, up to rounding in f32.
    async fn gradients(
        &self,
        layers: &[Layer<'_>],
        seed: u64,
        sketch: Sketch,
    ) -> Result<(Vec<Svd>, usize), CalibrationError> {
        let columns = columns(layers, sketch);
        let iterations = if layers.iter().any(|layer| columns < narrow(layer)) { sketch.iterations } else { 0 };
        let mut probes = self.probes(columns, seed).await?;
        let drawn = |layer: &Layer<'_>| {
            normal_matrix(&Stream::new(seed, &format!("{}.gradient", layer.name)), columns, layer.inputs)
        };
        let drawn = layers.iter().map(drawn).collect();
        let found = triplets(&mut probes, drawn, iterations, self.make_device).await?;
        let decomposed = |(layer, found): (&Layer<'_>, Result<_, _>)| found.map_err(layer.undecomposed("gradient"));
        let found = layers.iter().zip(found).map(decomposed).collect::<Result<_, _>>()?;
        Ok((found, probes.tokens))
    }

    async fn probes(&self, columns: usize, seed: u64) -> Result<Probes, CalibrationError> {
        let plan = Arc::new(probing(self.setup.base, self.setup.adapters, self.setup.shape(), columns));
        Ok(Probes {
            device: (self.make_device)(plan.clone(), self.setup.base.tensors.clone()).await?,
            plan,
            batches: self.batches(seed, BATCHES)?.collect(),
            seed,
            tokens: 0,
        })
    }
}

/// The narrower side of a layer: min(I, O).
fn narrow(layer: &Layer<'_>) -> usize {
    layer.inputs.min(layer.outputs)
}

/// The number of columns of the sketch of every layer's gradient.
pub(super) fn columns(layers: &[Layer<'_>], sketch: Sketch) -> usize {
    let fullest = layers.iter().map(narrow).max().unwrap_or(1);
    let sketched = sketch.ranks * layers.iter().map(|layer| layer.rank).max().unwrap_or(1);
    // A full decomposition takes two passes; it is used where it costs no more than the passes of the iterations.
    if fullest <= sketched * (1 + sketch.iterations) { fullest } else { sketched }
}

/// The plan of a model with adapters of rank `columns` as probes.
pub(super) fn probing(base: &Base, adapters: &Adapters, shape: Shape, columns: usize) -> Plan {
    let adapters = Adapters::new(columns, adapters.target_modules.clone());
    let mut tape = Tape::new(shape, false);
    base.model.record(&mut tape, Training::Adapters(base, &adapters));
    tape.compile(Purpose::Train(Optimizer::SignSgd))
}

/// A side is a factor of every adapter: rows X are its A, and dB is G Xᵀ; columns Y are its B, and dA is Yᵀ G.
impl Products for Probes {
    fn products<'a>(&'a mut self, side: Side, vectors: &'a [Mat<f64>]) -> Answer<'a, Vec<Mat<f64>>> {
        Box::pin(async move {
            let factor = side as usize;
            let mut values = vec![0.0; self.plan.trained_len()];
            self.plan.put_head(self.seed, &mut values);
            for (site, vectors) in self.plan.sites.iter().zip(vectors) {
                let place = &mut values[site.factors()[factor].range()];
                put(vectors.as_ref(), site.shapes()[factor][1], place);
            }
            self.device.load(0, &values, &[], RunSettings::PLAIN);
            let mut sums = vec![0.0; values.len()];
            for batch in &self.batches {
                let gradient = self.device.probe(&[Inputs::from(batch)]).await?.swap_remove(0).gradient;
                sums.iter_mut().zip(gradient).for_each(|(sum, x)| *sum += x / self.batches.len() as f32);
                self.tokens += batch.tokens.len();
            }
            let answer = |(site, vectors): (&Site, &Mat<f64>)| {
                let (span, [rows, columns]) = (site.factors()[1 - factor], site.shapes()[1 - factor]);
                let answer = from_rows(&sums[span.range()], rows, columns);
                // The adapter's rank may exceed the number of vectors; the results of the rest are dropped.
                match side {
                    Side::Right => answer.subcols(0, vectors.nrows()).to_owned(),
                    Side::Left => answer.subrows(0, vectors.ncols()).to_owned(),
                }
            };
            Ok(self.plan.sites.iter().zip(vectors).map(answer).collect())
        })
    }
}

/// Writes a matrix row by row to the start of rows of `width` elements.
fn put(m: MatRef<'_, f64>, width: usize, place: &mut [f32]) {
    for (row, values) in place.chunks_exact_mut(width).enumerate().take(m.nrows()) {
        (0..m.ncols()).for_each(|column| values[column] = m[(row, column)] as f32);
    }
}
