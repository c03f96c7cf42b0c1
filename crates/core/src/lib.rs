//! The core of loralab: everything between an experiment's words and a device's numbers, the same natively and in the browser.
//!
//! Modules depend one way, upwards in this list never: `lab` → `diagnostics`, `calibrate` → `train` → `init`, `model`, `device` → `tape` → `plan` → `ops` → `shader` → `memory`; `device` → `gpu` → `shader`; `theory` →
//! `init`; `adapter` stands alone. No module reads a file, a clock or a terminal.

pub mod adapter;
pub mod calibrate;
pub mod device;
pub mod diagnostics;
pub mod gpu;
pub mod init;
pub mod lab;
pub mod memory;
pub mod model;
pub mod ops;
pub mod plan;
pub mod shader;
pub mod tape;
pub mod theory;
pub mod train;
