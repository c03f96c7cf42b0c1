//! What follows a complete gradient: the finite test, clipping, preconditioning and the optimiser's step.

/// How the trained buffer moves along its gradient; settings shared by a cohort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), as PyTorch computes it.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to √v̂.
        epsilon: f64,
    },
    /// Stochastic gradient descent with momentum, as PyTorch computes it.
    Sgd {
        /// Share of the old velocity that is kept.
        momentum: f64,
    },
    /// A step of ±learning rate for each element, the idealised Adam of the paper's theory.
    SignSgd,
}

/// What the gradients of both factors of an adapter are multiplied by before the optimiser sees them: the inverse of the other factor's own product, so that a
/// step changes B A by the same whether A is large and B small or the reverse. Zhang and Pilanci 2024, Riemannian Preconditioned LoRA, arXiv 2402.02347:
/// dA ← (BᵀB + ε I)⁻¹ dA, dB ← dB (AAᵀ + ε I)⁻¹, both of the factors before the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditioner {
    /// With ε = 10⁻², as PEFT has it.
    Riemannian,
    /// With ε = 10⁻⁶ and each inverse over its Frobenius norm: NoRA+ (Li et al. 2024, arXiv 2410.18965, as in its code). Where a factor is zero the other's
    /// gradient is left as it is, as the source does at its first step; directions in which a factor is exactly zero do not count in the norm, so that
    /// padding changes nothing, which is ours.
    NoraPlus,
}

impl Optimizer {
    /// Moments that it keeps of every trained number.
    pub fn moments(self) -> usize {
        match self {
            Optimizer::AdamW { .. } => 2,
            Optimizer::Sgd { .. } => 1,
            Optimizer::SignSgd => 0,
        }
    }
}

impl Preconditioner {
    /// ε.
    pub fn epsilon(self) -> f64 {
        match self {
            Preconditioner::Riemannian => 1e-2,
            Preconditioner::NoraPlus => 1e-6,
        }
    }

    /// Whether an inverse is divided by its norm.
    pub fn is_unit(self) -> bool {
        self == Preconditioner::NoraPlus
    }
}

/// One dispatch over the flat buffers of all runs, after the gradients are complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Finds the first non-finite gradient of each run; from then on the run is *diverged* and its row of every update is skipped.
    Finite,
    /// Scales each run's gradient to its largest allowed global norm.
    Clip,
    /// Multiplies the gradients of each run's adapters; what else is trained keeps its own.
    Precondition(Preconditioner),
    /// Moves each run's trained buffer by its own learning rate.
    Step(Optimizer),
}

impl Update {
    /// The word for this op in shaders, host, CPU kernels and tests.
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
