//! `cargo xtask bench web`: a step of the four-layer LoRA probe in a browser, by loralab and by what else trains there.

#[path = "../bench/spread.rs"]
mod spread;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    ROOT, WASM, cargo, machine, npm, run,
    screenshots::{chromium::Chromium, server::serve},
    web,
};
use spread::Spread;

/// The page that measures, and the lock file of what is measured beside.
const FOLDER: &str = "crates/xtask/bench/web";

/// The packages that the page loads, and the part of each: a folder or a file.
const PACKAGES: [(&str, &str); 3] = [
    ("@jax-js/jax", "dist"),
    ("@tensorflow/tfjs", "dist/tf.min.js"),
    ("@tensorflow/tfjs-backend-webgpu", "dist/tf-backend-webgpu.min.js"),
];

/// The file that measurements are written to.
const WRITTEN: &str = "crates/worker/docs/bench-web.md";

/// The profile that the page's worker is compiled in, as `index.html` says.
const PROFILE: &str = "worker";

/// Steps before the clock counts.
const WARM_UP: u32 = 2;

/// Software WebGPU, which every machine has.
const FLAGS: [&str; 2] = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/// The sides, by their places in what the page tells: ours and theirs, and how many of our times theirs should take.
const AIMS: [(usize, usize, f64); 3] = [(0, 2, 1.2), (0, 3, 10.0), (4, 5, 0.7)];

/// The largest relative difference between losses of two sides: f32, summed in another order.
const APART: f64 = 1e-3;

