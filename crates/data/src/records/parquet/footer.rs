//! The footer of a Parquet file, whose schema is checked before the library reads it: it recurses as deep as the columns are nested, and allocates as many
//! children of a column as it is said to have.
//!
//! A file ends in the footer, its length (4 bytes) and `PAR1`. The footer is a struct whose field 2 lists the schema's nodes, each before its children; a
//! node's field 5 is the number of its children (<https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>).

use super::compact::{Compact, I32, LIST, STRUCT};

/// The last bytes of a file, and of one whose footer is encrypted.
const END: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";

/// Deepest nesting of columns.
const DEEPEST: usize = 64;

/// Checks the footer of a file.
///
/// # Errors
/// In words, if the file does not end in a footer, or its schema is damaged or too deep.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let Some((rest, tail)) = bytes.split_last_chunk::<8>() else { return Err("it ends too early".to_owned()) };
    let (length, end) = tail.split_at(4);
    if end == ENCRYPTED {
        return Err("it is encrypted; write it without encryption".to_owned());
    }
    if end != END {
        return Err("it does not end in PAR1; is it only a part of a file?".to_owned());
    }
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let start = rest.len().checked_sub(length).ok_or("its footer is longer than the file")?;
    let children = children(&rest[start..]).ok_or("its schema is damaged")?;
    match is_tree(&children) {
        true => Ok(()),
        false => Err(format!("its schema is damaged, or has columns in columns more than {DEEPEST} deep")),
    }
}

/// The number of children of each node of the schema.
fn children(footer: &[u8]) -> Option<Vec<usize>> {
    let mut reader = Compact { rest: footer };
    let mut last = 0;
    while let Some((id, kind)) = reader.field(last)? {
        last = id;
        if (id, kind) != (2, LIST) {
            reader.skip(kind)?;
            continue;
        }
        let (count, kind) = reader.list()?;
        return (0..count).map(|_| if kind == STRUCT { node(&mut reader) } else { None }).collect();
    }
    None
}

/// The number of children of one node.
fn node(reader: &mut Compact<'_>) -> Option<usize> {
    let (mut last, mut children) = (0, 0);
    while let Some((id, kind)) = reader.field(last)? {
        last = id;
        match (id, kind) {
            (5, I32) => children = usize::try_from(reader.integer()?).ok()?,
            _ => reader.skip(kind)?,
        }
    }
    Some(children)
}

/// True if nodes with these numbers of children, each before its own, are a tree that is not too deep.
fn is_tree(children: &[usize]) -> bool {
    // For each ancestor of a node the number of its children that are still to come.
    let mut open: Vec<usize> = vec![1];
    for &count in children {
        while open.last() == Some(&0) {
            open.pop();
        }
        let Some(left) = open.last_mut() else { return false };
        *left -= 1;
        if count > children.len() || open.len() > DEEPEST {
            return false;
        }
        open.push(count);
    }
    open.iter().all(|left| *left == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_tree() {
        for (children, is) in [
            (&[0][..], true),
            (&[2, 0, 0], true),
            (&[2, 1, 0, 0], true),
            (&[], false),
            (&[2, 0], false),
            (&[1, 0, 0], false),
            (&[1 << 31, 0], false),
        ] {
            assert_eq!(is_tree(children), is, "{children:?}");
        }
        let chain = |depth: usize| [vec![1; depth], vec![0]].concat();
        assert!(is_tree(&chain(DEEPEST - 1)) && !is_tree(&chain(DEEPEST + 1)));
    }
}
