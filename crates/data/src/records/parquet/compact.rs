//! Thrift's compact protocol, as far as sizes in a Parquet file are looked up in it
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

/// The type of an integer of 32 bits.
pub const I32: u8 = 5;
/// The type of a list.
pub const LIST: u8 = 9;
/// The type of a struct.
pub const STRUCT: u8 = 12;

/// Deepest nesting that is read; Parquet's own structs are less deep by far.
const DEEPEST: usize = 32;

/// A reader of values, from a position on. Each method gives none where the bytes end, or are no value of that type.
pub struct Compact<'a> {
    pub rest: &'a [u8],
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// An unsigned integer: seven bits in each byte, the lowest first, and a bit that says if another byte follows.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A signed integer: 0, −1, 1, −2, … are 0, 1, 2, 3, ….
    pub fn integer(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The id and the type of a struct's next field, after the field `last`, which is 0 at its beginning; an inner none at its end.
    pub fn field(&mut self, last: i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        Some(match (byte >> 4, byte & 15) {
            (_, 0) => None,
            (0, kind) => Some((self.integer()?, kind)),
            (step, kind) => Some((last + i64::from(step), kind)),
        })
    }

    /// The number of elements of a list, and their type.
    pub fn list(&mut self) -> Option<(usize, u8)> {
        let byte = self.byte()?;
        let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        Some((usize::try_from(count).ok()?, byte & 15))
    }

    /// Skips the value of a field.
    pub fn skip(&mut self, kind: u8) -> Option<()> {
        self.skip_within(kind, DEEPEST)
    }

    fn skip_within(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let take = |own: &mut Self, count: usize| own.rest.get(count..).map(|rest| own.rest = rest);
        // The types, in the order of the specification: booleans, i8, i16 to i64, double, binary, list and set, map, struct.
        match kind {
            1 | 2 => Some(()),
            3 => take(self, 1),
            4..=6 => self.varint().map(drop),
            7 => take(self, 8),
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                take(self, length)
            }
            LIST | 10 => {
                let (count, inner) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(inner, depth))
            }
            11 => match self.varint()? {
                0 => Some(()),
                count => {
                    let kinds = self.byte()?;
                    (0..count).try_for_each(|_| {
                        self.skip_element(kinds >> 4, depth)?;
                        self.skip_element(kinds & 15, depth)
                    })
                }
            },
            STRUCT => {
                let mut last = 0;
                while let Some((id, kind)) = self.field(last)? {
                    last = id;
                    self.skip_within(kind, depth)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// Skips an element of a list: a boolean has a byte there.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        self.skip_within(if kind <= 2 { 3 } else { kind }, depth)
    }
}
