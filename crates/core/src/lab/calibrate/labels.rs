//! The correlation of the layers' inputs with a random code of the labels.

use loralab_data::Batch;
use loralab_linalg::{Mat, Stream, normal_matrix};

use super::{BATCHES, Calibration, CalibrationError};
use crate::{
    lab::train::Run,
    lora::init::{Code, Layer},
};

impl Calibration<'_, '_> {
    /// The code of each layer, and the tokens that went through the model for it.
    pub(super) async fn codes(&self, run: &Run, layers: &[Layer<'_>]) -> Result<(Vec<Code>, usize), CalibrationError> {
        let (batches, rank) = (self.batches(run.seed, BATCHES)?.collect::<Vec<Batch>>(), self.setup.adapters.highest());
        let labels = Labels::of(&batches, self.setup.base.model.output_columns(), rank, run.seed);
        let mut moments = self.moments(layers, Some(rank)).await?;
        let mut crosses: Vec<Mat<f64>> =
            moments.plan.parameters.iter().map(|sums| Mat::zeros(rank, sums.shape[1])).collect();
        for batch in &batches {
            let sums = moments.sums(batch, Some(&labels.rows(batch))).await?;
            let share = batch.counted as f64 / labels.counted;
            for (parameter, cross) in moments.plan.parameters.iter().zip(&mut crosses) {
                let (sums, width) = (&sums[parameter.span.range()], parameter.shape[1]);
                *cross += Mat::from_fn(rank, width, |k, i| share * f64::from(sums[k * width + i]));
            }
        }
        let code = |(layer, &own): (&Layer<'_>, &usize)| {
            // A code of more elements than the layer has inputs is cut.
            let size = layer.rank.min(layer.inputs);
            Code { own: labels.own(size), cross: crosses[own].subrows(0, size).to_owned() }
        };
        let codes = layers.iter().zip(&moments.of_layer).map(code).collect();
        Ok((codes, batches.iter().map(|batch| batch.tokens.len()).sum()))
    }
}

/// The random codes of the labels of some batches.
struct Labels {
    /// The code of each token, (V, R), less the mean over the rows that count.
    codes: Mat<f64>,
    /// The number of counted rows that each token is the label of.
    counts: Vec<f64>,
    /// The number of all counted rows, at least 1.
    counted: f64,
}

impl Labels {
    fn of(batches: &[Batch], vocabulary: usize, size: usize, seed: u64) -> Labels {
        let mut counts = vec![0.0; vocabulary];
        for (target, weight) in batches.iter().flat_map(|batch| batch.targets.iter().zip(&batch.weights)) {
            counts[*target as usize] += f64::from(u8::from(*weight != 0.0));
        }
        let counted = counts.iter().sum::<f64>().max(1.0);
        let drawn = normal_matrix(&Stream::new(seed, "labels.code"), vocabulary, size);
        let mean = |k: usize| (0..vocabulary).map(|token| counts[token] * drawn[(token, k)]).sum::<f64>() / counted;
        let means: Vec<f64> = (0..size).map(mean).collect();
        let seen = counts.iter().filter(|count| **count > 0.0).count();
        // With a single label the centred code would be rounding error only.
        let centred = |token: usize, k: usize| if seen > 1 { drawn[(token, k)] - means[k] } else { 0.0 };
        Labels { codes: Mat::from_fn(vocabulary, size, centred), counts, counted }
    }

    /// E\[S Sᵀ\] of the first `size` elements of the code.
    fn own(&self, size: usize) -> Mat<f64> {
        let product = |token: usize, i: usize, j: usize| self.codes[(token, i)] * self.codes[(token, j)];
        Mat::from_fn(size, size, |i, j| {
            (0..self.counts.len()).map(|token| self.counts[token] * product(token, i, j)).sum::<f64>() / self.counted
        })
    }

    /// The codes of a batch's rows, (B·T, R).
    fn rows(&self, batch: &Batch) -> Vec<f32> {
        let (codes, count) = (&self.codes, self.codes.ncols());
        let of_row = |&target: &u32| (0..count).map(move |k| codes[(target as usize, k)] as f32);
        batch.targets.iter().flat_map(of_row).collect()
    }
}
