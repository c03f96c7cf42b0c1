//! No gradient passes through it, so there are no differences to compare with; what it makes is held to what it is.

use loralab_cpu::orthonormal::{Shape, forward};
use loralab_cpu::{Scalar, Tracked};

use crate::{Computation, assert_within_bound, draw, inner, poisoned};

const SHAPES: [Shape; 6] = [
    Shape { rows: 1, width: 1 },
    Shape { rows: 3, width: 7 },
    Shape { rows: 4, width: 4 },
    Shape { rows: 9, width: 53 },
    Shape { rows: 17, width: 300 },
    Shape { rows: 40, width: 139 },
];

fn run<S: Scalar>(shape: Shape, x: &[S]) -> Vec<S> {
    let mut y = poisoned(shape.rows * shape.width);
    forward(shape, x, &mut y);
    y
}

/// Rows that are nearly the first of them: what tells them apart is `share` of it.
fn bundle<S: Scalar>(shape: Shape, share: f32) -> Vec<S> {
    let drawn = draw::<f32>(3, shape.rows * shape.width);
    let first = &drawn[..shape.width];
    let row = |(index, x): (usize, &f32)| {
        S::from_f32(if index < shape.width { *x } else { first[index % shape.width] + share * x })
    };
    drawn.iter().enumerate().map(row).collect()
}

/// The largest difference of Y Yᵀ from the identity.
fn skew(y: &[f64], width: usize) -> f64 {
    let rows = || y.chunks_exact(width).enumerate();
    let off = |i: usize, x: &[f64], j: usize, z: &[f64]| (inner(x, z) - f64::from(u8::from(i == j))).abs();
    rows().flat_map(|(i, x)| rows().map(move |(j, z)| off(i, x, j, z))).fold(0.0, f64::max)
}

/// The length of the longest part of a row of x outside of the span of y's rows, as a share of the longest row of x.
fn outside(x: &[f64], y: &[f64], width: usize) -> f64 {
    let length = |x: &[f64]| inner(x, x).sqrt();
    let longest = x.chunks_exact(width).map(length).fold(0.0, f64::max);
    let rest = |row: &[f64]| {
        let mut row = row.to_vec();
        for q in y.chunks_exact(width) {
            let along = inner(q, &row);
            row.iter_mut().zip(q).for_each(|(x, q)| *x -= along * q);
        }
        length(&row) / longest
    };
    x.chunks_exact(width).map(rest).fold(0.0, f64::max)
}

#[test]
fn rows_are_orthonormal_and_keep_their_span() {
    for shape in SHAPES {
        for x in [draw::<f64>(1, shape.rows * shape.width), bundle(shape, 1e-4)] {
            let y = run(shape, &x);
            assert!(skew(&y, shape.width) < 1e-14, "{shape:?}: {:e}", skew(&y, shape.width));
            assert!(outside(&x, &y, shape.width) < 1e-13, "{shape:?}: {:e}", outside(&x, &y, shape.width));
            assert!(x.chunks(shape.width).zip(y.chunks(shape.width)).all(|(x, y)| inner(x, y) > 0.0));
        }
    }
}

/// However close together, rows are orthogonal to f32's rounding: once over each would leave the third row of a bundle nowhere.
#[test]
fn twice_is_enough() {
    for shape in SHAPES {
        for share in [1.0, 1e-2, 1e-4] {
            let x = bundle::<f32>(shape, share);
            let exactly = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (x, y) = (exactly(&x), exactly(&run(shape, &x)));
            assert!(skew(&y, shape.width) < 1e-6, "{shape:?}, {share}: {:e}", skew(&y, shape.width));
            assert!(outside(&x, &y, shape.width) < 1e-6, "{shape:?}, {share}: {:e}", outside(&x, &y, shape.width));
        }
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct Of(Shape, f32);
    impl Computation for Of {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &Of(shape, share) = self;
            let drawn = draw(1, shape.rows * shape.width);
            run(shape, &if share < 1.0 { bundle(shape, share) } else { drawn })
        }
    }
    for shape in SHAPES {
        assert_within_bound("orthonormal", &Of(shape, 1.0));
    }
    for share in [1e-1, 1e-2] {
        assert_within_bound("orthonormal, of a bundle", &Of(Shape { rows: 5, width: 53 }, share));
    }
}

/// Multiples and sums of the rows before become zero, in f32 and for sure, and the rows behind are what they were without.
#[test]
fn a_row_that_depends_on_those_before_it_becomes_zero() {
    let width = 53;
    let drawn = draw::<f32>(1, 3 * width);
    let [a, b, c] = [0, 1, 2].map(|row| &drawn[row * width..(row + 1) * width]);
    let mixed: Vec<f32> = a.iter().zip(b).map(|(a, b)| 0.3 * a - 7.0 * b).collect();
    let thrice: Vec<f32> = a.iter().map(|a| 3.0 * a).collect();
    let zeros = vec![0.0; width];
    let rows = [a, &thrice, b, &zeros, &mixed, c].concat();
    let found = run(Shape { rows: 6, width }, &rows);
    let without = run(Shape { rows: 3, width }, &drawn);
    for (row, expected) in
        [(0, &without[..width]), (1, &zeros), (2, &without[width..2 * width]), (3, &zeros), (4, &zeros)]
            .into_iter()
            .chain([(5, &without[2 * width..])])
    {
        assert_eq!(&found[row * width..(row + 1) * width], expected, "row {row}");
    }
    let known = run(Shape { rows: 6, width }, &rows.iter().map(|&x| Tracked::from_f32(x)).collect::<Vec<_>>());
    let is_zero = |row: usize| known[row * width..(row + 1) * width].iter().all(|x| x.value == 0.0 && x.error == 0.0);
    assert_eq!([0, 1, 2, 3, 4, 5].map(is_zero), [false, true, false, true, true, false]);
    assert!(known.iter().all(|x| x.error < 1e-4));
}

/// One of which no device can tell has no bound, nor have those behind it.
#[test]
fn of_a_row_at_the_edge_nothing_is_known() {
    let shape = Shape { rows: 3, width: 7 };
    let mut x = bundle::<Tracked>(shape, 4e-6);
    x[14..].copy_from_slice(&draw(9, 7));
    let y = run(shape, &x);
    assert!(y[..7].iter().all(|x| x.error < 1e-5) && y[7..].iter().all(|x| x.error.is_infinite()));
}

#[test]
fn what_is_no_number_stays_none() {
    // The squares of the last two are none either.
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        let y = run(Shape { rows: 3, width: 3 }, &[1.0, 0.0, 0.0, 1.0, bad, 0.0, 1.0, 2.0, 3.0]);
        assert!(y[..3] == [1.0, 0.0, 0.0] && y[3..].iter().all(|x| !x.is_finite()), "{y:?}");
    }
}
