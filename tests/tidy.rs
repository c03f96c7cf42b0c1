//! The shape of the tree, read from its files: who depends on whom, one op in every place, house rules.
//!
//! Every rule is a function from the text of files to sentences about what is wrong, so that each can be shown to fail.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The loralab crates that each crate may depend on. `page` knows the vocabulary and the figures only: it must never reach a device.
const CRATES: [(&str, &[&str]); 17] = [
    (".", &["checkpoint", "core", "data", "experiment", "figure", "report", "tokenizer"]),
    ("crates/checkpoint", &[]),
    ("crates/core", &["checkpoint", "cpu", "data", "experiment", "linalg", "statistics", "tokenizer"]),
    ("crates/cpu", &[]),
    ("crates/data", &["linalg", "tokenizer"]),
    ("crates/experiment", &["statistics"]),
    ("crates/figure", &["experiment"]),
    ("crates/linalg", &[]),
    ("crates/page", &["experiment", "figure"]),
    ("crates/report", &["experiment", "figure"]),
    ("crates/statistics", &["linalg"]),
    ("crates/tokenizer", &[]),
    ("crates/worker", &["core", "data", "experiment", "tokenizer"]),
    ("crates/xtask", &[]),
    ("crates/xtask/bench/burn", &["core", "linalg"]),
    ("crates/xtask/bench/web", &["core", "linalg"]),
    ("tests/wasm", &["core", "data", "experiment", "linalg", "worker"]),
];

/// The rooms of core and of experiment, from the lowest up: each may use those before it.
const ROOMS: [(&str, &[&str]); 2] = [
    ("crates/core/src/", &["graph", "device", "models", "lora", "lab"]),
    ("crates/experiment/src/", &["config", "protocol", "analysis"]),
];

/// Inside a room of core, the modules from the lowest up: each may use those before it. A module that is not named here is used by its room only.
const MODULES: [(&str, &[&str]); 2] = [
    ("graph", &["memory", "shader", "ops", "update", "recording", "placement", "plan", "recompute", "tape"]),
    ("lora", &["init", "peft", "merge", "theory"]),
];

/// Most lines of a source file, and of a function: what a reader can hold in mind.
const LONGEST: usize = 500;
const LONGEST_FUNCTION: usize = 80;

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
fn rooms_depend_one_way() {
    let mut problems = Vec::new();
    for (source, rooms) in ROOMS {
        let mut seen = BTreeSet::new();
        for (path, text) in tree().into_iter().filter(|(path, _)| path.starts_with(source)) {
            let inside = path.trim_start_matches(source).trim_end_matches(".rs").trim_end_matches("/mod");
            if inside != "lib" {
                problems.extend(room_problems(rooms, inside, &path, &text));
                seen.insert(inside.split('/').next().unwrap_or(inside).to_owned());
            }
        }
        assert_eq!(seen, rooms.iter().map(|room| (*room).to_owned()).collect(), "the rooms of {source} are others");
    }
    assert_none(&problems);
    let rooms = ROOMS[0].1;
    let upward = "use crate::{\n    graph::memory::{Value, Weight},\n    lab::train::Cohort,\n};\n";
    assert_eq!(room_problems(rooms, "models/base", "", upward).len(), 1);
    assert_eq!(room_problems(rooms, "lora/init", "", "let x = crate::lab::Sweep::new();").len(), 1);
    assert_eq!(
        room_problems(rooms, "graph/ops/linear", "", "use crate::graph::{memory::MicroBatch, plan::Plan};").len(),
        1
    );
    assert_eq!(room_problems(rooms, "graph/ops/linear", "", "use super::super::tape::Tape;").len(), 1);
    assert_eq!(room_problems(rooms, "elsewhere", "", "").len(), 1);
    assert!(
        room_problems(rooms, "graph/tape", "", "//! See [`crate::lab`].\nuse super::{memory, ops::Op};\n").is_empty()
    );
    assert!(
        room_problems(rooms, "lab/sweep", "", "use super::room::PlanNeeds;\nuse crate::{graph::plan::Plan, lora};\n")
            .is_empty()
    );
}

