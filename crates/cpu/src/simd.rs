//! Vectorisation for the processor's widest instruction set, without intrinsics.

/// Runs `kernel`, compiled for the widest instruction set of this processor, so that plain loops in it are vectorised.
///
/// The loops must be inlined into the closure: write them in the closure itself or in `#[inline(always)]` functions.
/// No fused multiply-add is ever formed, so the result has the same bits on every processor.
#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
pub(crate) fn vectorize<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}

/// Runs `kernel`; in wasm the instruction set is fixed when the module is compiled.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
pub(crate) fn vectorize<R>(kernel: impl FnOnce() -> R) -> R {
    kernel()
}
