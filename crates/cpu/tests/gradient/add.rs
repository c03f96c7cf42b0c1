use loralab_cpu::add::{backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const COUNT: usize = 37;

fn run<S: Scalar>(a: &[S], b: &[S]) -> Vec<S> {
    let mut y = poisoned(a.len());
    forward(a, b, &mut y);
    y
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    let (a, b, dy) = (draw(1, COUNT), draw(2, COUNT), draw(3, COUNT));
    let mut dx = poisoned(COUNT);
    backward(&dy, &mut dx, Store::Set);
    assert_derivative("add da", &a, &dx, |a| inner(&dy, &run(a, &b)));
    assert_derivative("add db", &b, &dx, |b| inner(&dy, &run(&a, b)));
    // x + x: both operands give to the same gradient.
    backward(&dy, &mut dx, Store::Add);
    assert_derivative("add twice", &a, &dx, |a| inner(&dy, &run(a, a)));
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All;
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let mut dx = draw(4, COUNT);
            backward(&draw(3, COUNT), &mut dx, Store::Add);
            [run(&draw(1, COUNT), &draw(2, COUNT)), dx].concat()
        }
    }
    assert_within_bound("add", &All);
}
