//! The buffers of a plan on a GPU: the buffer of each memory that a launch binds, and the layout of the rings that the host fills.

use std::{collections::HashMap, ops::Range};

use super::update;
use crate::{
    device::{
        Inputs,
        webgpu::{Accelerator, GpuError},
    },
    graph::{
        memory::{Buffer, Data, Input, Shape, Tensor},
        plan::Plan,
        shader::{Launch, Memory, word},
    },
};

/// Maximum number of steps that can be submitted ahead.
const SLOTS: usize = 32;
/// Maximum bytes of input rows in the ring, unless one step needs more.
const RING: usize = 16 << 20;

/// The buffers of one plan.
pub struct Buffers {
    buffers: HashMap<Memory, wgpu::Buffer>,
    /// Number of slots of the rings, one per pass.
    pub slots: usize,
    shape: Shape,
    inputs: Vec<Input>,
}

impl Buffers {
    /// Makes the buffers that `launches` bind, except for those that are `given`.
    ///
    /// # Errors
    /// If a buffer is larger than the GPU allows, or the checksum of an uploaded base tensor is wrong.
    pub async fn new<'a>(
        accelerator: &Accelerator,
        plan: &Plan,
        base: &[Tensor],
        launches: impl Iterator<Item = &'a Launch>,
        given: HashMap<Memory, wgpu::Buffer>,
    ) -> Result<Buffers, GpuError> {
        let slots = slots(plan);
        let mut buffers = given;
        let named = launches.flat_map(|launch| launch.buffers.iter().copied());
        let always = [Memory::Ring, Memory::Slot, Memory::Trained, Memory::Settings];
        let rows = (0..plan.buffers.len()).map(|index| Memory::Rows(Buffer(index)));
        for memory in named.chain(always).chain(rows) {
            if buffers.contains_key(&memory) {
                continue;
            }
            let buffer = match memory {
                Memory::Base(index, part) => {
                    let tensor = &base[index];
                    let rows = tensor.parts(accelerator.largest_part()).swap_remove(part);
                    let elements = rows.start * tensor.shape[1]..rows.end * tensor.shape[1];
                    accelerator.upload(&tensor.name, &stored(&tensor.data, elements)).await?
                }
                Memory::Table(index) => {
                    let words: Vec<u32> = plan.tables[index].iter().map(|&x| (x as f32).to_bits()).collect();
                    accelerator.upload("a table", &words).await?
                }
                Memory::Places => accelerator.upload("the table of parameters", &update::places(plan)).await?,
                other => {
                    let (what, words) = size(plan, slots, other);
                    accelerator.storage(what, 4 * words as u64)?
                }
            };
            buffers.insert(memory, buffer);
        }
        Ok(Buffers { buffers, slots, shape: plan.shape, inputs: plan.inputs.clone() })
    }

    /// The buffer of a memory, if the plan has it.
    pub fn get(&self, memory: Memory) -> Option<&wgpu::Buffer> {
        self.buffers.get(&memory)
    }

    /// The buffers that the prefill of `plan`, whose buffers these are, has in common with it: the base, the tables, the adapters and the caches.
    pub fn shared(&self, plan: &Plan, prefill: &Plan) -> HashMap<Memory, wgpu::Buffer> {
        let is_common = |memory: &Memory| {
            matches!(
                memory,
                Memory::Base(..) | Memory::Table(_) | Memory::Trained | Memory::FrozenPairs | Memory::Settings
            )
        };
        let common = self.buffers.iter().filter(|(memory, _)| is_common(memory));
        let caches = plan.caches().zip(prefill.caches()).filter_map(|((own, _), (other, _))| {
            self.get(Memory::Rows(own)).map(|buffer| (Memory::Rows(other), buffer.clone()))
        });
        common.map(|(memory, buffer)| (*memory, buffer.clone())).chain(caches).collect()
    }

    /// The launches that copy a step's input rows from the ring to the plan's buffers.
    pub fn loads(&self) -> Vec<Launch> {
        let words = |input: &Input| input.kind.len(self.shape) * self.shape.runs;
        let stride: usize = self.inputs.iter().map(words).sum();
        let mut offset = 0;
        let load = |input: &Input| {
            let words = words(input);
            let params = [words, offset, stride].map(word);
            offset += words;
            Launch::over(&update::LOAD, words, &params, &[Memory::Ring, Memory::Slot, Memory::Rows(input.buffer)])
        };
        self.inputs.iter().map(load).collect()
    }

    /// Appends the words of one slot of the ring to `words`: input by input, run by run.
    ///
    /// # Panics
    /// If an input is missing or its length differs from the plan's rows.
    pub fn gather(&self, of_runs: &[Inputs<'_>], words: &mut Vec<u32>) {
        for input in &self.inputs {
            of_runs.iter().for_each(|inputs| words.extend_from_slice(inputs.of(input, self.shape).slice().words()));
        }
    }
}

