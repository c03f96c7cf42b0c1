//! Folders, indexes, shards and headers of safetensors.

use super::Case;

const CONFIG: (&str, &[u8]) = ("config.json", b"{}");

/// A safetensors file with this header and so many bytes of data.
fn file(header: &str, bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
}

/// A file with one tensor.
fn of(dtype: &str, shape: &str, offsets: &str, bytes: usize) -> Vec<u8> {
    file(&format!("{{\"a\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}"), bytes)
}

/// A file with f32 tensors of two elements each.
fn shard(names: &[&str]) -> Vec<u8> {
    let tensor = |(index, name): (usize, &&str)| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[{},{}]}}", 8 * index, 8 * index + 8)
    };
    let tensors: Vec<String> = names.iter().enumerate().map(tensor).collect();
    file(&format!("{{{}}}", tensors.join(",")), 8 * names.len())
}

pub fn cases() -> Vec<Case> {
    [headers(), indexes(), folders()].into_iter().flatten().collect()
}

/// Files that are no whole safetensors.
fn headers() -> Vec<Case> {
    let nested = format!("{{\"a\":{}}}", "[".repeat(100_000));
    let two = |one: &str, other: &str| {
        let tensor = |offsets: &str| format!("{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{offsets}}}");
        file(&format!("{{\"a\":{},\"b\":{}}}", tensor(one), tensor(other)), 16)
    };
    let whole = "not a whole safetensors file";
    let files: Vec<(Vec<u8>, &'static str)> = vec![
        (vec![], whole),
        (vec![1; 7], whole),
        (0_u64.to_le_bytes().to_vec(), whole),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), whole),
        ([&(1_u64 << 63).to_le_bytes()[..], b"{}"].concat(), whole),
        ([&99_000_000_u64.to_le_bytes()[..], b"{}"].concat(), whole),
        ([&3_u64.to_le_bytes()[..], b"{}"].concat(), whole),
        ([&4_u64.to_le_bytes()[..], &[0xFF; 4]].concat(), whole),
        (file("not JSON", 8), whole),
        (file("[]", 8), whole),
        (file(&nested, 8), whole),
        (file("{\"__metadata__\":{\"format\":7}}", 0), whole),
        (file("{\"a\":7}", 8), whole),
        (of("F32", "[2]", "[0,1152921504606846976]", 8), "describes 1152921504606847"),
        (of("F32", "[2]", "[18446744073709551608,18446744073709551615]", 8), whole),
        (of("F32", "[2]", "[0,18446744073709551616]", 8), whole),
        (of("F32", "[2]", "[8,0]", 8), whole),
        (of("F32", "[2]", "[-8,0]", 8), whole),
        (of("F32", "[2]", "[0.0,8.0]", 8), whole),
        (of("F32", "[8589934592,8589934592,4]", "[0,8]", 8), whole),
        (of("F32", "[3]", "[0,8]", 8), whole),
        (of("F32", "[-2]", "[0,8]", 8), whole),
        (of("F99", "[2]", "[0,8]", 8), whole),
        (of("F32", "[2]", "[0,8]", 12), "it has"),
        (of("F32", "[2]", "[0,8]", 5), "it has"),
        (two("[0,8]", "[4,12]"), whole),
        (two("[0,8]", "[12,20]"), whole),
        (two("[0,8]", "[0,8]"), whole),
    ];
    files.into_iter().map(|(bytes, words)| Case::new(&[("a.safetensors", &bytes)], "a.safetensors", words)).collect()
}

