//! The principal components of the layers' inputs, batch by batch, as many as are asked for and not their moments: what is carried from batch to batch is of
//! the size of an adapter.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use loralab_data::Batch;
use loralab_linalg::{Mat, NoConvergence, Stream, Svd, from_rows, spanned_svd, to_rows};

use super::{Calibrated, Calibration, CalibrationError, MOST_BATCHES};
use crate::{
    device::{Device, DeviceError, Input, MakeDevice, Probe, RunSettings},
    init::{Components, Layer, SeenLayer, Start, StartError},
    memory::{Span, Weight},
    model::{Training, decoder},
    plan::Plan,
    tape::{Purpose, Tape},
    train::{Initial, Run, layers},
};

/// Directions that are sought and carried for each one that is asked for, as the source of EVA does.
const SOUGHT: usize = 2;
/// Power iterations over a batch and what is carried.
const ITERATIONS: usize = 2;

/// A rule that looks at the components of all layers' inputs.
type Begin = fn(&[SeenLayer<'_>]) -> Result<Vec<Start>, StartError>;

impl Calibration<'_, '_> {
    /// The start of a run whose scheme looks at the principal components of the inputs of layers: `asked` for each rank, and as many batches as it takes until
    /// no row of A turns by more than `cosine` allows.
    pub(super) async fn by_components(
        &self,
        run: &Run,
        plan: &Plan,
        start: Begin,
        asked: usize,
        cosine: f64,
    ) -> Result<Calibrated, CalibrationError> {
        let layers: Vec<Layer<'_>> = layers(plan, self.adapters.rank, run).collect();
        let modules: Vec<String> = layers.iter().map(|layer| layer.name.to_owned()).collect();
        let mut tape = Tape::new(self.shape(), false);
        decoder(&mut tape, &self.base.config, Training::Observed(self.base, &modules));
        let groups = tape.observed();
        let observed = Arc::new(tape.compile(Purpose::Observe));
        let own = |module: &String| groups.iter().position(|group| group.contains(module));
        let of_layer: Vec<usize> = modules.iter().filter_map(own).collect();
        let mut finders = BTreeMap::new();
        for &(_, width) in &observed.observed {
            if let Entry::Vacant(place) = finders.entry(width) {
                let rows = self.shape().rows_per_run();
                place.insert(Finder::new(width, rows, asked * self.adapters.rank, self.make_device).await?);
            }
        }
        let mut found: Vec<Incremental> = observed.observed.iter().map(|&(_, width)| Incremental::new(width)).collect();
        let mut device = (self.make_device)(observed, self.base.tensors.clone()).await?;
        let given = |found: &[Incremental]| -> Result<Vec<Start>, StartError> {
            let known = layers.iter().zip(&of_layer).map(|(layer, &own)| match &found[own].found {
                Ok(inputs) => Ok(SeenLayer { layer: *layer, inputs }),
                Err(reason) => Err(layer.undecomposed("inputs")(*reason)),
            });
            let starts = start(&known.collect::<Result<Vec<_>, _>>()?)?;
            starts.into_iter().zip(&layers).map(|(start, layer)| run.scheme.finite(layer, start)).collect()
        };
        let mut tokens = 0;
        let mut begun: Option<Vec<Start>> = None;
        for batch in self.batches(run.seed, MOST_BATCHES)? {
            let values = device.probe(&[Input::from(&batch)]).await?.swap_remove(0).observed;
            tokens += batch.tokens.len();
            for (incremental, values) in found.iter_mut().zip(values) {
                let width = incremental.mean.len();
                if let Some(finder) = finders.get_mut(&width) {
                    incremental.add(&counted(&batch, &values, width), finder).await?;
                }
            }
            let starts = match given(&found) {
                // Too few rows are mended by the next batch.
                Err(StartError::FewRows { .. }) => continue,
                starts => starts?,
            };
            let settled = begun.as_ref().is_some_and(|before| have_settled(before, &starts, &layers, cosine));
            begun = Some(starts);
            if settled {
                break;
            }
        }
        let starts = begun.map_or_else(|| given(&found), Ok)?;
        Ok(Calibrated { initial: Arc::new(Initial::lay(plan, starts)), tokens })
    }
}

/// The rows of a batch that count.
fn counted(batch: &Batch, values: &[f32], width: usize) -> Vec<f32> {
    let rows = values.chunks_exact(width).zip(&batch.weights).filter(|(_, weight)| **weight != 0.0);
    rows.flat_map(|(row, _)| row).copied().collect()
}

/// A device for the leading components of inputs of one width.
pub struct Finder {
    device: Box<dyn Device>,
    /// What is decomposed, row after row.
    stack: Vec<f32>,
    /// Its rows.
    rows: usize,
    /// What the search begins from, (k, I): as many directions as are sought.
    drawn: Vec<f32>,
}

impl Finder {
    /// Finds `asked` directions among rows of `width` numbers that come in batches of at most so many rows.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn new(
        width: usize,
        rows: usize,
        asked: usize,
        make_device: MakeDevice<'_>,
    ) -> Result<Finder, DeviceError> {
        let sought = (SOUGHT * asked).min(width);
        // Where all directions, there and back once, ask no more than the iterations, none is left out.
        let whole = width <= sought * (1 + ITERATIONS);
        let (sought, iterations) = if whole { (width, 0) } else { (sought, ITERATIONS) };
        let rows = sought + rows + 1;
        let weight = Weight::Trained(Span { offset: 0, len: rows * width });
        let plan = Plan::range(weight, [rows, width], sought, iterations);
        let mut drawn = vec![0.0; sought * width];
        Stream::new(0, "directions").normal(1.0, &mut drawn);
        Ok(Finder { device: make_device(Arc::new(plan), Arc::new([])).await?, stack: vec![], rows, drawn })
    }

    /// The singular values of the stack, and its leading right singular vectors in rows.
    async fn find(&mut self, width: usize) -> Result<Result<(Vec<f64>, Mat<f64>), NoConvergence>, DeviceError> {
        let settings = RunSettings { scale: 1.0, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
        self.stack.resize(self.rows * width, 0.0);
        self.device.load(0, &self.stack, &[], settings);
        let input = Input { features: &self.drawn, ..Input::default() };
        let Probe { observed, prediction, .. } = self.device.probe(&[input]).await?.swap_remove(0);
        let rows = |values: &[f32]| from_rows(values, self.drawn.len() / width, width);
        let spanned = spanned_svd(rows(&observed[1]).as_ref(), rows(&prediction).as_ref());
        Ok(spanned.map(|Svd { s, v, .. }| (s, v.transpose().to_owned())))
    }
}

/// Incremental principal component analysis: of the rows so far there is the mean, and of their scatter about it the leading eigenvectors, times the roots of
/// their eigenvalues. A batch about its own mean, these, and how far the means are apart, put below each other, have the scatter of all; its leading right
/// singular vectors are what is carried on. Ross, Lim, Lin and Yang 2008, *Incremental learning for robust visual tracking*. What is lost is what lies beyond
/// the directions that are carried.
pub struct Incremental {
    mean: Vec<f64>,
    /// Σ ‖x − mean‖² and Σ ‖x‖².
    scatter: f64,
    power: f64,
    /// The leading directions times the roots of their scatter, (k, I).
    carried: Vec<f32>,
    /// What is known of the rows so far, or why not.
    pub found: Result<Components, NoConvergence>,
}

impl Incremental {
    /// Nothing yet of rows of `width` numbers.
    pub fn new(width: usize) -> Incremental {
        let directions = Mat::zeros(0, width);
        Incremental {
            mean: vec![0.0; width],
            scatter: 0.0,
            power: 0.0,
            carried: vec![],
            found: Ok(Components { rows: 0, variance: 0.0, power: 0.0, values: vec![], directions }),
        }
    }

    /// Takes a batch of rows in, one after the other in `rows`.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn add(&mut self, rows: &[f32], finder: &mut Finder) -> Result<(), DeviceError> {
        let width = self.mean.len();
        let Ok(before) = &self.found else { return Ok(()) };
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len() / width;
        let (old, new) = (before.rows as f64, count as f64);
        let all = old + new;
        // Sums over rows side by side, as no processor adds up one number after the other as fast.
        let (mut mean, mut power) = (vec![0.0; width], vec![0.0; width]);
        for row in rows.chunks_exact(width) {
            for ((mean, power), x) in mean.iter_mut().zip(&mut power).zip(row) {
                *mean += f64::from(*x);
                *power += f64::from(*x).powi(2);
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= new);
        let power: f64 = power.iter().sum();
        let square = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
        self.power += power;

        let stack = &mut finder.stack;
        stack.clear();
        stack.extend(&self.carried);
        for row in rows.chunks_exact(width) {
            stack.extend(row.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean) as f32));
        }
        let apart: Vec<f64> =
            self.mean.iter().zip(&mean).map(|(before, mean)| (old * new / all).sqrt() * (mean - before)).collect();
        stack.extend(apart.iter().map(|x| *x as f32));
        self.scatter += power - new * square(&mean) + square(&apart);
        self.mean.iter_mut().zip(&mean).for_each(|(before, mean)| *before += (mean - *before) * new / all);

        self.found = finder.find(width).await?.map(|(s, directions)| {
            self.carried = to_rows(directions.as_ref());
            for (row, s) in self.carried.chunks_exact_mut(width).zip(&s) {
                row.iter_mut().for_each(|x| *x *= *s as f32);
            }
            Components {
                rows: before.rows + count,
                variance: self.scatter / all,
                power: self.power / all,
                values: s.iter().map(|s| s * s / all).collect(),
                directions,
            }
        });
        Ok(())
    }
}

/// Whether no row of any A has turned by more than `cosine` allows, or is new.
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
