//! A pass without a step: losses, gradients and observed values of every run.

use super::{Gpu, floats, sum};
use crate::{
    device::{Inputs, Probe, webgpu::GpuError},
    graph::shader::Memory,
};

impl Gpu {
    /// The results of a pass over these rows for every run, one `Inputs` per run.
    pub(super) async fn pass(&mut self, inputs: &[Inputs<'_>]) -> Result<Vec<Probe>, GpuError> {
        self.place(inputs);
        self.submit(self.forward());
        // The backward pass may reuse the buffers of observed values, so they are read before it.
        let mut observed = Vec::with_capacity(self.plan.observed.len());
        for (value, _) in &self.plan.observed {
            observed.push(self.words(Memory::Rows(*value)).await?.unwrap_or_default());
        }
        let prediction = match self.plan.results.prediction {
            Some(value) => self.words(Memory::Rows(value)).await?.unwrap_or_default(),
            None => vec![],
        };
        self.submit(self.backward());
        let losses = match self.plan.results.loss {
            Some(value) => self.words(Memory::Rows(value)).await?.unwrap_or_default(),
            None => vec![],
        };
        let gradients = self.words(Memory::Gradients).await?.unwrap_or_default();
        let (rows, elements) = (self.plan.shape.rows_per_run(), self.plan.trained_len());
        let said = prediction.len() / self.plan.shape.runs;
        // A buffer may be wider than the value that it holds now, which is dense from the buffer's start.
        let of_run = |run: usize| Probe {
            loss: losses.get(run * rows..(run + 1) * rows).map_or(0.0, sum),
            gradient: gradients.get(run * elements..(run + 1) * elements).map_or(vec![], floats),
            observed: observed
                .iter()
                .zip(&self.plan.observed)
                .map(|(words, (_, columns))| floats(&words[run * rows * columns..(run + 1) * rows * columns]))
                .collect(),
            prediction: floats(&prediction[run * said..(run + 1) * said]),
        };
        Ok((0..self.plan.shape.runs).map(of_run).collect())
    }
}
