//! What schemes are told of data: of a layer's inputs and of its gradient.

use loralab_linalg::{Eigen, Mat, Rows, Stream, Svd, from_rows, leading_eigen};

use super::{Layer, StartError};

/// The moments of a layer's input x over the rows of some batches that count: those that predict something the loss looks at.
#[derive(Clone, Debug)]
pub struct InputMoments {
    /// Rows.
    pub rows: usize,
    /// E\[x\], (I).
    pub mean: Vec<f64>,
    /// E\[x xᵀ\], (I, I) row after row, about zero, and exactly symmetric.
    pub second: Vec<f32>,
}

/// A share of a layer's power that is only how its numbers were rounded to f32.
pub(super) const ROUNDING: f64 = 1e-12;

/// A variance, as a share of the inputs' power, that is only how their second moment was summed up in f32: each entry is rounded at every one of eight batches
/// and in the sum over a batch's rows, by 2⁻²⁴ of itself, so by sixteen times that in all.
const ROUNDED_MOMENT: f64 = 16.0 / (1 << 24) as f64;

/// The leading principal components of a layer's input over the rows of some batches that count.
#[derive(Clone, Debug)]
pub struct Components {
    /// Rows.
    pub rows: usize,
    /// The sum of the variances of all the input's numbers.
    pub variance: f64,
    /// E\[‖x‖²\], about zero.
    pub power: f64,
    /// The variances along the directions, the largest first.
    pub values: Vec<f64>,
    /// The directions, (k, I), rows of norm 1; zero where there is no variance.
    pub directions: Mat<f64>,
}

/// A code of the labels, the tokens that are to be predicted: R numbers for every row that counts, S, with mean zero.
#[derive(Clone, Debug)]
pub struct Code {
    /// E\[S Sᵀ\], (R, R).
    pub own: Mat<f64>,
    /// E\[S xᵀ\], (R, I), with the layer's input x.
    pub cross: Mat<f64>,
}

/// A layer with what is known of it.
pub struct KnownLayer<'a> {
    /// The layer.
    pub layer: Layer<'a>,
    /// Its inputs; modules that read the same value share them.
    pub inputs: &'a InputMoments,
    /// How they go with the labels, where the scheme asks for it.
    pub code: Option<&'a Code>,
    /// Its weight W, (O, I).
    pub weight: &'a dyn Fn() -> Result<Mat<f64>, StartError>,
}

/// A layer with the principal components of its inputs.
pub struct SeenLayer<'a> {
    /// The layer.
    pub layer: Layer<'a>,
    /// Its inputs; modules that read the same value share them.
    pub inputs: &'a Components,
}

impl InputMoments {
    /// E\[x xᵀ\], (I, I).
    pub fn second(&self) -> Mat<f64> {
        from_rows(&self.second, self.mean.len(), self.mean.len())
    }

    /// The covariance E\[(x − mean)(x − mean)ᵀ\], (I, I).
    pub(super) fn covariance(&self) -> Mat<f64> {
        let (second, mean) = (self.second(), &self.mean);
        Mat::from_fn(mean.len(), mean.len(), |i, j| second[(i, j)] - mean[i] * mean[j])
    }

    /// The second moment for products.
    fn rows(&self) -> Rows<'_> {
        Rows::new(&self.second, self.mean.len(), self.mean.len())
    }
}

