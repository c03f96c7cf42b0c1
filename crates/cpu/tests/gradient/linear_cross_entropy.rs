use loralab_cpu::cross_entropy;
use loralab_cpu::linear;
use loralab_cpu::linear_cross_entropy::{Operands, Shape, backward_input, backward_weight, forward};
use loralab_cpu::{Scalar, Scratch, Store, Threads, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// One chunk that the vocabulary does not fill, many with a rest, and as many as there are tokens.
const SHAPES: [Shape; 3] = [
    Shape { rows: 6, width: 3, vocabulary: 9, chunk: 20 },
    Shape { rows: 7, width: 5, vocabulary: 13, chunk: 4 },
    Shape { rows: 4, width: 1, vocabulary: 6, chunk: 1 },
];

/// More rows than are computed together.
const LONG: Shape = Shape { rows: 300, width: 4, vocabulary: 33, chunk: 7 };

/// The row that counts for nothing, which is NaN and infinite, and whose target is out of range.
const MASKED: usize = 2;

struct Inputs<S> {
    x: Vec<S>,
    w: Vec<S>,
    targets: Vec<u32>,
    weights: Vec<S>,
    cap: Option<S>,
}

impl<S: Scalar> Inputs<S> {
    fn new(shape: Shape, cap: Option<f32>) -> Self {
        let Shape { rows, width, vocabulary, .. } = shape;
        let mut x = draw::<S>(1, rows * width);
        x.iter_mut().for_each(|x| *x *= S::from_f32(4.0));
        let masked = &mut x[MASKED * width..][..width];
        masked.fill(S::from_f32(f32::NAN));
        masked[width / 2] = S::from_f32(f32::INFINITY);
        let mut targets: Vec<u32> = (0..rows).map(|row| (row * 7 % vocabulary) as u32).collect();
        targets[MASKED] = u32::MAX;
        let mut weights = draw::<S>(2, rows);
        weights[MASKED] = S::ZERO;
        weights[rows - 1] = S::ZERO;
        Inputs { x, w: draw(3, vocabulary * width), targets, weights, cap: cap.map(S::from_f32) }
    }

    fn operands(&self) -> Operands<'_, S> {
        let Inputs { x, w, targets, weights, cap } = self;
        Operands { x, w: Weights::Exact(w), targets, weights, cap: *cap }
    }
}

/// lse, row_loss and correct.
fn run<S: Scalar>(shape: Shape, operands: Operands<'_, S>) -> [Vec<S>; 3] {
    let [mut lse, mut row_loss, mut correct] = [(); 3].map(|()| poisoned(shape.rows));
    forward(shape, operands, &mut lse, &mut row_loss, &mut correct, Threads::One, &mut Scratch::new());
    [lse, row_loss, correct]
}

fn summed(shape: Shape, operands: Operands<'_, f64>) -> f64 {
    run(shape, operands)[1].iter().sum()
}

/// dx, set or added to `before`, and dw, added to `before`.
fn gradients<S: Scalar>(shape: Shape, operands: Operands<'_, S>, before: Option<S>) -> [Vec<S>; 2] {
    let [lse, ..] = run(shape, operands);
    let (scratch, store) = (&mut Scratch::new(), if before.is_some() { Store::Add } else { Store::Set });
    let mut dx = before.map_or_else(|| poisoned(operands.x.len()), |before| vec![before; operands.x.len()]);
    backward_input(shape, operands, &lse, &mut dx, store, Threads::One, scratch);
    let mut dw = vec![before.unwrap_or(S::ZERO); operands.w.len()];
    backward_weight(shape, operands, &lse, &mut dw, Threads::One, scratch);
    [dx, dw]
}

#[test]
fn the_gradients_are_those_of_the_summed_loss() {
    for (shape, cap) in SHAPES.into_iter().flat_map(|shape| [(shape, None), (shape, Some(1.5))]) {
        let inputs = Inputs::<f64>::new(shape, cap);
        let operands = inputs.operands();
        let [dx, dw] = gradients(shape, operands, None);
        assert_derivative("linear_cross_entropy dw", &inputs.w, &dw, |w| {
            summed(shape, Operands { w: Weights::Exact(w), ..operands })
        });
        // A row that does not count may hold anything, which no difference can.
        let mut x = inputs.x.clone();
        x[MASKED * shape.width..][..shape.width].fill(0.5);
        assert_derivative("linear_cross_entropy dx", &x, &dx, |x| summed(shape, Operands { x, ..operands }));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, Option<f32>);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let inputs = Inputs::<S>::new(self.0, self.1);
            let [lse, row_loss, correct] = run(self.0, inputs.operands());
            let [set, _] = gradients(self.0, inputs.operands(), None);
            let [dx, dw] = gradients(self.0, inputs.operands(), Some(S::from_f32(0.25)));
            [lse, row_loss, correct, set, dx, dw].concat()
        }
    }
    for shape in SHAPES.into_iter().chain([LONG]) {
        assert_within_bound("linear_cross_entropy", &All(shape, None));
        assert_within_bound("linear_cross_entropy, capped", &All(shape, Some(1.5)));
    }
}

