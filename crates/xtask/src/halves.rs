//! The halves of the page's modules: which parts of the program a first step needs none of, and what brings them.
//!
//! What is named here comes once the page is ready, or when it is first called. A wrong name costs a wait, never a wrong result; a test in `tests/browser`
//! holds that a first step waits for none.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use anyhow::{Context, Result, bail};

use crate::split::{Halves, split};

/// Cuts the modules of the page in `dist`, whose functions still have their names, and has the script of each bring its later half.
pub fn cut(dist: &Path) -> Result<()> {
    for entry in fs::read_dir(dist)? {
        let path = entry?.path();
        let Some(module) = path.file_name().and_then(|name| name.to_str()?.strip_suffix("_bg.wasm")) else { continue };
        let parts = if module == "worker" { WORKER } else { PAGE };
        let halves = split(&fs::read(&path)?, |function| is_in(parts, function));
        let Halves { first, later } = halves.with_context(|| format!("{} can't be cut", path.display()))?;
        let script = dist.join(module).with_extension("js");
        let later = later.context("none of its functions has a name that is known")?;
        // Named by what is in it, so that halves of two builds never meet.
        let mut hasher = DefaultHasher::new();
        (&first, &later).hash(&mut hasher);
        let file = format!("{module}_{:016x}{LATER}", hasher.finish());
        let bringing = bringing(&fs::read_to_string(&script)?, &file)
            .with_context(|| format!("{} is not as wasm-bindgen wrote it before", script.display()))?;
        fs::write(script, bringing)?;
        fs::write(dist.join(file), later)?;
        fs::write(path, first)?;
    }
    Ok(())
}

/// Whether a file is a later half.
pub fn is_later(file: &str) -> bool {
    file.ends_with(LATER)
}

const LATER: &str = "_later.wasm";

/// The script of a module, as wasm-bindgen writes it, that also brings the module's later half, `file`.
fn bringing(script: &str, file: &str) -> Result<String> {
    let beginning = format!(
        "import {{ later }} from \"./later.js\";\nconst rest = later(new URL({file:?}, import.meta.url), () => wasm);\n"
    );
    let edits = [
        ("const imports = __wbg_get_imports();", "const imports = { ...__wbg_get_imports(), later: rest };"),
        (
            "await __wbg_load(await module_or_path, imports);",
            "await __wbg_load(await module_or_path, imports);\n    await rest.ready;",
        ),
        ("return __wbg_finalize_init(instance, module);", "return rest.begun(__wbg_finalize_init(instance, module));"),
    ];
    let mut edited = script.to_owned();
    for (found, put) in edits {
        if !edited.contains(found) {
            bail!("it has no `{found}`");
        }
        edited = edited.replace(found, put);
    }
    Ok(beginning + &edited)
}

/// Of the worker: the CPU device and its matrix products, decompositions, the starts that look at weights or data, adapters as files, the check of a GPU.
const WORKER: &[&str] = &[
    "Error as core::fmt::Display",
    "core::num::dec2flt",
    "core::str::slice_error_fail",
    "core::slice::sort::stable",
    "core::slice::sort::unstable",
    "equator",
    "faer",
    "gemm_",
    "libm_math::rem_pio2_large",
    "loralab_core::adapter",
    "loralab_core::calibrate::gradients",
    "loralab_core::calibrate::labels",
    "loralab_core::calibrate::moments",
    "loralab_core::calibrate::preheat",
    "loralab_core::calibrate::triplets",
    "loralab_core::calibrate::weights",
    "loralab_core::device::cpu",
    "loralab_core::device::gpu::Gpu as loralab_core::device::Device>::probe",
    "loralab_core::device::gpu::Gpu as loralab_core::device::Device>::restore",
    "loralab_core::diagnostics",
    "loralab_core::init::activation_shift",
    "loralab_core::init::calibration",
    "loralab_core::init::corda",
    "loralab_core::init::eva",
    "loralab_core::init::hrp",
    "loralab_core::init::loftq",
    "loralab_core::init::lora_ga",
    "loralab_core::init::lora_one",
    "loralab_core::init::mica",
    "loralab_core::init::milora",
    "loralab_core::init::nora",
    "loralab_core::init::olora",
    "loralab_core::init::orthogonal",
    "loralab_core::init::pissa",
    "loralab_core::init::quantiser",
    "loralab_core::init::sylvester",
    "loralab_core::lab::begin",
    "loralab_core::lab::curvature",
    "loralab_core::lab::diagnose::Probes::look",
    "loralab_core::lab::generate",
    "loralab_core::lab::room::Room::of_base_name",
    "loralab_core::lab::snapshot::Snapshot::from_bytes",
    "loralab_core::lab::translate::export",
    "loralab_core::lab::verify",
    "loralab_core::ops::Op::run",
    "loralab_core::train::cohort::Cohort::new",
    "loralab_core::train::cohort::Cohort::step::",
    "loralab_cpu",
    "loralab_data::dataset::Dataset::jsonl",
    "loralab_linalg::factor",
    "loralab_linalg::krylov",
    "loralab_linalg::lanczos",
    "loralab_linalg::orthonormal",
    "loralab_linalg::range",
    "loralab_worker::check",
    "loralab_worker::inspect",
    "loralab_worker::write",
    "nano_gemm",
    "pulp",
    "serde_json::de::Deserializer<R>::peek_invalid_type",
    "strsim",
    "u128>::",
];

