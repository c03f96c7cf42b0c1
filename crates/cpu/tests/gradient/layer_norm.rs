use half::f16;
use loralab_cpu::layer_norm::{Shape, backward_input, backward_weight, forward};
use loralab_cpu::{Scalar, Store, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const EPSILON: f64 = 1e-5;
const SHAPES: [Shape; 3] = [Shape { rows: 5, width: 7 }, Shape { rows: 3, width: 16 }, Shape { rows: 2, width: 53 }];

/// y, then the mean and the inverse deviation of each row.
fn run<S: Scalar>(shape: Shape, x: &[S], w: Weights<'_, S>) -> [Vec<S>; 3] {
    let (mut y, mut mean, mut inverse) = (poisoned(x.len()), poisoned(shape.rows), poisoned(shape.rows));
    forward(shape, x, w, S::from_f64(EPSILON), &mut y, &mut mean, &mut inverse, &mut Vec::new());
    [y, mean, inverse]
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for shape in SHAPES {
        let elements = shape.rows * shape.width;
        let (x, w, dy) = (draw(1, elements), draw(2, shape.width), draw(3, elements));
        let [_, mean, inverse] = run(shape, &x, Weights::Exact(&w));
        let mut dx = poisoned(elements);
        let weights = Weights::Exact(&w[..]);
        backward_input(shape, &x, weights, &mean, &inverse, &dy, &mut dx, Store::Set, &mut Vec::new());
        let mut dw = vec![0.0; shape.width];
        backward_weight(shape, &x, &mean, &inverse, &dy, &mut dw);
        let objective = |x: &[f64], w: &[f64]| inner(&dy, &run(shape, x, Weights::Exact(w))[0]);
        assert_derivative("layer_norm dx", &x, &dx, |x| objective(x, &w));
        assert_derivative("layer_norm dw", &w, &dw, |w| objective(&x, w));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(shape, store) = self;
            let elements = shape.rows * shape.width;
            let (x, w, dy) = (draw(1, elements), draw(2, shape.width), draw(3, elements));
            let [y, mean, inverse] = run(shape, &x, Weights::Exact(&w));
            let mut dx = match store {
                Store::Set => poisoned(elements),
                Store::Add => draw(4, elements),
            };
            let weights = Weights::Exact(&w[..]);
            backward_input(shape, &x, weights, &mean, &inverse, &dy, &mut dx, store, &mut Vec::new());
            let mut dw = draw(5, shape.width);
            backward_weight(shape, &x, &mean, &inverse, &dy, &mut dw);
            [y, mean, inverse, dx, dw].concat()
        }
    }
    for shape in SHAPES {
        assert_within_bound("layer_norm set", &All(shape, Store::Set));
        assert_within_bound("layer_norm add", &All(shape, Store::Add));
    }
}

#[test]
fn rows_have_mean_zero_and_unit_variance_wherever_they_lie() {
    let shape = Shape { rows: 4, width: 37 };
    let x: Vec<f64> = draw(1, 4 * 37).iter().map(|x: &f64| 1e4 + x * 100.0).collect();
    let [y, ..] = run(shape, &x, Weights::Exact(&[1.0; 37]));
    for y in y.chunks(37) {
        assert!(y.iter().sum::<f64>().abs() < 1e-9 && (inner(y, y) / 37.0 - 1.0).abs() < 1e-6);
    }
}

#[test]
fn stored_weights_count_as_their_value() {
    let shape = Shape { rows: 3, width: 20 };
    let x = draw::<f32>(1, 60);
    let stored: Vec<f16> = draw::<f32>(2, 20).into_iter().map(f16::from_f32).collect();
    let decoded: Vec<f32> = stored.iter().map(|w| w.to_f32()).collect();
    assert_eq!(run(shape, &x, Weights::F16(&stored)), run(shape, &x, Weights::Exact(&decoded)));
}
