//! Starts from the moments of the layers' inputs.

use crate::graph::memory::InputName;
use std::sync::Arc;

use loralab_data::Batch;
use loralab_linalg::from_rows;

use super::{BATCHES, Calibrated, Calibration, CalibrationError};
use crate::{
    device::{Device, DeviceError, Inputs},
    graph::{plan::Plan, tape::Purpose},
    lab::train::{Initial, Run, weight},
    lora::init::{Code, InputMoments, KnownLayer, Layer, Start, StartError},
};

/// A rule that computes starts from the moments of all layers' inputs.
type Begin = fn(&[KnownLayer<'_>]) -> Result<Vec<Start>, StartError>;

/// The moments of every distinct input of some layers, summed batch by batch.
pub(super) struct Moments {
    device: Box<dyn Device>,
    pub(super) plan: Arc<Plan>,
    /// For each layer, the index of its input.
    pub(super) of_layer: Vec<usize>,
    inputs: Vec<InputMoments>,
}

impl Calibration<'_, '_> {
    /// The start of a run whose scheme uses the moments of its layers' inputs.
    pub(super) async fn by_activations(
        &self,
        run: &Run,
        plan: &Plan,
        start: Begin,
        labels: bool,
    ) -> Result<Calibrated, CalibrationError> {
        let layers: Vec<Layer<'_>> = self.setup.layers(plan, run).collect();
        let mut moments = self.moments(&layers, None).await?;
        let mut tokens = 0;
        for batch in self.batches(run.seed, BATCHES)? {
            tokens += batch.tokens.len();
            // Beside a code of the labels, the rows that have labels are those that count.
            let batch = if labels { batch } else { batch.of_all_tokens() };
            moments.add(&batch).await?;
        }
        let (codes, read) = if labels { self.codes(run, &layers).await? } else { (vec![], 0) };
        tokens += read;
        let starts = self.given_moments(run, start, &layers, &moments, &codes)?;
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts, run.seed)), tokens })
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
                    let rows = weight(&self.setup.base.tensors, layer).ok_or_else(|| run.scheme.no_weight(layer))?;
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

    /// A device for the moments of the layers' inputs, or for those of a code of so many columns with them.
    pub(super) async fn moments(&self, layers: &[Layer<'_>], codes: Option<usize>) -> Result<Moments, DeviceError> {
        let (tape, of_layer) = self.observed(layers);
        let plan = Arc::new(tape.compile(Purpose::Moments(codes)));
        let widths: Vec<usize> = plan.parameters.iter().map(|sums| sums.shape[1]).collect();
        let empty = |&width: &usize| InputMoments { rows: 0, mean: vec![0.0; width], second: vec![0.0; width * width] };
        Ok(Moments {
            device: (self.make_device)(plan.clone(), self.setup.base.tensors.clone()).await?,
            of_layer,
            inputs: widths.iter().map(empty).collect(),
            plan,
        })
    }
}

impl Moments {
    /// The mean of \[c, 1\]ᵀ x over the counted rows of a batch, for every input x, laid out as the plan's parameters; c is x, or a row of `codes`.
    pub(super) async fn sums(&mut self, batch: &Batch, codes: Option<&[f32]>) -> Result<Vec<f32>, DeviceError> {
        let share = 1.0 / batch.counted.max(1) as f32;
        let weights: Vec<f32> = batch.weights.iter().map(|x| if *x == 0.0 { 0.0 } else { share }).collect();
        let mut input = Inputs::from(batch).with(InputName::Weights, &weights);
        if let Some(codes) = codes {
            input = input.with(InputName::Codes, codes);
        }
        Ok(self.device.probe(&[input]).await?.swap_remove(0).gradient)
    }

    async fn add(&mut self, batch: &Batch) -> Result<(), DeviceError> {
        let sums = self.sums(batch, None).await?;
        for (parameter, inputs) in self.plan.parameters.iter().zip(&mut self.inputs) {
            let rows = inputs.rows + batch.counted;
            // The share of this batch among all rows so far.
            let part = batch.counted as f64 / rows.max(1) as f64;
            let mixed = |old: f64, new: f64| old + part * (new - old);
            let width = inputs.mean.len();
            let (second, mean) = sums[parameter.span.range()].split_at(width * width);
            for i in 0..width {
                for j in 0..=i {
                    // The halves differ by rounding only; the decompositions need a symmetric matrix.
                    let sum = f64::from(second[i * width + j]) + f64::from(second[j * width + i]);
                    let new = mixed(f64::from(inputs.second[i * width + j]), sum / 2.0) as f32;
                    (inputs.second[i * width + j], inputs.second[j * width + i]) = (new, new);
                }
            }
            inputs.mean.iter_mut().zip(mean).for_each(|(old, new)| *old = mixed(*old, f64::from(*new)));
            inputs.rows = rows;
        }
        Ok(())
    }
}
