//! GGUF files.

use super::Case;

const U32: u32 = 4;
const F32: u32 = 6;
const TEXT: u32 = 8;
const LIST: u32 = 9;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A value of the metadata.
fn value(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(key)[..], &kind.to_le_bytes(), value].concat()
}

fn number(key: &str, number: u32) -> Vec<u8> {
    value(key, U32, &number.to_le_bytes())
}

/// A tensor's description.
fn tensor(name: &str, sizes: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let sizes_of = sizes.iter().flat_map(|size| size.to_le_bytes());
    let dimensions = (sizes.len() as u32).to_le_bytes();
    text(name)
        .into_iter()
        .chain(dimensions)
        .chain(sizes_of)
        .chain(kind.to_le_bytes())
        .chain(offset.to_le_bytes())
        .collect()
}

/// A file whose header has these values and tensors, with so many bytes of data.
fn file(values: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
    let counts = [tensors.len() as u64, values.len() as u64].map(u64::to_le_bytes).concat();
    let mut bytes = [&b"GGUF\x03\0\0\0"[..], &counts, &values.concat(), &tensors.concat()].concat();
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    bytes
}

/// The metadata of a small model of an architecture, but for some keys.
fn model(architecture: &str, but: &[&str]) -> Vec<Vec<u8>> {
    let sizes = [
        ("context_length", 32),
        ("embedding_length", 8),
        ("block_count", 1),
        ("feed_forward_length", 8),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 2),
    ];
    let sizes = sizes.into_iter().filter(|(key, _)| !but.contains(key));
    let values = sizes.map(|(key, size)| number(&format!("{architecture}.{key}"), size));
    [value("general.architecture", TEXT, &text(architecture))].into_iter().chain(values).collect()
}

