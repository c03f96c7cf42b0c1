//! Data types of a plan's memory: values and their types, the tensors of a base, random initial values, and the micro-batch that a CPU worker computes on.
//!
//! Nothing here computes an op.

mod fill;
mod head;
mod input;
mod kind;
mod micro_batch;
mod quantiser;
mod shape;
mod site;
mod tensor;
mod value;

pub use fill::{Drawn, Fill, Pairs};
pub use head::{Begin, HeadTensor};
pub use input::{Input, InputName, NOISE};
pub use kind::{Dtype, Rows, Type};
pub use micro_batch::{MicroBatch, Values};
pub use quantiser::{Quantised, Quantiser};
pub use shape::Shape;
pub use site::{LowRank, Site};
pub use tensor::{Data, Tensor};
pub use value::{Buffer, Group, Parameter, Span, Value, Weight};
