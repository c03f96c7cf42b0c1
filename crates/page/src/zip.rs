//! A ZIP file whose entries are stored as they are (PKWARE APPNOTE 6.3.10, §4.3): several files in one download.

/// Packs files, each a name and its bytes; names have `/` between folders.
///
/// # Panics
/// Never: sizes and places beyond 4 GiB, which the format has no room for, cannot be held in a tab.
pub fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let start = out.len() as u32;
        let mut entry = Vec::new();
        // Version 2.0, UTF-8 names, stored, at the first moment that the format knows: nothing here reads a clock.
        [20u16, 0x0800, 0, 0, 0x0021].iter().for_each(|word| entry.extend(word.to_le_bytes()));
        [crc32(bytes), bytes.len() as u32, bytes.len() as u32].iter().for_each(|word| entry.extend(word.to_le_bytes()));
        entry.extend((name.len() as u16).to_le_bytes());
        entry.extend(0u16.to_le_bytes());

        out.extend(b"PK\x03\x04");
        out.extend(&entry);
        out.extend(name.as_bytes());
        out.extend(bytes);

        directory.extend(b"PK\x01\x02");
        directory.extend(20u16.to_le_bytes());
        directory.extend(&entry);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (out.len() as u32, files.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06");
    [0, 0, count, count].iter().for_each(|word: &u16| out.extend(word.to_le_bytes()));
    [directory.len() as u32, start].iter().for_each(|word| out.extend(word.to_le_bytes()));
    out.extend(0u16.to_le_bytes());
    out
}

/// CRC-32 (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let divided = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    !divided
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn entries_lie_where_the_directory_says() {
        let files = [("a/ü.txt".to_owned(), b"one".to_vec()), ("b".to_owned(), vec![])];
        let packed = zip(&files);
        let number = |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().expect("four bytes")) as usize;
        let end = packed.len() - 22;
        assert_eq!(&packed[end..end + 4], b"PK\x05\x06");
        let (mut at, mut found) = (number(end + 16), vec![]);
        assert_eq!(at + number(end + 12), end);
        while &packed[at..at + 4] == b"PK\x01\x02" {
            let (size, name, start) = (number(at + 24), packed[at + 28] as usize, number(at + 42));
            assert_eq!(&packed[start..start + 4], b"PK\x03\x04");
            let name_of = |from: usize| String::from_utf8_lossy(&packed[from..from + name]).into_owned();
            assert_eq!(name_of(at + 46), name_of(start + 30));
            found.push((name_of(at + 46), packed[start + 30 + name..start + 30 + name + size].to_vec()));
            at += 46 + name;
        }
        assert_eq!(found, files);
    }
}
