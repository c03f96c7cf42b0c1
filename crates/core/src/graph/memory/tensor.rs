//! Frozen tensors in their stored precision.

use std::{borrow::Cow, ops::Range};

use half::{bf16, f16};
use loralab_checkpoint::{Bytes, SharedSlice};
use loralab_cpu::{Scalar, Weights};

use super::{Dtype, Quantised, Quantiser};

/// The elements of a frozen tensor, row-major, in their stored precision. Cloning shares the elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(SharedSlice<f32>),
    /// IEEE half precision.
    F16(SharedSlice<f16>),
    /// bfloat16.
    Bf16(SharedSlice<bf16>),
    /// A few bits each.
    Quantised(Quantised),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(data) => data.len(),
            Data::F16(data) => data.len(),
            Data::Bf16(data) => data.len(),
            Data::Quantised(data) => data.len(),
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
            Data::Quantised(data) => data.quantiser().dtype(),
        }
    }

    /// The elements as f32: exact, and of few bits as the CPU decodes them.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        match self {
            Data::F32(data) => Cow::Borrowed(data),
            Data::F16(data) => data.iter().map(|x| x.to_f32()).collect(),
            Data::Bf16(data) => data.iter().map(|x| x.to_f32()).collect(),
            Data::Quantised(data) => data.to_f32().into(),
        }
    }

    /// The bytes of the elements, little-endian; shared, but on a big-endian machine. Elements of few bits are written as f32.
    pub fn to_le_bytes(&self) -> Bytes {
        match self {
            Data::F32(data) => data.to_le_bytes(),
            Data::F16(data) => data.to_le_bytes(),
            Data::Bf16(data) => data.to_le_bytes(),
            Data::Quantised(data) => SharedSlice::from(data.to_f32()).to_le_bytes(),
        }
    }

    /// Index of the first element that is not finite. No element is copied.
    pub fn first_not_finite(&self) -> Option<usize> {
        match self {
            Data::F32(data) => data.iter().position(|x| !x.is_finite()),
            Data::F16(data) => data.iter().position(|x| !x.is_finite()),
            Data::Bf16(data) => data.iter().position(|x| !x.is_finite()),
            // A level times the magnitude of a finite number.
            Data::Quantised(_) => None,
        }
    }

    /// The elements in the form that the CPU kernels take.
    pub fn weights<S: Scalar>(&self) -> Weights<'_, S> {
        match self {
            Data::F32(data) => Weights::F32(data),
            Data::F16(data) => Weights::F16(data),
            Data::Bf16(data) => Weights::Bf16(data),
            Data::Quantised(data) => Weights::Packed(data.packed()),
        }
    }
}

/// Rows that a part has a multiple of, if so many fit: those of a tile.
const ROWS: usize = 64;

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

impl Tensor {
    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.data.dtype().bytes(self.shape)
    }

    /// The tensor quantised. One that is quantised is decoded first.
    #[must_use]
    pub fn quantised(&self, quantiser: Quantiser) -> Tensor {
        let data = Data::Quantised(quantiser.pack(self.data.weights(), self.shape[1]));
        Tensor { name: self.name.clone(), shape: self.shape, data }
    }

    /// The rows of each part that the tensor is cut into, so that no part takes more than `bytes`. One part if the tensor takes no more, or if the fewest rows
    /// after which one begins with a whole word, and block, already do.
    pub fn parts(&self, bytes: u64) -> Vec<Range<usize>> {
        let [rows, columns] = self.shape;
        let of_row = (self.bytes() as u64).div_ceil(rows.max(1) as u64).max(1);
        let fit = usize::try_from(bytes / of_row).unwrap_or(usize::MAX);
        let together = self.data.dtype().rows_together(columns).max(2);
        let step = if fit >= ROWS { fit / ROWS * ROWS } else { fit / together * together };
        if fit >= rows || step == 0 {
            return std::iter::once(0..rows).collect();
        }
        (0..rows).step_by(step).map(|start| start..(start + step).min(rows)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_row_once_and_no_more_than_fits() {
        for (rows, columns, bytes) in
            [(1, 5, 8), (7, 3, 50), (300, 2, 16 * 100), (300, 1, 16), (64, 1, 256), (65, 1, 256)]
        {
            let tensor = Tensor {
                name: String::new(),
                shape: [rows, columns],
                data: Data::F32(vec![0.0; rows * columns].into()),
            };
            let parts = tensor.parts(bytes);
            assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), (0..rows).collect::<Vec<_>>());
            let fits = |part: &Range<usize>| (part.len() * columns * 4) as u64 <= bytes;
            assert!(parts.iter().all(fits) || parts.len() == 1 && bytes < 8 * columns as u64, "{parts:?}");
            assert!(parts.iter().all(|part| part.start.is_multiple_of(2)));
        }
        for (quantiser, [rows, columns], cut) in
            [(Quantiser::Nf4, [150, 32], true), (Quantiser::Nf4, [70, 65], false), (Quantiser::Int8, [50, 70], true)]
        {
            let data = Data::F32(vec![1.0; rows * columns].into());
            let tensor = Tensor { name: String::new(), shape: [rows, columns], data }.quantised(quantiser);
            let parts = tensor.parts(1200);
            assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), (0..rows).collect::<Vec<_>>());
            assert_eq!(parts.len() > 1, cut, "{parts:?}");
            let fits = |part: &Range<usize>| quantiser.dtype().bytes([part.len(), columns]) <= 1200;
            assert!(!cut || parts.iter().all(fits), "{parts:?}");
            assert!(parts.iter().all(|part| quantiser == Quantiser::Int8 || (part.start * columns).is_multiple_of(64)));
        }
        let tensor = Tensor { name: String::new(), shape: [300, 1], data: Data::F32(vec![0.0; 300].into()) };
        assert_eq!(tensor.parts(800), [0..192, 192..300]);
        assert_eq!(tensor.parts(u64::MAX).len(), 1);
    }
}
