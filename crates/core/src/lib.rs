//! The core of loralab: runs the experiments that a configuration describes, natively and in the browser alike.
//!
//! Five modules, each a folder, with dependencies in one direction: [`lab`] → [`lora`] → [`models`] → [`device`] → [`graph`]. No module reads a file,
//! a clock or a terminal.

pub mod device;
pub mod graph;
pub mod lab;
pub mod lora;
pub mod models;
