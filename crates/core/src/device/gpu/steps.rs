//! Submission of passes, and reading of their reports and losses.

use super::{CLEAR, Gpu, Pass, Progress, encode, floats, sum};
use crate::{
    device::{DeviceError, Evaluation, Inputs, StepReport, webgpu::GpuError},
    graph::{plan::Optimizer, shader::Memory},
};

/// Maximum seconds of GPU work that one submit should hold.
const SUBMIT: f64 = 0.1;
/// Flags of a report.
const NO_PART: u32 = 0;
const DIVERGED: u32 = 2;

impl Gpu {
    /// Sets the rates of the update after the last pass.
    pub(super) fn set_rates(&mut self, learning_rates: &[f64]) {
        let (beta1, beta2) = match self.plan.optimizer() {
            Some(Optimizer::AdamW { beta1, beta2, .. }) => (beta1, beta2),
            _ => (0.0, 0.0),
        };
        let of_run = |(run, rate): (&mut Progress, &f64)| {
            run.steps += 1;
            let bias = |beta: f64| (1.0 - beta.powf(run.steps as f64)) as f32;
            [*rate as f32, bias(beta1), bias(beta2)]
        };
        self.rings.rate(self.runs.iter_mut().zip(learning_rates).map(of_run));
    }

    /// Writes the rows of a pass without an update to the current slot.
    pub(super) fn fill(&mut self, inputs: &[Inputs<'_>]) {
        self.rings.push(&self.buffers, inputs);
        self.rings.write(&self.accelerator, &self.buffers);
    }

    /// Submits the waiting passes: all together if they are short, each in parts if it is long.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.submitted == 0 {
            self.since = (self.accelerator.options().clock)();
        }
        self.submitted += self.waiting.len();
        self.rings.write(&self.accelerator, &self.buffers);
        if self.pass_seconds <= SUBMIT {
            self.submit(self.waiting.iter().flat_map(|pass| self.entries(*pass)).map(|entry| &self.step[entry]));
        } else {
            for pass in &self.waiting {
                let entries: Vec<usize> = self.entries(*pass).collect();
                let shares: Vec<f64> = entries.iter().map(|&entry| self.shares[entry]).collect();
                let mut from = 0;
                while from < entries.len() {
                    let until = from + part(&shares[from..], SUBMIT / self.pass_seconds);
                    self.submit(entries[from..until].iter().map(|&entry| &self.step[entry]));
                    from = until;
                }
            }
        }
        self.waiting.clear();
    }

    /// The indices of the entries of `step` that a pass launches.
    fn entries(&self, Pass { first, last }: Pass) -> impl Iterator<Item = usize> + use<> {
        let updates = self.step.len() - 2;
        (0..self.step.len()).filter(move |&entry| (first || entry != CLEAR) && (last || entry != updates))
    }

    pub(super) async fn read_reports(&mut self) -> Result<Vec<Vec<Option<StepReport>>>, DeviceError> {
        self.flush();
        let (steps, passes) = (self.awaited.len(), std::mem::take(&mut self.submitted));
        if steps == 0 {
            return Ok(vec![]);
        }
        let words = self.words(Memory::Reports).await;
        let mut reports = Vec::with_capacity(steps);
        if let Ok(Some(words)) = &words {
            let seconds = (self.accelerator.options().clock)() - self.since;
            self.pass_seconds = seconds / passes as f64;
            reports.extend((0..steps).map(|step| self.reports_of(self.awaited[step], words)));
        }
        self.awaited.clear();
        words?;
        Ok(reports)
    }

    /// The reports of the step at `slot`, from the words of the ring of reports.
    pub(super) fn reports_of(&mut self, slot: usize, words: &[u32]) -> Vec<Option<StepReport>> {
        let of_step = words.chunks_exact(4 * self.plan.shape.runs).nth(slot).unwrap_or_default();
        of_step.chunks_exact(4).enumerate().map(|(run, words)| self.report(run, words)).collect()
    }

    fn report(&mut self, run: usize, words: &[u32]) -> Option<StepReport> {
        let [loss, norm, place, flag] = [words[0], words[1], words[2], words[3]];
        self.runs[run].diverged = flag != 1;
        if flag == NO_PART {
            return None;
        }
        let diverged = (flag == DIVERGED).then(|| {
            let tensor =
                self.plan.parameters.iter().find(|parameter| parameter.span.range().contains(&(place as usize)));
            tensor.map_or_else(|| "the gradient's norm".to_owned(), |parameter| parameter.name.clone())
        });
        let [loss, gradient_norm] = [loss, norm].map(|bits| f64::from(f32::from_bits(bits)));
        Some(StepReport { loss, gradient_norm, diverged })
    }

    /// Losses and answers of some batches, at most as many as the rings have slots.
    pub(super) async fn evaluate_some(
        &mut self,
        batches: &[Vec<Inputs<'_>>],
    ) -> Result<Vec<Vec<Option<Evaluation>>>, GpuError> {
        let losses = self.buffers.get(self.losses()).cloned();
        let answers = self.plan.results.answers.and_then(|buffer| self.buffers.get(Memory::Rows(buffer)).cloned());
        let results: Vec<wgpu::Buffer> = losses.into_iter().chain(answers).collect();
        let bytes = 4 * (self.plan.shape.rows_per_run() * self.plan.shape.runs) as u64;
        let total = bytes * (results.len() * batches.len()) as u64;
        let staging = self.accelerator.staging(total);
        let mut at = 0;
        for inputs in batches {
            self.fill(inputs);
            let mut encoder =
                self.accelerator.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encode(&mut encoder, None, self.before()[..1].iter().chain(self.forward()).chain(self.next()));
            for result in &results {
                encoder.copy_buffer_to_buffer(result, 0, &staging, at, bytes);
                at += bytes;
            }
            self.accelerator.queue().submit([encoder.finish()]);
        }
        let words = self.accelerator.read(&staging, (total / 4) as usize).await?;
        let rows = self.plan.shape.rows_per_run();
        let all = (bytes / 4) as usize;
        let of_batch = |batch: &[u32]| {
            let of_run = |(run, progress): (usize, &Progress)| {
                let range = run * rows..(run + 1) * rows;
                (!progress.diverged).then(|| Evaluation {
                    loss: sum(&batch[range.clone()]),
                    answers: batch.get(all..).map_or(vec![], |rows| rows.get(range).map_or(vec![], floats)),
                })
            };
            self.runs.iter().enumerate().map(of_run).collect()
        };
        Ok(words.chunks_exact(all * results.len()).map(of_batch).collect())
    }
}

/// Number of leading entries whose shares sum to at most `most`, but at least one.
fn part(shares: &[f64], most: f64) -> usize {
    let mut held = 0.0;
    let fit = shares.iter().take_while(|&&share| {
        held += share;
        held <= most
    });
    fit.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_step_is_cut_between_its_entries() {
        let shares = [0.1, 0.2, 0.3, 0.4];
        assert_eq!(part(&shares, 0.65), 3);
        assert_eq!(part(&shares[3..], 0.65), 1);
        // An entry that is too long by itself is submitted alone.
        assert_eq!(part(&shares, 0.05), 1);
        assert_eq!(part(&shares, 2.0), 4);
    }
}
