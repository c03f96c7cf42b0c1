use loralab_cpu::Scalar;
use loralab_cpu::cache::{Shape, forward};

use crate::{Computation, assert_within_bound, draw};

const SHAPE: Shape = Shape { tokens: 3, context: 5, columns: 2 };
const POSITIONS: [u32; 6] = [2, 3, 4, 0, 1, 2];

fn run<S: Scalar>() -> Vec<S> {
    let mut cache = draw(2, 2 * SHAPE.context * SHAPE.columns);
    forward(SHAPE, &draw::<S>(1, POSITIONS.len() * SHAPE.columns), &POSITIONS, &mut cache);
    cache
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All;
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            run()
        }
    }
    assert_within_bound("cache", &All);
}

#[test]
fn rows_go_to_their_positions_and_others_stay() {
    let (x, before, after) = (draw::<f32>(1, 12), draw::<f32>(2, 20), run::<f32>());
    let written = [(4, 0), (6, 2), (8, 4), (10, 6), (12, 8), (14, 10)];
    for place in (0..20).step_by(2) {
        let expected = written.iter().find(|(to, _)| *to == place).map_or(&before[place..], |(_, from)| &x[*from..]);
        assert_eq!(after[place..place + 2], expected[..2], "row {}", place / 2);
    }
}

#[test]
fn a_position_that_the_cache_does_not_have_is_left_out() {
    let mut cache = [9.0_f32; 2];
    forward(Shape { tokens: 1, context: 2, columns: 1 }, &[1.0], &[2], &mut cache);
    assert_eq!(cache, [9.0; 2]);
}
