use loralab_cpu::geglu::{backward, forward};
use loralab_cpu::gelu::Form;
use loralab_cpu::{Scalar, Store};

use crate::gelu::{FORMS, numbers};
use crate::{Computation, assert_derivative, assert_within_bound, draw, inner, poisoned};

/// Below, at and above the sizes of vectors and blocks.
const LENGTHS: [usize; 5] = [1, 13, 64, 65, 200];

fn run<S: Scalar>(form: Form, gate: &[S], up: &[S]) -> Vec<S> {
    let mut y = poisoned(gate.len());
    forward(form, gate, up, &mut y);
    y
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for (length, form) in LENGTHS.into_iter().flat_map(|length| FORMS.map(|form| (length, form))) {
        let (gate, up, dy) = (numbers(length), draw(2, length), draw(3, length));
        let (mut dgate, mut dup) = (poisoned(length), poisoned(length));
        backward(form, &gate, &up, &dy, &mut dgate, &mut dup, [Store::Set; 2]);
        assert_derivative("geglu dgate", &gate, &dgate, |gate| inner(&dy, &run(form, gate, &up)));
        assert_derivative("geglu dup", &up, &dup, |up| inner(&dy, &run(form, &gate, up)));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Form, usize, [Store; 2]);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(form, length, stores) = self;
            let (gate, up) = (numbers(length), draw(2, length));
            let mut outputs = run(form, &gate, &up);
            let [mut dgate, mut dup]: [Vec<S>; 2] = stores.map(|store| match store {
                Store::Set => poisoned(length),
                Store::Add => draw(4, length),
            });
            backward(form, &gate, &up, &draw(3, length), &mut dgate, &mut dup, stores);
            outputs.extend([dgate, dup].concat());
            outputs
        }
    }
    for (length, form) in LENGTHS.into_iter().flat_map(|length| FORMS.map(|form| (length, form))) {
        for stores in [[Store::Set, Store::Set], [Store::Set, Store::Add], [Store::Add, Store::Set]] {
            assert_within_bound("geglu", &All(form, length, stores));
        }
    }
}
