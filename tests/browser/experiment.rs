//! The experiment on the page: its form, its link, its command, and the buttons that hold the training up.

use loralab_experiment::SECOND_NAMES;
use serde_json::json;

use super::{assert_no_errors, play, play_on};

#[test]
fn a_link_says_the_experiment_and_the_page_says_it_again() {
    let query = "?v=1&base=nano&schemes=init-a,init-ab&learning_rates=1e-3,2.5e-3&seeds=7,&rank=4&optimizer=sgd&momentum=0.5&device=cpu";
    let scene = r#"
        await ready();
        const fields = () => ["base", "learning_rates", "seeds", "rank", "momentum", "steps"].map((name) => find(`f-${name}`).value);
        const seen = fields();
        const schemes = [...find("f-schemes").querySelectorAll("input:checked")].map(({ value }) => value);
        press("take", "link");
        const link = text("copied");
        press("take", "command");
        const command = text("copied");
        enter("f-rank", "0");
        const wrong = [text("e-rank"), address()];
        press("run");
        const refused = text("status");
        press("reset", "rank");
        const reset = address();
        enter("f-rank", "4");
        const again = address();
        await open(again);
        await ready();
        const device = find("device").value;
        return { seen, schemes, link: new URL(link).search, command, wrong: wrong[0], refused, reset, again, reopened: fields(), device };
    "#;
    let report = play(query, "", scene);
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["seen"], json!(["nano", "1e-3,2.5e-3", "7,", "4", "0.5", "200"]));
    assert_eq!(answer["schemes"], json!(["init-a", "init-ab"]));
    // The device is not the link's; the tab keeps it.
    let query = query.trim_end_matches("&device=cpu");
    assert_eq!((answer["link"].as_str(), answer["again"].as_str()), (Some(query), Some(query)));
    assert_eq!((&answer["reopened"], &answer["device"]), (&answer["seen"], &json!("cpu")));
    assert_eq!(answer["reset"], query.replace("&rank=4", ""));
    assert_eq!(
        answer["command"],
        "loralab sweep --base nano --schemes init-a,init-ab --learning-rates 1e-3,2.5e-3 --seed 7 --rank 4 --optimizer sgd \
         --momentum 0.5 --device cpu"
    );
    assert!(answer["wrong"].as_str().is_some_and(|said| said.starts_with("`rank` is 0, but it must be")), "{answer:#}");
    assert!(answer["refused"].as_str().is_some_and(|said| said.starts_with("Not trained")), "{answer:#}");
}

#[test]
fn all_starts_are_a_word_and_a_base_can_be_brought() {
    let nano = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/crates/core/bases/nano.safetensors"));
    let nano = json!(nano.expect("it is in the repository")).to_string();
    let scene = r#"
        await ready();
        const boxes = [...find("f-schemes").querySelectorAll("input")];
        const checked = boxes.filter(({ checked }) => checked).length;
        const all = [boxes.length, checked, address()];
        choose("own-base", {"broken.safetensors": "what"});
        await until(() => text("status").startsWith("Not done"));
        const refused = text("status");
        await until(() => !find("run").disabled);
        const nano = new Uint8Array(NANO);
        choose("own-base", {"my.safetensors": nano});
        await until(() => text("status").includes("is the base now"));
        const brought = [text("status"), find("f-base").value, address()];
        press("run");
        await done();
        const runs = cells("losses").length - 1;
        const adapter = (await taken("adapter")).bytes;
        await open(address());
        await ready();
        press("run");
        return { all, refused, brought, runs, adapter: new TextDecoder().decode(new Uint8Array(adapter)), missing: text("status"), memory: text("memory-note") };
    "#;
    let query =
        "?v=1&base=nano&schemes=all&learning_rates=4e-3&seeds=1&steps=1&batch_size=1&validation_examples=4&device=cpu";
    let report = play(query, "", &scene.replace("NANO", &nano));
    assert_no_errors(&report);
    let answer = &report["answer"];
    // A second name of a start is a box, but not another start.
    let boxes = answer["all"][0].as_u64().expect("a count");
    assert!(boxes > 10, "{answer:#}");
    let once = json!(boxes - SECOND_NAMES.len() as u64);
    assert_eq!((&once, &answer["all"][2]), (&answer["all"][1], &json!(query)));
    let refused = "Not done: the base `broken.safetensors` cannot be used: it is not a whole safetensors file";
    assert!(answer["refused"].as_str().is_some_and(|said| said.starts_with(refused)), "{answer:#}");
    let brought = &answer["brought"];
    let query = query.trim_end_matches("&device=cpu");
    assert!(brought[0].as_str().is_some_and(|said| said.starts_with("my.safetensors is the base now; it has 3")));
    assert_eq!((&brought[1], &brought[2]), (&json!("my.safetensors"), &json!(query.replace("nano", "my.safetensors"))));
    assert_eq!(answer["runs"], once);
    let config = "\"base_model_name_or_path\": \"my.safetensors\"";
    assert!(answer["adapter"].as_str().is_some_and(|files| files.contains(config)), "the adapter is not of that base");
    assert!(
        answer["missing"].as_str().is_some_and(|said| said.contains("my.safetensors is not in the page")),
        "{answer:#}"
    );
}

