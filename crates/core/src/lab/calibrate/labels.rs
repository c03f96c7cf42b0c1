//! How the layers' inputs go with a code of the labels.

use loralab_data::Batch;
use loralab_linalg::{Mat, Stream, normal_matrix};

use super::{BATCHES, Calibration, CalibrationError};
use crate::{
    lab::train::Run,
    lora::init::{Code, Layer},
};

impl Calibration<'_, '_> {
    /// The code of each layer, and the tokens that went through the model for it.
    ///
    /// E\[S xᵀ\] is what the second moment E\[x xᵀ\] loses where x is compared with rows of codes instead of zeros, so it takes no kernel of its own. What
    /// is compared with is as wide as the inputs, so inputs of each width are asked for on their own.
    pub(super) async fn codes(&self, run: &Run, layers: &[Layer<'_>]) -> Result<(Vec<Code>, usize), CalibrationError> {
        let batches: Vec<Batch> = self.batches(run.seed, BATCHES)?.collect();
        let labels = Labels::of(&batches, self.base.model.vocabulary(), self.adapters.rank, run.seed);
        let mut found: Vec<Option<Code>> = vec![None; layers.len()];
        let mut tokens = 0;
        while let Some(width) = found.iter().zip(layers).find(|(code, _)| code.is_none()).map(|(_, layer)| layer.inputs)
        {
            let alike: Vec<usize> = (0..layers.len()).filter(|&index| layers[index].inputs == width).collect();
            let of_width: Vec<Layer<'_>> = alike.iter().map(|&index| layers[index]).collect();
            let mut moments = self.moments(&of_width).await?;
            let size = self.adapters.rank.min(width);
            let mut crosses = vec![Mat::<f64>::zeros(size, width); moments.plan.parameters.len() / 2];
            let zeros = moments.zeros.clone();
            for batch in &batches {
                let rows = labels.rows(batch, size, width);
                let (plain, coded) = (moments.sums(batch, &zeros).await?, moments.sums(batch, &rows).await?);
                tokens += 2 * batch.tokens.len();
                let share = batch.counted as f64 / labels.counted;
                for (pair, cross) in moments.plan.parameters.chunks_exact(2).zip(&mut crosses) {
                    let at = pair[0].span.offset;
                    *cross = Mat::from_fn(size, width, |k, i| {
                        let place = at + k * width + i;
                        cross[(k, i)] + share * f64::from(plain[place] - coded[place])
                    });
                }
            }
            for (&index, &own) in alike.iter().zip(&moments.of_layer) {
                found[index] = Some(Code { own: labels.own(size), cross: crosses[own].clone() });
            }
        }
        Ok((found.into_iter().flatten().collect(), tokens))
    }
}

/// What the labels of some batches are coded by.
struct Labels {
    /// The code of each token, (V, R), less the mean over the rows that count.
    codes: Mat<f64>,
    /// How many of those rows each token is the label of.
    counts: Vec<f64>,
    /// All of them.
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
        // What is left of a single label's code is rounding.
        let centred = |token: usize, k: usize| if seen > 1 { drawn[(token, k)] - means[k] } else { 0.0 };
        Labels { codes: Mat::from_fn(vocabulary, size, centred), counts, counted }
    }

    /// E\[S Sᵀ\] of the first `size` numbers.
    fn own(&self, size: usize) -> Mat<f64> {
        let product = |token: usize, i: usize, j: usize| self.codes[(token, i)] * self.codes[(token, j)];
        Mat::from_fn(size, size, |i, j| {
            (0..self.counts.len()).map(|token| self.counts[token] * product(token, i, j)).sum::<f64>() / self.counted
        })
    }

    /// The codes of a batch's rows, each filled up with zeros to `width`.
    fn rows(&self, batch: &Batch, size: usize, width: usize) -> Vec<f32> {
        let mut rows = vec![0.0; batch.targets.len() * width];
        for (row, target) in rows.chunks_exact_mut(width).zip(&batch.targets) {
            (0..size).for_each(|k| row[k] = self.codes[(*target as usize, k)] as f32);
        }
        rows
    }
}
