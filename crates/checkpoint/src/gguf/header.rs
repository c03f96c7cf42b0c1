//! The header of a GGUF file: metadata, and names, shapes and places of tensors. Every count is checked against the length of the file before it is used.
//!
//! The format is that of `docs/gguf.md` in ggml: a magic, version, counts, keys with typed values, tensor descriptions, then the data, aligned.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use super::GgufError;
use crate::{Blocks, Format};

/// First bytes of every GGUF file.
pub const MAGIC: &[u8; 4] = b"GGUF";

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer of any size.
    Integer(i128),
    /// A float of any size.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of numbers or truth values.
    List(Vec<Value>),
    /// A list of texts: only their number is kept.
    Texts(usize),
    /// The texts of a tokenizer's list, if it is kept.
    Words(Vec<String>),
    /// The numbers of a tokenizer's list, if it is kept.
    Numbers(Vec<f64>),
}

/// A tokenizer's lists, which are as long as its vocabulary.
const LONG_LISTS: [&str; 4] =
    ["tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.scores", "tokenizer.ggml.token_type"];

/// A tensor's description.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Sizes of the dimensions, the last varying fastest.
    pub shape: Vec<usize>,
    /// Element type.
    pub format: Format,
    /// Its bytes, as part of the file's.
    pub bytes: Bytes,
}

/// The metadata and tensors of one file.
#[derive(Clone, Debug)]
pub struct Header {
    /// The metadata.
    pub metadata: BTreeMap<String, Value>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<Entry>,
}

/// Most dimensions of a tensor, as in ggml.
const DIMENSIONS: u32 = 4;

/// Element types that have a size but are not decoded, by ggml's numbers: name, elements and bytes of a block.
const OTHERS: [(u32, &str, usize, usize); 20] = [
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
];

/// The element type of a number of ggml, with the elements and bytes of a block.
fn format(number: u32) -> (Format, usize, usize) {
    let blocks = |blocks: Blocks| (Format::Blocks(blocks), blocks.elements(), blocks.bytes());
    match number {
        0 => (Format::F32, 1, 4),
        1 => (Format::F16, 1, 2),
        30 => (Format::Bf16, 1, 2),
        2 => blocks(Blocks::Q4_0),
        3 => blocks(Blocks::Q4_1),
        6 => blocks(Blocks::Q5_0),
        7 => blocks(Blocks::Q5_1),
        8 => blocks(Blocks::Q8_0),
        12 => blocks(Blocks::Q4K),
        13 => blocks(Blocks::Q5K),
        14 => blocks(Blocks::Q6K),
        other => match OTHERS.iter().find(|(number, ..)| *number == other) {
            Some((_, name, elements, bytes)) => (Format::Other((*name).to_owned()), *elements, *bytes),
            // Of unknown size: no bytes are taken for it.
            None => (Format::Other(format!("type {other} of ggml")), 1, 0),
        },
    }
}

impl Header {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// If the bytes are not a whole GGUF file, or describe tensors that overlap.
    pub fn read(file: &Bytes) -> Result<Header, GgufError> {
        Self::read_lists(file, false)
    }

    /// Reads the header of a file, with a tokenizer's lists if `keeps_long_lists`.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_lists(file: &Bytes, keeps_long_lists: bool) -> Result<Header, GgufError> {
        let mut reader = Reader { bytes: file, at: MAGIC.len(), keeps_long_lists };
        let version = reader.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version(version));
        }
        // A tensor's description has at least a length, a number of dimensions, a size, a type and an offset; a value its key's length and its type.
        let tensors = reader.count("tensors", 8 + 4 + 8 + 4 + 8)?;
        let values = reader.count("metadata values", 8 + 4 + 1)?;
        let mut metadata = BTreeMap::new();
        for _ in 0..values {
            let key = reader.text("a key of the metadata")?;
            let kind = reader.u32("a type of the metadata")?;
            let value = reader.value(&key, kind)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(GgufError::Twice(key));
            }
        }
        let mut described = Vec::with_capacity(tensors);
        let mut names = HashSet::new();
        for _ in 0..tensors {
            let tensor = Described::read(&mut reader)?;
            if !names.insert(tensor.name.clone()) {
                return Err(GgufError::Twice(tensor.name));
            }
            described.push(tensor);
        }
        let data = data(file, reader.at, &metadata)?;
        let tensors: Vec<Entry> = described.iter().map(|tensor| tensor.within(&data)).collect::<Result<_, _>>()?;
        check_overlap(&described)?;
        Ok(Header { metadata, tensors })
    }
}

