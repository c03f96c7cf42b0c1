//! The halves of the page's modules: the first has what a first step on a GPU calls, the later one the rest.
//!
//! What that is, the page says itself: with every function telling of itself it is opened in a browser and trains a few steps, on a GPU in software. What it
//! does not call then comes once the page is ready, or when it is called; a call that was missed costs a wait, never a wrong result.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    ROOT,
    screenshots::{chromium::Chromium, server::serve},
    split::{Halves, split, watched},
};

/// How the page is opened while it is watched, and whether it then trains: as by someone who comes for the first time, with a GPU or without, and by links.
const SCENES: [(&str, bool); 4] = [
    ("", false),
    ("?device=gpu", false),
    ("?v=1&schemes=init-a&learning_rates=4e-3&seeds=2&rank=4&device=cpu", false),
    (
        "?v=1&base=nano&schemes=init-a,init-b&learning_rates=1e-3,4e-3&seeds=1&steps=50&batch_size=1&evaluate_every=0&diagnose_every=0&device=gpu",
        true,
    ),
];
const FLAGS: [&str; 2] = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/// The functions of every module that are called up to the first steps.
type Called = BTreeMap<String, BTreeSet<u32>>;

/// Cuts the modules of the page in `dist`, whose functions still have their names, and has the script of each bring its later half. Where no browser can be
/// run, each stays whole.
pub fn cut(dist: &Path) -> Result<()> {
    let called = match called(dist) {
        Ok(called) => called,
        Err(error) => {
            println!("the page stays whole, as it can't be seen what a first step calls: {error:#}");
            Called::new()
        }
    };
    for (module, path) in modules(dist)? {
        let called = called.get(&module);
        let is_later =
            |function: u32, name: &str| called.is_some_and(|called| !called.contains(&function) && !is_std(name));
        let halves = split(&fs::read(&path)?, is_later);
        let Halves { first, later } = halves.with_context(|| format!("{} can't be cut", path.display()))?;
        if let Some(later) = later {
            // Named by what is in it, so that halves of two builds never meet.
            let mut hasher = DefaultHasher::new();
            (&first, &later).hash(&mut hasher);
            let file = format!("{module}_{:016x}{LATER}", hasher.finish());
            let script = dist.join(module).with_extension("js");
            fs::write(&script, edited(&script, &bringing(&file))?)?;
            fs::write(dist.join(file), later)?;
        }
        fs::write(path, first)?;
    }
    Ok(())
}

/// Whether a file is a later half.
pub fn is_later(file: &str) -> bool {
    file.ends_with(LATER)
}

const LATER: &str = "_later.wasm";

/// Every module in `dist`: its name, and its file.
fn modules(dist: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(dist)? {
        let path = entry?.path();
        if let Some(module) = path.file_name().and_then(|name| name.to_str()?.strip_suffix("_bg.wasm")) {
            modules.push((module.to_owned(), path));
        }
    }
    modules.sort();
    Ok(modules)
}

/// Whether a function is of the standard library as it comes compiled: what of that is called hangs on values, such as how a number is rounded.
fn is_std(name: &str) -> bool {
    // It alone has hashes in brackets.
    ["core[", "alloc[", "std[", "compiler_builtins[", "hashbrown["].iter().any(|krate| name.contains(krate))
}

/// Watches the page. What came of the same modules before is remembered.
fn called(dist: &Path) -> Result<Called> {
    let modules = modules(dist)?;
    let mut hasher = DefaultHasher::new();
    SCENES.hash(&mut hasher);
    for (_, path) in &modules {
        fs::read(path)?.hash(&mut hasher);
    }
    let folder = PathBuf::from(ROOT).join("target/watched");
    let kept = folder.join(format!("{:016x}.json", hasher.finish()));
    if let Ok(called) = fs::read(&kept) {
        return Ok(serde_json::from_slice(&called)?);
    }
    println!(
        "== watching in a headless Chromium what of the page a first step calls: about a minute, once for each build"
    );
    let page = folder.join("page");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&page)?;
    for entry in fs::read_dir(dist)? {
        let path = entry?.path();
        fs::copy(&path, page.join(path.file_name().unwrap_or_default()))?;
    }
    fs::write(page.join("watch.js"), WATCH)?;
    for (module, path) in &modules {
        fs::write(page.join(format!("{module}_bg.wasm")), watched(&fs::read(path)?)?)?;
        let script = page.join(module).with_extension("js");
        fs::write(&script, edited(&script, &watching(module))?)?;
    }
    let called = watch(&serve(page, 0)?, modules.len())?;
    fs::write(kept, serde_json::to_string(&called)?)?;
    Ok(called)
}

/// What the script of a watched module has besides: which functions were called, told to whoever asks.
const WATCH: &str = "export const watch = (module) => {
  const called = new Uint8Array(1 << 20);
  const channel = new BroadcastChannel('called');
  channel.onmessage = ({ data }) => {
    if (data === 'tell') channel.postMessage([module, [...called.keys()].filter((index) => called[index])]);
  };
  return { called: (index) => { called[index] = 1; } };
};
";