/// The chunks change nothing but rounding: the results are those of the two ops, one after the other.
#[test]
fn chunks_give_what_the_whole_logits_give() {
    for shape in SHAPES.into_iter().chain([LONG]) {
        let Shape { rows, width, vocabulary, .. } = shape;
        let inputs = Inputs::<f64>::new(shape, None);
        let operands = inputs.operands();
        let of_linear = linear::Shape { rows, inputs: width, outputs: vocabulary };
        let mut logits = poisoned(rows * vocabulary);
        linear::forward(of_linear, operands.x, operands.w, &mut logits, Threads::One, &mut Vec::new());
        let whole = cross_entropy::Shape { rows, vocabulary };
        let (targets, weights) = (operands.targets, operands.weights);
        let [mut lse, mut row_loss, mut correct] = [(); 3].map(|()| poisoned(rows));
        cross_entropy::forward(whole, &logits, targets, weights, &mut lse, &mut row_loss, &mut correct);
        let mut dlogits = poisoned(logits.len());
        cross_entropy::backward(whole, &logits, targets, weights, &lse, &mut dlogits);
        let mut dx = poisoned(rows * width);
        linear::backward_input(of_linear, &dlogits, operands.w, &mut dx, Store::Set, Threads::One, &mut Vec::new());
        let chunked = run(shape, operands);
        assert_eq!(chunked[2], correct);
        let near = |one: &[f64], other: &[f64]| one.iter().zip(other).all(|(x, y)| (x - y).abs() <= 1e-12);
        assert!(near(&chunked[0], &lse) && near(&chunked[1], &row_loss));
        assert!(near(&gradients(shape, operands, None)[0], &dx));
    }
}

#[test]
fn a_row_of_weight_zero_is_exactly_nothing() {
    for shape in SHAPES {
        let inputs = Inputs::<f32>::new(shape, None);
        let [lse, row_loss, correct] = run(shape, inputs.operands());
        let [dx, dw] = gradients(shape, inputs.operands(), None);
        for row in [MASKED, shape.rows - 1] {
            assert_eq!((lse[row].to_bits(), row_loss[row].to_bits(), correct[row]), (0, 0, 1.0));
            assert!(dx[row * shape.width..][..shape.width].iter().all(|d| d.to_bits() == 0));
        }
        assert!(dw.iter().all(|d| d.is_finite()));
        // A batch that counts for nothing as a whole.
        let nothing = vec![0.0; shape.rows];
        let operands = Operands { weights: &nothing, ..inputs.operands() };
        assert_eq!(run(shape, operands)[1], nothing);
        assert!(gradients(shape, operands, None).concat().iter().all(|d| d.to_bits() == 0));
    }
}

#[test]
fn huge_logits_do_not_overflow() {
    for chunk in [1, 2, 3] {
        let shape = Shape { rows: 2, width: 2, vocabulary: 3, chunk };
        let (x, w) = ([1.0, 0.0, 0.0, 1.0], [1e30_f32, -3e4, -1e30, -3e4, 0.0, -4e4]);
        let operands = Operands { x: &x, w: Weights::Exact(&w), targets: &[0, 1], weights: &[1.0, 0.5], cap: None };
        let [lse, row_loss, correct] = run(shape, operands);
        assert_eq!(lse, [1e30, -3e4 + 2_f32.ln()]);
        assert_eq!(row_loss[0], 0.0);
        assert!((row_loss[1] - 0.5 * 2_f32.ln()).abs() < 1e-3);
        assert_eq!(correct, [1.0, 0.0]);
        let capped = run(shape, Operands { cap: Some(30.0), ..operands });
        assert!(capped.concat().iter().all(|x| x.is_finite()), "{capped:?}");
    }
}

#[test]
fn the_first_of_equal_logits_is_the_prediction_in_any_chunk() {
    for chunk in 1..=4 {
        let shape = Shape { rows: 4, width: 1, vocabulary: 4, chunk };
        let (x, w) = ([1.0; 4], [0.0, 5.0, 5.0, 1.0]);
        let operands = Operands { x: &x, w: Weights::Exact(&w), targets: &[0, 1, 2, 3], weights: &[1.0; 4], cap: None };
        let [_, _, correct] = run::<f64>(shape, operands);
        assert_eq!(correct, [0.0, 1.0, 0.0, 0.0], "chunks of {chunk}");
    }
}

/// Stored halves are decoded chunk by chunk.
#[test]
fn stored_weights_give_what_their_values_give() {
    let shape = SHAPES[1];
    let inputs = Inputs::<f64>::new(shape, None);
    let stored: Vec<half::f16> = inputs.w.iter().map(|&w| half::f16::from_f64(w)).collect();
    let exact: Vec<f64> = stored.iter().map(|w| w.to_f64()).collect();
    let of = |w| {
        let operands = Operands { w, ..inputs.operands() };
        (run(shape, operands), gradients(shape, operands, None))
    };
    assert_eq!(of(Weights::F16(&stored)), of(Weights::Exact(&exact)));
    assert!(inner(&exact, &exact) > 0.0);
}
