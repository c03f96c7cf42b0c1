//! Folders as transformers writes them: `config.json`, and `model.safetensors` or several files that `model.safetensors.index.json` lists.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    path::{Component, Path},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{CONFIG, FilesError, bytes, safetensors, text};
use crate::Checkpoint;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Opens a folder.
pub fn open(folder: &Path) -> Result<Checkpoint, FilesError> {
    let has = |name: &str| folder.join(name).exists();
    if has("adapter_config.json") && !has(SINGLE) && !has(INDEX) {
        return Err(FilesError::Adapter);
    }
    if !has("config.json") {
        return Err(FilesError::NoConfig(others(folder)));
    }
    let config = text(&folder.join("config.json"))?;
    // In transformers' order.
    let mut checkpoint = if has(SINGLE) {
        shard(folder, SINGLE)?
    } else if has(INDEX) {
        shards(folder)?
    } else if let Some(found) = ["pytorch_model.bin", "pytorch_model.bin.index.json"].into_iter().find(|name| has(name))
    {
        return Err(FilesError::Pickle { found, folder: folder.display().to_string() });
    } else {
        return Err(FilesError::NoWeights(others(folder)));
    };
    checkpoint.metadata.insert(CONFIG.to_owned(), config);
    Ok(checkpoint)
}

/// Names a file of the folder that can be opened by itself, as the rest of a sentence.
fn others(folder: &Path) -> String {
    let Ok(entries) = folder.read_dir() else { return String::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let is_one = |name: &String| name.ends_with(".gguf") || name.ends_with(".safetensors");
    match names.filter(is_one).min() {
        Some(name) => format!(", but with `{name}`, which may be named itself"),
        None => String::new(),
    }
}

fn shard(folder: &Path, file: &str) -> Result<Checkpoint, FilesError> {
    let read = bytes(&folder.join(file)).and_then(|bytes| safetensors(&bytes));
    read.map_err(|error| FilesError::Shard { file: file.to_owned(), error: Box::new(error) })
}

/// The names of a folder's files of weights.
pub fn weights(folder: &Path) -> Result<Vec<String>, FilesError> {
    if folder.join(SINGLE).exists() {
        return Ok(vec![SINGLE.to_owned()]);
    }
    if !folder.join(INDEX).exists() {
        return Err(FilesError::NoWeights(others(folder)));
    }
    let mut files: Vec<String> = Vec::new();
    for (_, file) in index(folder)?.weight_map.0 {
        if !files.contains(&file) {
            check_inside(folder, &file)?;
            files.push(file);
        }
    }
    Ok(files)
}

fn index(folder: &Path) -> Result<Index, FilesError> {
    serde_json::from_str(&text(&folder.join(INDEX))?).map_err(FilesError::Index)
}

/// Opens all files that the index names, and compares the tensors of each with those that it lists.
fn shards(folder: &Path) -> Result<Checkpoint, FilesError> {
    let index = index(folder)?;
    let mut listed: HashMap<&str, &str> = HashMap::new();
    let mut files: Vec<&str> = Vec::new();
    let mut known = HashSet::new();
    for (tensor, file) in &index.weight_map.0 {
        if listed.insert(tensor, file).is_some() {
            return Err(FilesError::Twice(tensor.clone()));
        }
        if known.insert(file.as_str()) {
            check_inside(folder, file)?;
            files.push(file);
        }
    }
    let mut tensors = Vec::new();
    for file in files {
        for tensor in shard(folder, file)?.tensors {
            let (name, here) = (tensor.name.clone(), file.to_owned());
            match listed.get(name.as_str()) {
                Some(place) if *place == file => tensors.push(tensor),
                Some(place) => {
                    return Err(FilesError::Duplicate { tensor: name, one: (*place).to_owned(), other: here });
                }
                None => return Err(FilesError::Unlisted { tensor: name, file: here }),
            }
        }
    }
    let found: HashSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    match index.weight_map.0.iter().find(|(tensor, _)| !found.contains(tensor.as_str())) {
        Some((tensor, file)) => Err(FilesError::Missing { tensor: tensor.clone(), file: file.clone() }),
        None => Ok(Checkpoint { metadata: BTreeMap::new(), tensors }),
    }
}

/// Refuses a name that leads out of the folder, or to no file. A link is followed: the hub's cache consists of links.
fn check_inside(folder: &Path, file: &str) -> Result<(), FilesError> {
    let mut parts = Path::new(file).components();
    let is_plain =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !file.contains(['/', '\\']);
    if !is_plain {
        return Err(FilesError::Outside(file.to_owned()));
    }
    if folder.join(file).is_file() { Ok(()) } else { Err(FilesError::NoShard(file.to_owned())) }
}

/// The part of an index that is read.
#[derive(Deserialize)]
struct Index {
    weight_map: Pairs,
}

/// The pairs of a JSON object in their order; a key may occur twice.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from the names of tensors to the names of files")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
