//! How a run begins: the starts of its layers, laid out as a plan has them.

use std::borrow::Cow;

use super::Run;
use crate::{
    init::{Layer, Start, StartError},
    memory::{Group, Tensor},
    plan::Plan,
};

/// What a run holds before its first step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Initial {
    /// Its adapters, flat, in the order of the plan's parameters.
    pub trained: Vec<f32>,
    /// Their frozen second pairs in the same places; empty where the plan has none. A scheme without a second pair gets pairs of zeros, which subtract
    /// exactly nothing.
    pub frozen_pairs: Vec<f32>,
    /// The rank of each adapter. Where the plan's is higher, the rest is zeros, which stay zeros.
    pub ranks: Vec<usize>,
}

/// The layers of a plan's adapters, in its order, as a scheme sees them that is asked for `rank`.
pub fn layers<'a>(plan: &'a Plan, rank: usize, run: &'a Run) -> impl Iterator<Item = Layer<'a>> {
    plan.parameters.chunks_exact(2).map(move |pair| {
        let [a, b] = [&pair[0], &pair[1]];
        debug_assert!(a.group == Group::A && b.group == Group::B, "adapters lie as pairs");
        let name = a.name.trim_end_matches(".lora_A.weight");
        Layer {
            name,
            inputs: a.shape[1],
            outputs: b.shape[0],
            rank,
            scale: run.settings.scale as f32,
            chosen: &run.chosen,
        }
    })
}

/// The start of a run over `base`.
///
/// # Errors
/// If the scheme can't start one of the layers, or has to see data for it.
pub fn start(plan: &Plan, base: &[Tensor], run: &Run) -> Result<Initial, StartError> {
    let start = |layer: Layer<'_>| run.scheme.start(&layer, || weight(base, &layer), run.seed);
    let rank = plan.ranks().next().unwrap_or(0);
    Ok(Initial::lay(plan, layers(plan, rank, run).map(start).collect::<Result<_, _>>()?))
}

/// The frozen weight of a layer, (O, I) row after row, if the base has one.
pub fn weight<'a>(base: &'a [Tensor], layer: &Layer<'_>) -> Option<Cow<'a, [f32]>> {
    let name = format!("{}.weight", layer.name);
    let tensor = base.iter().find(|tensor| tensor.name == name && tensor.shape == [layer.outputs, layer.inputs])?;
    Some(tensor.data.to_f32())
}

impl Initial {
    /// Lays the starts of all layers out, each filled up with zeros to the plan's rank.
    pub fn lay(plan: &Plan, starts: Vec<Start>) -> Initial {
        let mut initial = Initial::default();
        for (pair, start) in plan.parameters.chunks_exact(2).zip(starts) {
            let ([rank, inputs], [outputs, _]) = (pair[0].shape, pair[1].shape);
            let own = start.rank(inputs);
            assert!(own <= rank, "a layer of rank {own} does not fit a plan of rank {rank}");
            fill(&mut initial.trained, &start.a, &start.b, [own, rank, inputs, outputs]);
            if plan.frozen_pairs {
                let (a, b) = start.frozen.unwrap_or_else(|| (vec![0.0; own * inputs], vec![0.0; outputs * own]));
                fill(&mut initial.frozen_pairs, &a, &b, [own, rank, inputs, outputs]);
            }
            initial.ranks.push(own);
        }
        initial
    }
}

/// Appends A, (own, I), and B, (O, own), each with zeros up to `rank`.
fn fill(flat: &mut Vec<f32>, a: &[f32], b: &[f32], [own, rank, inputs, outputs]: [usize; 4]) {
    flat.extend_from_slice(a);
    flat.resize(flat.len() + (rank - own) * inputs, 0.0);
    for row in 0..outputs {
        flat.extend_from_slice(&b[row * own..(row + 1) * own]);
        flat.resize(flat.len() + rank - own, 0.0);
    }
}
