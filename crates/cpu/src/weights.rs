//! Weights in their stored format.

use std::ops::Range;

use half::{bf16, f16};

use crate::{Packed, Scalar};

/// A borrowed tensor of weights in one of the storage formats.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a, S> {
    /// The scalar of the computation: trained weights.
    Exact(&'a [S]),
    /// IEEE 754 single precision.
    F32(&'a [f32]),
    /// IEEE 754 half precision.
    F16(&'a [f16]),
    /// bfloat16, the upper half of single precision.
    Bf16(&'a [bf16]),
    /// A few bits each.
    Packed(Packed<'a>),
}

impl<'a, S: Scalar> Weights<'a, S> {
    /// The number of elements.
    pub fn len(self) -> usize {
        match self {
            Weights::Exact(x) => x.len(),
            Weights::F32(x) => x.len(),
            Weights::F16(x) => x.len(),
            Weights::Bf16(x) => x.len(),
            Weights::Packed(x) => x.len(),
        }
    }

    /// True if there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements of `range`, in their stored format.
    ///
    /// # Panics
    /// If `range` exceeds the tensor.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        match self {
            Weights::Exact(x) => Weights::Exact(&x[range]),
            Weights::F32(x) => Weights::F32(&x[range]),
            Weights::F16(x) => Weights::F16(&x[range]),
            Weights::Bf16(x) => Weights::Bf16(&x[range]),
            Weights::Packed(x) => Weights::Packed(x.slice(range)),
        }
    }

    /// The values: borrowed if the stored format is the scalar itself, otherwise decoded into `scratch`.
    /// Every stored float is a value of `f32`, so decoding it is exact; packed weights are computed in the arithmetic of the scalar.
    pub fn decode<'b>(self, scratch: &'b mut Vec<S>) -> &'b [S]
    where
        'a: 'b,
    {
        let borrowed = match self {
            Weights::Exact(x) => Some(x),
            Weights::F32(x) => S::borrow_f32(x),
            Weights::F16(_) | Weights::Bf16(_) | Weights::Packed(_) => None,
        };
        match borrowed {
            Some(x) => x,
            None => self.copy(scratch),
        }
    }

    /// The values, decoded into `scratch` in any case, for a caller that changes them.
    pub fn copy(self, scratch: &mut Vec<S>) -> &mut [S] {
        let out = resized(scratch, self.len());
        match self {
            Weights::Exact(x) => out.copy_from_slice(x),
            Weights::F32(x) => S::decode_f32(x, out),
            Weights::F16(x) => S::decode_f16(x, out),
            Weights::Bf16(x) => S::decode_bf16(x, out),
            Weights::Packed(x) => x.decode(out),
        }
        out
    }
}

/// The first `length` elements of `scratch`, which grows if needed.
fn resized<S: Scalar>(scratch: &mut Vec<S>, length: usize) -> &mut [S] {
    if scratch.len() < length {
        scratch.resize(length, S::ZERO);
    }
    &mut scratch[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_f16_and_bf16_decode_to_their_value() {
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        let halves: Vec<f16> = bits.iter().map(|&bits| f16::from_bits(bits)).collect();
        let brains: Vec<bf16> = bits.iter().map(|&bits| bf16::from_bits(bits)).collect();
        let mut scratch = Vec::new();
        for (&value, half) in Weights::<f32>::F16(&halves).decode(&mut scratch).iter().zip(&halves) {
            assert!(f64::from(value) == half.to_f64() || value.is_nan() && half.is_nan(), "{half:?} became {value}");
        }
        for (&value, brain) in Weights::<f32>::Bf16(&brains).decode(&mut scratch).iter().zip(&brains) {
            assert!(f64::from(value) == brain.to_f64() || value.is_nan() && brain.is_nan(), "{brain:?} became {value}");
        }
        let mut exact = Vec::new();
        let wide = Weights::<f64>::F16(&halves).decode(&mut exact);
        for (&value, half) in wide.iter().zip(&halves) {
            assert!(value == half.to_f64() || value.is_nan() && half.is_nan(), "{half:?} became {value}");
        }
    }

    #[test]
    fn stored_scalars_are_borrowed() {
        let stored = [1.0_f32, -2.5];
        let mut scratch = Vec::new();
        assert_eq!(Weights::<f32>::F32(&stored).decode(&mut scratch).as_ptr(), stored.as_ptr());
        assert_eq!(Weights::Exact(&stored).slice(1..2).decode(&mut scratch), [-2.5]);
        assert!(scratch.is_empty());
        assert_eq!(Weights::<f64>::F32(&stored).decode(&mut Vec::new()), [1.0, -2.5]);
    }
}
