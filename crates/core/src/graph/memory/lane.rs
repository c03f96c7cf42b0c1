//! A lane: a fixed block of one run's rows, and everything a CPU worker needs to compute on it.

use loralab_cpu::{Scalar, Scratch, Threads, Weights};

use super::{Buffer, Span, Tensor, Weight};

/// One worker's view while it computes a block of whole sequences of one run.
///
/// A lane is all a kernel sees, so its result cannot depend on the cohort or on the number of threads.
pub struct Lane<'a, S> {
    /// Row values.
    pub values: &'a mut Values<S>,
    /// Everything the run trains, flat.
    pub trained: &'a [S],
    /// The frozen second pairs in the layout of `trained`; empty where the plan has none.
    pub frozen_pairs: &'a [S],
    /// This lane's share of the gradients, in the layout of `trained`; kernels add to it.
    pub gradients: &'a mut [S],
    /// Tensors of the frozen base.
    pub base: &'a [Tensor],
    /// Host-made tables (sines, cosines), shared by all runs.
    pub tables: &'a [Vec<S>],
    /// The run's LoRA scale s.
    pub scale: S,
    /// Whose threads it may use: idle ones where it is the only lane that is computed.
    pub threads: Threads,
    /// Reusable memory of the kernels.
    pub scratch: &'a mut Scratch<S>,
}

impl<'a, S: Scalar> Lane<'a, S> {
    /// A weight as the kernels want it.
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

/// The row buffers of a lane, each (rows, columns) from its start.
#[derive(Default)]
pub struct Values<S> {
    /// Rows of the lane: whole sequences of one run.
    pub rows: usize,
    /// One per buffer of the plan; empty where it holds integers.
    pub buffers: Vec<Vec<S>>,
    /// One per buffer of the plan; empty where it holds floats.
    pub words: Vec<Vec<u32>>,
}

impl<S: Scalar> Values<S> {
    /// Reads a value of `columns` columns.
    pub fn read(&self, buffer: Buffer, columns: usize) -> &[S] {
        &self.buffers[buffer.0][..self.rows * columns]
    }

    /// Reads a column of integers.
    pub fn ids(&self, buffer: Buffer) -> &[u32] {
        &self.words[buffer.0][..self.rows]
    }

    /// Runs `write` on the (rows, columns) elements of the values in `targets` while the others can be read.
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
