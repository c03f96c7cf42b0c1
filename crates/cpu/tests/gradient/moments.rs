//! Sums over rows, which have no gradient: compared with their definition.

use loralab_cpu::moments::{Shape, forward};
use loralab_cpu::{Scalar, Scratch};

use crate::{Computation, assert_within_bound, draw};

const SHAPES: [Shape; 4] = [
    Shape { rows: 1, codes: 1, inputs: 1 },
    Shape { rows: 7, codes: 3, inputs: 5 },
    Shape { rows: 40, codes: 16, inputs: 16 },
    Shape { rows: 53, codes: 9, inputs: 33 },
];

/// Sums on top of drawn ones; every third row has weight 0.
fn run<S: Scalar>(shape: Shape, code: &[S], x: &[S]) -> Vec<S> {
    let mut weights = draw::<S>(3, shape.rows);
    weights.iter_mut().skip(2).step_by(3).for_each(|weight| *weight = S::ZERO);
    let mut moments = draw(4, (shape.codes + 1) * shape.inputs);
    forward(shape, code, x, &weights, &mut moments, &mut Scratch::new());
    moments
}

#[test]
fn the_sums_are_those_of_the_definition() {
    for shape in SHAPES {
        let Shape { rows, codes, inputs } = shape;
        let (code, x, weights) = (draw::<f64>(1, rows * codes), draw::<f64>(2, rows * inputs), draw::<f64>(3, rows));
        let (found, before) = (run(shape, &code, &x), draw::<f64>(4, (codes + 1) * inputs));
        for (index, (found, before)) in found.iter().zip(before).enumerate() {
            let (c, i) = (index / inputs, index % inputs);
            let term = |n: usize| weights[n] * if c < codes { code[n * codes + c] } else { 1.0 } * x[n * inputs + i];
            let expected = before + (0..rows).filter(|n| n % 3 != 2).map(term).sum::<f64>();
            assert!((found - expected).abs() < 1e-12, "{shape:?}: sum ({c}, {i}) is {found}, not {expected}");
        }
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let Shape { rows, codes, inputs } = self.0;
            run(self.0, &draw(1, rows * codes), &draw(2, rows * inputs))
        }
    }
    for shape in SHAPES {
        assert_within_bound("moments", &All(shape));
    }
}

#[test]
fn rows_of_weight_zero_are_not_read() {
    let shape = SHAPES[1];
    let (mut code, mut x) = (draw::<f32>(1, 21), draw::<f32>(2, 35));
    let before = run(shape, &code, &x);
    code[2 * 3] = f32::NAN;
    x[5 * 5 + 1] = f32::INFINITY;
    assert_eq!(run(shape, &code, &x), before);
}
