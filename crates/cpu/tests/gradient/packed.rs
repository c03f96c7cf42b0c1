//! Weights of a few bits in the products that read them.

use loralab_cpu::linear::{Shape, backward_input, forward};
use loralab_cpu::{Packed, Packing, Scalar, Store, Threads, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// Words of a matrix of `rows` rows: random codes, and magnitudes between 1/64 and 1.
pub fn words(packing: Packing, [rows, columns]: [usize; 2]) -> Vec<u32> {
    let random = |seed: u64, count: usize| draw::<f32>(seed, count).into_iter().map(|x| (x.abs() * 1e6) as u32);
    let block = match packing {
        Packing::Int8 { columns } => 1 + columns.div_ceil(4),
        Packing::Nf4 => 9,
    };
    let mut words: Vec<u32> = random(20, packing.words(rows * columns)).map(|x| x.wrapping_mul(0x9e37_79b9)).collect();
    let place = if packing == Packing::Nf4 { block - 1 } else { 0 };
    let magnitudes = draw::<f32>(21, words.len() / block);
    words.chunks_mut(block).zip(magnitudes).for_each(|(block, m)| block[place] = m.abs().to_bits());
    words
}

/// Both packings of rows of `columns` weights.
pub fn packings(columns: usize) -> [Packing; 2] {
    [Packing::Int8 { columns }, Packing::Nf4]
}

/// Columns that fill no word, no block, or both; enough weights for several panels and threads.
const SHAPES: [[usize; 3]; 6] = [[1, 1, 1], [3, 5, 7], [9, 70, 33], [1, 139, 21], [4, 128, 3], [1, 700, 1500]];

struct Layer {
    shape: Shape,
    packing: Packing,
    words: Vec<u32>,
}

impl Layer {
    fn new([rows, inputs, outputs]: [usize; 3], packing: Packing) -> Layer {
        Layer { shape: Shape { rows, inputs, outputs }, packing, words: words(packing, [outputs, inputs]) }
    }

    fn weights<S: Scalar>(&self) -> Weights<'_, S> {
        let Shape { inputs, outputs, .. } = self.shape;
        Weights::Packed(Packed::new(self.packing, &self.words, inputs * outputs))
    }

    fn forward<S: Scalar>(&self, x: &[S], w: Weights<'_, S>, threads: Threads) -> Vec<S> {
        let mut y = poisoned(self.shape.rows * self.shape.outputs);
        forward(self.shape, x, w, &mut y, threads, &mut Vec::new());
        y
    }

    fn backward<S: Scalar>(&self, dy: &[S], w: Weights<'_, S>, store: Store) -> Vec<S> {
        let mut dx = match store {
            Store::Set => poisoned(self.shape.rows * self.shape.inputs),
            Store::Add => draw(4, self.shape.rows * self.shape.inputs),
        };
        backward_input(self.shape, dy, w, &mut dx, store, Threads::One, &mut Vec::new());
        dx
    }
}

impl Computation for Layer {
    fn outputs<S: Scalar>(&self) -> Vec<S> {
        let Shape { rows, inputs, outputs } = self.shape;
        let (x, dy) = (draw(1, rows * inputs), draw(3, rows * outputs));
        let y = self.forward(&x, self.weights(), Threads::One);
        [y, self.backward(&dy, self.weights(), Store::Add)].concat()
    }
}

fn layers() -> impl Iterator<Item = Layer> {
    SHAPES.into_iter().flat_map(|shape| packings(shape[1]).map(|packing| Layer::new(shape, packing)))
}

#[test]
fn packed_weights_count_as_their_value() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    for layer in layers() {
        let Shape { rows, inputs, outputs } = layer.shape;
        let (x, dy) = (draw::<f32>(1, rows * inputs), draw::<f32>(3, rows * outputs));
        let mut value = Vec::new();
        let value = Weights::Exact(&*layer.weights::<f32>().copy(&mut value));
        let expected = layer.forward(&x, value, Threads::One);
        assert_eq!(layer.forward(&x, layer.weights(), Threads::One), expected, "{:?}", layer.packing);
        assert_eq!(pool.install(|| layer.forward(&x, layer.weights(), Threads::Idle)), expected, "{:?}", layer.packing);
        let expected = layer.backward(&dy, value, Store::Add);
        assert_eq!(layer.backward(&dy, layer.weights(), Store::Add), expected, "{:?}", layer.packing);
    }
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for layer in layers().filter(|layer| layer.shape.inputs < 200) {
        let Shape { rows, inputs, outputs } = layer.shape;
        let (x, dy) = (draw(1, rows * inputs), draw(3, rows * outputs));
        let dx = layer.backward(&dy, layer.weights(), Store::Set);
        assert_derivative("packed dx", &x, &dx, |x| inner(&dy, &layer.forward(x, layer.weights(), Threads::One)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    // A sum of 1500 terms in any order has a bound that says little.
    layers().filter(|layer| layer.shape.outputs < 200).for_each(|layer| assert_within_bound("packed", &layer));
}
