//! The randomised decomposition of matrices that a device multiplies.

use super::orthonormal;
use crate::graph::memory::InputName;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use loralab_linalg::{Mat, MatRef, NoConvergence, Stream, Svd, from_rows, spanned_svd, to_rows};

use crate::device::{Answer, Device, DeviceError, Inputs, MakeDevice};

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
/// algorithms 4.4 and 5.1, as [`loralab_linalg::randomised_svd`] has them. What is made orthonormal, (O, k) and (k, I), is so on devices too, after every
/// product, so that a direction that is weak beside the first is lost in the rounding of one product at most; (k, k) is decomposed here. Of one matrix that a
/// device holds, [`range`](super::range()) does all but the last.
pub(super) async fn triplets(
    matrices: &mut dyn Products,
    drawn: Vec<Mat<f64>>,
    iterations: usize,
    make_device: MakeDevice<'_>,
) -> Result<Vec<Result<Svd, NoConvergence>>, DeviceError> {
    let mut bases = Bases { make_device, devices: BTreeMap::new() };
    let mut basis = bases.of_columns(&matrices.products(Side::Right, &drawn).await?).await?;
    for _ in 0..iterations {
        let right = bases.of_rows(&matrices.products(Side::Left, &basis).await?).await?;
        basis = bases.of_columns(&matrices.products(Side::Right, &right).await?).await?;
    }
    let inner = matrices.products(Side::Left, &basis).await?;
    let spans = bases.of_rows(&inner).await?;
    let decomposed = |((basis, inner), span): ((Mat<f64>, &Mat<f64>), &Mat<f64>)| {
        let Svd { u, s, v } = spanned_svd(inner.as_ref(), span.as_ref())?;
        Ok(Svd { u: basis * u, s, v })
    };
    Ok(basis.into_iter().zip(&inner).zip(&spans).map(decomposed).collect())
}

/// Devices that make rows orthonormal, one for each size.
struct Bases<'m> {
    make_device: MakeDevice<'m>,
    devices: BTreeMap<(usize, usize), Box<dyn Device>>,
}

impl Bases<'_> {
    /// Orthonormal rows with the span of those of each matrix: of no more rows than it has columns, since of those that were drawn any have the same span. Where
    /// they depend on each other, others that are drawn take their place, so that a start has as many directions as it asks for.
    async fn of_rows(&mut self, matrices: &[Mat<f64>]) -> Result<Vec<Mat<f64>>, DeviceError> {
        let mut found = Vec::with_capacity(matrices.len());
        for matrix in matrices {
            found.push(self.of(matrix.as_ref()).await?);
        }
        Ok(found)
    }

    /// The same of columns.
    async fn of_columns(&mut self, matrices: &[Mat<f64>]) -> Result<Vec<Mat<f64>>, DeviceError> {
        let mut found = Vec::with_capacity(matrices.len());
        for matrix in matrices {
            found.push(self.of(matrix.transpose()).await?.transpose().to_owned());
        }
        Ok(found)
    }

    async fn of(&mut self, matrix: MatRef<'_, f64>) -> Result<Mat<f64>, DeviceError> {
        let width = matrix.ncols();
        let rows = matrix.nrows().min(width);
        let device = match self.devices.entry((rows, width)) {
            Entry::Occupied(device) => device.into_mut(),
            Entry::Vacant(place) => {
                let plan = Arc::new(orthonormal(rows, width));
                place.insert((self.make_device)(plan, Arc::new([])).await?)
            }
        };
        let mut features = to_rows(matrix.subrows(0, rows));
        loop {
            let input = Inputs::new().with(InputName::Features, &features);
            let basis = device.predict(&[input]).await?.swap_remove(0);
            let (known, none): (Vec<&[f32]>, Vec<&[f32]>) =
                basis.chunks_exact(width).partition(|row| row.iter().any(|x| *x != 0.0));
            if none.is_empty() {
                return Ok(from_rows(&basis, rows, width));
            }
            let mut drawn = none.concat();
            Stream::new(0, "directions").normal(1.0, &mut drawn);
            features = [known.concat(), drawn].concat();
        }
    }
}
