//! Tests that need the whole program: a table of contents. See README.md for what each kind of test proves.

// The built page, in a real Chromium.
mod browser;
// WGSL modules and the tables that the host has of them.
mod contract;
// The command, through the real binary.
mod cli;
// Models that classify texts against transformers.
mod encoders;
// Texts that are continued with a cache of keys and values.
mod generate;
// The GPU that the modules below work on.
mod gpu;
// Gradients of whole models against finite differences of their own loss, in f64.
mod gradient;
// Step 0 of every scheme through a whole model.
mod init;
// Families of models against transformers.
mod models;
// Every kernel on the GPU within its derived bound, and broken ones found.
mod parity;
// Buffers of a plan: who may take whose, and when.
mod plan;
// Real pretrained models against transformers and PEFT.
mod real;
// The models that the modules above work on.
mod small;
// The shape of the tree: dependencies, module order, one op in every place, house rules.
mod tidy;
// Trainings: cohorts, threads, divergence, first steps, rounding, golden losses, PyTorch + PEFT.
mod training;
