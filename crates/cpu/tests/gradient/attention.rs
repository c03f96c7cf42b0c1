use std::ops::Range;

use loralab_cpu::attention::{Shape, backward, forward};
use loralab_cpu::{Scalar, Scratch, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// Shorter than a tile, exactly one, and several with a rest; grouped and not; with odd head sizes.
const SHAPES: [Shape; 5] = [
    Shape { sequences: 2, tokens: 3, heads: 4, kv_heads: 2, head_size: 6 },
    Shape { sequences: 1, tokens: 64, heads: 2, kv_heads: 2, head_size: 24 },
    Shape { sequences: 2, tokens: 70, heads: 4, kv_heads: 2, head_size: 6 },
    Shape { sequences: 1, tokens: 131, heads: 3, kv_heads: 1, head_size: 5 },
    Shape { sequences: 3, tokens: 1, heads: 1, kv_heads: 1, head_size: 1 },
];

struct Inputs<S> {
    q: Vec<S>,
    k: Vec<S>,
    v: Vec<S>,
    dy: Vec<S>,
}

/// Elements of a query-like and of a key-like tensor.
fn sizes(shape: Shape) -> (usize, usize) {
    let rows = shape.sequences * shape.tokens;
    (rows * shape.heads * shape.head_size, rows * shape.kv_heads * shape.head_size)
}

fn inputs<S: Scalar>(shape: Shape) -> Inputs<S> {
    let (queries, keys) = sizes(shape);
    Inputs { q: draw(1, queries), k: draw(2, keys), v: draw(3, keys), dy: draw(4, queries) }
}

/// y and lse.
fn run<S: Scalar>(shape: Shape, q: &[S], k: &[S], v: &[S]) -> (Vec<S>, Vec<S>) {
    let (mut y, mut lse) = (poisoned(q.len()), poisoned(q.len() / shape.head_size));
    forward(shape, q, k, v, &mut y, &mut lse, &mut Scratch::new());
    (y, lse)
}

/// y, lse, dq, dk and dv.
fn run_all<S: Scalar>(shape: Shape, inputs: &Inputs<S>, stores: [Store; 3]) -> [Vec<S>; 5] {
    let Inputs { q, k, v, dy } = inputs;
    let (y, lse) = run(shape, q, k, v);
    let (queries, keys) = sizes(shape);
    let output = |store, seed, count| match store {
        Store::Set => poisoned(count),
        Store::Add => draw(seed, count),
    };
    let mut dq = output(stores[0], 5, queries);
    let mut dk = output(stores[1], 6, keys);
    let mut dv = output(stores[2], 7, keys);
    backward(shape, q, k, v, &y, &lse, dy, &mut dq, &mut dk, &mut dv, stores, &mut Scratch::new());
    [y, lse, dq, dk, dv]
}

/// softmax(q kᵀ / √D) v, straight from the definition.
fn definition(shape: Shape, q: &[f64], k: &[f64], v: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let Shape { sequences, tokens, heads, kv_heads, head_size } = shape;
    let (mut y, mut lse) = (vec![0.0; q.len()], Vec::new());
    for row in 0..sequences * tokens {
        for head in 0..heads {
            let at = (row * heads + head) * head_size;
            let key_at = |key: usize| (key * kv_heads + head / (heads / kv_heads)) * head_size;
            let visible = row - row % tokens..row + 1;
            let exponentials: Vec<f64> = visible
                .clone()
                .map(|key| inner(&q[at..][..head_size], &k[key_at(key)..][..head_size]))
                .map(|score| (score / (head_size as f64).sqrt()).exp())
                .collect();
            let total: f64 = exponentials.iter().sum();
            for (key, exponential) in visible.zip(exponentials) {
                for d in 0..head_size {
                    y[at + d] += exponential / total * v[key_at(key) + d];
                }
            }
            lse.push(total.ln());
        }
    }
    (y, lse)
}

#[test]
fn the_output_is_that_of_the_definition() {
    for shape in SHAPES {
        let Inputs { mut q, k, v, .. } = inputs::<f64>(shape);
        // Scores of up to ±100: the running maximum must move.
        for steepness in [1.0, 40.0] {
            q.iter_mut().for_each(|q| *q *= steepness);
            let (y, lse) = run(shape, &q, &k, &v);
            let (expected, expected_lse) = definition(shape, &q, &k, &v);
            for (y, expected) in y.iter().chain(&lse).zip(expected.iter().chain(&expected_lse)) {
                assert!((y - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{shape:?}: {y}, not {expected}");
            }
        }
    }
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    let more_than_a_tile = Shape { sequences: 1, tokens: 67, heads: 2, kv_heads: 1, head_size: 3 };
    for shape in [SHAPES[0], more_than_a_tile] {
        let inputs = inputs(shape);
        let [_, _, dq, dk, dv] = run_all(shape, &inputs, [Store::Set; 3]);
        let Inputs { q, k, v, dy } = &inputs;
        assert_derivative("attention dq", q, &dq, |q| inner(dy, &run(shape, q, k, v).0));
        assert_derivative("attention dk", k, &dk, |k| inner(dy, &run(shape, q, k, v).0));
        assert_derivative("attention dv", v, &dv, |v| inner(dy, &run(shape, q, k, v).0));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, [Store; 3]);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            run_all(self.0, &inputs(self.0), self.1).concat()
        }
    }
    use Store::{Add, Set};
    for shape in SHAPES {
        for stores in [[Set, Set, Set], [Add, Set, Set], [Set, Add, Set], [Set, Set, Add]] {
            assert_within_bound(&format!("attention {shape:?}"), &All(shape, stores));
        }
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The elements of some rows in a tensor of `rows` rows.
fn of_rows(shape: Shape, x: &[f32], rows: Range<usize>) -> &[f32] {
    let width = x.len() / (shape.sequences * shape.tokens);
    &x[rows.start * width..rows.end * width]
}

#[test]
fn a_token_does_not_see_later_ones_nor_other_sequences() {
    let shape = Shape { sequences: 2, tokens: 130, heads: 2, kv_heads: 1, head_size: 6 };
    let before = inputs::<f32>(shape);
    let [y, lse, ..] = run_all(shape, &before, [Store::Set; 3]);
    for changed in [0, 1, 63, 64, 100, 129] {
        let mut after = inputs::<f32>(shape);
        for x in [&mut after.q, &mut after.k, &mut after.v] {
            let width = x.len() / 260;
            x[changed * width..][..width].iter_mut().for_each(|x| *x += 0.5);
        }
        let [new_y, new_lse, ..] = run_all(shape, &after, [Store::Set; 3]);
        for (old, new) in [(&y, &new_y), (&lse, &new_lse)] {
            for row in 0..260 {
                let same = bits(of_rows(shape, old, row..row + 1)) == bits(of_rows(shape, new, row..row + 1));
                assert_eq!(same, row < changed || row >= 130, "token {changed} changed; row {row}");
            }
        }
    }
}

#[test]
fn a_sequence_has_the_same_bits_alone_and_among_others() {
    for tokens in [5, 64, 70] {
        let shape = Shape { sequences: 3, tokens, heads: 4, kv_heads: 2, head_size: 6 };
        let together = inputs::<f32>(shape);
        let expected = run_all(shape, &together, [Store::Set; 3]);
        for sequence in 0..3 {
            let rows = sequence * tokens..(sequence + 1) * tokens;
            let part = |x: &Vec<f32>| of_rows(shape, x, rows.clone()).to_vec();
            let Inputs { q, k, v, dy } = &together;
            let alone = Inputs { q: part(q), k: part(k), v: part(v), dy: part(dy) };
            let found = run_all(Shape { sequences: 1, ..shape }, &alone, [Store::Set; 3]);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(bits(found), bits(of_rows(shape, expected, rows.clone())), "sequence {sequence}");
            }
        }
    }
}

#[test]
fn extreme_scores_do_not_overflow() {
    let shape = Shape { sequences: 1, tokens: 130, heads: 1, kv_heads: 1, head_size: 4 };
    let mut inputs = inputs::<f32>(shape);
    inputs.q.iter_mut().for_each(|q| *q *= 1e6);
    for (what, x) in ["y", "lse", "dq", "dk", "dv"].iter().zip(run_all(shape, &inputs, [Store::Set; 3])) {
        assert!(x.iter().all(|x| x.is_finite()), "{what}");
    }
}
