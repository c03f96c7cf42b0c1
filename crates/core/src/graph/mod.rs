//! The graph: a model as a static list of dispatches, before any device runs it.
//!
//! [`memory`] defines values and tensors; [`ops`] defines each op's forward pass, gradient and kernels; [`shader`] is the host's table of WGSL
//! modules; a [`tape`] records a model and compiles both passes into a [`plan`]. Nothing here knows a device, a model or an adapter's start.
//! Dependencies between its modules: `tape` → `recompute` → `plan` → `placement` → `recording` → `update` → `ops` → `shader` → `memory`.

pub mod memory;
pub mod ops;
pub mod placement;
pub mod plan;
mod recompute;
pub mod recording;
pub mod shader;
pub mod tape;
pub mod update;
