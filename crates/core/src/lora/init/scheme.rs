//! The types of a scheme, its inputs and its results.

use std::borrow::Cow;

use loralab_linalg::{Law, Mat, MatRef, NoConvergence, Svd, from_rows, to_rows};

use super::{AnyChoice, Factor, KnownLayer, SeenLayer, Value};
use crate::graph::memory::Quantiser;

/// An initialisation scheme.
#[derive(Debug)]
pub struct Scheme {
    /// The scheme's name on the command line and in files, such as `init-a`.
    pub name: &'static str,
    /// A one-line description.
    pub about: &'static str,
    /// The paper it comes from, with the section or equation.
    pub source: &'static str,
    /// The function that starts a layer, and the inputs it takes.
    pub rule: Rule,
    /// The first output, relative to the base model's.
    pub begins: Begins,
    /// True if its starts have a second, frozen pair.
    pub frozen_pair: bool,
    /// The factors that its runs train.
    pub trains: Trains,
    /// True if the rank must be even.
    pub halves_rank: bool,
    /// True if the scale must be above 0.
    pub divides_by_scale: bool,
    /// The options that the user may set.
    pub options: &'static [AnyChoice],
}

/// The function that starts a layer, by the inputs that it takes.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// From random numbers alone, each factor from a distribution of its own, A before B; a frozen pair has the same numbers.
    Fill(fn(&Layer<'_>) -> [Law; 2]),
    /// From random numbers alone, by any function of layer and seed.
    Draw(fn(&Layer<'_>, seed: u64) -> Result<Start, StartError>),
    /// From the layer's frozen weight W, (O, I), in row-major order.
    Weights(fn(&Layer<'_>, weight: &[f32], seed: u64) -> Result<Start, StartError>),
    /// From one product Y W of a few rows Y, (k, O), with the layer's frozen weight W, (O, I), computed on a device.
    Product {
        /// Y, from W in row-major order and the seed.
        rows: fn(&Layer<'_>, weight: &[f32], seed: u64) -> Mat<f64>,
        /// The start of a layer from Y and Y W, (k, I).
        start: fn(&Layer<'_>, rows: &Mat<f64>, product: &Mat<f64>) -> Start,
    },
    /// From the leading singular triplets of the layer's frozen weight W, (O, I), found by products with it on a device.
    Triplets {
        /// The start of a layer.
        start: fn(&Layer<'_>, weight: &Svd) -> Result<Start, StartError>,
        /// The precision of the triplets.
        sketch: Sketch,
    },
    /// From the layer's weight W, (O, I), in row-major order, and its quantised values, on which the runs train.
    Quantised(Quantiser, fn(&Layer<'_>, weight: &[f32], quantiser: Quantiser) -> Result<Start, StartError>),
    /// From the moments of all layers' inputs, and their weights.
    Activations {
        /// The starts of all layers. A layer's start may have another rank than it asks for.
        start: fn(&[KnownLayer<'_>]) -> Result<Vec<Start>, StartError>,
        /// The largest rank that a layer may get, as a multiple of the rank it asks for.
        spread: usize,
        /// True if the layers also get the code of the labels.
        labels: bool,
    },
    /// From the leading principal components of all layers' inputs; batches are read until the start settles.
    Components {
        /// The starts of all layers, each from as many components as its largest rank. A layer's start may have another rank than it asks for.
        start: fn(&[SeenLayer<'_>]) -> Result<Vec<Start>, StartError>,
        /// The largest rank that a layer may get, as a multiple of the rank it asks for.
        spread: usize,
        /// A start has settled if each row of A has at least this cosine with the same row before the last batch.
        settle: f64,
    },
    /// From the leading singular triplets of the layer's mean gradient dL/dW, (O, I).
    Gradients {
        /// The start of a layer.
        start: fn(&Layer<'_>, gradient: &Svd) -> Result<Start, StartError>,
        /// The precision of the triplets.
        sketch: Sketch,
    },
    /// From the product B A, (O, I), of an adapter of higher rank that started by Init\[A\] and was trained for some steps.
    Preheat {
        /// The start of a layer.
        start: fn(&Layer<'_>, product: &Svd) -> Result<Start, StartError>,
        /// The rank of that adapter, as a multiple of the layer's.
        ranks: usize,
        /// Its steps, as a share of the run's.
        share: f64,
        /// True if these steps are subtracted from the run's.
        counted: bool,
    },
}

impl Rule {
    /// The steps of the preheat of a training of `steps` steps.
    pub fn steps_before(&self, steps: usize) -> usize {
        match self {
            Rule::Preheat { share, .. } => ((steps as f64 * share).ceil() as usize).max(1),
            _ => 0,
        }
    }

    /// The steps of `steps` that remain for the run itself.
    pub fn steps_left(&self, steps: usize) -> usize {
        match self {
            Rule::Preheat { counted: true, .. } => steps.saturating_sub(self.steps_before(steps)),
            _ => steps,
        }
    }
}

/// The precision of a randomised decomposition: columns of the sketch, and further passes over the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// Columns, as a multiple of the rank.
    pub ranks: usize,
    /// Power iterations.
    pub iterations: usize,
}

impl Rule {
    /// A description of the data that the rule needs.
    pub fn needs(&self) -> &'static str {
        match self {
            Rule::Fill(_) | Rule::Draw(_) => "nothing",
            Rule::Weights(_) | Rule::Product { .. } | Rule::Triplets { .. } | Rule::Quantised(..) => "weights",
            Rule::Activations { labels: true, .. } => "activations and labels",
            Rule::Activations { .. } | Rule::Components { .. } => "activations",
            Rule::Gradients { .. } => "gradients",
            Rule::Preheat { .. } => "a short training",
        }
    }

    /// The largest rank that a layer may get, as a multiple of the rank it asks for.
    pub fn spread(&self) -> usize {
        match self {
            Rule::Activations { spread, .. } | Rule::Components { spread, .. } => *spread,
            _ => 1,
        }
    }

    /// True if starts are made from data.
    pub fn reads_data(&self) -> bool {
        matches!(
            self,
            Rule::Activations { .. } | Rule::Components { .. } | Rule::Gradients { .. } | Rule::Preheat { .. }
        )
    }

    /// The quantiser of the base that the runs train on; none if the base is used as stored.
    pub fn quantiser(&self) -> Option<Quantiser> {
        if let Rule::Quantised(quantiser, _) = self { Some(*quantiser) } else { None }
    }
}

/// The first output, relative to the base model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Equal to the base model's, to the last bit.
    AtBase,
    /// Equal to the base model's up to rounding: the product is zero by algebra only.
    NearBase,
    /// Different from the base model's by definition.
    Elsewhere,
}

/// The factors that a scheme's runs train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trains {
    /// Both factors.
    Both,
    /// A alone; B stays at its start.
    AOnly,
}

/// A linear layer y = x Wᵀ that carries an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer<'a> {
    /// The module's name in the model, such as `model.layers.0.self_attn.q_proj`.
    pub name: &'a str,
    /// The width I of x.
    pub inputs: usize,
    /// The width O of y.
    pub outputs: usize,
    /// The rank R of the adapter.
    pub rank: usize,
    /// s in y = x Wᵀ + s·(x Aᵀ) Bᵀ.
    pub scale: f32,
    /// Option values set for the scheme, by option name.
    pub chosen: &'a [(&'static str, Value)],
}

/// An adapter of one layer before its first step.
///
/// A scheme that finds fewer than R directions, because the layer is narrower than that, fills the rest with zeros in both factors. Neither
/// then ever has a gradient, so they stay exactly zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// A, (R, I).
    pub a: Vec<f32>,
    /// B, (O, R).
    pub b: Vec<f32>,
    /// A second pair (A₀, B₀) of the same shapes that is not trained and whose product is subtracted, for schemes
    /// with B·A ≠ 0 that nevertheless start at the base model.
    pub frozen: Option<(Vec<f32>, Vec<f32>)>,
}

/// The reasons that a scheme can't start a layer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StartError {
    /// The rank is odd, and the scheme halves it.
    #[error("the scheme {scheme} splits the rank in two halves, but the rank is {rank}; choose an even one")]
    OddRank {
        /// The scheme.
        scheme: &'static str,
        /// The rank R.
        rank: usize,
    },
    /// The scale is not above 0, and the scheme divides by it.
    #[error(
        "the scheme {scheme} divides by the scale of the adapter, which is {scale}; it needs a scale above 0, so choose a positive alpha"
    )]
    Scale {
        /// The scheme.
        scheme: &'static str,
        /// The scale s.
        scale: f32,
    },
    /// The layer has no frozen weight.
    #[error(
        "the scheme {scheme} starts from the weight of `{module}`, but the base has none there; choose a scheme that needs nothing, such as init-a"
    )]
    NoWeight {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
    /// The scheme needs a device, and none is available.
    #[error(
        "the scheme {scheme} starts from products with the weights, so it needs a device that makes them; start it in a sweep or by `loralab init`"
    )]
    NoDevice {
        /// The scheme.
        scheme: &'static str,
    },
    /// The scheme continues an adapter, and none is given.
    #[error("the scheme {scheme} goes on from an adapter, so it needs one: `loralab train --adapter FOLDER`")]
    NoAdapter {
        /// The scheme.
        scheme: &'static str,
    },
    /// The scheme reads data, and none are available.
    #[error(
        "the scheme {scheme} starts from {needs}, so it needs data to see; start it in a sweep or by `loralab init`"
    )]
    NoData {
        /// The scheme.
        scheme: &'static str,
        /// The data that it reads.
        needs: &'static str,
    },
    /// There are fewer rows than directions.
    #[error(
        "the scheme {scheme} looks for {needed} directions in the inputs of `{module}`, but the data have only {found} rows that count; give it more data, or choose a lower rank"
    )]
    FewRows {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
        /// The number of rows.
        found: usize,
        /// The number of directions.
        needed: usize,
    },
    /// There are fewer directions than the adapter asks for.
    #[error(
        "the scheme {scheme} looks for {needed} directions in the {what} of `{module}`, but these data show only {found}; give it data that differ more, or choose a lower rank"
    )]
    FewDirections {
        /// The scheme.
        scheme: &'static str,
        /// The matrix that has too few directions.
        what: &'static str,
        /// The layer.
        module: String,
        /// Directions found.
        found: usize,
        /// Directions needed.
        needed: usize,
    },
    /// The layer's inputs do not vary.
    #[error(
        "the scheme {scheme} starts from how the inputs of `{module}` vary, but all are alike; give it other data, or choose a scheme that needs nothing, such as init-a"
    )]
    NoVariance {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
    /// The labels do not vary.
    #[error(
        "the scheme {scheme} starts from how the inputs of `{module}` go with the tokens that are to be predicted, but these data have only one such token; give it other data, or choose a scheme that needs nothing, such as init-a"
    )]
    OneLabel {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
    /// The gradient is zero.
    #[error(
        "the scheme {scheme} starts from the gradient of `{module}`, but it is zero on these data; choose a scheme that needs nothing, such as init-a"
    )]
    NoGradient {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
    /// A matrix can't be decomposed.
    #[error("the {what} of `{module}` cannot start an adapter: {reason}")]
    Undecomposed {
        /// The matrix.
        what: &'static str,
        /// The layer.
        module: String,
        /// The reason.
        reason: NoConvergence,
    },
    /// A factor would hold infinity or NaN.
    #[error(
        "the scheme {scheme} gives `{module}` values beyond the range of 32-bit floats; choose a scale nearer to 1"
    )]
    NotFinite {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
}

