use std::ops::Range;

use loralab_cpu::attention::{Rule, Shape, backward, forward, forward_cached};
use loralab_cpu::{Scalar, Scratch, Store, cache};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// Shorter than a tile, exactly one, and several with a rest; grouped and not; with odd head sizes.
const SHAPES: [Shape; 5] = [
    Shape { sequences: 2, tokens: 3, heads: 4, kv_heads: 2, head_size: 6 },
    Shape { sequences: 1, tokens: 64, heads: 2, kv_heads: 2, head_size: 24 },
    Shape { sequences: 2, tokens: 70, heads: 4, kv_heads: 2, head_size: 6 },
    Shape { sequences: 1, tokens: 131, heads: 3, kv_heads: 1, head_size: 5 },
    Shape { sequences: 3, tokens: 1, heads: 1, kv_heads: 1, head_size: 1 },
];

/// The arguments of a call: sizes, rule, and the lengths of the segments, repeated until a sequence is full; every third segment is padding.
#[derive(Clone, Copy, Debug)]
struct Call {
    shape: Shape,
    rule: Rule,
    segments: Option<&'static [usize]>,
}

impl Call {
    fn causal(shape: Shape) -> Call {
        Call { shape, rule: Rule::causal(shape.head_size), segments: None }
    }

    fn segments(&self) -> Option<Vec<u32>> {
        let Shape { sequences, tokens, .. } = self.shape;
        let lengths = self.segments?;
        let numbered = lengths.iter().cycle().zip([7, 3, 0].iter().cycle());
        let sequence = numbered.flat_map(|(&length, &number)| vec![number; length]).take(tokens);
        Some(vec![sequence.collect::<Vec<u32>>(); sequences].concat())
    }

    /// True if token `i` of every sequence sees token `j` of the same one.
    fn sees(&self, i: usize, j: usize) -> bool {
        let together = |numbers: Vec<u32>| {
            let between = &numbers[i.min(j)..=i.max(j)];
            numbers[i] != 0 && between.iter().all(|&number| number == numbers[i])
        };
        self.segments().is_none_or(together)
            && (!self.rule.causal || j <= i)
            && self.rule.window.is_none_or(|window| i.abs_diff(j) < window)
    }

    fn rows(&self) -> usize {
        self.shape.sequences * self.shape.tokens
    }
}

/// Every rule by itself and with others, over several tiles: windows that end within a tile and at its end, segments that end
/// there too, tiles of padding only.
fn calls() -> Vec<Call> {
    let long = |head_size| Shape { sequences: 2, tokens: 150, heads: 2, kv_heads: 1, head_size };
    let call = |head_size, causal, window, cap, scale, segments| Call {
        shape: long(head_size),
        rule: Rule { causal, window, scale, cap },
        segments,
    };
    let mut calls: Vec<Call> = SHAPES.into_iter().map(Call::causal).collect();
    calls.extend(SHAPES.map(|shape| {
        let call = Call::causal(shape);
        Call { rule: Rule { causal: false, ..call.rule }, ..call }
    }));
    calls.extend([
        call(5, true, Some(1), None, 0.5, None),
        call(3, true, Some(64), None, 0.5, None),
        call(4, true, Some(70), Some(1.5), 0.7, None),
        call(4, false, Some(9), None, 0.5, None),
        call(2, false, Some(65), Some(0.5), -0.6, None),
        call(6, true, None, None, 0.4, Some(&[5, 70, 9])),
        call(3, false, None, None, 0.4, Some(&[64, 1, 70])),
        call(3, false, None, Some(2.0), 0.4, Some(&[1, 2, 140])),
        call(7, true, Some(4), None, 0.4, Some(&[3, 64, 61])),
        call(2, false, Some(40), Some(3.0), 1.5, Some(&[30, 70, 3])),
    ]);
    calls
}

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
fn run<S: Scalar>(call: Call, q: &[S], k: &[S], v: &[S]) -> (Vec<S>, Vec<S>) {
    let Call { shape, rule, .. } = call;
    let (mut y, mut lse) = (poisoned(q.len()), poisoned(q.len() / shape.head_size));
    forward(shape, rule, call.segments().as_deref(), q, k, v, &mut y, &mut lse, &mut Scratch::new());
    (y, lse)
}

/// y, lse, dq, dk and dv.
fn run_all<S: Scalar>(call: Call, inputs: &Inputs<S>, stores: [Store; 3]) -> [Vec<S>; 5] {
    let Call { shape, rule, .. } = call;
    let Inputs { q, k, v, dy } = inputs;
    let (y, lse) = run(call, q, k, v);
    let (queries, keys) = sizes(shape);
    let output = |store, seed, count| match store {
        Store::Set => poisoned(count),
        Store::Add => draw(seed, count),
    };
    let mut dq = output(stores[0], 5, queries);
    let mut dk = output(stores[1], 6, keys);
    let mut dv = output(stores[2], 7, keys);
    let (segments, scratch) = (call.segments(), &mut Scratch::new());
    backward(shape, rule, segments.as_deref(), q, k, v, &y, &lse, dy, &mut dq, &mut dk, &mut dv, stores, scratch);
    [y, lse, dq, dk, dv]
}

