//! The rings: input rows and learning rates of the coming passes, collected on the host and written together.

use super::buffers::Buffers;
use crate::{
    device::{Inputs, webgpu::Accelerator},
    graph::shader::Memory,
};

/// Data collected on the host for the rings, and their slots.
#[derive(Default)]
pub struct Rings {
    /// Slot of the next pass.
    slot: usize,
    /// Words per slot.
    words_per_slot: usize,
    /// Rows of the slots that are not yet written, slot by slot; the last is the one before `slot`.
    words: Vec<u32>,
    /// Learning rates and bias corrections of the same slots; zeros if no update follows the pass.
    rates: Vec<[f32; 3]>,
}

impl Rings {
    /// Adds the rows of one pass and returns its slot. Allocates only when more passes wait than ever before.
    pub fn push(&mut self, buffers: &Buffers, inputs: &[Inputs<'_>]) -> usize {
        let (slot, before) = (self.slot, self.words.len());
        buffers.gather(inputs, &mut self.words);
        self.words_per_slot = self.words.len() - before;
        self.rates.extend(inputs.iter().map(|_| [0.0; 3]));
        self.slot = (slot + 1) % buffers.slots;
        slot
    }

    /// Sets the learning rate and bias corrections of each run for the update after the last added pass.
    pub fn rate(&mut self, rates: impl ExactSizeIterator<Item = [f32; 3]>) {
        let first = self.rates.len() - rates.len();
        self.rates[first..].iter_mut().zip(rates).for_each(|(place, rates)| *place = rates);
    }

    /// Writes the collected data to the GPU's rings.
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

/// Writes the words of `waiting` slots to a ring, from slot `first` on, wrapping at its end.
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