impl KnownLayer<'_> {
    /// The leading `count` eigenpairs of the second moment of the layer's inputs.
    pub(super) fn leading(&self, count: usize) -> Result<Eigen, StartError> {
        let stream = Stream::new(0, &format!("{}.directions", self.layer.name));
        leading_eigen(&self.inputs.rows(), count, &stream).map_err(self.layer.undecomposed("inputs"))
    }

    /// The sum of the variances of the layer's inputs, which must not be rounding: what is left by subtracting equal numbers.
    pub(super) fn variance(&self, scheme: &'static str) -> Result<f64, StartError> {
        let InputMoments { mean, second, .. } = self.inputs;
        let power: f64 = second.iter().step_by(mean.len() + 1).map(|x| f64::from(*x)).sum();
        let variance = power - mean.iter().map(|x| x * x).sum::<f64>();
        if variance > 1e-6 * power {
            return Ok(variance);
        }
        Err(self.layer.no_variance(scheme))
    }

    /// Whether the inputs vary in as many directions as the layer asks for, of the variances along some, the largest first, which are all there are or as many
    /// as are asked for. What is rounding beside the inputs' power is none: rows that repeat one another count, but add no direction.
    pub(super) fn check_directions(&self, scheme: &'static str, variances: &[f64]) -> Result<(), StartError> {
        let second = &self.inputs.second;
        let power: f64 = second.iter().step_by(self.inputs.mean.len() + 1).map(|x| f64::from(*x)).sum();
        let found = variances.iter().filter(|variance| **variance > ROUNDED_MOMENT * power).count();
        self.layer.check_directions(scheme, "inputs", found, self.layer.rank.min(self.layer.inputs))
    }

    /// Whether the rows can tell `directions` directions apart.
    pub(super) fn check_rows(&self, scheme: &'static str, directions: usize) -> Result<(), StartError> {
        self.layer.check_rows(scheme, self.inputs.rows, directions)
    }
}

impl Layer<'_> {
    /// Whether so many rows can tell `directions` directions apart.
    pub(super) fn check_rows(&self, scheme: &'static str, rows: usize, directions: usize) -> Result<(), StartError> {
        if rows < directions {
            return Err(StartError::FewRows { scheme, module: self.name.to_owned(), found: rows, needed: directions });
        }
        Ok(())
    }

    /// Whether what is looked at has as many directions as are needed.
    pub(super) fn check_directions(
        &self,
        scheme: &'static str,
        what: &'static str,
        found: usize,
        needed: usize,
    ) -> Result<(), StartError> {
        if found < needed {
            return Err(StartError::FewDirections { scheme, what, module: self.name.to_owned(), found, needed });
        }
        Ok(())
    }

    /// The error of inputs that are all alike.
    pub(super) fn no_variance(&self, scheme: &'static str) -> StartError {
        StartError::NoVariance { scheme, module: self.name.to_owned() }
    }
}

/// Gives each layer the number of its shares that are among the `budget` largest of all layers; of equal shares the earlier layer's come first, and one that
/// is zero, or rounding, is none.
///
/// The rule of EVA (Paischer et al. 2024, arXiv 2410.07170, section 3): with shares of explained variance, the ranks explain the most that so many
/// directions can.
pub(super) fn distribute(shares: &[Vec<f64>], budget: usize) -> Vec<usize> {
    let mut all: Vec<(f64, usize)> =
        shares.iter().enumerate().flat_map(|(layer, shares)| shares.iter().map(move |share| (*share, layer))).collect();
    all.retain(|(share, _)| *share > ROUNDING);
    all.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut ranks = vec![0; shares.len()];
    all.iter().take(budget).for_each(|(_, layer)| ranks[*layer] += 1);
    ranks
}

/// Whether a gradient says anything: its largest singular value.
pub(super) fn strength(scheme: &'static str, layer: &Layer<'_>, gradient: &Svd) -> Result<f64, StartError> {
    let strength = gradient.s.first().copied().unwrap_or(0.0);
    if strength > 0.0 {
        return Ok(strength);
    }
    Err(StartError::NoGradient { scheme, module: layer.name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_go_where_the_shares_are() {
        let shares = [vec![0.9, 0.05, 0.01], vec![0.3, 0.3, 0.2], vec![0.01, 0.01, 0.01]];
        assert_eq!(distribute(&shares, 4), [1, 3, 0]);
        assert_eq!(distribute(&shares, 5), [2, 3, 0]);
        assert_eq!(distribute(&shares, 9), [3, 3, 3]);
        assert_eq!(distribute(&[vec![0.5, 0.5], vec![0.5, 0.5]], 2), [2, 0]);
        assert_eq!(distribute(&[vec![0.5, 0.0], vec![1e-15, 0.0]], 3), [1, 0]);
    }
}
