//! The graph: a model as a static list of dispatches, before any device runs it.
//!
//! [`memory`] names values and tensors; [`ops`] says for each op its forward pass, its gradient and its kernels; [`shader`] is the host's table of
//! WGSL modules; a [`tape`] records a model and compiles both passes into a [`plan`]. Nothing here knows a device, a model or an adapter's start, and
//! the only crate of ours it uses is `loralab-cpu`. Inside the room: `tape` → `plan` → `placement` → `recording` → `update` → `ops` → `shader` → `memory`.

pub mod memory;
pub mod ops;
pub mod placement;
pub mod plan;
pub mod recording;
pub mod shader;
pub mod tape;
pub mod update;
