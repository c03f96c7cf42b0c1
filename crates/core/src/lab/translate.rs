//! Translation of an experiment's settings into the types of the core.

use std::collections::BTreeMap;

use loralab_data::Dataset;
use loralab_experiment::{
    Cell, ExperimentError, Optimizer as Named, Preconditioner as NamedPreconditioner, Quantize, Resolved, Scaling,
};

use super::{MakeDevice, PlanNeeds, SweepError};
use crate::{
    device::RunSettings,
    graph::{
        memory::{LowRank, Quantiser, Span},
        plan::{Optimizer, Plan, Preconditioner, Shape},
        tape::{Positions, Tape},
    },
    lab::{
        calibrate::{Calibration, Setup},
        train::Run,
    },
    lora::{
        init::{self, Scheme, Trains},
        peft::{Adapter, Module, QuantisedBase, SavedTensor},
    },
    models::{Adapters, Base, Linear, TargetError, TargetRules, Targets, Training, covers, patterned},
};

/// The tape of the decoder with the experiment's adapters.
pub(super) fn record(base: &Base, experiment: &Resolved, shape: Shape, plan_needs: PlanNeeds) -> Tape {
    let mut tape = Tape::new(shape, plan_needs.frozen_pairs);
    let adapters = adapters(base, experiment).times(plan_needs.spread);
    tape.dropout(experiment.lora_dropout);
    if experiment.pack {
        tape.positions(Positions::Given);
    }
    base.model.record(&mut tape, Training::Adapters(base, &adapters));
    tape.precondition(preconditioner(experiment));
    tape.recompute_layers(experiment.gradient_checkpointing);
    tape
}

/// The inputs for data-dependent initialisation of an experiment.
pub(super) fn calibration<'a, 'm>(
    base: &'a Base,
    experiment: &Resolved,
    train: &'a Dataset,
    adapters: &'a Adapters,
    make_device: MakeDevice<'m>,
) -> Calibration<'a, 'm> {
    Calibration { setup: setup(base, experiment, adapters), steps: experiment.steps, train, make_device }
}

/// The base, adapters and training that an experiment's starts are made for.
pub(super) fn setup<'a>(base: &'a Base, experiment: &Resolved, adapters: &'a Adapters) -> Setup<'a> {
    Setup {
        base,
        adapters,
        sequences: experiment.batch_size,
        tokens: experiment.tokens,
        optimizer: optimizer(experiment),
        preconditioner: preconditioner(experiment),
    }
}

/// The optimiser.
pub(super) fn optimizer(experiment: &Resolved) -> Optimizer {
    match experiment.optimizer {
        Named::AdamW { beta1, beta2, epsilon } => Optimizer::AdamW { beta1, beta2, epsilon },
        Named::Sgd { momentum } => Optimizer::Sgd { momentum },
        Named::SignSgd => Optimizer::SignSgd,
    }
}

/// The preconditioner of gradients, applied before the optimiser.
fn preconditioner(experiment: &Resolved) -> Option<Preconditioner> {
    match experiment.preconditioner {
        NamedPreconditioner::None => None,
        NamedPreconditioner::Riemannian => Some(Preconditioner::Riemannian),
        NamedPreconditioner::NoraPlus => Some(Preconditioner::NoraPlus),
    }
}

/// The quantiser of the frozen linear maps; none if they stay as they are stored.
pub fn quantiser(quantize: Quantize) -> Option<Quantiser> {
    match quantize {
        Quantize::None => None,
        Quantize::Int8 => Some(Quantiser::Int8),
        Quantize::Nf4 => Some(Quantiser::Nf4),
    }
}

/// The options of schemes that an experiment sets: scheme, option and value.
pub(super) fn options(experiment: &Resolved) -> impl Iterator<Item = (&str, &str, f64)> {
    experiment.scheme_options.iter().map(|option| (option.scheme.as_str(), option.option.as_str(), option.value))
}

/// The run of a cell.
pub(super) fn run_of(experiment: &Resolved, cell: &Cell) -> Result<Run, SweepError> {
    let scheme: &'static Scheme = init::find(&cell.scheme)?;
    let settings = RunSettings {
        scale: experiment.scale(),
        learning_rate_ratio: match scheme.trains {
            Trains::Both => experiment.learning_rate_ratio,
            Trains::AOnly => 0.0,
        },
        weight_decay: experiment.weight_decay,
        max_grad_norm: experiment.max_grad_norm.unwrap_or(0.0),
    };
    let chosen = scheme.chosen(options(experiment))?;
    Ok(Run { scheme, chosen, seed: cell.seed, learning_rate: cell.learning_rate, settings })
}

/// The adapter whose factors lie flat in `trained`, and in `frozen_pairs` if the scheme has them, in `plan`'s layout.
pub(super) fn export(
    plan: &Plan,
    base: &Base,
    plan_needs: PlanNeeds,
    base_name: &str,
    experiment: &Resolved,
    scheme: &Scheme,
    trained: &[f32],
    frozen_pairs: &[f32],
) -> Adapter {
    let modules = plan.sites.iter().map(|site| {
        let factor = |values: &[f32], span: Span| values[span.range()].to_vec();
        let module = Module {
            name: site.module.clone(),
            inputs: site.inputs,
            outputs: site.outputs,
            factor: site.factor,
            a: factor(trained, site.a),
            b: factor(trained, site.b),
            frozen: scheme.frozen_pair.then(|| (factor(frozen_pairs, site.a), factor(frozen_pairs, site.b))),
        };
        if site.rank == plan.rank() { module } else { module.of_rank(site.rank, plan.rank()) }
    });
    // If a scheme may give a layer more than the rank asked for, the scale stays that of the rank asked for.
    let rank = plan.rank();
    let asked = rank == experiment.rank;
    Adapter {
        base: plan_needs.base_name(base_name),
        quantised_base: plan_needs
            .quantised_base(base_name)
            .or_else(|| base.quantiser().map(|quantiser| QuantisedBase::whole(base_name, quantiser))),
        rank,
        alpha: if asked { experiment.alpha } else { experiment.scale() * rank as f64 },
        use_rslora: asked && experiment.scaling == Scaling::RsLora,
        dropout: experiment.lora_dropout,
        target_modules: adapters(base, experiment).target_modules,
        modules: modules.collect(),
        saved: plan.head.iter().map(|tensor| SavedTensor::of_head(tensor, trained)).collect(),
    }
}

