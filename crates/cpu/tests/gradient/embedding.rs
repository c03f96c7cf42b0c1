use half::f16;
use loralab_cpu::embedding::{backward, forward};
use loralab_cpu::{Scalar, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// No scale, and one.
const SCALES: [f32; 2] = [1.0, 2.5];
const VOCABULARY: usize = 6;
const WIDTH: usize = 5;
/// A token many times, a token never.
const TOKENS: [u32; 7] = [3, 0, 3, 5, 1, 3, 2];

fn run<S: Scalar>(table: Weights<'_, S>, scale: f32) -> Vec<S> {
    let mut y = poisoned(TOKENS.len() * WIDTH);
    forward(&TOKENS, table, WIDTH, S::from_f32(scale), &mut y, &mut Vec::new());
    y
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    let (table, dy) = (draw(1, VOCABULARY * WIDTH), draw(2, TOKENS.len() * WIDTH));
    for scale in SCALES {
        let mut dtable = vec![0.0; table.len()];
        backward(&TOKENS, WIDTH, scale.into(), &dy, &mut dtable);
        let objective = |table: &[f64]| inner(&dy, &run(Weights::Exact(table), scale));
        assert_derivative("embedding dtable", &table, &dtable, objective);
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(f32);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let mut dtable = draw(3, VOCABULARY * WIDTH);
            backward(&TOKENS, WIDTH, S::from_f32(self.0), &draw::<S>(2, TOKENS.len() * WIDTH), &mut dtable);
            [run(Weights::Exact(&draw(1, VOCABULARY * WIDTH)), self.0), dtable].concat()
        }
    }
    SCALES.iter().for_each(|&scale| assert_within_bound("embedding", &All(scale)));
}

#[test]
fn rows_are_copied_and_decoded() {
    let table: Vec<f16> = (0..VOCABULARY * WIDTH).map(|i| f16::from_f32(i as f32)).collect();
    let y = run::<f32>(Weights::F16(&table), 1.0);
    for (n, &token) in TOKENS.iter().enumerate() {
        for i in 0..WIDTH {
            assert_eq!(y[n * WIDTH + i], (token as usize * WIDTH + i) as f32);
        }
    }
}
