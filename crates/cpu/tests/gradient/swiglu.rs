use loralab_cpu::swiglu::{backward, forward};
use loralab_cpu::{Scalar, Store};

use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// Below, at and above the sizes of vectors and blocks.
const LENGTHS: [usize; 5] = [1, 13, 64, 65, 200];

fn run<S: Scalar>(gate: &[S], up: &[S]) -> Vec<S> {
    let mut y = poisoned(gate.len());
    forward(gate, up, &mut y);
    y
}

/// Gates between −4 and 4, where the sigmoid is neither linear nor saturated.
fn gates<S: Scalar>(length: usize) -> Vec<S> {
    draw::<S>(1, length).into_iter().map(|x| x * S::from_f32(4.0)).collect()
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for length in LENGTHS {
        let (gate, up, dy) = (gates(length), draw(2, length), draw(3, length));
        let (mut dgate, mut dup) = (poisoned(length), poisoned(length));
        backward(&gate, &up, &dy, &mut dgate, &mut dup, [Store::Set; 2]);
        assert_derivative("swiglu dgate", &gate, &dgate, |gate| inner(&dy, &run(gate, &up)));
        assert_derivative("swiglu dup", &up, &dup, |up| inner(&dy, &run(&gate, up)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(usize, [Store; 2]);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(length, stores) = self;
            let (gate, up) = (gates(length), draw(2, length));
            let mut outputs = run(&gate, &up);
            let [mut dgate, mut dup]: [Vec<S>; 2] = stores.map(|store| match store {
                Store::Set => poisoned(length),
                Store::Add => draw(4, length),
            });
            backward(&gate, &up, &draw(3, length), &mut dgate, &mut dup, stores);
            outputs.extend([dgate, dup].concat());
            outputs
        }
    }
    for length in LENGTHS {
        for stores in [[Store::Set, Store::Set], [Store::Set, Store::Add], [Store::Add, Store::Set]] {
            assert_within_bound("swiglu", &All(length, stores));
        }
    }
}

#[test]
fn saturated_gates_stay_finite() {
    let gate = [-1e4_f32, -100.0, 0.0, 100.0, 1e4];
    assert_eq!(run(&gate, &[2.0; 5]), [0.0, 0.0, 0.0, 200.0, 2e4]);
    let (mut dgate, mut dup) = (poisoned(5), poisoned(5));
    backward(&gate, &[2.0; 5], &[1.0; 5], &mut dgate, &mut dup, [Store::Set; 2]);
    assert_eq!(dgate, [0.0, 0.0, 1.0, 2.0, 2.0]);
    assert_eq!(dup, [0.0, 0.0, 0.0, 100.0, 1e4]);
}