/// softmax(scores) v, straight from the definition; 0 where nothing is seen.
fn definition(call: Call, q: &[f64], k: &[f64], v: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let Shape { tokens, heads, kv_heads, head_size, .. } = call.shape;
    let (mut y, mut lse) = (vec![0.0; q.len()], Vec::new());
    for row in 0..call.rows() {
        let (first_row, token) = (row - row % tokens, row % tokens);
        let visible: Vec<usize> = (0..tokens).filter(|&j| call.sees(token, j)).map(|j| first_row + j).collect();
        for head in 0..heads {
            let at = (row * heads + head) * head_size;
            let key_at = |key: usize| (key * kv_heads + head / (heads / kv_heads)) * head_size;
            let score = |key: usize| {
                let score = call.rule.scale * inner(&q[at..][..head_size], &k[key_at(key)..][..head_size]);
                call.rule.cap.map_or(score, |cap| cap * (score / cap).tanh())
            };
            let exponentials: Vec<f64> = visible.iter().map(|&key| score(key).exp()).collect();
            let total: f64 = exponentials.iter().sum();
            for (&key, exponential) in visible.iter().zip(exponentials) {
                for d in 0..head_size {
                    y[at + d] += exponential / total * v[key_at(key) + d];
                }
            }
            lse.push(if visible.is_empty() { 0.0 } else { total.ln() });
        }
    }
    (y, lse)
}

