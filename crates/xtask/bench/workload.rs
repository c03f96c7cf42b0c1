//! The training that is measured: adapters of the default sweep's shape on the *tiny* base, over text of the little world.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use loralab_core::{
    device::{Cpu, Device, Gpu, RunSettings, wait, webgpu::Accelerator},
    graph::{
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Cohort, Run},
    lora::init,
    models::{Adapters, Base, Training, llama::MODULES},
};
use loralab_data::{Dataset, pretraining};
use loralab_tokenizer::Tokenizer;

const SEQUENCES: usize = 8;
const TOKENS: usize = 64;
const RANK: usize = 8;
const ALPHA: f64 = 16.0;

/// The base and the data.
pub struct Workload {
    pub base: Base,
    /// Text, so that every position counts in the loss, here as in PyTorch.
    pub text: Dataset,
}

impl Workload {
    /// Reads the base; makes the text.
    pub fn new() -> Result<Workload> {
        let path = base_path();
        let bytes = fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
        let base = Base::from_safetensors(bytes).with_context(|| path.display().to_string())?;
        Ok(Workload { base, text: Dataset::Text(pretraining(&Tokenizer::Bytes, 1, 1 << 20)) })
    }

    /// The training plan of `runs` runs.
    pub fn plan(&self, runs: usize) -> Plan {
        let mut tape = Tape::new(Shape { runs, sequences: SEQUENCES, tokens: TOKENS }, false);
        let adapters = Adapters::new(RANK, MODULES.map(str::to_owned).to_vec());
        self.base.model.record(&mut tape, Training::Adapters(&self.base, &adapters));
        tape.compile(Purpose::Train(Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }))
    }

    /// A CPU device for a plan.
    pub fn device(&self, plan: &Arc<Plan>, threads: Option<usize>) -> Cpu<f32> {
        Cpu::new(plan.clone(), self.base.tensors.clone(), threads)
    }

    /// A cohort of `runs` on a GPU, or on all threads.
    pub fn cohort(&self, runs: &[Run], gpu: Option<&Arc<Accelerator>>) -> Result<Cohort<'_>> {
        let plan = Arc::new(self.plan(runs.len()));
        let device: Box<dyn Device> = match gpu {
            Some(gpu) => Box::new(wait(Gpu::new(gpu.clone(), plan.clone(), self.base.tensors.clone()))?),
            None => Box::new(self.device(&plan, None)),
        };
        Ok(Cohort::new(runs.to_vec(), plan, &self.base.tensors, device, &self.text)?)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (model, gflop) = (&self.base.model, self.plan(1).flops() as f64 / 1e9);
        let (layers, width, weights) = (model.layers(), model.linears()[0].inputs, model.parameters());
        write!(f, "- a run: *tiny* ({layers} layers, width {width}, {weights} weights)")?;
        write!(f, ", r = {RANK}, all seven modules, batch {SEQUENCES} × {TOKENS}, AdamW, f32: {gflop:.3} GFLOP a step")
    }
}

/// The path of the base's file.
pub fn base_path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/bases/tiny.safetensors"))
}

/// `count` runs as a sweep has them: two seeds, and rates that none of them diverges at.
pub fn runs(count: usize) -> Result<Vec<Run>> {
    let scheme = init::find("init-a")?;
    let settings =
        RunSettings { scale: ALPHA / RANK as f64, learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 1.0 };
    let run = |index: usize| {
        let learning_rate = 1e-3 * (1.0 + (index / 2) as f64 / 8.0);
        Run { scheme, chosen: Default::default(), seed: index as u64 % 2, learning_rate, settings }
    };
    Ok((0..count).map(run).collect())
}
