use loralab_cpu::split::{backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const ROWS: usize = 5;
const COLUMNS: usize = 7;
const PARTS: usize = 3;

fn run<S: Scalar>(x: &[S]) -> Vec<S> {
    let mut y = poisoned(x.len());
    for (part, y) in y.chunks_exact_mut(ROWS * COLUMNS).enumerate() {
        forward(x, COLUMNS, PARTS, part, y);
    }
    y
}

fn back<S: Scalar>(dy: &[S], dx: &mut [S], store: Store) {
    for (part, dy) in dy.chunks_exact(ROWS * COLUMNS).enumerate() {
        backward(dy, COLUMNS, PARTS, part, dx, store);
    }
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    let (x, dy) = (draw(1, ROWS * COLUMNS * PARTS), draw(2, ROWS * COLUMNS * PARTS));
    let mut dx = poisoned(x.len());
    back(&dy, &mut dx, Store::Set);
    assert_derivative("split dx", &x, &dx, |x| inner(&dy, &run(x)));
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All;
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let count = ROWS * COLUMNS * PARTS;
            let mut dx = draw(3, count);
            back(&draw(2, count), &mut dx, Store::Add);
            [run(&draw(1, count)), dx].concat()
        }
    }
    assert_within_bound("split", &All);
}

#[test]
fn parts_are_columns() {
    let x = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let mut y = [0.0; 4];
    forward(&x, 2, 2, 1, &mut y);
    assert_eq!(y, [3.0, 4.0, 7.0, 8.0]);
    let mut dx = [9.0_f32; 8];
    backward(&[1.0, 2.0, 3.0, 4.0], 2, 2, 0, &mut dx, Store::Set);
    assert_eq!(dx, [1.0, 2.0, 9.0, 9.0, 3.0, 4.0, 9.0, 9.0]);
}
