//! The diagnostics of the adapters, on the page: words, curves and tables; and the memory that the training takes of its device.

use serde_json::{Value, json};

use super::{assert_no_errors, play};

/// The number in a cell of a table.
fn number(cell: &Value) -> f64 {
    let text = cell.as_str().expect("a text");
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

#[test]
fn why_the_starts_differ_is_shown_in_words_curves_and_tables() {
    let report = play(
        "?v=1&base=nano&learning_rates=1e-3,4e-3&seeds=1&steps=4&batch_size=2&validation_examples=8&diagnose_every=2&device=cpu",
        "",
        r#"
        await ready();
        const before = find("inside").hidden;
        press("run");
        await done();
        const look = () => ({
            words: [...find("inside-words").children].map((item) => item.textContent.replaceAll("\u2011", "-")),
            curves: cells("features-table"),
            adapters: cells("adapters-table"),
            figure: find("features").querySelector("svg").getAttribute("aria-label") + text("features"),
        });
        const all = look();
        const options = [...find("adapter").options].map(({ text }) => text);
        enter("adapter", find("adapter").options[3].value);
        const one = look();
        press("choose", "init-b");
        const chosen = look();
        return { before, options, all, one, chosen, memory: text("device-note") + text("memory-note") };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["before"], true);
    let all = &answer["all"];
    let words = all["words"].as_array().expect("a list");
    assert_eq!(words.len(), 2);
    for (said, scheme) in words.iter().zip(["init-a", "init-b"]) {
        let said = said.as_str().expect("a text");
        assert!(said.starts_with(&format!("In {scheme} at ")) && said.contains("step 4, of 14 adapters: "), "{said}");
        assert!(
            said.contains("In the middle of them ZA is ") && said.contains("is what A's training does alone"),
            "{said}"
        );
    }
    let curves = all["curves"].as_array().expect("rows");
    assert_eq!((&curves[2][0], &curves[3][0], curves.len()), (&json!("2"), &json!("4"), 4), "{answer:#}");
    // A random A makes features of about its input's size, and one that began at zero has hardly left it.
    let (of_a, of_b) = (number(&curves[3][1]), number(&curves[3][3]));
    assert!(of_a > 0.3 && of_b < 0.2 * of_a, "{of_a} {of_b}");
    let adapters = all["adapters"].as_array().expect("rows");
    assert_eq!((adapters.len(), adapters[0].as_array().map(Vec::len)), (1 + 14 * 2, Some(13)));
    assert_eq!((&adapters[1][0], &adapters[2][0]), (&json!("layer 0 q_proj"), &json!("init-b at 4e-3")), "{answer:#}");
    assert!(
        all["figure"].as_str().is_some_and(|text| text.starts_with("LoRA features over the training")),
        "{answer:#}"
    );

    // One adapter, by itself: the number is that of its row.
    assert_eq!(
        (answer["options"].as_array().map(Vec::len), &answer["options"][3]),
        (Some(15), &json!("layer 0 v_proj"))
    );
    let row = adapters.iter().find(|row| row[0] == "layer 0 v_proj").expect("it has a row");
    assert_eq!(answer["one"]["curves"][3][1], row[2], "{answer:#}");
    // Every start at the rate of the cell that was chosen.
    assert!(answer["chosen"]["words"].as_array().is_some_and(|words| {
        words.len() == 2 && words.iter().all(|said| said.as_str().is_some_and(|said| said.contains("at 1e-3")))
    }));
    let memory = answer["memory"].as_str().expect("a text");
    assert!(
        memory.starts_with("Trains on: CPU, 1 thread of WebAssembly.4 runs in one pass take ")
            && memory.contains("MiB"),
        "{memory}"
    );
}