/// Of the page: figures and tables of results, files in and out, and the words for them.
const PAGE: &[&str] = &[
    "Error as core::fmt::Display",
    "core::fmt::Debug>::fmt",
    "core::num::dec2flt",
    "core::str::slice_error_fail",
    "core::str::iter::EscapeDebug",
    "core::slice::sort::stable",
    "core::slice::sort::unstable",
    "libm_math",
    "loralab_experiment::beginning",
    "loralab_experiment::diagnostics",
    "loralab_experiment::experiment::Experiment::to_toml",
    "loralab_experiment::optimum",
    "loralab_experiment::run",
    "loralab_experiment::summary::_",
    "loralab_experiment::words",
    "loralab_figure",
    "loralab_page::panel::grid",
    "loralab_page::panel::inside",
    "loralab_page::panel::starts",
    "loralab_page::zip",
    "loralab_page::sweep::Sweep::csv",
    "loralab_statistics",
    "page::browser::files_read",
    "page::browser::page::Page::open_results",
    "page::browser::resume",
    "page::browser::starts",
    "plotters",
    "serde_core::de::impls::<impl serde_core::de::Deserialize for core::option::Option<T>>::deserialize",
    "serde_json::de::Deserializer<R>::peek_invalid_type",
    "serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::deserialize_map",
    "serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::deserialize_seq",
    "serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::deserialize_struct",
    "serde_json::de::from_str",
    "serde_json::error",
    "strsim",
    "toml::de::parser::inline_table",
    "toml::value::Value as serde_core::de::Deserialize",
    "toml_datetime",
    "toml_parser::decoder::string::decode_ml",
    "toml_parser::parser::document::on_inline_table",
    "u128>::",
];

/// Whether the function of this name is in one of these parts.
fn is_in(parts: &[&str], function: &str) -> bool {
    // What drops a value names its type, too, and is needed wherever one may have been made.
    if function.starts_with("core::ptr::drop_in_place") {
        return false;
    }
    // rustc writes the hash of a crate in square brackets.
    let path: String = function.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
    parts.iter().any(|part| path.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_known_by_the_path_of_a_function() {
        let parts = ["faer", "str>::trim"];
        for inside in ["faer[0123456789abcdef]::linalg::svd::h0", "<faer::Mat as core::ops::Mul>::mul", "<str>::trim"] {
            assert!(is_in(&parts, inside), "{inside}");
        }
        for outside in ["core::ptr::drop_in_place<faer::Mat>::h0", "loralab_core::tape::Tape::compile", "[", "]x["] {
            assert!(!is_in(&parts, outside), "{outside}");
        }
    }

    #[test]
    fn a_script_brings_the_later_half() {
        let script = "let wasm;\nconst imports = __wbg_get_imports();\nawait __wbg_load(await module_or_path, imports);\nreturn __wbg_finalize_init(instance, module);\n";
        let edited = bringing(script, "worker_later.wasm").expect("it has all places");
        assert!(edited.contains("new URL(\"worker_later.wasm\", import.meta.url)"), "{edited}");
        assert!(
            edited.contains("...__wbg_get_imports(), later: rest") && edited.contains("rest.begun(__wbg"),
            "{edited}"
        );
        assert!(bringing("let wasm;", "worker_later.wasm").is_err());
    }
}
