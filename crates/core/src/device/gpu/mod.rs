//! The GPU device: replays a plan on a GPU, all runs of a cohort in each launch.
//!
//! Everything is made once: a buffer for each row buffer of the plan, the flat buffers of all runs, a pipeline and a bind group for each launch. A
//! step is then a list of launches in one compute pass: one or more *passes*, each over one batch, which accumulate losses and gradients, and an update after
//! the last. The data that differ between passes are in *rings* with slots for a few passes: the host writes rows and learning rates ahead, the kernels
//! read them from slot `slot` and write their reports to a ring of the same length, and the last launch increments `slot`. So one submit holds several steps,
//! and the host reads the reports of all of them at once. A long pass is split into several submits instead, so that a display on the same GPU stays
//! responsive and pausing takes effect soon.

mod buffers;
mod needs;
mod probe;
mod replay;
mod rings;
mod state;
mod steps;
mod timing;
mod tune;
mod update;

use std::{collections::HashMap, sync::Arc};

use buffers::Buffers;
use replay::{Ready, encode};
use rings::Rings;
pub use update::SHADERS;

use super::{Answer, Device, Evaluation, Inputs, Probe, RunSettings, RunState, StepReport};
use crate::{
    device::webgpu::{Accelerator, Filler, GpuError, Tiling},
    graph::{
        memory::{Buffer, Drawn, Tensor},
        ops::{Dispatch, Op},
        plan::Plan,
        shader::{Grid, Launch, Memory, Tiles},
    },
};

/// Seconds of work that is submitted ahead.
const AHEAD: f64 = 0.05;
/// Index of the entry of a step that clears the gradients.
const CLEAR: usize = 1;

/// The GPU device of a plan.
pub struct Gpu {
    accelerator: Arc<Accelerator>,
    plan: Arc<Plan>,
    buffers: Buffers,
    /// Launches of a step of one pass, by entry: loading the rows, clearing the gradients, the dispatches of the plan one by one,
    /// gathering the losses, all updates, and the move to the next slot.
    step: Vec<Vec<Ready>>,
    /// Estimated share of each entry of `step` in its work.
    shares: Vec<f64>,
    runs: Vec<Progress>,
    rings: Rings,
    filler: Filler,
    /// Passes that are not yet submitted.
    waiting: Vec<Pass>,
    /// The slot of the last pass.
    slot: usize,
    /// Passes since the last update, and passes of the last step.
    gathered: usize,
    passes_per_step: usize,
    /// Slots of the updates whose reports were not yet read.
    awaited: Vec<usize>,
    /// Number of passes submitted since reports were last read, the clock at the first of them, and the seconds of a pass.
    submitted: usize,
    since: f64,
    pass_seconds: f64,
    /// The device of the plan's prefill, which has base, adapters and caches in common with this one.
    prefill: Option<Box<Gpu>>,
}

/// A pass that is to be submitted.
#[derive(Clone, Copy)]
struct Pass {
    /// True for the first pass of a step; the gradients are cleared before it.
    first: bool,
    /// True if an update follows.
    last: bool,
}

/// The host's record of a run.
#[derive(Clone, Copy, Default)]
struct Progress {
    steps: u64,
    diverged: bool,
}

impl Gpu {
    /// Makes the buffers, pipelines and bind groups for replaying `plan` over `base`.
    ///
    /// # Errors
    /// If the GPU is too small, does not accept a shader, or fails.
    pub async fn new(accelerator: Arc<Accelerator>, plan: Arc<Plan>, base: Arc<[Tensor]>) -> Result<Gpu, GpuError> {
        let mut gpu = Gpu::with(accelerator.clone(), plan.clone(), base.clone(), HashMap::new()).await?;
        if let Some(prefill) = &plan.prefill {
            let shared = gpu.buffers.shared(&plan, prefill);
            gpu.prefill = Some(Box::new(Gpu::with(accelerator, prefill.clone(), base, shared).await?));
        }
        Ok(gpu)
    }

