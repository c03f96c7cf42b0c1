//! Verifies a plan on a GPU, dispatch by dispatch, against the error bound that the CPU's tracked scalar derives.
//!
//! Each dispatch is checked on the GPU's own inputs, so errors do not add up over a plan and the first wrong kernel is identified.
//! Outputs are filled with NaN before they are overwritten, and gradients hold nonzero values before they are added to.

use std::{collections::HashMap, sync::Arc};

use loralab_cpu::{Scalar, Scratch, Store, Threads, Tracked};

use crate::{
    device::{Cpu, Device, DeviceError, Gpu, Inputs, RunSettings, webgpu::GpuError},
    graph::{
        memory::{Buffer, Dtype, MicroBatch, Tensor, Type, Values},
        ops::{Dispatch, Op},
        plan::Plan,
        shader::Memory,
    },
};

/// A run's state before the step that is verified.
#[derive(Clone, Debug)]
pub struct State {
    /// Its trained tensors, flat.
    pub trained: Vec<f32>,
    /// Its frozen second pairs, flat; empty if the plan has none.
    pub frozen_pairs: Vec<f32>,
    /// Its settings.
    pub settings: RunSettings,
}

/// The result of verifying a plan on a GPU.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Every kernel that was compared with its bound, in order.
    pub kernels: Vec<Kernel>,
}

/// The result of one dispatch.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The names of the model's part, the op and its pass.
    pub name: String,
    /// The number of elements compared.
    pub elements: usize,
    /// The largest error, as a share of the allowed error.
    pub share: f64,
    /// The element with that error.
    pub worst: Element,
}

/// One element of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Element {
    /// The index of the run.
    pub run: usize,
    /// The index in the run's result.
    pub index: usize,
    /// The GPU's value.
    pub gpu: f32,
    /// The correct value.
    pub exact: f64,
    /// The allowed error.
    pub allowed: f64,
}

impl Verdict {
    /// The first kernel outside its bound.
    pub fn failure(&self) -> Option<&Kernel> {
        // The bound is more than arithmetic can lose, so an error equal to it is already wrong; so is NaN.
        self.kernels.iter().find(|kernel| kernel.share >= 1.0 || kernel.share.is_nan())
    }
}

/// Runs one step of `plan` on `gpu`, which must be made for it, and compares each dispatch with its bound.
///
/// # Errors
/// If an operation on the GPU fails. A wrong result is not an error but part of the [`Verdict`].
pub async fn verify(
    gpu: &mut Gpu,
    plan: &Arc<Plan>,
    base: &Arc<[Tensor]>,
    states: &[State],
    inputs: &[Inputs<'_>],
    learning_rates: &[f64],
) -> Result<Verdict, GpuError> {
    for (run, state) in states.iter().enumerate() {
        Device::load(gpu, run, &state.trained, &state.frozen_pairs, state.settings);
    }
    let mut judge = Judge { plan, base, states, inputs, verdict: Verdict::default() };
    poison(gpu, plan);
    gpu.place(inputs);
    judge.load(gpu).await?;
    let before: Vec<u32> = (0..plan.trained_len() * states.len()).map(|i| prefilled(i).to_bits()).collect();
    gpu.set_words(Memory::Gradients, &before);
    let mut gradients: Vec<f32> = bytemuck::cast_vec(before.clone());
    let dispatches: Vec<Dispatch> = plan.forward.iter().chain(&plan.backward).cloned().collect();
    for (index, dispatch) in dispatches.iter().enumerate() {
        let mut operands = HashMap::new();
        for (value, _) in dispatch.operands() {
            operands.insert(value, read(gpu, Memory::Rows(value)).await?);
        }
        for (value, store) in &dispatch.writes {
            if *store == Store::Set {
                gpu.set_words(Memory::Rows(*value), &vec![f32::NAN.to_bits(); operands[value].len()]);
            }
        }
        {
            let (_, launches) = gpu.dispatches().nth(index).expect("a GPU has the dispatches of its plan");
            gpu.launch(launches);
        }
        let mut results = HashMap::new();
        for (value, _) in &dispatch.writes {
            results.insert(*value, read(gpu, Memory::Rows(*value)).await?);
        }
        let after = match dispatch.adds_gradients() {
            true => Some(read(gpu, Memory::Gradients).await?),
            false => None,
        };
        judge.dispatch(dispatch, &operands, &results, &gradients, after.as_deref());
        gradients = after.unwrap_or(gradients);
    }
    if !plan.updates.is_empty() {
        judge.update(gpu, &gradients, learning_rates).await?;
    }
    Ok(judge.verdict)
}

/// Fills every row buffer that the host does not write with NaN, but a cache with numbers, as earlier calls leave them there.
fn poison(gpu: &Gpu, plan: &Plan) {
    for (index, kind) in plan.buffers.iter().enumerate() {
        let (buffer, len) = (Buffer(index), kind.len(plan.shape) * plan.shape.runs);
        let filler = |place| if kind.is_cached() { prefilled(place) } else { f32::NAN };
        if plan.inputs.iter().all(|input| input.buffer != buffer) {
            gpu.set_words(Memory::Rows(buffer), &Vec::from_iter((0..len).map(|place| filler(place).to_bits())));
        }
    }
}

/// The value of a gradient's element before anything is added to it.
fn prefilled(index: usize) -> f32 {
    0.01 * ((index % 7) as f32 - 3.0)
}

async fn read(gpu: &Gpu, memory: Memory) -> Result<Vec<f32>, GpuError> {
    Ok(bytemuck::cast_vec(gpu.words(memory).await?.unwrap_or_default()))
}

fn exact(values: &[f32]) -> Vec<Tracked> {
    values.iter().map(|&x| Tracked::from_f32(x)).collect()
}

struct Judge<'a> {
    plan: &'a Arc<Plan>,
    base: &'a Arc<[Tensor]>,
    states: &'a [State],
    inputs: &'a [Inputs<'a>],
    verdict: Verdict,
}

