//! A pass without a step: losses, gradients and LoRA features of every run.

use super::{Gpu, floats, sum};
use crate::{
    device::{Input, Probe},
    gpu::GpuError,
    shader::Memory,
};

impl Gpu {
    /// What a pass over these rows says of every run, one input a run.
    pub(super) async fn pass(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Probe>, GpuError> {
        self.place(inputs);
        self.submit(self.forward());
        // The backward pass needs the features and then gives their buffers on, so they are read before it.
        let mut features = Vec::with_capacity(self.plan.lora_features.len());
        for value in &self.plan.lora_features {
            features.push(self.words(Memory::Rows(*value)).await?.unwrap_or_default());
        }
        let prediction = match self.plan.ports.prediction {
            Some(value) => self.words(Memory::Rows(value)).await?.unwrap_or_default(),
            None => vec![],
        };
        self.submit(self.backward());
        let losses = self.words(self.losses()).await?.unwrap_or_default();
        let gradients = self.words(Memory::Gradients).await?.unwrap_or_default();
        let (rows, elements) = (self.plan.shape.rows_per_run(), self.plan.trained_len());
        let said = prediction.len() / self.plan.shape.runs;
        // A buffer may be wider than the value that it holds now, which lies dense at its start.
        let of_run = |run: usize| Probe {
            loss: sum(&losses[run * rows..(run + 1) * rows]),
            gradient: floats(&gradients[run * elements..(run + 1) * elements]),
            lora_features: features
                .iter()
                .zip(self.plan.ranks())
                .map(|(words, rank)| floats(&words[run * rows * rank..(run + 1) * rows * rank]))
                .collect(),
            prediction: floats(&prediction[run * said..(run + 1) * said]),
        };
        Ok((0..self.plan.shape.runs).map(of_run).collect())
    }
}