/// Builds the page, measures, and writes what came out.
pub fn measure(rounds: u32) -> Result<ExitCode> {
    let site = build()?;
    let origin = serve(site.clone(), 0)?;
    let mut chromium = Chromium::start(&FLAGS)?;
    println!("measuring: TF.js takes about a quarter of a minute a step on a software GPU …");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    chromium.open(&format!("{origin}/index.html?warmUp={WARM_UP}&rounds={rounds}"))?;
    let ended = "Boolean(globalThis.bench && (bench.sides || bench.failure))";
    chromium.wait_until(ended, "JSON.stringify(globalThis.bench ?? 'nothing')")?;
    if let Some(failure) = chromium.evaluate("bench.failure")?.as_str() {
        bail!("the measurement failed while {failure}");
    }
    let sides = sides(&chromium.evaluate("bench.sides")?)?;
    let browser = chromium.evaluate("navigator.userAgent")?;
    let mut page =
        format!("# In a browser, measured\n\n`cargo xtask bench web --rounds {rounds}`\n\n{}", machine::lines());
    let version = browser.as_str().and_then(|agent| agent.split("Chrome/").nth(1)?.split(' ').next());
    // Writing to a String can't fail.
    let _ = writeln!(
        page,
        "- browser: Chromium {}, WebGPU by SwiftShader, no threads for WebAssembly",
        version.unwrap_or("unknown")
    );
    if let Some(minute) = load.split(' ').next() {
        let busy = minute.parse::<f64>().is_ok_and(|load| load > machine::threads() as f64);
        let busy =
            if busy { ": the machine did much else, so compare sides, not their times with others'" } else { "" };
        let _ = writeln!(page, "- load when it began: {minute}{busy}");
    }
    let versions = PACKAGES.iter().map(|(name, _)| Ok(format!("{name} {}", package_version(&site, name)?)));
    let _ = writeln!(page, "- beside: {}\n", versions.collect::<Result<Vec<_>>>()?.join(", "));
    page.push_str(&told(&sides));
    print!("{page}");
    let path = Path::new(ROOT).join(WRITTEN);
    fs::create_dir_all(path.parent().unwrap_or(Path::new(ROOT)))?;
    fs::write(&path, page).with_context(|| format!("{} can't be written", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts the page together: its own files, the probe as the worker is compiled, and the packages.
fn build() -> Result<PathBuf> {
    let (root, path) = (Path::new(ROOT), web::provide_tools()?);
    let site = root.join("target/bench-web");
    let mut compile = cargo();
    compile.args(["build", "--locked", "--package", "bench-web", "--target", WASM, "--profile", PROFILE]);
    ensure!(run(&mut compile)? == ExitCode::SUCCESS, "the probe does not compile; see the message above");
    let module = root.join("target").join(WASM).join(PROFILE).join("bench_web.wasm");
    let mut bind = Command::new("wasm-bindgen");
    bind.env("PATH", path).args(["--target", "web", "--no-typescript", "--out-dir"]).arg(&site).arg(module);
    ensure!(run(&mut bind)? == ExitCode::SUCCESS, "wasm-bindgen does not take the probe; see its message above");
    for name in ["index.html", "turns.js", "ours.js", "jax.js", "tf.js"] {
        fs::copy(root.join(FOLDER).join(name), site.join(name))?;
    }
    let modules = npm::provide(FOLDER)?;
    for (name, part) in PACKAGES {
        for part in [part, "package.json"] {
            copy(&modules.join(name).join(part), &site.join("npm").join(name).join(part))?;
        }
    }
    Ok(site)
}

/// Copies a file, or a folder of files.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::copy(from, to).with_context(|| format!("{} can't be copied", from.display()))?;
    Ok(())
}

fn package_version(site: &Path, name: &str) -> Result<String> {
    let text = fs::read_to_string(site.join("npm").join(name).join("package.json"))?;
    let package: Value = serde_json::from_str(&text)?;
    Ok(package["version"].as_str().with_context(|| format!("{name} tells no version"))?.to_owned())
}

/// The measurements of one side.
struct Side {
    name: String,
    /// Of the first step, which compiles what it needs, in seconds.
    first: f64,
    /// Of those that count.
    seconds: Spread,
    losses: Vec<f64>,
}

/// Reads what the page measured, and holds every side to having computed the same.
fn sides(told: &Value) -> Result<Vec<Side>> {
    let numbers = |value: &Value| -> Option<Vec<f64>> { value.as_array()?.iter().map(Value::as_f64).collect() };
    let side = |side: &Value| {
        let (seconds, losses) = (numbers(&side["seconds"])?, numbers(&side["losses"])?);
        let counted = seconds.get(WARM_UP as usize..).filter(|counted| !counted.is_empty())?;
        let (name, seconds_of) = (side["name"].as_str()?.to_owned(), Spread::of(counted.to_vec()));
        Some(Side { name, first: seconds[0], seconds: seconds_of, losses })
    };
    let sides: Option<Vec<Side>> = told.as_array().and_then(|sides| sides.iter().map(side).collect());
    let sides = sides.filter(|sides| !sides.is_empty()).context("the page told no measurements")?;
    for side in &sides {
        for (step, (loss, ours)) in side.losses.iter().zip(&sides[0].losses).enumerate() {
            let same = (loss - ours).abs() <= APART * ours.abs();
            ensure!(
                same,
                "{} has the loss {loss} at step {step}, and {} {ours}: they do not compute the same",
                side.name,
                sides[0].name
            );
        }
        let (first, last) = (side.losses.first(), side.losses.last());
        ensure!(last < first, "{} did not learn: {first:?} → {last:?}", side.name);
    }
    Ok(sides)
}

/// The table, and what it says.
fn told(sides: &[Side]) -> String {
    let mut text = "Four frozen 512 × 512 layers with ReLU between them, a LoRA of rank 8 on each, 1024 rows, mean squared error, gradient descent, f32 (about 4 GFLOP a\n\
        step); the loss read back after every step. All sides start from the same numbers, take turns in one tab, and their losses are compared step by step. A software GPU\n\
        says little of a real one. The worker has products in tiles of 128 × 128 on a software GPU, of 64 × 64 on others. Milliseconds, of a step the median (least–greatest):\n\n\
        | side | a step, ms | the first step, ms | loss at first → at last |\n|---|---:|---:|---|\n"
        .to_owned();
    for Side { name, first, seconds, losses } in sides {
        let (at_first, at_last) = (losses[0], losses[losses.len() - 1]);
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {at_first:.5} → {at_last:.5} |",
            seconds.scaled(1e3),
            first * 1e3
        );
    }
    text.push('\n');
    for (ours, theirs, aim) in AIMS {
        let (ours, theirs) = (&sides[ours], &sides[theirs]);
        let ratio = theirs.seconds.median / ours.seconds.median;
        let met = if ratio >= aim { "is met" } else { "is not met" };
        let _ = writeln!(
            text,
            "- {} takes {ratio:.2} times what {} takes; the aim of {aim} {met}.",
            theirs.name, ours.name
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_computes_something_else_is_not_compared() {
        let side =
            |name: &str, losses: [f64; 4]| json!({ "name": name, "seconds": [9.0, 3.0, 1.0, 2.0], "losses": losses });
        let ours = side("ours", [2.0, 1.5, 1.25, 1.0]);
        let read = sides(&json!([ours, side("theirs", [2.001, 1.5, 1.25, 1.0])])).expect("they agree");
        assert_eq!((read[0].first, read[0].seconds.median, read[1].name.as_str()), (9.0, 1.5, "theirs"));
        for (losses, said) in [([2.0, 1.5, 1.25, 1.1], "do not compute the same"), ([2.1, 1.5, 1.25, 1.0], "at step 0")]
        {
            let error = sides(&json!([ours, side("theirs", losses)])).err().expect("they do not").to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(
            sides(&json!([side("ours", [1.0, 1.0, 1.0, 1.0])]))
                .is_err_and(|error| error.to_string().contains("did not learn"))
        );
        assert!(sides(&json!([])).is_err() && sides(&json!([{ "name": "ours" }])).is_err());
    }
}