impl Judge<'_> {
    /// Compares the inputs on the GPU with those that were given, bit by bit.
    async fn load(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        let mut comparison = Comparison::new("inputs step/load".to_owned());
        for input in &self.plan.inputs {
            let words = read(gpu, Memory::Rows(input.buffer)).await?;
            for (run, inputs) in self.inputs.iter().enumerate() {
                let given = inputs.of(input, self.plan.shape);
                let given: &[f32] = bytemuck::cast_slice(given.slice().words());
                comparison.compare(run, &words[run * given.len()..(run + 1) * given.len()], &exact(given));
            }
        }
        self.verdict.kernels.push(comparison.0);
        Ok(())
    }

    /// Computes a dispatch from the GPU's operands, and compares with the GPU's results.
    fn dispatch(
        &mut self,
        dispatch: &Dispatch,
        operands: &HashMap<Buffer, Vec<f32>>,
        results: &HashMap<Buffer, Vec<f32>>,
        before: &[f32],
        after: Option<&[f32]>,
    ) {
        let (plan, rows) = (self.plan, self.plan.shape.rows_per_run());
        let of_run = |run: usize, kind: Type| {
            let len = kind.len(plan.shape);
            run * len..(run + 1) * len
        };
        let tables: Vec<Vec<Tracked>> =
            plan.tables.iter().map(|table| table.iter().map(|&x| Tracked::from_f32(x as f32)).collect()).collect();
        let elements = plan.trained_len();
        let name = format!("{} {}/{}", dispatch.label, dispatch.op.name(), dispatch.pass.name());
        let mut comparison = Comparison::new(name);
        for (run, state) in self.states.iter().enumerate() {
            let buffers = plan.buffers.len();
            let mut values = Values { rows, buffers: vec![vec![]; buffers], words: vec![vec![]; buffers] };
            for (buffer, kind) in dispatch.operands() {
                let of_run = &operands[&buffer][of_run(run, kind)];
                match kind.dtype {
                    Dtype::U32 => values.words[buffer.0] = of_run.iter().map(|x| x.to_bits()).collect(),
                    _ => values.buffers[buffer.0] = exact(of_run),
                }
            }
            let mut gradients = exact(&before[run * elements..(run + 1) * elements]);
            let mut micro_batch = MicroBatch {
                values: &mut values,
                trained: &exact(&state.trained),
                frozen_pairs: &exact(&state.frozen_pairs),
                gradients: &mut gradients,
                base: self.base,
                tables: &tables,
                scale: Tracked::from_f32(state.settings.scale as f32),
                threads: Threads::One,
                scratch: &mut Scratch::new(),
            };
            Op::run(dispatch, &mut micro_batch);
            for (buffer, kind) in dispatch.operands().skip(dispatch.reads.len()) {
                comparison.compare(run, &results[&buffer][of_run(run, kind)], &values.buffers[buffer.0]);
            }
            if let Some(after) = after {
                comparison.compare(run, &after[run * elements..(run + 1) * elements], &gradients);
            }
        }
        self.verdict.kernels.push(comparison.0);
    }

    /// Compares the updates that follow a complete gradient.
    async fn update(&mut self, gpu: &mut Gpu, gradients: &[f32], learning_rates: &[f64]) -> Result<(), GpuError> {
        let loss = self.plan.results.loss.map(Memory::Rows);
        let losses = match loss {
            Some(memory) => read(gpu, memory).await?,
            None => vec![],
        };
        let (rows, elements) = (self.plan.shape.rows_per_run(), self.plan.trained_len());
        let names: Vec<&str> = self.plan.updates.iter().map(|update| update.name()).collect();
        let mut comparison = Comparison::new(format!("after the step {}", names.join(", ")));
        let mut cpu = Cpu::<Tracked>::new(self.plan.clone(), self.base.clone(), Some(1));
        for (run, state) in self.states.iter().enumerate() {
            cpu.load(run, &state.trained, &state.frozen_pairs, rounded(state.settings));
        }
        let before: Vec<u32> = gradients.iter().map(|x| x.to_bits()).collect();
        // Run twice, since a first step has zero moments. Both start from the same gradients, which the updates change, and from the GPU's state.
        for _ in 0..2 {
            cpu.restore(&gpu.states().await.map_err(|DeviceError::Gpu(error)| error)?);
            gpu.set_words(Memory::Gradients, &before);
            let mut gradients = exact(gradients);
            let reports = gpu.replay_updates(self.inputs, learning_rates).await?;
            let trained = read(gpu, Memory::Trained).await?;
            for run in 0..self.states.len() {
                let zero = Tracked::ZERO;
                // Sums that a GPU takes in an order of its own.
                let of_rows = exact(&losses[run * rows..(run + 1) * rows]);
                let loss = Tracked::dot(zero, Tracked::ONE, of_rows.into_iter().map(|loss| (loss, Tracked::ONE)));
                let of_run = &mut gradients[run * elements..(run + 1) * elements];
                let squares = Tracked::dot(zero, Tracked::ONE, of_run.iter().map(|&g| (g, g)));
                let report = cpu.apply(run, loss, of_run, f64::from(learning_rates[run] as f32));
                let of_gpu = reports[run].as_ref();
                let said = of_gpu.map_or([f32::NAN; 2], |report| [report.loss as f32, report.gradient_norm as f32]);
                if report.diverged.is_none() {
                    comparison.compare(run, &said, &[loss, squares.sqrt()]);
                }
                comparison.compare(run, &trained[run * elements..(run + 1) * elements], cpu.trained_scalars(run));
                let agrees = of_gpu.is_some_and(|of_gpu| of_gpu.diverged == report.diverged);
                comparison.compare(run, &[f32::from(u8::from(agrees))], &[Tracked::ONE]);
            }
        }
        self.verdict.kernels.push(comparison.0);
        Ok(())
    }
}

