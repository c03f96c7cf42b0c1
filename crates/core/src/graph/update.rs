//! Updates that follow a complete gradient: the finite test, clipping, preconditioning and the optimiser's step.

/// The optimiser and its settings, which all runs of a cohort share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), as PyTorch computes it.
    AdamW {
        /// Decay rate β₁ of the first moment.
        beta1: f64,
        /// Decay rate β₂ of the second moment.
        beta2: f64,
        /// ε, added to √v̂.
        epsilon: f64,
    },
    /// Stochastic gradient descent with momentum, as PyTorch computes it.
    Sgd {
        /// Factor of the old velocity.
        momentum: f64,
    },
    /// A step of ±learning rate for each element, the idealised Adam of the paper's theory.
    SignSgd,
}

/// Preconditioner of an adapter's gradients: each factor's gradient is multiplied by the inverse of the other factor's Gram matrix before the optimiser uses it,
/// so that a step changes B A equally whether A is large and B small or the reverse. Zhang and Pilanci 2024, Riemannian Preconditioned LoRA, arXiv 2402.02347:
/// dA ← (BᵀB + ε I)⁻¹ dA, dB ← dB (AAᵀ + ε I)⁻¹, both with the factors before the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditioner {
    /// ε = 10⁻², as in PEFT.
    Riemannian,
    /// ε = 10⁻⁶, and each inverse is divided by its Frobenius norm: NoRA+ (Li et al. 2024, arXiv 2410.18965, as in its code). If a factor is zero, the other's
    /// gradient is left unchanged, as the source does at its first step. Unlike the source, directions in which a factor is exactly zero do not count in the
    /// norm, so that padding changes nothing.
    NoraPlus,
}

impl Optimizer {
    /// Number of moments per trained element.
    pub fn moments(self) -> usize {
        match self {
            Optimizer::AdamW { .. } => 2,
            Optimizer::Sgd { .. } => 1,
            Optimizer::SignSgd => 0,
        }
    }
}

impl Preconditioner {
    /// The ε of the inverse.
    pub fn epsilon(self) -> f64 {
        match self {
            Preconditioner::Riemannian => 1e-2,
            Preconditioner::NoraPlus => 1e-6,
        }
    }

    /// True if an inverse is divided by its Frobenius norm.
    pub fn is_unit(self) -> bool {
        self == Preconditioner::NoraPlus
    }
}

/// One dispatch over the flat buffers of all runs, after the gradients are complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Finds the first non-finite gradient of each run; from then on the run is *diverged* and every update skips it.
    Finite,
    /// Scales each run's gradient down to its largest allowed global norm.
    Clip,
    /// Preconditions the gradients of each run's adapters; gradients of other trained tensors are unchanged.
    Precondition(Preconditioner),
    /// The optimiser's step of each run's trained tensors, with the run's own learning rate.
    Step(Optimizer),
}

impl Update {
    /// The name of this update in shaders, host, CPU kernels and tests.
    pub fn name(&self) -> &'static str {
        match self {
            Update::Finite => "finite",
            Update::Clip => "clip",
            Update::Precondition(_) => "precondition",
            Update::Step(Optimizer::AdamW { .. }) => "adamw",
            Update::Step(Optimizer::Sgd { .. }) => "sgd",
            Update::Step(Optimizer::SignSgd) => "sign_sgd",
        }
    }
}
