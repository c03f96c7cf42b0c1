//! The page: takes an experiment from a person, has the worker train it, and shows what comes of it.
//!
//! It knows the vocabulary only: what trains, and where, is the worker's business. Nothing here knows a browser either, so that it can be
//! tested natively; `main.rs` ties it to the elements of `index.html`.

mod progress;
mod request;
mod table;

pub use progress::{Progress, duration};
pub use request::{Device, LARGEST_SEEDS, LARGEST_STEPS, Request};
pub use table::{Table, of_losses, of_schemes};
