//! The page before its worker is there: all that trains nothing can be used, and a training waits.

use serde_json::{Value, json};

use super::{assert_no_errors, native, play, play_with, server::Withheld};

/// A sweep of moments.
const SMALL: &str =
    "?v=1&base=nano&learning_rates=4e-3&seeds=1&steps=3&batch_size=2&evaluate_every=0&validation_examples=8&device=cpu";

/// A log of a sweep that can be opened.
const LOG: &str = r#"{"event":"evaluation","cell":{"scheme":"pissa","learning_rate":0.001,"seed":0},"step":4,"loss":0.5,"accuracy":null}
{"event":"evaluation","cell":{"scheme":"pissa","learning_rate":0.002,"seed":0},"step":4,"loss":0.4,"accuracy":null}
"#;

/// Plays a scene while no file of the worker's arrives before it posts to `/arrive`.
fn play_late(query: &str, scene: &str) -> Value {
    play_with(true, query, Withheld::Late("worker".to_owned()), &scene.replace("LOG", &json!(LOG).to_string()))
}

#[test]
fn the_page_can_be_used_before_its_worker_is_there() {
    let report = play_late(
        SMALL,
        r#"
        const arrive = () => fetch("/arrive", { method: "POST" });
        await until(() => !find("run").disabled);
        const loading = text("status");
        // The form, with every start and its source.
        const starts = [...find("f-schemes").querySelectorAll("input")].map(({ value }) => value);
        const about = find("f-schemes").textContent.includes("arXiv 2404.02948");
        find("f-schemes").querySelector("input[value=init-b]").click();
        enter("f-rank", "0");
        const wrong = text("e-rank");
        press("run");
        const refused = text("status");
        enter("f-rank", "4");
        const form = address();
        press("take", "command");
        const command = text("copied");
        // Results of elsewhere.
        choose("open-files", { "metrics.jsonl": LOG });
        await until(() => text("status").startsWith("Opened"));
        const opened = [find("figure").querySelectorAll("svg").length, text("sentence")];
        // A preset, and back.
        press("preset", "too-hot");
        const preset = address();
        await open(`${form}&device=cpu`);
        await until(() => !find("run").disabled);
        press("run");
        const buttons = () => ["run", "pause", "stop"].filter((id) => !find(id).disabled);
        const waits = [text("status"), buttons(), find("progress").hidden];
        // The experiment that was asked for is trained, even if the form has been changed since.
        enter("f-rank", "2");
        choose("open-files", { "metrics.jsonl": LOG });
        await until(() => text("status").includes("before results are opened"));
        await arrive();
        await done();
        press("take", "its-command");
        return { loading, starts, about, wrong, refused, form, command, opened, preset, waits, trained: text("copied"), losses: cells("losses"), address: address() };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["loading"], "Loading the training code; all else on the page can be used.");
    assert!(answer["starts"].as_array().is_some_and(|starts| starts.len() > 20 && starts[0] == "init-a"), "{answer:#}");
    assert_eq!(answer["about"], true);
    assert!(answer["wrong"].as_str().is_some_and(|said| said.starts_with("`rank` is 0, but it must be")), "{answer:#}");
    assert_eq!(answer["refused"], "Not trained: a setting is not right; its field says why.");
    let form = SMALL.replace("&seeds=1", "&seeds=1&rank=4").replace("&learning", "&schemes=init-a&learning");
    assert_eq!(answer["form"], form.trim_end_matches("&device=cpu"));
    assert!(
        answer["command"].as_str().is_some_and(|said| said.contains("--schemes init-a ") && said.contains("--rank 4"))
    );
    assert_eq!(answer["opened"][0], 1, "{answer:#}");
    assert!(answer["preset"].as_str().is_some_and(|query| query.contains("optimizer=sgd")), "{answer:#}");
    let awaited = "Loading the training code; the training begins once it is there.";
    assert_eq!(answer["waits"], json!([awaited, ["stop"], false]));
    assert!(answer["trained"].as_str().is_some_and(|said| said.contains("--rank 4")), "{answer:#}");
    let flags = ["--base", "nano", "--schemes", "init-a", "--learning-rates", "4e-3", "--seeds", "1", "--rank", "4"];
    let more = ["--steps", "3", "--batch-size", "2", "--validation-examples", "8"];
    let loss = native(&[&flags[..], &more].concat())["schemes"][0]["learning_rates"][0]["mean_loss"].as_f64();
    let shown = answer["losses"][1][1].as_str().and_then(|text| text.trim_end_matches(" best").parse::<f64>().ok());
    // Three digits are shown, and the two processors round differently.
    let (loss, shown) = (loss.expect("a loss"), shown.expect("a loss"));
    assert!((shown - loss).abs() <= 0.01 * loss, "{shown} in the page, {loss} natively");
}

