//! Fetches models from Hugging Face's hub into its local cache, where huggingface_hub finds them, too.
//!
//! A file is stored as `blobs/ETAG`, and `snapshots/COMMIT/NAME` points to it (huggingface_hub, `docs/source/en/guides/manage-cache.md`). It is fetched as
//! `blobs/ETAG.incomplete`; a fetch that was broken off goes on from its end. Snapshot and branch are written once all files are there.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Read, Write, stderr},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use loralab_checkpoint::files::HubCache;
use loralab_experiment::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header},
};

use crate::{lock::Lock, terminal::note};

/// The hub, unless `HF_ENDPOINT` names another.
const ENDPOINT: &str = "https://huggingface.co";

/// Times that a file is asked for again when its fetch breaks off, and the pause before each.
const RETRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Redirects within the hub that are followed, as of a model that has another name now.
const REDIRECTS: usize = 5;

/// A model at a commit, as the hub's interface describes it.
#[derive(Deserialize)]
struct Model {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// A file of the hub.
struct Remote {
    name: String,
    url: String,
    /// Its hash by git, or SHA-256 of a large file, which names it in the cache.
    etag: String,
    bytes: u64,
}

/// True if the environment allows no fetching, as huggingface_hub reads it.
pub fn is_offline() -> bool {
    let is_set =
        |name: &str| env::var(name).is_ok_and(|value| ["1", "ON", "YES", "TRUE"].contains(&&*value.to_uppercase()));
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().any(is_set)
}

/// Fetches a model, `owner/name` or `owner/name@revision`, into the cache.
///
/// # Errors
/// If the hub cannot be reached, does not have the model or does not give it, or the cache cannot be written.
pub fn fetch(cache: &HubCache, name: &str) -> Result<()> {
    let (model, revision) = name.split_once('@').unwrap_or((name, "main"));
    let hub = Hub::of_environment();
    hub.fetch(&cache.stored(model), model, revision)
        .with_context(|| format!("`{name}` cannot be fetched from {}", hub.endpoint))
}

/// The hub as this process reaches it.
struct Hub {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
}

impl Hub {
    fn of_environment() -> Self {
        let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = given("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Headers of redirects name the file; a body is followed to where it is.
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!("loralab/", env!("CARGO_PKG_VERSION")))
            .build();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, token: given("HF_TOKEN"), agent: Agent::new_with_config(config) }
    }

