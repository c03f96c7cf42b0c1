use loralab_cpu::gelu::{Form, backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const COUNT: usize = 101;
/// GELU at [`NUMBERS`]: `torch.nn.functional.gelu` of PyTorch 2.15 in float64, without and with `approximate="tanh"`.
const ERF: [f64; 6] =
    [-0.00404969409489031, -0.15865525393145702, -0.0460172162722971, 0.0, 0.34573123063700656, 1.9544997361036416];
const TANH: [f64; 6] =
    [-0.0036373920817729943, -0.15880800939172324, -0.04601724895456484, 0.0, 0.34571400982514394, 1.954597694087775];
const NUMBERS: [f64; 6] = [-3.0, -1.0, -0.1, 0.0, 0.5, 2.0];
pub const FORMS: [Form; 2] = [Form::Erf, Form::Tanh];

fn run<S: Scalar>(form: Form, x: &[S]) -> Vec<S> {
    let mut y = poisoned(x.len());
    forward(form, x, &mut y);
    y
}

/// Numbers between −5 and 5, where neither form is linear or saturated.
pub fn numbers<S: Scalar>(count: usize) -> Vec<S> {
    draw::<S>(1, count).into_iter().map(|x| x * S::from_f32(5.0)).collect()
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    for form in FORMS {
        let (x, dy) = (numbers(COUNT), draw(2, COUNT));
        let mut dx = poisoned(COUNT);
        backward(form, &x, &dy, &mut dx, Store::Set);
        assert_derivative("gelu dx", &x, &dx, |x| inner(&dy, &run(form, x)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Form, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(form, store) = self;
            let x = numbers::<S>(COUNT);
            let mut dx = match store {
                Store::Set => poisoned(COUNT),
                Store::Add => draw(3, COUNT),
            };
            backward(form, &x, &draw(2, COUNT), &mut dx, store);
            [run(form, &x), dx].concat()
        }
    }
    for form in FORMS {
        assert_within_bound("gelu set", &All(form, Store::Set));
        assert_within_bound("gelu add", &All(form, Store::Add));
    }
}

#[test]
fn both_forms_are_pytorchs() {
    for (form, expected) in [(Form::Erf, ERF), (Form::Tanh, TANH)] {
        for (y, expected) in run(form, &NUMBERS).iter().zip(expected) {
            assert!((y - expected).abs() < 1e-14, "{form:?}: {y} instead of {expected}");
        }
    }
}

#[test]
fn large_numbers_stay_and_nan_is_not_hidden() {
    for form in FORMS {
        let x = [-1e4_f32, -100.0, 0.0, 100.0, 1e4, f32::NAN];
        let y = run(form, &x);
        assert!(y[..3].iter().all(|y| y.abs() < f32::MIN_POSITIVE), "{y:?}");
        assert_eq!(y[3..5], [100.0, 1e4]);
        assert!(y[5].is_nan());
        let mut dx = poisoned(6);
        backward(form, &x, &[1.0; 6], &mut dx, Store::Set);
        assert!(dx[0].abs() < 1e-30 && dx[1].abs() < 1e-30 && (dx[2] - 0.5).abs() < 1e-6, "{dx:?}");
        assert_eq!(dx[3..5], [1.0, 1.0]);
        assert!(dx[5].is_nan());
    }
}
