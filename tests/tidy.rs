//! The shape of the tree, read from its files: who depends on whom, one op in every place, house rules.
//!
//! Every rule is a function from the text of files to sentences about what is wrong, so that each can be shown to fail.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The loralab crates that each crate may depend on. `page` knows the vocabulary and the figures only: it must never reach a device.
const CRATES: [(&str, &[&str]); 15] = [
    (".", &["core", "data", "experiment", "figure", "report"]),
    ("crates/core", &["cpu", "data", "experiment", "linalg", "statistics"]),
    ("crates/cpu", &[]),
    ("crates/data", &["linalg"]),
    ("crates/experiment", &["statistics"]),
    ("crates/figure", &["experiment"]),
    ("crates/linalg", &[]),
    ("crates/page", &["experiment", "figure"]),
    ("crates/report", &["experiment", "figure"]),
    ("crates/statistics", &["linalg"]),
    ("crates/worker", &["core", "data", "experiment"]),
    ("crates/xtask", &[]),
    ("crates/xtask/bench/burn", &["core", "linalg"]),
    ("crates/xtask/bench/web", &["core", "linalg"]),
    ("tests/wasm", &["core", "data", "experiment", "linalg", "worker"]),
];

/// The modules of core that each of them may use.
const MODULES: [(&str, &[&str]); 15] = [
    ("memory", &[]),
    ("shader", &["memory"]),
    ("gpu", &["shader"]),
    ("ops", &["memory", "shader"]),
    ("plan", &["memory", "ops"]),
    ("tape", &["memory", "ops", "plan"]),
    ("device", &["gpu", "memory", "ops", "plan", "shader"]),
    ("init", &[]),
    ("adapter", &[]),
    ("theory", &["init"]),
    ("model", &["memory", "ops", "plan", "tape"]),
    ("train", &["device", "init", "memory", "model", "ops", "plan", "tape"]),
    ("calibrate", &["device", "init", "memory", "model", "plan", "tape", "train"]),
    ("diagnostics", &["device", "memory", "plan"]),
    (
        "lab",
        &[
            "adapter",
            "calibrate",
            "device",
            "diagnostics",
            "gpu",
            "init",
            "memory",
            "model",
            "ops",
            "plan",
            "shader",
            "tape",
            "train",
        ],
    ),
];

/// Most lines of a source file before its own tests begin: what a reader can hold in mind.
const LONGEST: usize = 500;

#[test]
fn crates_depend_one_way() {
    let manifests = tree().into_iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
    let mut problems = Vec::new();
    for (path, text) in manifests {
        let folder = match path.trim_end_matches("Cargo.toml").trim_end_matches('/') {
            "" => ".",
            folder => folder,
        };
        problems.extend(dependency_problems(folder, &text));
    }
    assert_none(&problems);
    let upward = "[dependencies]\nloralab-core.workspace = true\n";
    assert_eq!(dependency_problems("crates/data", upward).len(), 1);
    let upward = "[target.'cfg(unix)'.dependencies]\nlab = { package = \"loralab-core\", path = \"../core\" }\n";
    assert_eq!(dependency_problems("crates/page", upward).len(), 1);
    assert_eq!(dependency_problems("crates/unheard-of", "").len(), 1);
    assert!(dependency_problems("crates/data", "[dependencies]\nloralab-linalg.workspace = true\n").is_empty());
}

#[test]
fn modules_of_core_depend_one_way() {
    let sources = tree().into_iter().filter(|(path, _)| path.starts_with("crates/core/src/"));
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in sources {
        let inside = path.trim_start_matches("crates/core/src/");
        let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs").to_owned();
        if module != "lib" {
            problems.extend(module_problems(&module, &path, &text));
            seen.insert(module);
        }
    }
    assert_none(&problems);
    assert_eq!(
        seen,
        MODULES.iter().map(|(module, _)| (*module).to_owned()).collect(),
        "the list of modules is out of date"
    );
    let upward = "use crate::{\n    memory::{Value, Weight},\n    train::Cohort,\n};\n";
    assert_eq!(module_problems("ops", "", upward).len(), 1);
    assert_eq!(module_problems("init", "", "let x = crate::memory::Value(0);").len(), 1);
    assert!(module_problems("ops", "", "//! See [`crate::plan`].\nuse crate::memory::Lane;\n").is_empty());
}

