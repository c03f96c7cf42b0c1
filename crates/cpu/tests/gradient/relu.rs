use loralab_cpu::relu::{backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const COUNT: usize = 101;

fn run<S: Scalar>(x: &[S]) -> Vec<S> {
    let mut y = poisoned(x.len());
    forward(x, &mut y);
    y
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    // Drawn numbers are away from the kink at 0.
    let (x, dy) = (draw(1, COUNT), draw(2, COUNT));
    let mut dx = poisoned(COUNT);
    backward(&x, &dy, &mut dx, Store::Set);
    assert_derivative("relu dx", &x, &dx, |x| inner(&dy, &run(x)));
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All;
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let x = draw(1, COUNT);
            let mut dx = draw(3, COUNT);
            backward(&x, &draw(2, COUNT), &mut dx, Store::Add);
            [run(&x), dx].concat()
        }
    }
    assert_within_bound("relu", &All);
}

#[test]
fn zero_has_no_gradient_and_nan_is_not_hidden() {
    let x = [0.0_f32, -0.0, -1.0, 2.0, f32::NAN];
    let y = run(&x);
    assert_eq!(y[..4], [0.0, 0.0, 0.0, 2.0]);
    assert!(y[4].is_nan());
    let mut dx = poisoned(5);
    backward(&x, &[1.0; 5], &mut dx, Store::Set);
    assert_eq!(dx, [0.0, 0.0, 0.0, 1.0, 0.0]);
}
