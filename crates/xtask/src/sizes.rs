//! What a browser is sent when it opens the page.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};

use crate::{ROOT, halves::is_later};

/// The base that is fetched as a file of its own, and the one that is within the worker's.
const BASES: [&str; 2] = ["tiny.safetensors", "nano.safetensors"];

/// Prints the size of every part of `dist`, as it is and as a host sends it, and their sums.
pub fn tell(dist: &Path) -> Result<()> {
    println!("\n{:>8}  {:>8}  sent to a browser, KB", "raw", "gzipped");
    for [raw, sent, name] in rows(dist)? {
        println!("{raw:>8}  {sent:>8}  {name}");
    }
    Ok(())
}

/// Of every part of `dist`: kilobytes as it is, kilobytes as a host sends it, its name; then the same of all that a first step on a GPU needs, without the bases, and of
/// what comes later.
pub fn rows(dist: &Path) -> Result<Vec<[String; 3]>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(dist)? {
        let entry = entry?;
        let bytes = fs::read(entry.path())?;
        parts.push((entry.file_name().to_string_lossy().into_owned(), bytes.len(), gzipped(&bytes)?));
    }
    parts.sort_by_key(|&(_, _, sent)| std::cmp::Reverse(sent));
    let [tiny, nano] = BASES;
    let within = fs::read(Path::new(ROOT).join("crates/core/bases").join(nano)).context("the base nano is missing")?;
    let within = gzipped(&within)?;
    let sum = |is_in: &dyn Fn(&str) -> bool| -> usize {
        parts.iter().filter(|(name, ..)| is_in(name)).map(|(_, _, sent)| sent).sum()
    };
    let first = sum(&|name| name != tiny && !is_later(name)).saturating_sub(within);
    let sums = [
        (first, "all that a first step on a GPU needs, but the two bases"),
        (sum(&is_later), "what comes once the page is ready"),
    ]
    .map(|(sent, what)| [String::new(), kilobytes(sent), what.to_owned()]);
    let row = |(name, raw, sent): &(String, usize, usize)| {
        let note = match name.as_str() {
            "worker_bg.wasm" => format!(" ({} of it, gzipped, are the base nano)", kilobytes(within)),
            _ => String::new(),
        };
        [kilobytes(*raw), kilobytes(*sent), format!("{name}{note}")]
    };
    Ok(parts.iter().map(row).chain(sums).collect())
}

/// Bytes as gzip leaves them at its slowest, which a host that compresses once uses.
fn gzipped(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

fn kilobytes(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_sent_in_little() {
        let sent = gzipped(&[7; 100_000]).expect("memory can be written to");
        assert!(sent > 20 && sent < 500, "{sent}");
        assert_eq!(kilobytes(1_250), "1.2");
    }
}