/// The bytes after the header, from the next multiple of the alignment.
fn data(file: &Bytes, end: usize, metadata: &BTreeMap<String, Value>) -> Result<Bytes, GgufError> {
    let key = "general.alignment";
    let alignment = match metadata.get(key) {
        None => 32,
        Some(Value::Integer(x)) if (1..=1 << 16).contains(x) && (*x as u64).is_power_of_two() => *x as usize,
        Some(other) => {
            let (key, found) = (key.to_owned(), format!("{other:?}"));
            return Err(GgufError::Value { key, found, needed: "a power of two up to 65536" });
        }
    };
    // A file without tensors may end with its header.
    Ok(file.slice(end.next_multiple_of(alignment).min(file.len())..))
}

/// Refuses tensors that share bytes.
fn check_overlap(tensors: &[Described]) -> Result<(), GgufError> {
    let mut places: Vec<&Described> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    places.sort_by_key(|tensor| tensor.offset);
    match places.windows(2).find(|pair| pair[0].offset + pair[0].bytes as u64 > pair[1].offset) {
        Some(pair) => Err(GgufError::Overlap { one: pair[0].name.clone(), other: pair[1].name.clone() }),
        None => Ok(()),
    }
}

/// A tensor's description as it is in the file.
struct Described {
    name: String,
    /// Sizes, the last varying fastest.
    shape: Vec<usize>,
    format: Format,
    offset: u64,
    bytes: usize,
}

impl Described {
    fn read(reader: &mut Reader<'_>) -> Result<Described, GgufError> {
        let name = reader.text("a tensor's name")?;
        let dimensions = reader.u32("a number of dimensions")?;
        let mut sizes = Vec::new();
        for _ in 0..dimensions.min(DIMENSIONS) {
            sizes.push(reader.u64("a tensor's size")?);
        }
        let refused = |shape: &[u64], why| GgufError::Shape { name: name.clone(), shape: shape.to_vec(), why };
        if dimensions == 0 || dimensions > DIMENSIONS {
            return Err(refused(&sizes, "and a tensor has 1 to 4 dimensions"));
        }
        let (format, elements, bytes) = format(reader.u32("a tensor's type")?);
        let offset = reader.u64("a tensor's offset")?;
        let mut shape = Vec::new();
        for size in sizes.iter().rev() {
            match usize::try_from(*size) {
                Ok(size) if size > 0 => shape.push(size),
                Ok(_) => return Err(refused(&sizes, "of which a size is 0")),
                Err(_) => return Err(refused(&sizes, "which is beyond this machine")),
            }
        }
        let columns = shape.last().copied().unwrap_or(0);
        if columns % elements != 0 {
            return Err(refused(&sizes, "whose rows are not whole blocks of its type"));
        }
        let product = shape[..shape.len() - 1]
            .iter()
            .try_fold(columns / elements, |product, &size| product.checked_mul(size))
            .and_then(|blocks| blocks.checked_mul(bytes));
        let bytes = product.ok_or_else(|| refused(&sizes, "which is beyond this machine"))?;
        Ok(Described { name, shape, format, offset, bytes })
    }

