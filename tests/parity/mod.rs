//! Every kernel on the GPU, at odd shapes, held to the bound that the CPU's tracked scalar derives.
//!
//! A case is a small model around one op; each dispatch of its step is compared by itself, with outputs poisoned and gradients already holding
//! something (see `loralab_core::lab::verify`). Three runs, so that nothing can be right by taking another run's place.
//!
//! `LORALAB_OPS=rope,bias` holds the cases of these ops only, for whoever works on one.

use loralab_core::graph::memory::InputName;
use std::sync::Arc;

use loralab_core::{
    device::{
        Gpu, Inputs, RunSettings, wait,
        webgpu::{Accelerator, Checks, Profile, Tiling},
    },
    graph::{
        memory::{Group, Rows as RowKind, Tensor},
        plan::{Plan, Shape},
        shader::{Tile, Tiles},
        tape::{Purpose, Tape},
    },
    lab::{State, Verdict, verify},
};
use loralab_linalg::{Draws, Stream};

// Small models around each op.
mod cases;
// Random numbers of the GPU have the bits of the host's.
mod fill;
// Broken shaders, each of which must be found.
mod mutants;

use cases::{Case, cases};

use crate::gpu;

/// Bytes of the parts that tensors are bound in.
pub const PART: u64 = 1200;

/// Runs of every case.
pub const RUNS: usize = 3;

#[test]
fn kernels_stay_within_their_bounds_with_the_limits_of_the_gpu() {
    hold(&gpu::native());
}

#[test]
fn kernels_stay_within_their_bounds_with_the_limits_of_a_browser() {
    hold(&gpu::web_base());
}

#[test]
fn kernels_stay_within_their_bounds_without_checks() {
    hold(&gpu::unchecked());
}

#[test]
fn products_stay_within_their_bounds_in_every_tile() {
    for tile in [Tile::Tall, Tile::Large] {
        for (profile, checks) in [(Profile::WebBase, Checks::On), (Profile::Native, Checks::Off)] {
            let gpu = Arc::new(gpu::open_with(profile, checks, Tiling::Given(Tiles::all(tile))));
            hold_cases(&gpu, |case| ["linear", "lora_linear"].iter().any(|op| case.what.starts_with(op)));
        }
    }
}

/// Every tensor of more than two rows is bound in parts.
#[test]
fn kernels_stay_within_their_bounds_when_tensors_are_bound_in_parts() {
    for tile in [Tile::Square, Tile::Large] {
        let mut gpu = gpu::open_with(Profile::WebBase, Checks::On, Tiling::Given(Tiles::all(tile)));
        gpu.bind_at_most(PART);
        let mut cut = 0;
        hold_cases(&Arc::new(gpu), |case| {
            let is_cut = case.base.iter().any(|tensor| tensor.parts(PART).len() > 1);
            cut += usize::from(is_cut);
            is_cut
        });
        assert!(cut >= 10, "{cut} cases have tensors in parts");
    }
}

/// The fastest tile is a matter of chance on a busy machine, but whichever it is, it is known from then on and right.
#[test]
fn tiles_are_timed_once_and_stay_within_their_bounds() {
    let gpu = Arc::new(gpu::open_with(Profile::Native, Checks::On, Tiling::Timed(Tiles::default())));
    let is_adapter = |case: &Case| case.what.starts_with("lora_linear 139");
    hold_cases(&gpu, is_adapter);
    let timed = gpu.tiles();
    // Forward and backward, for each of the two adapters of the case, which differ in rank, and the same of the trained rows beneath.
    let products: Vec<&str> = timed.picked().map(|(product, _)| product).collect();
    assert_eq!(products.iter().filter(|product| product.starts_with("lora_linear/")).count(), 4, "{products:#?}");
    hold_cases(&gpu, is_adapter);
    assert_eq!(gpu.tiles(), timed);
}

fn hold(gpu: &Arc<Accelerator>) {
    hold_cases(gpu, |case| is_asked(case.what.split([' ', ',']).next().unwrap_or_default()));
}

/// True if this op is among those that `LORALAB_OPS` names, if it names any.
fn is_asked(op: &str) -> bool {
    std::env::var("LORALAB_OPS").map_or(true, |asked| asked.split(',').any(|asked| asked == op))
}

fn hold_cases(gpu: &Arc<Accelerator>, mut held: impl FnMut(&Case) -> bool) {
    let mut worst: Vec<(f64, String)> = Vec::new();
    for case in cases().into_iter().filter(|case| held(case)) {
        let verdict = judge(&case, gpu);
        if let Some(kernel) = verdict.failure() {
            panic!("{}: `{}` leaves its bound: {:?} is {} of it", case.what, kernel.name, kernel.worst, kernel.share);
        }
        for kernel in verdict.kernels {
            worst.push((kernel.share, format!("{}: {}", case.what, kernel.name)));
        }
    }
    worst.sort_by(|one, other| other.0.total_cmp(&one.0));
    println!("{} kernels; the largest shares of a bound: {:#?}", worst.len(), &worst[..worst.len().min(8)]);
}

