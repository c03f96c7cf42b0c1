//! Starts from the principal components of the layers' inputs, read batch by batch until the directions settle.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use loralab_data::Batch;

use super::{
    Calibrated, Calibration, CalibrationError, MOST_BATCHES,
    incremental::{Finder, Incremental},
};
use crate::{
    device::Inputs,
    graph::{plan::Plan, tape::Purpose},
    lab::train::{Initial, Run},
    lora::init::{Layer, SeenLayer, Start, StartError},
};

/// A rule that computes starts from the components of all layers' inputs.
type Begin = fn(&[SeenLayer<'_>]) -> Result<Vec<Start>, StartError>;

impl Calibration<'_, '_> {
    /// The start of a run whose scheme uses the principal components of its layers' inputs: `asked` directions for each rank, from batches that are read until
    /// no row of A turns by more than `cosine` allows.
    pub(super) async fn by_components(
        &self,
        run: &Run,
        plan: &Plan,
        start: Begin,
        asked: usize,
        cosine: f64,
    ) -> Result<Calibrated, CalibrationError> {
        let layers: Vec<Layer<'_>> = self.setup.layers(plan, run).collect();
        let (tape, of_layer) = self.observed(&layers);
        let observed = Arc::new(tape.compile(Purpose::Observe));
        let mut finders = BTreeMap::new();
        let widths: Vec<usize> = observed.observed.iter().map(|(_, width)| *width).collect();
        for &width in &widths {
            if let Entry::Vacant(place) = finders.entry(width) {
                let rows = self.setup.shape().rows_per_run();
                place.insert(Finder::new(width, rows, asked * self.setup.adapters.highest(), self.make_device).await?);
            }
        }
        let mut found: Vec<Incremental> = widths.iter().map(|&width| Incremental::new(width)).collect();
        let mut device = (self.make_device)(observed, self.setup.base.tensors.clone()).await?;
        let given = |found: &[Incremental]| -> Result<Vec<Start>, StartError> {
            let known = layers.iter().zip(&of_layer).map(|(layer, &own)| match &found[own].found {
                Ok(inputs) => Ok(SeenLayer { layer: *layer, inputs }),
                Err(reason) => Err(layer.undecomposed("inputs")(*reason)),
            });
            let starts = start(&known.collect::<Result<Vec<_>, _>>()?)?;
            starts.into_iter().zip(&layers).map(|(start, layer)| run.scheme.finite(layer, start)).collect()
        };
        let mut tokens = 0;
        let mut latest: Option<Vec<Start>> = None;
        for batch in self.batches(run.seed, MOST_BATCHES)?.map(Batch::of_all_tokens) {
            let values = device.probe(&[Inputs::from(&batch)]).await?.swap_remove(0).observed;
            tokens += batch.tokens.len();
            for ((incremental, values), width) in found.iter_mut().zip(values).zip(&widths) {
                let finder = finders.get_mut(width).expect("every width has its own");
                incremental.add(&counted(&batch, &values, *width), finder).await?;
            }
            let starts = match given(&found) {
                // Too few rows, or too few distinct ones: the next batch adds more.
                Err(StartError::FewRows { .. } | StartError::FewDirections { .. }) => continue,
                starts => starts?,
            };
            let settled = latest.as_ref().is_some_and(|before| have_settled(before, &starts, &layers, cosine));
            latest = Some(starts);
            if settled {
                break;
            }
        }
        let starts = latest.map_or_else(|| given(&found), Ok)?;
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts, run.seed)), tokens })
    }
}

/// The rows of a batch that count for the loss.
fn counted(batch: &Batch, values: &[f32], width: usize) -> Vec<f32> {
    let mut rows = Vec::with_capacity(batch.counted * width);
    for (row, weight) in values.chunks_exact(width).zip(&batch.weights) {
        if *weight != 0.0 {
            rows.extend_from_slice(row);
        }
    }
    rows
}

/// True if no row of any A is new or has turned by more than `cosine` allows.
fn have_settled(before: &[Start], after: &[Start], layers: &[Layer<'_>], cosine: f64) -> bool {
    before.iter().zip(after).zip(layers).all(|((before, after), layer)| {
        let rows = |start: &Start| start.a.chunks_exact(layer.inputs).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let (before, after) = (rows(before), rows(after));
        after.len() <= before.len()
            && after.iter().zip(&before).all(|(one, other)| {
                let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
                dot(one, other).abs() >= cosine * (dot(one, one) * dot(other, other)).sqrt()
            })
    })
}