pub fn cases() -> Vec<Case> {
    let files: Vec<(Vec<u8>, &'static str)> = [headers(), metadata(), tensors()].into_iter().flatten().collect();
    let mut cases: Vec<Case> =
        files.iter().map(|(bytes, words)| Case::new(&[("a.gguf", bytes)], "a.gguf", words)).collect();
    let part = file(&model("llama", &[]), &[], 0);
    let first = "a-00001-of-00002.gguf";
    cases.push(Case::new(&[(first, &part)], first, "a-00002-of-00002.gguf` is missing"));
    let split = [model("llama", &[]), vec![number("split.count", 3)]].concat();
    cases.push(Case::new(&[("a.gguf", &file(&split, &[], 0))], "a.gguf", "one of 3 parts, but 1"));
    cases
}

/// Files whose header ends too early or counts too much.
fn headers() -> Vec<(Vec<u8>, &'static str)> {
    let counts = |tensors: u64, values: u64| {
        [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &values.to_le_bytes(), &[0; 64]].concat()
    };
    let keyed = |rest: &[u8]| [&counts(0, 1)[..24], rest, &[0; 32]].concat();
    let huge = u64::MAX.to_le_bytes();
    let list = |kind: u32, count: u64| value("a", LIST, &[&kind.to_le_bytes()[..], &count.to_le_bytes()].concat());
    vec![
        (b"GGUF".to_vec(), "ends too early: at byte 4 the version"),
        (b"GGUF\x03\0\0\0".to_vec(), "ends too early"),
        (b"GGUF\x01\0\0\0\0\0\0\0".to_vec(), "GGUF of version 1;"),
        (b"GGUF\0\0\0\x03and more".to_vec(), "GGUF of version 50331648"),
        (counts(u64::MAX, 0), "counts 18446744073709551615 tensors"),
        (counts(1 << 40, 0), "counts 1099511627776 tensors"),
        (counts(0, u64::MAX), "counts 18446744073709551615 metadata values"),
        (counts(0, 1 << 40), "counts 1099511627776 metadata values"),
        (keyed(&huge), "counts 18446744073709551615 bytes of a text"),
        (keyed(&value("a", TEXT, &huge)), "counts 18446744073709551615 bytes of a text"),
        (keyed(&list(F32, 1 << 63)), "counts 9223372036854775808 elements of a list"),
        (keyed(&list(TEXT, 5)), "elements of a list"),
        (keyed(&list(TEXT, 3)), "general.architecture"),
        (keyed(&list(LIST, 1)), "metadata `a` has the unknown type 9"),
        (keyed(&list(77, 1)), "metadata `a` has the unknown type 77"),
        (keyed(&value("a", 77, &[])), "metadata `a` has the unknown type 77"),
        (keyed(&[&2_u64.to_le_bytes()[..], b"\xFF\xFE"].concat()), "not UTF-8"),
    ]
}

/// Files whose metadata describe no supported model.
fn metadata() -> Vec<(Vec<u8>, &'static str)> {
    let with =
        |architecture: &str, but: &[&str], more: Vec<Vec<u8>>| file(&[model(architecture, but), more].concat(), &[], 0);
    let named = |key: &str, words: &str| value(key, TEXT, &text(words));
    vec![
        (file(&[], &[], 0), "general.architecture` is missing"),
        (file(&[number("general.architecture", 7)], &[], 0), "the name of an architecture"),
        (with("mamba", &[], vec![]), "the architecture \"mamba\""),
        (with("llama", &[], vec![number("llama.block_count", 2)]), "`llama.block_count` occurs in it twice"),
        (with("llama", &["embedding_length"], vec![]), "`llama.embedding_length` is missing"),
        (with("llama", &["block_count"], vec![named("llama.block_count", "many")]), "a whole number is needed"),
        (with("llama", &[], vec![number("llama.rope.dimension_count", 2)]), "2 of 4 columns"),
        (with("llama", &[], vec![number("llama.attention.value_length", 2)]), "2, but the keys have 4"),
        (with("llama", &[], vec![number("llama.expert_count", 8)]), "a mixture of experts"),
        (
            with(
                "llama",
                &[],
                vec![named("llama.rope.scaling.type", "longrope"), number("llama.rope.scaling.factor", 4)],
            ),
            "\"longrope\"",
        ),
        (with("llama", &[], vec![value("llama.rope.freq_base", F32, &f32::NAN.to_le_bytes())]), "a number is needed"),
        (with("llama", &[], vec![number("general.alignment", 3)]), "a power of two"),
        (with("llama", &[], vec![number("general.alignment", 0)]), "a power of two"),
    ]
}

/// Files whose tensors are not in them.
fn tensors() -> Vec<(Vec<u8>, &'static str)> {
    let of = |tensors: &[Vec<u8>]| file(&model("llama", &[]), tensors, 256);
    let embedding = |sizes: &[u64], kind: u32, offset: u64| of(&[tensor("token_embd.weight", sizes, kind, offset)]);
    vec![
        (embedding(&[], 0, 0), "1 to 4 dimensions"),
        (embedding(&[1, 1, 1, 1, 1], 0, 0), "1 to 4 dimensions"),
        (embedding(&[8, 0], 0, 0), "a size is 0"),
        (embedding(&[1 << 32, 1 << 32, 4], 0, 0), "beyond this machine"),
        (embedding(&[u64::MAX], 0, 0), "beyond this machine"),
        (embedding(&[33, 2], 8, 0), "not whole blocks"),
        (embedding(&[256, 2], 14, 0), "420 bytes at 0 of the data, but there are 256"),
        (embedding(&[8, 2], 0, u64::MAX), "64 bytes at 18446744073709551615"),
        (embedding(&[8, 2], 0, 224), "64 bytes at 224"),
        (embedding(&[8, 1 << 20], 0, 0), "33554432 bytes at 0"),
        (
            of(&[tensor("token_embd.weight", &[8, 4], 0, 0), tensor("output_norm.weight", &[8], 0, 96)]),
            "`token_embd.weight` and `output_norm.weight` overlap",
        ),
        (
            of(&[tensor("token_embd.weight", &[8, 2], 0, 0), tensor("token_embd.weight", &[8], 0, 64)]),
            "`token_embd.weight` occurs in it twice",
        ),
        (of(&[tensor("v.patch_embd.weight", &[8, 2], 0, 0)]), "tensor `v.patch_embd.weight` has no place"),
        (of(&[tensor("blk.0.attn_sinks.weight", &[8], 0, 0)]), "tensor `blk.0.attn_sinks.weight` has no place"),
        (of(&[tensor("noname", &[8], 0, 0)]), "tensor `noname` has no place"),
        (of(&[tensor("blk.0.attn_q.weight", &[8, 6], 0, 0)]), "no whole heads"),
        (of(&[tensor("rope_freqs.weight", &[2], 1, 0)]), "rotary factors"),
    ]
}