/// Asks them, in the page.
const ASK: &str = "globalThis.told = {};
const channel = new BroadcastChannel('called');
channel.onmessage = ({ data }) => { if (Array.isArray(data)) told[data[0]] = data[1]; };
globalThis.ask = () => channel.postMessage('tell');";

/// Opens the page at `origin`, has it train until the first steps are shown, and lets each of its modules tell.
fn watch(origin: &str, modules: usize) -> Result<Called> {
    let mut called = Called::new();
    for (query, trains) in SCENES {
        // A browser each, since every tab that is open would tell.
        let mut chromium = Chromium::start(&FLAGS)?;
        chromium.open_watched(&format!("{origin}/index.html{query}"), ASK)?;
        wait(&mut chromium, "document.getElementById('run')?.disabled === false")?;
        if trains {
            chromium.evaluate("document.getElementById('run').click()")?;
            wait(&mut chromium, "/Step ([2-9]|\\d\\d)/.test(document.getElementById('pace').textContent)")?;
        }
        chromium.evaluate("ask()")?;
        wait(&mut chromium, &format!("Object.keys(told).length === {modules}"))?;
        let told: Called = serde_json::from_value(chromium.evaluate("told")?)?;
        for (module, functions) in told {
            called.entry(module).or_default().extend(functions);
        }
    }
    Ok(called)
}

/// Waits until an expression of JavaScript is true.
///
/// # Errors
/// If the page can't go on, such as without a GPU in software.
fn wait(chromium: &mut Chromium, holds: &str) -> Result<()> {
    let said = "(document.getElementById('status')?.textContent ?? 'nothing')";
    chromium.wait_until(&format!("{holds} || {said}.startsWith('Not done')"), said)?;
    if chromium.evaluate(holds)? != true {
        bail!("it says: {}", chromium.evaluate(said)?);
    }
    Ok(())
}

/// What is put where in the script of a module, as wasm-bindgen writes it.
struct Edits {
    beginning: String,
    edits: Vec<(&'static str, &'static str)>,
}

const IMPORTS: (&str, &str) =
    ("const imports = __wbg_get_imports();", "const imports = { ...__wbg_get_imports(), later: rest };");

/// So that it brings the module's later half, `file`.
fn bringing(file: &str) -> Edits {
    let beginning = format!(
        "import {{ later }} from \"./later.js\";\nconst rest = later(new URL({file:?}, import.meta.url), () => wasm);\n"
    );
    let edits = vec![
        IMPORTS,
        (
            "await __wbg_load(await module_or_path, imports);",
            "await __wbg_load(await module_or_path, imports);\n    await rest.ready;",
        ),
        ("return __wbg_finalize_init(instance, module);", "return rest.begun(__wbg_finalize_init(instance, module));"),
    ];
    Edits { beginning, edits }
}

/// So that the module is watched.
fn watching(module: &str) -> Edits {
    let beginning = format!("import {{ watch }} from \"./watch.js\";\nconst rest = watch({module:?});\n");
    Edits { beginning, edits: vec![IMPORTS] }
}

/// A script with these edits.
fn edited(script: &Path, Edits { beginning, edits }: &Edits) -> Result<String> {
    let mut text = fs::read_to_string(script)?;
    for (found, put) in edits {
        if !text.contains(found) {
            bail!("{} is not as wasm-bindgen wrote it before: it has no `{found}`", script.display());
        }
        text = text.replace(found, put);
    }
    Ok(format!("{beginning}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_library_is_known_by_its_names() {
        for name in
            ["core[0123456789abcdef]::num::flt2dec::to_shortest", "<f64 as core[0123456789abcdef]::fmt::Display>::fmt"]
        {
            assert!(is_std(name), "{name}");
        }
        // What was compiled of it with the page is not.
        for name in ["core::slice::sort::stable::drift::sort::h0", "alloc::slice::<impl [T]>::join::h0", ""] {
            assert!(!is_std(name), "{name}");
        }
    }

    #[test]
    fn a_script_brings_the_later_half() {
        let folder = std::env::temp_dir().join(format!("loralab-script-{}", std::process::id()));
        let script = "let wasm;\nconst imports = __wbg_get_imports();\nawait __wbg_load(await module_or_path, imports);\nreturn __wbg_finalize_init(instance, module);\n";
        fs::write(&folder, script).expect("a temporary file");
        let text = edited(&folder, &bringing("worker_0_later.wasm")).expect("it has all places");
        assert!(
            text.starts_with("import { later }") && text.contains("new URL(\"worker_0_later.wasm\", import.meta.url)")
        );
        assert!(text.contains("...__wbg_get_imports(), later: rest") && text.contains("rest.begun(__wbg"), "{text}");
        fs::write(&folder, "let wasm;").expect("a temporary file");
        assert!(edited(&folder, &bringing("worker_0_later.wasm")).is_err());
        fs::remove_file(folder).expect("it was written");
    }
}
