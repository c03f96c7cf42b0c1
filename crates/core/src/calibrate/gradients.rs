//! The leading singular triplets of the layers' gradients, without the gradients.

use std::sync::Arc;

use loralab_data::Batch;
use loralab_linalg::{Mat, MatRef, Stream, Svd, from_rows, normal_matrix, svd, thin_qr};

use super::{BATCHES, Calibrated, Calibration, CalibrationError};
use crate::{
    device::{Device, DeviceError, Input, RunSettings},
    init::{Layer, Sketch, Start, StartError},
    model::{Adapters, Training, decoder},
    plan::{Optimizer, Plan},
    tape::{Purpose, Tape},
    train::{Initial, Run, layers},
};

/// Which factor of every adapter holds the probing vectors.
#[derive(Clone, Copy)]
enum Side {
    /// A does, and dB answers with G Aᵀ.
    A,
    /// B does, and dA answers with Bᵀ G.
    B,
}

/// Adapters that multiply the mean gradient of their weights over some batches from either side.
struct Probes {
    device: Box<dyn Device>,
    plan: Arc<Plan>,
    batches: Vec<Batch>,
    tokens: usize,
}

impl Calibration<'_, '_> {
    /// The start of a run whose scheme looks at the gradients of layers.
    pub(super) async fn by_gradients(
        &self,
        run: &Run,
        plan: &Plan,
        start: fn(&Layer<'_>, &Svd) -> Result<Start, StartError>,
        sketch: Sketch,
    ) -> Result<Calibrated, CalibrationError> {
        let layers: Vec<Layer<'_>> = layers(plan, self.adapters.rank, run).collect();
        let (triplets, tokens) = self.gradients(&layers, run.seed, sketch).await?;
        let starts =
            layers.iter().zip(&triplets).map(|(layer, gradient)| run.scheme.finite(layer, start(layer, gradient)?));
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts.collect::<Result<_, _>>()?)), tokens })
    }

    /// The leading triplets of every layer's mean gradient, and the tokens it took: Halko, Martinsson and Tropp 2011, arXiv 0909.4061, algorithms 4.4 and 5.1.
    /// As many columns as the narrower side of a layer has give its whole decomposition, up to rounding in f32.
    async fn gradients(
        &self,
        layers: &[Layer<'_>],
        seed: u64,
        sketch: Sketch,
    ) -> Result<(Vec<Svd>, usize), CalibrationError> {
        let narrow = |layer: &Layer<'_>| layer.inputs.min(layer.outputs);
        let fullest = layers.iter().map(narrow).max().unwrap_or(1);
        let sketched = sketch.ranks * self.adapters.rank;
        // Where a whole decomposition, in two passes, asks no more than the passes of the iterations, it is whole.
        let columns = if fullest <= sketched * (1 + sketch.iterations) { fullest } else { sketched };
        let iterations = if layers.iter().any(|layer| columns < narrow(layer)) { sketch.iterations } else { 0 };
        let mut probes = self.probes(columns, seed).await?;
        let drawn = |layer: &Layer<'_>| {
            normal_matrix(&Stream::new(seed, &format!("{}.gradient", layer.name)), columns, layer.inputs)
        };
        let mut basis = probes.orthonormal(Side::A, layers.iter().map(drawn).collect()).await?;
        for _ in 0..iterations {
            let right = probes.orthonormal(Side::B, basis).await?;
            let transposed = right.iter().map(|vectors| vectors.transpose().to_owned());
            basis = probes.orthonormal(Side::A, transposed.collect()).await?;
        }
        let inner = probes.answers(Side::B, &basis).await?;
        let mut triplets = Vec::with_capacity(layers.len());
        for ((layer, basis), inner) in layers.iter().zip(&basis).zip(&inner) {
            let refused = |reason| StartError::Undecomposed { what: "gradient", module: layer.name.to_owned(), reason };
            let Svd { u, s, v } = svd(inner.subrows(0, basis.ncols())).map_err(refused)?;
            triplets.push(Svd { u: basis * u, s, v });
        }
        Ok((triplets, probes.tokens))
    }

    async fn probes(&self, columns: usize, seed: u64) -> Result<Probes, CalibrationError> {
        let adapters = Adapters { rank: columns, target_modules: self.adapters.target_modules.clone() };
        let mut tape = Tape::new(self.shape(), false);
        decoder(&mut tape, &self.base.config, Training::Adapters(self.base, &adapters));
        let plan = Arc::new(tape.compile(Purpose::Train(Optimizer::SignSgd)));
        Ok(Probes {
            device: (self.make_device)(plan.clone(), self.base.tensors.clone()).await?,
            plan,
            batches: self.batches(seed, BATCHES)?.collect(),
            tokens: 0,
        })
    }
}

impl Probes {
    /// Orthonormal columns that span what the gradients answer to `vectors`: (O, k) to A's, (I, k) to B's.
    async fn orthonormal(&mut self, side: Side, vectors: Vec<Mat<f64>>) -> Result<Vec<Mat<f64>>, DeviceError> {
        let answers = self.answers(side, &vectors).await?;
        let basis = |(answer, vectors): (&Mat<f64>, &Mat<f64>)| match side {
            Side::A => thin_qr(answer.subcols(0, vectors.nrows())).q,
            Side::B => thin_qr(answer.subrows(0, vectors.ncols()).transpose()).q,
        };
        Ok(answers.iter().zip(&vectors).map(basis).collect())
    }

    /// G Aᵀ, (O, R), for rows of A, (k, I); or Bᵀ G, (R, I), for columns of B, (O, k), with k at most R.
    async fn answers(&mut self, side: Side, vectors: &[Mat<f64>]) -> Result<Vec<Mat<f64>>, DeviceError> {
        let mut values = vec![0.0; self.plan.trained_len()];
        for (pair, vectors) in self.plan.parameters.chunks_exact(2).zip(vectors) {
            let place = &mut values[pair[side as usize].span.range()];
            put(vectors.as_ref(), pair[side as usize].shape[1], place);
        }
        let settings = RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
        self.device.load(0, &values, &[], settings);
        let mut sums = vec![0.0; values.len()];
        for batch in &self.batches {
            let gradient = self.device.probe(&[Input::from(batch)]).await?.swap_remove(0).gradient;
            sums.iter_mut().zip(gradient).for_each(|(sum, x)| *sum += x / self.batches.len() as f32);
            self.tokens += batch.tokens.len();
        }
        let answer = |pair: &[crate::memory::Parameter]| {
            let parameter = &pair[1 - side as usize];
            from_rows(&sums[parameter.span.range()], parameter.shape[0], parameter.shape[1])
        };
        Ok(self.plan.parameters.chunks_exact(2).map(answer).collect())
    }
}

/// Writes a matrix row by row to the start of rows of `width` numbers.
fn put(m: MatRef<'_, f64>, width: usize, place: &mut [f32]) {
    for (row, values) in place.chunks_exact_mut(width).enumerate().take(m.nrows()) {
        (0..m.ncols()).for_each(|column| values[column] = m[(row, column)] as f32);
    }
}
