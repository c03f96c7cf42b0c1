//! What is known of the layers' weights by products that are made where the weights are: one, or their leading singular triplets.

use std::sync::Arc;

use loralab_linalg::{Mat, MatRef, Stream, Svd, from_rows, normal_matrix, to_rows};

use super::{
    Calibrated, Calibration, CalibrationError,
    triplets::{Products, Side, triplets},
};
use crate::{
    device::{Answer, Device, DeviceError, Input},
    init::{Layer, Sketch, Start, StartError},
    plan::Plan,
    train::{Initial, Run, layers, tensor},
};

/// The weight of a layer, which a device multiplies from either side. The plans name this tensor alone, so a GPU is given no other of the base; it has it
/// twice while the layer is begun.
struct Weight {
    shape: [usize; 2],
    right: Box<dyn Device>,
    left: Box<dyn Device>,
}

impl Calibration<'_, '_> {
    /// The start of a run whose scheme looks at the leading triplets of weights. Layer follows on layer, so that little of the base is in a GPU's memory.
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
            let columns = (sketch.ranks * layer.rank).min(layer.inputs).min(layer.outputs);
            let stream = Stream::new(run.seed, &format!("{}.sketch", layer.name));
            let drawn = normal_matrix(&stream, layer.inputs, columns).transpose().to_owned();
            let mut weight = self.weight(run, &layer, columns).await?;
            let found = triplets(&mut weight, vec![drawn], sketch.iterations).await?.swap_remove(0);
            let found = found.map_err(layer.undecomposed("weight"))?;
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
            let mut device = (self.make_device)(Arc::new(product), self.base.tensors.clone()).await?;
            let product = product_of(&mut *device, rows.as_ref(), layer.inputs).await?;
            starts.push(run.scheme.finite(&layer, start(&layer, &rows, &product))?);
        }
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts)), tokens: 0 })
    }

    /// A layer's weight, to be multiplied by so many vectors at a time.
    async fn weight(&self, run: &Run, layer: &Layer<'_>, vectors: usize) -> Result<Weight, CalibrationError> {
        let index = tensor(&self.base.tensors, layer).ok_or_else(|| run.scheme.no_weight(layer))?;
        let shape = [layer.outputs, layer.inputs];
        let device = |plan| (self.make_device)(Arc::new(plan), self.base.tensors.clone());
        let right = device(Plan::product(index, shape, vectors)).await?;
        let left = device(Plan::transposed_product(index, shape, vectors)).await?;
        Ok(Weight { shape, right, left })
    }
}

impl Products for Weight {
    fn products<'a>(&'a mut self, side: Side, vectors: &'a [Mat<f64>]) -> Answer<'a, Vec<Mat<f64>>> {
        let [outputs, inputs] = self.shape;
        Box::pin(async move {
            let mut products = vec![];
            for vectors in vectors {
                let (device, rows, columns) = match side {
                    Side::Right => (&mut self.right, vectors.as_ref(), outputs),
                    Side::Left => (&mut self.left, vectors.transpose(), inputs),
                };
                let product = product_of(&mut **device, rows, columns).await?;
                products.push(match side {
                    Side::Right => product.transpose().to_owned(),
                    Side::Left => product,
                });
            }
            Ok(products)
        })
    }
}

/// What the plan of a product says of these rows: as many, of so many columns.
async fn product_of(device: &mut dyn Device, rows: MatRef<'_, f64>, columns: usize) -> Result<Mat<f64>, DeviceError> {
    let features = to_rows(rows);
    let input = Input { features: &features, ..Input::default() };
    let product = device.predict(&[input]).await?.swap_remove(0);
    Ok(from_rows(&product, rows.nrows(), columns))
}
