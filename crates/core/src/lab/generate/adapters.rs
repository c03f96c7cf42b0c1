//! The adapters of a cohort that generates: their factors in the layout of one plan.

use crate::{
    device::{Device, RunSettings},
    graph::plan::Plan,
    lab::PlanNeeds,
    lora::peft::{Adapter, Module, QuantisedBase},
    models::{Adapters, Base, Linear},
};

use super::GenerateError;

/// The values of one run.
pub struct Loaded {
    trained: Vec<f32>,
    frozen: Vec<f32>,
    settings: RunSettings,
}

impl Loaded {
    /// Sets a run of a device to these values.
    pub fn put(&self, device: &mut dyn Device, run: usize) {
        device.load(run, &self.trained, &self.frozen, self.settings);
    }

    /// The values of an adapter in a plan whose rank is at least its own; zeros for none. A head that the adapter does not have is that of the checkpoint, or
    /// drawn from the seed 0.
    pub fn new(plan: &Plan, adapter: Option<&Adapter>) -> Loaded {
        let mut loaded = Loaded {
            trained: vec![0.0; plan.trained_len()],
            frozen: vec![0.0; if plan.frozen_pairs { plan.trained_len() } else { 0 }],
            settings: RunSettings { scale: adapter.map_or(1.0, Adapter::scale), ..RunSettings::PLAIN },
        };
        plan.put_head(0, &mut loaded.trained);
        for tensor in &plan.head {
            if let Some(saved) =
                adapter.and_then(|adapter| adapter.saved.iter().find(|saved| saved.name == tensor.name))
            {
                loaded.trained[tensor.span.range()].copy_from_slice(&saved.values);
            }
        }
        for site in &plan.sites {
            // An adapter of some layers leaves the others as they are.
            let module = adapter.and_then(|adapter| adapter.modules.iter().find(|module| module.name == site.module));
            let Some(Module { a, b, factor, frozen, .. }) = module else { continue };
            let put = |to: &mut [f32], a: &[f32], b: &[f32]| {
                // The first rows of A and the first columns of B; the rest stays zero.
                to[site.a.range()][..a.len()].copy_from_slice(a);
                let rank = a.len() / site.inputs;
                let rows = to[site.b.range()].chunks_exact_mut(site.rank);
                for (to, from) in rows.zip(b.chunks_exact(rank)) {
                    // The plan has one scale for all modules.
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = (f64::from(*from) * factor) as f32);
                }
            };
            put(&mut loaded.trained, a, b);
            if let Some((a, b)) = frozen {
                put(&mut loaded.frozen, a, b);
            }
        }
        loaded
    }
}

/// The adapters of a plan that holds all of these, and the base that they are trained on.
///
/// # Errors
/// If an adapter is not of the base, or one of several belongs to quantised weights.
pub fn of_all(base: &Base, adapters: &[Option<&Adapter>]) -> Result<(Base, Adapters), GenerateError> {
    let given = || adapters.iter().copied().flatten();
    for adapter in given() {
        check(&adapter.modules, base).map_err(GenerateError::Adapter)?;
        check_saved(adapter, base).map_err(GenerateError::Adapter)?;
    }
    let mut target_modules: Vec<String> = given().flat_map(adapted).collect();
    target_modules.sort();
    target_modules.dedup();
    let rank = given().map(|adapter| adapter.rank).max().unwrap_or(1);
    let all = Adapters::new(rank, target_modules);
    let mut quantised = given().filter_map(|adapter| adapter.quantised_base.as_ref());
    let own = match base.quantiser() {
        Some(found) => {
            let others = quantised.find(|own| !own.whole || own.quantiser != found);
            let unlike = |own: &QuantisedBase| GenerateError::OtherQuantiser { own: own.quantiser, found };
            return others.map_or_else(|| Ok((base.clone(), all)), |own| Err(unlike(own)));
        }
        None => quantised.next(),
    };
    // Such an adapter belongs to the quantised weights only.
    match own {
        None => Ok((base.clone(), all)),
        Some(_) if adapters.len() > 1 => Err(GenerateError::Quantised),
        Some(QuantisedBase { whole: true, quantiser, .. }) => Ok((base.quantised(*quantiser), all)),
        Some(own) => Ok((PlanNeeds::of_quantised(own).base(base, &all), all)),
    }
}

/// Layers that an adapter names without having tensors for them, and those that it names.
pub fn left_alone(base: &Base, adapters: &Adapters, adapter: Option<&Adapter>) -> [usize; 2] {
    let mut counts = [0, 0];
    for layer in base.model.linears().iter().filter(|layer| adapters.target(&layer.name)) {
        if adapter.is_some_and(|adapter| adapter.targets(&layer.name)) {
            let has = adapter.is_some_and(|adapter| adapter.modules.iter().any(|module| module.name == layer.name));
            counts = [counts[0] + usize::from(!has), counts[1] + 1];
        }
    }
    counts
}

/// Checks that the modules of an adapter fit linear layers of the base, before anything of their sizes is allocated.
pub(in crate::lab) fn check(modules: &[Module], base: &Base) -> Result<(), String> {
    let layers = base.model.linears();
    for Linear { name, inputs: columns, outputs: rows } in &layers {
        match modules.iter().find(|module| module.name == *name) {
            Some(Module { inputs, outputs, .. }) if [outputs, inputs] != [rows, columns] => {
                return Err(format!(
                    "the adapter's `{name}` is for a layer of {inputs} inputs and {outputs} outputs, but the base's has {columns} and {rows}"
                ));
            }
            _ => {}
        }
    }
    match modules.iter().find(|module| layers.iter().all(|layer| module.name != layer.name)) {
        Some(Module { name, .. }) => Err(format!("the adapter's `{name}` is no linear layer of the base")),
        None => Ok(()),
    }
}

/// Checks that the tensors that an adapter trains whole are those of the base's head.
pub(in crate::lab) fn check_saved(adapter: &Adapter, base: &Base) -> Result<(), String> {
    let head = base.model.head();
    for saved in &adapter.saved {
        match head.iter().find(|(name, _)| *name == saved.name) {
            None => return Err(format!("the adapter's `{}` is no tensor of the base's head", saved.name)),
            Some((_, [rows, columns])) if rows * columns != saved.values.len() => {
                return Err(format!(
                    "the adapter's `{}` has shape {:?}, but the head of the base needs {rows} × {columns}: it has another number of classes",
                    saved.name, saved.shape
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The last parts of the names of an adapter's modules: its target modules may be full names or patterns.
fn adapted(adapter: &Adapter) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    adapter.modules.iter().map(|module| last(&module.name)).collect()
}
