use loralab_cpu::dropout::apply;
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const ROWS: usize = 5;
/// Of a share of 0.3.
const THRESHOLD: u32 = 1_288_490_189;
const FACTOR: f32 = 1.0 / 0.7;

/// Words like random ones, and none for the second row.
fn words(row: usize, index: usize) -> Option<[u32; 4]> {
    let word = |i: usize| ((row * 97 + index * 4 + i + 1) as u32).wrapping_mul(0x9e37_79b9);
    (row != 1).then(|| [word(0), word(1), word(2), word(3)])
}

fn run<S: Scalar>(x: &[S], width: usize, store: Store) -> Vec<S> {
    let mut y = match store {
        Store::Set => poisoned(x.len()),
        Store::Add => draw(3, x.len()),
    };
    apply(x, width, words, THRESHOLD, S::from_f32(FACTOR), &mut y, store);
    y
}

#[test]
fn the_gradient_is_the_same_mask() {
    for width in [1, 4, 13] {
        let (x, dy) = (draw(1, ROWS * width), draw(2, ROWS * width));
        let dx = run(&dy, width, Store::Set);
        assert_derivative("dropout dx", &x, &dx, |x| inner(&dy, &run(x, width, Store::Set)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(usize, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            run(&draw(1, ROWS * self.0), self.0, self.1)
        }
    }
    for width in [1, 4, 13] {
        assert_within_bound("dropout set", &All(width, Store::Set));
        assert_within_bound("dropout add", &All(width, Store::Add));
    }
}

#[test]
fn elements_are_dropped_or_scaled_and_a_row_without_words_stays() {
    let x = draw::<f32>(1, ROWS * 200);
    let y = run(&x, 200, Store::Set);
    assert_eq!(y[200..400], x[200..400]);
    let others: Vec<(f32, f32)> =
        x.iter().zip(&y).enumerate().filter(|(i, _)| i / 200 != 1).map(|(_, (&x, &y))| (x, y)).collect();
    assert!(others.iter().all(|&(x, y)| y == 0.0 || y == x * FACTOR));
    let dropped = others.iter().filter(|(_, y)| *y == 0.0).count() as f64 / others.len() as f64;
    assert!((dropped - 0.3).abs() < 0.06, "{dropped} are dropped");
}
