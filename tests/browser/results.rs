//! The results of a sweep on the page: adapters and figures to download, texts, results that are kept, results that are opened.

use std::fs;

use loralab_core::lora::peft::Adapter;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{assert_no_errors, play};

/// A sweep of moments.
const SMALL: &str =
    "?v=1&base=nano&learning_rates=4e-3&seeds=1&steps=3&batch_size=2&evaluate_every=0&validation_examples=8&device=cpu";
const FLAGS: [&str; 13] = [
    "--base",
    "nano",
    "--learning-rates",
    "4e-3",
    "--seeds",
    "1",
    "--batch-size",
    "2",
    "--steps",
    "3",
    "--validation-examples",
    "8",
    "--quiet",
];

fn bytes(file: &Value) -> Vec<u8> {
    let bytes = file["bytes"].as_array().expect("bytes");
    bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()).expect("a byte")).collect()
}

/// The files of a zip whose entries are stored.
fn unzipped(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut at, mut files) = (0, vec![]);
    let number = |at: usize, len: usize| (0..len).rev().fold(0, |all, place| all << 8 | usize::from(zip[at + place]));
    while zip[at..].starts_with(b"PK\x03\x04") {
        let (size, name) = (number(at + 22, 4), number(at + 26, 2));
        let start = at + 30 + name;
        files.push((String::from_utf8_lossy(&zip[at + 30..start]).into_owned(), zip[start..start + size].to_vec()));
        at = start + size;
    }
    files
}

fn adapter(files: &[(String, Vec<u8>)], folder: &str) -> Adapter {
    let file = |name: &str| {
        let found = files.iter().find(|(known, _)| *known == format!("{folder}/{name}"));
        &found.unwrap_or_else(|| panic!("{folder}/{name} is missing")).1
    };
    let config = String::from_utf8_lossy(file("adapter_config.json")).into_owned();
    Adapter::from_peft(&config, file("adapter_model.safetensors")).expect("it is an adapter")
}

/// The results folder of the same sweep by the binary.
fn native() -> TempDir {
    let place = TempDir::new().expect("a temporary folder");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loralab"));
    let output =
        command.args(["sweep", "--device", "cpu", "--output"]).arg(place.path().join("results")).args(FLAGS).output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    place
}

#[test]
fn what_is_taken_from_the_page_is_what_the_binary_writes() {
    let report = play(
        SMALL,
        "",
        r#"
        await ready();
        press("run");
        await done();
        await until(() => find("texts").textContent.length > 60 && !find("texts").textContent.includes("…"));
        const files = {};
        for (const name of ["adapter", "folder", "toml", "jsonl", "csv", "svg", "png", "curves-svg", "curves-png"]) files[name] = await taken(name);
        return { files, texts: text("texts") };
        "#,
    );
    assert_no_errors(&report);
    let files = &report["answer"]["files"];
    let names: Vec<_> = ["adapter", "folder", "png", "curves-svg"].iter().map(|kind| &files[kind]["name"]).collect();
    assert!(names[0].as_str().is_some_and(|name| name.ends_with("_lr4e-3_seed0.zip")), "{names:?}");
    assert_eq!(names[1..], ["results.zip", "loss_by_learning_rate.png", "training_curves.svg"]);

    let (native, folder) = (native(), unzipped(&bytes(&files["folder"])));
    let results = native.path().join("results");
    for scheme in ["init-a", "init-b"] {
        let id = format!("{scheme}_lr4e-3_seed0");
        let ours = adapter(&folder, &format!("adapters/{id}"));
        let file = |name: &str| fs::read(results.join("adapters").join(&id).join(name)).expect("the binary writes it");
        let config = String::from_utf8(file("adapter_config.json")).expect("it is JSON");
        let theirs = Adapter::from_peft(&config, &file("adapter_model.safetensors")).expect("it is an adapter");
        assert_eq!((ours.rank, ours.alpha, &ours.base, ours.modules.len()), (8, 16.0, &theirs.base, 14));
        // Three steps at 4e-3 move a value by at most about 1e-2; processors round differently.
        for (ours, theirs) in ours.modules.iter().zip(&theirs.modules) {
            assert_eq!(ours.name, theirs.name);
            let pairs = ours.a.iter().zip(&theirs.a).chain(ours.b.iter().zip(&theirs.b));
            let far = pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
            assert!(far < 1e-3, "{}: {far}", ours.name);
        }
    }
    let one = unzipped(&bytes(&files["adapter"]));
    let id = one[0].0.split('/').next().expect("it has a folder").to_owned();
    assert_eq!((one.len(), adapter(&one, &id)), (2, adapter(&folder, &format!("adapters/{id}"))));

    // The settings are those of the binary, but for the text of how often is looked.
    let toml = String::from_utf8(bytes(&files["toml"])).expect("it is text");
    let native_toml = fs::read_to_string(results.join("experiment.toml")).expect("the binary writes it");
    assert_eq!(toml.replace("evaluate_every = 0", "evaluate_every = 50"), native_toml);
    let log = String::from_utf8(bytes(&files["jsonl"])).expect("it is text");
    assert!(log.lines().count() > 8 && log.lines().all(|line| line.starts_with("{\"event\":")));
    assert_eq!(String::from_utf8_lossy(&bytes(&files["csv"])).lines().count(), 1 + 2 * 3);
    for kind in ["svg", "curves-svg"] {
        assert!(bytes(&files[kind]).starts_with(b"<svg"), "{kind}");
    }
    for kind in ["png", "curves-png"] {
        let png = bytes(&files[kind]);
        assert!(png.starts_with(b"\x89PNG") && png.len() > 20_000, "{kind} has {} bytes", png.len());
    }
    let texts = report["answer"]["texts"].as_str().unwrap_or_default();
    assert!(texts.contains("The base alone") && texts.contains("at 4e-3, seed 0"), "{texts}");
}

