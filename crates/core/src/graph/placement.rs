//! Placement: assigns a buffer to each value.
//!
//! A buffer is reused once its value was read for the last time, and always as a whole, so no dispatch binds one buffer twice with different access
//! (WebGPU forbids it). Inputs, results and caches have buffers of their own.

use crate::graph::{
    memory::{Buffer, Type, Value},
    recording::Recording,
};

/// The buffers of a plan, and the buffer of each value of its recording.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The type of each buffer: that of the widest value that it ever holds.
    pub types: Vec<Type>,
    homes: Vec<Option<Buffer>>,
}

impl Placement {
    /// Gives every value a buffer of its own.
    pub fn separate(recording: &Recording) -> Placement {
        let homes = (0..recording.types.len()).map(|value| Some(Buffer(value))).collect();
        Placement { types: recording.types.clone(), homes }
    }

    /// Reuses buffers, so that only values that live at the same time need separate ones.
    pub fn reusing(recording: &Recording) -> Placement {
        let Recording { forward, backward, types, inputs, results, observed, .. } = recording;
        let dispatches = || forward.iter().chain(backward);
        let mut last_use = vec![0; types.len()];
        for (time, dispatch) in dispatches().enumerate() {
            dispatch.uses().for_each(|value| last_use[value.0] = time);
        }
        // A probe reads the observed values after the forward pass; the backward pass may reuse their buffers.
        observed.iter().for_each(|value| last_use[value.0] = last_use[value.0].max(forward.len()));
        let mut placement = Placement { types: vec![], homes: vec![None; types.len()] };
        let cached = (0..types.len()).filter(|&value| types[value].is_cached()).map(Value);
        for value in inputs.iter().map(|(_, value)| *value).chain(results.iter()).chain(cached) {
            last_use[value.0] = usize::MAX;
            placement.open(value, types[value.0]);
        }
        let mut free: Vec<Buffer> = vec![];
        for (time, dispatch) in dispatches().enumerate() {
            for (value, _) in &dispatch.writes {
                if placement.homes[value.0].is_none() {
                    let kind = types[value.0];
                    // The narrowest free buffer that is wide enough; buffers are never widened.
                    let fit = (0..free.len())
                        .filter(|&i| holds(placement.types[free[i].0], kind))
                        .min_by_key(|&i| placement.types[free[i].0].columns);
                    match fit {
                        Some(i) => placement.homes[value.0] = Some(free.swap_remove(i)),
                        None => placement.open(*value, kind),
                    }
                }
            }
            let mut ended: Vec<Value> = dispatch.uses().filter(|value| last_use[value.0] == time).collect();
            ended.sort_unstable();
            ended.dedup();
            free.extend(ended.iter().filter_map(|value| placement.homes[value.0]));
        }
        placement
    }

    /// The buffer of a value. A value that nothing reads or writes has none, and gets the first buffer.
    pub fn buffer(&self, value: Value) -> Buffer {
        self.homes[value.0].unwrap_or(Buffer(0))
    }

    fn open(&mut self, value: Value, kind: Type) {
        self.homes[value.0] = Some(Buffer(self.types.len()));
        self.types.push(kind);
    }
}

/// True if a buffer of the type `buffer` can hold a value of the type `kind`.
fn holds(buffer: Type, kind: Type) -> bool {
    buffer.dtype == kind.dtype && buffer.rows == kind.rows && buffer.columns >= kind.columns
}
