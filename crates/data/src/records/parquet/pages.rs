//! The pages of a Parquet file: the library decodes them, but what their headers say is checked before memory is taken for it.

use std::sync::Arc;

use bytes::{Bytes, buf::Reader};
use parquet::{
    basic::{Compression, Encoding, Type},
    bloom_filter::Sbbf,
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::RowGroupMetaData,
        reader::{ChunkReader, Length, RowGroupReader},
        serialized_reader::SerializedPageReader,
    },
    record::reader::RowIter,
    schema::types::Type as Schema,
};

use super::compact::{Compact, I32};
use crate::Error;

/// Values of lists in one group of rows that a few bytes may stand for, since equal ones take no space: a row of them is in memory whole.
const FREE_VALUES: usize = 1 << 22;
/// Values of lists for each byte of their pages beyond that.
const VALUES_PER_BYTE: usize = 32;

/// Most bytes that one compressed byte becomes: Snappy copies 64 bytes by three, LZ4 continues a length by 255 in a byte, and deflate copies 258 bytes by
/// two bits. None for a codec that is not read.
fn expansion(codec: Compression) -> Option<usize> {
    match codec {
        Compression::UNCOMPRESSED => Some(1),
        Compression::SNAPPY => Some(22),
        Compression::LZ4 | Compression::LZ4_RAW => Some(256),
        Compression::GZIP(_) => Some(1033),
        _ => None,
    }
}

/// Checks that the columns of a group of rows can be decompressed.
///
/// # Errors
/// If the codec of one is not read here.
pub fn check(group: &RowGroupMetaData) -> std::result::Result<(), Error> {
    match group.columns().iter().map(|column| column.compression()).find(|codec| expansion(*codec).is_none()) {
        None => Ok(()),
        // Its name stands before its level, as in ZSTD(ZstdLevel(1)).
        Some(codec) => {
            let codec = codec.to_string();
            Err(Error::Codec { codec: codec.split('(').next().unwrap_or(&codec).to_owned() })
        }
    }
}

/// A group of rows in a file that is in memory.
pub struct RowGroup {
    pub file: Bytes,
    pub metadata: RowGroupMetaData,
}

impl RowGroupReader for RowGroup {
    fn metadata(&self) -> &RowGroupMetaData {
        &self.metadata
    }

    fn num_columns(&self) -> usize {
        self.metadata.num_columns()
    }

    fn get_column_page_reader(&self, index: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata.column(index);
        let chunk = Chunk { file: self.file.clone(), expansion: expansion(column.compression()).unwrap_or(1) };
        let rows = usize::try_from(self.metadata.num_rows())?;
        Ok(Box::new(Pages {
            pages: SerializedPageReader::new(Arc::new(chunk), column, rows, None)?,
            least: if column.column_type() == Type::BYTE_ARRAY { 4 } else { 1 },
            is_list: column.column_descr().max_rep_level() > 0,
            values: 0,
            bytes: 0,
        }))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<Schema>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// The file as the library reads the pages of a column from it: a header by [`get_read`](ChunkReader::get_read), what follows by
/// [`get_bytes`](ChunkReader::get_bytes).
struct Chunk {
    file: Bytes,
    expansion: usize,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.file.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let read = self.file.get_read(start)?;
        let (size, compressed) = sizes(read.get_ref()).ok_or_else(|| damaged("a page's header"))?;
        match size <= compressed.saturating_mul(self.expansion).saturating_add(64) {
            true => Ok(read),
            false => Err(damaged("the size of a page")),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.file.get_bytes(start, length)
    }
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(format!("{what} is damaged"))
}

/// The bytes of the page whose header this is, decompressed and as they are: its fields 2 and 3, after its type.
fn sizes(header: &[u8]) -> Option<(usize, usize)> {
    let mut reader = Compact { rest: header };
    let mut next = |id| match reader.field(id - 1)? {
        Some((found, I32)) if found == id => usize::try_from(reader.integer()?).ok(),
        _ => None,
    };
    next(1)?;
    Some((next(2)?, next(3)?))
}

/// The pages of a column.
struct Pages {
    pages: SerializedPageReader<Chunk>,
    /// Least bytes of a value in a dictionary.
    least: usize,
    /// True if a row may have many values.
    is_list: bool,
    /// Values and bytes of the pages read so far.
    values: usize,
    bytes: usize,
}

impl Pages {
    /// The page, if its values can be in so few bytes.
    fn checked(&mut self, page: Page) -> Result<Page> {
        let (count, length) = (page.num_values() as usize, page.buffer().len());
        if let Page::DictionaryPage { .. } = page {
            return match count <= length / self.least {
                true => Ok(page),
                false => Err(damaged("a dictionary")),
            };
        }
        // The others give the lengths of all values before the values.
        if let encoding @ (Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) = page.encoding() {
            return Err(ParquetError::General(format!(
                "a column has the encoding {encoding}, which is not read here; write it with PLAIN or a dictionary"
            )));
        }
        (self.values, self.bytes) = (self.values.saturating_add(count), self.bytes.saturating_add(length));
        match self.is_list && self.values > FREE_VALUES.saturating_add(self.bytes.saturating_mul(VALUES_PER_BYTE)) {
            true => Err(damaged("the number of values of a page")),
            false => Ok(page),
        }
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.checked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}
