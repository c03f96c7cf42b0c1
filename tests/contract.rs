//! The WGSL modules and the host's tables of them say the same, and every module is accepted by every shader language's writer.
//!
//! A disagreement is not an error on a GPU: a param read at another's offset is a wrong number. So it is looked for here, in the text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use loralab_core::{
    device::shaders,
    graph::shader::{Access, Element, Shader},
};
use naga::{AddressSpace, StorageAccess, TypeInner, front::wgsl, valid};

/// The limits that every WebGPU device grants.
const STORAGE_BUFFERS: usize = 8;
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16 << 10;

/// Lines of code in a row that no two files have alike; what is longer stands in a part that both have.
const ALIKE: usize = 8;

#[test]
fn every_kernel_has_a_table_and_every_table_its_files() {
    let files: BTreeSet<String> = files().into_iter().map(|(file, _)| file).collect();
    let tables: Vec<&str> = shaders().map(|shader| shader.name).collect();
    let named: BTreeSet<&str> = tables.iter().copied().collect();
    assert_eq!(tables.len(), named.len(), "a shader has two tables");
    let mut used = BTreeSet::new();
    for shader in shaders() {
        let (own, shared) = shader.parts.split_first().expect("it is made of something");
        let folder = |path: &'static str| path.split('/').next();
        assert_eq!(folder(own.file), folder(shader.name), "{} begins with another's file", shader.name);
        assert!(shared.iter().all(|part| part.file.starts_with("lib/")), "{} has a part of another op", shader.name);
        used.extend(shader.parts.iter().map(|part| part.file.to_owned()));
    }
    assert_eq!(used, files);
}

#[test]
fn no_two_files_have_the_same_lines() {
    let files = files();
    assert_eq!(repeated(&files), Vec::<String>::new());
    // A file that has a part's lines, and what is too short to be one.
    let (_, text) = files.iter().find(|(file, _)| file == "lib/decode").expect("it is there");
    let of_two = |text: &str| repeated(&[files.clone(), vec![("another".to_owned(), text.to_owned())]].concat());
    assert!(!of_two(&text.replace("\n", "\n\n    // As elsewhere.\n  ")).is_empty());
    let lines: Vec<&str> = text.lines().filter(|line| is_code(line)).collect();
    assert_eq!(of_two(&lines[..ALIKE].join("\n")).len(), 1);
    assert_eq!(of_two(&lines[1..ALIKE].join("\n")).len(), 0);
}

#[test]
fn what_a_compiler_says_names_the_file_and_its_line() {
    let shader = shaders().find(|shader| shader.name == "rms_norm/forward").expect("it is there");
    for (from, file) in [
        ("var sum = 0.0;\n    for (var i = local", "rms_norm/forward"),
        ("var eighth", "lib/rows"),
        ("fn half", "lib/decode"),
    ] {
        let source = shader.source();
        assert_eq!(source.matches(from).count(), 1, "{from}");
        let broken = source.replace(from, &format!("?{from}"));
        let error = wgsl::parse_str(&broken).expect_err("it is no WGSL");
        let located = shader.located(&error.emit_to_string(&broken));
        let part = shader.parts.iter().find(|part| part.file == file).expect("it has this part");
        let before = &part.text[..part.text.find(from).expect("it is there, as in the module")];
        let line = 1 + before.matches('\n').count();
        assert!(located.contains(&format!("shaders/{file}.wgsl:{line}:")), "{file}:{line} is not in {located}");
    }
    assert_eq!(shader.located("see wgsl:0, wgsl:99999 and wgsl:x"), "see wgsl:0, wgsl:99999 and wgsl:x");
}

#[test]
fn tables_equal_their_modules() {
    for shader in shaders() {
        let problems = problems(shader, &shader.source());
        assert!(problems.is_empty(), "{}: {}", shader.name, problems.join("; "));
    }
}

#[test]
fn a_table_that_disagrees_is_found() {
    let shader = shaders().find(|shader| shader.name == "lora_linear/down").expect("it is there");
    for (from, to) in [
        ("rank: u32,\n", "ranks: u32,\n"),
        ("    scaled: u32,", "    scaled: f32,"),
        ("    inputs: u32,\n    rank: u32,", "    rank: u32,\n    inputs: u32,"),
        ("storage, read> matrix", "storage, read_write> matrix"),
        ("@binding(2)", "@binding(7)"),
        ("matrix: array<f32>", "matrix: array<u32>"),
        ("@workgroup_size(64)", "@workgroup_size(128)"),
        ("fn main", "override EXTRA: u32 = 0u;\nfn main"),
        ("array<vec4<f32>, 288>", "array<vec4<f32>, 2880>"),
    ] {
        let source = shader.source();
        assert!(source.contains(from), "{from} is not there to be changed");
        let changed = source.replacen(from, to, 1).replace("@compute @workgroup_size(64)\noverride", "override");
        assert!(!problems(shader, &changed).is_empty(), "{from} → {to} is not found");
    }
}

