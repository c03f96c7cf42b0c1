//! Shared slices: elements of a tensor as a view of shared bytes, such as those of a memory-mapped file.

use std::{fmt, marker::PhantomData, ops::Deref};

use bytemuck::Pod;
use bytes::Bytes;
use half::{bf16, f16};

/// A number that tensors are stored in. Its bytes are those of one scalar, so that reversing them changes their order from little-endian to big-endian.
pub trait Element: Pod + Send {}

impl Element for f32 {}
impl Element for f16 {}
impl Element for bf16 {}

/// Elements that several owners share: a part of a mapped file, or a vector. Cloning copies no element.
///
/// The bytes are aligned for `T`, and in the order of this machine.
pub struct SharedSlice<T> {
    bytes: Bytes,
    element: PhantomData<T>,
}

impl<T: Element> SharedSlice<T> {
    /// The elements that `bytes` holds, little-endian; bytes that are left over at the end are dropped. The bytes are shared, unless they are not aligned for
    /// `T` or this machine is big-endian: then they are copied.
    pub fn from_le_bytes(mut bytes: Bytes) -> Self {
        let size = size_of::<T>();
        bytes.truncate(bytes.len() - bytes.len() % size);
        if cfg!(target_endian = "little") && bytes.as_ptr().cast::<T>().is_aligned() {
            return Self { bytes, element: PhantomData };
        }
        let mut elements = vec![T::zeroed(); bytes.len() / size];
        let copy: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        copy.copy_from_slice(&bytes);
        if cfg!(target_endian = "big") {
            copy.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        elements.into()
    }

    /// The bytes of the elements, little-endian; shared, unless this machine is big-endian.
    pub fn to_le_bytes(&self) -> Bytes {
        if cfg!(target_endian = "little") {
            return self.bytes.clone();
        }
        let mut bytes = self.bytes.to_vec();
        bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
        bytes.into()
    }
}

/// A vector as an owner of bytes.
struct Owner<T>(Vec<T>);

impl<T: Element> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl<T: Element> From<Vec<T>> for SharedSlice<T> {
    fn from(elements: Vec<T>) -> Self {
        Self { bytes: Bytes::from_owner(Owner(elements)), element: PhantomData }
    }
}

impl<T: Element> FromIterator<T> for SharedSlice<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        elements.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T: Element> Deref for SharedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.bytes)
    }
}

impl<T> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), element: PhantomData }
    }
}

impl<T: Element + PartialEq> PartialEq for SharedSlice<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for SharedSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_those_of_the_bytes_at_every_offset() {
        let numbers = [1.0_f32, -2.5, f32::MIN_POSITIVE, f32::INFINITY];
        let halves = numbers.map(f16::from_f32);
        let brains = numbers.map(bf16::from_f32);
        for offset in 0..8 {
            let shifted = |bytes: Vec<u8>| Bytes::from([vec![7; offset], bytes].concat()).slice(offset..);
            let bytes =
                |size: usize| shifted(numbers.iter().flat_map(|x| x.to_le_bytes()).chain(vec![1; size]).collect());
            assert_eq!(*SharedSlice::<f32>::from_le_bytes(bytes(offset % 4)), numbers);
            let bytes = shifted(halves.iter().flat_map(|x| x.to_le_bytes()).collect());
            assert_eq!(*SharedSlice::<f16>::from_le_bytes(bytes.clone()), halves);
            assert_eq!(SharedSlice::<f16>::from_le_bytes(bytes.clone()).to_le_bytes(), bytes);
            let bytes = shifted(brains.iter().flat_map(|x| x.to_le_bytes()).collect());
            assert_eq!(*SharedSlice::<bf16>::from_le_bytes(bytes), brains);
            assert_eq!(SharedSlice::<f32>::from_le_bytes(Bytes::from(vec![7; offset]).slice(offset..)).len(), 0);
        }
    }

    #[test]
    fn aligned_bytes_and_vectors_are_shared() {
        let elements: SharedSlice<f32> = vec![1.0, 2.0, 3.0].into();
        let part = SharedSlice::<f32>::from_le_bytes(elements.to_le_bytes().slice(4..));
        assert_eq!(*part, [2.0, 3.0]);
        assert_eq!(part.as_ptr(), elements[1..].as_ptr());
        assert_eq!(part.clone().as_ptr(), part.as_ptr());
        drop(elements);
        assert_eq!(format!("{part:?}"), "[2.0, 3.0]");
    }
}
