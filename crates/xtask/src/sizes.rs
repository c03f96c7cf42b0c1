//! The files of the built page as a host sends them: compressed, and their sizes.

use std::{fs, io::Write, path::Path};

use anyhow::Result;
use brotli::CompressorWriter;
use flate2::{Compression, write::GzEncoder};

/// Files that a host compresses. A base is noise to a compressor.
const COMPRESSED: [&str; 5] = ["css", "html", "js", "svg", "wasm"];

/// The ends of the compressed copies' names.
const COPIES: [&str; 2] = [".gz", ".br"];

/// Writes two copies beside each file of `dist` that a host compresses, by gzip and by Brotli, each as small as it gets.
pub fn compress(dist: &Path) -> Result<()> {
    for entry in fs::read_dir(dist)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if COMPRESSED.contains(&extension) {
            let bytes = fs::read(&path)?;
            for (end, copy) in COPIES.into_iter().zip([gzip(&bytes)?, brotli(&bytes)?]) {
                fs::write(path.with_extension(format!("{extension}{end}")), copy)?;
            }
        }
    }
    Ok(())
}

/// Prints [`rows`].
pub fn tell(dist: &Path) -> Result<()> {
    println!("\n{:>8}  {:>8}  {:>8}  sent to a browser, KB", "raw", "gzip", "Brotli");
    for [raw, gzip, brotli, name] in rows(dist)? {
        println!("{raw:>8}  {gzip:>8}  {brotli:>8}  {name}");
    }
    Ok(())
}

/// Of every file of `dist`: kilobytes as it is, by gzip, by Brotli; its name. Then the sums of the page, with which a person can use it, of the worker, which is
/// fetched after that, and of both. A file without compressed copies is sent as it is.
pub fn rows(dist: &Path) -> Result<Vec<[String; 4]>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dist)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !COPIES.iter().any(|end| name.ends_with(end)) {
            let raw = fs::metadata(dist.join(&name))?.len();
            let copy = |end| fs::metadata(dist.join(format!("{name}{end}"))).map_or(raw, |copy| copy.len());
            files.push(([raw, copy(COPIES[0]), copy(COPIES[1])], name));
        }
    }
    files.sort_by_key(|&([_, gzip, _], _)| std::cmp::Reverse(gzip));
    let sum = |is_in: &dyn Fn(&str) -> bool, name: &str| {
        let parts = files.iter().filter(|(_, name)| is_in(name));
        (parts.fold([0; 3], |sum, (part, _)| [0, 1, 2].map(|kind| sum[kind] + part[kind])), name.to_owned())
    };
    let is_worker = |name: &str| name.starts_with("worker") || name == "start.js";
    // The base `tiny` and the service worker are fetched when all else is there.
    let is_late = |name: &str| name.ends_with(".safetensors") || name == "offline.js";
    let sums = [
        sum(&|name| !is_worker(name) && !is_late(name), "the page"),
        sum(&is_worker, "the worker, with the base nano"),
        sum(&|name| !is_late(name), "both"),
    ];
    let row = |([raw, gzip, brotli], name): &([u64; 3], String)| {
        let [raw, gzip, brotli] = [raw, gzip, brotli].map(|&bytes| format!("{:.1}", bytes as f64 / 1000.0));
        [raw, gzip, brotli, name.clone()]
    };
    Ok(files.iter().chain(&sums).map(row).collect())
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    // The highest quality, and the largest window that every browser takes (RFC 7932 §9.1).
    let mut encoder = CompressorWriter::new(Vec::new(), 1 << 16, 11, 24);
    encoder.write_all(bytes)?;
    Ok(encoder.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn copies_stand_beside_each_file_and_hold_the_same() {
        let folder = std::env::temp_dir().join(format!("loralab-sizes-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let files = ["index.html", "page_bg.wasm", "worker.js", "tiny.safetensors"];
        for file in files {
            fs::write(folder.join(file), file.repeat(1000)).expect("a temporary file");
        }
        compress(&folder).expect("they can be compressed");
        for file in &files[..3] {
            let [mut gzip, mut brotli] = [String::new(), String::new()];
            let open = |end: &str| fs::File::open(folder.join(format!("{file}{end}"))).expect("a copy");
            flate2::read::GzDecoder::new(open(".gz")).read_to_string(&mut gzip).expect("it is gzip's");
            brotli::Decompressor::new(open(".br"), 4096).read_to_string(&mut brotli).expect("it is Brotli's");
            assert!(gzip == file.repeat(1000) && brotli == gzip, "{file}");
        }
        let rows = rows(&folder).expect("the folder can be read");
        let of = |name: &str| rows.iter().find(|row| row[3] == name).unwrap_or_else(|| panic!("{rows:?}"));
        assert_eq!(of("tiny.safetensors")[..3], ["16.0", "16.0", "16.0"]);
        // Copies are no parts of the page, and the sums are of its own files: 10 + 12 and 9 thousand bytes.
        assert_eq!((rows.len(), &of("the page")[0][..], &of("both")[0][..]), (4 + 3, "22.0", "31.0"));
        fs::remove_dir_all(folder).expect("it was made");
    }
}
