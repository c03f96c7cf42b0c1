//! Random numbers whose bits are the same on every machine, and the small dense mathematics the schemes need.
//!
//! Everything random in loralab comes from [`Philox`], a counter-based generator: the value at a place is a pure
//! function of a seed, a name and that place. Nothing is drawn "after" something else, so a tensor gets the same
//! numbers in any listing order, with any thread count, natively and in a browser.
//!
//! - [`Stream`] fills tensors by a [`Law`] (uniform, normal): element `i` depends on (seed, name, i) alone.
//! - [`Draws`] reads a stream one number after the other: shuffles, dice, coins.
//! - [`norm()`] is the Euclidean norm.
//!
//! The dense mathematics is in f64 and on one thread, so that it gives the same with any number of threads and in a browser:
//! [`thin_qr`], [`svd()`], [`product_svd`], [`spanned_svd`], [`symmetric_eigen`], [`solve()`], [`sylvester`]; of large matrices [`leading_svd`] and [`leading_eigen`], [`Lanczos`] for the ends of a
//! spectrum, and the randomised [`range()`] and [`randomised_svd`], whose sketch is drawn from a [`Stream`]; these two and [`leading_eigen`] take whatever can
//! [`Multiply`], such as [`Rows`] in f32, which use all threads. Its last bits are the processor's; what is
//! only drawn, and [`orthonormal_rows`], has the same bits everywhere.

mod dense;
mod draws;
mod factor;
mod krylov;
mod lanczos;
mod law;
mod multiply;
mod norm;
mod normal;
mod normal_table;
mod orthonormal;
mod philox;
mod range;
mod stream;

pub use dense::{energy, from_rows, normal as normal_matrix, to_rows};
pub use draws::Draws;
pub use factor::{
    Eigen, NoConvergence, Qr, Svd, product_svd, solve, spanned_svd, svd, sylvester, symmetric_eigen, thin_qr,
};
pub use faer::{ColRef, Mat, MatRef, Scale};
pub use krylov::leading_svd;
pub use lanczos::{Lanczos, Ritz};
pub use law::Law;
#[cfg(not(target_family = "wasm"))]
pub use multiply::use_threads;
pub use multiply::{Multiply, Product, Rows};
pub use norm::norm;
pub use normal_table::COEFFICIENTS;
pub use orthonormal::orthonormal_rows;
pub use philox::Philox;
pub use range::{leading_eigen, randomised_svd, range};
pub use stream::Stream;
