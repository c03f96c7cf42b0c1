//! The memory that a GPU needs for a plan.

use std::collections::BTreeSet;

use super::{Gpu, buffers, grid, update};
use crate::{
    device::{Cost, Needs, bytes, webgpu::Accelerator},
    graph::{
        memory::Tensor,
        ops::Op,
        plan::Plan,
        shader::{Memory, Tiles},
    },
};

impl Gpu {
    /// The memory of a cohort of this plan on a GPU, term by term, and the maximum number of runs that its buffers allow.
    pub fn needs(accelerator: &Accelerator, plan: &Plan, base: &[Tensor]) -> Needs {
        let (rows, elements) = (plan.shape.rows_per_run(), plan.trained_len());
        let columns = plan.columns();
        let moments = plan.moments();
        let flat = 2 + moments + usize::from(plan.frozen_pairs) + usize::from(plan.preconditioner().is_some());
        let matrices = update::preconditioner_words(plan);
        let stored = base.iter().map(Tensor::bytes).sum::<usize>();
        let tables = plan.tables.iter().map(Vec::len).sum::<usize>();
        let slots = buffers::slots(plan);
        let ring = buffers::input_words(plan) / plan.shape.runs;
        let mut terms = vec![
            Cost::per_run(
                format!("adapters, gradients and moments: {flat} buffers × {elements} elements × 4 bytes"),
                bytes(&[flat, elements, 4]),
            ),
            Cost::per_run(
                format!("activations: {rows} rows × {columns} columns × 4 bytes"),
                bytes(&[rows, columns, 4]),
            ),
            Cost::per_run(format!("batches: {slots} steps ahead × {ring} words × 4 bytes"), bytes(&[slots, ring, 4])),
            Cost::shared(
                format!("frozen base as stored, and {tables} table entries × 4 bytes"),
                stored as u64 + bytes(&[tables, 4]),
            ),
        ];
        let working = working_columns(accelerator, plan, base);
        let all: usize = working.iter().sum();
        if all > 0 {
            let what = format!("logits of a chunk, frozen products: {rows} rows × {all} columns × 4 bytes");
            terms.push(Cost::per_run(what, bytes(&[rows, all, 4])));
        }
        if matrices > 0 {
            terms.push(Cost::per_run(format!("preconditioners: {matrices} numbers × 4 bytes"), 4 * matrices));
        }
        terms.extend(Cost::caches(plan, 4));
        let prefill = plan.prefill.as_deref();
        if let Some(prefill) = prefill {
            let (rows, columns) = (prefill.shape.rows_per_run(), prefill.columns());
            let what = format!("activations of prompts: {rows} rows × {columns} columns × 4 bytes");
            terms.push(Cost::per_run(what, bytes(&[rows, columns, 4])));
        }
        let of_buffers = |plan: &Plan| plan.buffers.iter().map(|kind| bytes(&[kind.len(plan.shape), 4])).max();
        let of_working = working.into_iter().map(|columns| bytes(&[rows, columns, 4])).max();
        let widest = [of_buffers(plan), prefill.and_then(of_buffers), of_working].into_iter().flatten().max();
        let largest = widest.unwrap_or(0).max(elements as u64 * 4 * moments.max(1) as u64).max(1);
        let by_binding = accelerator.largest_buffer() / largest;
        let by_groups =
            u64::from(accelerator.limits().max_compute_workgroups_per_dimension) / plan.shape.sequences.max(1) as u64;
        let most = usize::try_from(by_binding.min(by_groups)).unwrap_or(usize::MAX);
        Needs { terms, most_runs: most.max(1).try_into().ok() }
    }
}

/// Columns of each buffer of rows that is used within one dispatch only.
fn working_columns(accelerator: &Accelerator, plan: &Plan, base: &[Tensor]) -> BTreeSet<usize> {
    let (tiles, mut columns) = (Tiles::default(), BTreeSet::new());
    let grid = grid(accelerator, plan, base, &tiles);
    // An op that a GPU can't run is refused before anything is made of its launches.
    let dispatches = plan.forward.iter().chain(&plan.backward).filter(|dispatch| dispatch.op.refusal().is_none());
    for launch in dispatches.flat_map(|dispatch| Op::launch(dispatch, &grid)) {
        columns.extend(launch.buffers.iter().filter_map(|memory| match memory {
            Memory::Scratch(columns) => Some(*columns as usize),
            _ => None,
        }));
    }
    columns
}
