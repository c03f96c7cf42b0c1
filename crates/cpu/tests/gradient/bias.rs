use half::bf16;
use loralab_cpu::bias::{backward_weight, forward};
use loralab_cpu::{Scalar, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// Rows and columns, below, at and above the sizes of vectors.
const SHAPES: [[usize; 2]; 4] = [[1, 1], [7, 5], [3, 16], [5, 37]];

fn run<S: Scalar>(x: &[S], b: Weights<'_, S>) -> Vec<S> {
    let mut y = poisoned(x.len());
    forward(x, b, &mut y, &mut Vec::new());
    y
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for [rows, width] in SHAPES {
        let (x, b, dy) = (draw(1, rows * width), draw(2, width), draw(3, rows * width));
        let mut db = vec![0.0; width];
        backward_weight(&dy, &mut db);
        assert_derivative("bias db", &b, &db, |b| inner(&dy, &run(&x, Weights::Exact(b))));
        assert_derivative("bias dx", &x, &dy, |x| inner(&dy, &run(x, Weights::Exact(&b))));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All([usize; 2]);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All([rows, width]) = self;
            let mut db = draw(4, width);
            backward_weight(&draw::<S>(3, rows * width), &mut db);
            [run(&draw(1, rows * width), Weights::Exact(&draw(2, width))), db].concat()
        }
    }
    for shape in SHAPES {
        assert_within_bound("bias", &All(shape));
    }
}

#[test]
fn stored_biases_count_as_their_value() {
    let stored: Vec<bf16> = draw::<f32>(2, 5).into_iter().map(bf16::from_f32).collect();
    let decoded: Vec<f32> = stored.iter().map(|b| b.to_f32()).collect();
    let x = draw::<f32>(1, 35);
    assert_eq!(run(&x, Weights::Bf16(&stored)), run(&x, Weights::Exact(&decoded)));
}
