//! Where numbers live: the values of a plan, the tensors of a base, and the lane a CPU worker computes on.
//!
//! Nothing here knows any mathematics.

mod lane;
mod tensor;
mod value;

pub use lane::{Lane, Values};
pub use tensor::{Data, Tensor};
pub use value::{Group, Parameter, Span, Value, Weight};
