//! The rings: rows and learning rates of the passes to come, gathered on the host and written together.

use super::buffers::Buffers;
use crate::{
    device::{Inputs, webgpu::Accelerator},
    graph::shader::Memory,
};

/// What waits on the host to be written, and where in the rings it goes.
#[derive(Default)]
pub struct Rings {
    /// The slot of the pass that is gathered next.
    slot: usize,
    /// Words of a slot.
    words_per_slot: usize,
    /// Rows of the slots that wait, slot by slot, the last of them before `slot`.
    words: Vec<u32>,
    /// Learning rates and bias corrections of the same slots; zeros where no update follows.
    rates: Vec<[f32; 3]>,
}

impl Rings {
    /// Gathers the rows of one pass; returns its slot. Nothing is allocated once as many passes waited before.
    pub fn push(&mut self, buffers: &Buffers, inputs: &[Inputs<'_>]) -> usize {
        let (slot, before) = (self.slot, self.words.len());
        buffers.gather(inputs, &mut self.words);
        self.words_per_slot = self.words.len() - before;
        self.rates.extend(inputs.iter().map(|_| [0.0; 3]));
        self.slot = (slot + 1) % buffers.slots;
        slot
    }

    /// The learning rate and bias corrections of each run, for the update after the last pass.
    pub fn rate(&mut self, rates: impl ExactSizeIterator<Item = [f32; 3]>) {
        let first = self.rates.len() - rates.len();
        self.rates[first..].iter_mut().zip(rates).for_each(|(place, rates)| *place = rates);
    }

    /// Writes what waits.
    pub fn write(&mut self, accelerator: &Accelerator, buffers: &Buffers) {
        if let Some(waiting) = self.words.len().checked_div(self.words_per_slot) {
            let first = (self.slot + buffers.slots - waiting) % buffers.slots;
            write(accelerator, buffers, Memory::Ring, &self.words, first, waiting);
            write(accelerator, buffers, Memory::Rates, bytemuck::cast_slice(&self.rates), first, waiting);
        }
        self.words.clear();
        self.rates.clear();
    }
}

/// Writes the values of `waiting` slots to a ring, from slot `first` on; what passes its end goes to its start.
fn write(accelerator: &Accelerator, buffers: &Buffers, memory: Memory, words: &[u32], first: usize, waiting: usize) {
    let (Some(ring), false) = (buffers.get(memory), words.is_empty()) else { return };
    let of_slot = words.len() / waiting;
    let (head, tail) = words.split_at(of_slot * waiting.min(buffers.slots - first));
    let queue = accelerator.queue();
    queue.write_buffer(ring, 4 * (first * of_slot) as u64, bytemuck::cast_slice(head));
    if !tail.is_empty() {
        queue.write_buffer(ring, 0, bytemuck::cast_slice(tail));
    }
}