/// Words of the input rows of one step, all runs together.
pub fn input_words(plan: &Plan) -> usize {
    plan.inputs.iter().map(|input| input.kind.len(plan.shape)).sum::<usize>() * plan.shape.runs
}

/// Number of slots of a plan's rings.
pub fn slots(plan: &Plan) -> usize {
    (RING / (4 * input_words(plan)).max(1)).clamp(1, SLOTS)
}

/// Readable name of a memory, and its size in 32-bit words.
fn size(plan: &Plan, slots: usize, memory: Memory) -> (&'static str, usize) {
    let (runs, rows, flat) = (plan.shape.runs, plan.shape.rows_per_run() * plan.shape.runs, plan.trained_len());
    match memory {
        Memory::Rows(buffer) => ("the activations of a cohort", runs * plan.buffers[buffer.0].len(plan.shape)),
        Memory::Scratch(columns) => ("the activations of a cohort", rows * columns as usize),
        Memory::Limits => ("the segments of a cohort", 2 * rows),
        Memory::Trained => ("the adapters of a cohort", runs * flat),
        Memory::FrozenPairs => ("the frozen pairs of a cohort", runs * flat),
        Memory::Gradients => ("the gradients of a cohort", runs * flat),
        Memory::Moments => ("the optimiser's moments", runs * flat * plan.moments()),
        Memory::Preconditioned => ("the preconditioned gradients of a cohort", runs * flat),
        Memory::Products => ("the preconditioners of a cohort", runs * plan.parameters.len() * plan.rank().pow(2)),
        Memory::Triangles => {
            let rank = plan.rank();
            ("the preconditioners of a cohort", runs * plan.parameters.len() * rank * (rank + 1))
        }
        Memory::Settings => ("settings", 4 * runs),
        Memory::States => ("states", 2 * runs),
        Memory::Losses => ("losses", 64 * runs),
        Memory::Partials => ("sums over gradients", 2 * runs * update::blocks(plan)),
        Memory::Rates => ("learning rates", 3 * runs * slots),
        Memory::Reports => ("reports", 4 * runs * slots),
        Memory::Ring => ("batches", input_words(plan) * slots),
        Memory::Slot => ("a place in the rings", 1),
        Memory::Base(..) | Memory::Table(_) | Memory::Places => ("a table", 0),
    }
}

/// The stored bits of some elements of a tensor as 32-bit words; 16-bit elements are packed in pairs, the first in the low bits, smaller ones as they are stored.
fn stored(data: &Data, elements: Range<usize>) -> Vec<u32> {
    let pairs = |bits: &mut dyn Iterator<Item = u16>| -> Vec<u32> {
        let mut words = Vec::new();
        while let Some(low) = bits.next() {
            words.push(u32::from(low) | u32::from(bits.next().unwrap_or(0)) << 16);
        }
        words
    };
    match data {
        Data::F32(data) => data[elements].iter().map(|x| x.to_bits()).collect(),
        Data::F16(data) => pairs(&mut data[elements].iter().map(|x| x.to_bits())),
        Data::Bf16(data) => pairs(&mut data[elements].iter().map(|x| x.to_bits())),
        Data::Quantised(data) => data.words(elements).to_vec(),
    }
}
