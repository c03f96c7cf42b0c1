//! Damage to files, for tests that what is read from them is refused in words or used, whatever it is.

use std::ops::Range;

use loralab_linalg::Draws;

/// The texts that replace a number: the ends of ranges, values that are no number, and texts that are no JSON.
const VALUES: [&str; 26] = [
    "0",
    "-0.0",
    "1",
    "-1",
    "0.5",
    "1e308",
    "-1e308",
    "1.7976931348623157e308",
    "1e999",
    "1e-308",
    "5e-324",
    "1e-45",
    "3.5e38",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1000000000000000000000000000000",
    "NaN",
    "null",
    "[]",
    "\"x\"",
];

/// The same bytes with one to four kinds of damage: changed, lost, doubled or swapped bytes and lines, other numbers, a cut-off end.
pub fn mutate(bytes: &[u8], rng: &mut Draws) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(4) {
        damage(&mut bytes, rng);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Draws) {
    match rng.below(12) {
        0 => {
            let at = place(bytes.len(), rng);
            bytes.truncate(at);
        }
        1 => {
            let random = (0..=rng.below(8)).map(|_| rng.next_u32() as u8).collect::<Vec<_>>();
            let at = place(bytes.len(), rng);
            bytes.splice(at..at, random);
        }
        2 => {
            let range = piece(bytes.len(), rng);
            bytes.drain(range);
        }
        3 => {
            let piece = bytes[piece(bytes.len(), rng)].to_vec();
            let at = place(bytes.len(), rng);
            bytes.splice(at..at, piece);
        }
        4 => {
            // A length or an offset in a binary file.
            let word = [0, 1, u64::MAX, u64::MAX >> 1, 1 << 32, 1 << 40][rng.below(6) as usize].to_le_bytes();
            let at = place(bytes.len().saturating_sub(8), rng);
            bytes.iter_mut().skip(at).zip(word).for_each(|(byte, new)| *byte = new);
        }
        5 => {
            if let Some(byte) = one(bytes.len(), rng).and_then(|at| bytes.get_mut(at)) {
                *byte = rng.next_u32() as u8;
            }
        }
        6 | 7 => lines(bytes, rng),
        _ => number(bytes, rng),
    }
}

/// Loses, doubles or swaps a line.
fn lines(bytes: &mut Vec<u8>, rng: &mut Draws) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let (Some(one), Some(other)) = (one(lines.len(), rng), one(lines.len(), rng)) else { return };
    match rng.below(3) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        _ => lines.swap(one, other),
    }
    *bytes = lines.concat();
}

/// Replaces a number written in digits.
fn number(bytes: &mut Vec<u8>, rng: &mut Draws) {
    let part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let (mut numbers, mut at) = (Vec::new(), 0);
    for run in bytes.chunk_by(|one, other| part(one) == part(other)) {
        if run.iter().any(u8::is_ascii_digit) && part(&run[0]) {
            numbers.push(at..at + run.len());
        }
        at += run.len();
    }
    let Some(chosen) = one(numbers.len(), rng) else { return };
    let value = VALUES[rng.below(VALUES.len() as u32) as usize];
    bytes.splice(numbers.swap_remove(chosen), value.bytes());
}

/// A place before, between or after so many things.
fn place(count: usize, rng: &mut Draws) -> usize {
    rng.below(u32::try_from(count).expect("small files are damaged") + 1) as usize
}

fn one(count: usize, rng: &mut Draws) -> Option<usize> {
    count.checked_sub(1).map(|last| place(last, rng))
}

/// Up to 64 things of so many, or, one time in eight, any number of them.
fn piece(count: usize, rng: &mut Draws) -> Range<usize> {
    let start = place(count, rng);
    let most = if rng.chance(1, 8) { count } else { 64 };
    start..start + place((count - start).min(most), rng)
}

#[test]
fn damage_is_the_same_every_time_and_of_every_kind() {
    let (text, mut rng) = (b"{\"a\": 12}\n{\"b\": -3e-4}\n", Draws::new(0, "damage"));
    let damaged: Vec<Vec<u8>> = (0..500).map(|_| mutate(text, &mut rng)).collect();
    let mut again = Draws::new(0, "damage");
    assert!(damaged.iter().all(|bytes| *bytes == mutate(text, &mut again)));
    let has = |piece: &[u8]| damaged.iter().any(|bytes| bytes.windows(piece.len()).any(|window| window == piece));
    assert!(VALUES.iter().all(|value| has(value.as_bytes())));
    assert!(damaged.iter().any(|bytes| text.starts_with(bytes) && bytes.len() < text.len()), "a cut-off end");
    assert!(damaged.iter().any(|bytes| bytes.len() > 2 * text.len() - 8), "doubled lines");
    assert!(!mutate(b"", &mut rng).is_empty() || mutate(b"", &mut rng).len() < 200, "nothing is no reason to panic");
}
