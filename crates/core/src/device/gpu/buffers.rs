//! The buffers of a plan on a GPU: where each memory that a launch names lies, and how the host fills the rings.

use std::collections::HashMap;

use super::update;
use crate::{
    device::{
        Input,
        webgpu::{Accelerator, GpuError},
    },
    graph::{
        memory::{Data, Tensor},
        plan::Plan,
        shader::{Launch, Memory, word},
    },
};

/// Steps that can be handed over at once, at most.
const SLOTS: usize = 32;
/// Bytes of rows that wait for their step, at most, unless one step has more.
const RING: usize = 16 << 20;

/// The buffers of one plan.
pub struct Buffers {
    buffers: HashMap<Memory, wgpu::Buffer>,
    /// Steps that the rings hold.
    pub slots: usize,
    runs: usize,
    ports: Vec<Port>,
}

/// Rows that a model reads.
struct Port {
    what: Part,
    memory: Memory,
    words_per_run: usize,
}

/// Which part of an input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Tokens,
    Targets,
    Weights,
    Features,
    Expected,
}

impl Buffers {
    /// Makes the buffers that `launches` name.
    ///
    /// # Errors
    /// If one is larger than the GPU allows, or the base did not arrive.
    pub async fn new<'a>(
        accelerator: &Accelerator,
        plan: &Plan,
        base: &[Tensor],
        launches: impl Iterator<Item = &'a Launch>,
    ) -> Result<Buffers, GpuError> {
        let ports = ports(plan);
        let slots = slots(plan);
        let mut buffers = HashMap::new();
        let named = launches.flat_map(|launch| launch.buffers.iter().copied());
        let always = [Memory::Ring, Memory::Slot, Memory::Trained, Memory::Settings];
        let rows = (0..plan.buffers.len()).map(|index| Memory::Rows(crate::graph::memory::Value(index)));
        let read = ports.iter().map(|port| port.memory);
        for memory in named.chain(always).chain(rows).chain(read) {
            if buffers.contains_key(&memory) {
                continue;
            }
            let buffer = match memory {
                Memory::Base(index) => accelerator.upload(&base[index].name, &stored(&base[index].data)).await?,
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
        Ok(Buffers { buffers, slots, runs: plan.shape.runs, ports })
    }

    /// Where a memory lies, if the plan has it.
    pub fn get(&self, memory: Memory) -> Option<&wgpu::Buffer> {
        self.buffers.get(&memory)
    }

    /// The launches that copy a step's rows from the ring.
    pub fn loads(&self) -> Vec<Launch> {
        let runs = |words: usize| words * self.runs;
        let stride: usize = self.ports.iter().map(|port| runs(port.words_per_run)).sum();
        let mut offset = 0;
        let load = |port: &Port| {
            let words = runs(port.words_per_run);
            let params = [words, offset, stride].map(word);
            offset += words;
            Launch::over(&update::LOAD, words, &params, &[Memory::Ring, Memory::Slot, port.memory])
        };
        self.ports.iter().map(load).collect()
    }

    /// Adds the words of one slot of the ring: part by part, run by run.
    ///
    /// # Panics
    /// If an input is not as long as the plan's rows.
    pub fn gather(&self, inputs: &[Input<'_>], words: &mut Vec<u32>) {
        for port in &self.ports {
            for input in inputs {
                let part: &[u32] = match port.what {
                    Part::Tokens => input.tokens,
                    Part::Targets => input.targets,
                    Part::Weights => bytemuck::cast_slice(input.weights),
                    Part::Features => bytemuck::cast_slice(input.features),
                    Part::Expected => bytemuck::cast_slice(input.expected),
                };
                assert_eq!(part.len(), port.words_per_run, "an input must fill the plan's rows");
                words.extend_from_slice(part);
            }
        }
    }
}

/// Words of the rows of one step.
pub fn input_words(plan: &Plan) -> usize {
    ports(plan).iter().map(|port| port.words_per_run).sum::<usize>() * plan.shape.runs
}

/// Steps that the rings of a plan hold.
pub fn slots(plan: &Plan) -> usize {
    (RING / (4 * input_words(plan)).max(1)).clamp(1, SLOTS)
}

fn ports(plan: &Plan) -> Vec<Port> {
    let rows = plan.shape.rows_per_run();
    let ports = &plan.ports;
    let mut found = Vec::new();
    for (what, memory, read) in
        [(Part::Tokens, Memory::Tokens, ports.tokens), (Part::Targets, Memory::Targets, ports.targets)]
    {
        if read {
            found.push(Port { what, memory, words_per_run: rows });
        }
    }
    for (what, port) in
        [(Part::Weights, ports.weights), (Part::Features, ports.features), (Part::Expected, ports.expected)]
    {
        if let Some(value) = port {
            found.push(Port { what, memory: Memory::Rows(value), words_per_run: rows * plan.buffers[value.0] });
        }
    }
    found
}

/// What a memory is, in words, and how many words it takes.
fn size(plan: &Plan, slots: usize, memory: Memory) -> (&'static str, usize) {
    let (runs, rows, flat) = (plan.shape.runs, plan.shape.rows_per_run() * plan.shape.runs, plan.trained_len());
    match memory {
        Memory::Rows(value) => ("the activations of a cohort", rows * plan.buffers[value.0]),
        Memory::Scratch(columns) => ("the activations of a cohort", rows * columns as usize),
        Memory::Tokens | Memory::Targets => ("tokens", rows),
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
        Memory::Partials => ("sums over gradients", 2 * runs * update::blocks(plan)),
        Memory::Rates => ("learning rates", 3 * runs * slots),
        Memory::Reports => ("reports", 4 * runs * slots),
        Memory::Ring => ("batches", input_words(plan) * slots),
        Memory::Slot => ("a place in the rings", 1),
        Memory::Base(_) | Memory::Table(_) | Memory::Places => ("a table", 0),
    }
}

/// The bits of a tensor as stored, two halves to a word, the first in the low bits.
fn stored(data: &Data) -> Vec<u32> {
    let pairs = |bits: &mut dyn Iterator<Item = u16>| -> Vec<u32> {
        let mut words = Vec::new();
        while let Some(low) = bits.next() {
            words.push(u32::from(low) | u32::from(bits.next().unwrap_or(0)) << 16);
        }
        words
    };
    match data {
        Data::F32(data) => data.iter().map(|x| x.to_bits()).collect(),
        Data::F16(data) => pairs(&mut data.iter().map(|x| x.to_bits())),
        Data::Bf16(data) => pairs(&mut data.iter().map(|x| x.to_bits())),
    }
}