    /// The same, over some buffers that are there already.
    async fn with(
        accelerator: Arc<Accelerator>,
        plan: Arc<Plan>,
        base: Arc<[Tensor]>,
        given: HashMap<Memory, wgpu::Buffer>,
    ) -> Result<Gpu, GpuError> {
        for dispatch in &plan.forward {
            if let Some(reason) = dispatch.op.refusal() {
                return Err(GpuError::Unsupported { label: dispatch.label.clone(), reason });
            }
        }
        let launches = |tiles: &Tiles| -> Vec<Vec<Launch>> {
            let grid = grid(&accelerator, &plan, &base, tiles);
            plan.forward.iter().chain(&plan.backward).map(|dispatch| Op::launch(dispatch, &grid)).collect()
        };
        let mut passes = launches(&accelerator.tiles());
        let updates = update::launches(&plan);
        let clear = if plan.backward.is_empty() { vec![] } else { vec![update::clear(&plan)] };
        let gather = update::gather(&plan);
        let used = passes.iter().flatten().chain(&updates).chain(&clear).chain(&gather);
        let buffers = Buffers::new(&accelerator, &plan, &base, used, given).await?;
        // Timing the tiles costs more than a plan with only a forward pass could gain.
        if matches!(accelerator.options().tiling, Tiling::Timed(_)) && !plan.backward.is_empty() {
            tune::tune(&accelerator, &plan, &base, &buffers).await?;
            passes = launches(&accelerator.tiles());
        }
        let (load, next) = (buffers.loads(), vec![update::next(buffers.slots)]);
        let gather: Vec<Launch> = gather.into_iter().collect();
        let mut ready = replay::Maker::new(&accelerator, &buffers);
        let lists = [&load, &clear].into_iter().chain(&passes).chain([&gather, &updates, &next]);
        accelerator.build_all(lists.clone().flatten()).await?;
        let step = ready.each(lists).await?;
        ready.finish();
        let filler = accelerator.filler().await?;
        accelerator.check()?;
        let shares = shares(&plan);
        let runs = vec![Progress::default(); plan.shape.runs];
        Ok(Gpu {
            // The first estimate is that of a fast GPU; the first reading of reports corrects it.
            pass_seconds: plan.flops() as f64 / if accelerator.found().software { 2e9 } else { 2e12 },
            accelerator,
            plan,
            buffers,
            step,
            shares,
            runs,
            rings: Rings::default(),
            filler,
            waiting: vec![],
            slot: 0,
            gathered: 0,
            passes_per_step: 1,
            awaited: vec![],
            submitted: 0,
            since: 0.0,
            prefill: None,
        })
    }

    /// The dispatches of the plan, forward first, each with its launches.
    pub fn dispatches(&self) -> impl Iterator<Item = (&Dispatch, &[Ready])> {
        let dispatches = self.plan.forward.iter().chain(&self.plan.backward);
        dispatches.zip(self.passes().iter().map(Vec::as_slice))
    }

