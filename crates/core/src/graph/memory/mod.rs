//! Where numbers live, and how they come there: the values of a plan, the tensors of a base, what is drawn at random, and the lane a CPU worker computes on.
//!
//! Nothing here knows any mathematics.

mod fill;
mod input;
mod kind;
mod lane;
mod shape;
mod site;
mod tensor;
mod value;

pub use fill::{Drawn, Fill, Pairs};
pub use input::{Input, InputName};
pub use kind::{Dtype, Rows, Type};
pub use lane::{Lane, Values};
pub use shape::Shape;
pub use site::Site;
pub use tensor::{Data, Tensor};
pub use value::{Buffer, Group, Parameter, Span, Value, Weight};
