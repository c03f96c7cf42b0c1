//! Damaged and hostile checkpoints: each is refused in a sentence, without a panic, and without memory for more than it is large.
//!
//! One test in a binary of its own, since it counts what the whole process allocates.

mod gguf;
mod safetensors;

use std::{alloc::System, fs, path::Path};

use loralab_checkpoint::files;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A checkpoint: files of a folder by name, the one to open (the folder itself if empty), and words of the sentence that refuses it.
pub struct Case {
    files: Vec<(String, Vec<u8>)>,
    open: &'static str,
    words: &'static str,
}

impl Case {
    fn new(files: &[(&str, &[u8])], open: &'static str, words: &'static str) -> Case {
        Case { files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(), open, words }
    }
}

/// Bytes that may be allocated beyond a checkpoint's own: paths, messages, buffers.
const ROOM: usize = 64 << 10;
/// Bytes allocated in all for each byte of a checkpoint: a header becomes a tree, some texts are copied once or twice.
const TIMES: usize = 16;

#[test]
fn each_is_refused_in_a_sentence_within_its_size() {
    let cases: Vec<Case> = safetensors::cases().into_iter().chain(gguf::cases()).collect();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for Case { files, open, words } in cases {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in &files {
            let path = folder.path().join(name);
            match name.strip_suffix('/') {
                Some(_) => fs::create_dir(path).expect("a folder"),
                None => fs::write(path, bytes).expect("a file"),
            }
        }
        let path = if open.is_empty() { folder.path().to_owned() } else { folder.path().join(open) };
        let (said, allocated) = refused(&path);
        assert!(said.contains(words), "no «{words}» in: {said}");
        assert!(said.len() < 600 && !said.contains('\n') && !said.contains(" { "), "{said}");
        let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(allocated < TIMES * size + ROOM, "{allocated} bytes allocated for {size}: {said}");
    }
}

/// The sentence that refuses a checkpoint, and the bytes allocated for it.
fn refused(path: &Path) -> (String, usize) {
    let region = Region::new(ALLOCATOR);
    let opened = files::open(path);
    let allocated = region.change().bytes_allocated;
    match opened {
        Ok(checkpoint) => panic!("{} was read: {:?}", path.display(), checkpoint.metadata),
        Err(error) => {
            // As the command joins an error and its causes.
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let join =
                |said: String, cause: String| if said.contains(&cause) { said } else { format!("{said}: {cause}") };
            (causes.map(ToString::to_string).reduce(join).unwrap_or_default(), allocated)
        }
    }
}
