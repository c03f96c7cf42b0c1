//! The start of one run on its own: the adapter and measurements of it before any step.

use loralab_data::Dataset;
use loralab_experiment::{Cell, LayerStart, Resolved};
use loralab_linalg::{Mat, Scale, energy, from_rows, product_svd, svd, thin_qr};

use super::{
    MakeDevice, PlanNeeds, SweepError,
    translate::{adapted, adapters, calibration, check_length, check_scheme, export, options, record, run_of, setup},
};
use crate::{
    device::Needs,
    graph::{
        plan::{Plan, Shape},
        tape::Purpose,
    },
    lora::{
        init::{StartError, check_options},
        peft::{Adapter, Module},
    },
    models::Base,
};

/// An adapter before its first step.
pub struct AdapterStart {
    /// The adapter, its frozen pairs included.
    pub adapter: Adapter,
    /// One entry per layer, in the order of the adapter's modules.
    pub layers: Vec<LayerStart>,
    /// Tokens that went through the model to compute the start.
    pub tokens: usize,
    /// The base that the adapter belongs to, if it is not the one it was made for.
    pub base: Option<Base>,
}

/// Checks that making the start of a cell fits into `available` bytes; `needs` is a device's estimate for a plan.
///
/// # Errors
/// If it does not fit, or the scheme is unknown.
pub fn check_memory(
    base: &Base,
    experiment: &Resolved,
    cell: &Cell,
    needs: &dyn Fn(&Plan) -> Needs,
    available: u64,
) -> Result<(), SweepError> {
    let run = run_of(experiment, cell)?;
    let shape = Shape { runs: 1, sequences: 1, tokens: 1 };
    let plan = record(base, experiment, shape, PlanNeeds::of(experiment, [cell])).compile(Purpose::Evaluate);
    let adapters = adapters(base, experiment);
    for phase in setup(base, experiment, &adapters).phases(&[run], 1, &plan, needs) {
        if phase.of(1) > available {
            return Err(SweepError::StartMemory { needed: phase.of(1), phase: phase.name, available });
        }
    }
    Ok(())
}

/// Makes the start of a cell of an experiment.
///
/// # Errors
/// If the scheme is unknown or can't start such an adapter, or a device fails.
pub async fn compute_start(
    base: &Base,
    base_name: &str,
    experiment: &Resolved,
    cell: &Cell,
    train: &Dataset,
    make_device: MakeDevice<'_>,
) -> Result<AdapterStart, SweepError> {
    let run = run_of(experiment, cell)?;
    adapted(base, experiment)?;
    check_length(base, experiment)?;
    check_options(&experiment.schemes, options(experiment))?;
    check_scheme(run.scheme, &adapters(base, experiment), experiment)?;
    let shape = Shape { runs: 1, sequences: 1, tokens: 1 };
    let plan_needs = PlanNeeds::of(experiment, [cell]);
    let plan = record(base, experiment, shape, plan_needs).compile(Purpose::Evaluate);
    let adapters = adapters(base, experiment);
    let calibration = calibration(base, experiment, train, &adapters, make_device);
    let run = [run];
    let start = calibration.starts(&run, &plan).await?.swap_remove(0)?;
    let initial = &*start.initial;
    let quantised = plan_needs.base(base, &adapters);
    let adapter = export(
        &plan,
        base,
        plan_needs,
        base_name,
        experiment,
        run[0].scheme,
        initial.trained(),
        initial.frozen_pairs(),
    );
    let modules = adapter.modules.iter().zip(&initial.ranks);
    let layers = modules.map(|(module, rank)| layer_start(module, *rank, [base, &quantised], &adapter));
    let layers = layers.collect::<Result<_, _>>()?;
    Ok(AdapterStart { adapter, layers, tokens: start.tokens, base: plan_needs.quantiser.map(|_| quantised) })
}