/// One step of a case on a GPU, compared.
pub fn judge(case: &Case, gpu: &Arc<Accelerator>) -> Verdict {
    let mut tape = Tape::new(Shape { runs: RUNS, ..case.shape }, case.frozen_pairs);
    (case.record)(&mut tape);
    tape.precondition(case.preconditioner);
    let plan = Arc::new(tape.compile(case.purpose.unwrap_or(Purpose::Train(case.optimizer))));
    let base: Arc<[Tensor]> = case.base.clone().into();
    let states: Vec<State> = (0..RUNS).map(|run| state(&plan, case, run)).collect();
    let rows: Vec<Rows> = (0..RUNS).map(|run| Rows::new(&plan, case, run)).collect();
    let inputs: Vec<Inputs<'_>> = rows.iter().map(Rows::input).collect();
    let device = wait(Gpu::new(gpu.clone(), plan.clone(), base.clone()));
    let mut device = device.unwrap_or_else(|error| panic!("{}: {error}", case.what));
    wait(verify(&mut device, &plan, &base, &states, &inputs, &[0.01, 0.02, 0.03])).expect("the GPU does not fail")
}

fn state(plan: &Plan, case: &Case, run: usize) -> State {
    let draw = |what: &str| -> Vec<f32> {
        let tensor = |parameter: &loralab_core::graph::memory::Parameter| {
            let columns = parameter.shape[1] as f32;
            let gain = parameter.group == Group::Gain;
            let values = normal(&format!("{what}.{run}.{}", parameter.name), 0.7 / columns.sqrt(), parameter.span.len);
            values.into_iter().map(move |x| if gain { 1.0 + x } else { x })
        };
        plan.parameters.iter().flat_map(tensor).collect()
    };
    State {
        trained: draw("trained"),
        frozen_pairs: if case.frozen_pairs { draw("frozen") } else { vec![] },
        settings: RunSettings {
            scale: [1.7, 0.3, 2.0][run],
            learning_rate_ratio: [1.0, 4.0, 2.5][run],
            weight_decay: [0.0, 0.1, 0.01][run],
            max_grad_norm: [0.0, 0.5, 1e3][run],
        },
    }
}

/// The rows of one run.
struct Rows {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    features: Vec<f32>,
    expected: Vec<f32>,
    codes: Vec<f32>,
    segments: Vec<u32>,
    positions: Vec<u32>,
    noise: Vec<u32>,
}

impl Rows {
    fn new(plan: &Plan, case: &Case, run: usize) -> Rows {
        let count = plan.shape.rows_per_run();
        let mut draws = Draws::new(run as u64, "rows");
        let mut tokens = || -> Vec<u32> { (0..count).map(|_| draws.below(case.vocabulary)).collect() };
        let wide = |input: InputName, name: &str| {
            let len = plan.input(input).map_or(0, |input| input.kind.len(plan.shape));
            normal(&format!("{name}.{run}"), 1.0, len)
        };
        Rows {
            tokens: tokens(),
            targets: tokens(),
            // Every third row is left as it is.
            noise: (0..count)
                .flat_map(|row| [run as u32, 7, 2 + run as u32, if row % 3 == 1 { u32::MAX } else { row as u32 }])
                .collect(),
            positions: (0..count).map(|row| position(plan, row, run) as u32).collect(),
            weights: (0..count)
                .map(|row| if row % 5 == 3 { 0.0 } else { (1 + row % 4) as f32 / count as f32 })
                .collect(),
            features: wide(InputName::Features, "features"),
            expected: wide(InputName::Expected, "expected"),
            codes: wide(InputName::Codes, "codes"),
            segments: segments(plan.shape, run),
        }
    }

    fn input(&self) -> Inputs<'_> {
        let Rows { tokens, targets, weights, features, expected, codes, segments, positions, noise } = self;
        Inputs::new()
            .with(InputName::Tokens, tokens)
            .with(InputName::Targets, targets)
            .with(InputName::Weights, weights)
            .with(InputName::Features, features)
            .with(InputName::Expected, expected)
            .with(InputName::Codes, codes)
            .with(InputName::Segments, segments)
            .with(InputName::Positions, positions)
            .with(InputName::Noise, noise)
    }
}

/// The position of a row: any in a sequence, or one after the other from some position of the cache on.
fn position(plan: &Plan, row: usize, run: usize) -> usize {
    let (sequence, token) = (row / plan.shape.tokens, row % plan.shape.tokens);
    let context = plan.buffers.iter().find_map(|kind| match kind.rows {
        RowKind::Cached(context) => Some(context),
        _ => None,
    });
    match context {
        Some(context) => (5 * sequence + 7 * run + 3) % (context - plan.shape.tokens + 1) + token,
        None => (row * 5 + run) % plan.shape.tokens,
    }
}

/// Segments of several lengths, other ones for each run and sequence, among them padding; neighbours in two sequences may have the same number.
fn segments(shape: Shape, run: usize) -> Vec<u32> {
    let lengths = [3, 5, 2, 30, 1, 70].into_iter().cycle().skip(run);
    let numbered = lengths.zip([1, 2, 0, 3].into_iter().cycle());
    numbered.flat_map(|(length, number)| vec![number; length]).take(shape.rows_per_run()).collect()
}

pub fn normal(name: &str, std: f32, len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Stream::new(1, name).normal(std, &mut values);
    values
}