/// Commands read their arguments; arguments know no command.
#[test]
fn the_arguments_of_the_command_line_are_a_leaf() {
    let files: Vec<_> = tree().into_iter().filter(|(path, _)| path.starts_with("crates/cli/args/")).collect();
    assert!(files.len() > 5, "only {} files hold the arguments", files.len());
    assert_none(&files.iter().flat_map(|(path, text)| argument_problems(path, text)).collect::<Vec<_>>());
    let path = "crates/cli/args/sweep.rs";
    assert_eq!(argument_problems(path, "use crate::{device::Machine, args::Output};").len(), 1);
    assert_eq!(argument_problems(path, "let rate = super::super::search::rate;").len(), 1);
    assert_eq!(argument_problems("crates/cli/args/mod.rs", "use super::device;").len(), 1);
    assert!(argument_problems(path, "use super::device::Device;\nuse crate::args::Output;\n").is_empty());
}

#[test]
fn an_op_exists_completely_or_not_at_all() {
    let files: BTreeSet<String> = tree().into_iter().map(|(path, _)| path).collect();
    let folders: BTreeSet<&str> =
        files.iter().filter_map(|path| path.rsplit_once('/')).map(|(folder, _)| folder).collect();
    let exists = |place: &str| files.contains(place) || folders.contains(place);
    let kernels: Vec<(String, String)> = tree()
        .into_iter()
        .filter(|(path, text)| path.starts_with("crates/core/src/graph/ops/") && text.contains("impl Kernel for"))
        .collect();
    assert!(kernels.len() >= 11, "only {} ops were found", kernels.len());
    let problems: Vec<String> = kernels.iter().flat_map(|(path, text)| op_problems(path, text, &exists)).collect();
    assert_none(&problems);
    let (path, text) =
        ("crates/core/src/graph/ops/gelu.rs", "impl Kernel for Gelu {\n const NAME: &'static str = \"gelu\";");
    assert_eq!(op_problems(path, text, &|_| false).len(), 3);
    assert!(op_problems(path, text, &|_| true).is_empty());
    assert_eq!(op_problems("crates/core/src/graph/ops/other.rs", text, &|_| true).len(), 1);
}

#[test]
fn sources_keep_the_house_rules() {
    let sources = tree().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    assert_none(&sources.flat_map(|(path, text)| source_problems(&path, &text)).collect::<Vec<_>>());
    let path = "crates/core/src/lab/mod.rs";
    assert_eq!(source_problems(path, "let x = unsafe { y() };").len(), 1);
    assert_eq!(source_problems(path, "fn f() { g().unwrap(); }").len(), 1);
    assert_eq!(source_problems(path, &format!("// {}: later", ["TO", "DO"].concat())).len(), 1);
    let tested = "fn f() {}\n#[cfg(test)]\nmod tests { g().unwrap(); }\n";
    assert!(source_problems(path, tested).is_empty());
}

#[test]
fn files_and_functions_are_short() {
    let is_source = |path: &str| path.ends_with(".rs") || path.ends_with(".wgsl");
    let sources: Vec<_> = tree().into_iter().filter(|(path, _)| is_source(path)).collect();
    assert!(sources.iter().any(|(path, _)| path.ends_with(".wgsl")));
    assert_none(&sources.iter().flat_map(|(path, text)| length_problems(path, text)).collect::<Vec<_>>());
    let function = |lines: usize| format!("    pub(crate) async fn f(\n    ) {{\n{}    }}\n", "x;\n".repeat(lines - 3));
    assert_eq!(length_problems("x.rs", &"x\n".repeat(LONGEST + 1)).len(), 1);
    assert_eq!(length_problems("x.wgsl", &function(LONGEST_FUNCTION + 1)).len(), 1);
    assert_eq!(length_problems("x.rs", &function(LONGEST_FUNCTION + 1).repeat(2)).len(), 2);
    assert!(length_problems("x.rs", &function(LONGEST_FUNCTION).repeat(2)).is_empty());
    assert!(
        length_problems("x.rs", &format!("    fn f();\n{}    }}\n", "    fn f() {}\n".repeat(LONGEST - 2))).is_empty()
    );
    assert!(length_problems("normal_table.rs", &"x\n".repeat(LONGEST + 1)).is_empty());
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

/// Uses of a module upwards: `inside` is its path in the crate, such as `graph/ops/linear`.
fn room_problems(rooms: &[&str], inside: &str, path: &str, text: &str) -> Vec<String> {
    let own: Vec<&str> = inside.split('/').collect();
    let Some(level) = rooms.iter().position(|room| *room == own[0]) else {
        return vec![format!("{path} is in no room that tests/tidy.rs knows; say there where it belongs")];
    };
    let modules = MODULES.iter().find(|(room, _)| rooms[level] == *room).map_or(&[][..], |(_, modules)| *modules);
    let order = |name: &str| modules.iter().position(|module| *module == name);
    let mut problems = Vec::new();
    for used in used_paths(&own, text) {
        let Some(room) = rooms.iter().position(|room| *room == used[0]) else { continue };
        if room > level {
            problems.push(format!("{path} uses {}; {} stands below it", used.join("::"), rooms[level]));
        }
        if let (true, [_, module, ..], [_, other, ..]) = (room == level, &own[..], &used[..])
            && let (Some(module), Some(other)) = (order(module), order(other))
            && other > module
        {
            problems.push(format!("{path} uses {}, which stands above it", used.join("::")));
        }
    }
    problems
}

fn argument_problems(path: &str, text: &str) -> Vec<String> {
    let inside: Vec<&str> = path.trim_start_matches("crates/cli/").trim_end_matches(".rs").split('/').collect();
    let inside = if inside.ends_with(&["mod"]) { &inside[..inside.len() - 1] } else { &inside[..] };
    let used = used_paths(inside, text).into_iter().filter(|used| used[0] != "args");
    used.map(|used| format!("{path} uses {}, a part of a command", used.join("::"))).collect()
}

/// The paths in code that begin with `crate` or `super`, from the crate's root, as far as they are modules' names.
fn used_paths(own: &[&str], text: &str) -> Vec<Vec<String>> {
    let code: String = code_lines(text).map(|line| format!("{line}\n")).collect();
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if !code[..start].ends_with('$') {
            found.extend(leaves(&[], &code[start + "crate::".len()..]));
        }
    }
    for (start, _) in code.match_indices("super::") {
        if code[..start].ends_with("super::") {
            continue;
        }
        let (mut up, mut rest) = (0, &code[start..]);
        while let Some(after) = rest.strip_prefix("super::") {
            (up, rest) = (up + 1, after);
        }
        let folder: Vec<String> = own[..own.len().saturating_sub(up)].iter().map(|&part| part.to_owned()).collect();
        found.extend(leaves(&folder, rest));
    }
    found
}

