//! Shader tables and launches that belong to no op of the tape: updates that follow a complete gradient, and the launches around a step.

use crate::graph::{
    memory::{Group, Parameter},
    plan::{Optimizer, Plan, Update},
    shader::{Launch, Memory, Shader, shader, word},
};

/// Gradient elements per block of `finite/partial`.
const BLOCK: usize = 4096;

shader! {
    PARTIAL = "finite/partial", workgroup 256;
    params { elements: u32, blocks: u32 }
    buffers { read gradients: f32, write partials: u32 }
    constants {}
}
shader! {
    TOTAL = "finite/total", workgroup 64;
    params { blocks: u32, runs: u32 }
    buffers {
        read partials: u32, write gathered: f32, read settings: f32, read slot: u32, write states: u32, write reports: u32,
    }
    constants {}
}
shader! {
    CLIP = "clip/scale", workgroup 256;
    parts { "clip/scale", "lib/elements" }
    params { elements: u32, runs: u32 }
    buffers { read states: u32, write gradients: f32 }
    constants {}
}
shader! {
    PRODUCT = "precondition/product", workgroup 64;
    params { elements: u32, parameters: u32, rank: u32 }
    buffers { read trained: f32, read places: u32, write products: f32 }
    constants {}
}
shader! {
    INVERSE = "precondition/inverse", workgroup 64;
    params { parameters: u32, rank: u32, epsilon: f32, unit: u32 }
    buffers { read places: u32, write products: f32, write triangles: f32 }
    constants {}
}
shader! {
    APPLY = "precondition/apply", workgroup 256;
    parts { "precondition/apply", "lib/places", "lib/elements" }
    params { elements: u32, runs: u32, parameters: u32, rank: u32 }
    buffers { read gradients: f32, read places: u32, read inverses: f32, write preconditioned: f32 }
    constants {}
}
shader! {
    ADAMW = "adamw/step", workgroup 256;
    parts { "adamw/step", "lib/optimizer", "lib/places", "lib/elements" }
    params {
        elements: u32, runs: u32, parameters: u32, one_minus_beta1: f32, beta2: f32, one_minus_beta2: f32, epsilon: f32,
    }
    buffers {
        read gradients: f32, read states: u32, read settings: f32, read rates: f32, read slot: u32, read places: u32,
        write moments: f32, write trained: f32,
    }
    constants {}
}
shader! {
    SGD = "sgd/step", workgroup 256;
    parts { "sgd/step", "lib/optimizer", "lib/places", "lib/elements" }
    params { elements: u32, runs: u32, parameters: u32, momentum: f32 }
    buffers {
        read gradients: f32, read states: u32, read settings: f32, read rates: f32, read slot: u32, read places: u32,
        write moments: f32, write trained: f32,
    }
    constants {}
}
shader! {
    SIGN_SGD = "sign_sgd/step", workgroup 256;
    parts { "sign_sgd/step", "lib/optimizer", "lib/places", "lib/elements" }
    params { elements: u32, runs: u32, parameters: u32 }
    buffers {
        read gradients: f32, read states: u32, read settings: f32, read rates: f32, read slot: u32, read places: u32,
        write trained: f32,
    }
    constants {}
}
shader! {
    pub LOAD = "step/load", workgroup 256;
    parts { "step/load", "lib/elements" }
    params { words: u32, offset: u32, stride: u32 }
    buffers { read ring: u32, read slot: u32, write rows: u32 }
    constants {}
}
shader! {
    NEXT = "step/next", workgroup 1;
    params { slots: u32 }
    buffers { write slot: u32 }
    constants {}
}
shader! {
    GATHER = "step/gather", workgroup 64;
    params { rows_per_run: u32 }
    buffers { read row_loss: f32, write gathered: f32 }
    constants {}
}
shader! {
    CLEAR = "step/clear", workgroup 256;
    parts { "step/clear", "lib/elements" }
    params { elements: u32 }
    buffers { write gradients: f32 }
    constants {}
}

/// The shaders of this module.
pub const SHADERS: &[Shader] =
    &[PARTIAL, TOTAL, CLIP, PRODUCT, INVERSE, APPLY, ADAMW, SGD, SIGN_SGD, LOAD, NEXT, GATHER, CLEAR];

/// Words of a run's preconditioners: for each trained tensor a matrix and the working memory of its inversion.
pub fn preconditioner_words(plan: &Plan) -> u64 {
    let rank = plan.rank() as u64;
    if plan.preconditioner().is_some() { plan.parameters.len() as u64 * (rank * rank + rank * (rank + 1)) } else { 0 }
}

/// Number of blocks of a run's gradients.
pub fn blocks(plan: &Plan) -> usize {
    plan.trained_len().div_ceil(BLOCK).max(1)
}

