use half::f16;
use loralab_cpu::embedding::{backward, forward};
use loralab_cpu::{Scalar, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const VOCABULARY: usize = 6;
const WIDTH: usize = 5;
/// A token many times, a token never.
const TOKENS: [u32; 7] = [3, 0, 3, 5, 1, 3, 2];

fn run<S: Scalar>(table: Weights<'_, S>) -> Vec<S> {
    let mut y = poisoned(TOKENS.len() * WIDTH);
    forward(&TOKENS, table, WIDTH, &mut y, &mut Vec::new());
    y
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    let (table, dy) = (draw(1, VOCABULARY * WIDTH), draw(2, TOKENS.len() * WIDTH));
    let mut dtable = vec![0.0; table.len()];
    backward(&TOKENS, WIDTH, &dy, &mut dtable);
    assert_derivative("embedding dtable", &table, &dtable, |table| inner(&dy, &run(Weights::Exact(table))));
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All;
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let mut dtable = draw(3, VOCABULARY * WIDTH);
            backward(&TOKENS, WIDTH, &draw::<S>(2, TOKENS.len() * WIDTH), &mut dtable);
            [run(Weights::Exact(&draw(1, VOCABULARY * WIDTH))), dtable].concat()
        }
    }
    assert_within_bound("embedding", &All);
}

#[test]
fn rows_are_copied_and_decoded() {
    let table: Vec<f16> = (0..VOCABULARY * WIDTH).map(|i| f16::from_f32(i as f32)).collect();
    let y = run::<f32>(Weights::F16(&table));
    for (n, &token) in TOKENS.iter().enumerate() {
        for i in 0..WIDTH {
            assert_eq!(y[n * WIDTH + i], (token as usize * WIDTH + i) as f32);
        }
    }
}