    fn fetch(&self, stored: &Path, model: &str, revision: &str) -> Result<()> {
        let url = format!("{}/api/models/{model}/revision/{revision}", self.endpoint);
        let mut response = self.get(&url, None)?;
        refuse(response.status(), model, revision)?;
        let found: Model = serde_json::from_str(&response.body_mut().read_to_string()?)
            .with_context(|| format!("{url} does not describe a model"))?;
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit());
        if !plain(&found.sha) {
            bail!("{url} gives the commit \"{}\", which is none", found.sha);
        }
        let names: Vec<String> = found.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        let names = wanted(&names)?;
        let files = names.iter().map(|name| self.remote(model, &found.sha, name)).collect::<Result<Vec<_>>>()?;
        let total = files.iter().map(|file| file.bytes).sum();
        note(format_args!("Fetching `{model}` from {}: {} files, {}.", self.endpoint, files.len(), Bytes(total)));
        let blobs = stored.join("blobs");
        for file in &files {
            self.blob(&blobs, file)
                .with_context(|| format!("`{}` is not whole yet; the next try goes on from there", file.name))?;
        }
        let snapshot = stored.join("snapshots").join(&found.sha);
        fs::create_dir_all(&snapshot).with_context(|| unwritable(&snapshot))?;
        for file in &files {
            let link = snapshot.join(&file.name);
            link_to(&blobs.join(&file.etag), &link).with_context(|| unwritable(&link))?;
        }
        let branch = stored.join("refs").join(revision);
        let write = || {
            fs::create_dir_all(branch.parent().unwrap_or(stored))?;
            fs::write(&branch, &found.sha)
        };
        // A commit needs no name.
        if revision == found.sha { Ok(()) } else { write().with_context(|| unwritable(&branch)) }
    }

    /// Asks for a file, from a byte on if one is given; follows redirects.
    fn get(&self, url: &str, from: Option<u64>) -> Result<Response<Body>> {
        let mut request = self.agent.get(url).config().max_redirects(10).build();
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(from) = from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().with_context(|| format!("{url} cannot be reached"))
    }

    /// The hash and size of a file, which the hub's own answer has in its headers, be it the file or a redirect to where it is stored.
    fn remote(&self, model: &str, commit: &str, name: &str) -> Result<Remote> {
        let mut url = format!("{}/{model}/resolve/{commit}/{name}", self.endpoint);
        for _ in 0..REDIRECTS {
            let mut request = self.agent.head(&url).config().max_redirects(0).build();
            if let Some(token) = &self.token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().with_context(|| format!("{url} cannot be reached"))?;
            let header = |names: &[&str]| {
                names.iter().find_map(|name| response.headers().get(*name)?.to_str().ok()).map(str::to_owned)
            };
            let status = response.status();
            if !status.is_redirection() {
                refuse(status, model, commit)?;
            }
            let etag = header(&["x-linked-etag", "etag"]);
            match (etag, header(&["location"])) {
                (None, Some(place)) if status.is_redirection() && place.starts_with('/') => {
                    url = format!("{}{place}", self.endpoint);
                }
                (Some(etag), _) => {
                    let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
                    let bytes = header(&["x-linked-size", "content-length"]).and_then(|bytes| bytes.parse().ok());
                    let is_name = !etag.is_empty() && etag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                    let (true, Some(bytes)) = (is_name, bytes) else {
                        bail!("{url} does not say the file's hash and size");
                    };
                    return Ok(Remote { name: name.to_owned(), url, etag, bytes });
                }
                _ => bail!("{url} does not say the file's hash"),
            }
        }
        bail!("{url} is redirected again and again")
    }

    /// Fetches a file into the cache, unless it is there.
    fn blob(&self, blobs: &Path, file: &Remote) -> Result<()> {
        let (whole, part) = (blobs.join(&file.etag), blobs.join(format!("{}.incomplete", file.etag)));
        if whole.is_file() {
            return Ok(());
        }
        fs::create_dir_all(blobs).with_context(|| unwritable(blobs))?;
        let lock = blobs.join(format!(".{}.lock", file.etag));
        let _lock = Lock::take(&lock).with_context(|| unwritable(blobs))?.ok_or_else(|| {
            anyhow!("another process fetches it into `{}` now; wait until it has ended", blobs.display())
        })?;
        let bar = bar(file);
        let mut tries = 0;
        loop {
            let before = part.metadata().map_or(0, |metadata| metadata.len());
            match self.append(&part, file, &bar) {
                Ok(()) => break,
                Err(error) if tries == RETRIES || error.is::<Refused>() => return Err(error),
                Err(_) => {
                    // Whatever came through is not asked for again; only tries without any count.
                    let came = part.metadata().map_or(0, |metadata| metadata.len()) > before;
                    tries = if came { 1 } else { tries + 1 };
                    thread::sleep(PAUSE);
                }
            }
        }
        bar.finish_and_clear();
        if let Err(error) = check(&part, file) {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        fs::rename(&part, &whole).with_context(|| unwritable(&whole))
    }

    /// Adds what a part of a file lacks.
    fn append(&self, part: &Path, file: &Remote, bar: &ProgressBar) -> Result<()> {
        let mut there = part.metadata().map_or(0, |metadata| metadata.len());
        if there > file.bytes {
            fs::remove_file(part).with_context(|| unwritable(part))?;
            there = 0;
        }
        if there == file.bytes && part.is_file() {
            return Ok(());
        }
        let response = self.get(&file.url, (there > 0).then_some(there))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if there > 0 => {}
            // It gives the whole instead.
            StatusCode::OK => there = 0,
            other => return Err(Refused(format!("{} answers {other}", file.url)).into()),
        }
        let open = || OpenOptions::new().create(true).write(true).append(there > 0).truncate(there == 0).open(part);
        let mut output = open().map_err(|error| Refused(format!("{}: {error}", unwritable(part))))?;
        bar.set_position(there);
        let mut body = response.into_body().into_reader().take(file.bytes - there);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = body.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            output.write_all(&buffer[..count]).map_err(|error| Refused(format!("{}: {error}", unwritable(part))))?;
            there += count as u64;
            bar.set_position(there);
        }
        output.sync_all()?;
        match there == file.bytes {
            true => Ok(()),
            false => bail!("{} ended after {there} of {} bytes", file.url, file.bytes),
        }
    }
}