    /// Loads the rows of `inputs` into the plan's buffers and clears the gradients; for callers that replay dispatch by dispatch.
    pub fn place(&mut self, inputs: &[Inputs<'_>]) {
        self.flush();
        self.fill(inputs);
        self.submit(self.before().iter().chain(self.next()));
    }

    /// Submits these launches now.
    pub fn launch(&self, launches: &[Ready]) {
        self.submit([launches]);
    }

    /// The words of a buffer; `None` if the plan has no such buffer.
    ///
    /// # Errors
    /// Any fault on the GPU.
    pub async fn words(&self, memory: Memory) -> Result<Option<Vec<u32>>, GpuError> {
        let Some(buffer) = self.buffers.get(memory) else { return Ok(None) };
        self.accelerator.download(buffer, 0..(buffer.size() / 4) as usize).await.map(Some)
    }

    /// Overwrites the start of a buffer, if the plan has it.
    pub fn set_words(&self, memory: Memory, words: &[u32]) {
        if let Some(buffer) = self.buffers.get(memory) {
            self.accelerator.write(buffer, words);
        }
    }

    /// Runs the updates once, at these learning rates, on the losses and gradients that the buffers hold now; for callers that replay
    /// dispatch by dispatch.
    ///
    /// # Errors
    /// Any fault on the GPU.
    pub async fn replay_updates(
        &mut self,
        inputs: &[Inputs<'_>],
        learning_rates: &[f64],
    ) -> Result<Vec<Option<StepReport>>, GpuError> {
        let slot = self.rings.push(&self.buffers, inputs);
        self.set_rates(learning_rates);
        self.rings.write(&self.accelerator, &self.buffers);
        self.submit(self.after());
        let words = self.words(Memory::Reports).await?.unwrap_or_default();
        Ok(self.reports_of(slot, &words))
    }

    fn losses(&self) -> Memory {
        Memory::Rows(self.plan.results.loss.unwrap_or(Buffer(0)))
    }

    /// The entries before the plan's dispatches: loading and clearing.
    fn before(&self) -> &[Vec<Ready>] {
        &self.step[..2]
    }

    /// The entries of the plan's dispatches, forward first.
    fn passes(&self) -> &[Vec<Ready>] {
        &self.step[2..self.step.len() - 3]
    }

    fn forward(&self) -> &[Vec<Ready>] {
        &self.passes()[..self.plan.forward.len()]
    }

    fn backward(&self) -> &[Vec<Ready>] {
        &self.passes()[self.plan.forward.len()..]
    }

    /// The entries after the plan's dispatches: gathering, updates, the move to the next slot.
    fn after(&self) -> &[Vec<Ready>] {
        &self.step[self.step.len() - 3..]
    }

    fn next(&self) -> &[Vec<Ready>] {
        &self.step[self.step.len() - 1..]
    }

    fn submit<L: AsRef<[Ready]>>(&self, lists: impl IntoIterator<Item = L>) {
        let mut encoder = self.accelerator.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encode(&mut encoder, None, lists);
        self.accelerator.queue().submit([encoder.finish()]);
    }
}

impl Device for Gpu {
    fn draw(&mut self, run: usize, drawn: &Drawn, settings: RunSettings) {
        assert_eq!(drawn.len, self.plan.trained_len(), "a start must fill the plan's parameters");
        self.begin_drawn(run, drawn, settings);
    }

    fn load(&mut self, run: usize, trained: &[f32], frozen_pairs: &[f32], settings: RunSettings) {
        assert_eq!(trained.len(), self.plan.trained_len(), "a start must fill the plan's parameters");
        self.flush();
        let queue = self.accelerator.queue();
        let settings = words_of(settings);
        let zeros = vec![0.0_f32; self.plan.moments() * trained.len()];
        for (memory, values) in [
            (Memory::Trained, trained),
            (Memory::FrozenPairs, frozen_pairs),
            (Memory::Moments, &zeros),
            (Memory::Settings, &settings),
            (Memory::States, &[0.0; 2]),
        ] {
            if let (Some(buffer), false) = (self.buffers.get(memory), values.is_empty()) {
                queue.write_buffer(buffer, 4 * (run * values.len()) as u64, bytemuck::cast_slice(values));
            }
        }
        self.runs[run] = Progress::default();
    }

    fn accumulate(&mut self, inputs: &[Inputs<'_>]) {
        if self.waiting.len() == self.buffers.slots {
            self.flush();
        }
        self.slot = self.rings.push(&self.buffers, inputs);
        self.waiting.push(Pass { first: self.gathered == 0, last: false });
        self.gathered += 1;
    }

    fn update(&mut self, learning_rates: &[f64]) {
        let ahead = (self.awaited.len() + 1) * self.gathered;
        assert!(
            self.awaited.is_empty() || ahead <= self.buffers.slots,
            "no more steps fit until their reports are read"
        );
        self.set_rates(learning_rates);
        self.waiting.last_mut().expect("an update follows a pass").last = true;
        self.awaited.push(self.slot);
        self.passes_per_step = std::mem::take(&mut self.gathered);
    }

    fn share_to_leave(&self) -> f64 {
        // The base is uploaded and the pipelines are made anew.
        0.25
    }

    fn steps_ahead(&self) -> usize {
        let fit = self.buffers.slots / self.passes_per_step;
        ((AHEAD / (self.pass_seconds * self.passes_per_step as f64)) as usize).clamp(1, fit.max(1))
    }

    fn reports(&mut self) -> Answer<'_, Vec<Vec<Option<StepReport>>>> {
        Box::pin(self.read_reports())
    }

    fn evaluate<'a>(&'a mut self, batches: &'a [Vec<Inputs<'a>>]) -> Answer<'a, Vec<Vec<Option<Evaluation>>>> {
        Box::pin(async move {
            self.flush();
            let mut evaluations = Vec::with_capacity(batches.len());
            for some in batches.chunks(self.buffers.slots) {
                evaluations.extend(self.evaluate_some(some).await?);
            }
            Ok(evaluations)
        })
    }

    fn predict<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Vec<f32>>> {
        Box::pin(async move {
            self.place(inputs);
            self.submit(self.forward());
            let Some(buffer) = self.plan.results.prediction else { return Ok(vec![]) };
            let words = self.words(Memory::Rows(buffer)).await?.unwrap_or_default();
            let of_run = words.len() / self.plan.shape.runs;
            Ok(words.chunks_exact(of_run).map(floats).collect())
        })
    }

    fn prefill(&mut self, inputs: &[Inputs<'_>]) {
        self.flush();
        if let Some(prefill) = &mut self.prefill {
            prefill.place(inputs);
            prefill.submit(prefill.forward());
        }
    }

    fn probe<'a>(&'a mut self, inputs: &'a [Inputs<'a>]) -> Answer<'a, Vec<Probe>> {
        Box::pin(async move { Ok(self.pass(inputs).await?) })
    }

    fn trained(&mut self) -> Answer<'_, Vec<Vec<f32>>> {
        Box::pin(async move {
            self.flush();
            let words = self.words(Memory::Trained).await?.unwrap_or_default();
            let of_run = |run| floats(words.get(run..run + self.plan.trained_len()).unwrap_or_default());
            Ok((0..self.plan.shape.runs).map(|run| of_run(run * self.plan.trained_len())).collect())
        })
    }

    fn states(&mut self) -> Answer<'_, Vec<RunState>> {
        Box::pin(self.read_states())
    }

    fn restore(&mut self, states: &[RunState]) {
        self.write_states(states);
    }
}

