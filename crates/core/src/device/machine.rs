//! The hardware that devices are made on: CPU threads or an opened GPU.

use std::sync::Arc;

use super::{Answer, Cpu, Device, Gpu, Needs, workers::Workers};
use crate::{
    device::webgpu::Accelerator,
    graph::{memory::Tensor, plan::Plan},
};

/// Hardware that replays plans.
#[derive(Clone)]
pub enum Machine {
    /// A CPU with this many threads; `None` for as many as it offers.
    Cpu(Option<usize>),
    /// A GPU.
    Gpu(Arc<Accelerator>),
}

impl Machine {
    /// A readable description of the hardware.
    pub fn describe(&self) -> String {
        match self {
            Machine::Cpu(_) if cfg!(target_family = "wasm") => "CPU, 1 thread of WebAssembly".to_owned(),
            Machine::Cpu(threads) => match Workers::new(*threads).count() {
                1 => "CPU, 1 thread".to_owned(),
                threads => format!("CPU, {threads} threads"),
            },
            Machine::Gpu(accelerator) => accelerator.found().to_string(),
        }
    }

    /// Memory and limits that a plan requires on this machine.
    pub fn needs(&self, plan: &Plan, base: &[Tensor]) -> Needs {
        match self {
            Machine::Cpu(threads) => Cpu::<f32>::needs(plan, base, *threads),
            Machine::Gpu(accelerator) => Gpu::needs(accelerator, plan, base),
        }
    }

    /// Makes a device for a plan.
    pub fn make(&self, plan: Arc<Plan>, base: Arc<[Tensor]>) -> Answer<'_, Box<dyn Device>> {
        Box::pin(async move {
            Ok(match self {
                Machine::Cpu(threads) => Box::new(Cpu::<f32>::new(plan, base, *threads)) as Box<dyn Device>,
                Machine::Gpu(accelerator) => Box::new(Gpu::new(accelerator.clone(), plan, base).await?),
            })
        })
    }
}
