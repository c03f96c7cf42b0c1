//! The largest and smallest eigenvalues of a symmetric map that is given by its products with vectors: Lanczos 1950, with full reorthogonalisation (Golub & Van
//! Loan 2013, *Matrix Computations*, §10.1 and 10.3.1).
//!
//! The caller computes the products: [`Lanczos::direction`] returns the vector, [`Lanczos::take`] takes the map's product with it. So products may also be
//! computed asynchronously.

use faer::Mat;

use crate::{factor::NoConvergence, factor::symmetric_eigen, stream::Stream};

/// The iteration ends if the remainder of a product is shorter than this share of it: the directions then span all that the start can reach.
const EXHAUSTED: f64 = 1e-10;

/// The state of a Lanczos iteration.
#[derive(Clone, Debug)]
pub struct Lanczos {
    /// Orthonormal directions q₁ … q_k; the product with the last is not yet taken.
    basis: Vec<Vec<f64>>,
    /// Diagonal of the tridiagonal matrix, one entry per product taken.
    diagonal: Vec<f64>,
    /// Off-diagonal of the tridiagonal matrix: lengths of the remainders, one per product taken.
    beside: Vec<f64>,
    /// Sum of the squared differences between the products' components along earlier directions and those of an exactly symmetric map.
    asymmetry: f64,
}

/// An estimate of an extreme eigenvalue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ritz {
    /// The Ritz value; one of the map's eigenvalues is at most `residual` away from it (Parlett 1980, *The Symmetric Eigenvalue Problem*, §4.5).
    pub value: f64,
    /// ‖H x − value · x‖ of its unit Ritz vector x, by which the value may still change with more products, plus the observed error of the products
    /// themselves: the norm of the asymmetric part of Qᵀ (H Q), which is only rounding if the products are exact.
    pub residual: f64,
}

impl Lanczos {
    /// Starts from a random direction of `entries` entries, determined by `seed`.
    pub fn new(entries: usize, seed: u64) -> Self {
        let mut start = vec![0.0_f32; entries];
        Stream::new(seed, "lanczos").normal(1.0, &mut start);
        let mut start: Vec<f64> = start.into_iter().map(f64::from).collect();
        let length = dot(&start, &start).sqrt();
        start.iter_mut().for_each(|x| *x /= length);
        Self { basis: vec![start], diagonal: vec![], beside: vec![], asymmetry: 0.0 }
    }

    /// The unit vector whose product is needed next; `None` when the iteration has ended.
    pub fn direction(&self) -> Option<&[f64]> {
        self.basis.get(self.diagonal.len()).map(Vec::as_slice)
    }

    /// Adds the map's product with [`direction`](Self::direction).
    ///
    /// # Panics
    /// If there is no direction, or the product has a different length.
    pub fn take(&mut self, product: &[f64]) {
        let direction = self.direction().expect("a product is of the direction that was asked for");
        assert_eq!(product.len(), direction.len(), "a symmetric map gives as many entries as it takes");
        let size = dot(product, product).sqrt();
        self.diagonal.push(dot(direction, product));
        for (place, known) in self.basis[..self.diagonal.len() - 1].iter().enumerate() {
            let expected = if place + 2 == self.diagonal.len() { self.beside[place] } else { 0.0 };
            self.asymmetry += (dot(known, product) - expected).powi(2);
        }
        let mut remainder = product.to_vec();
        // Two passes suffice (Parlett 1980, §6.9).
        for _ in 0..2 {
            for known in &self.basis {
                let share = dot(known, &remainder);
                remainder.iter_mut().zip(known).for_each(|(x, y)| *x -= share * y);
            }
        }
        let length = dot(&remainder, &remainder).sqrt();
        let goes_on = length.is_finite() && length > EXHAUSTED * size && self.basis.len() < remainder.len();
        self.beside.push(if goes_on { length } else { 0.0 });
        if goes_on {
            remainder.iter_mut().for_each(|x| *x /= length);
            self.basis.push(remainder);
        }
    }