impl Scheme {
    /// Checks that the scheme can start adapters of this rank and scale.
    ///
    /// # Errors
    /// [`StartError::OddRank`] or [`StartError::Scale`].
    pub fn check(&self, rank: usize, scale: f64) -> Result<(), StartError> {
        if self.halves_rank && !rank.is_multiple_of(2) {
            return Err(StartError::OddRank { scheme: self.name, rank });
        }
        let usable = scale as f32 > 0.0;
        if self.divides_by_scale && !usable {
            return Err(StartError::Scale { scheme: self.name, scale: scale as f32 });
        }
        Ok(())
    }

    /// The start of one layer. `weight` returns its weight, (O, I) in row-major order, and is called only if the scheme needs it.
    ///
    /// # Errors
    /// If the layer lacks a weight that the scheme needs, the scheme can't start this layer, or it needs a device, with or without data.
    pub fn start<'w>(
        &self,
        layer: &Layer<'_>,
        weight: impl FnOnce() -> Option<Cow<'w, [f32]>>,
        seed: u64,
    ) -> Result<Start, StartError> {
        self.check(layer.rank, f64::from(layer.scale))?;
        let missing = || self.no_weight(layer);
        let start = match self.rule {
            Rule::Fill(laws) => {
                let [of_a, of_b] = laws(layer);
                let (a, b) = (layer.drawn(Factor::A, seed, of_a), layer.drawn(Factor::B, seed, of_b));
                let start = Start { a, b, frozen: None };
                if self.frozen_pair { start.subtracted() } else { start }
            }
            Rule::Draw(start) => start(layer, seed)?,
            Rule::Weights(start) => start(layer, &weight().ok_or_else(missing)?, seed)?,
            Rule::Quantised(quantiser, start) => start(layer, &weight().ok_or_else(missing)?, quantiser)?,
            Rule::Product { .. } | Rule::Triplets { .. } => return Err(StartError::NoDevice { scheme: self.name }),
            Rule::Activations { .. } | Rule::Components { .. } | Rule::Gradients { .. } | Rule::Preheat { .. } => {
                return Err(StartError::NoData { scheme: self.name, needs: self.rule.needs() });
            }
        };
        self.finite(layer, start)
    }

    /// The error for a layer without a weight.
    pub(crate) fn no_weight(&self, layer: &Layer<'_>) -> StartError {
        StartError::NoWeight { scheme: self.name, module: layer.name.to_owned() }
    }

    /// Returns the start if all its values are finite.
    ///
    /// # Errors
    /// [`StartError::NotFinite`].
    pub fn finite(&self, layer: &Layer<'_>, start: Start) -> Result<Start, StartError> {
        if start.a.iter().chain(&start.b).all(|value| value.is_finite()) {
            Ok(start)
        } else {
            Err(StartError::NotFinite { scheme: self.name, module: layer.name.to_owned() })
        }
    }
}

