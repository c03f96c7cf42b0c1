//! The interface of a large matrix for iterative methods: its products with a few columns.

use faer::{Mat, MatRef};

/// A matrix that can be multiplied by others.
pub trait Multiply {
    /// Rows and columns.
    fn shape(&self) -> (usize, usize);

    /// True if all its elements are finite.
    fn is_finite(&self) -> bool;

    /// The product M X.
    fn times(&self, x: MatRef<'_, f64>) -> Mat<f64>;

    /// The product Mᵀ X.
    fn transposed_times(&self, x: MatRef<'_, f64>) -> Mat<f64>;

    /// M as a dense matrix.
    fn whole(&self) -> Mat<f64>;
}

impl Multiply for MatRef<'_, f64> {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn is_finite(&self) -> bool {
        self.is_all_finite()
    }

    fn times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        self * x
    }

    fn transposed_times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        self.transpose() * x
    }

    fn whole(&self) -> Mat<f64> {
        self.to_owned()
    }
}

/// The matrix L R, which is not formed: columns are multiplied by R, then by L.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// L, (rows, k).
    pub left: MatRef<'a, f64>,
    /// R, (k, columns).
    pub right: MatRef<'a, f64>,
}

impl Multiply for Product<'_> {
    fn shape(&self) -> (usize, usize) {
        (self.left.nrows(), self.right.ncols())
    }

    fn is_finite(&self) -> bool {
        self.left.is_all_finite() && self.right.is_all_finite()
    }

    fn times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        self.left * (self.right * x)
    }

    fn transposed_times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        self.right.transpose() * (self.left.transpose() * x)
    }

    fn whole(&self) -> Mat<f64> {
        self.left * self.right
    }
}

/// Rows of a product per unit of parallel work. The panels do not depend on the number of threads, so neither does the result.
const PANEL: usize = 256;

/// Sets the number of threads for products of [`Rows`]. Call it before the first product; otherwise all threads of the machine are used.
#[cfg(not(target_family = "wasm"))]
pub fn use_threads(threads: usize) {
    // An error means that the number was already set, which then stays.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}

/// Minimum elements of a large matrix, whose products are limited by reading its memory.
const LARGE: usize = 1 << 20;

/// A row-major matrix in f32. If it is large, its products are computed in f32 on all threads, in a fraction of the time of f64: for iterations in which
/// each step corrects the rounding errors of the one before.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    m: MatRef<'a, f32>,
}

impl<'a> Rows<'a> {
    /// The (rows, columns) matrix with these row-major elements.
    ///
    /// # Panics
    /// If there are not exactly `rows · columns` elements.
    pub fn new(elements: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { m: MatRef::from_row_major_slice(elements, rows, columns) }
    }

    /// M X, in panels of M's rows.
    fn product(m: MatRef<'_, f32>, x: MatRef<'_, f64>) -> Mat<f64> {
        if m.nrows() * m.ncols() < LARGE {
            return Mat::from_fn(m.nrows(), m.ncols(), |i, j| f64::from(m[(i, j)])) * x;
        }
        let x = Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[(i, j)] as f32);
        let panels = each(m.nrows().div_ceil(PANEL), |panel| {
            let first = panel * PANEL;
            m.subrows(first, PANEL.min(m.nrows() - first)) * &x
        });
        Mat::from_fn(m.nrows(), x.ncols(), |i, j| f64::from(panels[i / PANEL][(i % PANEL, j)]))
    }
}

impl Multiply for Rows<'_> {
    fn shape(&self) -> (usize, usize) {
        (self.m.nrows(), self.m.ncols())
    }

    fn is_finite(&self) -> bool {
        self.m.is_all_finite()
    }

    fn times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        Self::product(self.m, x)
    }

    fn transposed_times(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        Self::product(self.m.transpose(), x)
    }

    fn whole(&self) -> Mat<f64> {
        Mat::from_fn(self.m.nrows(), self.m.ncols(), |i, j| f64::from(self.m[(i, j)]))
    }
}

/// The results of `work` for 0, 1, …, `count` − 1.
#[cfg(not(target_family = "wasm"))]
fn each<T: Send>(count: usize, work: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    use rayon::prelude::*;
    (0..count).into_par_iter().map(work).collect()
}

#[cfg(target_family = "wasm")]
fn each<T>(count: usize, work: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(work).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stream, dense::normal, to_rows};

    #[test]
    fn a_product_multiplies_as_if_it_were_formed() {
        let (left, right) = (normal(&Stream::new(1, "left"), 9, 4), normal(&Stream::new(2, "right"), 4, 7));
        let product = Product { left: left.as_ref(), right: right.as_ref() };
        let formed = &left * &right;
        let (x, y) = (normal(&Stream::new(3, "x"), 7, 2), normal(&Stream::new(4, "y"), 9, 3));
        assert_eq!((product.shape(), product.whole()), ((9, 7), formed.clone()));
        assert!((product.times(x.as_ref()) - &formed * &x).norm_l2() < 1e-13);
        assert!((product.transposed_times(y.as_ref()) - formed.transpose() * &y).norm_l2() < 1e-13);
        let broken = Mat::from_fn(4, 7, |_, _| f64::INFINITY);
        assert!(product.is_finite() && !Product { right: broken.as_ref(), ..product }.is_finite());
    }

    #[test]
    fn products_of_rows_are_those_of_the_matrix() {
        for (rows, columns) in [(1, 1), (5, 300), (4 * PANEL + 3, 4 * PANEL + 1)] {
            let m = normal(&Stream::new(3, "m"), rows, columns);
            let elements = to_rows(m.as_ref());
            let single = Rows::new(&elements, rows, columns);
            assert_eq!(single.shape(), m.as_ref().shape());
            let (x, y) = (normal(&Stream::new(4, "x"), columns, 3), normal(&Stream::new(5, "y"), rows, 2));
            let off = |found: Mat<f64>, expected: Mat<f64>| (&found - &expected).norm_l2() / expected.norm_l2();
            let allowed = if rows * columns < LARGE { 1e-14 } else { 1e-6 };
            assert!(off(single.times(x.as_ref()), &m * &x) < allowed);
            assert!(off(single.transposed_times(y.as_ref()), m.transpose() * &y) < allowed);
        }
        assert!(!Rows::new(&[1.0, f32::NAN], 1, 2).is_finite());
    }
}