    /// The largest and the smallest Ritz value so far.
    ///
    /// # Errors
    /// If a product held a number that is not finite, or no product was taken.
    pub fn ends(&self) -> Result<[Ritz; 2], NoConvergence> {
        let size = self.diagonal.len();
        let last = *self.beside.last().ok_or(NoConvergence { rows: size, columns: size })?;
        let entry = |row: usize, column: usize| match row.abs_diff(column) {
            0 => self.diagonal[row],
            1 => self.beside[row.min(column)],
            _ => 0.0,
        };
        let eigen = symmetric_eigen(Mat::from_fn(size, size, entry).as_ref())?;
        let ritz = |k: usize| {
            let open = (last * eigen.vectors[(size - 1, k)]).abs();
            Ritz { value: eigen.values[k], residual: open + self.asymmetry.sqrt() }
        };
        Ok([ritz(0), ritz(size - 1)])
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dense::normal, orthonormal_rows};

    fn products(m: &Mat<f64>, steps: usize) -> Lanczos {
        let mut lanczos = Lanczos::new(m.nrows(), 3);
        for _ in 0..steps {
            let Some(direction) = lanczos.direction() else { break };
            let product: Vec<f64> =
                (0..m.nrows()).map(|row| (0..m.ncols()).map(|k| m[(row, k)] * direction[k]).sum()).collect();
            lanczos.take(&product);
        }
        lanczos
    }

    #[test]
    fn the_ends_are_those_of_the_whole_decomposition_and_lie_within_their_residuals() {
        let half = normal(&Stream::new(1, "half"), 60, 60);
        let m = &half + half.transpose();
        let exact = symmetric_eigen(m.as_ref()).expect("finite");
        for steps in [8, 20, 60] {
            let [largest, smallest] = products(&m, steps).ends().expect("finite");
            let nearest =
                |ritz: Ritz| exact.values.iter().map(|x| (x - ritz.value).abs()).fold(f64::INFINITY, f64::min);
            for ritz in [largest, smallest] {
                assert!(nearest(ritz) <= ritz.residual + 1e-9, "{steps}: {ritz:?}");
            }
            // Ritz values approach the ends of the spectrum from inside.
            assert!(largest.value <= exact.values[0] + 1e-9 && smallest.value >= exact.values[59] - 1e-9);
            if steps == 60 {
                assert!(
                    (largest.value - exact.values[0]).abs() < 1e-9 && (smallest.value - exact.values[59]).abs() < 1e-9
                );
            }
        }
        let [early, _] = products(&m, 8).ends().expect("finite");
        assert!(early.residual > 1e-3, "eight steps cannot know it: {early:?}");
    }

    #[test]
    fn a_map_of_few_values_is_exhausted_after_as_many_steps() {
        let mut rows: Vec<f64> = (0..20 * 20).map(|k| f64::from(k * 37 % 101) - 50.0).collect();
        orthonormal_rows(&mut rows, 20);
        // Eigenvalues 5, −2 and 0.
        let value = |k: usize| [5.0, -2.0, 0.0][k.min(2)];
        let m =
            Mat::from_fn(20, 20, |i, j| (0..20).map(|k| value(k) * rows[k * 20 + i] * rows[k * 20 + j]).sum::<f64>());
        let lanczos = products(&m, 20);
        assert_eq!((lanczos.diagonal.len(), lanczos.direction()), (3, None));
        let [largest, smallest] = lanczos.ends().expect("finite");
        assert!((largest.value - 5.0).abs() < 1e-9 && (smallest.value + 2.0).abs() < 1e-9, "{largest:?} {smallest:?}");
        assert!(largest.residual < 1e-9);
    }

    /// Products with an asymmetric error of 10⁻³ of the map, as products by coarse finite differences have.
    #[test]
    fn what_products_are_off_by_is_part_of_the_residual() {
        let half = normal(&Stream::new(1, "half"), 30, 30);
        let m = &half + half.transpose();
        let twisted = &m + &half * 1e-3;
        let [exact, off] = [&m, &twisted].map(|m| products(m, 30).ends().expect("finite")[0]);
        assert!(exact.residual < 1e-11, "{exact:?}");
        assert!(off.residual >= (off.value - exact.value).abs() && off.residual > 1e-3, "{off:?} {exact:?}");
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let mut lanczos = Lanczos::new(3, 0);
        assert!(lanczos.ends().is_err());
        lanczos.take(&[f64::NAN, 0.0, 0.0]);
        assert!(lanczos.ends().is_err() && lanczos.direction().is_none());
    }
}
