//! The residual base: a start that is subtracted from the weights themselves instead of by a frozen pair.
//!
//! A frozen pair makes y = x Wᵀ + s (x Aᵀ) Bᵀ − s (x A₀ᵀ) B₀ᵀ equal the base at step 0. With W' = W − s B₀ A₀ the same function is y = x W'ᵀ + s (x Aᵀ) Bᵀ: a plain
//! adapter of the same rank on another base. PEFT trains PiSSA, OLoRA, CorDA and LoRA-GA in this way.
//!
//! W' is computed in f64 and stored in f32, whatever type W has: the start changes W by its own size, and 16 bits would round that change to their last place.

use loralab_linalg::{Mat, Scale, from_rows, to_rows};

use super::AdapterStart;
use crate::{
    graph::memory::{Data, Tensor},
    lora::{init::StartError, peft::Module},
    models::Base,
};

/// The suffix of the name of a base that a start was subtracted from.
const RESIDUAL: &str = ", less the starting adapter";

/// The same start as a plain adapter, together with its base. A start without frozen pairs is returned unchanged.
///
/// # Errors
/// [`StartError::NotFinite`] if a weight leaves the range of f32.
pub fn residual(start: AdapterStart, base: &Base, scheme: &'static str) -> Result<AdapterStart, StartError> {
    let AdapterStart { mut adapter, mut layers, tokens, .. } = start;
    if adapter.modules.iter().all(|module| module.frozen.is_none()) {
        return Ok(AdapterStart { adapter, layers, tokens, ..start });
    }
    let scale = adapter.scale();
    let mut tensors = base.tensors.to_vec();
    for (module, layer) in adapter.modules.iter_mut().zip(&mut layers) {
        let scale = scale * module.factor;
        let weight = format!("{}.weight", module.name);
        let place = tensors.iter_mut().find(|tensor| tensor.name == weight);
        let (Some(tensor), Some((a, b))) = (place, module.frozen.take()) else { continue };
        if [&a, &b].into_iter().any(|factor| factor.iter().all(|x| *x == 0.0)) {
            continue;
        }
        let whole = from_rows(&tensor.data.to_f32(), module.outputs, module.inputs);
        let left = to_rows((&whole - Scale(scale) * product(module, &a, &b)).as_ref());
        if !left.iter().all(|x| x.is_finite()) {
            return Err(StartError::NotFinite { scheme, module: module.name.clone() });
        }
        let begins =
            from_rows(&left, module.outputs, module.inputs) + Scale(scale) * product(module, &module.a, &module.b);
        layer.moved = super::start::share((begins - &whole).norm_l2(), whole.norm_l2());
        *tensor = Tensor { data: Data::F32(left.into()), ..tensor.clone() };
    }
    adapter.base = format!("{}{RESIDUAL}", adapter.base);
    // The new base is a file of its own, whose weights are not rounded again.
    adapter.quantised_base = None;
    let base = Base { model: base.model.clone(), tensors: tensors.into() };
    Ok(AdapterStart { adapter, layers, tokens, base: Some(base) })
}

/// The name of the original base, if `name` is that of a residual base.
pub fn residual_of(name: &str) -> Option<&str> {
    name.strip_suffix(RESIDUAL)
}

/// The product B A.
fn product(module: &Module, a: &[f32], b: &[f32]) -> Mat<f64> {
    let rank = a.len() / module.inputs.max(1);
    from_rows(b, module.outputs, rank) * from_rows(a, rank, module.inputs)
}
