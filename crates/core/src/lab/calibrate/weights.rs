//! What is known of the layers' weights where the weights are: one product, or their leading singular triplets.

use crate::graph::memory::InputName;
use std::sync::Arc;

use loralab_linalg::{Mat, MatRef, Stream, Svd, from_rows, normal_matrix, spanned_svd, to_rows};

use super::{Calibrated, Calibration, CalibrationError, range, transposed_product};
use crate::{
    device::{DeviceError, Inputs, Probe},
    graph::{memory::Weight, plan::Plan},
    lab::train::{Initial, Run, layers, tensor},
    lora::init::{Layer, Sketch, Start, StartError},
};

impl Calibration<'_, '_> {
    /// The start of a run whose scheme looks at the leading triplets of weights. Layer follows on layer, so that little of the base is in a GPU's memory.
    ///
    /// A device goes through [`range`](super::range()). What is left here is (k, k), which is decomposed in f64, and how its factors combine the bases.
    pub(super) async fn by_weights(
        &self,
        run: &Run,
        plan: &Plan,
        start: fn(&Layer<'_>, &Svd) -> Result<Start, StartError>,
        sketch: Sketch,
    ) -> Result<Calibrated, CalibrationError> {
        run.scheme.check(self.adapters.rank, run.settings.scale)?;
        let mut starts = vec![];
        for layer in layers(plan, self.adapters.rank, run) {
            let index = tensor(&self.base.tensors, &layer).ok_or_else(|| run.scheme.no_weight(&layer))?;
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
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts)), tokens: 0 })
    }

    /// The start of a run whose scheme looks at one product of each weight.
    pub(super) async fn by_product(
        &self,
        run: &Run,
        plan: &Plan,
        rows: fn(&Layer<'_>, &[f32], u64) -> Mat<f64>,
        start: fn(&Layer<'_>, &Mat<f64>, &Mat<f64>) -> Start,
    ) -> Result<Calibrated, CalibrationError> {
        run.scheme.check(self.adapters.rank, run.settings.scale)?;
        let mut starts = vec![];
        for layer in layers(plan, self.adapters.rank, run) {
            let index = tensor(&self.base.tensors, &layer).ok_or_else(|| run.scheme.no_weight(&layer))?;
            let rows = rows(&layer, &self.base.tensors[index].data.to_f32(), run.seed);
            let product = transposed_product(index, [layer.outputs, layer.inputs], rows.nrows());
            let product = self.ask(product, rows.as_ref()).await?.prediction;
            let product = from_rows(&product, rows.nrows(), layer.inputs);
            starts.push(run.scheme.finite(&layer, start(&layer, &rows, &product))?);
        }
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts)), tokens: 0 })
    }

    /// What a plan says of these rows. Its device is gone by then, and what it held of the base.
    async fn ask(&self, plan: Plan, rows: MatRef<'_, f64>) -> Result<Probe, DeviceError> {
        let mut device = (self.make_device)(Arc::new(plan), self.base.tensors.clone()).await?;
        let features = to_rows(rows);
        Ok(device.probe(&[Inputs::new().with(InputName::Features, &features)]).await?.swap_remove(0))
    }
}