    /// The tensor with its part of the data.
    fn within(&self, data: &Bytes) -> Result<Entry, GgufError> {
        let Described { name, shape, format, offset, bytes } = self;
        let start = usize::try_from(*offset).ok();
        let end = start.and_then(|start| start.checked_add(*bytes)).filter(|end| *end <= data.len());
        let (Some(start), Some(end)) = (start, end) else {
            let (name, offset, bytes) = (name.clone(), *offset, *bytes);
            return Err(GgufError::Outside { name, offset, bytes, data: data.len() });
        };
        Ok(Entry { name: name.clone(), shape: shape.clone(), format: format.clone(), bytes: data.slice(start..end) })
    }
}

/// Reads values one after another.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    keeps_long_lists: bool,
}

impl Reader<'_> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&[u8], GgufError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(GgufError::End { at: self.at, what, length: self.bytes.len() });
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const COUNT: usize>(&mut self, what: &'static str) -> Result<[u8; COUNT], GgufError> {
        let mut array = [0; COUNT];
        array.copy_from_slice(self.take(COUNT, what)?);
        Ok(array)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, what: &'static str, least: usize) -> Result<usize, GgufError> {
        let count = self.u64(what)?;
        let most = (self.bytes.len() - self.at) / least;
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(GgufError::Count { what, count, length: self.bytes.len() }),
        }
    }

    fn text(&mut self, what: &'static str) -> Result<String, GgufError> {
        let length = self.count("bytes of a text", 1)?;
        let at = self.at;
        let text = self.take(length, what)?;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| GgufError::Text(at))
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value, GgufError> {
        const WHAT: &str = "a value of the metadata";
        const LIST: u32 = 9;
        const TEXT: u32 = 8;
        Ok(match kind {
            TEXT => Value::Text(self.text(WHAT)?),
            LIST => {
                let kind = self.u32("the type of a list")?;
                let least = if kind == TEXT { 8 } else { 1 };
                let count = self.count("elements of a list", least)?;
                let is_kept = self.keeps_long_lists && LONG_LISTS.contains(&key);
                match kind {
                    // ggml nests no lists.
                    LIST => return Err(GgufError::Kind { key: key.to_owned(), kind }),
                    TEXT if is_kept => Value::Words((0..count).map(|_| self.text(WHAT)).collect::<Result<_, _>>()?),
                    TEXT => {
                        for _ in 0..count {
                            let length = self.count("bytes of a text", 1)?;
                            self.take(length, WHAT)?;
                        }
                        Value::Texts(count)
                    }
                    _ if is_kept => {
                        let number = |_| match self.number(key, kind)? {
                            Value::Integer(number) => Ok(number as f64),
                            Value::Float(number) => Ok(number),
                            _ => Err(GgufError::Kind { key: key.to_owned(), kind }),
                        };
                        Value::Numbers((0..count).map(number).collect::<Result<_, _>>()?)
                    }
                    _ => self.list(key, kind, count)?,
                }
            }
            _ => self.number(key, kind)?,
        })
    }

    /// Keeps the elements of a list that is short enough to belong to layers; a tokenizer's lists are longer.
    fn list(&mut self, key: &str, kind: u32, count: usize) -> Result<Value, GgufError> {
        const LONGEST: usize = 4096;
        let mut list = Vec::new();
        for _ in 0..count {
            let value = self.number(key, kind)?;
            if count <= LONGEST {
                list.push(value);
            }
        }
        Ok(Value::List(list))
    }

    fn number(&mut self, key: &str, kind: u32) -> Result<Value, GgufError> {
        const WHAT: &str = "a value of the metadata";
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array(WHAT)?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array(WHAT)?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array(WHAT)?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array(WHAT)?).into()),
            4 => Value::Integer(u32::from_le_bytes(self.array(WHAT)?).into()),
            5 => Value::Integer(i32::from_le_bytes(self.array(WHAT)?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array(WHAT)?).into()),
            7 => Value::Bool(self.array::<1>(WHAT)? != [0]),
            10 => Value::Integer(u64::from_le_bytes(self.array(WHAT)?).into()),
            11 => Value::Integer(i64::from_le_bytes(self.array(WHAT)?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array(WHAT)?)),
            kind => return Err(GgufError::Kind { key: key.to_owned(), kind }),
        })
    }
}
