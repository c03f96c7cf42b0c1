//! The randomised decomposition of matrices that a device multiplies.

use loralab_linalg::{Mat, NoConvergence, Svd, svd, thin_qr};

use crate::device::{Answer, DeviceError};

/// From which side a matrix is multiplied.
#[derive(Clone, Copy)]
pub(super) enum Side {
    /// M Xᵀ, (O, k), for rows X, (k, I).
    Right,
    /// Yᵀ M, (k, I), for columns Y, (O, k).
    Left,
}

/// Matrices M, (O, I), that are known by their products.
pub(super) trait Products {
    /// The products of all matrices with vectors of each.
    fn products<'a>(&'a mut self, side: Side, vectors: &'a [Mat<f64>]) -> Answer<'a, Vec<Mat<f64>>>;
}

/// The leading singular triplets of each matrix, nearly, from rows Ωᵀ, (k, I), that were drawn for it: Halko, Martinsson and Tropp 2011, arXiv 0909.4061,
/// algorithms 4.4 and 5.1, as [`loralab_linalg::randomised_svd`] has them. Only what the device is asked is in f32; (O, k) and (k, I), the size of an
/// adapter, are made orthonormal and decomposed here in f64, by Householder's QR after every product, so nothing is lost of directions that are weak beside
/// the first. Of one matrix that a device holds, [`Plan::range`](crate::plan::Plan::range) finds the range without the host.
pub(super) async fn triplets(
    matrices: &mut dyn Products,
    drawn: Vec<Mat<f64>>,
    iterations: usize,
) -> Result<Vec<Result<Svd, NoConvergence>>, DeviceError> {
    let columns =
        |products: Vec<Mat<f64>>| products.iter().map(|product| thin_qr(product.as_ref()).q).collect::<Vec<_>>();
    let rows = |products: Vec<Mat<f64>>| {
        let row = |product: &Mat<f64>| thin_qr(product.transpose()).q.transpose().to_owned();
        products.iter().map(row).collect::<Vec<_>>()
    };
    let mut basis = columns(matrices.products(Side::Right, &drawn).await?);
    for _ in 0..iterations {
        let right = rows(matrices.products(Side::Left, &basis).await?);
        basis = columns(matrices.products(Side::Right, &right).await?);
    }
    let inner = matrices.products(Side::Left, &basis).await?;
    let decomposed = |(basis, inner): (Mat<f64>, Mat<f64>)| {
        let Svd { u, s, v } = svd(inner.as_ref())?;
        Ok(Svd { u: basis * u, s, v })
    };
    Ok(basis.into_iter().zip(inner).map(decomposed).collect())
}
