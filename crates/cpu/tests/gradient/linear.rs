use loralab_cpu::linear::{Shape, backward_input, backward_weight, forward};
use loralab_cpu::{Scalar, Store, Threads, Weights};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

fn shape(rows: usize, inputs: usize, outputs: usize) -> Shape {
    Shape { rows, inputs, outputs }
}

fn run<S: Scalar>(shape: Shape, x: &[S], w: &[S]) -> Vec<S> {
    let mut y = poisoned(shape.rows * shape.outputs);
    forward(shape, x, Weights::Exact(w), &mut y, Threads::One, &mut Vec::new());
    y
}

/// Stored in halves, and large enough to be shared among threads and read in panels.
#[test]
fn a_single_row_is_that_of_many() {
    let (inputs, outputs) = (700, 1500);
    let (x, w) = (draw::<f32>(1, inputs), draw::<f32>(2, inputs * outputs));
    let stored: Vec<half::bf16> = w.iter().map(|&w| half::bf16::from_f32(w)).collect();
    let product = |rows: usize, threads| {
        let (x, mut y) = (x.repeat(rows), poisoned(rows * outputs));
        forward(shape(rows, inputs, outputs), &x, Weights::Bf16(&stored), &mut y, threads, &mut Vec::new());
        y
    };
    let (one, many) = (product(1, Threads::One), product(3, Threads::One));
    for (one, many) in one.iter().zip(&many) {
        assert!((one - many).abs() <= 1e-4, "{one}, but {many} among others");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    assert_eq!(pool.install(|| product(1, Threads::Idle)), one, "the same bits on any number of threads");
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for shape in [shape(1, 1, 1), shape(3, 5, 7), shape(9, 17, 13)] {
        let (x, w) = (draw(1, shape.rows * shape.inputs), draw(2, shape.outputs * shape.inputs));
        let dy = draw(3, shape.rows * shape.outputs);
        let mut dx = poisoned(x.len());
        backward_input(shape, &dy, Weights::Exact(&w), &mut dx, Store::Set, Threads::One, &mut Vec::new());
        let mut dw = vec![0.0; w.len()];
        backward_weight(shape, &x, &dy, &mut dw);
        assert_derivative("linear dx", &x, &dx, |x| inner(&dy, &run(shape, x, &w)));
        assert_derivative("linear dw", &w, &dw, |w| inner(&dy, &run(shape, &x, w)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(shape, store) = self;
            let (x, w) = (draw(1, shape.rows * shape.inputs), draw(2, shape.outputs * shape.inputs));
            let dy = draw(3, shape.rows * shape.outputs);
            let mut dx = match store {
                Store::Set => poisoned(x.len()),
                Store::Add => draw(4, x.len()),
            };
            backward_input(shape, &dy, Weights::Exact(&w), &mut dx, store, Threads::One, &mut Vec::new());
            let mut dw = draw(5, w.len());
            backward_weight(shape, &x, &dy, &mut dw);
            [run(shape, &x, &w), dx, dw].concat()
        }
    }
    for shape in
        [shape(1, 1, 1), shape(3, 5, 7), shape(8, 8, 8), shape(9, 17, 33), shape(130, 65, 33), shape(1, 70, 500)]
    {
        assert_within_bound("linear set", &All(shape, Store::Set));
        assert_within_bound("linear add", &All(shape, Store::Add));
    }
}
