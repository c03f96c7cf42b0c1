//! tests

// The command, through the real binary.
mod cli;