/// The table of trained tensors: for each its offset, its `kind`, by which the optimiser distinguishes groups, and the rank of its adapter, or 0.
pub fn places(plan: &Plan) -> Vec<u32> {
    let kind = |group: Group| match group {
        Group::Matrix => 0,
        Group::B => 1,
        Group::Gain => 2,
        Group::A => 3,
    };
    let rank = |parameter: &Parameter| match parameter.group {
        Group::A => parameter.shape[0],
        Group::B => parameter.shape[1],
        Group::Matrix | Group::Gain => 0,
    };
    let place = |parameter: &Parameter| [word(parameter.span.offset), kind(parameter.group), word(rank(parameter))];
    plan.parameters.iter().flat_map(place).collect()
}

/// The launch that sets every gradient to zero.
pub fn clear(plan: &Plan) -> Launch {
    let elements = plan.trained_len() * plan.shape.runs;
    Launch::over(&CLEAR, elements, &[word(elements)], &[Memory::Gradients])
}

/// The launch that accumulates the losses of a pass; `None` if the plan takes no steps.
pub fn gather(plan: &Plan) -> Option<Launch> {
    let losses = plan.results.loss.filter(|_| !plan.updates.is_empty())?;
    let buffers = [Memory::Rows(losses), Memory::Losses];
    Some(Launch::new(&GATHER, &[word(plan.shape.rows_per_run())], &buffers, [plan.shape.runs, 1, 1]))
}

/// The launch that moves on to the next of `slots` slots of the rings.
pub fn next(slots: usize) -> Launch {
    Launch::new(&NEXT, &[word(slots)], &[Memory::Slot], [1; 3])
}

/// The launches of a plan's updates.
pub fn launches(plan: &Plan) -> Vec<Launch> {
    plan.updates.iter().flat_map(|update| update_launches(plan, *update)).collect()
}

fn update_launches(plan: &Plan, update: Update) -> Vec<Launch> {
    let (runs, elements, blocks) = (plan.shape.runs, plan.trained_len(), blocks(plan));
    let all = runs * elements;
    let [k, p] = [elements, runs].map(word);
    let head = [k, p, word(plan.parameters.len())];
    let gradients = if plan.preconditioner().is_some() { Memory::Preconditioned } else { Memory::Gradients };
    let inputs = [gradients, Memory::States, Memory::Settings, Memory::Rates, Memory::Slot, Memory::Places];
    let with = |outputs: &[Memory]| [&inputs[..], outputs].concat();
    match update {
        Update::Finite => {
            let total =
                [Memory::Partials, Memory::Losses, Memory::Settings, Memory::Slot, Memory::States, Memory::Reports];
            vec![
                Launch::new(&PARTIAL, &[k, word(blocks)], &[Memory::Gradients, Memory::Partials], [blocks, runs, 1]),
                Launch::new(&TOTAL, &[word(blocks), p], &total, [runs, 1, 1]),
            ]
        }
        Update::Clip => vec![Launch::over(&CLIP, all, &[k, p], &[Memory::States, Memory::Gradients])],
        Update::Precondition(preconditioner) => {
            let (rank, parameters) = (plan.rank(), plan.parameters.len());
            let [r, of] = [rank, parameters].map(word);
            let epsilon = (preconditioner.epsilon() as f32).to_bits();
            let product = [Memory::Trained, Memory::Places, Memory::Products];
            let inverse = [Memory::Places, Memory::Products, Memory::Triangles];
            let apply = [Memory::Gradients, Memory::Places, Memory::Products, Memory::Preconditioned];
            let tiles = rank.div_ceil(8).pow(2);
            let unit = u32::from(preconditioner.is_unit());
            vec![
                Launch::new(&PRODUCT, &[k, of, r], &product, [tiles, parameters, runs]),
                Launch::new(&INVERSE, &[of, r, epsilon, unit], &inverse, [parameters, runs, 1]),
                Launch::over(&APPLY, all, &[k, p, of, r], &apply),
            ]
        }
        Update::Step(Optimizer::AdamW { beta1, beta2, epsilon }) => {
            // 1 − β is computed in f64: in f32 it loses most of its digits if β is near 1.
            let hyper = [1.0 - beta1, beta2, 1.0 - beta2, epsilon].map(|x| (x as f32).to_bits());
            let params = [&head[..], &hyper].concat();
            vec![Launch::over(&ADAMW, all, &params, &with(&[Memory::Moments, Memory::Trained]))]
        }
        Update::Step(Optimizer::Sgd { momentum }) => {
            let params = [&head[..], &[(momentum as f32).to_bits()]].concat();
            vec![Launch::over(&SGD, all, &params, &with(&[Memory::Moments, Memory::Trained]))]
        }
        Update::Step(Optimizer::SignSgd) => {
            vec![Launch::over(&SIGN_SGD, all, &head, &with(&[Memory::Trained]))]
        }
    }
}
