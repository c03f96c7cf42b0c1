use loralab_cpu::rope::{Angles, Shape, backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

const SHAPES: [Shape; 4] = [
    Shape { rows: 10, tokens: 5, heads: 3, head_size: 6, rotated: 6 },
    Shape { rows: 4, tokens: 4, heads: 1, head_size: 2, rotated: 2 },
    Shape { rows: 6, tokens: 3, heads: 2, head_size: 38, rotated: 38 },
    Shape { rows: 8, tokens: 4, heads: 2, head_size: 11, rotated: 4 },
];

/// Tables (T, P/2) of the cosine and the sine of position · 10000^(−2i/P), rounded to `f32`.
fn tables<S: Scalar>(shape: Shape) -> (Vec<S>, Vec<S>) {
    let half = shape.rotated / 2;
    let angles = (0..shape.tokens * half).map(|i| {
        let exponent = -2.0 * (i % half) as f64 / shape.rotated as f64;
        (i / half) as f64 * 10_000_f64.powf(exponent)
    });
    angles.map(|angle| (S::from_f32(angle.cos() as f32), S::from_f32(angle.sin() as f32))).unzip()
}

/// Positions that no index gives.
fn positions(shape: Shape) -> Vec<u32> {
    (0..shape.rows).map(|row| ((row * 5 + 2) % shape.tokens) as u32).collect()
}

fn run<S: Scalar>(shape: Shape, x: &[S], positions: Option<&[u32]>) -> Vec<S> {
    let (cos, sin) = tables(shape);
    let mut y = poisoned(x.len());
    forward(shape, x, Angles { cos: &cos, sin: &sin, positions }, &mut y);
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
        let given = positions(shape);
        for positions in [None, Some(&given[..])] {
            let mut dx = poisoned(elements(shape));
            backward(shape, &dy, Angles { cos: &cos, sin: &sin, positions }, &mut dx, Store::Set);
            assert_derivative("rope dx", &x, &dx, |x| inner(&dy, &run(shape, x, positions)));
        }
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(shape, store) = self;
            let given = positions(shape);
            let mut outputs = run(shape, &draw(1, elements(shape)), Some(&given));
            let (cos, sin) = tables::<S>(shape);
            let mut dx = match store {
                Store::Set => poisoned(elements(shape)),
                Store::Add => draw(3, elements(shape)),
            };
            let angles = Angles { cos: &cos, sin: &sin, positions: Some(&given) };
            backward(shape, &draw(2, elements(shape)), angles, &mut dx, store);
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
    let shape = Shape { rows: 2, tokens: 2, heads: 1, head_size: 4, rotated: 4 };
    let y = run(shape, &[5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0, 4.0], None);
    let (s, c) = 1_f64.sin_cos();
    let (s100, c100) = 0.01_f64.sin_cos();
    let expected = [5.0, 6.0, 7.0, 8.0, c - 3.0 * s, 2.0 * c100 - 4.0 * s100, 3.0 * c + s, 4.0 * c100 + 2.0 * s100];
    for (y, expected) in y.iter().zip(expected) {
        assert!((y - expected).abs() < 1e-6, "{y} instead of {expected}");
    }
}

#[test]
fn products_depend_on_the_distance_only() {
    let shape = Shape { rows: 12, tokens: 12, heads: 1, head_size: 10, rotated: 10 };
    let (q, k) = (draw::<f64>(1, 10), draw::<f64>(2, 10));
    let (q, k) = (run(shape, &q.repeat(12), None), run(shape, &k.repeat(12), None));
    let product = |i: usize, j: usize| inner(&q[i * 10..][..10], &k[j * 10..][..10]);
    for shift in 1..8 {
        assert!((product(4, 1) - product(4 + shift, 1 + shift)).abs() < 1e-6);
    }
    assert!((product(4, 1) - product(5, 1)).abs() > 1e-3);
}

#[test]
fn features_behind_the_rotated_ones_stay() {
    let shape = Shape { rows: 6, tokens: 3, heads: 2, head_size: 7, rotated: 4 };
    let x = draw::<f32>(1, elements(shape));
    let y = run(shape, &x, None);
    let narrow = Shape { head_size: 4, ..shape };
    let first: Vec<f32> = x.chunks(7).flat_map(|head| &head[..4]).copied().collect();
    let turned = run(narrow, &first, None);
    for ((y, x), turned) in y.chunks(7).zip(x.chunks(7)).zip(turned.chunks(4)) {
        assert_eq!((&y[..4], &y[4..]), (turned, &x[4..]));
    }
}

#[test]
fn given_positions_are_those_of_the_rows() {
    let shape = SHAPES[0];
    let x = draw::<f32>(1, elements(shape));
    let indices: Vec<u32> = (0..shape.rows).map(|row| (row % shape.tokens) as u32).collect();
    assert_eq!(run(shape, &x, Some(&indices)), run(shape, &x, None));
    let zeros = run(shape, &x, Some(&vec![0; shape.rows]));
    assert_eq!(zeros, x);
}