#[test]
fn the_output_is_that_of_the_definition() {
    for call in calls() {
        let Inputs { mut q, k, v, .. } = inputs::<f64>(call.shape);
        // Scores of up to ±100: the running maximum must move.
        for steepness in [1.0, 40.0] {
            q.iter_mut().for_each(|q| *q *= steepness);
            let (y, lse) = run(call, &q, &k, &v);
            let (expected, expected_lse) = definition(call, &q, &k, &v);
            for (y, expected) in y.iter().chain(&lse).zip(expected.iter().chain(&expected_lse)) {
                assert!((y - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{call:?}: {y}, not {expected}");
            }
        }
    }
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    let more_than_a_tile = Shape { sequences: 1, tokens: 67, heads: 2, kv_heads: 1, head_size: 3 };
    let call = |causal, window, cap, segments| Call {
        shape: more_than_a_tile,
        rule: Rule { causal, window, scale: 0.6, cap },
        segments,
    };
    for call in [
        Call::causal(SHAPES[0]),
        Call::causal(more_than_a_tile),
        call(false, None, None, None),
        call(true, Some(3), None, None),
        call(false, Some(5), Some(0.7), None),
        call(true, None, Some(1.3), Some(&[20, 44, 5])),
        call(false, None, None, Some(&[30, 2, 40])),
    ] {
        let inputs = inputs(call.shape);
        let [_, _, dq, dk, dv] = run_all(call, &inputs, [Store::Set; 3]);
        let Inputs { q, k, v, dy } = &inputs;
        assert_derivative("attention dq", q, &dq, |q| inner(dy, &run(call, q, k, v).0));
        assert_derivative("attention dk", k, &dk, |k| inner(dy, &run(call, q, k, v).0));
        assert_derivative("attention dv", v, &dv, |v| inner(dy, &run(call, q, k, v).0));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Call, [Store; 3]);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            run_all(self.0, &inputs(self.0.shape), self.1).concat()
        }
    }
    use Store::{Add, Set};
    for call in calls() {
        for stores in [[Set, Set, Set], [Add, Set, Set], [Set, Add, Set], [Set, Set, Add]] {
            assert_within_bound(&format!("attention {call:?}"), &All(call, stores));
        }
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The elements of some rows in a tensor of `rows` rows.
fn of_rows<S>(shape: Shape, x: &[S], rows: Range<usize>) -> &[S] {
    let width = x.len() / (shape.sequences * shape.tokens);
    &x[rows.start * width..rows.end * width]
}

#[test]
fn a_change_reaches_exactly_the_rows_that_see_it() {
    for call in calls().into_iter().filter(|call| call.shape.tokens > 100) {
        let Call { shape, .. } = call;
        let before = inputs::<f32>(shape);
        let [y, lse, ..] = run_all(call, &before, [Store::Set; 3]);
        for changed in [0, 1, 63, 64, 100, 129] {
            let mut after = inputs::<f32>(shape);
            for x in [&mut after.k, &mut after.v] {
                let width = x.len() / call.rows();
                x[changed * width..][..width].iter_mut().for_each(|x| *x += 0.5);
            }
            let [new_y, new_lse, ..] = run_all(call, &after, [Store::Set; 3]);
            for row in 0..call.rows() {
                let same =
                    |old, new| bits(of_rows(shape, old, row..row + 1)) == bits(of_rows(shape, new, row..row + 1));
                let sees = row < shape.tokens && call.sees(row, changed);
                assert_eq!(!same(&y, &new_y), sees, "{call:?}: token {changed} changed; row {row} of y");
                assert_eq!(!same(&lse, &new_lse), sees, "{call:?}: token {changed} changed; row {row} of lse");
            }
        }
    }
}

/// y and lse, read in pieces of `width` tokens, with the keys and values of earlier pieces in a cache that has room for some more.
fn run_in_pieces<S: Scalar>(call: Call, width: usize, inputs: &Inputs<S>) -> (Vec<S>, Vec<S>) {
    let Shape { sequences, tokens, .. } = call.shape;
    let (context, columns) = (tokens + 3, inputs.k.len() / call.rows());
    let mut caches = [(); 2].map(|()| poisoned(sequences * context * columns));
    let (mut y, mut lse) = (vec![], vec![]);
    for start in (0..tokens).step_by(width) {
        let shape = Shape { tokens: width.min(tokens - start), ..call.shape };
        let rows = || (0..sequences).flat_map(|sequence| (0..shape.tokens).map(move |token| (sequence, start + token)));
        let positions: Vec<u32> = rows().map(|(_, position)| position as u32).collect();
        let piece = |x: &[S]| -> Vec<S> {
            let row = |(sequence, token)| sequence * tokens + token;
            rows().flat_map(|at| of_rows(call.shape, x, row(at)..row(at) + 1).to_vec()).collect()
        };
        for (x, cache) in [&inputs.k, &inputs.v].into_iter().zip(&mut caches) {
            cache::forward(cache::Shape { tokens: shape.tokens, context, columns }, &piece(x), &positions, cache);
        }
        let q = piece(&inputs.q);
        let (mut of_piece, mut sums) = (poisoned(q.len()), poisoned(q.len() / shape.head_size));
        let ([k, v], scratch) = (&caches, &mut Scratch::new());
        forward_cached(shape, call.rule, context, &positions, &q, k, v, &mut of_piece, &mut sums, scratch);
        y.push(of_piece);
        lse.push(sums);
    }
    let joined = |pieces: Vec<Vec<S>>| -> Vec<S> {
        let of_sequence = |sequence: usize| {
            pieces.iter().flat_map(move |piece| {
                let len = piece.len() / sequences;
                piece[sequence * len..(sequence + 1) * len].to_vec()
            })
        };
        (0..sequences).flat_map(of_sequence).collect()
    };
    (joined(y), joined(lse))
}

fn continued() -> impl Iterator<Item = (Call, usize)> {
    let calls = calls().into_iter().filter(|call| call.rule.causal && call.segments.is_none());
    calls.flat_map(|call| [1, 7, 64, 90].map(|width| (call, width)))
}

#[test]
fn a_text_in_pieces_has_the_results_of_the_whole() {
    for (call, width) in continued() {
        let inputs = inputs::<f64>(call.shape);
        let (y, lse) = run_in_pieces(call, width, &inputs);
        let (expected, expected_lse) = run(call, &inputs.q, &inputs.k, &inputs.v);
        for (found, expected) in y.iter().chain(&lse).zip(expected.iter().chain(&expected_lse)) {
            assert!((found - expected).abs() <= 1e-13, "{call:?} in pieces of {width}: {found}, not {expected}");
        }
    }
}

#[test]
fn a_text_in_pieces_is_within_the_tracked_bound() {
    struct Pieces(Call, usize);
    impl Computation for Pieces {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let (y, lse) = run_in_pieces(self.0, self.1, &inputs(self.0.shape));
            [y, lse].concat()
        }
    }
    for (call, width) in continued().step_by(3) {
        assert_within_bound("attention in pieces", &Pieces(call, width));
    }
}

#[test]
fn padding_has_no_output_and_no_gradient() {
    for call in calls() {
        let Some(segments) = call.segments() else { continue };
        for results in run_all(call, &inputs::<f32>(call.shape), [Store::Set; 3]) {
            for row in (0..call.rows()).filter(|&row| segments[row] == 0) {
                assert!(of_rows(call.shape, &results, row..row + 1).iter().all(|&x| x == 0.0), "{call:?}: row {row}");
            }
        }
    }
}

/// A tile that no query of a tile sees is not even multiplied by zeros: what is not a number stays where it is.
#[test]
fn tiles_that_are_not_seen_are_skipped() {
    let shape = Shape { sequences: 1, tokens: 256, heads: 2, kv_heads: 1, head_size: 4 };
    let rule = Rule::causal(4);
    let window = Call { shape, rule: Rule { window: Some(60), ..rule }, segments: None };
    let packed = Call { shape, rule: Rule { causal: false, ..rule }, segments: Some(&[64, 192, 1]) };
    let padded = Call { shape, rule, segments: Some(&[64, 64, 128]) };
    for (call, clean) in [(window, 128..256), (packed, 64..256), (padded, 64..256), (Call::causal(shape), 0..192)] {
        let mut inputs = inputs::<f32>(shape);
        let hidden = if clean.start == 0 { 192..256 } else { 0..64 };
        for x in [&mut inputs.q, &mut inputs.k, &mut inputs.v] {
            let width = x.len() / 256;
            x[hidden.start * width..hidden.end * width].fill(f32::NAN);
        }
        let [y, lse, dq, dk, dv] = run_all(call, &inputs, [Store::Set; 3]);
        for (what, x) in [("y", y), ("lse", lse), ("dq", dq)] {
            assert!(of_rows(shape, &x, clean.clone()).iter().all(|x| x.is_finite()), "{what} of {call:?}");
        }
        // Later queries give their keys a gradient, so those are clean that no spoiled query sees.
        if clean.start > 0 {
            for (what, x) in [("dk", dk), ("dv", dv)] {
                assert!(of_rows(shape, &x, clean.clone()).iter().all(|x| x.is_finite()), "{what} of {call:?}");
            }
        }
    }
}

#[test]
fn a_sequence_has_the_same_bits_alone_and_among_others() {
    for tokens in [5, 64, 70] {
        let shape = Shape { sequences: 3, tokens, heads: 4, kv_heads: 2, head_size: 6 };
        let causal = Call::causal(shape);
        let together = inputs::<f32>(shape);
        for call in [causal, Call { segments: Some(&[3, 40, 2]), ..causal }] {
            let expected = run_all(call, &together, [Store::Set; 3]);
            for sequence in 0..3 {
                let rows = sequence * tokens..(sequence + 1) * tokens;
                let part = |x: &Vec<f32>| of_rows(shape, x, rows.clone()).to_vec();
                let Inputs { q, k, v, dy } = &together;
                let alone = Inputs { q: part(q), k: part(k), v: part(v), dy: part(dy) };
                let found = run_all(Call { shape: Shape { sequences: 1, ..shape }, ..call }, &alone, [Store::Set; 3]);
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(bits(found), bits(of_rows(shape, expected, rows.clone())), "sequence {sequence}");
                }
            }
        }
    }
}