#[test]
fn every_module_can_be_written_for_every_driver() {
    for shader in shaders() {
        // Every format of weights; int8 in rows of 70.
        let formats = if shader.constants.contains(&"FORMAT") { &[0, 1, 2, 3, 4 | 70 << 3][..] } else { &[1] };
        formats.iter().for_each(|&format| write_for_every_driver(shader, format));
    }
}

fn write_for_every_driver(shader: &Shader, format: u32) {
    let module = wgsl::parse_str(&shader.source())
        .unwrap_or_else(|error| panic!("{}", shader.located(&error.emit_to_string(&shader.source()))));
    let info = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {error:?}", shader.name));
    let value = |name: &str| match name {
        "COLUMNS" => 64.0,
        "FORMAT" => f64::from(format),
        _ => 1.0,
    };
    let overrides = shader.constants.iter().map(|name| ((*name).to_owned(), value(name))).collect();
    let (module, info) = naga::back::pipeline_constants::process_overrides(
        &module,
        &info,
        Some((naga::ShaderStage::Compute, "main")),
        &overrides,
    )
    .unwrap_or_else(|error| panic!("{}, format {format}: {error}", shader.name));
    let spirv = naga::back::spv::write_vec(&module, &info, &naga::back::spv::Options::default(), None);
    assert!(spirv.is_ok_and(|words| words.len() > 100), "{} as SPIR-V", shader.name);
    let metal = naga::back::msl::write_string(
        &module,
        &info,
        &naga::back::msl::Options { fake_missing_bindings: true, ..Default::default() },
        &naga::back::msl::PipelineOptions::default(),
    );
    assert!(metal.is_ok_and(|(text, _)| text.contains("kernel")), "{} as Metal", shader.name);
    let mut hlsl = String::new();
    let options = naga::back::hlsl::Options { fake_missing_bindings: true, ..Default::default() };
    let pipeline = naga::back::hlsl::PipelineOptions::default();
    let written = naga::back::hlsl::Writer::new(&mut hlsl, &options, &pipeline).write(&module, &info, None);
    assert!(written.is_ok() && hlsl.contains("numthreads"), "{} as HLSL", shader.name);
}

#[test]
fn every_loop_ends() {
    for shader in shaders() {
        assert_eq!(endless(&shader.source()), Vec::<String>::new(), "{}", shader.name);
    }
}

#[test]
fn a_loop_that_may_not_end_is_found() {
    for text in [
        "    loop {\n        break;\n    }",
        "    while high > low {\n    }",
        "    for (;;) {\n    }",
        "    for (var i = 0u; i < 9u; i += step) {\n    }",
        "    for (var i = 0u; i < 9u; i -= 1u) {\n    }",
        "    for (var i = 0u; j < 9u; i++) {\n    }",
        "    for (var i = 9u; i > 0u; i -= i / 4u) {\n    }",
        "    for (var i = 0u; i < 9u; i++) {\n        i = 0u;\n    }",
        "    var end = 9u;\n    for (var i = 0u; i < end; i++) {\n        end += 1u;\n    }",
        "    for (var i = 0u; i < 9u; i++) {\n        i--;\n    }",
    ] {
        assert_eq!(endless(text).len(), 1, "{text}");
    }
}

/// The loops of a module of which it can't be told from their first line that they end: no driver is asked to see to it. One that ends goes up by a number
/// that is written there, or comes down by a half of what is left, towards an end that is no variable, and changes what it counts nowhere else. No count wraps around: what is counted
/// lies in a buffer, and those are far from 2³² elements.
fn endless(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let ends = |line: &str| {
        let head = line.strip_prefix("for (var ")?.strip_suffix(") {")?;
        let [first, condition, step] = head.split("; ").collect::<Vec<_>>().try_into().ok()?;
        let (count, _) = first.split_once(" = ")?;
        let words = condition.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let moves = |word: &str| !word.is_empty() && lines.iter().any(|line| line.starts_with(&format!("var {word} ")));
        if words.into_iter().any(moves) {
            return None;
        }
        let up = step.strip_prefix(count)?;
        let number = up.strip_prefix(" += ").and_then(|number| number.strip_suffix('u')?.parse::<u32>().ok());
        let rises =
            condition.starts_with(&format!("{count} < ")) && (up == "++" || number.is_some_and(|number| number > 0));
        let halves = condition == format!("{count} > 0u") && up == " >>= 1u"
            || condition == format!("{count} > 1u") && up == format!(" -= {count} / 2u");
        let changes = |line: &&str| {
            let rest = line.strip_prefix(count).unwrap_or_default();
            rest.starts_with(['+', '-']) || rest.split_once('=').is_some_and(|(before, _)| before.starts_with(' '))
        };
        ((rises || halves) && !lines.iter().any(changes)).then_some(())
    };
    let loops = lines
        .iter()
        .filter(|line| ["for", "while", "loop"].contains(&line.split([' ', '(']).next().unwrap_or_default()));
    loops.filter(|line| ends(line).is_none()).map(|line| (*line).to_owned()).collect()
}