#[test]
fn what_was_trained_is_offered_at_the_next_visit() {
    let report = play(
        SMALL,
        "",
        r#"
        await ready();
        const before = find("kept").hidden;
        press("run");
        await done();
        const losses = cells("losses");
        await new Promise((next) => setTimeout(next, 500));
        await open("");
        await until(() => !find("kept").hidden && !find("run").disabled);
        const offered = text("kept-words");
        press("restore");
        await until(() => text("status").startsWith("This is your last sweep"));
        const again = cells("losses");
        const adapter = (await taken("adapter")).name;
        const query = address();
        await open("");
        await until(() => !find("kept").hidden);
        press("forget");
        await new Promise((next) => setTimeout(next, 500));
        await open("");
        await ready();
        await new Promise((next) => setTimeout(next, 500));
        return { before, losses, offered, again, adapter, query, forgotten: find("kept").hidden };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!((&answer["before"], &answer["forgotten"]), (&json!(true), &json!(true)));
    assert_eq!(answer["losses"], answer["again"]);
    assert!(
        answer["offered"].as_str().is_some_and(|words| words.contains("init-a, init-b; 2 runs, done")),
        "{answer:#}"
    );
    assert!(answer["adapter"].as_str().is_some_and(|name| name.ends_with(".zip")), "{answer:#}");
    // The experiment is the one that was kept; the device is this visit's.
    assert_eq!(format!("{}&device=cpu", answer["query"].as_str().unwrap_or_default()), SMALL);
}

#[test]
fn results_of_the_binary_are_shown_in_the_same_charts() {
    let native = native();
    let read = |name: &str| fs::read_to_string(native.path().join("results").join(name)).expect("the binary writes it");
    let files = json!({
        "metrics.jsonl": read("metrics.jsonl"), "experiment.toml": read("experiment.toml"), "summary.json": read("summary.json"),
    });
    let scene = r#"
        await ready();
        choose("open-files", {"a.jsonl": "what"});
        await until(() => text("status").startsWith("Line 1"));
        choose("open-files", FILES);
        await until(() => text("status").startsWith("Opened"));
        return { said: text("status"), losses: cells("losses"), sentence: text("sentence"), charts: frame.contentDocument.querySelectorAll(".figure svg").length };
    "#;
    let report = play("?v=1&device=cpu", "", &scene.replace("FILES", &files.to_string()));
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["said"], "Opened: 2 runs of 3 steps.");
    assert_eq!(answer["losses"].as_array().map(Vec::len), Some(3));
    assert_eq!(answer["charts"], 2);
    assert!(
        answer["sentence"].as_str().is_some_and(|sentence| sentence.contains(" is best at 4e-3 (loss ")),
        "{answer:#}"
    );
}

#[test]
fn the_gpu_checks_itself() {
    let report = play(
        "?v=1&base=nano&device=gpu",
        "",
        r#"
        await ready();
        press("check");
        await until(() => find("check").querySelector("pre") !== null || text("status").startsWith("Not done"));
        return { said: text("status"), report: text("check") };
        "#,
    );
    assert_no_errors(&report);
    let said = report["answer"]["report"].as_str().unwrap_or_default();
    assert!(said.starts_with("Passed") && said.contains("% of its bound") && said.contains("(WebGPU"), "{report:#}");
}