fn layer_start(
    module: &Module,
    own: usize,
    [base, quantised]: [&Base; 2],
    adapter: &Adapter,
) -> Result<LayerStart, StartError> {
    let (rank, scale) = (adapter.rank, adapter.scale() * module.factor);
    let name = format!("{}.weight", module.name);
    let weight = |base: &Base| {
        let weight = base.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.data.to_f32());
        from_rows(&weight.unwrap_or_default(), module.outputs, module.inputs)
    };
    let (weight, quantised) = (weight(base), weight(quantised));
    let pair = |a: &[f32], b: &[f32]| (from_rows(a, rank, module.inputs), from_rows(b, module.outputs, rank));
    let (a, b) = pair(&module.a, &module.b);
    let product = &b * &a;
    let moved = match &module.frozen {
        Some((a_0, b_0)) => {
            let (a_0, b_0) = pair(a_0, b_0);
            &product - b_0 * a_0
        }
        None => product.clone(),
    };
    let undecomposed = |reason| StartError::Undecomposed { what: "start", module: module.name.clone(), reason };
    let spectrum = match [&a, &b].map(|factor| factor.norm_l2() > 0.0) {
        [true, true] => product_svd(b.as_ref(), a.as_ref())
            .map_err(undecomposed)?
            .s
            .into_iter()
            .map(|value| scale.abs() * value)
            .collect(),
        [true, false] => svd(a.as_ref()).map_err(undecomposed)?.s,
        [false, _] => svd(b.as_ref()).map_err(undecomposed)?.s,
    };
    let size = weight.norm_l2();
    let moved = match quantised == weight && adds_nothing(module, scale) {
        true => 0.0,
        // Factors that are not zero may cancel to the last bit here; a device still rounds.
        false => share((quantised - &weight + Scale(scale) * moved).norm_l2(), size).max(f64::MIN_POSITIVE),
    };
    Ok(LayerStart {
        module: module.name.clone(),
        rank: own,
        a: a.norm_l2(),
        b: b.norm_l2(),
        product: share(scale.abs() * product.norm_l2(), size),
        energy: if a.norm_l2() > 0.0 {
            share(captured(a.transpose().to_owned(), weight.transpose().to_owned()).sqrt(), size).powi(2)
        } else {
            share(captured(b, weight.clone()).sqrt(), size).powi(2)
        },
        moved,
        spectrum: spectrum.into_iter().take(own).collect(),
    })
}

/// A norm as a share of another; infinite for a norm above 0 over a norm of 0.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if part > 0.0 { part / whole } else { 0.0 }
}

/// True if s (x Aᵀ) Bᵀ − s (x A₀ᵀ) B₀ᵀ is exactly zero for every x and every rounding: each term has a factor of zero, or the pairs are equal.
fn adds_nothing(module: &Module, scale: f64) -> bool {
    let rank = module.a.len() / module.inputs.max(1);
    let is_zero = |a: &[f32], b: &[f32]| {
        (0..rank).all(|k| {
            a[k * module.inputs..][..module.inputs].iter().all(|x| *x == 0.0)
                || b.iter().skip(k).step_by(rank).all(|x| *x == 0.0)
        })
    };
    let Module { a, b, frozen, .. } = module;
    scale as f32 == 0.0
        || match frozen {
            Some((a_0, b_0)) => (a, b) == (a_0, b_0) || is_zero(a, b) && is_zero(a_0, b_0),
            None => is_zero(a, b),
        }
}

/// ‖P M‖² with P the projector onto the span of the nonzero columns of `factor`.
fn captured(factor: Mat<f64>, m: Mat<f64>) -> f64 {
    let columns: Vec<usize> = (0..factor.ncols()).filter(|&k| factor.col(k).norm_l2() > 0.0).collect();
    let columns = Mat::from_fn(factor.nrows(), columns.len(), |row, k| factor[(row, columns[k])]);
    let basis = thin_qr(columns.as_ref()).q;
    energy((basis.transpose() * m).as_ref())
}