/// Folders with several files.
fn indexes() -> Vec<Case> {
    let (one, other) = (shard(&["a", "b"]), shard(&["c"]));
    let listing = |pairs: &str| format!("{{\"metadata\":{{\"total_size\":24}},\"weight_map\":{{{pairs}}}}}");
    let case = |index: &[u8], words: &'static str| {
        let index = ("model.safetensors.index.json", index);
        Case::new(&[CONFIG, index, ("1.safetensors", &one), ("2.safetensors", &other)], "", words)
    };
    let of = |pairs: &str, words: &'static str| case(listing(pairs).as_bytes(), words);
    let mut cases = vec![
        case(b"", "index.json can't be read"),
        case(b"{", "index.json can't be read"),
        case(b"{}", "missing field `weight_map`"),
        case(b"{\"weight_map\":[]}", "from the names of tensors to the names of files"),
        case(b"{\"weight_map\":{\"a\":7}}", "index.json can't be read"),
        case(b"{\"weight_map\":{\"a\":\"\xFF\"}}", "index.json` cannot be read"),
        case("[".repeat(100_000).as_bytes(), "index.json can't be read"),
        of("\"a\":\"1.safetensors\",\"a\":\"1.safetensors\"", "names the tensor `a` twice"),
        of(
            "\"a\":\"1.safetensors\",\"b\":\"1.safetensors\",\"c\":\"3.safetensors\"",
            "`3.safetensors`, which is missing",
        ),
        of(
            "\"a\":\"1.safetensors\",\"b\":\"1.safetensors\",\"z\":\"2.safetensors\",\"c\":\"2.safetensors\"",
            "tensor `z` is not in `2.safetensors`",
        ),
        of("\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"", "tensor `b` of `1.safetensors` is not in"),
        of(
            "\"a\":\"1.safetensors\",\"b\":\"2.safetensors\",\"c\":\"2.safetensors\"",
            "tensor `b` is both in `2.safetensors` and in `1.safetensors`",
        ),
    ];
    for outside in [
        "../1.safetensors",
        "/etc/passwd",
        "sub/1.safetensors",
        "",
        ".",
        "..",
        "..\\\\1.safetensors",
        "./1.safetensors",
    ] {
        cases.push(of(&format!("\"a\":\"{outside}\""), "only files in the folder itself"));
    }
    let index = listing("\"a\":\"1.safetensors\",\"b\":\"1.safetensors\"");
    let index = ("model.safetensors.index.json", index.as_bytes());
    for (bytes, words) in [
        (&one[..one.len() - 1], "`1.safetensors` cannot be used: it is not a whole safetensors file"),
        (b"GGUF\x03\0\0\0", "`1.safetensors` cannot be used: it is not a whole"),
        (b"", "`1.safetensors` cannot be used: it is not a whole"),
    ] {
        cases.push(Case::new(&[CONFIG, index, ("1.safetensors", bytes)], "", words));
    }
    cases
}

/// Folders without what is needed, and files of other kinds.
fn folders() -> Vec<Case> {
    let good = shard(&["a"]);
    let weights = ("model.safetensors", &good[..]);
    vec![
        Case::new(&[], "", "a folder without a config.json"),
        Case::new(&[weights], "", "with `model.safetensors`, which may be named itself"),
        Case::new(&[CONFIG], "", "a folder without model.safetensors"),
        Case::new(&[CONFIG, ("q4.gguf", b"GGUF")], "", "with `q4.gguf`"),
        Case::new(&[CONFIG, ("pytorch_model.bin", b"PK")], "", "save_pretrained"),
        Case::new(&[CONFIG, ("pytorch_model.bin.index.json", b"{}")], "", "save_pretrained"),
        Case::new(&[("adapter_config.json", b"{}"), ("adapter_model.safetensors", &good)], "", "folder of an adapter"),
        Case::new(&[("config.json/", b""), weights], "", "config.json` cannot be read"),
        Case::new(&[("config.json", b"\xFF\xFE"), weights], "", "config.json` cannot be read"),
        Case::new(&[CONFIG, ("model.safetensors/", b"")], "", "`model.safetensors` cannot be used"),
        Case::new(&[CONFIG], "config.json", "it is JSON"),
        Case::new(&[("a.bin", b"PK\x03\x04and so on")], "a.bin", "a zip archive, as PyTorch"),
        Case::new(&[("a.bin", b"\x80\x02}q\x00.")], "a.bin", "a pickle"),
        Case::new(&[("a.h5", b"\x89HDF\r\n\x1a\n")], "a.h5", "HDF5"),
        Case::new(
            &[("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n")],
            "a.safetensors",
            "git lfs pull",
        ),
        Case::new(&[], "nowhere.safetensors", "cannot be read"),
    ]
}
