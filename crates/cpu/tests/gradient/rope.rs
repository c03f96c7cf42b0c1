use loralab_cpu::rope::{Shape, backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const SHAPES: [Shape; 3] = [
    Shape { rows: 10, tokens: 5, heads: 3, head_size: 6 },
    Shape { rows: 4, tokens: 4, heads: 1, head_size: 2 },
    Shape { rows: 6, tokens: 3, heads: 2, head_size: 38 },
];

/// Tables (T, D/2) of the cosine and the sine of position · 10000^(−2i/D), rounded to `f32`.
fn tables<S: Scalar>(shape: Shape) -> (Vec<S>, Vec<S>) {
    let half = shape.head_size / 2;
    let angles = (0..shape.tokens * half).map(|i| {
        let exponent = -2.0 * (i % half) as f64 / shape.head_size as f64;
        (i / half) as f64 * 10_000_f64.powf(exponent)
    });
    angles.map(|angle| (S::from_f32(angle.cos() as f32), S::from_f32(angle.sin() as f32))).unzip()
}

fn run<S: Scalar>(shape: Shape, x: &[S]) -> Vec<S> {
    let (cos, sin) = tables(shape);
    let mut y = poisoned(x.len());
    forward(shape, x, &cos, &sin, &mut y);
    y
}

fn elements(shape: Shape) -> usize {
    shape.rows * shape.heads * shape.head_size
}

#[test]
fn the_gradient_is_that_of_the_forward_pass() {
    for shape in SHAPES {
        let (x, dy) = (draw(1, elements(shape)), draw(2, elements(shape)));
        let (cos, sin) = tables(shape);
        let mut dx = poisoned(elements(shape));
        backward(shape, &dy, &cos, &sin, &mut dx, Store::Set);
        assert_derivative("rope dx", &x, &dx, |x| inner(&dy, &run(shape, x)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(shape, store) = self;
            let mut outputs = run(shape, &draw(1, elements(shape)));
            let (cos, sin) = tables::<S>(shape);
            let mut dx = match store {
                Store::Set => poisoned(elements(shape)),
                Store::Add => draw(3, elements(shape)),
            };
            backward(shape, &draw(2, elements(shape)), &cos, &sin, &mut dx, store);
            outputs.extend(dx);
            outputs
        }
    }
    for shape in SHAPES {
        assert_within_bound("rope set", &All(shape, Store::Set));
        assert_within_bound("rope add", &All(shape, Store::Add));
    }
}

#[test]
fn halves_are_paired_as_in_llama() {
    // One head of 4 features at position 1: (x₀, x₂) turn by 1 and (x₁, x₃) by 1/100.
    let shape = Shape { rows: 2, tokens: 2, heads: 1, head_size: 4 };
    let y = run(shape, &[5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0, 4.0]);
    let (s, c) = 1_f64.sin_cos();
    let (s100, c100) = 0.01_f64.sin_cos();
    let expected = [5.0, 6.0, 7.0, 8.0, c - 3.0 * s, 2.0 * c100 - 4.0 * s100, 3.0 * c + s, 4.0 * c100 + 2.0 * s100];
    for (y, expected) in y.iter().zip(expected) {
        assert!((y - expected).abs() < 1e-6, "{y} instead of {expected}");
    }
}

#[test]
fn products_depend_on_the_distance_only() {
    let shape = Shape { rows: 12, tokens: 12, heads: 1, head_size: 10 };
    let (q, k) = (draw::<f64>(1, 10), draw::<f64>(2, 10));
    let (q, k) = (run(shape, &q.repeat(12)), run(shape, &k.repeat(12)));
    let product = |i: usize, j: usize| inner(&q[i * 10..][..10], &k[j * 10..][..10]);
    for shift in 1..8 {
        assert!((product(4, 1) - product(4 + shift, 1 + shift)).abs() < 1e-6);
    }
    assert!((product(4, 1) - product(5, 1)).abs() > 1e-3);
}
