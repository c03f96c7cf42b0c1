use loralab_cpu::{Scalar, adamw, clip, sgd, sign_sgd};

use crate::{Computation, assert_within_bound, draw};

const COUNT: usize = 101;

/// Ten steps of every optimiser from the same parameters, with gradients that are clipped by half.
#[test]
fn f32_is_within_the_tracked_bound() {
    struct All;
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let (mut by_adamw, mut m, mut v) = (draw::<S>(1, COUNT), vec![S::ZERO; COUNT], vec![S::ZERO; COUNT]);
            let (mut by_sgd, mut momentum) = (draw::<S>(1, COUNT), draw(2, COUNT));
            let mut by_sign = draw::<S>(1, COUNT);
            let number = S::from_f64;
            let mut norms = Vec::new();
            for step in 1..=10 {
                let mut g = draw::<S>(2 + step, COUNT);
                norms.push(clip::squared_norm(&g));
                clip::scale(&mut g, number(0.5));
                let adamw = adamw::Hyper {
                    learning_rate: number(0.01),
                    one_minus_beta1: number(0.1),
                    beta2: number(0.999),
                    one_minus_beta2: number(0.001),
                    epsilon: number(1e-8),
                    weight_decay: number(0.1),
                    bias1: number(1.0 - 0.9_f64.powi(step as i32)),
                    bias2: number(1.0 - 0.999_f64.powi(step as i32)),
                };
                adamw::step(adamw, &mut by_adamw, &g, &mut m, &mut v);
                let sgd = sgd::Hyper {
                    learning_rate: number(0.01),
                    momentum: number(0.9),
                    weight_decay: number(0.1),
                    first: step == 1,
                };
                sgd::step(sgd, &mut by_sgd, &g, &mut momentum);
                sign_sgd::step(number(0.01), number(0.1), &mut by_sign, &g);
            }
            [by_adamw, m, v, by_sgd, momentum, by_sign, norms].concat()
        }
    }
    assert_within_bound("optimisers", &All);
}
