//! The four-layer LoRA probe on loralab's GPU device and on burn's wgpu backend: one binary, one adapter, side by side.
//!
//! Four frozen 512 × 512 layers with ReLU between them, a LoRA of rank 8 on each, 1024 rows, mean squared error, plain gradient descent, all in f32,
//! the loss read back after every step. Both take turns, so that whatever else the machine does falls on both.
//!
//! `cargo run --release --manifest-path crates/xtask/bench/burn/Cargo.toml -- [STEPS]`

use loralab_core::graph::memory::InputName;
use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use burn::{
    module::{Lora, Module},
    nn::{Linear, LinearConfig},
    optim::{GradientsParams, ModuleOptimizer, SgdConfig},
    tensor::{Device as BurnDevice, DeviceKind, Distribution, Tensor as BurnTensor, activation::relu},
};
use loralab_core::{device::{Device, Gpu, Inputs, RunSettings, wait, webgpu::{Accelerator, Checks, Options, Profile, Tiling, Wanted, adapters}}, graph::{memory::{Data, Group, Tensor, Weight}, plan::{Optimizer, Shape}, shader::Tiles, tape::{Purpose, Tape}}};
use loralab_linalg::Stream;

const LAYERS: usize = 4;
const WIDTH: usize = 512;
const ROWS: usize = 1024;
const RANK: usize = 8;
const ALPHA: f64 = 16.0;
const LEARNING_RATE: f64 = 0.5;
/// Steps before the clock counts: burn times its kernels in the first ones.
const WARM_UP: usize = 3;

/// loralab's side.
struct Ours {
    device: Gpu,
    weights: Vec<f32>,
    features: Vec<f32>,
    expected: Vec<f32>,
}

impl Ours {
    fn new(checks: Checks) -> Result<Ours> {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        let options = Options { profile: Profile::Native, checks, tiling: Tiling::Timed(Tiles::default()), clock: || START.elapsed().as_secs_f64(), building: |_, _| {} };
        let accelerator = wait(async { Accelerator::open(Wanted::Any.choose(adapters().await)?, options).await })?;
        println!("loralab: {} ({}), checks {checks:?}", accelerator.found().name, accelerator.found().backend);
        let draw = |name: &str, len: usize, deviation: f32| {
            let mut values = vec![0.0; len];
            Stream::new(0, name).normal(deviation, &mut values);
            values
        };
        let base = (0..LAYERS).map(|layer| Tensor {
            name: format!("layers.{layer}"),
            shape: [WIDTH, WIDTH],
            data: Data::F32(draw(&format!("layers.{layer}"), WIDTH * WIDTH, (2.0 / WIDTH as f32).sqrt()).into()),
        });
        let base: Arc<[Tensor]> = base.collect();
        let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: ROWS }, false);
        let mut x = tape.features(WIDTH);
        for layer in 0..LAYERS {
            if layer > 0 {
                x = tape.relu(x);
            }
            x = tape.lora_linear(x, Weight::Frozen(layer), None, WIDTH, RANK, &format!("layers.{layer}"));
        }
        tape.mse(x);
        let plan = Arc::new(tape.compile(Purpose::Train(Optimizer::Sgd { momentum: 0.0 })));
        let mut start = Vec::new();
        for parameter in &plan.parameters {
            let deviation = if parameter.group == Group::A { 1.0 / (WIDTH as f32).sqrt() } else { 0.0 };
            start.extend(draw(&parameter.name, parameter.span.len, deviation));
        }
        let mut device = wait(Gpu::new(Arc::new(accelerator), plan, base))?;
        let scale = ALPHA / RANK as f64;
        device.load(
            0,
            &start,
            &[],
            RunSettings { scale, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 },
        );
        // A row's loss is a sum over its columns; burn's is the mean over all.
        let weights = vec![1.0 / (ROWS * WIDTH) as f32; ROWS];
        let (features, expected) = (draw("features", ROWS * WIDTH, 1.0), draw("expected", ROWS * WIDTH, 1.0));
        Ok(Ours { device, weights, features, expected })
    }

    fn step(&mut self) -> Result<f64> {
        let Ours { device, weights, features, expected } = self;
        let input = Inputs::new().with(InputName::Weights, weights).with(InputName::Features, features).with(InputName::Expected, expected);
        device.step(&[input], &[LEARNING_RATE]);
        let reports = wait(device.reports())?;
        let report = reports.last().and_then(|runs| runs[0].as_ref()).context("the run has stopped")?;
        Ok(report.loss)
    }
}

