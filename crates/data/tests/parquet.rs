//! Parquet files of each kind are the JSON lines with the same rows; damaged ones are refused in a sentence, without a panic and within memory of their size.
//!
//! One binary of its own, whose tests run one after another, since it counts what the whole process allocates.
#![cfg(feature = "parquet")]

use std::{
    alloc::System,
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use loralab_data::{Error, Fields, Found, Reader, TooLong, Wanted};
use loralab_linalg::Draws;
use loralab_tokenizer::Tokenizer;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const NAMES: [&str; 8] = ["pairs", "chats", "instructions", "questions", "sentences", "scores", "texts", "renamed"];

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn reader(name: &str) -> Reader<'static> {
    let renamed = [("prompt", "ask"), ("completion", "reply")].map(|(role, field)| (role.to_owned(), field.to_owned()));
    let fields = if name == "renamed" { Fields::new(renamed).expect("known roles") } else { Fields::default() };
    Reader { fields, too_long: TooLong::Truncate, ..Reader::new(&Tokenizer::Bytes, 4096) }
}

fn read(name: &str, bytes: &[u8]) -> Result<Found, Error> {
    reader(name).read(Some("data"), bytes)
}

fn message(result: Result<Found, Error>) -> String {
    match result {
        Ok(found) => panic!("it is read: {:?}", found.notes),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_is_the_json_lines_with_its_rows() {
    let _alone = alone();
    for name in NAMES {
        let (parquet, lines) = (fixture(&format!("{name}.parquet")), fixture(&format!("{name}.jsonl")));
        let found = read(name, &parquet).unwrap_or_else(|error| panic!("{name}: {error}"));
        let wanted = reader(name).read(Some("data.jsonl"), &lines).expect("JSON lines");
        assert_eq!(found.dataset, wanted.dataset, "{name}");
        assert_eq!(found.notes[0], wanted.notes[0].replace("JSON lines", "Parquet"), "{name}");
    }
    // Labels as classes and as scores.
    for (name, wanted) in [("sentences", Wanted::Class(vec![])), ("scores", Wanted::Score)] {
        let labelled = |data: &str, bytes: &[u8]| {
            let reader = Reader { labels: Some(wanted.clone()), ..reader(name) };
            reader.read(Some(data), bytes).unwrap_or_else(|error| panic!("{data}: {error}")).dataset
        };
        let lines = labelled("data.jsonl", &fixture(&format!("{name}.jsonl")));
        assert_eq!(labelled("data", &fixture(&format!("{name}.parquet"))), lines, "{name}");
    }
}

#[test]
fn a_row_is_named_by_its_number() {
    let _alone = alone();
    // The answer is missing from a record of the right kind.
    let fields =
        Fields::new([("prompt".to_owned(), "input".to_owned()), ("completion".to_owned(), "output".to_owned())]);
    let reader = Reader { fields: fields.expect("known roles"), ..reader("pairs") };
    let error = message(reader.read(None, &fixture("instructions.parquet")));
    assert!(error.starts_with("record 1: the field \"input\" is missing"), "{error}");
    let error = message(Reader::new(&Tokenizer::Bytes, 64).read(None, &fixture("renamed.parquet")));
    assert!(error.starts_with("it holds Parquet, whose records have the fields ask, reply, when, and"), "{error}");
}

#[test]
fn other_codecs_and_encodings_are_named() {
    let _alone = alone();
    for (name, words) in [
        (
            "refused-zstd",
            "its columns are compressed with ZSTD, but Snappy, GZIP, LZ4 or none are read; write it again",
        ),
        ("refused-brotli", "its columns are compressed with BROTLI, but"),
        ("refused-delta", "a column has the encoding DELTA_BYTE_ARRAY, which is not read here"),
    ] {
        let error = message(read(name, &fixture(&format!("{name}.parquet"))));
        assert!(error.contains(words), "{error}");
    }
}

/// Replaces the bytes from `at` on.
fn put(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// The position of the first of some bytes.
fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).expect("they are there")
}

/// A number in Thrift's compact protocol that says more than any file holds: 2^31 − 1, in five bytes.
const HUGE: [u8; 5] = [0xfe, 0xff, 0xff, 0xff, 0x0f];

/// Files that no reader can take for whole, with words of the sentence that refuses each.
fn damaged() -> Vec<(Vec<u8>, &'static str)> {
    let pairs = fixture("pairs.parquet");
    let plain = fixture("questions.parquet");
    let end = pairs.len();
    let length = u32::from_le_bytes([pairs[end - 8], pairs[end - 7], pairs[end - 6], pairs[end - 5]]) as usize;
    let footer = end - 8 - length;
    // The schema's root, after the version: a list of four structs, a name, and the number of its children.
    let root = find(&pairs[footer..], b"\x06schema") + footer + 7;
    let footer_says = |length: u32| put(&pairs, end - 8, &length.to_le_bytes());
    let mut cases = vec![
        (b"PAR1".to_vec(), "it ends too early"),
        (b"PAR1PAR1".to_vec(), "its footer is longer than the file"),
        (pairs[..end - 1].to_vec(), "it does not end in PAR1"),
        (pairs[..end / 2].to_vec(), "it does not end in PAR1"),
        (pairs[..20].to_vec(), "it does not end in PAR1"),
        (put(&pairs, end - 4, b"PARE"), "it is encrypted"),
        (footer_says(0), "its schema is damaged"),
        (footer_says(u32::MAX), "its footer is longer than the file"),
        (footer_says(length as u32 - 9), ""),
        (footer_says(length as u32 + 5), ""),
        (put(&pairs, root, &[0x15, 0x7e]), "its schema is damaged"),
        (put(&pairs, root, &[0x15, 0x04]), "its schema is damaged"),
        (put(&pairs, root, &HUGE), ""),
        // The first page, whose header is a type, the bytes of the page, and those of it compressed.
        (put(&pairs, 7, &HUGE), "is damaged"),
        (put(&pairs, 4, &[0xff; 12]), "a page's header is damaged"),
        (put(&pairs, 4, &[0; 40]), "a page's header is damaged"),
        (put(&plain, 40, &[0xff; 60]), ""),
        (put(&pairs, 30, &[0xff; 30]), ""),
        ([&pairs[..100], &pairs[140..]].concat(), ""),
        ([&pairs[..4], &pairs[..]].concat(), ""),
    ];
    // Nested so deep that a recursion has no stack left: a root with one child, which has one child, ….
    let node = b"\x15\x02\x25\x00\x18\x01a\x15\x02\x00";
    let deep = [&b"\x15\x02\x19\xfc\xa0\x8d\x06"[..], &node.repeat(100_000)].concat();
    let tail = (deep.len() as u32).to_le_bytes();
    cases.push(([b"PAR1", &deep[..], &tail, b"PAR1"].concat(), "more than 64 deep"));
    cases
}

#[test]
fn damaged_files_are_refused_in_a_sentence() {
    let _alone = alone();
    let cases = damaged();
    assert!(cases.len() > 20, "{} cases", cases.len());
    let mut problems = vec![];
    for (number, (bytes, words)) in cases.into_iter().enumerate() {
        let region = Region::new(ALLOCATOR);
        let read = read("pairs", &bytes);
        let allocated = region.change().bytes_allocated;
        let said = read.map_or_else(|error| error.to_string(), |found| format!("it is read: {:?}", found.notes));
        let is_sentence = said.contains("is not valid Parquet: ") && said.len() < 400 && !said.contains(['\n', '{']);
        if !(is_sentence && said.contains(words) && allocated < (1 << 20) + 16 * bytes.len()) {
            problems.push(format!("case {number}, {allocated} bytes: {said}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Bytes changed at random give a sentence or rows, and take memory by the file's size.
#[test]
fn files_with_changed_bytes_are_answered() {
    let _alone = alone();
    let files = NAMES.map(|name| (name, fixture(&format!("{name}.parquet"))));
    let (mut refused, mut most) = (0, 0);
    for case in 0..3000 {
        let mut draws = Draws::new(case, "damage");
        let (name, whole) = &files[draws.below(files.len() as u32) as usize];
        let mut bytes = whole.clone();
        for _ in 0..1 + draws.below(3) {
            // Half of them in the footer, which says where everything is.
            let from = if draws.below(2) == 0 { bytes.len() * 2 / 3 } else { 4 };
            let at = from + draws.below((bytes.len() - from) as u32) as usize;
            match draws.below(3) {
                0 => bytes[at] = draws.below(256) as u8,
                1 => bytes[at] ^= 1 << draws.below(8),
                _ => bytes[at] = 0xff,
            }
        }
        let region = Region::new(ALLOCATOR);
        let read = read(name, &bytes);
        let allocated = region.change().bytes_allocated;
        most = most.max(allocated);
        assert!(allocated < 64 << 20, "case {case}, {name}: {allocated} bytes allocated for {}", bytes.len());
        if let Err(error) = read {
            refused += 1;
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < 1500, "case {case}: {said}");
        }
    }
    println!("{refused} of 3000 are refused; at most {most} bytes are allocated");
    assert!(refused > 1000, "only {refused} are refused");
}
