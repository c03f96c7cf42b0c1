//! What a scheme is, what it is given, and what it gives.

use std::borrow::Cow;

use loralab_linalg::{Law, Mat, MatRef, NoConvergence, Svd, from_rows, to_rows};

use super::{Choice, Factor, KnownLayer, Quantiser, SeenLayer};

/// An initialisation scheme.
#[derive(Debug)]
pub struct Scheme {
    /// The name a person types, such as `init-a`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The paper it comes from, with the place in it.
    pub source: &'static str,
    /// How a layer starts, and what that takes.
    pub rule: Rule,
    /// Where the first output lies.
    pub begins: Begins,
    /// Whether its starts have a second, frozen pair.
    pub frozen_pair: bool,
    /// What its runs train.
    pub trains: Trains,
    /// Whether the rank has to be even.
    pub halves_rank: bool,
    /// Whether the scale has to be above 0.
    pub divides_by_scale: bool,
    /// Numbers that may be chosen.
    pub options: &'static [Choice],
}

/// How a layer starts under a seed, from what the scheme has to know.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// From random numbers alone, each factor by a law of its own, A before B; a frozen pair is the same numbers.
    Fill(fn(&Layer<'_>) -> [Law; 2]),
    /// From random numbers alone, in some other way.
    Draw(fn(&Layer<'_>, seed: u64) -> Result<Start, StartError>),
    /// From the layer's frozen weight W, (O, I), row after row.
    Weights(fn(&Layer<'_>, weight: &[f32], seed: u64) -> Result<Start, StartError>),
    /// From one product Y W of a few rows Y, (k, O), with the layer's frozen weight W, (O, I), that a device makes.
    Product {
        /// Y, of W row after row and the seed.
        rows: fn(&Layer<'_>, weight: &[f32], seed: u64) -> Mat<f64>,
        /// The start of a layer, of Y and Y W, (k, I).
        start: fn(&Layer<'_>, rows: &Mat<f64>, product: &Mat<f64>) -> Start,
    },
    /// From the leading singular triplets of the layer's frozen weight W, (O, I), sought in products with it that a device makes.
    Triplets {
        /// The start of a layer.
        start: fn(&Layer<'_>, weight: &Svd) -> Result<Start, StartError>,
        /// How closely the triplets are sought.
        sketch: Sketch,
    },
    /// From the layer's weight W, (O, I), row after row, and what is left of it in a base of few bits, on which the runs train.
    Quantised(Quantiser, fn(&Layer<'_>, weight: &[f32], quantiser: Quantiser) -> Result<Start, StartError>),
    /// From the moments of all layers' inputs, and their weights.
    Activations {
        /// The starts of all layers. A layer's may have another rank than it asks for.
        start: fn(&[KnownLayer<'_>]) -> Result<Vec<Start>, StartError>,
        /// The largest rank that a layer may get, in multiples of the one that it asks for.
        spread: usize,
        /// Whether the layers are told of the labels' code, too.
        labels: bool,
    },
    /// From the leading principal components of all layers' inputs; batches are read until the start settles.
    Components {
        /// The starts of all layers, each with as many components as its largest rank. A layer's may have another rank than it asks for.
        start: fn(&[SeenLayer<'_>]) -> Result<Vec<Start>, StartError>,
        /// The largest rank that a layer may get, in multiples of the one that it asks for.
        spread: usize,
        /// The least cosine between a row of A and the same row before the last batch of a start that has settled.
        settle: f64,
    },
    /// From the leading singular triplets of the layer's mean gradient dL/dW, (O, I).
    Gradients {
        /// The start of a layer.
        start: fn(&Layer<'_>, gradient: &Svd) -> Result<Start, StartError>,
        /// How closely the triplets are sought.
        sketch: Sketch,
    },
    /// From the product B A, (O, I), of an adapter of higher rank that began by Init\[A\] and was trained for a while.
    Preheat {
        /// The start of a layer.
        start: fn(&Layer<'_>, product: &Svd) -> Result<Start, StartError>,
        /// The rank of that adapter, in multiples of the layer's.
        ranks: usize,
        /// Its steps, as a share of the run's.
        share: f64,
        /// Whether they are taken off the run's.
        counted: bool,
    },
}

impl Rule {
    /// Steps of the training that comes before one of `steps`.
    pub fn steps_before(&self, steps: usize) -> usize {
        match self {
            Rule::Preheat { share, .. } => ((steps as f64 * share).ceil() as usize).max(1),
            _ => 0,
        }
    }

    /// Steps that are left of `steps` for the run itself.
    pub fn steps_left(&self, steps: usize) -> usize {
        match self {
            Rule::Preheat { counted: true, .. } => steps.saturating_sub(self.steps_before(steps)),
            _ => steps,
        }
    }
}

/// How many columns a randomised decomposition sketches, and how often it goes over the matrix again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// Columns, in multiples of the rank.
    pub ranks: usize,
    /// Power iterations.
    pub iterations: usize,
}

impl Rule {
    /// What the rule has to know, in words.
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

    /// The largest rank that a layer may get, in multiples of the one that it asks for.
    pub fn spread(&self) -> usize {
        match self {
            Rule::Activations { spread, .. } | Rule::Components { spread, .. } => *spread,
            _ => 1,
        }
    }

    /// Whether starts are made from data.
    pub fn reads_data(&self) -> bool {
        matches!(
            self,
            Rule::Activations { .. } | Rule::Components { .. } | Rule::Gradients { .. } | Rule::Preheat { .. }
        )
    }

    /// How the base is stored that the runs train on, where that is not as it came.
    pub fn quantiser(&self) -> Option<Quantiser> {
        if let Rule::Quantised(quantiser, _) = self { Some(*quantiser) } else { None }
    }
}

/// Where the first output lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// At the base model's, to the last bit.
    AtBase,
    /// At the base model's but for rounding: the product is zero by algebra only.
    NearBase,
    /// Elsewhere, by definition.
    Elsewhere,
}

/// Which factors a scheme's runs train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trains {
    /// Both.
    Both,
    /// A alone; B stays at its start.
    AOnly,
}

/// A linear layer y = x Wᵀ that an adapter is put on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer<'a> {
    /// The module's name in the model, such as `model.layers.0.self_attn.q_proj`.
    pub name: &'a str,
    /// Width of x, I.
    pub inputs: usize,
    /// Width of y, O.
    pub outputs: usize,
    /// Rank of the adapter, R.
    pub rank: usize,
    /// s in y = x Wᵀ + s·(x Aᵀ) Bᵀ.
    pub scale: f32,
    /// Numbers that were chosen for the scheme, by the names of its options.
    pub chosen: &'a [(&'static str, f64)],
}

/// An adapter before its first step.
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
    /// with B·A ≠ 0 that nevertheless begin at the base model.
    pub frozen: Option<(Vec<f32>, Vec<f32>)>,
}

/// Why a layer cannot start by a scheme.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StartError {
    /// A rank that the scheme cannot halve.
    #[error("the scheme {scheme} splits the rank in two halves, but the rank is {rank}; choose an even one")]
    OddRank {
        /// The scheme.
        scheme: &'static str,
        /// R.
        rank: usize,
    },
    /// A scale that the scheme cannot divide by.
    #[error(
        "the scheme {scheme} divides by the scale of the adapter, which is {scale}; it needs a scale above 0, so choose a positive alpha"
    )]
    Scale {
        /// The scheme.
        scheme: &'static str,
        /// s.
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
    /// The scheme asks a device, and none is at hand.
    #[error(
        "the scheme {scheme} starts from products with the weights, so it needs a device that makes them; start it in a sweep or by `loralab init`"
    )]
    NoDevice {
        /// The scheme.
        scheme: &'static str,
    },
    /// The scheme reads data, and none are at hand.
    #[error(
        "the scheme {scheme} starts from {needs}, so it needs data to see; start it in a sweep or by `loralab init`"
    )]
    NoData {
        /// The scheme.
        scheme: &'static str,
        /// What it reads.
        needs: &'static str,
    },
    /// Fewer rows than directions.
    #[error(
        "the scheme {scheme} looks for {needed} directions in the inputs of `{module}`, but the data have only {found} rows that count; give it more data, or choose a lower rank"
    )]
    FewRows {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
        /// Rows.
        found: usize,
        /// Directions.
        needed: usize,
    },
    /// Fewer directions than the adapter asks for.
    #[error(
        "the scheme {scheme} looks for {needed} directions in the {what} of `{module}`, but these data show only {found}; give it data that differ more, or choose a lower rank"
    )]
    FewDirections {
        /// The scheme.
        scheme: &'static str,
        /// What has directions.
        what: &'static str,
        /// The layer.
        module: String,
        /// Directions that are there.
        found: usize,
        /// Directions that are needed.
        needed: usize,
    },
    /// InputMoments that do not vary.
    #[error(
        "the scheme {scheme} starts from how the inputs of `{module}` vary, but all are alike; give it other data, or choose a scheme that needs nothing, such as init-a"
    )]
    NoVariance {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
    /// Labels that do not vary.
    #[error(
        "the scheme {scheme} starts from how the inputs of `{module}` go with the tokens that are to be predicted, but these data have only one such token; give it other data, or choose a scheme that needs nothing, such as init-a"
    )]
    OneLabel {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
    /// A gradient of zero.
    #[error(
        "the scheme {scheme} starts from the gradient of `{module}`, but it is zero on these data; choose a scheme that needs nothing, such as init-a"
    )]
    NoGradient {
        /// The scheme.
        scheme: &'static str,
        /// The layer.
        module: String,
    },
    /// Something cannot be decomposed.
    #[error("the {what} of `{module}` cannot start an adapter: {reason}")]
    Undecomposed {
        /// What.
        what: &'static str,
        /// The layer.
        module: String,
        /// Why.
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
    /// Whether the scheme can start adapters of this rank and scale at all.
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

    /// The start of one layer, whose weight `weight`, (O, I) row after row, is asked for if the scheme has to know it.
    ///
    /// # Errors
    /// If the layer has no weight but needs one, or is not one that the scheme can start; also if the scheme asks a device, with or without data.
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

    /// The error of a layer without a weight.
    pub(crate) fn no_weight(&self, layer: &Layer<'_>) -> StartError {
        StartError::NoWeight { scheme: self.name, module: layer.name.to_owned() }
    }

    /// The start, if it holds finite numbers.
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
    /// Its weight W, (O, I), from what lies row after row.
    pub(super) fn matrix(&self, weight: &[f32]) -> Mat<f64> {
        from_rows(weight, self.outputs, self.inputs)
    }

    /// The error of something that can't be decomposed.
    pub(crate) fn undecomposed(&self, what: &'static str) -> impl Fn(NoConvergence) -> StartError {
        let module = self.name.to_owned();
        move |reason| StartError::Undecomposed { what, module: module.clone(), reason }
    }

    /// A of the rows of `a` and B of the columns of `b`, rounded, with zeros up to the rank.
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
    /// The rank of the pair over a layer of so many inputs.
    pub fn rank(&self, inputs: usize) -> usize {
        self.a.len() / inputs.max(1)
    }

    /// The same start with its own product subtracted, so that it begins at the base.
    #[must_use]
    pub(super) fn subtracted(self) -> Start {
        Start { frozen: Some((self.a.clone(), self.b.clone())), ..self }
    }
}
