//! The built page in a real Chromium: `dist/` is served, a harness page holds it in a frame, presses its buttons as a person would, and
//! reports what became of it.
//!
//! A frame and a report need nothing but the browser: no driver, no protocol, no second language to install.

mod access;
mod chromium;
mod experiment;
mod form;
mod inside;
mod kept;
mod late;
mod links;
mod offline;
mod results;
mod resume;
mod server;
mod starts;
mod texts;

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use chromium::Chromium;
use server::{Server, Withheld};

/// Far more than any scene takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(240);

/// Opens the page at `query`, does what the JavaScript of `scene` says, and gives back what it returns under `answer`, beside the `errors`
/// of the page and every address that it `fetched`. The files `missing` from `dist/` are not served until the scene posts to `/arrive`.
fn play(query: &str, missing: &str, scene: &str) -> Value {
    play_on(true, query, missing, scene)
}

/// The same in a Chromium with WebGPU or without.
fn play_on(gpu: bool, query: &str, missing: &str, scene: &str) -> Value {
    play_with(gpu, query, Withheld::Missing(missing.to_owned()), scene)
}

fn play_with(gpu: bool, query: &str, withheld: Withheld, scene: &str) -> Value {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    assert!(
        dist.join("index.html").exists(),
        "dist/index.html is missing: `cargo xtask web --release` builds it, as `cargo xtask test` does before the tests"
    );
    let harness = include_str!("harness.html").replace("{{query}}", query).replace("{{scene}}", scene);
    let server = Server::start(dist, harness, withheld);
    let chromium = Chromium::open(&format!("{}/harness", server.origin()), gpu);
    let report = server.reports.recv_timeout(PATIENCE);
    let report = report.unwrap_or_else(|_| panic!("the page came to no end in {PATIENCE:?}; {}", chromium.said()));
    let report: Value = serde_json::from_str(&report).expect("the harness reports JSON");
    assert_eq!(report["failure"], Value::Null, "{report:#}");
    for address in report["fetched"].as_array().expect("a list") {
        let address = address.as_str().expect("an address");
        assert!(address.starts_with(&server.origin()), "the page fetched {address}, which is not its own");
    }
    report
}

/// The summary of a sweep by the binary.
fn native(flags: &[&str]) -> Value {
    let place = TempDir::new().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loralab"));
    let output = command
        .args(["sweep", "--device", "cpu", "--output", "results"])
        .args(flags)
        .current_dir(&place)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = fs::read_to_string(place.path().join("results/summary.json")).expect("a sweep writes its summary");
    serde_json::from_str(&summary).expect("the summary is JSON")
}

/// The losses that the page shows after so many steps, beside those of the binary: a row for each start, a column for each rate.
fn assert_losses_are_the_binarys(answer: &Value, steps: usize) {
    let summary = native(&["--base", "nano", "--seeds", "1", "--steps", &steps.to_string()]);
    let rows = answer["losses"].as_array().expect("rows");
    assert_eq!(rows[0], serde_json::json!(["start", "1e-3", "2e-3", "4e-3", "8e-3", "1.6e-2", "3.2e-2", "6.4e-2"]));
    assert_eq!((&rows[1][0], &rows[2][0], rows.len()), (&"init-a".into(), &"init-b".into(), 3), "{answer:#}");
    for (row, column) in (1..8).flat_map(|column| [(1, column), (2, column)]) {
        let rate = &summary["schemes"][row - 1]["learning_rates"][column - 1];
        let native = rate["mean_loss"].as_f64().expect("so few steps diverge nowhere");
        let shown = rows[row][column].as_str().expect("a text").trim_end_matches(" best");
        let shown: f64 = shown.parse().unwrap_or_else(|_| panic!("{shown} is no loss"));
        // Three digits are shown, and the two processors round differently.
        assert!(
            (shown - native).abs() <= 0.01 * native,
            "{}: {shown} in the page, {native} natively",
            rate["learning_rate"]
        );
    }
}

fn assert_no_errors(report: &Value) {
    assert_eq!(report["errors"], Value::Array(vec![]), "{report:#}");
}

