//! The moments of the layers' inputs.

use crate::graph::memory::InputName;
use std::sync::Arc;

use loralab_data::Batch;
use loralab_linalg::from_rows;

use super::{BATCHES, Calibrated, Calibration, CalibrationError};
use crate::{
    device::{Device, DeviceError, Inputs},
    graph::{plan::Plan, tape::Purpose},
    lab::train::{Initial, Run, layers, weight},
    lora::init::{Code, InputMoments, KnownLayer, Layer, Start, StartError},
};

/// A rule that looks at the inputs of all layers.
type Begin = fn(&[KnownLayer<'_>]) -> Result<Vec<Start>, StartError>;

/// The moments of every different input of some layers, summed up batch by batch.
pub(super) struct Moments {
    device: Box<dyn Device>,
    pub(super) plan: Arc<Plan>,
    /// For each layer, which of the inputs is its own.
    pub(super) of_layer: Vec<usize>,
    inputs: Vec<InputMoments>,
    /// What a squared error of zero is held to: as many rows as a batch has, as wide as the widest input.
    pub(super) zeros: Vec<f32>,
}

impl Calibration<'_, '_> {
    /// The start of a run whose scheme looks at the inputs of layers.
    pub(super) async fn by_activations(
        &self,
        run: &Run,
        plan: &Plan,
        start: Begin,
        labels: bool,
    ) -> Result<Calibrated, CalibrationError> {
        let layers: Vec<Layer<'_>> = layers(plan, self.adapters.rank, run).collect();
        let mut moments = self.moments(&layers).await?;
        let mut tokens = 0;
        for batch in self.batches(run.seed, BATCHES)? {
            moments.add(&batch).await?;
            tokens += batch.tokens.len();
        }
        let (codes, read) = if labels { self.codes(run, &layers).await? } else { (vec![], 0) };
        tokens += read;
        let starts = self.given_moments(run, start, &layers, &moments, &codes)?;
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts)), tokens })
    }

    fn given_moments(
        &self,
        run: &Run,
        start: Begin,
        layers: &[Layer<'_>],
        moments: &Moments,
        codes: &[Code],
    ) -> Result<Vec<Start>, StartError> {
        let weights: Vec<_> = layers
            .iter()
            .map(|layer| {
                move || {
                    let rows = weight(&self.base.tensors, layer).ok_or_else(|| run.scheme.no_weight(layer))?;
                    Ok(from_rows(&rows, layer.outputs, layer.inputs))
                }
            })
            .collect();
        let known = layers.iter().zip(&weights).zip(&moments.of_layer).enumerate();
        let known = known.map(|(index, ((layer, weight), &own))| KnownLayer {
            layer: *layer,
            inputs: &moments.inputs[own],
            code: codes.get(index),
            weight,
        });
        let starts = start(&known.collect::<Vec<_>>())?;
        starts.into_iter().zip(layers).map(|(start, layer)| run.scheme.finite(layer, start)).collect()
    }

    pub(super) async fn moments(&self, layers: &[Layer<'_>]) -> Result<Moments, DeviceError> {
        let (tape, of_layer) = self.observed(layers);
        let plan = Arc::new(tape.compile(Purpose::Moments));
        let widths: Vec<usize> = plan.parameters.chunks_exact(2).map(|pair| pair[0].shape[1]).collect();
        let empty = |&width: &usize| InputMoments { rows: 0, mean: vec![0.0; width], second: vec![0.0; width * width] };
        let widest = widths.iter().max().copied().unwrap_or(1);
        Ok(Moments {
            device: (self.make_device)(plan.clone(), self.base.tensors.clone()).await?,
            of_layer,
            inputs: widths.iter().map(empty).collect(),
            zeros: vec![0.0; plan.shape.rows_per_run() * widest],
            plan,
        })
    }
}

impl Moments {
    /// E\[(x − c) xᵀ\] and half of E\[x\] of every input over the rows of a batch that count, as the plan's parameters lie; c are rows of `expected`.
    pub(super) async fn sums(&mut self, batch: &Batch, expected: &[f32]) -> Result<Vec<f32>, DeviceError> {
        // Twice the weight is the row's share.
        let share = 0.5 / batch.counted.max(1) as f32;
        let weights: Vec<f32> = batch.weights.iter().map(|x| if *x == 0.0 { 0.0 } else { share }).collect();
        let input = Inputs::from(batch).with(InputName::Weights, &weights).with(InputName::Expected, expected);
        Ok(self.device.probe(&[input]).await?.swap_remove(0).gradient)
    }

    async fn add(&mut self, batch: &Batch) -> Result<(), DeviceError> {
        let zeros = std::mem::take(&mut self.zeros);
        let sums = self.sums(batch, &zeros).await;
        self.zeros = zeros;
        let sums = sums?;
        for (pair, inputs) in self.plan.parameters.chunks_exact(2).zip(&mut self.inputs) {
            let rows = inputs.rows + batch.counted;
            // Of all rows so far, those of this batch.
            let part = batch.counted as f64 / rows.max(1) as f64;
            let mixed = |old: f64, new: f64| old + part * (new - old);
            let (second, mean) = (&sums[pair[0].span.range()], &sums[pair[1].span.range()]);
            let width = inputs.mean.len();
            for i in 0..width {
                for j in 0..=i {
                    // Equal but for rounding; the decompositions want it symmetric.
                    let sum = f64::from(second[i * width + j]) + f64::from(second[j * width + i]);
                    let new = mixed(f64::from(inputs.second[i * width + j]), sum / 2.0) as f32;
                    (inputs.second[i * width + j], inputs.second[j * width + i]) = (new, new);
                }
            }
            inputs.mean.iter_mut().zip(mean).for_each(|(old, half)| *old = mixed(*old, 2.0 * f64::from(*half)));
            inputs.rows = rows;
        }
        Ok(())
    }
}
