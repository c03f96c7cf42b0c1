use loralab_cpu::Scalar;
use loralab_cpu::cross_entropy::{Shape, backward, forward};

use crate::{Computation, assert_derivative, assert_within_bound, draw, poisoned};

/// The last is above the block of exponentials.
const SHAPES: [Shape; 3] =
    [Shape { rows: 6, vocabulary: 1 }, Shape { rows: 7, vocabulary: 13 }, Shape { rows: 5, vocabulary: 259 }];

/// The row that counts for nothing, whose logits are NaN and infinite, and whose target is out of range.
const MASKED: usize = 2;

fn inputs<S: Scalar>(shape: Shape) -> (Vec<S>, Vec<u32>, Vec<S>) {
    let Shape { rows, vocabulary } = shape;
    let mut logits = draw::<S>(1, rows * vocabulary);
    for logit in &mut logits {
        *logit *= S::from_f32(4.0);
    }
    let masked = &mut logits[MASKED * vocabulary..][..vocabulary];
    masked.fill(S::from_f32(f32::NAN));
    masked[vocabulary / 2] = S::from_f32(f32::INFINITY);
    let mut targets: Vec<u32> = (0..rows).map(|row| (row * 7 % vocabulary) as u32).collect();
    targets[MASKED] = u32::MAX;
    let mut weights = draw::<S>(2, rows);
    weights[MASKED] = S::ZERO;
    weights[rows - 1] = S::ZERO;
    (logits, targets, weights)
}

/// lse, row_loss and correct.
fn run<S: Scalar>(shape: Shape, logits: &[S], targets: &[u32], weights: &[S]) -> [Vec<S>; 3] {
    let [mut lse, mut row_loss, mut correct] = [(); 3].map(|()| poisoned(shape.rows));
    forward(shape, logits, targets, weights, &mut lse, &mut row_loss, &mut correct);
    [lse, row_loss, correct]
}

#[test]
fn the_gradient_is_that_of_the_summed_loss() {
    // A vocabulary of one leaves nothing to learn: the gradient is zero.
    for shape in &SHAPES[1..] {
        let (logits, targets, weights) = inputs::<f64>(*shape);
        let [lse, ..] = run(*shape, &logits, &targets, &weights);
        let mut dlogits = poisoned(logits.len());
        backward(*shape, &logits, &targets, &weights, &lse, &mut dlogits);
        assert_derivative("cross_entropy dlogits", &logits, &dlogits, |logits| {
            run(*shape, logits, &targets, &weights)[1].iter().sum()
        });
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let (logits, targets, weights) = inputs::<S>(self.0);
            let [lse, row_loss, correct] = run(self.0, &logits, &targets, &weights);
            let mut dlogits = poisoned(logits.len());
            backward(self.0, &logits, &targets, &weights, &lse, &mut dlogits);
            [lse, row_loss, correct, dlogits].concat()
        }
    }
    for shape in SHAPES {
        assert_within_bound("cross_entropy", &All(shape));
    }
}

#[test]
fn a_row_of_weight_zero_is_exactly_nothing() {
    for shape in SHAPES {
        let (logits, targets, weights) = inputs::<f32>(shape);
        let [lse, row_loss, correct] = run(shape, &logits, &targets, &weights);
        let mut dlogits = poisoned(logits.len());
        backward(shape, &logits, &targets, &weights, &lse, &mut dlogits);
        for row in [MASKED, shape.rows - 1] {
            assert_eq!((lse[row].to_bits(), row_loss[row].to_bits(), correct[row]), (0, 0, 1.0));
            let dlogits = &dlogits[row * shape.vocabulary..][..shape.vocabulary];
            assert!(dlogits.iter().all(|d| d.to_bits() == 0));
        }
    }
}

#[test]
fn huge_logits_do_not_overflow() {
    let shape = Shape { rows: 2, vocabulary: 3 };
    let logits = [1e30_f32, -1e30, 0.0, -3e4, -3e4, -4e4];
    let [lse, row_loss, correct] = run(shape, &logits, &[0, 1], &[1.0, 0.5]);
    assert_eq!(lse, [1e30, -3e4 + 2_f32.ln()]);
    assert_eq!(row_loss[0], 0.0);
    assert!((row_loss[1] - 0.5 * 2_f32.ln()).abs() < 1e-3);
    assert_eq!(correct, [1.0, 0.0]);
}

#[test]
fn the_first_of_equal_logits_is_the_prediction() {
    let shape = Shape { rows: 4, vocabulary: 4 };
    let logits = [0.0, 5.0, 5.0, 1.0].repeat(4);
    let [_, _, correct] = run::<f64>(shape, &logits, &[0, 1, 2, 3], &[1.0; 4]);
    assert_eq!(correct, [0.0, 1.0, 0.0, 0.0]);
}
