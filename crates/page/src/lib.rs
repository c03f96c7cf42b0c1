//! The page: takes an experiment from a person, has the worker train it, and shows what comes of it.
//!
//! It knows the vocabulary and the figures only: what trains, and where, is the worker's business. Nothing here knows a browser either, so that it
//! can be tested natively: a [`panel`] is a function from what is known to HTML; `main.rs` ties them to the elements of `index.html`.

mod gpu_missing;
mod html;
mod kept;
mod opened;
mod own_text;
pub mod panel;
mod progress;
mod schemes;
mod sweep;
mod zip;

pub use gpu_missing::why_no_gpu;
pub use kept::{About, News};
pub use own_text::own_text_name;
pub use progress::{Progress, building, duration, memory};
pub use schemes::{SchemeInfo, schemes};
pub use sweep::{File, Sweep};
pub use zip::zip;
