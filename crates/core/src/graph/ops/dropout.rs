//! `dropout`: y = m x with a random mask m, which is computed again wherever it is needed. y (N, I) ← x (N, I), noise (N, 4).

use std::ops::Range;

use loralab_cpu::{Scalar, dropout};
use loralab_linalg::{Philox, Stream};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, NOISE, Type},
    shader::{Grid, Launch, Memory, Shader, adds, shader, word},
};

shader! {
    MASK = "dropout/mask", workgroup 256;
    parts { "dropout/mask", "lib/philox", "lib/elements" }
    params { fours: u32, width: u32, threshold: u32, factor: f32, site: u32, add: u32 }
    buffers { read x: f32, read noise: u32, write y: f32 }
    constants {}
}

/// Dropout of an adapter's input, as PEFT's `lora_dropout`: each element is 0 with probability p, and else multiplied by 1/(1 − p). Reads x and the noise;
/// writes y.
///
/// An element's random word is word i mod 4 of the Philox block with the run's seed as its key and (⌊i/4⌋, row, step, site) as its counter, for column i.
/// It depends on nothing else: neither on the cohort nor on the device or the passes that a batch is cut into.
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Columns I.
    pub columns: usize,
    /// The probability p, from 0 to below 1.
    pub probability: f64,
    /// The number of the adapter's module: a hash of its name.
    pub site: u32,
}

/// The number of a row that is left as it is: in validation and prediction.
const OFF: u32 = u32::MAX;

/// The input `Noise` for `rows` of a run's batch at `step`, [`NOISE`] words each: the numbers that determine the random words of a row.
pub fn noise(seed: u64, step: u64, rows: Range<usize>) -> Vec<u32> {
    rows.flat_map(|row| [seed as u32, (seed >> 32) as u32, step as u32, row as u32]).collect()
}

impl Dropout {
    /// Dropout of the input of `module`.
    pub fn new(columns: usize, probability: f64, module: &str) -> Dropout {
        let [.., low, high] = Stream::new(0, module).words();
        Dropout { columns, probability, site: low ^ high }
    }

    /// Random words below this drop their element.
    fn threshold(&self) -> u32 {
        // Saturates at the largest word.
        (self.probability * 2_f64.powi(32)).round() as u32
    }

    fn factor(&self) -> f64 {
        1.0 / (1.0 - self.probability)
    }
}

impl Kernel for Dropout {
    const NAME: &'static str = "dropout";
    const SHADERS: &'static [Shader] = &[MASK];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::floats(self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        // Ten rounds of Philox for four elements.
        30 * self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        let Some(dy) = reverse.gradient(node.writes[0]) else { return };
        if let Some(dx) = reverse.contribute(node.reads[0]) {
            reverse.dispatch(self.clone(), Pass::BackwardInput, vec![dy, node.reads[1]], vec![dx]);
        }
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([x, noise], [(y, store)]) = (dispatch.read(), dispatch.write());
        let fours = grid.all_rows() * self.columns.div_ceil(4);
        let factor = (self.factor() as f32).to_bits();
        let params = [word(fours), word(self.columns), self.threshold(), factor, self.site, adds(store)];
        vec![Launch::over(&MASK, fours, &params, &[x, noise, y].map(Memory::Rows))]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let ([x, noise], [(y, store)]) = (dispatch.read(), dispatch.write());
        micro_batch.values.write([(y, self.columns)], |values, [y]| {
            let noise = values.words(noise, NOISE);
            let words = |row: usize, four: usize| {
                let of_row = &noise[row * NOISE..(row + 1) * NOISE];
                let [low, high, step, number] = [0, 1, 2, 3].map(|i| of_row[i]);
                (number != OFF).then(|| Philox::new([low, high]).block([four as u32, number, step, self.site]))
            };
            let x = values.read(x, self.columns);
            dropout::apply(x, self.columns, words, self.threshold(), S::from_f64(self.factor()), y, store);
        });
    }
}
