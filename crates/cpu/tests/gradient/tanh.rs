use loralab_cpu::tanh::{backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const COUNT: usize = 101;
/// The function itself, and a cap as Gemma's.
const CAPS: [f32; 2] = [1.0, 30.0];

fn run<S: Scalar>(x: &[S], cap: f32) -> Vec<S> {
    let mut y = poisoned(x.len());
    forward(x, S::from_f32(cap), &mut y);
    y
}

/// Numbers on both sides of where the formula changes, up to four caps away from 0.
fn numbers<S: Scalar>(cap: f32) -> Vec<S> {
    let (near, far) = (S::from_f32(cap), S::from_f32(4.0 * cap));
    draw::<S>(1, COUNT).into_iter().enumerate().map(|(i, x)| x * if i % 2 == 0 { near } else { far }).collect()
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    for cap in CAPS {
        let (x, dy) = (numbers(cap), draw(2, COUNT));
        let mut dx = poisoned(COUNT);
        backward(&run(&x, cap), &dy, cap.into(), &mut dx, Store::Set);
        assert_derivative("tanh dx", &x, &dx, |x| inner(&dy, &run(x, cap)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(f32, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(cap, store) = self;
            let y = run::<S>(&numbers(cap), cap);
            let mut dx = match store {
                Store::Set => poisoned(COUNT),
                Store::Add => draw(3, COUNT),
            };
            backward(&y, &draw(2, COUNT), S::from_f32(cap), &mut dx, store);
            [y, dx].concat()
        }
    }
    for cap in CAPS {
        assert_within_bound("tanh set", &All(cap, Store::Set));
        assert_within_bound("tanh add", &All(cap, Store::Add));
    }
}

#[test]
fn large_numbers_reach_the_cap_and_nan_is_not_hidden() {
    let y = run(&[1e30_f32, -1e30, f32::INFINITY, 0.0, f32::NAN], 30.0);
    assert_eq!(y[..4], [30.0, -30.0, 30.0, 0.0]);
    assert!(y[4].is_nan());
    let mut dx = poisoned::<f32>(2);
    backward(&y[..2], &[1.0; 2], 30.0, &mut dx, Store::Set);
    assert_eq!(dx, [0.0; 2]);
}
