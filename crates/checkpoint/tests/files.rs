//! Folders, files and the cache of Hugging Face's hub, opened from the disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use loralab_checkpoint::{
    Checkpoint, Stored,
    files::{self, HubCache},
    write_safetensors,
};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A safetensors file of tensors with these names, whose elements are the name's length.
fn file(names: &[&str]) -> Vec<u8> {
    let tensor = |name: &&str| Stored::of_f32((*name).to_owned(), vec![2], &[name.len() as f32; 2]);
    let checkpoint = Checkpoint { metadata: [].into(), tensors: names.iter().map(tensor).collect() };
    write_safetensors(&checkpoint).expect("tensors of their shapes")
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.join(name), bytes).expect("a file");
}

/// The names of a checkpoint's tensors, each of which has the elements that [`file`] gave it.
fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    for tensor in &checkpoint.tensors {
        assert_eq!(tensor.to_f32(), Some(vec![tensor.name.len() as f32; 2]));
    }
    let mut names: Vec<&str> = checkpoint.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_folder_is_one_file_or_those_of_its_index() {
    let place = folder();
    write(place.path(), "config.json", "{\"vocab_size\": 7}");
    write(place.path(), "1.safetensors", file(&["a", "bb"]));
    write(place.path(), "2.safetensors", file(&["ccc"]));
    write(
        place.path(),
        "model.safetensors.index.json",
        r#"{"metadata":{},"weight_map":{"a":"1.safetensors","bb":"1.safetensors","ccc":"2.safetensors"}}"#,
    );
    let sharded = files::open(place.path()).expect("a whole folder");
    assert_eq!(names(&sharded), ["a", "bb", "ccc"]);
    assert_eq!(sharded.metadata["config"], "{\"vocab_size\": 7}");
    // As in transformers, a single file comes first.
    write(place.path(), "model.safetensors", file(&["dddd"]));
    assert_eq!(names(&files::open(place.path()).expect("a whole folder")), ["dddd"]);
    // A file of the folder has the folder's config.
    let single = files::open(&place.path().join("2.safetensors")).expect("a whole file");
    assert_eq!((names(&single), single.metadata["config"].as_str()), (vec!["ccc"], "{\"vocab_size\": 7}"));
    assert_eq!(files::folder_of(&place.path().join("2.safetensors")), place.path());
    assert_eq!(files::folder_of(place.path()), place.path());
}

#[test]
fn any_part_of_a_split_file_opens_all() {
    let fixtures: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures"].iter().collect();
    for part in 1..=3 {
        let opened =
            files::open(&fixtures.join(format!("gemma3-0000{part}-of-00003.gguf"))).expect("all parts are there");
        assert_eq!(opened.tensors.len(), 28);
    }
}

#[test]
fn the_hub_s_cache_is_where_the_environment_says() {
    let of = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, PathBuf)> =
            pairs.iter().map(|(name, path)| ((*name).to_owned(), path.into())).collect();
        let cache =
            HubCache::of_environment(|name| pairs.iter().find(|(key, _)| key == name).map(|(_, path)| path.clone()));
        cache.find("a/b").expect_err("nothing is there").to_string()
    };
    let all = [("HF_HUB_CACHE", "one"), ("HF_HOME", "two"), ("XDG_CACHE_HOME", "three")];
    assert!(of(&all).contains("`one`"));
    let said = of(&all[1..]);
    assert!(said.contains("`two/hub`") && said.contains("`hf download a/b`"), "{said}");
    assert!(of(&all[2..]).contains("`three/huggingface/hub`"));
    assert!(of(&[("HF_HOME", "")]).contains(".cache/huggingface/hub`"));
}

#[test]
fn a_name_of_the_hub_is_a_snapshot() {
    let place = folder();
    let model = place.path().join("models--org--name");
    for folder in ["refs", "snapshots/0123abc", "snapshots/4567def"] {
        fs::create_dir_all(model.join(folder)).expect("a folder");
    }
    write(&model, "refs/main", "0123abc\n");
    write(&model, "refs/v2", "4567def");
    write(&model, "refs/gone", "89");
    write(&model, "refs/evil", "../../..");
    let cache = HubCache::new(place.path().to_owned());
    for (name, commit) in [("org/name", "0123abc"), ("org/name@v2", "4567def"), ("org/name@4567def", "4567def")] {
        assert_eq!(cache.find(name).expect("it is there"), model.join("snapshots").join(commit));
    }
    for (name, words) in [
        ("org/name@gone", &["`org/name` is in", "revision `gone`", "0123abc, 4567def", "--revision gone"][..]),
        ("org/name@evil", &["revision `evil`"]),
        ("org/other", &["neither a path nor in the cache", "`hf download org/other`"]),
        ("org/other@v2", &["`hf download org/other --revision v2`"]),
        ("../name", &["no name of a model"]),
        ("org/name@../x", &["no name of a model"]),
        ("org/name@", &["no name of a model"]),
        ("", &["no name of a model"]),
    ] {
        let said = cache.find(name).expect_err("it is not there").to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{name}: {said}");
    }
    assert!(files::is_hub_name("org/name") && files::is_hub_name("org/name@v2"));
    assert!(!files::is_hub_name("org/name.gguf") && !files::is_hub_name("name") && !files::is_hub_name("src/name"));
}