/// A failure that another try would not mend.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// The error of an answer that gives no model.
fn refuse(status: StatusCode, model: &str, revision: &str) -> Result<()> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!(
            "it answers {status}: there is no such model, or only some may read it; ask for access on its page, and set HF_TOKEN to a token of yours"
        ),
        StatusCode::NOT_FOUND => bail!("it has no model `{model}` with the revision `{revision}`; check the name"),
        other => bail!("it answers {other}; try again later"),
    }
}

/// The files of a model that are read, by their names: settings, tokenizer, and weights in safetensors.
fn wanted(names: &[String]) -> Result<Vec<String>> {
    let single = names.iter().any(|name| name == "model.safetensors");
    let is_weights = |name: &str| match single {
        true => name == "model.safetensors",
        false => name == "model.safetensors.index.json" || name.starts_with("model-") && name.ends_with(".safetensors"),
    };
    let is_other = |name: &str| {
        let ends = [".json", ".jinja", ".txt", ".model"].iter().any(|end| name.ends_with(end));
        ends && !name.ends_with(".index.json")
    };
    // Folders within hold the model in other forms; a name that leaves the folder is none of the hub's.
    let is_plain = |name: &str| !name.contains(['/', '\\']) && !name.starts_with('.');
    let chosen = names.iter().filter(|name| is_plain(name) && (is_weights(name) || is_other(name)));
    let chosen: Vec<String> = chosen.cloned().collect();
    if !chosen.iter().any(|name| name.ends_with(".safetensors")) {
        bail!("it has no weights in safetensors; choose a model that has, or fetch its GGUF file and name that file");
    }
    Ok(chosen)
}

/// Compares a fetched file with its size, and a large one with its hash.
fn check(part: &Path, file: &Remote) -> Result<()> {
    let is_sha256 = file.etag.len() == 64 && file.etag.chars().all(|c| c.is_ascii_hexdigit());
    let found = part.metadata().with_context(|| unwritable(part))?.len();
    if found != file.bytes {
        bail!("it has {found} bytes instead of {}; it is removed and must be fetched again", file.bytes);
    }
    if is_sha256 {
        let mut hash = Sha256::new();
        io::copy(&mut File::open(part)?, &mut hash)?;
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != file.etag {
            bail!("its bytes are not those of the hub (SHA-256 {found}); it is removed and must be fetched again");
        }
    }
    Ok(())
}

/// The progress of a file, on a terminal.
fn bar(file: &Remote) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} [{bar:16}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(file.bytes).with_style(style.progress_chars("=> ")).with_prefix(file.name.clone())
}

/// Makes `link` point to a blob, by a path within the model's folder.
fn link_to(blob: &Path, link: &Path) -> io::Result<()> {
    if link.exists() {
        return Ok(());
    }
    // One that points to nothing.
    let _ = fs::remove_file(link);
    let target = PathBuf::from("../../blobs").join(blob.file_name().unwrap_or_default());
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link);
    // Elsewhere links need rights that few have.
    #[cfg(not(unix))]
    {
        let _ = target;
        fs::copy(blob, link).map(drop)
    }
}

fn unwritable(path: &Path) -> String {
    format!("`{}` cannot be written; check its permissions and the space left", path.display())
}