/// Sequences that are longer than a model has positions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`tokens` is {tokens}, but the model has positions for {most} tokens only, the number that `max_position_embeddings` or `n_positions` of its config.json gives; set `tokens` to at most {most}"
)]
pub struct LengthError {
    /// Tokens of a sequence.
    tokens: usize,
    /// Most tokens of a sequence.
    most: usize,
}

/// Checks that a model has a position for each token of a sequence.
///
/// # Errors
/// If it has fewer.
pub fn check_length(base: &Base, experiment: &Resolved) -> Result<(), LengthError> {
    match base.model.most_tokens() {
        Some(most) if experiment.tokens > most => Err(LengthError { tokens: experiment.tokens, most }),
        _ => Ok(()),
    }
}

/// The rules for the modules that carry adapters.
fn targets(experiment: &Resolved) -> Result<Targets, TargetError> {
    Targets::new(TargetRules {
        target_modules: experiment.target_modules.as_deref(),
        exclude_modules: &experiment.exclude_modules.0,
        layers_to_transform: &experiment.layers_to_transform.0,
        layers_pattern: &experiment.layers_pattern.0,
    })
}

/// The modules of a base that carry adapters.
///
/// # Errors
/// If a rule matches nothing, or all rules together leave no module.
pub fn adapted(base: &Base, experiment: &Resolved) -> Result<Vec<Linear>, TargetError> {
    let linears = base.model.linears();
    let modules = targets(experiment)?.of(&linears)?.into_iter().cloned().collect::<Vec<_>>();
    own(&modules, experiment)?;
    Ok(modules)
}

/// The adapters whose rank or scale is not that of the others, by module.
fn own(modules: &[Linear], experiment: &Resolved) -> Result<BTreeMap<String, LowRank>, TargetError> {
    let of_rank: Vec<_> = experiment.rank_pattern.iter().map(|entry| (&*entry.name, entry.value)).collect();
    let of_alpha: Vec<_> = experiment.alpha_pattern.iter().map(|entry| (&*entry.name, entry.value)).collect();
    let ranks = patterned("rank_pattern", &of_rank, modules)?;
    let alphas = patterned("alpha_pattern", &of_alpha, modules)?;
    let mut own = BTreeMap::new();
    for ((module, rank), alpha) in modules.iter().zip(ranks).zip(alphas) {
        if rank.is_some() || alpha.is_some() {
            let (rank, alpha) = (rank.unwrap_or(experiment.rank), alpha.unwrap_or(experiment.alpha));
            let factor = experiment.scaling.scale(alpha, rank) / experiment.scale();
            own.insert(module.name.clone(), LowRank { rank, factor });
        }
    }
    Ok(own)
}

/// Checks a scheme against the ranks and scales that it is asked for.
///
/// # Errors
/// If it cannot start an adapter of one of them.
pub(super) fn check_scheme(
    scheme: &'static Scheme,
    adapters: &Adapters,
    experiment: &Resolved,
) -> Result<(), SweepError> {
    for LowRank { rank, factor } in adapters.low_ranks() {
        scheme.check(rank, experiment.scale() * factor)?;
    }
    let chosen = scheme.chosen(options(experiment))?;
    if scheme.rule_with(&chosen).quantiser().is_some()
        && init::rounds(&chosen) > 1
        && !experiment.rank_pattern.is_empty()
    {
        return Err(SweepError::Setting(ExperimentError::Clash {
            first: format!("`rank_pattern` has \"{}\"", experiment.rank_pattern[0]),
            second: format!("`schemes` has \"{}\" with several rounds", scheme.name),
            why: "the rounds quantise all weights by adapters of one rank",
            remedy: format!("Remove `rank_pattern`, or set `scheme_options = \"{}.rounds=1\"`.", scheme.name),
        }));
    }
    Ok(())
}

/// The modules that carry an adapter, and their ranks. They are named by the ends of their names if these say it all, else in full; none if [`adapted`] refuses
/// the rules.
pub fn adapters(base: &Base, experiment: &Resolved) -> Adapters {
    let modules = adapted(base, experiment).unwrap_or_default();
    let full = || modules.iter().map(|module| module.name.clone()).collect();
    let ends = base.model.targets();
    let named = |end: &String| experiment.target_modules.as_ref().is_none_or(|named| named.contains(end));
    let ends: Vec<String> = ends.into_iter().filter(named).collect();
    let covered = base.model.linears().iter().filter(|linear| ends.iter().any(|end| covers(end, &linear.name))).count();
    let target_modules = if covered == modules.len() { ends } else { full() };
    Adapters { rank: experiment.rank, target_modules, own: own(&modules, experiment).unwrap_or_default() }
}