#[test]
fn a_preset_fills_the_form_and_is_told_from_what_was_made_of_it() {
    let report = play(
        "",
        "",
        r#"
        await ready();
        const pressed = () => [...frame.contentDocument.querySelectorAll(".preset[aria-pressed=true]")].map(({ dataset }) => dataset.name);
        const first = pressed();
        press("preset", "too-hot");
        const second = pressed();
        const query = address();
        enter("f-steps", "7");
        return { first, second, query, third: pressed(), optimizer: find("f-optimizer").value, momentum: find("f-momentum") !== null };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(
        (&answer["first"], &answer["second"], &answer["third"]),
        (&json!(["two-starts"]), &json!(["too-hot"]), &json!([]))
    );
    assert!(
        answer["query"].as_str().is_some_and(|query| query.contains("&optimizer=sgd&max_grad_norm=0")),
        "{answer:#}"
    );
    assert_eq!((&answer["optimizer"], &answer["momentum"]), (&json!("sgd"), &json!(true)));
}

#[test]
fn a_training_can_be_held_up_stepped_and_stopped_and_another_begun() {
    let report = play(
        "?v=1&base=nano&learning_rates=1e-3,4e-3&seeds=1&batch_size=1&steps=2000&evaluate_every=0&validation_examples=8&device=cpu",
        "",
        r#"
        await ready();
        press("run");
        await until(() => /^Step [1-9]/.test(text("pace")));
        const before = performance.now();
        press("pause");
        const answered = text("status");
        await until(() => text("status").startsWith("Paused"));
        const paused = performance.now() - before;
        const at = () => Number(text("status").match(/step (\d+)/)?.[1]);
        const first = at();
        press("step");
        await until(() => at() > first);
        const stepped = at() - first;
        press("pause");
        await until(() => Number(text("pace").match(/^Step (\d+)/)[1]) > first + 3);
        const stopping = performance.now();
        press("stop");
        await until(() => text("status") === "Stopped.");
        const stopped = performance.now() - stopping;
        await until(() => !find("run").disabled);
        enter("f-steps", "1");
        press("run");
        await done();
        // One that can't be trained takes nothing away.
        const shown = JSON.stringify(cells("losses"));
        enter("f-rank", "100000");
        press("run");
        await until(() => text("status").startsWith("Not done"));
        const kept = !find("results").hidden && JSON.stringify(cells("losses")) === shown;
        return { kept, answered, paused, stepped, stopped, bar: find("progress").hidden, losses: cells("losses").length };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["answered"], "Pausing after this step …");
    assert_eq!(
        (&answer["stepped"], &answer["bar"], &answer["losses"], &answer["kept"]),
        (&json!(1), &json!(true), &json!(3), &json!(true)),
        "{answer:#}"
    );
    // A hundred milliseconds where nothing else runs; tests run beside each other.
    for what in ["paused", "stopped"] {
        assert!(answer[what].as_f64().is_some_and(|milliseconds| milliseconds < 1000.0), "{answer:#}");
    }
}

#[test]
fn without_webgpu_it_is_said_and_a_text_of_ones_own_is_learnt() {
    let report = play_on(
        false,
        "?v=1&base=nano&learning_rates=4e-3&seeds=1&batch_size=2&steps=3&validation_examples=8",
        "",
        r#"
        await ready();
        const told = text("device-note");
        enter("f-task", "own-text");
        press("run");
        const asked = text("status");
        enter("own-text", "the cat sat on the mat and the dog sat on the log. ".repeat(30), "input");
        press("run");
        await done();
        return { told, asked, query: address(), schemes: cells("schemes") };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert!(
        answer["told"]
            .as_str()
            .is_some_and(|told| told.starts_with("This browser shows the page no real GPU by WebGPU")),
        "{answer:#}"
    );
    assert!(answer["asked"].as_str().is_some_and(|asked| asked.contains("paste a text")), "{answer:#}");
    assert!(answer["query"].as_str().is_some_and(|query| query.contains("&data=mine.txt&")), "{answer:#}");
    assert_eq!(answer["schemes"][0][4], "token accuracy");
}

#[test]
fn the_time_that_is_left_is_told_once_it_is_known() {
    let report = play(
        "?v=1&base=nano&learning_rates=1e-3,4e-3&seeds=1&batch_size=4&steps=400&evaluate_every=0&diagnose_every=0&validation_examples=8&device=cpu",
        "",
        r#"
        await ready();
        const paces = [];
        const note = () => paces.push([performance.now(), text("pace")]);
        new frame.contentWindow.MutationObserver(note).observe(find("pace"), { childList: true });
        press("run");
        await done();
        const end = performance.now();
        const seconds = ([value, unit]) => Number(value) * (unit === "min" ? 60 : 1);
        const first = paces.find(([, text]) => text.startsWith("Step"))[1];
        const told = paces.flatMap(([at, text]) => {
            const left = text.match(/about ([\d.]+) (s|min) left/);
            return left ? [[seconds(left.slice(1)), (end - at) / 1000]] : [];
        });
        return { first, told };
        "#,
    );
    assert_no_errors(&report);
    let first = report["answer"]["first"].as_str().unwrap_or_default();
    assert!(first.ends_with(" s gone"), "{first}");
    let told: Vec<[f64; 2]> = serde_json::from_value(report["answer"]["told"].clone()).expect("pairs of numbers");
    assert!(told.len() > 3, "{told:?}");
    // Seconds said and seconds that it took, on a machine that is busy with other tests.
    for [said, took] in &told[..told.len() / 2] {
        assert!((took / 4.0..took * 4.0 + 2.0).contains(said), "{told:?}");
    }
}
