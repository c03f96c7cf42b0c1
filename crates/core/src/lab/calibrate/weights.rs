//! Starts from the layers' weights: one product, or their leading singular triplets, computed where the weights are.

use crate::graph::memory::InputName;
use std::sync::Arc;

use loralab_linalg::{Mat, MatRef, Stream, Svd, from_rows, normal_matrix, spanned_svd, to_rows};

use super::{Calibrated, Calibration, CalibrationError, range, transposed_product};
use crate::{
    device::{DeviceError, Inputs, Probe},
    graph::{memory::Weight, plan::Plan},
    lab::train::{Initial, Run, tensor},
    lora::init::{Layer, Sketch, Start, StartError},
};

impl Calibration<'_, '_> {
    /// The start of a run whose scheme uses the leading triplets of weights. Layers are handled one after another, so that little of the base is in a GPU's memory.
    ///
    /// A device runs [`range`](super::range()). The host decomposes the remaining (k, k) matrix in f64 and combines the bases with its factors.
    pub(super) async fn by_weights(
        &self,
        run: &Run,
        plan: &Plan,
        start: fn(&Layer<'_>, &Svd) -> Result<Start, StartError>,
        sketch: Sketch,
    ) -> Result<Calibrated, CalibrationError> {
        let mut starts = vec![];
        for layer in self.setup.layers(plan, run) {
            run.scheme.check(layer.rank, f64::from(layer.scale))?;
            let index = tensor(&self.setup.base.tensors, &layer).ok_or_else(|| run.scheme.no_weight(&layer))?;
            let shape = [layer.outputs, layer.inputs];
            let columns = (sketch.ranks * layer.rank).min(layer.inputs).min(layer.outputs);
            let stream = Stream::new(run.seed, &format!("{}.sketch", layer.name));
            let drawn = normal_matrix(&stream, layer.inputs, columns);
            let range = range(Weight::Frozen(index), shape, columns, sketch.iterations);
            let Probe { observed, prediction, .. } = self.ask(range, drawn.transpose()).await?;
            let rows = |values: &[f32], width| from_rows(values, columns, width);
            let (basis, product) = (rows(&observed[0], layer.outputs), rows(&observed[1], layer.inputs));
            let spanned = spanned_svd(product.as_ref(), rows(&prediction, layer.inputs).as_ref());
            let Svd { u, s, v } = spanned.map_err(layer.undecomposed("weight"))?;
            let found = Svd { u: basis.transpose() * u, s, v };
            starts.push(run.scheme.finite(&layer, start(&layer, &found)?)?);
        }
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts, run.seed)), tokens: 0 })
    }

    /// The start of a run whose scheme uses one product with each weight.
    pub(super) async fn by_product(
        &self,
        run: &Run,
        plan: &Plan,
        rows: fn(&Layer<'_>, &[f32], u64) -> Mat<f64>,
        start: fn(&Layer<'_>, &Mat<f64>, &Mat<f64>) -> Start,
    ) -> Result<Calibrated, CalibrationError> {
        let mut starts = vec![];
        for layer in self.setup.layers(plan, run) {
            run.scheme.check(layer.rank, f64::from(layer.scale))?;
            let index = tensor(&self.setup.base.tensors, &layer).ok_or_else(|| run.scheme.no_weight(&layer))?;
            let rows = rows(&layer, &self.setup.base.tensors[index].data.to_f32(), run.seed);
            let product = transposed_product(index, [layer.outputs, layer.inputs], rows.nrows());
            let product = self.ask(product, rows.as_ref()).await?.prediction;
            let product = from_rows(&product, rows.nrows(), layer.inputs);
            starts.push(run.scheme.finite(&layer, start(&layer, &rows, &product))?);
        }
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts, run.seed)), tokens: 0 })
    }

    /// The probe of a plan on these rows. The device is freed on return, with its share of the base.
    async fn ask(&self, plan: Plan, rows: MatRef<'_, f64>) -> Result<Probe, DeviceError> {
        let mut device = (self.make_device)(Arc::new(plan), self.setup.base.tensors.clone()).await?;
        let features = to_rows(rows);
        Ok(device.probe(&[Inputs::new().with(InputName::Features, &features)]).await?.swap_remove(0))
    }
}
