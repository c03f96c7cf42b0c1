//! TensorBoard's event files: a folder for each run, with its losses, rates and norms as scalars.
//!
//! A file is a row of records, each framed as in TensorFlow's `tensorflow/core/lib/io/record_writer.h`: the length in 8 bytes, its masked CRC-32C, the record, and
//! that record's masked CRC-32C. A record is an `Event` in the wire format of Protocol Buffers, <https://protobuf.dev/programming-guides/encoding/>, whose fields
//! TensorBoard's `tensorboard/compat/proto/event.proto` and `summary.proto` number.

use loralab_experiment::{Event, Logged};

use super::files::Files;

/// The folder of the runs' folders.
pub const TENSORBOARD: &str = "tensorboard";
/// The event file of a run, in its folder. TensorBoard reads the files with `tfevents` in their names.
pub const EVENTS: &str = "events.out.tfevents.0.loralab";

/// The first record of a file, as TensorBoard asks for.
const VERSION: &str = "brain.Event:2";

/// Adds an event to the file of its run, if there are numbers in it.
pub fn translate(logged: &Logged, files: &mut Files) {
    let (cell, step, scalars) = match &logged.event {
        Event::Step { cell, step, loss, learning_rate, gradient_norm } => {
            let rate = ("train/learning_rate", Some(*learning_rate));
            (cell, step, vec![("train/loss", *loss), rate, ("train/gradient_norm", *gradient_norm)])
        }
        Event::Evaluation { cell, step, loss, accuracy, text } => {
            let scalars = vec![
                ("validation/loss", *loss),
                ("validation/accuracy", *accuracy),
                ("validation/perplexity", text.perplexity),
                ("validation/bits_per_byte", text.bits_per_byte),
            ];
            (cell, step, scalars)
        }
        Event::Diagnosis { cell, step, kl_from_base, .. } => {
            (cell, step, vec![("diagnosis/kl_from_base", *kl_from_base)])
        }
        _ => return,
    };
    let file = format!("{TENSORBOARD}/{}/{EVENTS}", cell.id());
    let time = logged.time.unwrap_or_default();
    if files.is_new(&file) {
        let mut event = double(1, time);
        bytes(3, VERSION.as_bytes(), &mut event);
        files.add(&file, &framed(&event));
    }
    let mut summary = Vec::new();
    for (tag, value) in scalars.into_iter().filter_map(|(tag, value)| Some((tag, value?))) {
        let mut scalar = Vec::new();
        bytes(1, tag.as_bytes(), &mut scalar);
        scalar.push(key(2, FOUR_BYTES));
        scalar.extend((value as f32).to_le_bytes());
        bytes(1, &scalar, &mut summary);
    }
    let mut event = double(1, time);
    event.push(key(2, VARINT));
    varint(*step as u64, &mut event);
    bytes(5, &summary, &mut event);
    files.add(&file, &framed(&event));
}

/// Kinds of values on the wire.
const VARINT: u8 = 0;
const EIGHT_BYTES: u8 = 1;
const WITH_LENGTH: u8 = 2;
const FOUR_BYTES: u8 = 5;

/// The tag before a value: the number of its field, below 16, and its kind.
fn key(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

/// A whole number in groups of seven bits, the lowest first.
fn varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[key(field, EIGHT_BYTES)][..], &value.to_le_bytes()].concat()
}

/// A text or a message.
fn bytes(field: u8, value: &[u8], into: &mut Vec<u8>) {
    into.push(key(field, WITH_LENGTH));
    varint(value.len() as u64, into);
    into.extend(value);
}

fn framed(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let [of_length, of_record] = [&length[..], record].map(|bytes| masked(crc32c(bytes)).to_le_bytes());
    [&length[..], &of_length, record, &of_record].concat()
}

/// A checksum as it is stored, so that the checksum of data with checksums within is no special number (`tensorflow/core/lib/hash/crc32c.h`).
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The checksum of RFC 3720, §12.1, with Castagnoli's polynomial, its bits reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut rest, mut bit) = (byte as u32, 0);
            while bit < 8 {
                rest = if rest & 1 == 1 { rest >> 1 ^ 0x82f6_3b78 } else { rest >> 1 };
                bit += 1;
            }
            table[byte] = rest;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |rest, &byte| rest >> 8 ^ TABLE[(rest as u8 ^ byte) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(0), 0xa282_ead8);
    }

    #[test]
    fn numbers_stand_in_groups_of_seven_bits() {
        for (number, wanted) in [(0, &[0][..]), (127, &[127]), (300, &[0xac, 2]), (1 << 14, &[0x80, 0x80, 1])] {
            let mut found = Vec::new();
            varint(number, &mut found);
            assert_eq!(found, wanted, "{number}");
        }
    }
}