#[test]
fn a_training_that_waits_can_be_stopped_and_its_device_changed() {
    let report = play_late(
        SMALL,
        r#"
        await until(() => !find("run").disabled);
        choose("open-files", { "metrics.jsonl": LOG });
        await until(() => text("status").startsWith("Opened"));
        const shown = text("sentence");
        press("run");
        const hidden = find("results").hidden;
        press("stop");
        const stopped = [text("status"), find("run").disabled, find("stop").disabled, find("results").hidden, text("sentence") === shown];
        press("run");
        enter("device", "gpu");
        enter("device", "cpu");
        const again = text("status");
        await fetch("/arrive", { method: "POST" });
        await done();
        return { hidden, stopped, again, losses: cells("losses").length };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["hidden"], true);
    assert_eq!(answer["stopped"], json!(["Stopped.", false, true, false, true]), "{answer:#}");
    assert_eq!(answer["again"], "Loading the training code; the training begins once it is there.");
    assert_eq!(answer["losses"], 3);
}

#[test]
fn a_base_of_ones_own_waits_for_the_worker() {
    let nano = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/crates/core/bases/nano.safetensors"));
    let nano = json!(nano.expect("it is in the repository")).to_string();
    let scene = r#"
        await until(() => !find("run").disabled);
        choose("own-base", { "my.safetensors": new Uint8Array(NANO) });
        await until(() => text("status").startsWith("Reading"));
        await fetch("/arrive", { method: "POST" });
        await until(() => text("status").includes("is the base now"));
        press("run");
        await done();
        return address();
    "#;
    let report = play_late(SMALL, &scene.replace("NANO", &nano));
    assert_no_errors(&report);
    assert!(report["answer"].as_str().is_some_and(|address| address.contains("base=my.safetensors")), "{report:#}");
}

#[test]
fn a_worker_that_did_not_arrive_is_tried_again() {
    let report = play(
        SMALL,
        "worker*.wasm",
        r#"
        press("run");
        await until(() => text("status").startsWith("Not done"));
        const first = [text("status"), find("run").disabled, find("progress").hidden];
        press("run");
        await until(() => text("status").startsWith("Not done"));
        await fetch("/arrive", { method: "POST" });
        press("run");
        await done();
        return { first, losses: cells("losses").length };
        "#,
    );
    let answer = &report["answer"];
    assert!(answer["first"][0].as_str().is_some_and(|said| said.contains("Its files did not arrive")), "{answer:#}");
    assert_eq!((&answer["first"][1], &answer["first"][2], &answer["losses"]), (&json!(false), &json!(true), &json!(3)));
}

#[test]
fn the_program_waits_for_the_functions_that_it_calls() {
    let report = play_with(
        true,
        SMALL,
        Withheld::Late("browser.js".to_owned()),
        &r#"
        await new Promise((next) => setTimeout(next, 2000));
        const before = [text("status"), find("run").disabled];
        await fetch("/arrive", { method: "POST" });
        await until(() => !find("run").disabled);
        choose("open-files", { "metrics.jsonl": LOG });
        await until(() => text("status").startsWith("Opened"));
        return before;
        "#
        .replace("LOG", &json!(LOG).to_string()),
    );
    assert_no_errors(&report);
    assert_eq!(report["answer"], json!(["Loading …", true]), "{report:#}");
}
