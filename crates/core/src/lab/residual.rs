//! The residual base: a start that is taken out of the weights themselves instead of by a frozen pair.
//!
//! A frozen pair makes y = x Wᵀ + s (x Aᵀ) Bᵀ − s (x A₀ᵀ) B₀ᵀ begin at the base. With W' = W − s B₀ A₀ the same function is y = x W'ᵀ + s (x Aᵀ) Bᵀ: a plain
//! adapter of the same rank on another base. That is how PEFT trains PiSSA, OLoRA, CorDA and LoRA-GA.
//!
//! W' is formed in f64 and kept in f32, whatever W is stored in: the start differs from W by its own size, which 16 bits would round to their last place.

use loralab_linalg::{Mat, Scale, from_rows, to_rows};

use super::Begun;
use crate::{
    graph::memory::{Data, Tensor},
    lora::{init::StartError, peft::Module},
    models::Base,
};

/// What the name of a base goes on with where a start was taken out of it.
const RESIDUAL: &str = ", less the starting adapter";

/// The same start as a plain adapter, with its base beside it. A start without frozen pairs stays as it is.
///
/// # Errors
/// [`StartError::NotFinite`] if a weight leaves the range of f32.
pub fn residual(begun: Begun, base: &Base, scheme: &'static str) -> Result<Begun, StartError> {
    let Begun { mut adapter, mut layers, tokens, .. } = begun;
    if adapter.modules.iter().all(|module| module.frozen.is_none()) {
        return Ok(Begun { adapter, layers, tokens, ..begun });
    }
    let scale = adapter.scale();
    let mut tensors = base.tensors.to_vec();
    for (module, layer) in adapter.modules.iter_mut().zip(&mut layers) {
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
        layer.moved = super::begin::share((begins - &whole).norm_l2(), whole.norm_l2());
        *tensor = Tensor { data: Data::F32(left), ..tensor.clone() };
    }
    adapter.base = format!("{}{RESIDUAL}", adapter.base);
    let base = Base { model: base.model.clone(), tensors: tensors.into() };
    Ok(Begun { adapter, layers, tokens, base: Some(base) })
}

/// The base that a start was taken out of to make the one of this name, if it was so made.
pub fn residual_of(name: &str) -> Option<&str> {
    name.strip_suffix(RESIDUAL)
}

/// B A.
fn product(module: &Module, a: &[f32], b: &[f32]) -> Mat<f64> {
    let rank = a.len() / module.inputs.max(1);
    from_rows(b, module.outputs, rank) * from_rows(a, rank, module.inputs)
}
