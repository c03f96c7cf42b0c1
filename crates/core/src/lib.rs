//! The core of loralab: everything between an experiment's words and a device's numbers, the same natively and in the browser.
//!
//! Five rooms, each a folder, and dependencies one way: [`lab`] → [`lora`] → [`models`] → [`device`] → [`graph`]. No module reads a file, a clock or a
//! terminal.

pub mod device;
pub mod graph;
pub mod lab;
pub mod lora;
pub mod models;
