//! The replay of a plan on one micro-batch, in memory that workers take from a pool.

use std::{
    mem::swap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use loralab_cpu::{Scalar, Scratch, Threads};

use super::{Cpu, MICRO_BATCH_ROWS, Run};
use crate::{
    device::{Inputs, Slice},
    graph::{
        memory::{Dtype, MicroBatch, Values},
        ops::Dispatch,
        plan::Plan,
        recording::Results,
    },
};

/// The passes to compute for a micro-batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The forward pass.
    Forward,
    /// Both passes.
    Gradient,
    /// Both passes; the observed values are kept.
    Probe,
}

/// A plan, the number of micro-batches of its passes, and memory for them.
pub(super) struct Passes<S> {
    pub plan: Arc<Plan>,
    pub micro_batches: usize,
    arenas: Pool<Arena<S>>,
}

impl<S> Passes<S> {
    pub fn new(plan: Arc<Plan>) -> Passes<S> {
        Passes { micro_batches: micro_batches(&plan), plan, arenas: Pool::default() }
    }
}

/// Memory of a worker for one micro-batch.
struct Arena<S> {
    values: Values<S>,
    scratch: Scratch<S>,
}

/// Results of one micro-batch.
#[derive(Clone, Default)]
pub(super) struct Partial<S> {
    pub gradients: Vec<S>,
    pub loss: Vec<S>,
    pub answers: Vec<S>,
    pub prediction: Vec<S>,
    pub observed: Vec<Vec<S>>,
}

/// Reusable memory that workers take and put back; it grows to the number of workers.
pub(super) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool(Mutex::default())
    }
}

impl<T> Pool<T> {
    pub fn take(&self) -> Option<T> {
        self.lock().pop()
    }

    pub fn put(&self, item: T) {
        self.lock().push(item);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // The list is always valid, even if a worker panicked elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Scalar> Cpu<S> {
    /// Computes the passes of one micro-batch of a run; `each` runs every dispatch.
    pub(super) fn replay_micro_batch(
        &self,
        passes: &Passes<S>,
        run: &Run<S>,
        inputs: Inputs<'_>,
        index: usize,
        partial: &mut Partial<S>,
        extent: Extent,
        mut each: impl FnMut(&Dispatch, &mut MicroBatch<'_, S>),
    ) {
        let (plan, micro_batches) = (&*passes.plan, passes.micro_batches);
        let rows = plan.shape.rows_per_run() / micro_batches;
        let mut arena = passes.arenas.take().unwrap_or_else(|| Arena::new(plan, rows));
        arena.fill(plan, inputs, micro_batches, index);
        let mut caches =
            run.caches.take().unwrap_or_else(|| Vec::from_iter(plan.caches().map(|(_, len)| vec![S::ZERO; len])));
        arena.exchange(plan, &mut caches);
        let backward: &[Dispatch] = if extent == Extent::Forward { &[] } else { &plan.backward };
        partial.gradients.clear();
        partial.gradients.resize(if backward.is_empty() { 0 } else { plan.trained_len() }, S::ZERO);
        let mut micro_batch = MicroBatch {
            values: &mut arena.values,
            trained: &run.trained,
            frozen_pairs: &run.frozen_pairs,
            gradients: &mut partial.gradients,
            base: &self.base,
            tables: &self.tables,
            scale: S::from_f64(run.settings.scale),
            threads: if plan.shape.runs * micro_batches == 1 { Threads::Idle } else { Threads::One },
            scratch: &mut arena.scratch,
        };
        for dispatch in &plan.forward {
            each(dispatch, &mut micro_batch);
        }
        if extent == Extent::Probe {
            // The backward pass may reuse their buffers.
            partial.observed.resize_with(plan.observed.len(), Vec::new);
            for (observed, &(value, columns)) in partial.observed.iter_mut().zip(&plan.observed) {
                observed.clear();
                observed.extend_from_slice(micro_batch.values.read(value, columns));
            }
        }
        for dispatch in backward {
            each(dispatch, &mut micro_batch);
        }
        let Results { prediction, loss, answers } = plan.results;
        for (buffer, result) in
            [(loss, &mut partial.loss), (answers, &mut partial.answers), (prediction, &mut partial.prediction)]
        {
            result.clear();
            if let Some(buffer) = buffer {
                result.extend_from_slice(arena.values.read(buffer, plan.buffers[buffer.0].columns));
            }
        }
        arena.exchange(plan, &mut caches);
        run.caches.put(caches);
        passes.arenas.put(arena);
    }
}

impl<S: Scalar> Arena<S> {
    fn new(plan: &Plan, rows: usize) -> Arena<S> {
        let lens = |dtype| {
            plan.buffers.iter().map(move |kind| match kind {
                _ if kind.dtype != dtype || kind.is_cached() => 0,
                _ => rows * kind.columns,
            })
        };
        let buffers = lens(Dtype::F32).map(|len| vec![S::ZERO; len]).collect();
        let words = lens(Dtype::U32).map(|len| vec![0; len]).collect();
        Arena { values: Values { rows, buffers, words }, scratch: Scratch::default() }
    }

    /// Sets the inputs to the rows of one of the micro-batches.
    fn fill(&mut self, plan: &Plan, inputs: Inputs<'_>, micro_batches: usize, index: usize) {
        for input in &plan.inputs {
            let rows = inputs.of(input, plan.shape);
            let rows = rows.slice();
            let len = rows.len() / micro_batches;
            let micro_batch = index * len..(index + 1) * len;
            match rows {
                Slice::F32(rows) => {
                    let buffer = &mut self.values.buffers[input.buffer.0];
                    buffer.iter_mut().zip(&rows[micro_batch]).for_each(|(to, &from)| *to = S::from_f32(from));
                }
                Slice::U32(rows) => self.values.words[input.buffer.0].copy_from_slice(&rows[micro_batch]),
            }
        }
    }

    /// Swaps the run's caches with the buffers of the plan that they fill during a pass.
    fn exchange(&mut self, plan: &Plan, caches: &mut [Vec<S>]) {
        for ((buffer, _), cache) in plan.caches().zip(caches) {
            swap(&mut self.values.buffers[buffer.0], cache);
        }
    }
}

/// The number of micro-batches: the largest divisor of B with at least [`MICRO_BATCH_ROWS`] rows in each, or 1. All rows of a run share its caches.
pub(super) fn micro_batches(plan: &Plan) -> usize {
    let (sequences, tokens) = (plan.shape.sequences, plan.shape.tokens);
    let is_enough = |count: &usize| sequences.is_multiple_of(*count) && sequences / count * tokens >= MICRO_BATCH_ROWS;
    let most = if plan.caches().next().is_some() { 1 } else { sequences };
    (1..=most).rev().find(is_enough).unwrap_or(1)
}
