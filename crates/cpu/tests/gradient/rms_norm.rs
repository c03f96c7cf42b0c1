use loralab_cpu::rms_norm::{Gain, Shape, backward_input, backward_weight, forward};
use loralab_cpu::{Scalar, Store, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const EPSILON: f64 = 1e-5;
const SHAPES: [Shape; 3] = [Shape { rows: 5, width: 7 }, Shape { rows: 3, width: 16 }, Shape { rows: 2, width: 53 }];

/// The gain w.
fn plain<S>(weight: Weights<'_, S>) -> Gain<'_, S> {
    Gain { weight, plus_one: false }
}

/// The gain 1 + w.
fn plus_one<S>(weight: Weights<'_, S>) -> Gain<'_, S> {
    Gain { weight, plus_one: true }
}

fn run<S: Scalar>(shape: Shape, x: &[S], gain: Gain<'_, S>) -> (Vec<S>, Vec<S>) {
    let (mut y, mut inverse_rms) = (poisoned(shape.rows * shape.width), poisoned(shape.rows));
    forward(shape, x, gain, S::from_f64(EPSILON), &mut y, &mut inverse_rms, &mut Vec::new());
    (y, inverse_rms)
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for shape in SHAPES {
        let elements = shape.rows * shape.width;
        let (x, w, dy) = (draw(1, elements), draw(2, shape.width), draw(3, elements));
        for gain in [plain, plus_one] {
            let (_, inverse_rms) = run(shape, &x, gain(Weights::Exact(&w)));
            let mut dx = poisoned(elements);
            let of_gain = gain(Weights::Exact(&w));
            backward_input(shape, &x, of_gain, &inverse_rms, &dy, &mut dx, Store::Set, &mut Vec::new());
            let mut dw = vec![0.0; shape.width];
            backward_weight(shape, &x, &inverse_rms, &dy, &mut dw);
            assert_derivative("rms_norm dx", &x, &dx, |x| inner(&dy, &run(shape, x, gain(Weights::Exact(&w))).0));
            assert_derivative("rms_norm dw", &w, &dw, |w| inner(&dy, &run(shape, &x, gain(Weights::Exact(w))).0));
        }
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, Store, bool);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(shape, store, plus_one) = self;
            let elements = shape.rows * shape.width;
            let (x, w, dy) = (draw(1, elements), draw(2, shape.width), draw(3, elements));
            let gain = Gain { weight: Weights::Exact(&w), plus_one };
            let (mut outputs, inverse_rms) = run(shape, &x, gain);
            let mut dx = match store {
                Store::Set => poisoned(elements),
                Store::Add => draw(4, elements),
            };
            backward_input(shape, &x, gain, &inverse_rms, &dy, &mut dx, store, &mut Vec::new());
            let mut dw = draw(5, shape.width);
            backward_weight(shape, &x, &inverse_rms, &dy, &mut dw);
            outputs.extend([inverse_rms, dx, dw].concat());
            outputs
        }
    }
    for shape in SHAPES {
        assert_within_bound("rms_norm set", &All(shape, Store::Set, false));
        assert_within_bound("rms_norm add", &All(shape, Store::Add, true));
    }
}

#[test]
fn rows_have_unit_mean_square_before_the_weight() {
    let shape = Shape { rows: 4, width: 37 };
    let x: Vec<f64> = draw(1, 4 * 37).iter().map(|x: &f64| x * 100.0).collect();
    let (y, _) = run(shape, &x, plain(Weights::Exact(&[1.0; 37])));
    for (x, y) in x.chunks(37).zip(y.chunks(37)) {
        assert!((inner(y, y) / 37.0 - 1.0).abs() < 1e-6);
        let ratio = y[0] / x[0];
        assert!(x.iter().zip(y).all(|(x, y)| (x * ratio - y).abs() < 1e-12), "a row is scaled by one factor");
    }
}

#[test]
fn a_row_of_zeros_stays_zero() {
    let shape = Shape { rows: 1, width: 9 };
    let w = draw::<f32>(1, 9);
    let (y, inverse_rms) = run(shape, &[0.0; 9], plain(Weights::Exact(&w)));
    assert_eq!(y, [0.0; 9]);
    assert!(inverse_rms[0].is_finite());
}

#[test]
fn stored_weights_count_as_their_value() {
    let shape = Shape { rows: 3, width: 20 };
    let x = draw::<f32>(1, 60);
    let stored: Vec<half::f16> = draw::<f32>(2, 20).into_iter().map(half::f16::from_f32).collect();
    let decoded: Vec<f32> = stored.iter().map(|w| w.to_f32()).collect();
    for gain in [plain, plus_one] {
        assert_eq!(run(shape, &x, gain(Weights::F16(&stored))), run(shape, &x, gain(Weights::Exact(&decoded))));
    }
    let one_more: Vec<f32> = decoded.iter().map(|w| 1.0 + w).collect();
    assert_eq!(run(shape, &x, plus_one(Weights::F16(&stored))), run(shape, &x, plain(Weights::Exact(&one_more))));
}
