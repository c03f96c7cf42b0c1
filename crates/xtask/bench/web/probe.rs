//! The four-layer LoRA probe on loralab's devices in a browser.
//!
//! Four frozen 512 × 512 layers with ReLU between them, a LoRA of rank 8 on each, 1024 rows, mean squared error, plain gradient descent, all in f32,
//! the loss read back after every step. The numbers it starts from are handed out, so that the libraries it is measured beside start from the same,
//! and equal losses show that all compute the same.
#![cfg(target_family = "wasm")]

use loralab_core::graph::memory::InputName;
use std::sync::Arc;

use js_sys::{Array, Date, Float32Array};
use loralab_core::{
    device::{
        Device, Inputs, Machine, RunSettings,
        webgpu::{Accelerator, Checks, Options, Profile, Tiling, Wanted, adapters},
    },
    graph::{
        memory::{Data, Group, Tensor, Weight},
        plan::{Optimizer, Plan, Shape},
        shader::Tiles,
        tape::{Purpose, Tape},
    },
};
use loralab_linalg::Stream;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

const LAYERS: usize = 4;
const WIDTH: usize = 512;
const ROWS: usize = 1024;
const RANK: usize = 8;
const ALPHA: f64 = 16.0;
const LEARNING_RATE: f64 = 0.5;

/// The numbers that every side starts from.
#[wasm_bindgen]
pub struct Start {
    base: Vec<Vec<f32>>,
    a: Vec<Vec<f32>>,
    features: Vec<f32>,
    expected: Vec<f32>,
}

#[wasm_bindgen]
impl Start {
    /// Draws them.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Start {
        let draw = |name: &str, len: usize, deviation: f32| {
            let mut values = vec![0.0; len];
            Stream::new(0, name).normal(deviation, &mut values);
            values
        };
        let of_layers = |kind: &str, len, deviation| {
            (0..LAYERS).map(|layer| draw(&format!("layers.{layer}.{kind}"), len, deviation)).collect()
        };
        Start {
            base: of_layers("weight", WIDTH * WIDTH, (2.0 / WIDTH as f32).sqrt()),
            a: of_layers("lora_A", RANK * WIDTH, 1.0 / (WIDTH as f32).sqrt()),
            features: draw("features", ROWS * WIDTH, 1.0),
            expected: draw("expected", ROWS * WIDTH, 1.0),
        }
    }

    /// W of every layer, (512, 512).
    pub fn base(&self) -> Array {
        self.base.iter().map(|values| Float32Array::from(&values[..])).collect()
    }

    /// A of every layer, (8, 512). Every B, (512, 8), is zero.
    pub fn a(&self) -> Array {
        self.a.iter().map(|values| Float32Array::from(&values[..])).collect()
    }

    /// The inputs, (1024, 512).
    pub fn features(&self) -> Float32Array {
        Float32Array::from(&self.features[..])
    }

    /// The targets, (1024, 512).
    pub fn expected(&self) -> Float32Array {
        Float32Array::from(&self.expected[..])
    }
}

impl Default for Start {
    fn default() -> Start {
        Start::new()
    }
}

/// loralab's side.
#[wasm_bindgen]
pub struct Probe {
    device: Box<dyn Device>,
    name: String,
    weights: Vec<f32>,
    features: Vec<f32>,
    expected: Vec<f32>,
}

#[wasm_bindgen]
impl Probe {
    /// On the browser's GPU, be it software, with its products in tiles of a size, such as `64x64`; without one on a thread of the processor.
    ///
    /// # Errors
    /// Without a GPU that WebGPU shows, and if there are no such tiles.
    #[expect(clippy::arc_with_non_send_sync, reason = "a browser's tab has one thread; natively the same is sent")]
    pub async fn open(start: &Start, tile: Option<String>) -> Result<Probe, JsError> {
        let machine = match tile {
            Some(tile) => Machine::Gpu(Arc::new(accelerator(Tiles::all(tile.parse()?)).await?)),
            None => Machine::Cpu(None),
        };
        let plan = Arc::new(plan());
        let base = start.base.iter().enumerate().map(|(layer, values)| Tensor {
            name: format!("layers.{layer}"),
            shape: [WIDTH, WIDTH],
            data: Data::F32(values.clone().into()),
        });
        let mut device = machine.make(plan.clone(), base.collect()).await?;
        let mut a = start.a.iter();
        let mut trained = Vec::new();
        for parameter in &plan.parameters {
            match parameter.group {
                Group::A => trained.extend(a.next().expect("a layer has one A")),
                _ => trained.resize(trained.len() + parameter.span.len, 0.0),
            }
        }
        let (scale, learning_rate_ratio) = (ALPHA / RANK as f64, 1.0);
        device.load(
            0,
            &trained,
            &[],
            RunSettings { scale, learning_rate_ratio, weight_decay: 0.0, max_grad_norm: 0.0 },
        );
        // A row's loss is a sum over its columns; the others' is the mean over all.
        let weights = vec![1.0 / (ROWS * WIDTH) as f32; ROWS];
        let (features, expected) = (start.features.clone(), start.expected.clone());
        Ok(Probe { device, name: machine.describe(), weights, features, expected })
    }

    /// The name of the device that it trains on.
    pub fn device(&self) -> String {
        self.name.clone()
    }

    /// Makes a step, and waits for the loss before it.
    ///
    /// # Errors
    /// If the GPU fails.
    pub async fn step(&mut self) -> Result<f64, JsError> {
        let Probe { device, weights, features, expected, name: _ } = self;
        let input = Inputs::new()
            .with(InputName::Weights, &*weights)
            .with(InputName::Features, &*features)
            .with(InputName::Expected, &*expected);
        device.step(&[input], &[LEARNING_RATE]);
        let reports = device.reports().await?;
        let report = reports.last().and_then(|runs| runs[0].as_ref());
        report.map(|report| report.loss).ok_or_else(|| JsError::new("the run has stopped"))
    }
}

/// As the page's worker opens it, but for the tiles.
async fn accelerator(tiles: Tiles) -> Result<Accelerator, JsError> {
    let options = Options {
        profile: Profile::WebBase,
        checks: Checks::On,
        tiling: Tiling::Given(tiles),
        clock: || Date::now() / 1000.0,
        building: |_, _| {},
    };
    Ok(Accelerator::open(Wanted::Any.choose(adapters().await)?, options).await?)
}

fn plan() -> Plan {
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: ROWS }, false);
    let mut x = tape.features(WIDTH);
    for layer in 0..LAYERS {
        if layer > 0 {
            x = tape.relu(x);
        }
        x = tape.lora_linear(x, Weight::Frozen(layer), None, WIDTH, RANK, &format!("layers.{layer}"));
    }
    tape.mse(x);
    tape.compile(Purpose::Train(Optimizer::Sgd { momentum: 0.0 }))
}
