//! What is known of the layers' weights where the weights are: one product, or their leading singular triplets.

use std::sync::Arc;

use loralab_linalg::{Mat, MatRef, Stream, Svd, from_rows, normal_matrix, svd, to_rows};

use super::{Calibrated, Calibration, CalibrationError};
use crate::{
    device::{DeviceError, Input},
    init::{Layer, Sketch, Start, StartError},
    plan::Plan,
    train::{Initial, Run, layers, tensor},
};

impl Calibration<'_, '_> {
    /// The start of a run whose scheme looks at the leading triplets of weights. Layer follows on layer, so that little of the base is in a GPU's memory.
    ///
    /// A device finds the range of a weight, Qᵀ, (k, O), in one go, and multiplies the weight by it (Halko, Martinsson and Tropp 2011, algorithm 5.1). What is left
    /// here is that product, (k, I), of the size of a start's A: it is decomposed in f64.
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
            let range = Plan::range(index, shape, columns, sketch.iterations);
            let basis = self.predict(range, drawn.transpose(), layer.outputs).await?;
            let product = Plan::transposed_product(index, shape, columns);
            let inner = self.predict(product, basis.as_ref(), layer.inputs).await?;
            let Svd { u, s, v } = svd(inner.as_ref()).map_err(layer.undecomposed("weight"))?;
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
            let product = Plan::transposed_product(index, [layer.outputs, layer.inputs], rows.nrows());
            let product = self.predict(product, rows.as_ref(), layer.inputs).await?;
            starts.push(run.scheme.finite(&layer, start(&layer, &rows, &product))?);
        }
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts)), tokens: 0 })
    }

    /// What a plan says of these rows: as many, of so many columns. Its device is gone by then, and what it held of the base.
    async fn predict(&self, plan: Plan, rows: MatRef<'_, f64>, columns: usize) -> Result<Mat<f64>, DeviceError> {
        let mut device = (self.make_device)(Arc::new(plan), self.base.tensors.clone()).await?;
        let features = to_rows(rows);
        let input = Input { features: &features, ..Input::default() };
        let prediction = device.predict(&[input]).await?.swap_remove(0);
        Ok(from_rows(&prediction, rows.nrows(), columns))
    }
}
