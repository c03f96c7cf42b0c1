//! The local cache of Hugging Face's hub: `models--organisation--name`, with a commit's files in `snapshots/commit` and the commits of branches and tags in
//! `refs` (huggingface_hub, `docs/source/en/guides/manage-cache.md`). Nothing is fetched here.

use std::{
    env, fs,
    path::{Component, Path, PathBuf},
};

/// The folder that models of the hub are stored in on this machine.
#[derive(Clone, Debug)]
pub struct HubCache {
    folder: PathBuf,
}

/// The reasons that a model is not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is not one of the hub.
    #[error(
        "`{0}` is no name of a model of Hugging Face's hub, such as `HuggingFaceTB/SmolLM2-135M` or `name@revision`"
    )]
    Name(String),
    /// The model is not there.
    #[error(
        "there is no base `{name}` here: it is neither a path nor in the cache of Hugging Face's hub, `{cache}`; fetch it with `hf download {model}{flag}`"
    )]
    Model {
        /// The name.
        name: String,
        /// The name without its revision.
        model: String,
        /// The flag that asks for the revision.
        flag: String,
        /// The folder of the cache.
        cache: String,
    },
    /// The revision is not there.
    #[error(
        "the base `{model}` is in `{cache}`, but not in the revision `{revision}`{others}; fetch it with `hf download {model} --revision {revision}`"
    )]
    Revision {
        /// The model.
        model: String,
        /// The revision.
        revision: String,
        /// The folder of the cache.
        cache: String,
        /// The revisions that are there, as the rest of a sentence.
        others: String,
    },
}

/// True if the text looks like `owner/model` or `owner/model@revision`, and no folder `owner` is here.
pub fn is_hub_name(name: &str) -> bool {
    let (model, _) = parsed(name);
    let parts: Vec<&str> = model.split('/').collect();
    let [owner, model] = parts[..] else { return false };
    let is_word = |part: &str| part.chars().any(char::is_alphanumeric) && !part.starts_with('.');
    let is_file = [".safetensors", ".gguf", ".bin"].iter().any(|end| model.ends_with(end));
    is_word(owner) && is_word(model) && !is_file && !Path::new(owner).exists()
}

/// The model and the revision of a name.
fn parsed(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(model, revision)| (model, Some(revision)))
}

impl HubCache {
    /// A cache in this folder.
    pub fn new(folder: PathBuf) -> HubCache {
        HubCache { folder }
    }

    /// The cache that the environment names, as huggingface_hub finds it; `variable` reads a variable of the environment.
    pub fn of_environment(variable: impl Fn(&str) -> Option<PathBuf>) -> HubCache {
        let given = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
        let home = || env::home_dir().unwrap_or_default();
        let cache = || given("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
        let hub = || given("HF_HOME").unwrap_or_else(|| cache().join("huggingface")).join("hub");
        HubCache::new(given("HF_HUB_CACHE").or_else(|| given("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(hub))
    }

    /// The folder of all that is stored of a model, `organisation/name`; it need not be there.
    pub fn stored(&self, model: &str) -> PathBuf {
        self.folder.join(format!("models--{}", model.replace('/', "--")))
    }

    /// The folder of a model, `organisation/name` or `organisation/name@revision`; the revision is `main` if none is given.
    ///
    /// # Errors
    /// If it is not there: a sentence about where it was looked for and how to fetch it.
    pub fn find(&self, name: &str) -> Result<PathBuf, HubError> {
        let (model, revision) = parsed(name);
        let is_plain = |text: &str| Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        if model.is_empty() || !is_plain(model) || revision.is_some_and(|text| text.is_empty() || !is_plain(text)) {
            return Err(HubError::Name(name.to_owned()));
        }
        let cache = self.folder.display().to_string();
        let stored = self.stored(model);
        if !stored.is_dir() {
            let flag = revision.map_or_else(String::new, |revision| format!(" --revision {revision}"));
            return Err(HubError::Model { name: name.to_owned(), model: model.to_owned(), flag, cache });
        }
        let asked = revision.unwrap_or("main");
        let commit = fs::read_to_string(stored.join("refs").join(asked)).unwrap_or_else(|_| asked.to_owned());
        let snapshot = stored.join("snapshots").join(commit.trim());
        if is_plain(commit.trim()) && !commit.trim().is_empty() && snapshot.is_dir() {
            return Ok(snapshot);
        }
        let others = match revisions(&stored) {
            found if found.is_empty() => String::new(),
            found => format!(", only in {found}"),
        };
        Err(HubError::Revision { model: model.to_owned(), revision: asked.to_owned(), cache, others })
    }
}

/// The branches, tags and commits of a stored model that are there.
fn revisions(stored: &Path) -> String {
    let names = |folder: &str| {
        let entries = stored.join(folder).read_dir().into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect::<Vec<_>>()
    };
    let mut found: Vec<String> = names("snapshots");
    found.sort();
    found.truncate(8);
    found.join(", ")
}
