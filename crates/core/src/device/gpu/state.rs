//! Saving and restoring the state of the runs.

use super::{Gpu, Progress, floats, words_of};
use crate::{
    device::{DeviceError, RunSettings, RunState},
    graph::{
        memory::{Drawn, Fill, Pairs},
        shader::Memory,
    },
};

impl Gpu {
    /// Sets a run to a start whose values are drawn on the GPU; the rest of its state is set to zero.
    pub(super) fn begin_drawn(&mut self, run: usize, drawn: &Drawn, settings: RunSettings) {
        self.flush();
        let (of_trained, of_moments) = self.state_lens();
        let bytes = |elements: usize| 4 * elements as u64;
        let mut encoder = self.accelerator.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (memory, elements) in [
            (Memory::Trained, of_trained),
            (Memory::FrozenPairs, of_trained),
            (Memory::Moments, of_moments),
            (Memory::States, 2),
        ] {
            if let (Some(buffer), false) = (self.buffers.get(memory), elements == 0) {
                encoder.clear_buffer(buffer, bytes(run * elements), Some(bytes(elements)));
            }
        }
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let pairs = (drawn.pairs == Pairs::Same).then_some(Memory::FrozenPairs);
            for buffer in
                [Some(Memory::Trained), pairs].into_iter().flatten().filter_map(|memory| self.buffers.get(memory))
            {
                for Fill { offset, len, stream, law } in &drawn.fills {
                    let place = (run * of_trained + offset, *len);
                    self.filler.fill(&self.accelerator, &mut pass, buffer, place, stream, *law);
                }
            }
        }
        if let Some(buffer) = self.buffers.get(Memory::Settings) {
            let words = words_of(settings);
            self.accelerator.queue().write_buffer(buffer, bytes(run * words.len()), bytemuck::cast_slice(&words));
        }
        self.accelerator.queue().submit([encoder.finish()]);
        self.runs[run] = Progress::default();
    }

    /// Reads the state of every run.
    pub(super) async fn read_states(&mut self) -> Result<Vec<RunState>, DeviceError> {
        self.flush();
        let trained = self.words(Memory::Trained).await?.unwrap_or_default();
        let moments = self.words(Memory::Moments).await?.unwrap_or_default();
        let (of_trained, of_moments) = self.state_lens();
        let part = |words: &[u32], run: usize, len: usize| floats(words.get(run * len..(run + 1) * len).unwrap_or(&[]));
        let state = |(run, progress): (usize, &Progress)| RunState {
            trained: part(&trained, run, of_trained),
            moments: part(&moments, run, of_moments),
            steps: progress.steps,
            diverged: progress.diverged,
        };
        Ok(self.runs.iter().enumerate().map(state).collect())
    }

    /// Restores the state of every run.
    pub(super) fn write_states(&mut self, states: &[RunState]) {
        self.flush();
        let (of_trained, of_moments) = self.state_lens();
        for (run, state) in states.iter().enumerate() {
            let RunState { trained, moments, steps, diverged } = state;
            let lens = (trained.len(), moments.len());
            assert_eq!(
                lens,
                (of_trained, of_moments),
                "a state must fill the plan's parameters and its optimiser's moments"
            );
            // The clipping factor needs no restoring: every step writes it.
            let flags = [u32::from(*diverged), 0];
            for (memory, words) in [
                (Memory::Trained, bytemuck::cast_slice(trained)),
                (Memory::Moments, bytemuck::cast_slice(moments)),
                (Memory::States, &flags[..]),
            ] {
                if let (Some(buffer), false) = (self.buffers.get(memory), words.is_empty()) {
                    let at = 4 * (run * words.len()) as u64;
                    self.accelerator.queue().write_buffer(buffer, at, bytemuck::cast_slice::<u32, u8>(words));
                }
            }
            self.runs[run] = Progress { steps: *steps, diverged: *diverged };
        }
    }

    /// Numbers of trained elements and of moments per run.
    fn state_lens(&self) -> (usize, usize) {
        let trained = self.plan.trained_len();
        (trained, trained * self.plan.moments())
    }
}