#[test]
fn a_sweep_trains_in_the_page_what_the_binary_trains() {
    let report = play(
        "?run&steps=3&device=cpu",
        "",
        r#"
        await done();
        const mark = find("figure").querySelector("circle[fill='#0072B2']").getBoundingClientRect();
        const [clientX, clientY] = [mark.left + mark.width / 2, mark.top + mark.height / 2];
        find("figure").dispatchEvent(new frame.contentWindow.MouseEvent("mousemove", { clientX, clientY, bubbles: true }));
        const pointed = find("tip").hidden ? "nothing" : text("tip");
        press("choose", "init-b");
        return {
            pointed,
            chosen: text("curves").includes("Training at the learning rate 1e-3"),
            sentence: text("sentence"),
            figure: find("figure").querySelectorAll("svg").length,
            losses: cells("losses"),
            schemes: cells("schemes"),
            curves: find("curves").querySelectorAll("svg").length,
            address: address(),
        };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert!(answer["pointed"].as_str().is_some_and(|text| text.starts_with("init-a at 1e-3: ")), "{answer:#}");
    assert_eq!((&answer["figure"], &answer["chosen"]), (&1.into(), &true.into()));
    assert_eq!(answer["curves"], 1);
    assert_eq!(answer["address"], "?v=1&base=nano&seeds=1&steps=3&evaluate_every=10&diagnose_every=10");
    assert!(answer["sentence"].as_str().is_some_and(|sentence| sentence.contains("is best at")), "{answer:#}");
    assert_eq!(answer["schemes"].as_array().map(Vec::len), Some(4), "{answer:#}");

    assert_losses_are_the_binarys(answer, 3);
}

#[test]
fn every_shader_is_accepted_by_the_browser_without_a_message() {
    let report = play(
        "",
        "",
        r#"
        const device = await (await navigator.gpu.requestAdapter()).requestDevice();
        const texts = Object.entries(await (await fetch("/shaders")).json());
        // One that is broken in a way that naga lets pass, to see that the browser looks.
        texts.push(["broken", `
            @group(0) @binding(0) var<storage, read_write> x: array<f32>;
            @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
                if i < 3u { workgroupBarrier(); }
                x[i] = 1.0;
            }`]);
        const messages = {};
        for (const [name, code] of texts) {
            const module = device.createShaderModule({ code });
            const said = (await module.getCompilationInfo()).messages.map(({ type, lineNum, message }) => `${type} at ${lineNum}: ${message}`);
            if (said.length === 0) {
                device.pushErrorScope("validation");
                await device.createComputePipelineAsync({ layout: "auto", compute: { module } }).catch((error) => said.push(String(error)));
                const error = await device.popErrorScope();
                if (error) said.push(error.message);
            }
            if (said.length > 0) messages[name] = said;
        }
        return { count: texts.length, messages };
        "#,
    );
    let answer = &report["answer"];
    assert!(answer["count"].as_u64().is_some_and(|count| count > 30), "{answer:#}");
    let messages = answer["messages"].as_object().expect("an object");
    assert_eq!(messages.keys().collect::<Vec<_>>(), ["broken"], "{answer:#}");
}

#[test]
fn the_worker_trains_on_the_browsers_gpu_what_the_binary_trains() {
    // By itself, since a software GPU takes minutes for what the page asks of it.
    let report = play(
        "",
        "",
        r#"
        const worker = new Worker("/start.js?device=gpu", { type: "module" });
        const experiment = {
            base: "nano", learning_rates: [1e-3, 4e-3], seeds: 1, steps: 3, batch_size: 2, validation_examples: 4, evaluate_every: 0,
        };
        const losses = {};
        let device = "";
        const building = [];
        let memory = null;
        const end = await new Promise((end) => {
            worker.onmessage = ({ data }) => {
                // A snapshot has its bytes beside it.
                const said = JSON.parse([data].flat()[0]);
                if (said.message === "ready") worker.postMessage(JSON.stringify({ request: "train", experiment, data: null }));
                if (said.message === "refused") end(said);
                if (said.message === "building") building.push([said.done, said.of]);
                if (said.message === "memory") memory = said;
                for (const event of said.events ?? []) {
                    if (event.event === "started") ({ device } = event);
                    if (event.event === "evaluation") losses[`${event.cell.scheme} ${event.cell.learning_rate}`] = event.loss;
                    if (event.event === "finished") end(event);
                }
            };
        });
        return { end, device, losses, building, memory };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert!(answer["device"].as_str().is_some_and(|device| device.contains("(WebGPU")), "{answer:#}");
    // Every kernel was told of while it was compiled, in order.
    let building = answer["building"].as_array().expect("a list");
    let told = |place: usize| (building[place][0].as_u64(), building[place][1].as_u64());
    assert!(building.len() > 20 && told(0).0 == Some(0) && told(1).0 == Some(1), "{answer:#}");
    assert!(building.iter().any(|told| told[0] == told[1]), "{answer:#}");
    assert_eq!((&answer["memory"]["cohorts"], &answer["memory"]["runs"]), (&1.into(), &4.into()), "{answer:#}");
    let flags = ["--base", "nano", "--learning-rates", "1e-3,4e-3", "--seeds", "1", "--steps", "3"];
    let expected = native(&[&flags[..], &["--batch-size", "2", "--validation-examples", "4"]].concat());
    for scheme in 0..2 {
        for rate in 0..2 {
            let of_scheme = &expected["schemes"][scheme];
            let at_rate = &of_scheme["learning_rates"][rate];
            let cell = format!("{} {}", of_scheme["scheme"].as_str().expect("a name"), at_rate["learning_rate"]);
            let (found, expected) = (answer["losses"][&cell].as_f64().expect("a loss"), at_rate["mean_loss"].as_f64());
            let expected = expected.expect("a loss");
            assert!((found - expected).abs() <= 1e-4 * expected, "{found} in the browser, {expected} natively");
        }
    }
}

#[test]
fn what_goes_wrong_is_said_in_a_sentence() {
    let scene = r#"
        await until(() => !/^(Loading|Ready)/.test(text("status")));
        return text("status");
    "#;
    for (query, missing, said) in [
        ("?v=1&sedes=2", "", "Did you mean `seeds`?"),
        ("?v=9", "", "versions up to 1"),
        ("", "page", "The page's program could not be loaded"),
        // Files that did not arrive are no fault of the browser's.
        ("", "page*.wasm", "Its files did not arrive; reload the page"),
        ("", "worker", "Not done: the training code could not be loaded"),
        ("", "worker*.wasm", "Its files did not arrive; reload the page"),
    ] {
        let report = play(query, missing, scene);
        assert!(report["answer"].as_str().is_some_and(|answer| answer.contains(said)), "{report:#}");
    }
}

#[test]
fn a_browser_without_vectors_is_told_so() {
    let report = play(
        "",
        "",
        r#"
        await ready();
        const { WebAssembly, unloaded } = frame.contentWindow;
        const able = unloaded("It", "why");
        WebAssembly.validate = () => false;
        return [able, unloaded("It", "why")];
        "#,
    );
    let answer = &report["answer"];
    assert_eq!(
        answer[0],
        "It could not be loaded (why). Its files did not arrive; reload the page when the network and the server are there."
    );
    assert_eq!(
        answer[1],
        "It could not be loaded (why). It needs a browser with WebAssembly SIMD, as all have had since 2023."
    );
}

#[test]
fn the_page_may_do_nothing_that_is_not_its_own() {
    let report = play(
        "",
        "",
        r#"
        await ready();
        const { contentDocument: page, contentWindow: inside } = frame;
        const script = page.createElement("script");
        script.textContent = "globalThis.broken = true";
        page.head.append(script);
        const refused = await inside.fetch("https://example.org/").then(() => false, () => true);
        await until(() => errors.length >= 2);
        return { refused, broken: inside.broken ?? false, inline: page.querySelectorAll("script:not([src])").length };
        "#,
    );
    let errors = report["errors"].to_string();
    assert!(errors.contains("against the policy: connect-src https://example.org/"), "{report:#}");
    assert!(errors.contains("against the policy: script-src-elem inline"), "{report:#}");
    // The one that was tried.
    assert_eq!(report["answer"], serde_json::json!({ "refused": true, "broken": false, "inline": 1 }));
}
