//! The form under a person's hands: what is open stays open, what has the focus keeps it, what is wrong can be found.

use serde_json::json;

use super::{assert_no_errors, play};

#[test]
fn groups_stay_open_and_the_focus_stays_in_its_field() {
    let report = play(
        "?v=1&base=nano&device=cpu",
        "",
        r#"
        await ready();
        const held = () => frame.contentDocument.activeElement.id;
        const group = (name) => find(`f-${name}`).closest("details");
        const closed = [group("rank").open, group("optimizer").open, group("steps").open];
        group("steps").open = false;
        group("rank").open = true;
        enter("f-rank", "4");
        const reset = frame.contentDocument.querySelector("[data-do=reset][data-name=rank]");
        reset.focus();
        reset.click();
        const rank = [find("f-rank").value, group("rank").open, held(), group("steps").open];
        // Another optimiser has other fields, so the form is made anew.
        group("optimizer").open = true;
        find("f-optimizer").focus();
        enter("f-optimizer", "sgd");
        const sgd = [find("f-momentum") !== null, group("optimizer").open, held()];
        enter("f-momentum", "0.5");
        press("reset", "optimizer");
        const adamw = [find("f-momentum"), group("optimizer").open, held(), address()];
        press("reset", "schemes");
        return { closed, rank, sgd, adamw, schemes: frame.contentDocument.activeElement.value };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["closed"], json!([false, false, true]));
    assert_eq!(answer["rank"], json!(["8", true, "f-rank", false]));
    assert_eq!(answer["sgd"], json!([true, true, "f-optimizer"]));
    assert_eq!(answer["adamw"], json!([null, true, "f-optimizer", "?v=1&base=nano"]));
    assert_eq!(answer["schemes"], "init-a");
}

#[test]
fn a_field_that_says_why_is_seen() {
    let report = play(
        "?v=1&base=nano&device=cpu",
        "",
        r#"
        await ready();
        enter("f-rank", "0");
        const group = find("f-rank").closest("details");
        const opened = group.open;
        group.open = false;
        press("run");
        return { opened, again: group.open, held: frame.contentDocument.activeElement.id, status: text("status"), said: text("e-rank") };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!((&answer["opened"], &answer["again"], &answer["held"]), (&json!(true), &json!(true), &json!("f-rank")));
    assert_eq!(answer["status"], "Not trained: a setting is not right; its field says why.");
    assert!(answer["said"].as_str().is_some_and(|said| said.starts_with("`rank` is 0")), "{answer:#}");
}