/// A packed sequence has the results of its segments alone, up to rounding: their tiles begin elsewhere.
#[test]
fn segments_have_the_results_of_separate_sequences() {
    for (causal, window) in [(true, None), (false, None), (true, Some(6))] {
        let rule = Rule { causal, window, scale: 0.5, cap: None };
        let shape = Shape { sequences: 1, tokens: 90, heads: 2, kv_heads: 1, head_size: 4 };
        let packed = inputs::<f64>(shape);
        let call = Call { shape, rule, segments: Some(&[30, 60, 1]) };
        let expected = run_all(call, &packed, [Store::Set; 3]);
        for rows in [0..30, 30..90] {
            let part = |x: &Vec<f64>| x[rows.start * (x.len() / 90)..rows.end * (x.len() / 90)].to_vec();
            let alone = Inputs { q: part(&packed.q), k: part(&packed.k), v: part(&packed.v), dy: part(&packed.dy) };
            let shape = Shape { tokens: rows.len(), ..shape };
            let found = run_all(Call { shape, rule, segments: None }, &alone, [Store::Set; 3]);
            for (found, expected) in found.iter().zip(&expected) {
                for (found, expected) in found.iter().zip(part(expected)) {
                    assert!((found - expected).abs() <= 1e-13, "{rule:?}, {rows:?}: {found}, not {expected}");
                }
            }
        }
    }
}

#[test]
fn extreme_scores_do_not_overflow() {
    let shape = Shape { sequences: 1, tokens: 130, heads: 1, kv_heads: 1, head_size: 4 };
    let mut inputs = inputs::<f32>(shape);
    inputs.q.iter_mut().for_each(|q| *q *= 1e6);
    let causal = Call::causal(shape);
    let windowed = Call { rule: Rule { window: Some(3), ..causal.rule }, segments: Some(&[40, 3, 9]), ..causal };
    let capped = Call { rule: Rule { cap: Some(50.0), causal: false, ..causal.rule }, ..causal };
    for call in [causal, windowed, capped] {
        for (what, x) in ["y", "lse", "dq", "dk", "dv"].iter().zip(run_all(call, &inputs, [Store::Set; 3])) {
            assert!(x.iter().all(|x| x.is_finite()), "{what} of {call:?}");
        }
    }
}
