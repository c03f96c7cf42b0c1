//! LoRA itself: how an adapter starts, how it is stored, and the theory of both. Numbers in, numbers out, no device.
//!
//! [`init`] computes the factors of one layer for each scheme from random draws, the layer's weight and statistics that it is given; [`peft`] reads and
//! writes adapters in PEFT's layout; [`theory`] has the exponents and learning rate rules of the literature. Both use `init`, which stands alone.

pub mod init;
pub mod peft;
pub mod theory;