#[test]
fn an_op_exists_completely_or_not_at_all() {
    let files: BTreeSet<String> = tree().into_iter().map(|(path, _)| path).collect();
    let folders: BTreeSet<&str> =
        files.iter().filter_map(|path| path.rsplit_once('/')).map(|(folder, _)| folder).collect();
    let exists = |place: &str| files.contains(place) || folders.contains(place);
    let kernels: Vec<(String, String)> = tree()
        .into_iter()
        .filter(|(path, text)| path.starts_with("crates/core/src/ops/") && text.contains("impl Kernel for"))
        .collect();
    assert!(kernels.len() >= 11, "only {} ops were found", kernels.len());
    let problems: Vec<String> = kernels.iter().flat_map(|(path, text)| op_problems(path, text, &exists)).collect();
    assert_none(&problems);
    let (path, text) = ("crates/core/src/ops/gelu.rs", "impl Kernel for Gelu {\n const NAME: &'static str = \"gelu\";");
    assert_eq!(op_problems(path, text, &|_| false).len(), 3);
    assert!(op_problems(path, text, &|_| true).is_empty());
    assert_eq!(op_problems("crates/core/src/ops/other.rs", text, &|_| true).len(), 1);
}

#[test]
fn sources_keep_the_house_rules() {
    let sources = tree().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    assert_none(&sources.flat_map(|(path, text)| source_problems(&path, &text)).collect::<Vec<_>>());
    let path = "crates/core/src/lab/mod.rs";
    assert_eq!(source_problems(path, "let x = unsafe { y() };").len(), 1);
    assert_eq!(source_problems(path, "fn f() { g().unwrap(); }").len(), 1);
    assert_eq!(source_problems(path, &format!("// {}: later", ["TO", "DO"].concat())).len(), 1);
    assert_eq!(source_problems(path, &"x\n".repeat(LONGEST + 1)).len(), 1);
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{ g().unwrap(); }}\n{}", "x\n".repeat(LONGEST));
    assert!(source_problems(path, &tested).is_empty());
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut problems: Vec<String> = tree().iter().flat_map(|(path, text)| place_problems(path, text)).collect();
    problems.retain(|problem| !problem.starts_with("tests/tidy.rs"));
    assert_none(&problems);
    for found in places() {
        assert_eq!(place_problems("x", &format!("see \"{found}notes\"")).len(), 1);
        assert!(place_problems("x", &format!("see https://example.org{found}notes")).is_empty());
    }
}

fn dependency_problems(folder: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == folder) else {
        return vec![format!("{folder} is a crate that tests/tidy.rs does not know; say there what it may depend on")];
    };
    let manifest: toml::Table = manifest.parse().expect("cargo has read this manifest");
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([&manifest]);
    let dependencies = tables
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)))
        .flatten()
        .filter_map(toml::Value::as_table)
        .flatten();
    let mut problems = Vec::new();
    for (key, value) in dependencies {
        let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
        let Some(name) = package.strip_prefix("loralab") else { continue };
        let name = name.trim_start_matches('-');
        if !allowed.contains(&name) {
            problems.push(format!("{folder} depends on {package}; it may depend on {allowed:?} only"));
        }
    }
    problems
}

fn module_problems(module: &str, path: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = MODULES.iter().find(|(known, _)| *known == module) else {
        return vec![format!("{path} is in a module that tests/tidy.rs does not know; say there what it may use")];
    };
    let code: String = code_lines(text).map(|line| format!("{line}\n")).collect();
    let mut problems = Vec::new();
    for (start, found) in code.match_indices("crate::") {
        for used in heads(&code[start + found.len()..]) {
            if used != module && !allowed.contains(&used) {
                problems.push(format!("{path} uses crate::{used}; {module} may use {allowed:?} only"));
            }
        }
    }
    problems
}

