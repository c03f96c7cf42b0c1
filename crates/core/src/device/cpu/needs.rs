//! The memory that the CPU device needs for a plan.

use loralab_cpu::Scalar;

use super::{Cpu, moments, replay::micro_batches};
use crate::{
    device::{Cost, Needs, bytes, workers::Workers},
    graph::{memory::Tensor, plan::Plan},
};

impl<S: Scalar> Cpu<S> {
    /// The memory of a cohort, term by term: the state of each run and the working memory of each worker.
    pub fn needs(plan: &Plan, base: &[Tensor], threads: Option<usize>) -> Needs {
        let size = size_of::<S>();
        let (elements, rows) = (plan.trained_len(), plan.shape.rows_per_run());
        let micro_batches = micro_batches(plan);
        let workers = Workers::new(threads).count();
        // A worker computes a micro-batch in an arena; the results of a run's micro-batches are collected in a workspace.
        let (arenas, workspaces) = (workers.min(plan.shape.runs * micro_batches), workers.min(plan.shape.runs));
        let summed = if plan.backward.is_empty() { 0 } else { elements };
        let columns = plan.columns();
        let dispatches = plan.forward.iter().chain(&plan.backward);
        let working = dispatches.map(|dispatch| dispatch.op.working(rows / micro_batches)).max().unwrap_or(0);
        let kept = 1
            + usize::from(!plan.updates.is_empty())
            + usize::from(plan.frozen_pairs)
            + moments(plan).iter().filter(|&&len| len > 0).count();
        let stored = base.iter().map(Tensor::bytes).sum::<usize>();
        let tables = plan.tables.iter().map(Vec::len).sum::<usize>();
        let mut terms = vec![
            Cost::per_run(
                format!("adapters, gradients and moments: {kept} buffers × {elements} elements × {size} bytes"),
                bytes(&[kept, elements, size]),
            ),
            Cost::per_run(format!("batch: {rows} rows × 12 bytes"), bytes(&[12, rows])),
            Cost::shared(
                format!("frozen base as stored, and {tables} table entries × {} bytes", size + size_of::<f64>()),
                stored as u64 + bytes(&[tables, size + size_of::<f64>()]),
            ),
            Cost::shared(
                format!(
                    "activations: {arenas} workers × {} rows of a micro-batch × {columns} columns × {size} bytes",
                    rows / micro_batches
                ),
                bytes(&[arenas, rows / micro_batches, columns, size]),
            ),
            Cost::shared(
                format!(
                    "decoded weights, logits of a chunk, frozen products: {arenas} workers × {working} numbers × {size} bytes"
                ),
                bytes(&[arenas, working, size]),
            ),
            Cost::shared(
                format!(
                    "gradients: {workspaces} workspaces × {micro_batches} micro-batches × {summed} elements × {size} bytes"
                ),
                bytes(&[workspaces, micro_batches, summed, size]),
            ),
        ];
        terms.extend(Cost::caches(plan, size));
        if let Some(prefill) = &plan.prefill {
            let (rows, columns) = (prefill.shape.rows_per_run(), prefill.columns());
            terms.push(Cost::shared(
                format!("activations of prompts: {arenas} workers × {rows} rows × {columns} columns × {size} bytes"),
                bytes(&[arenas, rows, columns, size]),
            ));
        }
        Needs { terms, most_runs: None }
    }
}
