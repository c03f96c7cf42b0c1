//! Links as they come: from a machine with a GPU, through messengers that add to them, with slips.

use serde_json::json;

use super::{assert_no_errors, play, play_on};

const SMALL: &str = "?v=1&base=nano&learning_rates=4e-3&seeds=1&steps=3&batch_size=2&validation_examples=8";

#[test]
fn a_link_from_a_machine_with_a_gpu_trains_on_one_without() {
    let query =
        format!("{}&device=gpu&run=1&fbclid=IwAR0x&utm_source=a%20b&gclid=1", SMALL.replace("?v", "?utm_medium=m&v"));
    let report = play_on(
        false,
        &query,
        "",
        r#"
        await done();
        return { note: text("device-note"), device: find("device").value, address: address(), losses: cells("losses").length };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert!(
        answer["note"]
            .as_str()
            .is_some_and(|note| note.starts_with("A GPU is asked for, but this browser shows the page none")),
        "{answer:#}"
    );
    assert_eq!((&answer["address"], &answer["losses"]), (&json!(SMALL), &json!(3)), "{answer:#}");
}

#[test]
fn what_a_link_cannot_mean_is_said_where_it_belongs() {
    let report = play(
        "?v=1&base=nano&task=bad&schemes=init-a,init-x&learning_rates=4e-3&seeds=1&steps=1&batch_size=1&validation_examples=4&rank=eight&warmup_steps=-1&sedes=3&run&device=cpu",
        "",
        r#"
        await until(() => !find("run").disabled);
        const wrong = () => ["task", "schemes", "rank", "warmup_steps", "steps"].map((name) => [find(`f-${name}`).value ?? null, text(`e-${name}`)]);
        const group = () => find("f-rank").closest("details").open;
        const first = { status: text("status"), wrong: wrong(), open: group() };
        press("run");
        const refused = [text("status"), frame.contentDocument.activeElement.id];
        enter("f-task", "translation");
        find("f-schemes").querySelector("input[value=init-x]").click();
        press("reset", "rank");
        // Faults that are not mended yet are still there.
        const second = wrong();
        enter("f-warmup_steps", "0");
        press("run");
        await done();
        return { first, refused, second, address: address(), losses: cells("losses") };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    let first = &answer["first"];
    let status = first["status"].as_str().unwrap_or_default();
    assert!(status.contains("`sedes`, which is no setting. Did you mean `seeds`?"), "{answer:#}");
    for (place, value, said) in [
        (0, json!("bad"), "`task` has \"bad\""),
        (1, json!(null), "`schemes` has \"init-x\""),
        (2, json!("eight"), "`rank` is \"eight\""),
        (3, json!("-1"), "`warmup_steps` is \"-1\""),
        (4, json!("1"), ""),
    ] {
        let [shown, told] = [0, 1].map(|part| &first["wrong"][place][part]);
        assert_eq!(*shown, value, "{answer:#}");
        assert!(
            told.as_str().is_some_and(|told| told.starts_with(said) && told.is_empty() == said.is_empty()),
            "{answer:#}"
        );
    }
    assert_eq!(first["open"], true);
    assert_eq!(answer["refused"], json!(["Not trained: a setting is not right; its field says why.", "f-task"]));
    let second: Vec<bool> = (0..5).map(|place| answer["second"][place][1] != "").collect();
    assert_eq!(second, [false, false, false, true, false], "{answer:#}");
    assert_eq!(answer["second"][3][0], "-1");
    let address =
        "?v=1&base=nano&schemes=init-a&learning_rates=4e-3&seeds=1&steps=1&batch_size=1&validation_examples=4";
    assert_eq!(answer["address"], address);
    assert_eq!(answer["losses"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_link_that_says_not_to_run_waits() {
    let report = play(
        &format!("{SMALL}&run=0&device=cpu"),
        "",
        r#"
        await ready();
        await new Promise((next) => setTimeout(next, 500));
        return [text("status"), find("run").disabled];
        "#,
    );
    assert_no_errors(&report);
    assert_eq!(report["answer"], json!(["Ready.", false]));
}
