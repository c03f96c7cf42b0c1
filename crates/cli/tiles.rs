//! The tile sizes of a GPU's products: the `--tiles` flag, and the file of timed tiles in the user's cache and in each results folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use loralab_core::{
    device::webgpu::{Accelerator, Checks, Found, Tiling},
    graph::shader::Tiles,
};

use crate::{args, durable::write_whole, failure::usage, terminal::note};

/// The file of a result's timed tiles.
pub const TILES: &str = "tiles.txt";

/// The way in which a GPU chooses its tiles.
///
/// # Errors
/// If a file was named that cannot be read, is damaged, or is of another GPU.
pub fn tiling(choice: Option<&args::Tiles>, gpu: &Found, checks: Checks) -> Result<Tiling> {
    let Some(choice) = choice else { return Ok(Tiling::Given(gpu.tiles())) };
    match choice {
        args::Tiles::All(tile) => Ok(Tiling::Given(Tiles::all(*tile))),
        // A cache that cannot be used costs a timing, no more.
        args::Tiles::Timed => {
            let kept = cache(gpu, checks).and_then(|file| read(&file, gpu, checks).ok());
            Ok(Tiling::Timed(kept.unwrap_or_default()))
        }
        args::Tiles::File(file) if file.exists() => Ok(Tiling::Timed(read(file, gpu, checks)?)),
        args::Tiles::File(file) => Err(usage(format_args!(
            "`--tiles` is `{}`, which is neither 64x64, 128x64, 128x128 or timed, nor a file that exists",
            file.display()
        ))),
    }
}

/// Stores the timed tiles in the cache.
pub fn keep(gpu: &Accelerator) {
    let Some(file) = cache(gpu.found(), gpu.options().checks) else { return };
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).map_err(anyhow::Error::from);
    if let Err(error) = written.and_then(|()| write_whole(&file, text(gpu).as_bytes())) {
        note(format_args!("The tiles that were timed are not kept: {error:#}."));
    }
}

/// The tiles of a GPU as the text of a file.
pub fn text(gpu: &Accelerator) -> String {
    let picked = gpu.tiles();
    let lines = picked.picked().map(|(product, tile)| format!("{tile} {product}\n"));
    format!("{}\n{}", header(gpu.found(), gpu.options().checks), lines.collect::<String>())
}

/// The first line of the file, which names the GPU and its checks.
fn header(gpu: &Found, checks: Checks) -> String {
    format!("# tiles of {gpu}, checks {}", if checks == Checks::On { "on" } else { "off" })
}

fn read(file: &Path, gpu: &Found, checks: Checks) -> Result<Tiles> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("the tiles in `{name}` cannot be read"))?;
    parse(&text, &header(gpu, checks)).map_err(|reason| anyhow!("the tiles in `{name}` {reason}"))
}

/// Reads tiles from a text, whose first line must be `header`.
fn parse(text: &str, header: &str) -> Result<Tiles, String> {
    let mut lines = text.lines();
    let found = lines.next().unwrap_or_default();
    if found != header {
        return Err(format!("begin with `{found}`, but this is `{header}`; time them here with `--tiles timed`"));
    }
    let mut tiles = Tiles::default();
    for (number, line) in (2..).zip(lines) {
        let (tile, product) =
            line.split_once(' ').ok_or_else(|| format!("have no tile and product in line {number}"))?;
        tiles.pick(product.to_owned(), tile.parse().map_err(|error| format!("are damaged in line {number}: {error}"))?);
    }
    Ok(tiles)
}

/// The cache file of a GPU's tiles; none if this machine has no cache folder.
fn cache(gpu: &Found, checks: Checks) -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = folder("XDG_CACHE_HOME")
        .or_else(|| folder("LOCALAPPDATA"))
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = header(gpu, checks).trim_start_matches("# tiles of ").chars().map(plain).collect();
    Some(caches.join("loralab").join(format!("{name}.txt")))
}

#[cfg(test)]
mod tests {
    use loralab_core::graph::shader::Tile;

    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_and_only_for_its_gpu() {
        let header = "# tiles of A GPU, discrete (Vulkan, 1.0), checks on";
        let mut tiles = Tiles::default();
        tiles.pick("linear/forward 64x32x32 rank 0 constants [0]".to_owned(), Tile::Large);
        let text = format!("{header}\n128x128 linear/forward 64x32x32 rank 0 constants [0]\n");
        assert_eq!(parse(&text, header), Ok(tiles));
        let other = parse(&text, "# tiles of another").expect_err("another GPU");
        assert!(other.contains("`--tiles timed`"), "{other}");
        for damaged in ["64x64", "32x32 linear/forward"] {
            let error = parse(&format!("{header}\n{damaged}\n"), header).expect_err("damaged");
            assert!(error.contains("line 2"), "{error}");
        }
    }
}
