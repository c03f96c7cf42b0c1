//! LoRA itself: the start of an adapter, its file format, and the theory of both. Pure functions of numbers, without a device.
//!
//! [`init`] computes the factors of one layer for each scheme from random draws, the layer's weight and statistics passed to it; [`peft`] reads and
//! writes adapters in PEFT's layout; [`merge`] adds them to the weights of a checkpoint; [`theory`] has the exponents and learning rate rules of the
//! literature. All use `init`, which uses none of them.

pub mod init;
pub mod merge;
pub mod peft;
pub mod theory;
