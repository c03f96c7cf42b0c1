//! The input rows of a step: for each input of a plan, by name, the elements that one run reads.

use crate::graph::memory::{Dtype, Input, InputName, Shape};

/// The elements of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slice<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Integers.
    U32(&'a [u32]),
}

impl<'a> Slice<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Slice::F32(floats) => floats.len(),
            Slice::U32(integers) => integers.len(),
        }
    }

    /// True if there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements as 32-bit words.
    pub fn words(self) -> &'a [u32] {
        match self {
            Slice::F32(floats) => bytemuck::cast_slice(floats),
            Slice::U32(integers) => integers,
        }
    }
}

/// The elements of an input that a plan reads.
#[derive(Clone, Debug)]
pub enum Filled<'a> {
    /// Those of the step.
    Given(Slice<'a>),
    /// Those that it reads when the step gives none.
    Made(Vec<u32>),
}

impl Filled<'_> {
    /// The elements.
    pub fn slice(&self) -> Slice<'_> {
        match self {
            Filled::Given(slice) => *slice,
            Filled::Made(words) => Slice::U32(words),
        }
    }
}

/// Conversions from the lists of numbers that an input can hold.
macro_rules! slices {
    ($($list:ty => $kind:ident),*) => {
        $(impl<'a> From<&'a $list> for Slice<'a> {
            fn from(numbers: &'a $list) -> Self {
                Slice::$kind(numbers)
            }
        })*
    };
}
slices!([f32] => F32, Vec<f32> => F32, [u32] => U32, Vec<u32> => U32);

/// The rows of one run's step or evaluation, by the name of the input; names that the plan does not read are ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a>([Option<Slice<'a>>; InputName::ALL.len()]);

impl<'a> Inputs<'a> {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the rows of `name`: all rows of the run, one after the other.
    ///
    /// # Panics
    /// If the elements are not of the input's dtype.
    #[must_use]
    pub fn with(mut self, name: InputName, rows: impl Into<Slice<'a>>) -> Self {
        let rows = rows.into();
        let fits = matches!((name.dtype(), rows), (Dtype::F32, Slice::F32(_)) | (Dtype::U32, Slice::U32(_)));
        assert!(fits, "{name:?} holds {:?}", name.dtype());
        self.0[name as usize] = Some(rows);
        self
    }

    /// The rows of one of the plan's inputs, which are made if the step gives none and [`InputName::unless_given`] says what they are then.
    ///
    /// # Panics
    /// If the input is missing, or its length differs from the plan's rows.
    pub fn of(&self, input: &Input, shape: Shape) -> Filled<'a> {
        let (name, needed) = (input.name, input.kind.len(shape));
        let given = self.0[name as usize].map(Filled::Given).or_else(|| name.unless_given(shape).map(Filled::Made));
        let rows = given.unwrap_or_else(|| panic!("the plan reads {name:?}, which a step must give"));
        assert_eq!(rows.slice().len(), needed, "{name:?} must fill the plan's rows");
        rows
    }
}
