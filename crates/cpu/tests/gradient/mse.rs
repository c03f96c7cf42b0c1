use loralab_cpu::Scalar;
use loralab_cpu::mse::{Shape, backward, forward};

use crate::{Computation, assert_derivative, assert_within_bound, draw, poisoned};

const SHAPES: [Shape; 4] = [
    Shape { rows: 1, outputs: 1 },
    Shape { rows: 3, outputs: 5 },
    Shape { rows: 8, outputs: 16 },
    Shape { rows: 9, outputs: 53 },
];

/// Row losses and dprediction.
fn run<S: Scalar>(shape: Shape, prediction: &[S], weights: &[S]) -> (Vec<S>, Vec<S>) {
    let target = draw(2, prediction.len());
    let (mut row_loss, mut dprediction) = (poisoned(shape.rows), poisoned(prediction.len()));
    forward(shape, prediction, &target, weights, &mut row_loss);
    backward(shape, prediction, &target, weights, &mut dprediction);
    (row_loss, dprediction)
}

#[test]
fn the_gradient_is_that_of_the_summed_loss() {
    for shape in SHAPES {
        let (prediction, weights) = (draw(1, shape.rows * shape.outputs), draw(3, shape.rows));
        let (_, dprediction) = run(shape, &prediction, &weights);
        assert_derivative("mse dprediction", &prediction, &dprediction, |prediction| {
            run(shape, prediction, &weights).0.iter().sum()
        });
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let (row_loss, dprediction) = run(self.0, &draw(1, self.0.rows * self.0.outputs), &draw(3, self.0.rows));
            [row_loss, dprediction].concat()
        }
    }
    for shape in SHAPES {
        assert_within_bound("mse", &All(shape));
    }
}

#[test]
fn rows_of_weight_zero_are_not_looked_at() {
    let shape = Shape { rows: 2, outputs: 3 };
    let mut prediction = draw::<f32>(1, 6);
    prediction[4] = f32::NAN;
    let (row_loss, dprediction) = run(shape, &prediction, &[1.0, 0.0]);
    assert!(row_loss[0] > 0.0 && dprediction[..3].iter().all(|&d| d != 0.0));
    assert_eq!(row_loss[1], 0.0);
    assert_eq!(dprediction[3..], [0.0; 3]);
}
