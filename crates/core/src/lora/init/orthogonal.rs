//! Orthogonal: both factors are random and of half the rank, in directions that cancel in the product.
//!
//! With an orthogonal Q, (R, R), whose even rows are Q₀ and odd rows Q₁: A = Q₀ᵀ X / 10 and B = Y Q₁ / 10, X (R/2, I) and Y (O, R/2) standard
//! normal, so B A = Y Q₁ Q₀ᵀ X / 100 = 0. In numbers it is zero but for rounding. Every entry has variance 1/200, whatever the width.

use loralab_linalg::{Stream, orthonormal_rows};

use super::Factor::{A, B};
use super::{Begins, Layer, Rule, Scheme, Start, StartError, Trains};

/// PEFT's orthogonal start.
pub(super) static ORTHOGONAL: Scheme = Scheme {
    name: "orthogonal",
    about: "A and B are random with B·A = 0; entries have variance 1/200, the rank must be even",
    source: "PEFT, init_lora_weights=\"orthogonal\", after datta0.github.io/posts/rethink-lora-init",
    rule: Rule::Draw(orthogonal),
    begins: Begins::NearBase,
    frozen_pair: false,
    trains: Trains::Both,
    halves_rank: true,
    divides_by_scale: false,
    options: &[],
};

fn orthogonal(layer: &Layer<'_>, seed: u64) -> Result<Start, StartError> {
    let (rank, half) = (layer.rank, layer.rank / 2);
    let mut drawn = vec![0.0; rank * rank];
    Stream::new(seed, &format!("{}.lora_Q.weight", layer.name)).normal(1.0, &mut drawn);
    let mut q: Vec<f64> = drawn.into_iter().map(f64::from).collect();
    orthonormal_rows(&mut q, rank);

    let (x, y) = (layer.normal_matrix(A, seed, half, layer.inputs), layer.normal_matrix(B, seed, layer.outputs, half));
    let mut start = Start { a: layer.zeros(A), b: layer.zeros(B), frozen: None };
    // Sums run in order, so that the bits are the same everywhere.
    for (k, row) in start.a.chunks_exact_mut(layer.inputs).enumerate() {
        for (column, value) in row.iter_mut().enumerate() {
            let sum: f64 = (0..half).map(|h| q[2 * h * rank + k] * x[(h, column)]).sum();
            *value = (sum / 10.0) as f32;
        }
    }
    for (row, values) in start.b.chunks_exact_mut(rank).enumerate() {
        for (k, value) in values.iter_mut().enumerate() {
            let sum: f64 = (0..half).map(|h| y[(row, h)] * q[(2 * h + 1) * rank + k]).sum();
            *value = (sum / 10.0) as f32;
        }
    }
    Ok(start)
}