/// Four layers, as burn declares them.
#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Linear>,
}

/// burn's side.
struct Burn {
    model: Layers,
    optimizer: ModuleOptimizer,
    device: BurnDevice,
    features: BurnTensor<2>,
    expected: BurnTensor<2>,
}

impl Burn {
    fn new() -> Burn {
        let device = BurnDevice::wgpu(DeviceKind::DefaultDevice).autodiff();
        let layer = || LinearConfig::new(WIDTH, WIDTH).with_bias(false).init(&device);
        let model = Layers { layers: (0..LAYERS).map(|_| layer()).collect() }.apply_lora(Lora::new(RANK, ALPHA));
        let rows = || BurnTensor::<2>::random([ROWS, WIDTH], Distribution::Normal(0.0, 1.0), &device);
        let (features, expected) = (rows(), rows());
        Burn { model, optimizer: SgdConfig::new().init(), device, features, expected }
    }

    fn step(mut self) -> Result<(Burn, f64)> {
        let mut x = self.features.clone();
        for (index, layer) in self.model.layers.iter().enumerate() {
            if index > 0 {
                x = relu(x);
            }
            x = layer.forward(x);
        }
        let loss = (x - self.expected.clone()).powf_scalar(2.0).mean();
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
        self.model = self.optimizer.step(LEARNING_RATE, self.model, gradients);
        // Its loss is there before its optimiser has ended, which would go on within the other side's next step.
        self.device.sync().context("burn's device fails")?;
        Ok((self, value))
    }
}

fn main() -> Result<()> {
    let steps = std::env::args().nth(1).map_or(Ok(15), |text| text.parse()).context("STEPS is a number")?;
    ensure!(steps > 0, "STEPS is at least 1");
    let mut checked = Ours::new(Checks::On)?;
    let mut unchecked = Ours::new(Checks::Off)?;
    let mut burn = Burn::new();
    let (mut seconds, mut losses) = ([const { Vec::new() }; 3], [[0.0; 2]; 3]);
    for step in 0..WARM_UP + steps {
        let mut note = |side: usize, began: Instant, loss: f64| {
            let took = began.elapsed().as_secs_f64();
            losses[side][usize::from(step > 0)] = loss;
            if step >= WARM_UP {
                seconds[side].push(took);
            } else {
                println!("warm-up {step}: {} {took:.3} s, loss {loss:.5}", ["checked", "unchecked", "burn"][side]);
            }
        };
        let began = Instant::now();
        note(0, began, checked.step()?);
        let began = Instant::now();
        note(1, began, unchecked.step()?);
        let began = Instant::now();
        let (next, loss) = burn.step()?;
        note(2, began, loss);
        burn = next;
    }
    println!("\n| side | median step, ms | least | greatest | loss at first → at last |\n|---|---:|---:|---:|---|");
    let mut medians = [0.0; 3];
    for (side, name) in ["loralab, checked", "loralab, unchecked", "burn"].into_iter().enumerate() {
        seconds[side].sort_by(f64::total_cmp);
        let [first, last] = losses[side];
        let of = |at: usize| 1e3 * seconds[side][at];
        medians[side] = of(steps / 2);
        ensure!(last < first, "{name} did not learn: {first} → {last}");
        println!("| {name} | {:.3} | {:.3} | {:.3} | {first:.5} → {last:.5} |", of(steps / 2), of(0), of(steps - 1));
    }
    println!(
        "\nburn's step takes {:.2} times that of loralab unchecked, {:.2} times that of loralab checked.",
        medians[2] / medians[1],
        medians[2] / medians[0]
    );
    Ok(())
}