/// Every file of WGSL: folder and name, and text.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = Vec::new();
    for folder in fs::read_dir(&root).expect("the shaders can be read").flatten().filter(|entry| entry.path().is_dir())
    {
        for file in fs::read_dir(folder.path()).expect("a folder of shaders can be read").flatten() {
            let name = format!("{}/{}", folder.file_name().to_string_lossy(), file.file_name().to_string_lossy());
            let name = name.strip_suffix(".wgsl").expect("a folder of shaders holds nothing else");
            files.push((name.to_owned(), fs::read_to_string(file.path()).expect("a shader can be read")));
        }
    }
    files.sort();
    files
}

/// True if a line is one of code, and neither blank nor a comment.
fn is_code(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim().starts_with("//")
}

/// The runs of `ALIKE` lines of code that stand in two files.
fn repeated(files: &[(String, String)]) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut problems = Vec::new();
    for (file, text) in files {
        let lines: Vec<&str> = text.lines().filter(|line| is_code(line)).map(str::trim).collect();
        for run in lines.windows(ALIKE) {
            let first = seen.entry(run.to_vec()).or_insert(file);
            if *first != file {
                problems.push(format!("{file} has the lines of {first} from «{}» on", run[0]));
            }
        }
    }
    problems
}

/// The differences between a table and the text of a module, and the limits of a browser that they exceed.
fn problems(shader: &Shader, source: &str) -> Vec<String> {
    let module = match wgsl::parse_str(source) {
        Ok(module) => module,
        Err(error) => return vec![format!("it is not WGSL: {error}")],
    };
    let mut problems = Vec::new();
    let mut expect = |what: &str, found: String, table: String| {
        if found != table {
            problems.push(format!("{what} is {found} in the module, {table} in the table"));
        }
    };
    let [entry] = &module.entry_points[..] else { return vec!["it has more than one entry point".to_owned()] };
    expect("the entry point", entry.name.clone(), "main".to_owned());
    expect("the workgroup", format!("{:?}", entry.workgroup_size), format!("{:?}", [shader.workgroup, 1, 1]));
    let mut constants: Vec<String> = module.overrides.iter().filter_map(|(_, it)| it.name.clone()).collect();
    let mut named: Vec<String> = shader.constants.iter().map(|name| (*name).to_owned()).collect();
    constants.sort();
    named.sort();
    expect("the constants", format!("{constants:?}"), format!("{named:?}"));

    let mut bindings = vec![String::new(); shader.bindings.len() + 1];
    let mut workgroup_bytes = 0;
    for (_, variable) in module.global_variables.iter() {
        let inner = &module.types[variable.ty].inner;
        if variable.space == AddressSpace::WorkGroup {
            workgroup_bytes += inner.size(module.to_ctx());
        }
        let Some(place) = variable.binding else { continue };
        let text = match (variable.space, inner) {
            (AddressSpace::Uniform, TypeInner::Struct { members, .. }) => {
                let member = |member: &naga::StructMember| {
                    format!("{} {} at {}", name(&member.name), element(&module, member.ty), member.offset)
                };
                members.iter().map(member).collect::<Vec<_>>().join(", ")
            }
            (AddressSpace::Storage { access }, TypeInner::Array { base, .. }) => {
                let access = if access.contains(StorageAccess::STORE) { "write" } else { "read" };
                format!("{access} {}: {}", name(&variable.name), element(&module, *base))
            }
            other => format!("{other:?}"),
        };
        match bindings.get_mut(place.binding as usize) {
            Some(binding) if place.group == 0 => *binding = text,
            _ => problems.push(format!("{text} is at group {}, binding {}", place.group, place.binding)),
        }
    }
    let params = shader.params.iter().enumerate();
    let params = params.map(|(index, (name, element))| format!("{name} {} at {}", word(*element), 4 * index));
    let buffers = shader.bindings.iter().map(|binding| {
        let access = if binding.access == Access::Read { "read" } else { "write" };
        format!("{access} {}: {}", binding.name, word(binding.element))
    });
    let table: Vec<String> = [params.collect::<Vec<_>>().join(", ")].into_iter().chain(buffers).collect();
    for (index, (found, table)) in bindings.iter().zip(&table).enumerate() {
        if found != table {
            problems.push(format!("binding {index} is «{found}» in the module, «{table}» in the table"));
        }
    }
    if shader.bindings.len() > STORAGE_BUFFERS {
        problems.push(format!("it binds {} storage buffers", shader.bindings.len()));
    }
    if shader.workgroup > INVOCATIONS {
        problems.push(format!("its workgroup has {} invocations", shader.workgroup));
    }
    if workgroup_bytes > WORKGROUP_BYTES {
        problems.push(format!("it takes {workgroup_bytes} bytes of workgroup memory"));
    }
    problems
}

fn name(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or_default()
}

fn element(module: &naga::Module, ty: naga::Handle<naga::Type>) -> &'static str {
    match module.types[ty].inner {
        TypeInner::Scalar(naga::Scalar::U32) => "u32",
        TypeInner::Scalar(naga::Scalar::F32) => "f32",
        TypeInner::Atomic(naga::Scalar::U32) => "atomic",
        _ => "another type",
    }
}

fn word(element: Element) -> &'static str {
    match element {
        Element::U32 => "u32",
        Element::F32 => "f32",
        Element::Atomic => "atomic",
    }
}
