//! `cargo xtask bench page`: how soon the built page trains, and how long it keeps its thread from the person while it does.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

use crate::{
    ROOT, machine,
    screenshots::{chromium::Chromium, server::serve},
    sizes,
};

/// The file that measurements are written to.
const WRITTEN: &str = "crates/worker/docs/bench-page.md";

/// Milliseconds that a task of the page may take so that nobody notices; the browser tells of longer ones.
const NOTICED: f64 = 50.0;

/// The scenes that are measured: a description, the flags of the browser, and the query of the address.
const SCENES: [(&str, &[&str], &str); 3] = [
    (
        "the first preset, 60 steps, CPU in wasm",
        &[],
        "?v=1&base=nano&seeds=1&steps=60&evaluate_every=10&diagnose_every=10&device=cpu",
    ),
    (
        "the first preset, 2 steps, WebGPU by SwiftShader",
        &["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
        "?v=1&base=nano&seeds=1&steps=2&evaluate_every=10&diagnose_every=10&device=gpu",
    ),
    (
        "seven starts, 60 steps, CPU in wasm",
        &[],
        "?v=1&base=nano&schemes=init-a,init-b,init-ab,orthogonal,pissa,olora,mica&seeds=1&steps=60&evaluate_every=10&diagnose_every=10&device=cpu",
    ),
];

/// Watches the page from before its first script on: when what is shown changes, and every task that the browser calls long.
const WATCH: &str = "globalThis.seen = { long: [], usable: null, ready: null, pressed: null, first: null, done: null };
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) seen.long.push([startTime, duration]);
}).observe({ type: 'longtask', buffered: true });
setInterval(() => {
  const text = (id) => document.getElementById(id)?.textContent ?? '';
  const now = performance.now();
  if (seen.usable === null && document.getElementById('run')?.disabled === false) seen.usable = now;
  if (seen.ready === null && text('status') === 'Ready.') seen.ready = now;
  if (seen.first === null && seen.pressed !== null && text('pace') !== '') seen.first = now;
  if (seen.done === null && seen.first !== null && text('status').startsWith('Done')) seen.done = now;
}, 10);";

/// Presses the button, and remembers when.
const PRESS: &str = "seen.pressed = performance.now(); document.getElementById('run').click()";

/// The times of a scene, in milliseconds.
struct Seen {
    usable: f64,
    ready: f64,
    first: f64,
    trained: f64,
    /// Tasks longer than a person notices, from long to short: while the page was loaded, and from the press on.
    loading: Vec<f64>,
    training: Vec<f64>,
}

/// Measures the built page, and writes what came out.
pub fn measure() -> Result<ExitCode> {
    let dist = PathBuf::from(ROOT).join("dist");
    if !dist.join("index.html").exists() {
        bail!("there is no built page to measure; `cargo xtask web --release` builds it");
    }
    let sent = sizes::rows(&dist)?;
    let origin = serve(dist, 0)?;
    let mut text = format!(
        "# The page, measured\n\n`cargo xtask web --release`, then `cargo xtask bench page`\n\n{}\nMilliseconds: from opening until all but training can be done (*usable*) and until the worker is there (*ready*), from pressing *Run* to the first step that is shown (within \
         10 ms), from that to the end. Of the page's tasks longer than {NOTICED} ms their number and the longest, while loading and while training: the browser's own count, of the thread that a\n\
         person feels. Worker, GPU in software and page share two threads here.\n\n\
         | scene | usable | ready | first step | trained | long tasks, loading | long tasks, training |\n|---|---:|---:|---:|---:|---|---|\n",
        machine::lines()
    );
    for (name, flags, query) in SCENES {
        let Seen { usable, ready, first, trained, loading, training } =
            look(flags, &format!("{origin}/index.html{query}")).with_context(|| name.to_owned())?;
        let tasks = |tasks: &[f64]| match tasks.first() {
            Some(longest) => format!("{}, up to {longest:.0}", tasks.len()),
            None => "none".to_owned(),
        };
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "| {name} | {usable:.0} | {ready:.0} | {first:.0} | {trained:.0} | {} | {} |",
            tasks(&loading),
            tasks(&training)
        );
    }
    text += "\nSent to a browser, in KB: as it is, by gzip, by Brotli. The worker comes once the page can be used.\n\n\
             | part | raw | gzip | Brotli |\n|---|---:|---:|---:|\n";
    for [raw, gzip, brotli, name] in sent {
        let _ = writeln!(text, "| {name} | {raw} | {gzip} | {brotli} |");
    }
    print!("{text}");
    let path = Path::new(ROOT).join(WRITTEN);
    fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the page, has it train, and sees how long that takes.
fn look(flags: &[&str], address: &str) -> Result<Seen> {
    let mut chromium = Chromium::start(flags)?;
    chromium.open_watched(address, WATCH)?;
    let said = "document.getElementById('status')?.textContent ?? 'nothing'";
    chromium.wait_until("seen.ready !== null", said)?;
    chromium.evaluate(PRESS)?;
    chromium.wait_until("seen.done !== null", said)?;
    let seen = chromium.evaluate("seen")?;
    let time = |name: &str| seen[name].as_f64().with_context(|| format!("the page told no time of `{name}`"));
    let (usable, ready) = (time("usable")?, time("ready")?);
    let (pressed, first, done) = (time("pressed")?, time("first")?, time("done")?);
    let tasks = seen["long"].as_array().context("the page told no tasks")?;
    let long = |during: &dyn Fn(f64) -> bool| {
        let times = tasks.iter().filter_map(|task| Some((task[0].as_f64()?, task[1].as_f64()?)));
        let mut long: Vec<f64> = times.filter(|&(start, _)| during(start)).map(|(_, duration)| duration).collect();
        long.sort_by(|one, other| other.total_cmp(one));
        long
    };
    let (loading, training) = (long(&|start| start < pressed), long(&|start| start >= pressed && start < done));
    Ok(Seen { usable, ready, first: first - pressed, trained: done - first, loading, training })
}