/// Settings in the layout of the kernels.
fn words_of(settings: RunSettings) -> [f32; 4] {
    [settings.scale, settings.learning_rate_ratio, settings.weight_decay, settings.max_grad_norm].map(|x| x as f32)
}

/// The sizes that launches depend on.
fn grid<'a>(accelerator: &Accelerator, plan: &Plan, base: &'a [Tensor], tiles: &'a Tiles) -> Grid<'a> {
    let (runs, rows, trained) = (plan.shape.runs, plan.shape.rows_per_run(), plan.trained_len());
    Grid { runs, rows, trained, base, binding: accelerator.largest_part(), tiles }
}

/// The share of each entry in a step's work, estimated from its arithmetic and memory traffic.
fn shares(plan: &Plan) -> Vec<f64> {
    // Cost of reading or writing an element, in arithmetic operations.
    const MOVED: f64 = 16.0;
    let rows = (plan.shape.rows_per_run() * plan.shape.runs) as f64;
    let work = |dispatch: &Dispatch| {
        let moved = dispatch.types.iter().map(|kind| kind.columns).sum::<usize>() as f64;
        rows * (dispatch.op.flops_per_row(dispatch.pass) as f64 + MOVED * moved)
    };
    let elements = MOVED * plan.trained_len() as f64 * plan.shape.runs as f64;
    let passes = plan.forward.iter().chain(&plan.backward).map(work);
    let work: Vec<f64> = [rows, elements].into_iter().chain(passes).chain([rows, 4.0 * elements, 1.0]).collect();
    let all = work.iter().sum::<f64>();
    work.into_iter().map(|work| work / all).collect()
}

fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&bits| f32::from_bits(bits)).collect()
}

fn sum(words: &[u32]) -> f64 {
    words.iter().map(|&bits| f64::from(f32::from_bits(bits))).sum()
}
