//! What schemes fill factors with.

use loralab_linalg::{Mat, Stream, normal_matrix};

use super::Layer;

/// One of the two factors of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    A,
    B,
}

impl Layer<'_> {
    pub(super) fn zeros(&self, factor: Factor) -> Vec<f32> {
        let width = match factor {
            Factor::A => self.inputs,
            Factor::B => self.outputs,
        };
        vec![0.0; width * self.rank]
    }

    /// N(0, 1/`fan_in`): Kaiming's normal with gain 1.
    pub(super) fn gaussian(&self, factor: Factor, seed: u64, fan_in: usize) -> Vec<f32> {
        let mut values = self.zeros(factor);
        self.stream(factor, seed).normal(root_of_inverse(fan_in), &mut values);
        values
    }

    /// U(±1/√`fan_in`): Kaiming's uniform with a = √5, of variance 1/(3·`fan_in`).
    pub(super) fn kaiming_uniform(&self, factor: Factor, seed: u64, fan_in: usize) -> Vec<f32> {
        let mut values = self.zeros(factor);
        self.stream(factor, seed).uniform(root_of_inverse(fan_in), &mut values);
        values
    }

    /// Standard normal numbers, (rows, columns), of a factor's stream.
    pub(super) fn normal_matrix(&self, factor: Factor, seed: u64, rows: usize, columns: usize) -> Mat<f64> {
        normal_matrix(&self.stream(factor, seed), rows, columns)
    }

    /// The random numbers of a factor, named as its tensor is.
    pub(super) fn stream(&self, factor: Factor, seed: u64) -> Stream {
        Stream::new(seed, &format!("{}.lora_{factor:?}.weight", self.name))
    }
}

/// 1/√n. Division and square root are exact to the last bit on every machine.
fn root_of_inverse(n: usize) -> f32 {
    (1.0 / n as f64).sqrt() as f32
}