/// The settings rounded to f32, as on the GPU.
fn rounded(settings: RunSettings) -> RunSettings {
    let round = |x: f64| f64::from(x as f32);
    RunSettings {
        scale: round(settings.scale),
        learning_rate_ratio: round(settings.learning_rate_ratio),
        weight_decay: round(settings.weight_decay),
        max_grad_norm: round(settings.max_grad_norm),
    }
}

struct Comparison(Kernel);

impl Comparison {
    fn new(name: String) -> Comparison {
        Comparison(Kernel { name, elements: 0, share: 0.0, worst: Element::default() })
    }

    fn compare(&mut self, run: usize, gpu: &[f32], expected: &[Tracked]) {
        let kernel = &mut self.0;
        for (index, (&gpu, tracked)) in gpu.iter().zip(expected).enumerate() {
            let off = (f64::from(gpu) - tracked.value).abs();
            let share = match tracked.error {
                _ if off == 0.0 || gpu.is_nan() && tracked.value.is_nan() => 0.0,
                // An infinite bound would accept any value, so it counts as a failure.
                error if error.is_finite() => off / error,
                _ => f64::NAN,
            };
            kernel.elements += 1;
            // The first NaN stays the worst.
            if (share > kernel.share || share.is_nan()) && !kernel.share.is_nan() {
                kernel.share = share;
                kernel.worst = Element { run, index, gpu, exact: tracked.value, allowed: tracked.error };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, Kernel, Verdict};

    #[test]
    fn an_error_of_all_that_is_allowed_is_a_failure() {
        for (share, fails) in
            [(0.0, false), (0.9999, false), (1.0, true), (1.5, true), (f64::INFINITY, true), (f64::NAN, true)]
        {
            let kernel = Kernel { name: "add/forward".to_owned(), elements: 1, share, worst: Element::default() };
            assert_eq!(Verdict { kernels: vec![kernel] }.failure().is_some(), fails, "{share}");
        }
    }
}