impl Layer<'_> {
    /// Its weight W, (O, I), from values in row-major order.
    pub(super) fn matrix(&self, weight: &[f32]) -> Mat<f64> {
        from_rows(weight, self.outputs, self.inputs)
    }

    /// The error for a matrix that can't be decomposed.
    pub(crate) fn undecomposed(&self, what: &'static str) -> impl Fn(NoConvergence) -> StartError {
        let module = self.name.to_owned();
        move |reason| StartError::Undecomposed { what, module: module.clone(), reason }
    }

    /// A with the rows of `a` and B with the columns of `b`, rounded to f32, with zeros up to the rank.
    pub(super) fn padded(&self, a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Start {
        let mut start = Start { a: to_rows(a), b: vec![0.0; self.outputs * self.rank], frozen: None };
        start.a.resize(self.rank * self.inputs, 0.0);
        for (row, values) in start.b.chunks_exact_mut(self.rank.max(1)).enumerate() {
            (0..b.ncols()).for_each(|k| values[k] = b[(row, k)] as f32);
        }
        start
    }
}

impl Start {
    /// The rank of the pair over a layer with `inputs` inputs.
    pub fn rank(&self, inputs: usize) -> usize {
        self.a.len() / inputs.max(1)
    }

    /// The same start with its own product subtracted, so that it starts at the base.
    #[must_use]
    pub(super) fn subtracted(self) -> Start {
        Start { frozen: Some((self.a.clone(), self.b.clone())), ..self }
    }
}
