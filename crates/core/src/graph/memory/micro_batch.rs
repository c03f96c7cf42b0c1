//! A micro-batch: a fixed block of one run's rows, and everything a CPU worker needs to compute on it.

use loralab_cpu::{Scalar, Scratch, Threads, Weights};

use super::{Buffer, Span, Tensor, Weight};

/// The data that one worker has while it computes a block of whole sequences of one run.
///
/// A kernel sees only the micro-batch, so its result cannot depend on the cohort or on the number of threads.
pub struct MicroBatch<'a, S> {
    /// The buffers of row values.
    pub values: &'a mut Values<S>,
    /// The run's trained tensors, flat.
    pub trained: &'a [S],
    /// The frozen second pairs, in the layout of `trained`; empty if the plan has none.
    pub frozen_pairs: &'a [S],
    /// This micro-batch's contribution to the gradients, in the layout of `trained`; kernels add to it.
    pub gradients: &'a mut [S],
    /// Tensors of the frozen base.
    pub base: &'a [Tensor],
    /// Tables computed on the host (cosines, sines), shared by all runs.
    pub tables: &'a [Vec<S>],
    /// The run's LoRA scale s.
    pub scale: S,
    /// Threads that kernels may use: idle ones too if this is the only micro-batch being computed.
    pub threads: Threads,
    /// Reusable working memory of the kernels.
    pub scratch: &'a mut Scratch<S>,
}

impl<'a, S: Scalar> MicroBatch<'a, S> {
    /// A weight in the form that the kernels take.
    pub fn weight(&self, weight: Weight) -> Weights<'a, S> {
        match weight {
            Weight::Frozen(index) => self.base[index].data.weights(),
            Weight::Trained(span) => Weights::Exact(self.trained(span)),
        }
    }

    /// A trained tensor.
    pub fn trained(&self, span: Span) -> &'a [S] {
        &self.trained[span.range()]
    }

    /// A tensor of the frozen second pair.
    pub fn frozen_pair(&self, span: Span) -> &'a [S] {
        &self.frozen_pairs[span.range()]
    }
}

/// The row buffers of a micro-batch, each (rows, columns) from its start.
#[derive(Default)]
pub struct Values<S> {
    /// Rows of the micro-batch: whole sequences of one run.
    pub rows: usize,
    /// One per buffer of the plan; empty if the buffer holds integers.
    pub buffers: Vec<Vec<S>>,
    /// One per buffer of the plan; empty if the buffer holds floats.
    pub words: Vec<Vec<u32>>,
}

impl<S: Scalar> Values<S> {
    /// Reads a value of `columns` columns.
    pub fn read(&self, buffer: Buffer, columns: usize) -> &[S] {
        &self.buffers[buffer.0][..self.rows * columns]
    }

    /// Reads a column of integers.
    pub fn ids(&self, buffer: Buffer) -> &[u32] {
        self.words(buffer, 1)
    }

    /// Reads integers of `columns` columns.
    pub fn words(&self, buffer: Buffer, columns: usize) -> &[u32] {
        &self.words[buffer.0][..self.rows * columns]
    }

    /// Reads all of a value that is kept between calls.
    pub fn cached(&self, buffer: Buffer) -> &[S] {
        &self.buffers[buffer.0]
    }

    /// Calls `write` with all of a value that is kept between calls, while the other values can be read.
    pub fn write_cached(&mut self, buffer: Buffer, write: impl FnOnce(&Self, &mut [S])) {
        let mut cache = std::mem::take(&mut self.buffers[buffer.0]);
        write(self, &mut cache);
        self.buffers[buffer.0] = cache;
    }

    /// Calls `write` with the (rows, columns) elements of the values in `targets`, while the other values can be read.
    ///
    /// The buffers are moved out and back (three words each); no op reads a buffer that it writes.
    pub fn write<const COUNT: usize>(
        &mut self,
        targets: [(Buffer, usize); COUNT],
        write: impl FnOnce(&Self, [&mut [S]; COUNT]),
    ) {
        let mut buffers = targets.map(|(value, _)| std::mem::take(&mut self.buffers[value.0]));
        let mut columns = targets.iter().map(|(_, columns)| columns);
        let slices = buffers.each_mut().map(|buffer| {
            let columns = columns.next().expect("there are as many targets as buffers");
            &mut buffer[..self.rows * columns]
        });
        write(self, slices);
        for ((value, _), buffer) in targets.into_iter().zip(buffers) {
            self.buffers[value.0] = buffer;
        }
    }
}
