//! Frozen tensors in their stored precision.

use std::borrow::Cow;

use half::{bf16, f16};
use loralab_checkpoint::{Bytes, SharedSlice};
use loralab_cpu::{Scalar, Weights};

use super::Dtype;

/// The elements of a frozen tensor, row-major, in their stored precision. Cloning shares the elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(SharedSlice<f32>),
    /// IEEE half precision.
    F16(SharedSlice<f16>),
    /// bfloat16.
    Bf16(SharedSlice<bf16>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(data) => data.len(),
            Data::F16(data) => data.len(),
            Data::Bf16(data) => data.len(),
        }
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Data::F32(_) => Dtype::F32,
            Data::F16(_) => Dtype::F16,
            Data::Bf16(_) => Dtype::Bf16,
        }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.dtype().bytes() * self.len()
    }

    /// The elements as f32 (exact).
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        match self {
            Data::F32(data) => Cow::Borrowed(data),
            Data::F16(data) => data.iter().map(|x| x.to_f32()).collect(),
            Data::Bf16(data) => data.iter().map(|x| x.to_f32()).collect(),
        }
    }

    /// The bytes of the elements, little-endian; shared, but on a big-endian machine.
    pub fn to_le_bytes(&self) -> Bytes {
        match self {
            Data::F32(data) => data.to_le_bytes(),
            Data::F16(data) => data.to_le_bytes(),
            Data::Bf16(data) => data.to_le_bytes(),
        }
    }

    /// Index of the first element that is not finite. No element is copied.
    pub fn first_not_finite(&self) -> Option<usize> {
        match self {
            Data::F32(data) => data.iter().position(|x| !x.is_finite()),
            Data::F16(data) => data.iter().position(|x| !x.is_finite()),
            Data::Bf16(data) => data.iter().position(|x| !x.is_finite()),
        }
    }

    /// The elements in the form that the CPU kernels take.
    pub fn weights<S: Scalar>(&self) -> Weights<'_, S> {
        match self {
            Data::F32(data) => Weights::F32(data),
            Data::F16(data) => Weights::F16(data),
            Data::Bf16(data) => Weights::Bf16(data),
        }
    }
}

/// A named frozen tensor. Cloning shares the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Hugging Face name, e.g. `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Rows and columns; a vector is (1, columns).
    pub shape: [usize; 2],
    /// The elements.
    pub data: Data,
}
