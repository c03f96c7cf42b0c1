//! A tab that has been loaded needs no network.

use serde_json::json;

use super::{assert_no_errors, play};

#[test]
fn a_loaded_page_goes_on_without_a_network() {
    // A person who has only looked so far: the worker, the base `tiny` and the page itself are asked for after the network is gone.
    let query = "?v=1&schemes=init-a&learning_rates=4e-3&seeds=1&steps=1&batch_size=1&validation_examples=2&device=cpu";
    let report = play(
        query,
        "",
        r#"
        await ready();
        await until(() => frame.contentWindow.navigator.serviceWorker.controller !== null);
        await fetch("/gone", { method: "POST" });
        const gone = await fetch("/shaders").then(() => "there", () => "gone");
        press("run");
        await done();
        const first = cells("losses");
        // Another device is another worker.
        enter("device", "auto");
        enter("device", "cpu");
        await until(() => !find("run").disabled);
        press("run");
        await done();
        const second = cells("losses");
        await open(address());
        await ready();
        return { gone, first, same: JSON.stringify(first) === JSON.stringify(second), again: address() };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(
        (&answer["gone"], &answer["same"], &answer["again"]),
        (&json!("gone"), &json!(true), &json!(query.trim_end_matches("&device=cpu")))
    );
    let loss = answer["first"][1][1].as_str().and_then(|text| text.trim_end_matches(" best").parse::<f64>().ok());
    assert!(loss.is_some_and(|loss| loss > 0.0), "{answer:#}");
}