/// The paths of a use tree, which may have groups in braces, each below `parent`.
fn leaves(parent: &[String], code: &str) -> Vec<Vec<String>> {
    let word = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    if let Some(group) = code.strip_prefix('{') {
        let (mut depth, mut start, mut found) = (0, 0, Vec::new());
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    let item = group[start..index].trim_start();
                    if !item.is_empty() {
                        found.extend(leaves(parent, item));
                    }
                    start = index + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return found;
    }
    let path: Vec<String> = parent.iter().cloned().chain([code[..word].to_owned()]).collect();
    match code[word..].strip_prefix("::") {
        Some(rest) => leaves(&path, rest),
        None => vec![path],
    }
}

fn op_problems(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let word = path.trim_start_matches("crates/core/src/graph/ops/").trim_end_matches(".rs");
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
    for (number, line) in own.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        let word = |word: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word);
        // A host finds the probe's functions by their plain names only; shaders without checks and mapped files have no safe way.
        let exceptions = [
            "tests/wasm/src/lib.rs",
            "tests/tidy.rs",
            "crates/core/src/device/webgpu/module.rs",
            "crates/checkpoint/src/files/map.rs",
        ];
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

/// Files and functions that are too long. As in formatted text, a function ends at the first line of a brace alone that is indented as its first line.
fn length_problems(path: &str, text: &str) -> Vec<String> {
    // A table of numbers is looked up, not read.
    if path.ends_with("_table.rs") {
        return vec![];
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut problems = Vec::new();
    if lines.len() > LONGEST {
        problems.push(format!("{path} has {} lines; more than {LONGEST} are two modules", lines.len()));
    }
    for (first, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let Some(name) = code.find("fn ") else { continue };
        let qualifies = |word: &str| {
            word.is_empty()
                || word.starts_with("pub")
                || ["const", "async", "unsafe", "extern", "\"C\""].contains(&word)
        };
        if !code[..name].split(' ').all(qualifies) || line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        // A declaration in a trait ends at a semicolon instead.
        let ends = |line: &str| {
            line.strip_prefix(indent).is_some_and(|rest| rest == "}" || !rest.starts_with(' ') && rest.ends_with(';'))
        };
        let length = 2 + lines[first + 1..].iter().take_while(|line| !ends(line)).count();
        if length > LONGEST_FUNCTION {
            problems.push(format!(
                "{path}:{} begins a function of {length} lines; more than {LONGEST_FUNCTION} are several",
                first + 1
            ));
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
        // Files that are no text have no rules here.
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