/// The first words of the paths at the start of `code`: one, or those of a braced group.
fn heads(code: &str) -> Vec<&str> {
    let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let Some(group) = code.strip_prefix('{') else { return vec![&code[..word(code)]] };
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                let head = group[start..index].trim_start();
                heads.push(&head[..word(head)]);
                start = index + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn op_problems(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let word = path.trim_start_matches("crates/core/src/ops/").trim_end_matches(".rs");
    let mut problems = Vec::new();
    if !text.contains(&format!("NAME: &'static str = \"{word}\";")) {
        problems.push(format!("{path} gives its op another name than the file's, {word:?}"));
    }
    let places = ["crates/cpu/src/{}.rs", "crates/cpu/tests/gradient/{}.rs", "shaders/{}"];
    for other in places.map(|place| place.replace("{}", word)) {
        if !exists(&other) {
            problems.push(format!("the op {word} has no {other}"));
        }
    }
    problems
}

fn source_problems(path: &str, text: &str) -> Vec<String> {
    let tests = path.contains("tests/") || path.contains("/bench/") || path.ends_with("tests.rs");
    let own = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let mut problems = Vec::new();
    let lines = own.lines().count();
    // A table of numbers is looked up, not read.
    if lines > LONGEST && !path.ends_with("_table.rs") {
        problems.push(format!("{path} has {lines} lines before its tests; more than {LONGEST} want to be two modules"));
    }
    for (number, line) in own.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        let word = |word: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word);
        // A host finds the probe's functions by their plain names only; shaders without checks have no safe way.
        let exceptions = ["tests/wasm/src/lib.rs", "tests/tidy.rs", "crates/core/src/gpu/module.rs"];
        // A flag of Chromium's and a word of the Content-Security-Policy have it in them.
        let quoted = ["--enable-unsafe-webgpu", "'wasm-unsafe-eval'"].iter().any(|quoted| code.contains(quoted));
        if word("unsafe") && !quoted && !exceptions.contains(&path) {
            problems.push(format!("{path}:{} is unsafe code", number + 1));
        }
        if code.contains(".unwrap()") && !tests {
            problems.push(format!("{path}:{} may panic; return an error, or say with expect why it can't", number + 1));
        }
        if line.contains(&["TO", "DO"].concat()) || line.contains(&["FIX", "ME"].concat()) {
            problems.push(format!("{path}:{} leaves something to be done", number + 1));
        }
    }
    problems
}

/// Folders of a machine, which nothing in the tree may depend on: those that most have, and the one that holds this checkout.
fn places() -> Vec<String> {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|folder| format!("{}/", folder.display()));
    let own = parent.filter(|folder| folder.len() > 2);
    ["/tmp/", "/root/", "/home/"].map(str::to_owned).into_iter().chain(own).collect()
}

fn place_problems(path: &str, text: &str) -> Vec<String> {
    let (mut problems, places) = (Vec::new(), places());
    for (number, line) in text.lines().enumerate() {
        for place in &places {
            let mut found = line.match_indices(place.as_str()).map(|(at, _)| line[..at].chars().next_back());
            // Part of a longer path, such as one in the tree or on the web, is none.
            if found.any(|before| before.is_none_or(|c| !(c.is_alphanumeric() || "._-}".contains(c)))) {
                problems.push(format!("{path}:{} names {place}", number + 1));
                // Once a line: the checkout may lie in one of the others.
                break;
            }
        }
    }
    problems
}

/// Lines that are not comments and stand before the file's own tests.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    let own = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    own.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Every text file of the tree, by its path from the root with `/` between folders; what is built or fetched is left out.
fn tree() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(root, &mut files);
    let texts = files.into_iter().filter_map(|file| {
        let path = file.strip_prefix(root).expect("the walk began at the root");
        let path = path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        // What is no text has no rules here.
        Some((path, fs::read_to_string(&file).ok()?))
    });
    let texts: Vec<(String, String)> = texts.collect();
    assert!(texts.len() > 100, "only {} files were found under {}", texts.len(), root.display());
    texts
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    const MADE: [&str; 5] = [".git", "target", "node_modules", "dist", "results"];
    for entry in fs::read_dir(folder).expect("the tree can be read") {
        let path = entry.expect("the tree can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || MADE.contains(&&*name) || name == "Cargo.lock" {
            continue;
        }
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
