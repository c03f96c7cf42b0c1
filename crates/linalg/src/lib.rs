//! Random numbers with the same bits on every machine, and the small dense linear algebra that the schemes need.
//!
//! All random numbers of loralab come from [`Philox`], a counter-based generator: each value is a pure function of a
//! seed, a name and an index. No draw depends on earlier draws, so a tensor gets the same numbers in any order of
//! tensors, with any thread count, natively and in a browser.
//!
//! - [`Stream`] fills tensors by a [`Law`] (uniform, normal): element `i` depends on (seed, name, i) alone.
//! - [`Draws`] draws numbers one after the other from a stream: shuffles, uniform integers, random choices.
//! - [`norm()`] is the Euclidean norm.
//!
//! The dense linear algebra is in f64 and on one thread, so results do not depend on the number of threads:
//! [`thin_qr`], [`svd()`], [`product_svd`], [`spanned_svd`], [`symmetric_eigen`], [`solve()`], [`sylvester`]; for large matrices [`leading_svd`] and
//! [`leading_eigen`], [`Lanczos`] for the largest and smallest eigenvalues, and the randomised [`range()`] and [`randomised_svd`], whose sketch is drawn from
//! a [`Stream`]. Those for large matrices, except [`Lanczos`], take any [`Multiply`], such as [`Rows`] in f32, which uses all threads. The last bits of
//! results depend on the processor; random numbers and [`orthonormal_rows`] have the same bits everywhere.

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
