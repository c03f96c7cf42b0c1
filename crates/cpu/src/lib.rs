//! The CPU kernels of all ops of loralab, each written once, generic over the [`Scalar`]:
//!
//! - in `f32`, with matrix products by faer, they are the *CPU device*, which runs everywhere;
//! - in `f64`, checked by finite differences, they are the *reference* for every other device;
//! - in [`Tracked`], a value with a running error bound, they give the *tolerance* of a comparison;
//! - in [`Dual`], a value with its derivative, the backward pass gives *products with the Hessian*.
//!
//! A kernel is a pure function over exactly-sized, row-major slices. It starts no threads, and its bits depend on its
//! operands and their shapes only; a multithreaded caller gives each thread its own rows. Backward kernels take a
//! [`Store`] for each output to which several ops may contribute; gradients of trained parameters are always added.
//!
//! Symbols: N rows, I inputs, O outputs, R rank, T tokens, H heads, D head size, V vocabulary. A is (R, I), B is
//! (O, R), W is (O, I). The prefix `d` means *gradient of the loss with respect to*.

pub mod adamw;
pub mod add;
pub mod attention;
pub mod bias;
pub mod cache;
mod cholesky;
pub mod clip;
pub mod cross_entropy;
pub mod dropout;
mod dual;
pub mod embedding;
mod exponential;
pub mod finite;
pub mod geglu;
pub mod gelu;
mod hyperbolic;
pub mod layer_norm;
pub mod linear;
pub mod linear_cross_entropy;
pub mod lora_linear;
mod matrix;
pub mod moments;
pub mod mse;
mod normal;
pub mod orthonormal;
mod packed;
pub mod precondition;
mod reduce;
pub mod relu;
pub mod rms_norm;
pub mod rope;
mod scalar;
mod scratch;
pub mod sgd;
pub mod sign_sgd;
mod simd;
pub mod split;
pub mod swiglu;
pub mod tanh;
mod tracked;
mod weights;

pub use dual::Dual;
pub use matrix::{Matrix, Store};
pub use packed::{INT8_LARGEST, NF4, NF4_BLOCK, NF4_ZERO, Packed, Packing};
pub use scalar::{Scalar, Threads};
pub use scratch::Scratch;
pub use tracked::Tracked;
pub use weights::Weights;
