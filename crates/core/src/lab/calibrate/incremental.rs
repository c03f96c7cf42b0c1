//! The leading principal components of rows that come in batches, without their moments: what is carried from batch to batch is of the size of an adapter.

use super::range;
use crate::graph::memory::InputName;
use std::sync::Arc;

use loralab_linalg::{Mat, NoConvergence, Stream, Svd, from_rows, spanned_svd, to_rows};

use crate::{
    device::{Device, DeviceError, Inputs, MakeDevice, Probe, RunSettings},
    graph::{
        memory::{Span, Weight},
        plan::Plan,
    },
    lora::init::Components,
};

/// Directions that are sought, and carried, for each one that is asked for. The source of EVA seeks as many and carries what is asked for.
const SOUGHT: usize = 2;
/// Power iterations over a batch and what is carried.
const ITERATIONS: usize = 2;

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
        let plan = finding(width, rows, asked);
        let (sought, rows) = (plan.shape.tokens, plan.parameters[0].shape[0]);
        let mut drawn = vec![0.0; sought * width];
        Stream::new(0, "directions").normal(1.0, &mut drawn);
        Ok(Finder { device: make_device(Arc::new(plan), Arc::new([])).await?, stack: vec![], rows, drawn })
    }

    /// The singular values of the stack, and its leading right singular vectors in rows.
    async fn find(&mut self, width: usize) -> Result<Result<(Vec<f64>, Mat<f64>), NoConvergence>, DeviceError> {
        self.stack.resize(self.rows * width, 0.0);
        self.device.load(0, &self.stack, &[], RunSettings::PLAIN);
        let input = Inputs::new().with(InputName::Features, &self.drawn);
        let Probe { observed, prediction, .. } = self.device.probe(&[input]).await?.swap_remove(0);
        let rows = |values: &[f32]| from_rows(values, self.drawn.len() / width, width);
        let spanned = spanned_svd(rows(&observed[1]).as_ref(), rows(&prediction).as_ref());
        Ok(spanned.map(|Svd { s, v, .. }| (s, v.transpose().to_owned())))
    }
}

/// The search for `asked` directions among rows of `width` numbers that come in batches of at most so many rows: of the plan's rows, as many as are sought,
/// in what is carried, a batch, and how far their means are apart.
pub(super) fn finding(width: usize, rows: usize, asked: usize) -> Plan {
    let sought = (SOUGHT * asked).min(width);
    // Where all directions, there and back once, ask no more than the iterations, none is left out.
    let whole = width <= sought * (1 + ITERATIONS);
    let (sought, iterations) = if whole { (width, 0) } else { (sought, ITERATIONS) };
    let rows = sought + rows + 1;
    let weight = Weight::Trained(Span { offset: 0, len: rows * width });
    range(weight, [rows, width], sought, iterations)
}

/// Incremental principal component analysis: of the rows so far there is the mean, and of their scatter about it the leading eigenvectors, times the roots of
/// their eigenvalues. A batch about its own mean, these, and how far the means are apart, put below each other, have the scatter of all; its leading right
/// singular vectors are what is carried on. Ross, Lim, Lin and Yang 2008, *Incremental learning for robust visual tracking*. What is lost is what lies beyond
/// the directions that are carried.
pub struct Incremental {
    mean: Vec<f64>,
    /// What is known of the rows so far, or why not.
    pub found: Result<Components, NoConvergence>,
}

impl Incremental {
    /// Nothing yet of rows of `width` numbers.
    pub fn new(width: usize) -> Incremental {
        let directions = Mat::zeros(0, width);
        Incremental {
            mean: vec![0.0; width],
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

        let stack = &mut finder.stack;
        stack.clear();
        stack.extend(to_rows(before.directions.as_ref()));
        for (row, variance) in stack.chunks_exact_mut(width).zip(&before.values) {
            let scatter = (variance * old).sqrt() as f32;
            row.iter_mut().for_each(|x| *x *= scatter);
        }
        for row in rows.chunks_exact(width) {
            stack.extend(row.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean) as f32));
        }
        let apart: Vec<f64> =
            self.mean.iter().zip(&mean).map(|(before, mean)| (old * new / all).sqrt() * (mean - before)).collect();
        stack.extend(apart.iter().map(|x| *x as f32));
        let scatter = before.variance * old + power - new * square(&mean) + square(&apart);
        let power = before.power * old + power;
        self.mean.iter_mut().zip(&mean).for_each(|(before, mean)| *before += (mean - *before) * new / all);

        self.found = finder.find(width).await?.map(|(s, directions)| Components {
            rows: before.rows + count,
            variance: scatter / all,
            power: power / all,
            values: s.iter().map(|s| s * s / all).collect(),
            directions,
        });
        Ok(())
    }
}
