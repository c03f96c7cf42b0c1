//! What schemes fill factors with.

use loralab_linalg::{Law, Mat, Stream, normal_matrix};

use super::Layer;

/// One of the two factors of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factor {
    A,
    B,
}

impl Layer<'_> {
    /// The law of N(0, 1/`fan_in`): Kaiming's normal with gain 1.
    pub(super) fn gaussian(fan_in: usize) -> Law {
        Law::Normal(root_of_inverse(fan_in))
    }

    /// The law of U(±β/√`fan_in`). With β = 1 it is Kaiming's uniform with a = √5, of variance 1/(3·`fan_in`).
    pub(super) fn kaiming_uniform(beta: f32, fan_in: usize) -> Law {
        Law::Uniform(beta * root_of_inverse(fan_in))
    }

    /// A factor drawn by a law.
    pub(super) fn drawn(&self, factor: Factor, seed: u64, law: Law) -> Vec<f32> {
        let mut values = self.zeros(factor);
        law.fill(&self.stream(factor, seed), &mut values);
        values
    }

    pub(super) fn zeros(&self, factor: Factor) -> Vec<f32> {
        let width = match factor {
            Factor::A => self.inputs,
            Factor::B => self.outputs,
        };
        vec![0.0; width * self.rank]
    }

    /// Standard normal numbers, (rows, columns), of a factor's stream.
    pub(super) fn normal_matrix(&self, factor: Factor, seed: u64, rows: usize, columns: usize) -> Mat<f64> {
        normal_matrix(&self.stream(factor, seed), rows, columns)
    }

    /// The random numbers of a factor, named as its tensor is.
    pub(crate) fn stream(&self, factor: Factor, seed: u64) -> Stream {
        Stream::new(seed, &format!("{}.lora_{factor:?}.weight", self.name))
    }
}

/// 1/√n. Division and square root are exact to the last bit on every machine.
fn root_of_inverse(n: usize) -> f32 {
    (1.0 / n as f64).sqrt() as f32
}