#[test]
fn a_run_that_diverged_shows_where_and_no_other_runs_text_or_adapter() {
    let report = play(
        "?v=1&base=nano&schemes=init-b&learning_rates=0.1,1e30&seeds=1&steps=6&batch_size=2&evaluate_every=2&validation_examples=8\
         &optimizer=sgd&max_grad_norm=0&schedule=constant&device=cpu",
        "",
        r#"
        await ready();
        press("run");
        await until(() => find("losses").querySelector(".swatch [fill]"));
        const swatch = () => find("losses").querySelector(".swatch [fill]").getAttribute("fill");
        const early = swatch();
        await done();
        await until(() => find("texts").textContent.length > 60 && !find("texts").textContent.includes("…"));
        const best = { texts: text("texts"), adapter: frame.contentDocument.querySelector('[data-name="adapter"]').title };
        const cell = () => frame.contentDocument.querySelector('[data-do="choose"][data-rate="1e30"]');
        const [title, read] = [cell().closest("td").title, cell().textContent];
        cell().click();
        await until(() => text("texts").includes("No adapter"));
        const button = frame.contentDocument.querySelector('[data-name="adapter"]');
        // A text that was asked for before does not come after.
        await new Promise((next) => setTimeout(next, 500));
        const chosen = { texts: text("texts"), note: text("cell-note"), disabled: button.disabled, why: button.title, curves: text("curves-note") };
        cell().click();
        await until(() => text("texts").includes("at 1e-1, seed 0"));
        const marks = [...find("figure").querySelectorAll("polygon")].map((mark) => mark.getAttribute("fill"));
        return { early, late: swatch(), marks, best, title, read, chosen, note: text("cell-note") };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    let fate = "seed 0 diverged in step ";
    let says = |text: &Value, words: &[&str]| {
        let text = text.as_str().unwrap_or_default();
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {answer:#}");
    };
    says(&answer["title"], &[fate, ": the first value that was not finite was in "]);
    says(&answer["read"], &["diverged", fate]);
    says(&answer["chosen"]["note"], &["init-b at 1e30: ", fate]);
    says(&answer["best"]["texts"], &["init-b at 1e-1, seed 0"]);
    says(&answer["chosen"]["texts"], &["init-b at 1e30, seed 0", "No adapter: ", "diverged in step "]);
    says(&answer["chosen"]["why"], &["No adapter: init-b at 1e30, seed 0, diverged in step "]);
    assert_eq!((&answer["chosen"]["disabled"], &answer["note"]), (&json!(true), &json!("")), "{answer:#}");
    // Alone, init-b has the colour that the intro gives it, and that it has beside init-a.
    assert_eq!((&answer["early"], &answer["late"]), (&json!("#d55e00"), &json!("#d55e00")), "{answer:#}");
    assert!(answer["marks"].as_array().is_some_and(|marks| marks.contains(&json!("#D55E00"))), "{answer:#}");
}

#[test]
fn what_stands_beside_results_speaks_of_them_and_the_form_of_itself() {
    let report = play(
        SMALL,
        "",
        r#"
        await ready();
        const disabled = (name) => frame.contentDocument.querySelector(`[data-name="${name}"]`).disabled;
        const before = ["its-link", "its-command", "its-toml"].map(disabled);
        press("run");
        await done();
        press("preset", "too-hot");
        const copied = (name) => (press("take", name), text("copied"));
        const toml = async (name) => new TextDecoder().decode(new Uint8Array((await taken(name)).bytes));
        const search = (name) => new URL(copied(name)).search;
        return {
            before,
            links: [search("link"), search("its-link")],
            commands: [copied("command"), copied("its-command")],
            tomls: [await toml("toml"), await toml("its-toml")],
            labels: ["link", "its-link", "command", "its-command", "toml", "its-toml"].map((name) => frame.contentDocument.querySelector(`[data-name="${name}"]`).textContent),
        };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["before"], json!([true, true, true]));
    let text = |what: &str, place: usize| answer[what][place].as_str().unwrap_or_default().to_owned();
    // The settings of the results, not the device, which is of this tab.
    assert_eq!(format!("{}&device=cpu", text("links", 1)), SMALL);
    assert!(text("links", 0).contains("&optimizer=sgd"), "{answer:#}");
    assert!(
        text("commands", 0).contains("--optimizer sgd") && text("commands", 1).contains("--learning-rates 4e-3"),
        "{answer:#}"
    );
    assert!(
        text("tomls", 0).contains("optimizer = \"sgd\"") && text("tomls", 1).contains("optimizer = \"adamw\""),
        "{answer:#}"
    );
    let labels: std::collections::BTreeSet<String> = (0..6).map(|place| text("labels", place)).collect();
    assert_eq!(labels.len(), 6, "{answer:#}");
}
